"""Embedding shards: every text once, whatever the cut; a damaged, missing or foreign shard is refused."""

import json

import numpy as np
import pytest

from ascent.errors import AscentError
from ascent.model.encoder import Encoder
from ascent.negatives.shards import encode_shard, open_shards, shard_name
from ascent.pairs.table import Pair, pair_frame, write_pairs
from ascent.pairs.text import text_id
from ascent.settings.model import Contract, Tokenising

TOKENISING = Tokenising(query_prompts=["q: "], document_prompts=[""], max_tokens=32)


class LengthEncoder:
    """Stands in for a model: a text's embedding is its length, whether its prompt is the queries', and its first
    letter."""

    def __init__(self, digest: str = "weights", contract: Contract | None = None):
        self.digest, self.contract = digest, contract or Contract()

    def encode_with(self, prompts, texts, *, longest, progress):
        rows = [
            [len(text), float(prompt == "q: "), float(ord(text[0]))]
            for prompt, text in zip(prompts, texts, strict=True)
        ]
        return np.array(rows, dtype=np.float32).reshape(-1, 3)


@pytest.fixture
def pairs(tmp_path):
    """Seven rows; the first query has two positives, and two queries share one."""
    rows = [Pair(f"{'abcdef'[i]}?{'x' * i}", f"{'ghijkl'[i]}!{'y' * i}") for i in range(6)]
    rows.append(Pair("a?", "l!yyyyy"))
    frame = pair_frame(rows, "questions", "eng-Latn")
    write_pairs(tmp_path / "pairs.parquet", frame)
    return tmp_path / "pairs.parquet", frame


def encode(path, folder, count, encoder=None, settings=TOKENISING):
    for index in range(count):
        encode_shard(encoder or LengthEncoder(), path, settings, index, count, folder)
    return open_shards(folder, count)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 4, 9])
def test_every_text_is_embedded_once_whatever_the_cut(pairs, tmp_path, count):
    path, frame = pairs
    shards = encode(path, tmp_path / "shards", count)
    for side, id_column, text_column in (("queries", "query_id", "query"), ("documents", "positive_id", "positive")):
        texts = dict(frame.select(id_column, text_column).iter_rows())
        found = [(id.decode(), row) for ids, rows in shards.parts(side) for id, row in zip(ids, rows, strict=True)]
        assert [id for id, _ in found] == sorted(texts)
        for id, row in found:
            assert row.tolist() == [len(texts[id]), float(side == "queries"), ord(texts[id][0])]
        sizes = [len(ids) for ids, _ in shards.parts(side)]
        assert max(sizes) - min(sizes) <= 1
    assert shards.weights_digest == "weights"


class PromptEncoder(LengthEncoder):
    """Stands in for a model: an embedding tells the prompt and the text by their hashes."""

    def encode_with(self, prompts, texts, *, longest, progress):
        return np.array([[number_of(prompt), number_of(text)] for prompt, text in zip(prompts, texts, strict=True)])


def number_of(text: str) -> np.float32:
    return np.float32(int(text_id(text)[:5], 16))


@pytest.mark.slow
def test_parts_are_read_batch_by_batch_and_a_text_has_the_prompt_of_its_first_row(tmp_path):
    """Rows draw prompts by their place in the whole table, or have their own; parts may be empty, or a text in many."""
    draw, settings = np.random.default_rng(0), TOKENISING.model_copy(update={"query_prompts": ["a", "b"], "seed": 3})
    files, rows = [], []
    for part, size in enumerate((40, 0, 25)):
        own = [
            Pair(f"q {draw.integers(30)}", f"d {draw.integers(20)}", query_prompt=draw.choice([None, "own "]))
            for _ in range(size)
        ]
        write_pairs(tmp_path / f"{part}.parquet", pair_frame(own, "x", "eng-Latn"))
        files, rows = [*files, tmp_path / f"{part}.parquet"], rows + own
    prompt = iter(np.random.default_rng(3).random(len(rows)))
    first: dict[str, str] = {}
    prompts: dict[str, set[str]] = {}
    for row in rows:
        drawn = ["a", "b"][int(next(prompt) * 2)]
        prompts.setdefault(row.query, set()).add(row.query_prompt or drawn)
        first.setdefault(row.query, row.query_prompt or drawn)
    several = encode_shard(PromptEncoder(), files, settings, 0, 3, tmp_path / "shards")
    assert several == {"query": sum(len(found) - 1 for found in prompts.values()), "document": 0}
    assert several["query"] > 5
    for index in (1, 2):
        encode_shard(PromptEncoder(), files, settings, index, 3, tmp_path / "shards")
    found = np.concatenate([vectors for _, vectors in open_shards(tmp_path / "shards", 3).parts("queries")])
    ordered = sorted(first, key=text_id)
    assert found.tolist() == [[number_of(first[text]), number_of(text)] for text in ordered]


@pytest.mark.slow
def test_shards_are_those_of_the_model(tiny_model, pairs, tmp_path):
    path, frame = pairs
    encoder = Encoder(tiny_model, precision="float32")
    shards = encode(path, tmp_path / "shards", 2, encoder, encoder.contract.tokenising("retrieval"))
    texts = dict(frame.select("query_id", "query").iter_rows())
    for ids, rows in shards.parts("queries"):
        expected = encoder.encode([texts[id.decode()] for id in ids], side="query", task="retrieval")
        np.testing.assert_allclose(rows, expected, atol=1e-6)
    assert shards.weights_digest == json.loads((tiny_model / "ascent.json").read_text())["weights_digest"]


@pytest.mark.slow
def test_the_same_pairs_are_the_same_bytes(pairs, tmp_path):
    for name in "ab":
        encode(pairs[0], tmp_path / name, 2)
    names = sorted(file.name for file in (tmp_path / "a").iterdir())
    assert len(names) == 2 * 5
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".npy", ".ids.npy"])
def test_a_truncated_shard_is_refused(pairs, tmp_path, suffix):
    folder = tmp_path / "shards"
    encode(pairs[0], folder, 2)
    file = folder / f"{shard_name('documents', 1, 2)}{suffix}"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(
        AscentError, match=f"^{file}: the shard is missing, truncated or changed; delete {folder} and re-run"
    ):
        open_shards(folder, 2)


@pytest.mark.slow
def test_a_missing_shard_is_refused(pairs, tmp_path):
    folder = tmp_path / "shards"
    encode(pairs[0], folder, 2)
    (folder / f"{shard_name('queries', 0, 2)}.npy").unlink()
    with pytest.raises(
        AscentError, match=r"queries-00000-of-00002\.npy: the shard is missing, truncated or changed; delete"
    ):
        open_shards(folder, 2)
    (folder / "fingerprint-00001-of-00002.json").unlink()
    encode_shard(LengthEncoder(), pairs[0], TOKENISING, 0, 2, folder)
    with pytest.raises(AscentError, match=r"fingerprint-00001-of-00002\.json: no such file"):
        open_shards(folder, 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("other", "settings"),
    [
        (LengthEncoder("other weights"), TOKENISING),
        (LengthEncoder(contract=Contract(prompts={"query": {"default": "q: "}})), TOKENISING),
        (LengthEncoder(), TOKENISING.model_copy(update={"query_prompts": ["other: "]})),
    ],
)
def test_shards_of_two_kinds_are_refused(pairs, tmp_path, other, settings):
    folder = tmp_path / "shards"
    encode(pairs[0], folder, 2)
    encode_shard(other, pairs[0], settings, 1, 2, folder)
    message = (
        f"^{folder}: shards of 2 kinds lie here .*differ in model, prompts or lengths.*; delete the folder and re-run"
    )
    with pytest.raises(AscentError, match=message):
        open_shards(folder, 2)
