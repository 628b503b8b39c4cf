"""Documents of corpora that negatives are mined among: which are embedded, and what is chosen of all together."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ascent.errors import AscentError
from ascent.negatives.pools import encode_pool
from ascent.negatives.selection import Pool, mine
from ascent.negatives.shards import encode_shard, open_shards
from ascent.pairs.table import Document, Pair, document_frame, pair_frame, write_documents, write_pairs
from ascent.pairs.text import text_id
from ascent.settings.model import Contract, Tokenising
from ascent.settings.negatives import Mining, PoolEncoding

NOBODY = pair_frame([], "", "")
ENCODING = PoolEncoding(split="train", prompts=["doc: "], max_tokens=32)


class WordEncoder:
    """Stands in for a model: a direction drawn for each text, and the prompts that it saw."""

    digest, contract = "weights", Contract()

    def __init__(self):
        self.seen: list[tuple[str, str]] = []

    def encode_with(self, prompts, texts, *, longest, progress):
        self.seen += zip(prompts, texts, strict=True)
        return np.array([vector(text) for text in texts], dtype=np.float32).reshape(-1, 16)


def vector(text: str) -> np.ndarray:
    draw = np.random.default_rng(int(text_id(text)[:8], 16)).standard_normal(16)
    return (draw / np.linalg.norm(draw)).astype(np.float32)


def documents(path: Path, *texts: str, split: str = "train") -> Path:
    write_documents(path, document_frame([*(Document(text, split) for text in texts), Document("not for it", "test")]))
    return path


def pool(folder: Path, files: list[Path], each: int) -> Pool:
    """Embed the parts of a corpus, each in so many shards."""
    for part, file in enumerate(files):
        for share in range(each):
            shard = (part * each + share, len(files) * each)
            encode_pool(WordEncoder(), file, ENCODING, NOBODY, (share, each), shard, folder)
    return Pool(open_shards(folder, len(files) * each), files)


@pytest.fixture
def mined(tmp_path):
    """Mine for forty queries among forty positives and two corpora, which share texts with them and each other."""
    rows = [Pair(f"query {i}", f"own {i}") for i in range(40)] + [Pair("query 0", "wiki 3"), Pair("wiki 5", "own 1")]
    write_pairs(tmp_path / "pairs.parquet", pair_frame(rows, "x", "eng-Latn"))
    settings = Tokenising(query_prompts=["q: "], document_prompts=["doc: "], max_tokens=32)
    for index in range(2):
        encode_shard(WordEncoder(), tmp_path / "pairs.parquet", settings, index, 2, tmp_path / "own")
    wiki = [
        documents(tmp_path / "wiki-0.parquet", *(f"wiki {i}" for i in range(70)), "own 7"),
        documents(tmp_path / "wiki-1.parquet", *(f"wiki {i}" for i in range(60, 120)), "query 9"),
    ]
    news = [documents(tmp_path / "news-0.parquet", *(f"news {i}" for i in range(50)), "wiki 4", "own 8")]
    pools = {"wiki": pool(tmp_path / "wiki", wiki, 2), "news": pool(tmp_path / "news", news, 3)}

    def by(mining: Mining, chosen: tuple[str, ...] = ("wiki", "news")):
        output, given = tmp_path / "negatives.parquet", {name: pools[name] for name in chosen}
        audit = mine(open_shards(tmp_path / "own", 2), tmp_path / "pairs.parquet", mining, output, given)
        return rows, pl.read_parquet(output), audit

    return by


@pytest.mark.slow
def test_negatives_are_those_of_brute_force_over_all_pools(mined):
    """In float64, with each text once and no answer or the query itself; and each counts for the first that has it."""
    rows, table, audit = mined(Mining(model="m", per_query=4, ranks=(1, 30), max_share_of_positive=1000))
    first: dict[str, str | None] = {row.positive: None for row in rows}
    for corpus, texts in (
        ("wiki", [*(f"wiki {i}" for i in range(120)), "own 7", "query 9"]),
        ("news", [*(f"news {i}" for i in range(50)), "wiki 4", "own 8"]),
    ):
        first |= {text: corpus for text in texts if text not in first}
    answers: dict[str, set[str]] = {}
    for row in rows:
        answers.setdefault(row.query, set()).add(row.positive)
    counts: dict[str | None, int] = {None: 0, "wiki": 0, "news": 0}
    for row, found in zip(rows, table.iter_rows(named=True), strict=True):
        query = vector(row.query).astype(np.float64)
        scores = {text: query @ vector(text).astype(np.float64) for text in first}
        others = sorted(scores.keys() - answers[row.query] - {row.query}, key=lambda text: -scores[text])[1:30]
        bound = 1000 * scores[row.positive]
        expected = [text for text in others if scores[text] <= bound][:4]
        assert found["negatives"] == expected
        assert found["negative_ids"] == [text_id(text) for text in expected]
        assert found["scores"] == pytest.approx([scores[text] for text in expected], abs=1e-6)
        for text in expected:
            counts[first[text]] += 1
    assert audit["from"] == [{"corpus": corpus, "kept": count} for corpus, count in counts.items()]
    assert min(counts.values()) > 0
    assert all(first[example["candidate"]] == example.get("corpus") for example in audit["examples"]["kept"])
    assert audit["counts"]["query_itself"] == 2


@pytest.mark.slow
def test_without_pools_the_audit_and_negatives_are_the_data_set_s_own(mined):
    rows, table, audit = mined(Mining(model="m", per_query=2, max_share_of_positive=1000), ())
    assert "from" not in audit
    assert set(table["negatives"].explode().drop_nulls()) <= {row.positive for row in rows}


@pytest.mark.slow
def test_each_document_of_the_split_is_embedded_once_with_its_prompt(tmp_path):
    texts = [f"text {i}" for i in range(31)]
    file, settings = (
        documents(tmp_path / "d.parquet", *texts),
        ENCODING.model_copy(update={"prompts": ["a: ", "b: "], "seed": 5}),
    )
    seen = {}
    for count in (1, 4):
        encoder = WordEncoder()
        for share in range(count):
            encode_pool(encoder, file, settings, NOBODY, (share, count), (share, count), tmp_path / str(count))
        found = [id.decode() for ids, _ in open_shards(tmp_path / str(count), count).parts("documents") for id in ids]
        assert found == [text_id(text) for text in texts]
        seen[count] = encoder.seen
    # Whatever the cut, a document has the same prompt; both come.
    assert seen[1] == seen[4]
    assert {prompt for prompt, _ in seen[1]} == {"a: ", "b: "}


def test_documents_that_match_test_texts_are_left_out_and_counted(tmp_path):
    tested = pair_frame([Pair("What is Term-Life?", "x", split="test")], "insurance", "eng-Latn")
    file = documents(tmp_path / "d.parquet", "a", "what is TERM life", "b")
    settings = PoolEncoding(split="train", prompts=[""], max_tokens=8, without={"against": ["insurance"]})
    encoder = WordEncoder()
    left_out = encode_pool(encoder, file, settings, tested, (0, 1), (0, 1), tmp_path / "pool")
    assert left_out == {"the query is a test query": 1}
    assert [text for _, text in encoder.seen] == ["a", "b"]
    fingerprint = json.loads((tmp_path / "pool" / "fingerprint-00000-of-00001.json").read_text())
    assert fingerprint["documents-00000-of-00001.npy"]["rows"] == 2


@pytest.mark.slow
def test_a_pool_without_documents_or_of_another_model_is_refused(tmp_path, mined):
    empty = pool(tmp_path / "empty", [documents(tmp_path / "e.parquet")], 1)
    shards, pairs, mining = open_shards(tmp_path / "own", 2), tmp_path / "pairs.parquet", Mining(model="m")
    with pytest.raises(AscentError, match="the corpus void has no documents of the data set's split to mine"):
        mine(shards, pairs, mining, tmp_path / "n.parquet", {"void": empty})
    other, encoder = tmp_path / "other", WordEncoder()
    encoder.digest = "other weights"
    encode_pool(encoder, documents(tmp_path / "o.parquet", "a"), ENCODING, NOBODY, (0, 1), (0, 1), other)
    with pytest.raises(AscentError, match=f"^{other}: were embedded by another model than {tmp_path / 'own'}; delete"):
        mine(shards, pairs, mining, tmp_path / "n.parquet", {"void": Pool(open_shards(other, 1))})
