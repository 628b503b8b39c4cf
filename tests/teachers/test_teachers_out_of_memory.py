"""Scores and embeddings of tables in parts, whatever the batches: against a teacher that is asked about each text by
itself, in loops and dictionaries over all rows."""

import numpy as np
import polars as pl
import pytest

from ascent.errors import AscentError
from ascent.negatives.rows import TrainingRows
from ascent.pairs import arrays, distinct, parquet
from ascent.pairs.table import Pair, pair_frame, write_pairs
from ascent.pairs.text import text_id
from ascent.settings.teachers import BiEncoderTeacher, CrossEncoderTeacher, Teaching
from ascent.teachers import scoring
from ascent.teachers.candidates import Distinct
from ascent.teachers.scoring import embed_with_teacher, score_with_teacher
from ascent.tokens.tokenise import tokenise_pairs
from support.pairs import write_in_parts
from support.small_recipe import make_model

WORDS = ["open", "file", "read", "line", "list", "string"]


@pytest.fixture
def batches_of(monkeypatch):
    """Call it with the rows of a batch, the numbers of a block, and the texts that a teacher reads at a time."""

    def _batches_of(rows: int, numbers: int, texts: int) -> None:
        monkeypatch.setattr(parquet, "BATCH", rows)
        for module in (arrays, distinct):
            monkeypatch.setattr(module, "BLOCK", numbers)
        monkeypatch.setattr(scoring, "CHUNK", texts)
        monkeypatch.setattr(scoring, "_MULTIPLIED", numbers)

    return _batches_of


@pytest.fixture(scope="module")
def rows():
    """60 rows of few texts, which are queries and documents many times, with up to three negatives."""
    draw = np.random.default_rng(1)

    def text() -> str:
        return " ".join(draw.choice(WORDS, size=draw.integers(1, 3)))

    found = [Pair(text(), text(), tuple(text() for _ in range(draw.integers(0, 4)))) for _ in range(50)]
    return found + found[10:20]


@pytest.fixture(scope="module")
def tables(rows, tmp_path_factory):
    """The rows in three files; each row's documents without mined negatives, and with those of a file."""
    folder = tmp_path_factory.mktemp("tables")
    frame = pair_frame(rows, "x", "eng-Latn")
    files = write_in_parts(folder, frame, 9, 38, 60)
    keys = frame.select("query_id", "positive_id").unique(maintain_order=True)
    mined = [[f"line {WORDS[(number + each) % 5]}" for each in range(number % 3)] for number in range(len(keys))]
    table = keys.with_columns(negatives=pl.Series(mined, dtype=pl.List(pl.String)))
    table[::-1].write_parquet(folder / "mined.parquet")
    lists = {(row["query_id"], row["positive_id"]): row["negatives"] for row in table.iter_rows(named=True)}
    own = [[row.positive, *row.negatives] for row in rows]
    others = [[row.positive, *lists[text_id(row.query), text_id(row.positive)]] for row in rows]
    return files, {None: own, folder / "mined.parquet": others}


class Teacher:
    """Embeds each text by numbers that are its own, and counts how often it is asked for it."""

    class model:
        dimension = 3

    def __init__(self):
        self.asked: list[tuple[str, str]] = []

    def encode(self, texts, *, side, task, progress):
        self.asked += [(side, text) for text in texts]
        return np.array([self.of(side, text) for text in texts], dtype=np.float32)

    def score(self, queries, documents, progress):
        self.asked += zip(queries, documents, strict=True)
        return np.array([self.together(*both) for both in zip(queries, documents, strict=True)], dtype=np.float32)

    @staticmethod
    def of(side: str, text: str) -> list[float]:
        return [len(text) / 7, sum(map(ord, text)) / 1000, float(side == "query") + text.count("l")]

    @staticmethod
    def together(query: str, document: str) -> float:
        return sum(map(ord, query)) / 100 - sum(map(ord, document)) / 300


@pytest.fixture
def teacher(monkeypatch):
    made = Teacher()
    monkeypatch.setattr(scoring.Encoder, "of_backbone", lambda *_: made)
    monkeypatch.setattr(scoring, "CrossEncoder", lambda *_, **__: made)
    return made


SIZES = [(10_000, 1 << 18, 100_000), (7, 5, 4), (1, 3, 1)]


@pytest.mark.parametrize("kind", ["bi-encoder", "cross-encoder"])
def test_scores_are_those_of_each_text_by_itself(rows, tables, teacher, batches_of, tmp_path, kind):
    files, documents = tables
    settings = BiEncoderTeacher if kind == "bi-encoder" else CrossEncoderTeacher
    teaching = Teaching(teacher=settings(model="t", type=kind, max_tokens=32), task="retrieval")
    for negatives, of_row in documents.items():
        written = set()
        for sizes in SIZES:
            batches_of(*sizes)
            teacher.asked.clear()
            told = score_with_teacher(teaching, tmp_path, files, negatives, tmp_path / "scores.parquet")
            table = pl.read_parquet(tmp_path / "scores.parquet")
            for row, own, found in zip(rows, of_row, table.iter_rows(named=True), strict=True):
                assert [found["query_id"], found["positive_id"]] == [text_id(row.query), text_id(row.positive)]
                assert found["negative_ids"] == [text_id(text) for text in own[1:]]
                expected = [
                    teacher.together(row.query, text)
                    if kind == "cross-encoder"
                    else np.dot(teacher.of("query", row.query), teacher.of("document", text))
                    for text in own
                ]
                np.testing.assert_allclose(found["scores"], expected, rtol=1e-5)
            both = [(row.query, text) for row, own in zip(rows, of_row, strict=True) for text in own]
            sides = [("query", query) for query, _ in both] + [("document", document) for _, document in both]
            assert teacher.asked == list(dict.fromkeys(both if kind == "cross-encoder" else sides))
            assert (told.rows, told.scores) == (60, len(both))
            assert [path.name for path in tmp_path.iterdir()] == ["scores.parquet"]
            written.add(table.write_json())
        assert len(written) == 1


def test_embeddings_are_those_of_each_text_once(rows, tables, teacher, batches_of, tmp_path):
    files, documents = tables
    teaching = Teaching(teacher=BiEncoderTeacher(model="t", type="bi-encoder", max_tokens=32), task="retrieval")
    for negatives, of_row in documents.items():
        sides = [("query", row.query) for row in rows] + [("document", text) for own in of_row for text in own]
        asked = list(dict.fromkeys(sides))
        np.save(tmp_path / "expected.npy", np.array([teacher.of(*one) for one in asked]).astype("f4").astype("f2"))
        for sizes in SIZES:
            batches_of(*sizes)
            teacher.asked.clear()
            shape = embed_with_teacher(teaching, tmp_path, files, negatives, tmp_path / "embeddings")
            assert shape == (len(asked), 3) and teacher.asked == asked
            assert sorted(path.name for path in (tmp_path / "embeddings").iterdir()) == ["embeddings.npy", "meta.json"]
            expected = (tmp_path / "expected.npy").read_bytes()
            assert (tmp_path / "embeddings" / "embeddings.npy").read_bytes() == expected


def test_batches_change_no_byte_of_the_tokens(
    tables, tiny_model, tiny_resource, training_contract, batches_of, tmp_path
):
    """Which take their scores and embeddings from teachers that are models."""
    files, _ = tables
    judge, made = make_model(tmp_path / "judge", labels=1), []
    ways = {
        "scores": (score_with_teacher, judge, CrossEncoderTeacher(model="t", type="cross-encoder", max_tokens=48)),
        "embeddings": (
            embed_with_teacher, tiny_resource, BiEncoderTeacher(model="t", type="bi-encoder", max_tokens=32)
        ),
    }  # fmt: skip
    for number, (of_rows, of_numbers, _) in enumerate(SIZES):
        batches_of(of_rows, of_numbers, 100_000)
        taught = {name: tmp_path / f"{name}-{number}" for name in ways}
        for name, (step, folder, teacher) in ways.items():
            step(Teaching(teacher=teacher, task="retrieval"), folder, files, None, taught[name])
        tokens = tmp_path / f"tokens-{number}"
        tokenise_pairs(tiny_model, training_contract.tokenising("retrieval"), files, None, tokens, **taught)
        made.append({file.name: file.read_bytes() for file in tokens.glob("*.npy")})
    assert {"teacher_scores.npy", "teacher_embeddings.npy"} < set(made[0])
    assert made[0] == made[1] == made[2]


def test_what_looks_alike_when_joined_is_told_apart(tmp_path):
    pairs = [Pair("a", "b c", ("bc",)), Pair("a b", "c"), Pair("1 a", "b"), Pair("1", "a b"), Pair("a", "b c")]
    write_pairs(tmp_path / "pairs.parquet", pair_frame(pairs, "x", "eng-Latn"))
    rows = TrainingRows(tmp_path / "pairs.parquet", None, tmp_path)
    both = Distinct(rows, ["query", "document"], tmp_path)
    assert both.places.tolist() == [0, 1, 2, 3, 4, 0]
    found = [row for chunk in both.chunks(2) for row in chunk.rows()]
    assert found == [("a", "b c"), ("a", "bc"), ("a b", "c"), ("1 a", "b"), ("1", "a b")]
    assert both.count == 5


def test_negatives_of_other_pairs_are_refused(tables, teacher, tmp_path):
    files, documents = tables
    teaching = Teaching(teacher=CrossEncoderTeacher(model="t", type="cross-encoder"), task="retrieval")
    _, mined = documents
    with pytest.raises(AscentError, match=r"mined\.parquet: was mined for other pairs than .*0\.parquet; mine again"):
        score_with_teacher(teaching, tmp_path, files[:1], mined, tmp_path / "scores.parquet")
    assert not list(tmp_path.iterdir())
