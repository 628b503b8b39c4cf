"""Dynamic negatives: the rule in a case worked out by hand, the same at any number of processes, and across a kill."""

import signal

import numpy as np
import polars as pl
import pytest
import torch
import torch.multiprocessing as multiprocessing

from ascent.errors import AscentError
from ascent.losses import Embedded
from ascent.negatives.audit import audit_replacements
from ascent.pairs.table import Pair, pair_frame, write_pairs
from ascent.pairs.text import text_id
from ascent.settings.negatives import Dynamic
from ascent.training.dynamic_negatives import DynamicNegatives
from support.training_runs import finished, interrupted, lines_of, newest, weights_of

# query, positive, mined negatives, reserve
LISTS = [
    ("first", "one", ["a0", "a1"], ["r0", "r1", "r2"]),
    ("second", "two", ["b0"], ["s0"]),
    ("third", "three", ["c0"], []),
    ("fourth", "four", [], []),
]
MINING = {"model": "m", "per_query": 2, "reserve": 3, "dynamic": {"every_steps": 2}}
MINED = {"mining": MINING, "epochs": 2}


@pytest.fixture(scope="module")
def tokens_with(tokens_of, tmp_path_factory):
    """Tokenise pairs with mined negatives and reserves."""

    def _tokens_with(lists):
        folder = tmp_path_factory.mktemp("lists")
        write_pairs(folder / "pairs.parquet", pair_frame([Pair(q, p) for q, p, *_ in lists], "x", "eng-Latn"))
        keys = [{"query_id": text_id(q), "positive_id": text_id(p)} for q, p, *_ in lists]
        mined = [key | {"negatives": n, "reserve": r} for key, (_, _, n, r) in zip(keys, lists, strict=True)]
        schema = {"query_id": pl.String, "positive_id": pl.String} | dict.fromkeys(
            ("negatives", "reserve"), pl.List(pl.String)
        )
        pl.DataFrame(mined, schema=schema).write_parquet(folder / "negatives.parquet")
        return tokens_of(folder / "pairs.parquet", negatives=folder / "negatives.parquet")

    return _tokens_with


@pytest.fixture(scope="module")
def training_tokens(tokens_with, training_rows, corpus_rows):
    """What `run` trains with: 44 rows with two negatives and a reserve of three."""
    texts = [row["positive"] for row in corpus_rows]
    return tokens_with(
        [
            (row.query, row.positive, texts[100 + 5 * i % 200 :][:2], texts[102 + 5 * i % 200 :][:3])
            for i, row in enumerate(training_rows)
        ]
    )


def number(text: str) -> int:
    return int(text_id(text)[:15], 16)


def negatives_of(data, row: int) -> list[str]:
    """The negatives that a row has now, as a batch of it has them."""
    names = {number(text): text for *_, negatives, reserve in LISTS for text in (*negatives, *reserve)}
    batch = data.batch(np.array([row]), rank=0, world=1)
    assert len(batch.tokens) == 1 + len(batch.document_ids)
    return [names[int(text)] for text in batch.document_ids[1:]]


def step(data, rows: list[int], scores: list[float]) -> None:
    """A step on these rows whose negatives, one row's after another's, have these cosines with their queries."""
    rows = np.array(rows)
    batch = data.batch(rows, rank=0, world=1)
    documents = torch.tensor([[1.0, 0.0]] * len(rows) + [[s, (1 - s * s) ** 0.5] for s in scores]) * 3
    same = batch.tensors()
    local = Embedded(queries=torch.tensor([[2.0, 0.0]] * len(rows)), documents=documents, **same)
    watched = data.dynamic.watching(lambda local: local.queries.sum(1))
    assert watched(local).tolist() == [2.0] * len(rows)
    # An objective that is asked again in this step, with other embeddings, changes nothing.
    watched(Embedded(queries=local.queries, documents=-documents, **same))
    data.dynamic.saw(rows, batch)


def decode(tokens: np.ndarray, skip_special_tokens: bool) -> str:
    assert skip_special_tokens
    return str(tokens.tolist())


def counts(found: dict) -> list[int]:
    return [found[f"negatives_{name}"] for name in ("judged", "replaced", "exhausted")]


def test_replacements_follow_the_rule_in_a_case_worked_out_by_hand(tokens_with, data_of):
    data = data_of({"x": tokens_with(LISTS)}, **MINED)
    dynamic = data.dynamic
    assert [negatives_of(data, row) for row in range(4)] == [["a0", "a1"], ["b0"], ["c0"], []]
    assert [dynamic.due(step) for step in (1, 2, 3, 4)] == [False, True, False, True]
    step(data, [0, 1, 2, 3], [0.60, 0.70, 0.95, 0.50])
    step(data, [2, 3, 0, 1], [0.10, 0.52, 0.61, 0.82])
    found = dynamic.check(decode)
    # a0: 1.15 * .52 = .598 is below .60. a1: .7015 is not below .70. b0: .943 is below .95, but .82 is not below the
    # ceiling. c0 is easy, and the only one of its list.
    assert counts(found) == [4, 1, 1]
    assert [negatives_of(data, row) for row in range(4)] == [["r0", "a1"], ["b0"], ["c0"], []]
    (example,) = found["replacements"]
    assert (example["first_score"], example["score"]) == (0.6, 0.52)

    step(data, [0, 1], [0.50, 0.60, 0.79])
    step(data, [0], [0.44, 0.65])
    # a1 was easy (.69), but its last score is not (.7475). r0 is judged by its own first score (.506 to .50). b0:
    # .9085, .79.
    assert counts(dynamic.check(decode)) == [3, 1, 0]
    assert [negatives_of(data, row) for row in range(3)] == [["r0", "a1"], ["s0"], ["c0"]]

    step(data, [0], [-0.10, 0.60])
    assert counts(dynamic.check(decode)) == [2, 2, 0]  # both, and r1 is not given twice
    assert negatives_of(data, 0) == ["r1", "r2"]
    step(data, [0, 0], [0.30, -0.20, 0.31, -0.20])
    # r2: 1.15 * -.2 is below -.2, and the list is at its end.
    assert counts(dynamic.check(decode)) == [2, 0, 1]
    assert counts(dynamic.check(decode)) == [0, 0, 0]
    assert negatives_of(data, 0) == ["r1", "r2"]


@pytest.mark.slow
def test_the_tokens_hold_the_reserve_and_without_one_they_are_the_same(tokens_with, tokens_of, data_of):
    table = data_of({"x": tokens_with(LISTS)}, **MINED).tables[0]
    for row, (_, positive, negatives, reserve) in enumerate(LISTS):
        listed = [*table.documents_of(row), *table.reserve_of(row)]
        assert [int(table.text_ids[text]) for text in listed] == [
            number(text) for text in (positive, *negatives, *reserve)
        ]
    folder = tokens_of([Pair("a", "b", ("c",))])
    assert not (folder / "reserve.npy").exists()
    with pytest.raises(
        AscentError, match=r"tokens: has no reserve for mining\.dynamic; mine its negatives with mining\.reserve"
    ):
        data_of({"x": folder}, **MINED)


@pytest.mark.slow
def test_rows_that_are_not_mined_for_keep_their_own_negatives(tokens_with, tokens_of, data_of):
    tables = {"x": tokens_with(LISTS), "own": tokens_of([Pair("fifth", "five", ("c0",))])}
    data = data_of(tables, data={"x": {}, "own": {"mine": False}}, **MINED)
    for scores in ([0.60, 0.70, 0.9], [0.10, 0.69, 0.1]):
        step(data, [0, 4], scores)
    assert counts(data.dynamic.check(decode)) == [2, 1, 0]
    assert [negatives_of(data, row) for row in (0, 4)] == [["r0", "a1"], ["c0"]]


def test_a_state_is_taken_up(tokens_with, data_of):
    folder = tokens_with(LISTS)
    one, other = (data_of({"x": folder}, **MINED) for _ in range(2))
    step(one, [0, 1], [0.60, 0.70, 0.95])
    step(one, [0, 1], [0.50, 0.20, 0.10])
    one.dynamic.check(decode)
    step(one, [0, 1], [0.50, 0.20, 0.10])
    other.dynamic.restore({name: tensor.clone() for name, tensor in one.dynamic.state().items()})
    for data in (one, other):
        step(data, [0], [0.40, 0.1])
    found = [data.dynamic.check(decode) for data in (one, other)]
    assert counts(found[0]) == counts(found[1]) == [3, 1, 1]
    assert negatives_of(one, 0) == negatives_of(other, 0) != ["r0", "r1"]


# ---------------------------------------------------------------- at any number of processes


def measure(rank: int, world: int, store: str, tables, output: str) -> None:
    import torch.distributed as dist

    if world > 1:
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    dynamic = DynamicNegatives(tables, [True] * len(tables), Dynamic(every_steps=3))
    draw, found = np.random.default_rng(0), []
    for number in range(1, 13):
        rows = draw.integers(0, sum(map(len, tables)), size=9).astype(np.uint16)  # some twice
        scores = draw.uniform(-0.2, 1, size=(9, 2))
        numbers = np.arange(rank, 9, world)
        dynamic._scores = torch.from_numpy(scores[numbers].ravel())
        dynamic.saw(rows, type("Share", (), {"numbers": torch.from_numpy(numbers)}))
        if dynamic.due(number):
            found.append(counts(dynamic.check(decode)))
    torch.save((found, dynamic.state()), f"{output}-{rank}")
    if world > 1:
        dist.destroy_process_group()


@pytest.mark.usefixtures("warm_spawn")
@pytest.mark.parametrize("world", [2, 4])
def test_all_processes_come_to_the_choice_of_one(data_of, training_tokens, tmp_path, world):
    tables = data_of({"questions": training_tokens}, **MINED).tables
    measure(0, 1, "", tables, str(tmp_path / "one"))
    expected, state = torch.load(tmp_path / "one-0")
    assert sum(replaced for _, replaced, _ in expected) > 10
    arguments = (world, str(tmp_path / "store"), tables, str(tmp_path / "share"))
    multiprocessing.start_processes(measure, arguments, nprocs=world, start_method="spawn")
    for rank in range(world):
        found, other = torch.load(tmp_path / f"share-{rank}")
        assert found == expected
        assert all(torch.equal(other[name].nan_to_num(9), tensor.nan_to_num(9)) for name, tensor in state.items())


# ---------------------------------------------------------------- a whole run

STAGE = {"mining": MINING | {"dynamic": {"every_steps": 5, "decline": 1.05, "ceiling": 1.5}}, "epochs": 6, "dropout": 0}


def checks(folder) -> list[tuple]:
    return [(line["step"], *counts(line)) for line in lines_of(folder) if "negatives_judged" in line]


def cut_short(run, folder, number: signal.Signals, *, processes: int = 1, **settings) -> list[tuple]:
    """Cut a run short after 12 steps or more, go on with one process, and return its checks."""
    settings = STAGE | {"running": {"checkpoint_steps": 1, "loader_workers": 2}} | settings
    status = interrupted(run(folder.name, processes=processes, **settings), folder, number, after=12)
    assert status == (-number if number == signal.SIGKILL else 1)
    assert 12 <= newest(folder) < 33
    finished(run(folder.name, **settings), folder)
    assert "resuming from the checkpoint at step" in (folder / "log").read_text()
    return checks(folder)


def test_a_killed_run_replaces_what_the_unbroken_one_does(run, tmp_path):
    whole, killed = finished(run("whole", **STAGE), tmp_path / "whole"), tmp_path / "killed"
    found = checks(whole)
    assert [number for number, *_ in found] == [5, 10, 15, 20, 25, 30]
    assert found[0][1] == 80  # five batches of eight rows with two negatives, none seen twice
    assert sum(replaced for _, _, replaced, _ in found) > 5
    assert cut_short(run, killed, signal.SIGKILL) == found
    assert [line["loss"] for line in lines_of(killed)] == [line["loss"] for line in lines_of(whole)]
    assert weights_of(killed) == weights_of(whole)

    audits = [audit_replacements(path / "metrics.jsonl") for path in (killed, whole)]
    assert audits[0] == audits[1]
    assert [tuple(check.values()) for check in audits[0]["checks"]] == found
    assert audits[0]["replaced"] == sum(replaced for _, _, replaced, _ in found)
    for example in audits[0]["examples"]["replaced"]:
        assert example["query"].startswith("question : ") and example["negative"] != example["replaced_by"]
        assert 1.05 * example["score"] < example["first_score"] + 1e-3


@pytest.mark.nightly
def test_a_run_goes_on_with_another_number_of_processes(run, tmp_path):
    """From ZeRO's checkpoint, which is converted for it."""
    whole, changed = finished(run("whole", **STAGE), tmp_path / "whole"), tmp_path / "changed"
    assert cut_short(run, changed, signal.SIGTERM, processes=2, zero=1) == checks(whole)
    losses = [[line["loss"] for line in lines_of(path)] for path in (changed, whole)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
