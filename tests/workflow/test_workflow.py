"""The whole Snakefile on the small recipe: what it makes, and what it re-runs after an edit."""

import csv
import os
import re
import shutil

import numpy as np
import polars as pl
import pytest
import yaml

from ascent.model.encoder import Encoder
from support.warm import start
from support.workflow_copy import Copy, data_path, edited, recipe_of

pytestmark = pytest.mark.workflow

STAGES = ("base", "contrastive", "finetune", "merge")
TASKS = ("LibraryRetrieval", "Modules", "Similar")
PAGES = ("overview.html", "curves.svg", "radar.svg", "scores.html", "significance.html", "audits.html")
PAGES += ("flow.svg", "statistics.html", "samples-questions.html")
# What follows from any new score.
TOLD = {
    "compare_stages small",
    "draw_radar small",
    "render_tables small",
    "render_overview small",
    "release_model small",
}

# Imported by every Python below it: kills the process that is about to give a finished file its name.
DEADLY = """
import os, signal
replace = os.replace
def deadly(source, target, **options):
    if str(target).endswith(os.environ["KILL_BEFORE"]):
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(source, target, **options)
os.replace = deadly
"""


@pytest.fixture(scope="module")
def finished(material, warm_python, tmp_path_factory):
    """The small recipe, built once."""
    copy = Copy(tmp_path_factory.mktemp("first") / "ascent", material, warm_python)
    done = copy.build()
    assert done.returncode == 0, done.stdout
    return copy


@pytest.fixture(scope="module")
def killed(material, tmp_path_factory):
    """A second build, whose training was killed while it wrote its model; by a Python whose sets have other orders."""
    python = start(tmp_path_factory.mktemp("warm"), os.getpid(), PYTHONHASHSEED="12345")
    copy = Copy(tmp_path_factory.mktemp("second") / "ascent", material, python)
    (copy / "deadly").mkdir()
    (copy / "deadly" / "sitecustomize.py").write_text(DEADLY)
    done = copy.build(
        "results/small/contrastive/model", PYTHONPATH="deadly", KILL_BEFORE="results/small/contrastive/model"
    )
    assert done.returncode != 0
    assert "start train_contrastive small contrastive" in done.stdout
    return copy


def evaluations(stages, tasks) -> set[str]:
    return {f"evaluate_task small {stage} {task}" for stage in stages for task in tasks}


def write(*names: str) -> set[str]:
    return {f"write_settings results/small/{name}" for name in names}


# ---------------------------------------------------------------- what it makes


def test_everything_is_there(finished):
    assert (finished / "results/small/release").is_dir()
    for page in PAGES:
        assert (finished / f"results/small/report/{page}").stat().st_size > 500, page
    with (finished / "results/small/scores.tsv").open() as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    assert {(row["stage"], row["task"]) for row in rows} == {(stage, task) for stage in STAGES for task in TASKS}
    for row in rows:
        assert float(row["low"]) <= float(row["score"]) <= float(row["high"]), row
    for stage in ("contrastive", "finetune"):
        lines = (finished / f"results/small/{stage}/metrics.jsonl").read_text().splitlines()
        assert len(lines) == 7  # 200 pairs in batches of 32
        left = {path.name for path in (finished / f"results/small/{stage}/checkpoints").iterdir()}
        assert left == {"finished", "owner.lock"}
    hidden = [path for path in (finished / "results").rglob(".*") if path.name != ".snakemake_timestamp"]
    assert hidden == []  # no temporary file is left
    assert list((finished / "results/small/release").rglob(".*")) == []
    card = (finished / "results/small/release/README.md").read_text()
    sources = re.findall(r"\]\((provenance/[^)]+)\)", card)
    assert len(sources) > 4 and all((finished / "results/small/release" / source).is_file() for source in sources)


def test_the_release_is_loaded_by_sentence_transformers_alone(finished, corpus_rows):
    from sentence_transformers import SentenceTransformer

    texts = [row["positive"] for row in corpus_rows[:20]]
    released = SentenceTransformer(str(finished / "results/small/release"), device="cpu")
    ours = Encoder(finished / "results/small/merge/model", precision="float32")
    for side, encode in (("query", released.encode_query), ("document", released.encode_document)):
        expected = ours.encode(texts, side=side, task="retrieval")
        np.testing.assert_allclose(encode(texts), expected, rtol=0, atol=1e-5)
    assert np.abs(released.encode_query(texts) - released.encode_document(texts)).max() > 1e-3  # the prompt matters


def test_the_card_s_front_matter_parses(finished):
    card = (finished / "results/small/release/README.md").read_text()
    _, front, text = card.split("---\n", 2)
    front = yaml.safe_load(front)
    assert front["license"] == "apache-2.0"
    assert front["language"] in ("en", ["en"])
    assert {"sentence-transformers"} <= set(front["tags"])
    results = front["model-index"][0]["results"]
    assert {result["dataset"]["name"].split()[0] for result in results} == set(TASKS)
    assert "question: " in text


def test_mined_negatives_are_no_answers(finished):
    pairs = pl.read_parquet(finished.data("pairs"))
    table = pl.read_parquet(finished / "results/small/finetune/negatives/questions.parquet")
    answers = {}
    for query, positive in pairs.select("query_id", "positive_id").iter_rows():
        answers.setdefault(query, set()).add(positive)
    assert table["negative_ids"].list.len().sum() > 100
    for query, negatives in table.select("query_id", "negative_ids").iter_rows():
        assert not answers[query] & set(negatives)


def test_the_rule_graph_shows_what_the_leak_check_is_before(finished):
    graph = finished.build("results/small/release/README.md", "--rulegraph").stdout
    rules = dict(re.findall(r'^\s*(\d+)\[label = "(\w+)"', graph, re.MULTILINE))
    edges = re.findall(r"^\s*(\d+) -> (\d+)", graph, re.MULTILINE)
    assert {rules[end] for start, end in edges if rules[start] == "check_leakage"} == {
        "tokenise_pairs",
        "train_contrastive",
        "encode_shard",
        "train_finetune",
        "evaluate_task",
        "compare_stages",
        "release_model",
    }


def test_the_data_alone_need_no_training(finished):
    (finished / "results/small/report/flow.svg").unlink()
    done = finished.build("data")
    assert done.returncode == 0 and "all done (2 jobs)" in done.stdout
    where = "small: statistics, flow and samples in results/small/report, leak check in results/small/leakage.json"
    assert where in done.stdout.splitlines()
    rules = {job.split()[0] for job in finished.jobs("data", "--forceall")}
    shown = {"check_leakage", "describe_rows", "draw_flow", "render_samples", "render_statistics"}
    assert rules == {"write_settings", "retrieve_resource", "normalise_corpus", "filter_pairs", "score_pairs", *shown}


# ---------------------------------------------------------------- what re-runs


def test_nothing_is_left_to_do(finished):
    assert finished.jobs() == set()


def test_an_edit_is_seen_without_snakemake_s_records(finished, tmp_path):
    written = {path: (path.read_text(), path.stat().st_mtime_ns) for path in (finished / "results").rglob("*.yaml")}
    (finished / ".snakemake/metadata").rename(tmp_path / "metadata")
    try:
        with edited(recipe_of(finished), lambda text: text.replace("learning_rate: 1.0e-3", "learning_rate: 2.0e-3")):
            jobs = finished.jobs()
        assert {"train_finetune small finetune", "merge_stages small merge", "release_model small"} <= jobs
        assert jobs & {"filter_pairs prepared questions", "import_base small base"} == set()
    finally:
        shutil.rmtree(finished / ".snakemake/metadata", ignore_errors=True)
        (tmp_path / "metadata").rename(finished / ".snakemake/metadata")
        for path, (text, time) in written.items():
            path.write_text(text)
            os.utime(path, ns=(time, time))


def test_an_edited_row_of_the_corpus_reruns_what_is_made_of_it(finished):
    with edited(finished.config.parent / "data" / "train.jsonl", lambda text: text.replace("what does", "what may", 1)):
        assert finished.jobs() == {
            "retrieve_resource corpora library",
            "normalise_corpus library",
            "filter_pairs prepared questions",
            "score_pairs questions",
            "filter_pairs pairs questions",
            "check_leakage small",
            "tokenise_pairs small contrastive questions",
            "train_contrastive small contrastive",
            "encode_shard small contrastive questions 00000 00002",
            "encode_shard small contrastive questions 00001 00002",
            "mine_negatives small finetune questions",
            "tokenise_pairs small finetune questions",
            "train_finetune small finetune",
            "merge_stages small merge",
            "draw_curves small",
            "describe_rows corpora/library tiny",
            "describe_rows pairs/questions tiny",
            "draw_flow small",
            "render_statistics small",
            "render_samples small questions",
            # The base has not changed, but the corpus of one of its tasks has.
            *evaluations(["base"], ["LibraryRetrieval"]),
            *evaluations(["contrastive", "finetune", "merge"], TASKS),
            *TOLD,
        }


def test_the_times_of_sources_rerun_nothing(finished):
    """Their digests decide, also of files that are too large for Snakemake's own checksums."""
    for path in [*finished.config.parent.glob("data/*"), *finished.config.parent.glob("model/*")]:
        os.utime(path)
    assert finished.jobs("--max-checksum-file-size", "2KB") == set()


def test_a_learning_rate_reruns_its_stage_and_what_follows(finished):
    def change(text: str) -> str:
        head, tail = text.split("  finetune:\n", 1)
        return f"{head}  finetune:\n{tail.replace('learning_rate: 1.0e-3', 'learning_rate: 2.0e-3', 1)}"

    with edited(recipe_of(finished), change):
        assert finished.jobs() == {
            "train_finetune small finetune",
            "merge_stages small merge",
            "draw_curves small",
            *write("finetune/stage", "release"),
            *evaluations(["finetune", "merge"], TASKS),
            *TOLD,
        }


def test_a_prompt_reruns_its_stage_s_tokens(finished):
    with edited(
        recipe_of(finished), lambda text: text.replace('prompts: {query: {retrieval: "question: "}}', "prompts: {}", 1)
    ):
        # The merge has prompts of its own; its parents need not agree.
        assert finished.jobs() == {
            "tokenise_pairs small finetune questions",
            "train_finetune small finetune",
            "merge_stages small merge",
            "draw_curves small",
            *write("finetune/stage", "finetune/tokens/questions", "release"),
            *evaluations(["finetune", "merge"], TASKS),
            *TOLD,
        }


def test_how_a_data_set_is_used_re_runs_no_tokenising(finished):
    def change(text: str) -> str:
        head, tail = text.split("  finetune:\n", 1)
        return f"{head}  finetune:\n{tail.replace('data: [questions]', 'data: {questions: {loss_weight: 2}}', 1)}"

    with edited(recipe_of(finished), change):
        jobs = finished.jobs()
    assert "train_finetune small finetune" in jobs
    assert {job.split()[0] for job in jobs} & {"tokenise_pairs", "mine_negatives", "train_contrastive"} == set()


def test_a_task_that_is_removed_reruns_no_other(finished):
    with edited(recipe_of(finished), lambda text: re.sub(r"    Similar: .*\n", "", text)):
        # Its corpus is no longer tested with, so training texts need not be compared with it, nor is it described.
        jobs = {"check_leakage small", "render_statistics small", *write("leakage", "release"), *TOLD}
        assert finished.jobs() == jobs


def test_a_task_that_is_added_runs_alone(finished):
    line = "    Similar: {type: sts, corpus: similar}\n"
    with edited(recipe_of(finished), lambda text: text.replace(line, line + line.replace("Similar", "Alike"))):
        assert finished.jobs() == {*write("release"), *evaluations(STAGES, ["Alike"]), *TOLD}


def test_a_task_of_another_split_is_checked_before_it_runs_and_nothing_is_trained(finished):
    held = "    Held: {type: retrieval, corpus: library, split: validation}\n"
    with edited(recipe_of(finished), lambda text: text.replace("  tasks:\n", f"  tasks:\n{held}")):
        jobs = finished.jobs()
    assert jobs == {
        "check_leakage small",
        *write("leakage", "release"),
        *evaluations(STAGES, ["Held"]),
        *TOLD,
    }


def test_texts_of_a_task_of_mteb_are_compared_with_training_s(finished):
    with edited(recipe_of(finished), lambda text: text.replace("  tasks:\n", "  mteb_tasks: [STS12]\n  tasks:\n")):
        jobs = finished.jobs()
    assert {"list_evaluation_texts STS12", "check_leakage small"} <= jobs
    assert jobs & {"filter_pairs prepared questions", "train_contrastive small contrastive"} == set()
    benchmark = "{against: [library, 'NanoBEIR']}"
    with edited(recipe_of(finished), lambda text: text.replace("{against: [library]}", benchmark)):
        jobs = finished.jobs()
    assert {"list_evaluation_texts NanoSciFactRetrieval", "filter_pairs prepared questions"} <= jobs
    assert sum(job.startswith("list_evaluation_texts") for job in jobs) == 13


def test_a_comment_reruns_nothing(finished):
    with edited(recipe_of(finished), lambda text: f"# A word more.\n{text}# And another.\n"):
        assert finished.jobs() == set()
    with edited(finished / "scripts/ascent/training/stages/linear.py", lambda text: f"{text}# A word more.\n"):
        assert finished.jobs() == set()


def test_how_training_is_run_reruns_nothing(finished):
    with edited(recipe_of(finished), lambda text: f"{text}\nrunning: {{checkpoint_minutes: 3, loader_workers: 1}}\n"):
        assert finished.jobs() == write("running")


def test_a_raised_revision_reruns_its_step(finished):
    def change(text: str) -> str:
        return re.sub(r"(rule merge_stages:.*?revision=)1", r"\g<1>2", text, flags=re.DOTALL)

    with edited(finished / "rules/training.smk", change):
        assert finished.jobs() == {"merge_stages small merge", *evaluations(["merge"], TASKS), *TOLD}


# ---------------------------------------------------------------- killed, and built a second time


def test_a_killed_step_leaves_nothing_that_is_taken_for_finished(killed):
    stage = killed / "results/small/contrastive"
    assert not (stage / "model").exists()
    assert not (stage / "metrics.jsonl").exists()
    jobs = killed.jobs()
    assert "train_contrastive small contrastive" in jobs
    assert "import_base small base" not in jobs  # what was finished stays


def test_two_runs_are_the_same_bytes_though_one_was_killed(finished, killed):
    done = killed.build()
    assert done.returncode == 0, done.stdout
    assert killed.jobs() == set()
    results = [f"results/small/{stage}/model/model.safetensors" for stage in STAGES]
    results += ["results/small/release/model.safetensors", "results/small/scores.tsv", "results/small/significance.tsv"]
    results += ["results/small/finetune/negatives/questions.parquet", data_path("pairs", finished.config)]
    # Its meta.json has the digests of all its files.
    results += [
        f"results/small/{stage}/tokens/questions/{name}"
        for stage in STAGES[1:3]
        for name in ("meta.json", "tokens.npy")
    ]
    for path in results:
        assert (killed / path).read_bytes() == (finished / path).read_bytes(), path


def test_a_stage_that_was_finished_unseen_is_not_trained_again(killed):
    """As when the main process was killed, and a job of its went on to the end: the model is there, the record of it
    not."""
    model = killed / "results/small/finetune/model/model.safetensors"
    before = model.read_bytes()
    done = killed.build("results/small/finetune/model", "--forcerun", "train_finetune")
    assert done.returncode == 0, done.stdout
    log = (killed / "logs/small/finetune/train_finetune.log").read_text()
    assert "already trained with these settings and data; restored" in log
    assert model.read_bytes() == before


def test_nothing_costly_runs_on_a_leak_and_a_task_that_is_taken_back_trains_nothing(finished):
    """A task tests with the questions that are trained on; then a stage would have to be trained again, too. The last
    test, since what it leaves is checked again."""

    def leaking(text: str) -> str:
        return text.replace("  tasks:\n", "  tasks:\n    Leaking: {type: retrieval, corpus: library, split: train}\n")

    def slower(text: str) -> str:
        head, tail = text.split("  finetune:\n", 1)
        return f"{head}  finetune:\n{tail.replace('learning_rate: 1.0e-3', 'learning_rate: 3.0e-3', 1)}"

    with edited(recipe_of(finished), leaking):
        assert finished.build().returncode != 0
        # The check is not forgotten.
        assert "check_leakage small" in finished.jobs()
    assert {job.split()[0] for job in finished.jobs()} == {
        "write_settings",
        "check_leakage",
        *(job.split()[0] for job in TOLD),
    }
    with edited(recipe_of(finished), lambda text: slower(leaking(text))):
        done = finished.build()
    assert done.returncode != 0
    assert "data set questions: " in done.stdout and "of its rows have test texts of library (hash)" in done.stdout
    assert set(re.findall(r"^\S+ +start (\w+)", done.stdout, re.MULTILINE)) - {"write_settings"} == {"check_leakage"}
