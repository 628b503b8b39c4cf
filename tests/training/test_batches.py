"""What a batch holds, at any number of processes and loader workers, from any step on."""

import json
import math
import os
import pickle
import shutil
import signal
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from transformers import AutoTokenizer

from ascent.errors import AscentError
from ascent.losses import Embedded
from ascent.losses.infonce import infonce
from ascent.model.contract import tokenizer_digest
from ascent.pairs.table import Pair
from ascent.pairs.text import text_id
from ascent.settings.model import Contract
from ascent.training.data import Batch, check_shares
from ascent.training.loader import Loader
from ascent.training.schedule import Schedule, dealt

BATCH = 8
# Three data sets of 44, 20 and 31 rows; the first two share queries, the last is of another type.
DATA = {"questions": {"loss_weight": 2}, "others": {}, "classes": {"objective": {"infonce": {}, "cosent": {}}}}
TASKS = {"classes": "classification"}
SETTINGS = {
    "mixed": {},
    "temperature": {"sampling_temperature": 4, "epochs": 1.3},
    "by data set": {"batching": "by_dataset"},
    "balanced": {"batching": "balanced", "epochs": 1.3},
    "all": {"batching": "by_dataset", "bucket_batches": 3, "batch_tokens": 800, "epochs": 2},
}
each = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)


def number(text: str) -> int:
    return int(text_id(text)[:15], 16)


@pytest.fixture(scope="module")
def rows(training_rows, corpus_rows):
    others = [Pair(row.query, corpus_rows[100 + index]["positive"]) for index, row in enumerate(training_rows[:10])]
    others += [Pair(row["query"], row["positive"], (row["positive"][::-1],) * 2) for row in corpus_rows[60:70]]
    classes = [
        Pair(row["positive"], row["module"], ("another module",), label=index / 3, task="classification")
        for index, row in enumerate(corpus_rows[:31])
    ]
    return {"questions": training_rows, "others": others, "classes": classes}


@pytest.fixture(scope="module")
def folders(rows, tokens_of):
    return {name: tokens_of(found, task=TASKS.get(name, "retrieval")) for name, found in rows.items()}


@pytest.fixture(scope="module")
def mixture(folders, data_of):
    """The three data sets as a stage's, with some settings."""
    return lambda **settings: data_of(folders, tasks=TASKS, data=DATA, **settings)


def same(one: Batch, other: Batch) -> bool:
    assert one.tokens and [row.tolist() for row in one.tokens] == [row.tolist() for row in other.tokens]
    assert (one.rows, one.global_rows) == (other.rows, other.global_rows)
    for name in (
        "numbers",
        "row_of_document",
        "document_ids",
        "answers",
        "dataset_index",
        "groups",
        "labels",
        "weights",
    ):
        found, expected = getattr(one, name), getattr(other, name)
        assert found.dtype == expected.dtype
        assert torch.equal(found.nan_to_num(-7), expected.nan_to_num(-7)), name
    return True


def shares(data, schedule, step: int, world: int) -> list[Batch]:
    return [data.batch(schedule[step], rank=rank, world=world) for rank in range(world)]


# ---------------------------------------------------------------- what it holds


@pytest.mark.slow
def test_a_batch_is_what_its_rows_say(rows, mixture, tiny_model, training_contract):
    """Every field against the rows themselves, by loops over them and transformers' tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    data = mixture(epochs=0.7)
    table = [(source, row) for source, name in enumerate(DATA) for row in rows[name]]
    answers = {}
    for _, row in table:
        answers.setdefault(row.query, {number(row.query)}).add(number(row.positive))
    widths = set()
    schedule = data.schedule()
    assert sum(len(schedule[step]) for step in range(len(schedule))) == 67
    for step in range(len(schedule)):
        most = max(len(answers[table[row][1].query]) for row in schedule[step])
        widths.add(most)
        for rank, batch in enumerate(shares(data, schedule, step, 2)):
            numbers = batch.numbers.tolist()
            assert numbers == dealt(data._row_tokens(schedule[step]), rank, 2).tolist()
            own = [table[schedule[step][place]] for place in numbers]
            documents = [(index, row.positive) for index, (_, row) in enumerate(own)]
            documents += [(index, text) for index, (_, row) in enumerate(own) for text in row.negatives]
            prompts = [
                training_contract.prompt("query", TASKS.get(list(DATA)[source], "retrieval")) for source, _ in own
            ]
            assert set(prompts) <= {"question: ", ""}
            texts = [prompt + row.query for prompt, (_, row) in zip(prompts, own, strict=True)] + [
                text for _, text in documents
            ]
            assert [row.tolist() for row in batch.tokens] == tokenizer(texts, truncation=True, max_length=32)[
                "input_ids"
            ]
            assert (batch.rows, batch.global_rows) == (len(own), len(schedule[step]))
            assert batch.numbers.tolist() == numbers
            assert batch.row_of_document.tolist() == [index for index, _ in documents]
            assert batch.document_ids.tolist() == [number(text) for _, text in documents]
            assert batch.dataset_index.tolist() == [source for source, _ in own]
            assert batch.groups.tolist() == [
                1 + place if source == 2 else 0 for place, (source, _) in zip(numbers, own, strict=True)
            ]
            assert batch.weights.tolist() == [2 if source == 0 else 1 for source, _ in own]
            labels = [-1 if row.label is None else np.float32(row.label) for _, row in own]
            assert batch.labels.nan_to_num(-1).tolist() == labels
            assert batch.answers.shape == (len(own), most)
            for found, (_, row) in zip(batch.answers.tolist(), own, strict=True):
                assert {text for text in found if text != -1} == answers[row.query]
                assert len(found) - found.count(-1) == len(answers[row.query])
            kinds = {"numbers", "row_of_document", "document_ids", "answers", "dataset_index", "groups"}
            assert {getattr(batch, name).dtype for name in kinds} == {torch.int64}
            assert batch.labels.dtype == batch.weights.dtype == torch.float32
    assert widths == {2, 3}


def test_the_loss_of_a_balanced_batch_is_the_sum_of_its_data_sets_means(mixture):
    data = mixture(**SETTINGS["balanced"])
    schedule = data.schedule()
    draw = np.random.default_rng(0)
    for step in range(len(schedule)):
        for world in (1, 2, 4):
            found = shares(data, schedule, step, world)
            losses = draw.random(len(schedule[step]))
            weighted = sum(float(b.weights.double() @ torch.from_numpy(losses[b.numbers])) for b in found) / len(losses)
            places = {s: np.concatenate([b.numbers[b.dataset_index == s] for b in found]) for s in range(3)}
            expected = sum(factor * losses[places[s]].mean() for s, factor in enumerate((2, 1, 1)))
            assert weighted == pytest.approx(expected)


@pytest.mark.parametrize("alone", [True, False])
def test_in_batch_negatives_are_as_the_recipe_says(folders, data_of, alone):
    uses = {"questions": {"in_batch": not alone}, "classes": DATA["classes"] | {"in_batch": not alone}}
    data = data_of(folders, tasks=TASKS, data=uses)
    batch = data.batch(data.schedule()[0], rank=1, world=2)
    assert batch.groups.tolist() == ([1 + number for number in batch.numbers.tolist()] if alone else [0] * 4)


def test_all_answers_of_a_query_are_known_to_each_of_its_rows(tokens_of, data_of):
    rows = [Pair("a", "first"), Pair("b", "other"), Pair("a", "second")]
    data = data_of({"x": tokens_of(rows)})
    first, other, second = (number(row.positive) for row in rows)
    a, b = map(number, "ab")
    expected = [[a, first, second], [b, other, -1], [a, first, second]]
    assert data.batch(np.arange(3), rank=0, world=1).answers.tolist() == expected


@pytest.mark.slow
def test_an_answer_that_two_data_sets_know_is_known_once(tokens_of, data_of):
    one = [Pair("a", "first"), Pair("b", "other")]
    two = [Pair("a", "first"), Pair("a", "third"), Pair("c", "other"), Pair("b", "other")]
    data = data_of({"x": tokens_of(one), "y": tokens_of(two)})
    first, other, third = map(number, ("first", "other", "third"))
    a, b, c = (
        [number(query), *known] for query, known in (("a", [first, third]), ("b", [other, -1]), ("c", [other, -1]))
    )
    expected = [a, b, a, a, c, b]
    assert data.batch(np.arange(6), rank=0, world=1).answers.tolist() == expected


@pytest.mark.parametrize(
    "settings", [{}, {"symmetric": True}, {"terms": ("query-query", "document-query", "document-document")}]
)
def test_a_query_is_no_negative_of_itself(tokens_of, data_of, settings):
    """Duplicate questions in both directions, as Quora has them: the loss against loops over the texts."""
    rows = [Pair("a", "b"), Pair("b", "a"), Pair("c", "d", ("c", "a")), Pair("d", "c"), Pair("e", "e", ("f",))]
    batch = data_of({"x": tokens_of(rows)}).batch(np.arange(5), rank=0, world=1)
    draw = np.random.default_rng(0)
    vectors = {text: torch.from_numpy(draw.standard_normal(6)) for text in "abcdef"}
    vectors = {text: vector / vector.norm() for text, vector in vectors.items()}
    documents = [row.positive for row in rows] + [text for row in rows for text in row.negatives]
    embedded = Embedded(
        queries=torch.stack([vectors[row.query] for row in rows]),
        documents=torch.stack([vectors[text] for text in documents]),
        **batch.tensors(),
    )
    known = {row.query: {row.query, row.positive} for row in rows}

    def score(one: str, other: str) -> float:
        return float(torch.exp(vectors[one] @ vectors[other] / 0.1))

    for row, found in zip(rows, infonce(embedded, temperature=0.1, **settings).tolist(), strict=True):
        own = score(row.query, row.positive)
        others = [text for text in documents if text not in known[row.query]]
        askers = [other.query for other in rows if row.positive not in known[other.query]]
        rivals = [other.query for other in rows if not known[other.query] & known[row.query]]
        sums = {"query-document": own + sum(score(row.query, text) for text in others)}
        sums["query-query"] = sum(score(row.query, query) for query in rivals)
        sums["document-query"] = own + sum(score(row.positive, query) for query in askers)
        # A document is left out where it, or the positive that its row has, answers the query.
        owners = [*range(len(rows)), *(place for place, other in enumerate(rows) for _ in other.negatives)]
        apart = [
            text for text, owner in zip(documents, owners, strict=True) if rows[owner].positive not in known[row.query]
        ]
        sums["document-document"] = sum(score(row.positive, text) for text in apart if text not in known[row.query])
        expected = math.log(sum(sums[term] for term in ("query-document", *settings.get("terms", ()))) / own)
        if "symmetric" in settings:
            expected = (expected + math.log(sums["document-query"] / own)) / 2
        assert found == pytest.approx(expected, abs=1e-9)


# ---------------------------------------------------------------- at any number of processes


@each
@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_the_same_batches(mixture, settings, world):
    data = mixture(**settings)
    schedule = data.schedule()
    check_shares(schedule, world, data.settings)
    for step in range(len(schedule)):
        (whole,) = shares(data, schedule, step, 1)
        found = shares(data, schedule, step, world)
        assert max(share.rows for share in found) - min(share.rows for share in found) <= 1
        assert sum(share.rows for share in found) == whole.rows == found[0].global_rows
        order = torch.cat([share.numbers for share in found]).argsort()
        for name in ("numbers", "answers", "dataset_index", "groups", "labels", "weights"):
            together = torch.cat([getattr(share, name) for share in found])[order]
            assert torch.equal(together.nan_to_num(-7), getattr(whole, name).nan_to_num(-7)), name
        tokens = [int(share.tokens.lengths.sum()) for share in found]
        assert max(tokens) - min(tokens) <= data._row_tokens(schedule[step]).max()
        # Each row has the same query and the same documents, whoever holds it.
        assert texts_of(*found) == texts_of(whole)


def texts_of(*found: Batch) -> dict:
    texts = {}
    for batch in found:
        for row, place in enumerate(batch.numbers.tolist()):
            owned = (batch.row_of_document == row).nonzero()[:, 0].tolist()
            tokens = [batch.tokens[index].tolist() for index in (row, *(batch.rows + document for document in owned))]
            texts[place] = (tokens, batch.document_ids[owned].tolist())
    return texts


def test_a_batch_too_small_for_the_processes_is_refused(training_tokens, data_of):
    data = data_of({"questions": training_tokens})
    check_shares(data.schedule(), 4, data.settings)  # 44 rows: the last two batches have six each
    with pytest.raises(
        AscentError, match=r"^recipe r, stages\.s\.batch_size: a batch of 6 rows cannot be shared by 8 processes"
    ):
        check_shares(data.schedule(), 8, data.settings)
    data = data_of({"questions": training_tokens}, batch_tokens=100)
    with pytest.raises(
        AscentError, match=r"stages\.s\.batch_tokens: a batch of \d rows cannot be shared by 8 processes"
    ):
        check_shares(data.schedule(), 8, data.settings)


# ---------------------------------------------------------------- read ahead


def load(data, *, start: int = 0, workers: int = 0, rank: int = 0, world: int = 1) -> list[Batch]:
    return list(Loader(data, data.schedule(), start=start, rank=rank, world=world, workers=workers, pin=False))


@pytest.mark.usefixtures("warm_spawn")
def test_workers_change_nothing_from_any_step_on(mixture):
    data = mixture(**SETTINGS["all"])
    schedule = data.schedule()
    for start, world in ((0, 1), (5, 2)):
        expected = [data.batch(schedule[step], rank=world - 1, world=world) for step in range(start, len(schedule))]
        for workers in (0, 2):
            found = load(data, start=start, workers=workers, rank=world - 1, world=world)
            assert len(found) == len(expected) > 10
            assert all(same(one, other) for one, other in zip(found, expected, strict=True))


def test_a_worker_is_sent_no_rows_but_a_batch_s(mixture):
    assert len(pickle.dumps(mixture())) < 5000
    assert same(pickle.loads(pickle.dumps(mixture())).batch(np.arange(4), rank=0, world=1), load_first(mixture()))


def load_first(data) -> Batch:
    return data.batch(np.arange(4), rank=0, world=1)


def test_reading_ahead_leaves_the_random_numbers_of_training_alone(mixture):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load(mixture())
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.slow
def test_signals_that_end_a_run_do_not_end_its_workers_and_a_lost_worker_is_one_sentence(mixture):
    data = mixture(epochs=20)
    handler = signal.getsignal(signal.SIGCHLD)
    loader = Loader(data, data.schedule(), start=0, rank=0, world=1, workers=1, pin=False)
    assert signal.getsignal(signal.SIGCHLD) == handler
    (worker,) = active_children()
    for ending in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        os.kill(worker.pid, ending)
    for _ in range(10):
        next(loader)
    assert psutil.Process(worker.pid).is_running() and worker.is_alive()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) & {signal.SIGTERM, signal.SIGUSR1} == set()
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(
        AscentError, match=r"^a batch could not be read \(.+\); give the job more memory, or set running"
    ) as error:
        for _ in loader:
            pass
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("warm_spawn")
def test_an_error_in_a_worker_is_one_sentence(mixture):
    data = mixture()
    schedule = Schedule(np.full(1, 8), lambda step: np.full(8, 200))  # there are 95
    loader = Loader(data, schedule, start=0, rank=0, world=1, workers=1, pin=False)
    with pytest.raises(AscentError, match=r"^a batch could not be read \(.*out of") as error:
        next(loader)
    assert "\n" not in str(error.value)


# ---------------------------------------------------------------- tokens that do not fit the stage


def test_tokens_of_another_contract_are_refused(folders, data_of):
    for contract, message in (
        (
            Contract(max_tokens=16, prompts={"query": {"retrieval": "question: "}}),
            "max_tokens = 32, but the stage has 16",
        ),
        (Contract(max_tokens=32), r"query_prompts = \['question: '\], but the stage has \[''\]"),
    ):
        with pytest.raises(
            AscentError, match=f"{folders['questions']}: tokens made with {message}; remove the folder and"
        ):
            data_of({"questions": folders["questions"]}, contract=contract)


def test_tokens_of_another_tokenizer_are_refused(folders, data_of, tiny_model, tmp_path):
    assert tokenizer_digest(AutoTokenizer.from_pretrained(tiny_model)) == meta_of(folders["others"])["tokenizer_digest"]
    folder = shutil.copytree(folders["others"], tmp_path / "tokens")
    (folder / "meta.json").write_text(json.dumps(meta_of(folder) | {"tokenizer_digest": "0" * 64}))
    with pytest.raises(AscentError, match=f"{folder}: tokens of another tokenizer than the model's; remove the folder"):
        data_of({"others": folder})


def meta_of(folder: Path) -> dict:
    return json.loads((folder / "meta.json").read_text())
