"""What is read and written a block at a time: against dictionaries over all rows, and the same bytes for any block."""

import numpy as np
import polars as pl
import pytest

from ascent.errors import AscentError
from ascent.negatives.mined import in_order_of
from ascent.pairs import arrays, distinct, parquet
from ascent.pairs.arrays import Offsets, blocks, growing, mapped
from ascent.pairs.distinct import count_distinct, new_texts, number_texts, writing_keys
from ascent.pairs.table import Pair, pair_frame, write_pairs
from ascent.pairs.text import text_id
from ascent.settings.model import Tokenising
from ascent.tokens.table import TokenisedPairs
from ascent.tokens.tokenise import tokenise_pairs
from support.pairs import write_in_parts

WORDS = ["open", "file", "read", "line", "list", "string", "what", "does", "how", "of"]


@pytest.fixture
def small_blocks(monkeypatch):
    """Call it, and batches have seven rows, blocks five numbers."""

    def _small_blocks() -> None:
        monkeypatch.setattr(parquet, "BATCH", 7)
        for module in (arrays, distinct):
            monkeypatch.setattr(module, "BLOCK", 5)

    return _small_blocks


def test_an_array_that_grows_has_the_bytes_of_numpy_s(tmp_path):
    for dtype in ("<i4", "<i8", "<f4"):
        for length in (0, 1, 1000):
            expected = np.arange(length).astype(dtype)
            with growing(tmp_path / "grown.npy", dtype) as array:
                for start in range(0, length, 300):
                    array.add(np.arange(start, min(start + 300, length)))
            assert array.length == length
            np.save(tmp_path / "saved.npy", expected)
            assert (tmp_path / "grown.npy").read_bytes() == (tmp_path / "saved.npy").read_bytes()


def test_offsets_are_sums_from_zero(tmp_path):
    counts = [[3, 0, 2], [], [5]]
    with growing(tmp_path / "offsets.npy", "<i8") as array:
        offsets = Offsets(array)
        for part in counts:
            offsets.add(np.array(part, dtype=np.int64))
    assert mapped(tmp_path / "offsets.npy").tolist() == [0, 3, 3, 5, 10]


def test_blocks_cover_an_array(small_blocks):
    small_blocks()
    assert [(block.start, block.stop) for block in blocks(12)] == [(0, 5), (5, 10), (10, 12)]
    assert list(blocks(0)) == []


@pytest.mark.parametrize("different", [1, 3, 40, 1000])
def test_texts_are_numbered_by_first_occurrence(tmp_path, small_blocks, different):
    small_blocks()
    draw = np.random.default_rng(different)
    texts = [[f"text {number}" for number in draw.integers(different, size=size)] for size in (23, 1, 60)]
    for number, part in enumerate(texts):
        with writing_keys(tmp_path / f"{number}.parquet") as add:
            add(part[:10])
            add(part[10:])
    places = number_texts([tmp_path / f"{number}.parquet" for number in range(3)], tmp_path)
    known: dict[str, int] = {}
    expected = [known.setdefault(text, len(known)) for part in texts for text in part]
    assert places.tolist() == expected
    new = np.concatenate([new_texts(places[:30], 0), new_texts(places[30:], len(set(expected[:30])))])
    assert new.tolist() == [expected.index(place) == at for at, place in enumerate(expected)]
    assert count_distinct(tmp_path / "2.parquet", "high", tmp_path) == len(set(texts[2]))


@pytest.fixture(scope="module")
def rows():
    """60 rows with repeated texts and pairs, texts of both sides, prompts of their own, and up to three negatives."""
    draw = np.random.default_rng(0)

    def text() -> str:
        return " ".join(draw.choice(WORDS, size=draw.integers(1, 3)))

    found = [
        Pair(
            text(),
            text(),
            tuple(text() for _ in range(draw.integers(0, 4))),
            label=float(draw.random()) if draw.random() < 0.5 else None,
            query_prompt="find: " if draw.random() < 0.3 else None,
            document_prompt="this: " if draw.random() < 0.3 else None,
        )
        for _ in range(50)
    ]
    return found + found[10:20]


@pytest.fixture(scope="module")
def tables(rows, tmp_path_factory):
    """The rows in three files, and mined negatives with a reserve for each of their pairs, in another order."""
    folder = tmp_path_factory.mktemp("tables")
    frame = pair_frame(rows, "x", "eng-Latn")
    files = write_in_parts(folder, frame, 9, 38, 60)
    keys = frame.select("query_id", "positive_id").unique(maintain_order=True)
    mined = [
        ([f"mined {WORDS[number % 7]}"] * (number % 3), [WORDS[(number + each) % 5] for each in range(number % 4)])
        for number in range(len(keys))
    ]
    negatives, reserve = (pl.Series(each, dtype=pl.List(pl.String)) for each in zip(*mined, strict=True))
    table = keys.with_columns(negatives=negatives, reserve=reserve)
    table[::-1].write_parquet(folder / "mined.parquet")
    return files, folder / "mined.parquet", table


SETTINGS = Tokenising(
    query_prompts=["question: ", "ask: "], document_prompts=["", "text: "], seed=3, max_tokens=32, pool_prompt=False
)


@pytest.mark.slow
def test_places_and_answers_are_those_of_dictionaries_over_all_rows(rows, tables, tiny_model, tmp_path, small_blocks):
    files, mined, table = tables
    small_blocks()
    meta = tokenise_pairs(tiny_model, SETTINGS, files, mined, tmp_path / "tokens")
    found = TokenisedPairs(tmp_path / "tokens")
    draws = (np.random.default_rng(3).random(len(rows)) * 2).astype(int)
    lists = {(row["query_id"], row["positive_id"]): row for row in table.iter_rows(named=True)}
    queries: dict[tuple, int] = {}
    documents: dict[tuple, int] = {}
    answers: dict[str, dict[str, None]] = {}
    expected = {"queries": [], "documents": [], "reserve": []}
    for place in expected:
        for row, draw in zip(rows, draws, strict=True):
            asked = row.query_prompt or SETTINGS.query_prompts[draw]
            told = row.document_prompt or SETTINGS.document_prompts[draw]
            own = lists[text_id(row.query), text_id(row.positive)]
            if place == "queries":
                expected[place].append(queries.setdefault((asked, row.query), len(queries)))
                answers.setdefault(row.query, {})[row.positive] = None
                continue
            texts = [row.positive, *own["negatives"]] if place == "documents" else own["reserve"]
            expected[place].append([documents.setdefault((told, text), len(documents)) for text in texts])
    assert found.queries.tolist() == expected["queries"]
    assert meta["texts"] == {"query": len(queries), "document": len(documents)}
    for row in range(len(rows)):
        assert found.documents_of(row) == [len(queries) + place for place in expected["documents"][row]]
        assert found.reserve_of(row) == [len(queries) + place for place in expected["reserve"][row]]
    ids = [int(text_id(text)[:15], 16) for _, text in [*queries, *documents]]
    assert found.text_ids.tolist() == ids
    known = {
        int(text_id(query)[:15], 16): [int(text_id(text)[:15], 16) for text in own] for query, own in answers.items()
    }
    assert found.asked.tolist() == sorted(known)
    starts = found.answer_offsets.tolist()
    for number, query in enumerate(sorted(known)):
        assert found.answers[starts[number] : starts[number + 1]].tolist() == known[query]
    prompts = list(dict.fromkeys(prompt for prompt, _ in queries))
    assert meta["prompts"]["query"] == prompts and len(prompts) == 3


@pytest.mark.slow
@pytest.mark.parametrize("mine", [False, True])
def test_batches_and_blocks_change_no_byte(tables, tiny_model, tmp_path, small_blocks, mine):
    files, mined, _ = tables
    one, two = tmp_path / "one", tmp_path / "two"
    tokenise_pairs(tiny_model, SETTINGS, files, mined if mine else None, one)
    small_blocks()
    tokenise_pairs(tiny_model, SETTINGS, files, mined if mine else None, two)
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in two.iterdir())
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


def test_negatives_in_the_pairs_order_are_read_where_they_are(tmp_path):
    pairs = [Pair(f"query {number}", f"positive {number}") for number in range(5)]
    frame = pair_frame(pairs, "x", "eng-Latn")
    write_pairs(tmp_path / "one.parquet", frame[:2])
    write_pairs(tmp_path / "two.parquet", frame[2:])
    files = [tmp_path / "one.parquet", tmp_path / "two.parquet"]
    mined = frame.select("query_id", "positive_id", negatives=pl.concat_list("query"))
    mined.write_parquet(tmp_path / "mined.parquet")
    assert in_order_of(files, tmp_path / "mined.parquet", tmp_path) == tmp_path / "mined.parquet"
    mined[::-1].write_parquet(tmp_path / "mined.parquet")
    made = in_order_of(files, tmp_path / "mined.parquet", tmp_path)
    assert pl.read_parquet(made)["negatives"].to_list() == [[pair.query] for pair in pairs]
    for others in (mined[:-1], pl.concat([mined, mined[:1]]), mined.with_columns(query_id=pl.lit("other"))):
        others.write_parquet(tmp_path / "mined.parquet")
        with pytest.raises(AscentError, match=r"mined\.parquet: was mined for other pairs than .* 1 more parts; mine"):
            in_order_of(files, tmp_path / "mined.parquet", tmp_path)


def test_facts_about_all_rows_are_found_block_by_block(rows, tables, tiny_model, tmp_path, small_blocks):
    files, _, _ = tables
    tokenise_pairs(tiny_model, SETTINGS, files, None, tmp_path / "tokens")
    table = TokenisedPairs(tmp_path / "tokens")
    small_blocks()
    assert table.most_documents == 1 + max(len(row.negatives) for row in rows) == 4
    assert table.first_row(np.isnan) == [row.label for row in rows].index(None)
    assert table.first_row(lambda labels: labels > 1) is None
    assert table.graded
    for row in (0, 7, 59):
        assert table.positives(slice(row, row + 1)).tolist() == table.documents_of(row)[:1]
    asked = table.asked[::3]
    assert (
        table.knows(np.concatenate([asked, asked + 1])).tolist()
        == np.isin(np.concatenate([asked, asked + 1]), table.asked).tolist()
    )


def test_every_array_is_mapped_and_not_read(training_tokens):
    table = TokenisedPairs(training_tokens)
    found = {name: array for name, array in vars(table).items() if isinstance(array, np.ndarray)}
    assert {"tokens", "offsets", "documents", "row_tokens", "labels", "asked", "answers"} <= set(found)
    for name, array in found.items():
        assert isinstance(array.base, np.memmap) and not array.flags.owndata, name
