"""Training: which rows make a batch, the schedule, the optimizer, and runs that are cut short and started again."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import psutil
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from ascent.batching import pad
from ascent.errors import AscentError
from ascent.model import EmbeddingModel, load_backbone
from ascent.objectives import Embedded
from ascent.objectives.infonce import infonce
from ascent.pairs import Pair, pair_frame, text_id, write_pairs
from ascent.settings import Contract, StageSettings, TrainStage
from ascent.training import checkpoints
from ascent.training.checkpoints import Checkpoints
from ascent.training.data import TrainingPairs
from ascent.training.engine import rate
from ascent.validation import dump

SCRIPT = Path(__file__).parent.parent / "scripts" / "train_stage.py"
CONTRACT = Contract(max_tokens=32, prompts={"query": {"retrieval": "question: "}})
ROWS, BATCH = 44, 8


@pytest.fixture(scope="module")
def training_rows(corpus_rows):
    """Rows of distinct queries, each with one negative."""
    chosen = list({row["query"]: row for row in corpus_rows}.values())[:ROWS]
    return [Pair(row["query"], row["positive"], (corpus_rows[-i - 1]["positive"],)) for i, row in enumerate(chosen)]


@pytest.fixture(scope="module")
def pairs(training_rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("pairs") / "pairs.parquet"
    write_pairs(path, pair_frame(training_rows, "questions", "eng-Latn"))
    return path


@pytest.fixture(scope="module")
def data(pairs, tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    return TrainingPairs({"questions": pairs}, {}, {"questions": "retrieval"}, tokenizer, CONTRACT)


# ---------------------------------------------------------------- which rows make a batch


def queries_of(data: TrainingPairs, step: int, epochs: float, *, seed: int = 0, rank: int = 0, world: int = 1) -> list[int]:
    batch = data.batch(step, batch_size=BATCH, epochs=epochs, seed=seed, rank=rank, world=world)
    assert batch.rows == len(batch.answers)
    return batch.answers[:, 0].tolist()


def test_a_batch_is_a_pure_function_of_seed_and_step(data):
    forwards = [queries_of(data, step, 3) for step in range(data.steps(BATCH, 3))]
    backwards = [queries_of(data, step, 3) for step in reversed(range(data.steps(BATCH, 3)))][::-1]
    assert forwards == backwards
    assert forwards != [queries_of(data, step, 3, seed=1) for step in range(data.steps(BATCH, 3))]


@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_the_same_batches(data, world):
    for step in range(data.steps(BATCH, 1.25)):
        whole = queries_of(data, step, 1.25)
        shares = [queries_of(data, step, 1.25, rank=rank, world=world) for rank in range(world)]
        assert sorted(query for share in shares for query in share) == sorted(whole)
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
        assert data.batch(step, batch_size=BATCH, epochs=1.25, seed=0, rank=0, world=world).global_rows == len(whole)


def test_each_pass_has_every_row_once_in_an_order_of_its_own(data):
    stream = [query for step in range(data.steps(BATCH, 2)) for query in queries_of(data, step, 2)]
    first, second = stream[:ROWS], stream[ROWS:]
    assert len(set(first)) == ROWS
    assert sorted(first) == sorted(second)
    assert first != second


@pytest.mark.parametrize(
    ("epochs", "rows", "steps"),
    [(1, 44, 6), (0.5, 22, 3), (1.5, 66, 9), (0.01, 1, 1), (2, 88, 11), (1.1, 49, 7), (2.75, 121, 16)],
)
def test_passes_may_be_fractional(data, epochs, rows, steps):
    assert data.steps(BATCH, epochs) == steps
    sizes = [len(queries_of(data, step, epochs)) for step in range(steps)]
    assert sum(sizes) == rows
    assert sizes[:-1] == [BATCH] * (steps - 1)


def test_a_product_a_hair_above_a_whole_number_makes_no_batch_of_its_own(corpus_rows, tiny_model, tmp_path):
    rows = [Pair(f"{row['query']} {i}", row["positive"]) for i, row in enumerate(corpus_rows[:100])]
    write_pairs(tmp_path / "pairs.parquet", pair_frame(rows, "questions", "eng-Latn"))
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    data = TrainingPairs({"x": tmp_path / "pairs.parquet"}, {}, {"x": "retrieval"}, tokenizer, CONTRACT)
    assert 100 * 1.1 > 110  # in floating point
    assert data.steps(10, 1.1) == 11


def test_a_batch_too_small_for_the_processes_is_refused(data):
    with pytest.raises(AscentError, match="a batch of 4 rows cannot be shared by 8 processes; raise batch_size"):
        queries_of(data, 5, 1, rank=0, world=8)


def test_a_batch_holds_queries_then_positives_then_negatives_with_their_prompts(data, training_rows, tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    batch = data.batch(0, batch_size=BATCH, epochs=1, seed=0, rank=0, world=1)
    row_of = {int(text_id(row.positive)[:15], 16): row for row in training_rows}
    chosen = [row_of[positive] for positive in batch.document_ids[:BATCH].tolist()]
    texts = [f"question: {row.query}" for row in chosen]
    texts += [row.positive for row in chosen] + [row.negatives[0] for row in chosen]
    expected = tokenizer(texts, truncation=True, max_length=32)["input_ids"]
    assert [row.tolist() for row in batch.tokens] == expected
    ids = [int(text_id(text)[:15], 16) for text in texts[BATCH:]]
    assert batch.document_ids.tolist() == ids


def test_negatives_of_other_pairs_are_refused(pairs, training_rows, tiny_model, tmp_path):
    row = {"query_id": text_id(training_rows[0].query), "positive_id": text_id(training_rows[0].positive), "negatives": ["x"]}
    pl.DataFrame([row]).write_parquet(tmp_path / "negatives.parquet")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    with pytest.raises(AscentError, match=r"negatives\.parquet: holds negatives of other pairs than .*pairs\.parquet"):
        TrainingPairs({"x": pairs}, {"x": tmp_path / "negatives.parquet"}, {"x": "retrieval"}, tokenizer, CONTRACT)


# ---------------------------------------------------------------- the learning rate


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        # 10 steps, of which 2 warm up: a third, two thirds, then eight steps from the highest rate.
        ("linear", [1 / 3, 2 / 3, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]),
        ("cosine", [1 / 3, 2 / 3, *((1 + math.cos(math.pi * i / 8)) / 2 for i in range(8))]),
        ("constant", [1 / 3, 2 / 3, *[1] * 8]),
    ],
)
def test_the_schedule(schedule, expected):
    assert [rate(step, 10, 0.2, schedule) for step in range(10)] == pytest.approx(expected)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
@pytest.mark.parametrize("warmup", [0, 0.5, 1])
def test_no_step_is_taken_at_rate_zero(schedule, warmup):
    for steps in (1, 2, 7):
        rates = [rate(step, steps, warmup, schedule) for step in range(steps)]
        assert all(0 < value <= 1 for value in rates)


# ---------------------------------------------------------------- checkpoints


class FakeEngine:
    """Writes a checkpoint as DeepSpeed does, a folder named by the tag, and remembers what was loaded."""

    loaded = None

    def save_checkpoint(self, folder, tag, save_latest):
        (Path(folder) / tag).mkdir(parents=True)
        (Path(folder) / tag / "state.pt").write_text(tag)

    def load_checkpoint(self, folder, tag):
        self.loaded = (Path(folder) / tag / "state.pt").read_text()


@pytest.fixture
def alone(monkeypatch):
    monkeypatch.setattr(checkpoints.dist, "get_rank", lambda: 0)
    monkeypatch.setattr(checkpoints.dist, "get_world_size", lambda: 1)
    monkeypatch.setattr(checkpoints.dist, "barrier", lambda: None)


@pytest.mark.usefixtures("alone")
def test_the_newest_checkpoint_is_taken_and_old_ones_go(tmp_path):
    store, engine = Checkpoints(tmp_path / "checkpoints", "mine"), FakeEngine()
    assert store.resume(engine) == 0
    for step in (5, 9, 10, 100):
        store.save(engine, step)
    assert sorted(path.name for path in store.folder.iterdir()) == [
        "step-00000010",
        "step-00000010.json",
        "step-00000100",
        "step-00000100.json",
    ]
    assert store.resume(engine) == 100
    assert engine.loaded == "step-00000100"
    store.clear()
    assert not store.folder.exists()


@pytest.mark.usefixtures("alone")
def test_a_checkpoint_that_does_not_count_is_ignored(tmp_path, monkeypatch):
    engine = FakeEngine()
    mine = Checkpoints(tmp_path / "checkpoints", "mine")
    mine.save(engine, 5)
    engine.save_checkpoint(mine.folder, tag="step-00000008", save_latest=False)  # cut short: its marker was never written
    assert mine.resume(engine) == 5
    assert Checkpoints(mine.folder, "other settings").resume(engine) == 0
    monkeypatch.setattr(checkpoints.dist, "get_world_size", lambda: 2)
    assert mine.resume(engine) == 0  # optimizer shards of one process are of no use to two


@pytest.mark.usefixtures("alone")
def test_a_checkpoint_cut_short_is_written_again(tmp_path):
    engine, store = FakeEngine(), Checkpoints(tmp_path / "checkpoints", "mine")
    (store.folder / "step-00000008").mkdir(parents=True)
    (store.folder / "step-00000008" / "state.pt").write_text("half")
    engine.save_checkpoint = lambda folder, tag, save_latest: (Path(folder) / tag / "state.pt").write_text(tag)
    store.save(engine, 8)
    assert store.resume(engine) == 8
    assert engine.loaded == "step-00000008"


# ---------------------------------------------------------------- whole runs


@pytest.fixture
def run(pairs, tiny_model, tmp_path):
    """Start a stage's training in a folder; return the process."""

    def _run(name: str, *, processes: int = 1, **changes) -> subprocess.Popen:
        stage = TrainStage(
            objective="infonce",
            data=["questions"],
            batch_size=BATCH,
            learning_rate=1e-3,
            mini_batch_tokens=128,  # less than a batch holds: the gradient cache is at work
            precision="float32",
            **changes,
        )
        settings = StageSettings(recipe="r", name="s", stage=stage, contract=CONTRACT, tasks={"questions": "retrieval"})
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "stage.yaml").write_text(dump(settings))
        launcher = [sys.executable]
        if processes > 1:
            launcher += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        arguments = ["--settings", folder / "stage.yaml", "--parent", tiny_model, "--pairs", pairs]
        arguments += ["--output", folder / "model", "--metrics", folder / "metrics.jsonl"]
        with (folder / "log").open("a") as log:
            return subprocess.Popen(
                list(map(str, [*launcher, SCRIPT, *arguments])),
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"},
            )

    return _run


def finished(process: subprocess.Popen, folder: Path) -> Path:
    assert process.wait(timeout=300) == 0, (folder / "log").read_text()
    return folder


def interrupted(process: subprocess.Popen, folder: Path, number: signal.Signals, after: int) -> int:
    """Send a signal once the checkpoint after step `after`, or a later one, is written; return the exit status."""
    limit = time.monotonic() + 300
    while newest(folder) < after:
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < limit
        time.sleep(0.002)
    process.send_signal(number)
    return process.wait(timeout=60)


def newest(folder: Path) -> int:
    return max((int(path.stem[5:]) for path in (folder / "checkpoints").glob("step-*.json")), default=0)


def lines_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights_of(folder: Path) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()


def test_an_interrupted_run_ends_with_the_bytes_of_the_undisturbed_one(run, tmp_path):
    """Once by SIGTERM, as clusters announce the end, and once by SIGKILL; with dropout, schedule and gradient cache."""
    settings = {"epochs": 12, "dropout": 0.1, "checkpoint_minutes": 1e-6}
    whole = finished(run("whole", **settings | {"checkpoint_minutes": 60}), tmp_path / "whole")
    lines = lines_of(whole)
    assert [line["step"] for line in lines] == list(range(1, 67))
    assert lines[-1]["loss"] < lines[0]["loss"]

    folder = tmp_path / "disturbed"
    assert interrupted(run("disturbed", **settings), folder, signal.SIGTERM, after=5) == 1
    assert "stopped by a signal after step" in (folder / "log").read_text()
    reached = newest(folder)
    assert interrupted(run("disturbed", **settings), folder, signal.SIGKILL, after=reached + 5) == -signal.SIGKILL
    assert not (folder / "model").exists()
    assert not (folder / "metrics.jsonl").exists()
    # Cut short in the middle of a checkpoint: newer than the others, but without the marker that is written last.
    (folder / "checkpoints" / "step-00000065").mkdir()
    finished(run("disturbed", **settings), folder)
    assert (folder / "log").read_text().count("going on from the checkpoint before step") == 2
    assert weights_of(folder) == weights_of(whole)
    same = ("step", "loss", "learning_rate", "gradient_norm")
    assert [[line[key] for key in same] for line in lines_of(folder)] == [[line[key] for key in same] for line in lines]
    assert not (folder / "checkpoints").exists()
    assert sorted(path.name for path in folder.iterdir()) == ["log", "metrics.jsonl", "model", "stage.yaml"]


def test_a_signal_to_one_process_stops_all_at_the_same_step(run, tmp_path):
    settings = {"epochs": 6, "dropout": 0.1, "checkpoint_minutes": 60}
    whole = finished(run("whole", processes=2, **settings), tmp_path / "whole")
    folder = tmp_path / "disturbed"
    launcher = run("disturbed", processes=2, **settings)
    limit = time.monotonic() + 300
    while "step 3/" not in (folder / "log").read_text():
        assert launcher.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < limit
        time.sleep(0.002)
    (second,) = [p for p in psutil.Process(launcher.pid).children(recursive=True) if p.environ().get("RANK") == "1"]
    second.send_signal(signal.SIGTERM)
    assert launcher.wait(timeout=60) == 1, (folder / "log").read_text()
    assert 3 < newest(folder) < 33
    finished(run("disturbed", processes=2, **settings), folder)
    assert "going on from the checkpoint before step" in (folder / "log").read_text()
    assert weights_of(folder) == weights_of(whole)


def by_plain_torch(data: TrainingPairs, tiny_model: Path, stage: TrainStage) -> tuple[dict[str, torch.Tensor], list[float]]:
    """The same training with nothing of the engine: autograd over the whole batch, torch's AdamW and clipping."""
    backbone, _ = load_backbone(tiny_model, CONTRACT, dropout=0.0)
    model = EmbeddingModel(backbone, CONTRACT)
    steps = data.steps(stage.batch_size, stage.epochs)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": stage.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=stage.learning_rate)
    losses = []
    for step in range(steps):
        batch = data.batch(step, batch_size=stage.batch_size, epochs=stage.epochs, seed=stage.seed, rank=0, world=1)
        rows = model(**pad(batch.tokens, 0))
        embedded = Embedded(
            queries=rows[: batch.rows],
            documents=rows[batch.rows :],
            positives=torch.arange(batch.rows),
            document_ids=batch.document_ids,
            answers=batch.answers,
        )
        loss = infonce(embedded, embedded, temperature=stage.temperature, symmetric=stage.symmetric) / batch.rows
        for group in optimizer.param_groups:
            group["lr"] = stage.learning_rate * rate(step, steps, stage.warmup, stage.schedule)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), stage.gradient_clipping)
        optimizer.step()
        losses.append(float(loss.detach()))
    # BERT's pooler takes no part in the embedding; torch leaves it alone, DeepSpeed decays it, and nobody sees it.
    return {name: p.detach() for name, p in backbone.named_parameters() if p.grad is not None}, losses


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() >= other.keys()
    return max(float((one[name] - tensor).abs().max()) for name, tensor in other.items())


def test_one_process_two_processes_and_plain_torch_come_to_the_same_weights(run, data, tiny_model, tmp_path):
    settings = {"epochs": 1, "dropout": 0.0, "symmetric": True, "weight_decay": 10, "gradient_clipping": 0.5}
    one = finished(run("one", **settings), tmp_path / "one")
    two = finished(run("two", processes=2, **settings), tmp_path / "two")
    stage = TrainStage(objective="infonce", data=["questions"], batch_size=BATCH, learning_rate=1e-3, **settings)
    expected, losses = by_plain_torch(data, tiny_model, stage)

    start = load_file(tiny_model / "model.safetensors")
    found = {folder: load_file(folder / "model" / "model.safetensors") for folder in (one, two)}
    assert largest_difference(found[one], start) > 1e-3  # it has learned something
    # Adam divides by the gradient's size: where that is nearly zero, a single weight shows the rounding of the sum over two
    # processes (2e-5 was seen, a 50th of a step), so the bound of 1e-5 is on all but one weight in ten thousand.
    difference = torch.cat([(found[one][name] - found[two][name]).abs().flatten() for name in found[one]])
    assert float(difference.quantile(0.9999)) < 1e-5
    assert float(difference.max()) < 1e-4
    # The decay is so large that one of the wrong parameters would err by 1e-3, as would a clipping left out.
    error = largest_difference(found[one], expected)
    print(f"largest difference from plain torch: {error:.1e}")
    assert error < 1e-4
    for folder in (one, two):
        lines = lines_of(folder)
        assert [line["loss"] for line in lines] == pytest.approx(losses, abs=1e-5)
        rates = [1e-3 * rate(step, 6, stage.warmup, stage.schedule) for step in range(6)]
        assert [line["learning_rate"] for line in lines] == pytest.approx(rates)
        assert max(line["gradient_norm"] for line in lines) > 0.5  # clipping had something to do


def test_all_answers_of_a_query_are_known_to_each_of_its_rows(tiny_model, tmp_path):
    rows = [Pair("a", "first"), Pair("b", "other"), Pair("a", "second")]
    write_pairs(tmp_path / "pairs.parquet", pair_frame(rows, "x", "eng-Latn"))
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    data = TrainingPairs({"x": tmp_path / "pairs.parquet"}, {}, {"x": "retrieval"}, tokenizer, CONTRACT)
    first, other, second = (int(text_id(row.positive)[:15], 16) for row in rows)
    assert data.answers.tolist() == [[first, second], [other, -1], [first, second]]
