"""A data set's tokens in files: what tokenising on the spot gives, counted, the same bytes twice, refused when
damaged."""

import json
import shutil
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

import tokenise_pairs as tokenise_script
from ascent.errors import AscentError
from ascent.files import read_json
from ascent.model.batching import tokenise
from ascent.model.contract import tokenizer_digest
from ascent.pairs.table import Pair, pair_frame, write_pairs
from ascent.pairs.text import text_id
from ascent.settings.model import Contract, Tokenising
from ascent.settings.validation import dump
from ascent.tokens import texts as tokenised
from ascent.tokens.table import TokenisedPairs
from ascent.tokens.tokenise import load_tokenizer, tokenise_pairs


def number(text: str) -> int:
    return int(text_id(text)[:15], 16)


@pytest.fixture(scope="module")
def rows(corpus_rows):
    """Rows with 0 to 3 negatives, repeated queries, texts that are a query and a document, labels here and there."""
    texts = [row["positive"] for row in corpus_rows]
    found = []
    for index in range(90):
        query = corpus_rows[index // 2]["query"] if index % 5 else texts[index]
        negatives = tuple(texts[200 + index : 200 + index + index % 4])
        found.append(Pair(query, texts[index], negatives, label=index / 10 if index % 3 else None))
    return found


@pytest.fixture(scope="module")
def table(rows, tokens_of):
    return TokenisedPairs(tokens_of(rows))


def test_every_row_has_the_tokens_that_tokenising_on_the_spot_gives(rows, table, tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    assert len(table) == len(rows)
    for index, row in enumerate(rows):
        texts = [row.positive, *row.negatives]
        expected = tokenise(tokenizer, [row.query], "question: ", 32) + tokenise(tokenizer, texts, "", 32)
        places = [int(table.queries[index]), *table.documents_of(index)]
        assert [table.text(place).tolist() for place in places] == [tokens.tolist() for tokens in expected]
        assert [int(table.text_ids[place]) for place in places] == [number(row.query), *map(number, texts)]
        assert table.row_tokens[index] == sum(map(len, expected))
        label = table.labels[index]
        assert np.isnan(label) if row.label is None else label == np.float32(row.label)


def test_answers_are_a_query_s_positives(rows, table):
    expected = {}
    for row in rows:
        expected.setdefault(number(row.query), {})[number(row.positive)] = None
    asked = [*expected, 12345]
    places, answers = table.answers_of(np.array(asked))
    found = {query: answers[places == place].tolist() for place, query in enumerate(asked)}
    assert found == {query: list(answers) for query, answers in expected.items()} | {12345: []}
    assert max(map(len, expected.values())) > 1


def test_what_is_there_is_counted_and_each_text_is_kept_once(rows, table, tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    texts = {
        "query": {f"question: {row.query}" for row in rows},
        "document": {text for row in rows for text in (row.positive, *row.negatives)},
    }
    cut = {side: sum(len(tokenizer(text)["input_ids"]) > 32 for text in found) for side, found in texts.items()}
    assert cut["document"] > cut["query"] > 0
    assert table.meta["texts_cut"] == cut
    assert table.meta["texts"] == {side: len(found) for side, found in texts.items()}
    assert table.meta["rows"] == len(rows)
    lengths = [min(32, len(tokenizer(text)["input_ids"])) for found in texts.values() for text in found]
    assert table.meta["tokens"] == len(table.tokens) == sum(lengths)


@pytest.fixture
def prompted(training_contract):
    """The tests' contract with a prompt, "question: " by default."""

    def _prompted(prompt: str = "question: ", **changes):
        return Contract(**training_contract.model_dump() | {"prompts": {"query": {"retrieval": prompt}}} | changes)

    return _prompted


def test_a_prompt_that_fills_most_of_the_length_is_refused(rows, tokens_of, tiny_model, prompted):
    prompt = "what does the file in the list do to open a string: "
    tokens = len(AutoTokenizer.from_pretrained(tiny_model)(prompt)["input_ids"])
    tokens_of(rows[:5], contract=prompted(prompt, max_tokens=2 * tokens))
    with pytest.raises(
        AscentError, match=rf"alone has {tokens} tokens, 100% of max_tokens: {tokens}, so that little or"
    ):
        tokens_of(rows[:5], contract=prompted(prompt, max_tokens=tokens))


def test_texts_that_become_the_same_tokens_are_counted(tokens_of, tiny_model, training_contract):
    long = "open the file and read a line of it " * 8
    asked = ["Open the file", "open the FILE", "close the file", f"{long} now", f"{long} later", f"{long} never"]
    table = TokenisedPairs(tokens_of([Pair(query, f"answer {place}") for place, query in enumerate(asked)]))
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    inputs = tokenizer([f"question: {query}" for query in asked], truncation=True, max_length=32)["input_ids"]
    assert len(asked) - len(set(map(tuple, inputs))) == 3
    assert table.meta["texts_alike"] == {"query": 3, "document": 0}


@pytest.mark.slow
def test_texts_that_begin_with_the_prompt_are_counted(tokens_of, prompted):
    asked = ["Question: what is it", "question:what", "what question: is it", "the question", " question: spaced"]
    rows = [Pair(query, f"question: {place}") for place, query in enumerate(asked)]
    assert TokenisedPairs(tokens_of(rows, contract=prompted())).meta["texts_with_prompt"] == {"query": 3, "document": 0}
    assert TokenisedPairs(tokens_of(rows, contract=prompted(""))).meta["texts_with_prompt"] == {
        "query": 0,
        "document": 0,
    }


def test_the_log_tells_of_prompts_twice_and_of_equal_tokens(tiny_model, tmp_path, monkeypatch, capsys):
    rows = [Pair(query, "an answer") for query in ("query: open", "query: OPEN", "close it", "read it")]
    write_pairs(tmp_path / "pairs.parquet", pair_frame(rows, "questions", "eng-Latn"))
    settings = Tokenising(query_prompts=["query: "], document_prompts=[""], max_tokens=32)
    (tmp_path / "settings.yaml").write_text(dump(settings))
    files = {"settings": "settings.yaml", "pairs": "pairs.parquet", "output": "questions"}
    words = [word for key, name in files.items() for word in (f"--{key}", str(tmp_path / name))]
    monkeypatch.setattr("sys.argv", ["tokenise_pairs.py", "--model", str(tiny_model), *words])
    assert tokenise_script.main() == 0
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert told == [
        (
            "warning: data set questions: 2 of 4 distinct queries (50%) begin with the prompt 'query: ' already, so"
            " that they have it twice; take it out of `prompts`, or out of the corpus."
        ),
        (
            "warning: data set questions: 1 of 4 distinct queries (25.00%) become the tokens of an earlier one and so"
            " get its embedding; if they differ behind max_tokens: 32, prompt included, raise it; if in characters"
            " that the tokenizer does not know, choose another base."
        ),
    ]


def test_a_text_of_exactly_the_longest_length_is_not_cut(tokens_of, tiny_model, training_contract):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    text = "file"
    while len(tokenizer(text)["input_ids"]) < 32:
        text += " file"
    assert len(tokenizer(text)["input_ids"]) == 32
    table = TokenisedPairs(tokens_of([Pair("a", text), Pair("b", f"{text} file")]))
    assert table.meta["texts_cut"] == {"query": 0, "document": 1}


@pytest.mark.slow
def test_chunks_change_nothing(rows, table, tokens_of, monkeypatch):
    monkeypatch.setattr(tokenised, "CHUNK_TEXTS", 7)
    small = tokens_of(rows)
    monkeypatch.setattr(tokenised, "CHUNK_TEXTS", 10_000)
    monkeypatch.setattr(tokenised, "CHUNK_BYTES", 500)
    smaller = tokens_of(rows)
    for name in table.meta["files"]:
        expected = (table.folder / name).read_bytes()
        assert (small / name).read_bytes() == (smaller / name).read_bytes() == expected, name


@pytest.mark.slow
def test_two_runs_are_the_same_bytes(training_pairs, tokens_of):
    one, two = tokens_of(training_pairs), tokens_of(training_pairs)
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in two.iterdir())
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_tokenizer_is_transformers_also_where_it_cuts_on_the_left(tiny_model, tmp_path, side, corpus_rows):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    config = read_json(folder / "tokenizer_config.json")
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"truncation_side": side}))
    expected = AutoTokenizer.from_pretrained(folder)
    assert expected.truncation_side == side
    tokenizer, digest = load_tokenizer(folder, 16)
    assert digest == tokenizer_digest(expected)
    texts = [row["positive"] for row in corpus_rows[:50]]
    wanted = expected(texts, truncation=True, max_length=16)["input_ids"]
    assert [one.ids for one in tokenizer.encode_batch_fast(texts)] == wanted


def test_a_tokenizer_whose_file_does_not_tell_all_is_read_by_transformers(tiny_model, tmp_path):
    """Here the file alone keeps capitals, and tokenizer_config.json says to lower them."""
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    changed = read_json(folder / "tokenizer.json")
    changed["normalizer"]["lowercase"] = False
    (folder / "tokenizer.json").write_text(json.dumps(changed))
    expected = AutoTokenizer.from_pretrained(folder)
    assert tokenizer_digest(Tokenizer.from_file(str(folder / "tokenizer.json"))) != tokenizer_digest(expected)
    document = read_json(folder / "ascent.json")
    (folder / "ascent.json").write_text(json.dumps(document | {"tokenizer_digest": tokenizer_digest(expected)}))
    tokenizer, _ = load_tokenizer(folder, 16)
    text = "What does GLOB do"
    assert tokenizer.encode(text).ids == expected(text)["input_ids"]


def test_a_tokenizer_that_was_changed_is_refused(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / "ascent.json").write_text(json.dumps({"tokenizer_digest": "0"}))
    with pytest.raises(AscentError, match=r"model: the tokenizer is not the one that ascent\.json was written for"):
        load_tokenizer(folder, 16)


def test_mined_negatives_replace_the_rows_own(training_rows, tokens_of, tmp_path):
    def mined(rows):
        keys = [{"query_id": text_id(row.query), "positive_id": text_id(row.positive)} for row in rows]
        table = [key | {"negatives": [f"mined {index}"] * (index % 3)} for index, key in enumerate(keys)]
        pl.DataFrame(table[::-1]).write_parquet(tmp_path / "negatives.parquet")
        return tmp_path / "negatives.parquet"

    table = TokenisedPairs(tokens_of(training_rows, negatives=mined(training_rows)))
    for index, row in enumerate(training_rows):
        expected = [number(row.positive), *[number(f"mined {index}")] * (index % 3)]
        assert [int(table.text_ids[text]) for text in table.documents_of(index)] == expected
    for others in (training_rows[:-1], [*training_rows, Pair("another", "pair")]):
        with pytest.raises(
            AscentError, match=r"negatives\.parquet: was mined for other pairs than .*pairs\.parquet; mine"
        ):
            tokens_of(training_rows, negatives=mined(others))


def test_columns_that_training_does_not_read_train_nothing_again(training_rows, tokens_of, tmp_path):
    """A stage resumes from what it has made of the same digests: a miner's or a corpus's scores are none of it."""
    keys = [{"query_id": text_id(row.query), "positive_id": text_id(row.positive)} for row in training_rows]

    def digest(score: float, last: str = "mined") -> str:
        mined = [key | {"negatives": ["mined"], "scores": [score]} for key in keys]
        mined[-1]["negatives"] = [last]
        pl.DataFrame(mined).write_parquet(tmp_path / "negatives.parquet")
        scored = [replace(row, scores=(score,) * (1 + len(row.negatives))) for row in training_rows]
        return TokenisedPairs(tokens_of(scored, negatives=tmp_path / "negatives.parquet")).digest

    assert digest(0.25) == digest(0.5) != digest(0.5, last="another")


def test_damaged_tokens_are_refused(training_tokens, tmp_path):
    folder = shutil.copytree(training_tokens, tmp_path / "tokens")
    content = (folder / "tokens.npy").read_bytes()
    (folder / "tokens.npy").write_bytes(content[:-4])
    with pytest.raises(AscentError, match=r"tokens\.npy: is missing or damaged; remove .*tokens and re-run"):
        TokenisedPairs(folder)
    (folder / "tokens.npy").unlink()
    with pytest.raises(AscentError, match=r"tokens\.npy: is missing or damaged"):
        TokenisedPairs(folder)
    (folder / "meta.json").unlink()
    with pytest.raises(AscentError, match=r"meta\.json: no such file"):
        TokenisedPairs(folder)


def test_a_failure_leaves_nothing_that_looks_finished(tiny_model, training_pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(tokenised, "_number", lambda text: 1 / 0)
    settings = Tokenising(query_prompts=[""], document_prompts=[""], max_tokens=8)
    with pytest.raises(ZeroDivisionError):
        tokenise_pairs(tiny_model, settings, training_pairs, None, tmp_path / "tokens")
    assert list(tmp_path.iterdir()) == []
