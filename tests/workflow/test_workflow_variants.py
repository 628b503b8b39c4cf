"""The whole Snakefile on other recipes than the small one, and how it fails; each test in a copy of its own.

A file beside test_workflow.py, so that two workers share the builds.
"""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import yaml
from safetensors.torch import load_file

from ascent.recipes.loading import load_recipes, read_config
from ascent.tokens.table import TokenisedPairs
from support.small_recipe import make_model
from support.workflow_copy import Copy, edited, recipe_of

pytestmark = pytest.mark.workflow
SIMILAR = "results/corpora/similar/pairs-00000-of-00001.parquet"


@pytest.fixture
def fresh(material, warm_python, tmp_path):
    """A copy in which nothing is built, and a configuration that a test may spoil."""
    for name in ("config.yaml", "small.yaml"):
        shutil.copy(material.with_name(name), tmp_path / name)
    config = yaml.safe_load(material.read_text()) | {"recipe_folder": str(tmp_path)}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    return Copy(tmp_path / "ascent", tmp_path / "config.yaml", warm_python)


@pytest.fixture(scope="module")
def first_steps(material, warm_python, tmp_path_factory):
    """What the small recipe makes before it trains."""
    copy = Copy(tmp_path_factory.mktemp("first") / "ascent", material, warm_python)
    done = copy.build("results/small/base/model", "results/small/leakage.json", SIMILAR)
    assert done.returncode == 0, done.stdout
    return copy


@pytest.fixture
def begun(fresh, first_steps):
    """A fresh copy with the first steps' results: what a test's recipe says alike is not made again."""
    for name in ("results", "resources", ".snakemake"):
        shutil.copytree(first_steps / name, fresh / name)
    return fresh


def filters(against: str) -> list:
    """The default filters, and none of a corpus's test texts."""
    return ["clean", "empty", "length", "duplicate", {"contamination": {"against": [against]}}]


def test_a_stage_of_two_data_sets_that_is_chosen_by_a_third(begun):
    """Weights, batches of one data set, labels as documents, prefixes, buckets, and a development split."""
    recipe = yaml.safe_load(recipe_of(begun).read_text())
    recipe["data"]["modules"] = {"corpus": "modules", "task": "classification", "filters": filters("modules")}
    recipe["data"]["held"] = {"corpus": "library", "split": "validation", "filters": filters("similar")}
    recipe["stages"]["contrastive"] |= {
        "data": {"questions": {"weight": 3}, "modules": {"weight": 1, "loss_weight": 0.5, "in_batch": True}},
        "batching": "by_dataset",
        "bucket_batches": 4,
        "matryoshka": {16: 0.5},
        "development": {"data": "held", "every_steps": 2},
    }
    recipe_of(begun).write_text(yaml.safe_dump(recipe))
    done = begun.build("results/small/contrastive/model", "results/small/leakage.json")
    assert done.returncode == 0, done.stdout
    lines = [json.loads(line) for line in (begun / "results/small/contrastive/metrics.jsonl").read_text().splitlines()]
    shares = [(line["gradient_share/questions"], line["gradient_share/modules"]) for line in lines]
    assert {(1.0, 0.0), (0.0, 1.0)} == set(shares)
    scores = {line["step"]: line["development"] for line in lines if "development" in line}
    assert set(scores) == {*range(2, len(lines) + 1, 2), len(lines)}
    log = (begun / "logs/small/contrastive/train_contrastive.log").read_text()
    assert f"kept the weights of step {max(scores, key=scores.get)}" in log
    assert all(line["mfu"] > 0 and line["flops_per_second"] > 0 for line in lines)
    leakage = json.loads((begun / "results/small/leakage.json").read_text())
    assert set(leakage["training"]) == {"questions", "modules", "held"}


@pytest.mark.nightly
def test_a_task_searches_a_corpus_of_texts_in_two_parts(begun):
    """It is compared with training texts as a pool, and its documents are counted in the result."""
    files = [begun.config.parent / f"wiki-{part}.jsonl" for part in range(2)]
    for part, file in enumerate(files):
        rows = [{"text": f"text {row} of part {part} about a module"} for row in range(9)]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config, recipe = (yaml.safe_load(path.read_text()) for path in (begun.config, recipe_of(begun)))
    config["corpora"]["wiki"] = {
        "source": {"type": "files", "paths": [str(file) for file in files]},
        "reader": {"type": "text", "documents": {"test": ["wiki-*.jsonl"]}, "columns": {"text": "text"}},
        "parts": 2,
        "licence": "internal",
        "language": "eng-Latn",
    }
    recipe["evaluate"]["tasks"]["LibraryRetrieval"]["documents"] = ["wiki"]
    begun.config.write_text(yaml.safe_dump(config))
    recipe_of(begun).write_text(yaml.safe_dump(recipe))
    done = begun.build("results/small/base/mteb/LibraryRetrieval.json")
    assert done.returncode == 0, done.stdout
    result = json.loads((begun / "results/small/base/mteb/LibraryRetrieval.json").read_text())
    own = pl.read_parquet(begun / "results/corpora/library/documents-00000-of-00001.parquet").filter(split="test")
    assert result["scores"]["test"][0]["documents_searched"] == len(own) + 2 * 9
    leakage = json.loads((begun / "results/small/leakage.json").read_text())
    assert leakage["evaluation"]["wiki"] == {"texts": 0, "documents": 2 * 9}


@pytest.mark.nightly
def test_seeds_are_merged_by_a_development_set_and_rounded(fresh):
    """What does not depend on the seed is made once; the merge is compared with the parent that is best on held-out
    rows."""
    recipe = yaml.safe_load(recipe_of(fresh).read_text())
    recipe["data"]["questions"] = {"corpus": "library", "filters": filters("library")}
    recipe["data"]["held"] = {"corpus": "library", "split": "validation", "filters": filters("similar")}
    del recipe["stages"]["contrastive"]
    recipe["stages"]["finetune"] |= {"from": ["base"], "seeds": [0, 1], "max_steps": 3}
    recipe["stages"]["finetune"]["mining"]["model"] = "base"
    held = {"development": {"data": "held", "divisions": 2}}
    recipe["stages"]["merge"] = {"type": "slerp", "from": ["finetune"], "weights": "grid", **held}
    recipe["stages"]["rounded"] = {"type": "bfloat16", "from": ["merge"]}
    recipe["evaluate"] = {
        "stages": ["finetune", "rounded", "merge"],
        "tasks": {"Similar": recipe["evaluate"]["tasks"]["Similar"]},
    }
    recipe["release"]["stage"] = "rounded"
    recipe["shards"] = 1
    recipe_of(fresh).write_text(yaml.safe_dump(recipe, sort_keys=False))
    jobs = fresh.jobs()
    made = {
        job
        for job in jobs
        if job.split()[0] in ("mine_negatives", "tokenise_pairs") or job.split()[0].startswith("train")
    }
    once = {"mine_negatives small finetune questions", "tokenise_pairs small finetune questions"}
    assert made == once | {
        "tokenise_pairs small merge held",
        *(f"train_finetune small finetune-seed{seed}" for seed in (0, 1)),
    }
    done = fresh.build()
    assert done.returncode == 0, done.stdout
    results = fresh / "results/small"
    choice = json.loads((results / "merge/weights.json").read_text())
    assert [one["weights"] for one in choice["tried"]] == [[1, 0], [0, 1], [0.5, 0.5]]
    history = json.loads((results / "merge/model/ascent.json").read_text())["history"]
    assert history["weights"] == list(choice["chosen"].values())
    assert set(json.loads((results / "leakage.json").read_text())["training"]) == {"questions", "held"}
    compared = pl.read_csv(results / "significance.tsv", separator="\t").select("stage", "baseline").rows()
    assert compared == [("rounded", "merge"), ("merge", max(choice["parents"], key=choice["parents"].get))]
    evaluated, released = (
        load_file(path / "model.safetensors") for path in (results / "rounded/model", results / "release")
    )
    assert {str(tensor.dtype) for tensor in released.values()} == {"torch.bfloat16"}
    assert all(released[name].equal(tensor) for name, tensor in evaluated.items())
    card = (results / "release/README.md").read_text()
    assert "| Stored as | bfloat16" in card and "against its parent merge" in card and "The weights of merge" in card
    assert "Negatives of questions for stage finetune" in card
    # Another seed trains one model more.
    with edited(recipe_of(fresh), lambda text: text.replace("  - 1\n", "  - 1\n    - 2\n", 1)):
        again = {
            job for job in fresh.jobs() if job.split()[0] in ("mine_negatives", "tokenise_pairs") or "train" in job
        }
    assert again == {"train_finetune small finetune-seed2"}


def test_stages_learn_from_teachers(begun, tmp_path):
    """A cross-encoder's scores of negatives that the base mined, and what runs again of all that; a bi-encoder's
    embeddings; scores that a corpus brings along."""
    make_model(tmp_path / "judge", labels=1)
    config = yaml.safe_load(begun.config.read_text())
    config["models"]["judge"] = {"source": {"type": "files", "paths": [str(tmp_path / "judge")]}, "licence": "mit"}
    columns = {"negatives": ["negative"], "positive_scores": "high", "negative_scores": ["low"]}
    config["corpora"]["scored"] = {
        "source": {"type": "files", "paths": [str(tmp_path / "scored.jsonl")]},
        "reader": {"pairs": {"train": ["scored.jsonl"]}, "columns": columns},
        "licence": "mit",
        "language": "eng-Latn",
    }
    rows = [
        {"query": f"question {i}", "positive": f"answer {i}", "negative": "no", "high": i, "low": i / 4}
        for i in range(9)
    ]
    rows[4]["low"] = None
    (tmp_path / "scored.jsonl").write_text("\n".join(map(json.dumps, rows)))
    begun.config.write_text(yaml.safe_dump(config))
    recipe = yaml.safe_load(recipe_of(begun).read_text())
    recipe["data"]["questions"] = {"corpus": "library", "filters": filters("library")}
    recipe["data"]["scored"] = {"corpus": "scored"}
    recipe["stages"]["stored"] = {"objective": "distill_kl", "data": ["scored"], "teacher": {"type": "stored"}}
    recipe["shards"] = 1
    recipe["stages"]["finetune"] |= {
        "from": ["base"],
        "objective": {"margin_mse": {"scale": 0.1}},
        "mining": {"model": "base", "per_query": 2, "max_share_of_positive": 2},
        "teacher": {"model": "judge", "type": "cross-encoder", "max_tokens": 48},
    }
    embeds = {"objective": "embedding_mse", "teacher": {"model": "tiny", "type": "bi-encoder", "max_tokens": 16}}
    recipe["stages"]["contrastive"] |= embeds
    recipe_of(begun).write_text(yaml.safe_dump(recipe, sort_keys=False))
    model, stage = "results/small/finetune/model", begun / "results/small/finetune"
    done = begun.build(model, "results/small/contrastive/tokens/questions", "results/small/stored/tokens/scored")
    assert done.returncode == 0, done.stdout
    stored = np.load(begun / "results/small/stored/tokens/scored/teacher_scores.npy").tolist()
    assert stored == [row[score] for row in rows if row["low"] is not None for score in ("high", "low")]
    set_aside = json.loads((begun / "results/corpora/scored/audit-00000-of-00001.json").read_text())["set_aside"]
    assert set_aside == {"not one score per negative": 1}
    embedded = np.load(begun / "results/small/contrastive/tokens/questions/teacher_embeddings.npy")
    texts = json.loads((begun / "results/small/contrastive/tokens/questions/meta.json").read_text())["texts"]
    assert (embedded.dtype, embedded.shape) == (np.float16, (sum(texts.values()), 32))

    negatives, scores = (pl.read_parquet(stage / f"{kind}/questions.parquet") for kind in ("negatives", "scores"))
    assert negatives.select("query_id", "positive_id", "negative_ids").equals(scores.drop("scores"))
    assert np.load(stage / "tokens/questions/teacher_scores.npy").tolist() == scores["scores"].explode().to_list()
    losses = [json.loads(line)["loss"] for line in (stage / "metrics.jsonl").read_text().splitlines()]
    assert all(np.isfinite(losses))
    assert (
        json.loads((begun / model / "ascent.json").read_text())["history"]["settings"]["stage"]["teacher"]["model"]
        == "judge"
    )

    settings = {f"write_settings results/small/finetune/{name}" for name in ("stage", "teacher/questions")}
    after = {"tokenise_pairs small finetune questions", "train_finetune small finetune"}
    scored = "score_with_teacher small finetune questions"
    assert begun.jobs(model) == set()
    with edited(recipe_of(begun), lambda text: text.replace("scale: 0.1", "scale: 0.2")):
        assert begun.jobs(model) == {"write_settings results/small/finetune/stage", "train_finetune small finetune"}
    with edited(recipe_of(begun), lambda text: text.replace("max_tokens: 48", "max_tokens: 40")):
        assert begun.jobs(model) == {scored, *settings, *after}
    with edited(recipe_of(begun), lambda text: text.replace("per_query: 2", "per_query: 3")):
        mined = {"mine_negatives small finetune questions", "write_settings results/small/finetune/mining"}
        assert begun.jobs(model) == {scored, *after, *mined, "write_settings results/small/finetune/stage"}


def test_all_recipes_are_built_in_one_run(fresh):
    """They use one name for different data sets and stages; what two of them define alike is made once."""
    names = sorted(path.stem for path in (fresh / "config/recipes").glob("*.yaml"))
    done = fresh.snakemake("--dry-run", "--config", f"recipes=[{','.join(names)}]")
    assert done.returncode == 0, done.stdout
    assert all(f"would run release_model {name}:" in done.stdout for name in names)
    # Three seeds train on one set of tokens; what a merge is chosen by has its own.
    tokens = re.findall(r"^would run tokenise_pairs soup (.*?):", done.stdout, re.MULTILINE)
    assert sorted(tokens) == ["finetune questions", "slerp held_out", "soup held_out"]
    seeds = re.findall(r"^would run train_contrastive soup (.*?):", done.stdout, re.MULTILINE)
    assert sorted(seeds) == [f"finetune-seed{seed}" for seed in range(3)]
    steps = load_recipes(read_config() | {"recipes": names}).all_steps
    passes = {f"{step.folder} {step.key}" for each in steps for step in each.passes}
    assert len(passes) < sum(len(each.passes) for each in steps)
    assert sorted(re.findall(r"^would run filter_pairs (.*?):", done.stdout, re.MULTILINE)) == sorted(passes)


# ---------------------------------------------------------------- how it fails


def test_the_workflow_is_parsed_without_heavy_imports(fresh):
    done = fresh.snakemake("--dry-run", launcher=(sys.executable, "-X", "importtime", "-m"))
    assert done.returncode == 0, done.stdout
    modules = {
        line.rsplit("|", 1)[1].strip().split(".")[0] for line in done.stdout.splitlines() if "import time:" in line
    }
    assert "snakemake" in modules
    assert "pydantic" in modules
    # pyarrow is not ours: pandas, which Snakemake imports, looks for it.
    heavy = {"torch", "transformers", "datasets", "mteb", "deepspeed", "sentence_transformers", "faiss", "polars"}
    assert modules & heavy == set()


def one_clear_line(done: subprocess.CompletedProcess, message: str) -> None:
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    lines = [line for line in done.stdout.splitlines() if re.search(message, line)]
    assert len(lines) == 1, done.stdout


def test_an_unknown_parent_is_one_clear_line(fresh):
    path = recipe_of(fresh)
    path.write_text(path.read_text().replace("from: [contrastive]", "from: [contrastve]"))
    message = (
        r"^error: .*small\.yaml: 'stages\.finetune\.from' names the stage 'contrastve', which does not exist; did you"
        r" mean"
    )
    done = fresh.build("--dry-run")
    one_clear_line(done, message)
    assert "common.smk" not in done.stdout


def test_a_configuration_that_is_not_yaml_is_one_clear_line(fresh):
    for text, message in (
        ("recipes: [demo]\n  x: 1\n", r"^error: config/config\.yaml: not valid YAML .*line 2, column 3"),
        ("# recipes: [demo]\n", r"^error: config/config\.yaml: holds no keys at its top level; write"),
    ):
        (fresh / "config/config.yaml").write_text(text)
        one_clear_line(fresh.build("--dry-run"), message)


def test_a_wrong_checksum_is_one_clear_line(fresh):
    config = yaml.safe_load(fresh.config.read_text())
    config["corpora"]["similar"]["source"]["sha256"] = {"similar.tsv": "0" * 64}
    fresh.config.write_text(yaml.safe_dump(config))
    done = fresh.build(SIMILAR)
    one_clear_line(
        done, r"^\s*error: similar\.tsv: its SHA-256 is [0-9a-f]{64}, but 0{64} is pinned; restore the file or pin this"
    )
    assert not (fresh / "resources/corpora/similar").exists()


def test_a_missing_file_is_one_clear_line(fresh):
    config = yaml.safe_load(fresh.config.read_text())
    config["corpora"]["similar"]["source"]["paths"] = ["data/simlar.tsv"]
    fresh.config.write_text(yaml.safe_dump(config))
    one_clear_line(fresh.build("--dry-run"), r"data/simlar\.tsv")


def test_an_empty_corpus_is_one_clear_line(fresh, tmp_path):
    (tmp_path / "similar.tsv").write_text("first\tsecond\tscore\n")
    config = yaml.safe_load(fresh.config.read_text())
    config["corpora"]["similar"]["source"]["paths"] = [str(tmp_path / "similar.tsv")]
    fresh.config.write_text(yaml.safe_dump(config))
    done = fresh.build(SIMILAR)
    one_clear_line(done, r"^\s*error: corpus similar: no usable row")
    assert json.loads((fresh / "resources/corpora/similar/provenance.json").read_text())["files"].keys() == {
        "similar.tsv"
    }


def test_mining_is_for_the_data_sets_that_have_a_use_for_negatives(begun):
    """Conan's recipe: mined pairs, whose negatives are replaced while they train, beside graded pairs in balanced
    batches."""
    recipe = yaml.safe_load(recipe_of(begun).read_text())
    recipe["data"]["graded"] = {"corpus": "similar", "task": "sts", "split": "test"}
    for name in ("LibraryRetrieval", "Similar"):  # they test with these rows
        del recipe["evaluate"]["tasks"][name]
    recipe["stages"]["finetune"] |= {
        "batching": "balanced",
        "data": {"questions": {}, "graded": {"objective": "cosent", "loss_weight": 0.8}},
        "epochs": 2,
    }
    recipe["stages"]["finetune"]["mining"] |= {
        "ranks": [0, 20],
        "reserve": 3,
        "dynamic": {"every_steps": 2, "ceiling": 1.5},
    }
    recipe_of(begun).write_text(yaml.safe_dump(recipe))
    done = begun.build("results/small/finetune/model", "results/small/finetune/replacements.json")
    assert done.returncode == 0, done.stdout
    assert {path.name for path in (begun / "results/small/finetune/negatives").glob("*.parquet")} == {
        "questions.parquet"
    }
    tokens = begun / "results/small/finetune/tokens"
    of_questions, of_graded = (TokenisedPairs(tokens / name) for name in ("questions", "graded"))
    assert len(of_graded.documents) == len(of_graded) and len(of_questions.documents) > len(of_questions)
    assert json.loads((begun / "results/small/finetune/replacements.json").read_text())["judged"] > 0
