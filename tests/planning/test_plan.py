"""A plan's tokens against those that the steps embed, its warnings, its errors, and its command line."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import yaml
from transformers import AutoTokenizer

from ascent import layout
from ascent.files import read_yaml
from ascent.pairs.table import pair_frame, read_pairs, write_pairs
from ascent.planning import inputs
from ascent.planning.gpus import Machine
from ascent.planning.plan import make_plan
from ascent.planning.token_counts import Count
from ascent.recipes.dataset_steps import dataset_steps
from ascent.recipes.loading import load_recipes
from ascent.settings.model import Contract
from ascent.settings.pairs import Dataset
from support.workflow_copy import data_path


def job(found, rule: str, what: str):
    (one,) = [job for job in found.jobs if (job.rule, job.what) == (rule, what)]
    return one


@pytest.mark.parametrize("mined", [False, True])
def test_training_s_tokens_are_those_of_its_batches(recipe, workspace, training_pairs, tokens_of, data_of, mined):
    """44 rows with a negative each, one and a half times; or the same negatives as if they had been mined."""
    target = Path(data_path("pairs", workspace / "config.yaml"))
    table = pl.read_parquet(training_pairs)
    if mined:  # a plan takes each to be as long as the positive
        table = table.with_columns(negatives=pl.concat_list("positive"))
    target.parent.mkdir(parents=True, exist_ok=True)
    table.write_parquet(target)

    def change(values):
        values["stages"]["contrastive"] |= {"epochs": 1.5, "batch_size": 8}
        values["stages"]["finetune"] |= {"epochs": 1.5, "batch_size": 8}

    try:
        found = recipe(change, gpus=2)
        name = "finetune" if mined else "contrastive"
        count = job(found, f"train_{name}", name).count
        contract = Contract(max_tokens=32, prompts={"query": {"retrieval": "question: "}} if mined else {})
        data = data_of({"questions": tokens_of(target, contract=contract)}, contract=contract, epochs=1.5)
        schedule, lengths = data.schedule(), []
        for step in range(len(schedule)):
            for rank in range(2):
                batch = data.batch(schedule[step], rank=rank, world=2)
                lengths += [len(row) for row in batch.tokens]
        assert count.texts == len(lengths) == 66 * 3
        # The plan takes the second half epoch to be as long as the mean.
        assert count.tokens == pytest.approx(sum(lengths), rel=0.03)
        assert f"44 rows of {target}" in found.notes[0]
    finally:
        target.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["LibraryRetrieval", "Modules", "Similar", "Groups", "Ranking"])
def test_evaluation_s_tokens_are_those_that_are_embedded(recipe, base, tmp_path, monkeypatch, name):
    from ascent.evaluation.run import evaluate_task
    from ascent.model import encoder

    def change(values):
        values["evaluate"]["stages"] = ["base"]
        values["evaluate"]["tasks"]["Groups"] = {"type": "clustering", "corpus": "modules", "queries": 20}
        values["evaluate"]["tasks"]["Ranking"] = {"type": "reranking", "corpus": "similar", "queries": 30}
        values["release"]["stage"] = "base"

    seen = []
    tokenise = encoder.tokenise
    monkeypatch.setattr(encoder, "tokenise", lambda *arguments: seen.append(tokenise(*arguments)) or seen[-1])
    found = job(recipe(change), "evaluate_task", name)
    recipes = load_recipes(read_yaml("config.yaml") | {"recipes": ["changed"]})
    settings = recipes.tasks("changed")[name]
    folder = Path(f"results/corpora/{settings.task.corpus}")
    files = {kind: folder / f"{kind}-00000-of-00001.parquet" for kind in ("pairs", "documents")}
    files |= {"output": tmp_path / "o.json", "units": tmp_path / "u.parquet"}
    evaluate_task(settings, base, recipe="small", stage="base", **files)
    tokens = sum(len(row) for rows in seen for row in rows)
    assert 0 < tokens <= found.count.tokens
    # Of a classification's training texts the plan counts all that mteb may draw.
    assert found.count.tokens == pytest.approx(tokens, rel=0.25 if name == "Modules" else 0)


def test_what_is_not_here_is_planned_from_the_catalogue(recipe, workspace):
    """A million rows and a model of which only their sizes are known."""
    shape = {
        "architecture": "qwen2",
        "layers": 2,
        "width": 64,
        "heads": 4,
        "key_heads": 2,
        "inner": 96,
        "vocabulary": 1000,
    }
    hub = {"type": "hub", "id": "some/thing"}
    size = {"rows": 1_000_000, "query_tokens": 10, "positive_tokens": 98, "negatives": 3}
    config = read_yaml(workspace / "config.yaml")
    far = {"source": hub, "reader": {"pairs": {"train": ["*"]}}, "licence": "mit", "language": "eng-Latn", "size": size}
    far |= {"mteb_tasks": ["SciFact", "NFCorpus"]}
    config |= {"corpora": config["corpora"] | {"far": far}, "recipes": ["far"]}
    config["models"] |= {"far": {"source": hub, "licence": "mit", "shape": shape}}
    values = yaml.safe_load((workspace / "small.yaml").read_text())
    values["base"] |= {"model": "far", "max_tokens": 50}
    values["data"] = {"questions": {"corpus": "far"}, "some": {"corpus": "far", "rows": 5000}}
    values["stages"]["contrastive"] |= {"data": ["some"]}
    values["stages"]["finetune"]["mining"] |= {"documents": ["far"]}
    values["evaluate"] |= {"tasks": {}, "mteb_tasks": ["SciFact"]}
    (workspace / "far.yaml").write_text(yaml.safe_dump(values))
    found = make_plan(load_recipes(config), "far", Machine())
    matrices = 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 96)
    assert (found.shapes["far"].matrices, found.shapes["far"].parameters) == (matrices, matrices + 64_000)
    # A query has 10 tokens and two special ones; a positive or negative would have 100, and is truncated.
    assert job(found, "train_contrastive", "contrastive").count == Count(
        texts=25_000, tokens=5000 * (12 + 4 * 50), squares=5000 * (12**2 + 4 * 50**2)
    )
    prompted = 13 + 2  # `question: ` is two and a half tokens
    assert job(found, "train_finetune", "finetune").count.tokens == pytest.approx(1e6 * (prompted + 2 * 50))
    assert job(found, "encode_shard", "contrastive, questions").count.texts == 2e6
    pool = job(found, "encode_pool", "contrastive, far").count
    assert (pool.texts, pool.tokens) == (1e6, 50e6)
    beside = "the tasks that are evaluated in addition to benchmarks"
    assert f"Zero-shot on 0 % of {beside}, by mteb's rule: not on SciFact." in found.notes
    assert "mteb does not know what far learnt from, so the percentage may be too high." in found.notes
    values["data"]["some"]["augment"] = [{"crop": {"rows": 0.25}}, "word_swap", {"word_deletion": {"replace": True}}]
    (workspace / "far.yaml").write_text(yaml.safe_dump(values))
    more = job(make_plan(load_recipes(config), "far", Machine()), "train_contrastive", "contrastive").count
    assert more.texts == 2.25 * 25_000 and more.tokens == 2.25 * 5000 * (12 + 4 * 50)


@pytest.mark.slow
def test_shards_hold_each_text_once(recipe, workspace, base):
    from ascent.negatives.shards import encode_shard

    class Counting:
        digest, contract = "", Contract(max_tokens=32)
        tokens = 0

        def encode_with(self, prompts, texts, **_):
            import numpy as np

            tokenizer = AutoTokenizer.from_pretrained(base)
            self.tokens += sum(map(len, tokenizer(texts, truncation=True, max_length=32)["input_ids"]))
            return np.zeros((len(texts), 1), dtype=np.float32)

    rows = pl.read_parquet("results/corpora/library/pairs-00000-of-00001.parquet").filter(pl.col("split") == "train")
    doubled = workspace / "doubled.parquet"
    pl.concat([rows, rows]).write_parquet(doubled)
    embedder = Counting()
    for index in range(2):
        encode_shard(embedder, doubled, Contract().tokenising("retrieval"), index, 2, workspace / "shards")
    found = job(recipe(), "encode_shard", "contrastive, questions")
    assert (found.count.tokens, found.runs) == (embedder.tokens, 2)


def test_each_side_is_counted_up_to_its_own_length(recipe, base):
    def change(values):
        values["base"]["max_tokens"] = {"query": 5, "document": 12}
        for stage in values["stages"].values():
            stage.pop("prompts", None)

    rows = pl.read_parquet("results/corpora/library/pairs-00000-of-00001.parquet").filter(pl.col("split") == "train")
    tokenizer, embedded = AutoTokenizer.from_pretrained(base), 0
    for column, longest in (("query", 5), ("positive", 12)):
        ids = tokenizer(rows[column].unique().to_list(), truncation=True, max_length=longest)["input_ids"]
        embedded += sum(map(len, ids))
    found = job(recipe(change), "encode_shard", "contrastive, questions").count
    assert found.tokens == embedded


# ---------------------------------------------------------------- jobs


def test_ranking_embeds_a_pool_and_each_pair(recipe):
    def change(values):
        rank = {"teacher": {"model": "tiny", "max_tokens": 32}, "pool": 5}
        values["data"]["questions"]["filters"] += ["near_duplicate", {"cap": {"rows": 9}}, {"rank": rank}]

    found = recipe(change)
    assert [job.rule for job in found.jobs][:3] == ["score_pairs", "embed_ranked_pool", "rank_pairs"]
    scored, pool, ranked = (job.count for job in found.jobs[:3])
    assert (ranked.texts, ranked.tokens) == (scored.texts, scored.tokens)
    assert pool.texts == pytest.approx(5, abs=1) and 0 < pool.tokens <= 6 * 32


def test_a_language_model_reads_each_text_of_the_rows(recipe, training_rows):
    """As the scores' teacher does, but without prompts and special tokens."""

    def change(values):
        values["data"]["questions"]["filters"] += [
            {"perplexity": {"model": "tiny", "positive": [1, 900], "max_tokens": 20}}
        ]

    scored, found = recipe(change).jobs[:2]
    assert (found.rule, found.what) == ("measure_perplexity", "questions")
    assert found.count.texts == scored.count.texts and 0 < found.count.tokens <= 20 * found.count.texts
    assert found.flops > 0


def test_repeated_rows_are_trained_on_and_embedded_once(recipe, workspace, training_rows):
    """By the rows of the corpus, before the data set is made."""
    rows = [replace(row, positive=training_rows[0].positive) for row in training_rows[:5]] + training_rows[5:]

    def once(values):
        values["data"]["questions"]["augment"] = [{"word_swap": {"rows": 0.5}}]

    def change(values):
        once(values)
        values["data"]["questions"]["repeat"] = {"rows": 3, "most": 2}

    target = workspace / "results/corpora/library/pairs-00000-of-00001.parquet"
    kept = target.read_bytes()
    try:
        tested = read_pairs(target).filter(pl.col("split") != "train")
        write_pairs(target, pl.concat([pair_frame(rows, "library", "eng-Latn"), tested]))
        plain, found = recipe(once), recipe(change)
    finally:
        target.write_bytes(kept)
    sizes = Counter(row.positive for row in rows).values()
    share = sum(max(size, min(3, 2 * size)) for size in sizes) / len(rows)
    assert 1.5 < share < 2
    trained = ("train_contrastive", "contrastive", share)
    for rule, what, times in (trained, ("encode_shard", "contrastive, questions", 1)):
        counts = [job(each, rule, what).count for each in (plain, found)]
        assert counts[1].texts == pytest.approx(counts[0].texts * times, rel=0.01)
        assert counts[1].tokens == pytest.approx(counts[0].tokens * times, rel=0.01)
    added = round((share - 1) * len(rows))
    assert f"Data set questions: {added} rows more, which `repeat` adds to these." in found.notes


def test_of_many_rows_a_sample_is_counted(recipe, monkeypatch):
    """16 of 200 rows, every thirteenth."""
    whole = recipe()
    monkeypatch.setattr(inputs, "ROWS", 16)
    found = recipe()
    for rule, what in (("train_contrastive", "contrastive"), ("encode_shard", "contrastive, questions")):
        counts = [job(each, rule, what).count for each in (whole, found)]
        assert counts[1].texts == pytest.approx(counts[0].texts, rel=0.05)
        assert counts[1].tokens != counts[0].tokens
        assert counts[1].tokens == pytest.approx(counts[0].tokens, rel=0.25)
    assert any(": 200 rows of " in note and note.endswith(", of which 16 were counted.") for note in found.notes)


def test_every_job_that_uses_a_gpu_has_a_line(recipe):
    found = recipe()
    assert [(job.rule, job.what) for job in found.jobs] == [
        ("score_pairs", "questions"),
        ("train_contrastive", "contrastive"),
        ("encode_shard", "contrastive, questions"),
        ("train_finetune", "finetune"),
        ("evaluate_task", "LibraryRetrieval"),
        ("evaluate_task", "Modules"),
        ("evaluate_task", "Similar"),
    ]
    assert found.warnings == []
    # 10^15 FLOPs at 0.4 of 989e12 take 2.53 s.
    assert Machine().hours(1e15, "auto") == pytest.approx(2.5278 / 3600, rel=1e-4)
    assert Machine().hours(1e15, "float32") == pytest.approx(1e15 / (0.4 * 67e12) / 3600)


def test_seeds_train_each_and_prepare_once_and_a_choice_scores_every_mixture(recipe, workspace):
    def change(values):
        values["data"]["held"] = {"corpus": "library", "split": "validation"}
        values["stages"]["finetune"]["seeds"] = [0, 1, 2]
        values["stages"]["finetune"]["objective"] = {"infonce": {}, "embedding_mse": {}}
        values["stages"]["finetune"]["teacher"] = {"type": "bi-encoder", "model": "tiny"}
        values["stages"]["merge"] |= {"from": ["finetune"], "weights": "grid"}
        values["stages"]["merge"]["development"] = {"data": "held", "divisions": 2}

    found = recipe(change)
    jobs = [(job.rule, job.what) for job in found.jobs]
    assert jobs[2:-3] == [
        ("encode_shard", "contrastive, questions"),
        ("embed_with_teacher", "finetune, questions"),
        *(("train_finetune", f"finetune-seed{seed}") for seed in range(3)),
        ("choose_weights", "merge"),
    ]
    held = read_pairs(Path("results/corpora/library/pairs-00000-of-00001.parquet")).filter(
        pl.col("split") == "validation"
    )
    distinct = held["query"].n_unique() + held["positive"].n_unique()
    assert job(found, "choose_weights", "merge").count.texts == 6 * distinct  # all ways to deal two halves to three


@pytest.mark.parametrize("mined", [False, True])
@pytest.mark.parametrize("kind", ["cross-encoder", "bi-encoder"])
def test_a_teacher_s_tokens_are_those_of_its_candidates(recipe, workspace, training_rows, kind, mined):
    """Two rows of one query, with a negative each; or as many mined ones, which a plan takes to be as long as the
    positive."""
    rows = [*training_rows, replace(training_rows[0], positive=training_rows[1].positive)]
    target = Path(data_path("pairs", workspace / "config.yaml"))
    write_pairs(target, pair_frame(rows, "questions", "eng-Latn"))

    def change(values):
        taught = {"objective": "margin_mse", "teacher": {"model": "tiny", "type": kind, "max_tokens": 40}}
        values["stages"]["finetune" if mined else "contrastive"] |= taught

    try:
        found = job(
            recipe(change), "score_with_teacher", "finetune, questions" if mined else "contrastive, questions"
        ).count
    finally:
        target.unlink()
    tokenizer = AutoTokenizer.from_pretrained(workspace / "model")
    pairs = [(row.query, text) for row in rows for text in (row.positive, row.positive if mined else row.negatives[0])]
    inputs = [*map(list, zip(*pairs, strict=True))]
    if kind == "bi-encoder":
        inputs = [list({text for side in inputs for text in side})]
    lengths = [len(ids) for ids in tokenizer(*inputs, truncation=True, max_length=40)["input_ids"]]
    assert (found.texts, found.tokens) == (len(lengths), sum(lengths))


@pytest.mark.slow
def test_only_what_is_mined_for_is_encoded_and_has_more_texts(recipe):
    def change(values):
        values["data"]["graded"] = {"corpus": "similar", "task": "sts", "split": "test"}
        values["stages"]["finetune"]["data"] = {"questions": {}, "graded": {"objective": "cosent"}}

    steps = dataset_steps("graded", Dataset(corpus="similar", task="sts", split="test"))
    (target,) = map(Path, layout.parts_of(layout.FILTERED, 1, folder="pairs", key=steps.key))
    pairs = read_pairs(Path("results/corpora/similar/pairs-00000-of-00001.parquet")).with_columns(task=pl.lit("sts"))
    write_pairs(target, pairs)
    try:
        found, plain = recipe(change), recipe()
    finally:
        target.unlink()
    encoded = [job.what for job in found.jobs if job.rule == "encode_shard"]
    assert encoded == [job.what for job in plain.jobs if job.rule == "encode_shard"] == ["contrastive, questions"]
    texts = [job(each, "train_finetune", "finetune").count.texts for each in (found, plain)]
    assert texts[0] - texts[1] == 2 * len(pairs) + pairs["negatives"].list.len().sum()  # its own


def test_stored_scores_are_no_job(recipe):
    plain = recipe()
    stored = recipe(
        lambda values: values["stages"]["contrastive"].update(objective="margin_mse", teacher={"type": "stored"})
    )
    assert [(job.rule, job.what) for job in stored.jobs] == [(job.rule, job.what) for job in plain.jobs]


def test_a_teacher_that_scores_and_embeds_is_two_jobs(recipe):
    taught = {"objective": {"margin_mse": {}, "embedding_mse": {}}, "teacher": {"model": "tiny", "type": "bi-encoder"}}
    found = recipe(lambda values: values["stages"]["finetune"].update(taught))
    one, other = (job(found, rule, "finetune, questions") for rule in ("score_with_teacher", "embed_with_teacher"))
    assert one.count == other.count


@pytest.mark.slow
def test_the_gradient_cache_costs_a_forward_pass(recipe):
    # 32 rows of 2 texts of at most 32 tokens: on 8 processes below the small recipe's 256 tokens a mini-batch, on one
    # above.
    eight, one = (job(recipe(gpus=gpus), "train_contrastive", "contrastive") for gpus in (8, 1))
    assert one.count == eight.count
    assert one.flops == pytest.approx(4 / 3 * eight.flops)


def test_a_queue_s_copy_embeds_the_positives(recipe):
    def queued(values):
        values["stages"]["contrastive"]["queue"] = {"size": 64}

    plain, found = recipe(), recipe(queued)
    more = job(found, "train_contrastive", "contrastive").flops - job(plain, "train_contrastive", "contrastive").flops
    # Positives are most of a pair's tokens, and the copy has a forward pass only, of four parts with the gradient
    # cache.
    assert 0.15 < more / job(plain, "train_contrastive", "contrastive").flops < 1 / 3
    assert "Stage contrastive copies its model for the queue, so it cannot use zero: 3." in found.notes
    assert not any("queue" in note for note in plain.notes)


def test_pre_training_takes_each_document_once(recipe, corpus_rows, base):
    def change(values):
        values["stages"]["contrastive"] = {
            "type": "pretraining",
            "objective": "mlm",
            "data": ["questions"],
            "epochs": 2,
        }

    found = recipe(change)
    pretrain = job(found, "train_pretrain", "contrastive")
    rows = pl.read_parquet("results/corpora/library/pairs-00000-of-00001.parquet").filter(pl.col("split") == "train")
    texts = rows["positive"].unique(maintain_order=True).to_list()
    tokens = AutoTokenizer.from_pretrained(base)(texts, truncation=True, max_length=32)["input_ids"]
    assert (pretrain.count.texts, pretrain.count.tokens) == (2 * len(texts), 2 * sum(map(len, tokens)))
    assert "Pre-training of contrastive: heads that predict tokens are not counted." in found.notes
