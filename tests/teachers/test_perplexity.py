"""Perplexities by a causal language model, against the loss of transformers for each text alone; and the filter."""

import math
from itertools import pairwise

import polars as pl
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from ascent.errors import AscentError
from ascent.model import causal
from ascent.model.causal import LanguageModel
from ascent.pairs.table import MEASURES, Pair, pair_frame, write_pairs
from ascent.recipes.dataset_steps import dataset_steps
from ascent.settings.measures import Predicting
from ascent.settings.pairs import Dataset
from ascent.settings.validation import check
from ascent.teachers.predicting import measure_perplexity
from support.pairs import filtered
from support.small_recipe import make_model
from support.tiny_models import DECODERS, draw_weights, make_tokenizer

TEXTS = ["a", "what is a list", "the same the same the same", "“Straße” 列表 ?!", "x" * 40, "one two three " * 30]


# Of one the texts begin with a token of its own, of the other with the one that ends them.
@pytest.fixture(scope="module", params=["llama", "qwen3"])
def folder(request, tmp_path_factory, corpus_rows):
    folder = make_tokenizer(
        tmp_path_factory.mktemp("lm") / request.param, request.param, [row["positive"] for row in corpus_rows]
    )
    torch.manual_seed(0)
    config = AutoConfig.for_model(request.param, **DECODERS[request.param])
    model = AutoModelForCausalLM.from_config(config)
    draw_weights(model)
    model.save_pretrained(folder)
    return folder


def by_transformers(folder, text, most):
    """Its own loss of the text alone, in float64."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    ids = torch.tensor([[first, *tokenizer(text, add_special_tokens=False)["input_ids"][:most]]])
    with torch.inference_mode():
        return math.exp(model(input_ids=ids, labels=ids).loss)


@pytest.mark.slow
def test_perplexities_are_those_of_transformers_whatever_shares_their_batch(folder, monkeypatch):
    model = LanguageModel(folder, 50)
    together = model.perplexities(TEXTS)
    assert together == pytest.approx([by_transformers(folder, text, 50) for text in TEXTS], rel=1e-4)
    assert len(set(together.round(3))) == len(TEXTS)
    assert list(model.perplexities(TEXTS[::-1])[::-1]) == pytest.approx(together, rel=1e-5)
    for logits in (1, 2016 * 60):  # one text a batch, few texts a batch
        monkeypatch.setattr(causal, "_LOGITS", logits)
        assert list(model.perplexities(TEXTS)) == pytest.approx(together, rel=1e-5)
    assert list(LanguageModel(folder, 3).perplexities(TEXTS[1:2])) == pytest.approx(
        [by_transformers(folder, TEXTS[1], 3)], rel=1e-4
    )
    assert list(model.perplexities(["", "a"])) == pytest.approx([math.inf, together[0]])
    assert len(model.perplexities([])) == 0


@pytest.mark.slow
def test_models_that_cannot_predict_are_refused(folder, tmp_path, capfd):
    with pytest.raises(AscentError, match=r"so it would predict at random; use a whole causal language model"):
        LanguageModel(make_model(tmp_path / "encoder"), 8)
    assert "MISSING" not in capfd.readouterr().err  # transformers' own report
    AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(tmp_path / "encoder")).save_pretrained(
        tmp_path / "encoder"
    )
    with pytest.raises(AscentError, match=r"is an encoder \(bert\), whose tokens see those behind them; use a causal"):
        LanguageModel(tmp_path / "encoder", 8)
    with pytest.raises(AscentError, match=r"reads 64 tokens, the first included; lower max_tokens below 64"):
        LanguageModel(folder, 64)


@pytest.mark.slow
def test_each_row_gets_those_of_its_two_texts(folder, tmp_path):
    rows = [Pair(TEXTS[place % 4], TEXTS[place % 5 + 1]) for place in range(20)]
    frame, settings = pair_frame(rows, "c", "eng-Latn"), Predicting(model="lm", max_tokens=50)
    for name, part in {"all": frame, "none": frame.clear()}.items():
        write_pairs(tmp_path / f"{name}.parquet", part)
    (found,) = measure_perplexity(settings, folder, tmp_path / "all.parquet")
    assert found.columns == MEASURES["perplexities"].names
    assert found.select("query_id", "positive_id").equals(frame.select("query_id", "positive_id"))
    of_text = dict(zip(TEXTS, LanguageModel(folder, 50).perplexities(TEXTS), strict=True))
    for side in ("query", "positive"):
        expected = [of_text[getattr(row, side)] for row in rows]
        assert found[f"{side}_perplexity"].to_list() == pytest.approx(expected, rel=1e-5)
    assert list(measure_perplexity(settings, folder, tmp_path / "none.parquet")) == []


# ------------------------------------------------------------------ the filter


def dataset(**bounds):
    return check(Dataset, {"corpus": "c", "filters": ["clean", {"perplexity": {"model": "lm", **bounds}}]}, "set")


def measured(frame):
    """Made-up perplexities: of a query the number at its end, of a positive ten times that."""
    number = pl.col("query").str.extract(r"(\d+)$").cast(pl.Float64)
    return frame.select("query_id", "positive_id", query_perplexity=number, positive_perplexity=10 * number)


@pytest.mark.parametrize("parts", [1, 3, 8])
def test_rows_outside_of_the_bounds_are_dropped(parts):
    frame = pair_frame([Pair(f"query {row}", f"answer {row}") for row in range(1, 41)], "c", "eng-Latn")
    bounds = [len(frame) * number // parts for number in range(parts + 1)]
    pieces = [frame[begin:end] for begin, end in pairwise(bounds)]
    pairs, audit = filtered("set", dataset(query=[3, 30.5], positive=[50, 1e9]), pieces, scores=measured)
    assert pairs["query"].to_list() == [f"query {row}" for row in range(5, 31)]
    assert audit["dropped"] == {
        "positive of a perplexity below 50": 2,
        "query of a perplexity above 30.5": 10,
        "query of a perplexity below 3": 2,
    }
    entry = audit["filters"][2]
    assert (entry["query_perplexity_quantiles"]["0.0"], entry["query_perplexity_quantiles"]["1.0"]) == (1, 40)
    assert (entry["positive_perplexity_quantiles"]["0.0"], entry["positive_perplexity_quantiles"]["1.0"]) == (10, 400)
    only, _ = filtered("set", dataset(positive=[1, 100]), pieces, scores=measured)
    assert len(only) == 10


def test_perplexities_that_are_missing_are_not_guessed():
    frame = pair_frame([Pair("query 1", "a"), Pair("query", "b")], "c", "eng-Latn")
    with pytest.raises(AscentError, match="1 pairs have no query perplexity and positive perplexity or NaN, .*'query'"):
        filtered("set", dataset(query=[1, 9]), [frame], scores=measured)


def test_other_bounds_measure_nothing_again():
    one, other, longer = (
        dataset_steps("set", each).measures[0].key
        for each in (dataset(query=[1, 9]), dataset(positive=[5, 50]), dataset(query=[1, 9], max_tokens=9))
    )
    assert one == other != longer


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({}, "neither query nor positive is bounded, so nothing is dropped; write positive: "),
        ({"query": [9, 3]}, r"query \[9, 3\] admits no text; write the lower perplexity first"),
    ],
)
def test_bounds_that_say_nothing_are_refused(bounds, message):
    with pytest.raises(AscentError, match=message):
        dataset(**bounds)
