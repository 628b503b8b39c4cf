"""Rows from a server that is not ours: llama.cpp's, with SmolLM2-135M out of a package."""

import json
import sqlite3

import pytest
from transformers import AutoTokenizer

from ascent.errors import AscentError
from ascent.pairs.table import Document, document_frame, write_documents
from ascent.recipes.loading import read_config
from ascent.settings.sources import Resource
from ascent.settings.synthesis import Openai, Synthesis, SynthesisSettings
from ascent.settings.validation import check
from ascent.sources import retrieve
from ascent.synthesis.run import synthesise
from support.llama_server import llama_server
from support.sentence_prompt import SENTENCE

pytestmark = pytest.mark.nightly
KEY = "key-of-this-test"
ROWS = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The model as the package has it, and unpacked, for its tokenizer."""
    folder = tmp_path_factory.mktemp("served")
    resource = check(Resource, {"source": read_config()["models"]["smollm2-135m"]["source"]}, "config/models.yaml")
    retrieve(resource.source, folder / "packed", "corpora", folder)
    retrieve(resource.source, folder / "model", "models", folder)
    return folder


@pytest.fixture(scope="module")
def address(folder):
    (model,) = (folder / "packed").glob("*.gguf")
    with llama_server(model, folder / "server.log", KEY) as address:
        yield address


@pytest.fixture
def ask(tmp_path, address, corpus_rows, monkeypatch):
    """Have sentences written about texts, from the moment on in which the server starts."""
    monkeypatch.setenv("TEST_KEY", KEY)
    texts = [row["positive"] for row in corpus_rows if 150 < len(row["positive"]) < 400][:ROWS]

    def asked(texts=texts, **changes):
        write_documents(tmp_path / "documents.parquet", document_frame(Document(text, "train") for text in texts))
        options = {"max_tokens": 100, "temperature": 0.0, "concurrency": 4, "retries": 9, "key": "TEST_KEY"} | changes
        generator = Openai(type="openai", address=address, model="smollm2", **options)
        source = Synthesis(type="synthesis", documents="d", prompt="sentence", generator="g", rows=len(texts))
        settings = SynthesisSettings(source=source, prompt=SENTENCE, attempts=2, answering=generator.answering)
        files = tmp_path / "documents.parquet", tmp_path / "answers.sqlite", tmp_path / "made"
        counts = synthesise("made", settings, generator, *files)
        with sqlite3.connect(tmp_path / "answers.sqlite") as answers:
            kept = [json.loads(answer) for (answer,) in answers.execute("SELECT answer FROM answers WHERE NOT failed")]
        return counts, kept

    return asked


def test_answers_follow_their_schema_and_are_counted(ask, folder):
    """From a server that is still loading. Usage is about what the model's tokenizer counts: held to a schema, a model
    may spell words in shorter tokens."""
    counts, kept = ask()
    assert counts["asked"] == ROWS and counts["made"] >= ROWS * 0.7
    assert set(counts["set_aside"]) <= {"cut off at max_tokens"}
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    for answer in kept:
        if answer["complete"]:
            assert set(json.loads(answer["text"])) == {"sentence"}
            tokens = len(tokenizer(answer["text"], add_special_tokens=False)["input_ids"])
            assert tokens <= answer["output_tokens"] + 3 <= 1.4 * tokens + 6
        else:
            assert answer["output_tokens"] == 100
        assert answer["input_tokens"] > 50
    assert ask()[0] == counts  # from what is kept


def test_what_the_server_refuses_is_set_aside_in_its_words_or_ends_the_run(ask, tmp_path):
    with pytest.raises(
        AscentError, match=r"the server refuses access \(HTTP 401: .*\); check `key`, since none was sent"
    ):
        ask(key=None)
    long = "a text that no context of this server holds " * 300
    counts, _ = ask(["A short text about a module that reads and writes files.", long])
    assert counts["made"] == 1 and counts["set_aside"] == {"HTTP 400": 1}
    (aside,) = (json.loads(line) for line in (tmp_path / "made" / "set_aside.jsonl").open())
    assert "context" in aside["said"]


def test_without_a_schema_the_server_lets_the_model_write_what_it_likes(ask):
    """So it is `response_format` that gives rows."""
    with pytest.raises(AscentError, match="of the first 8 rows were set aside"):
        ask([f"Number {number} is a number between others." for number in range(8)], answer_format="text")
