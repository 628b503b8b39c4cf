"""What tests share: a tiny model of random weights, and a corpus of real text made on the spot."""

import sys
from pathlib import Path

import pytest

sys.dont_write_bytecode = True
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def corpus_rows() -> list[dict[str, str]]:
    """Real question-and-answer text of any machine: names of the standard library's functions and what they are for."""
    from small import corpus_rows

    return corpus_rows()


@pytest.fixture(scope="session")
def tiny_resource(tmp_path_factory) -> Path:
    """A model folder as it is retrieved: a BERT of two layers, random weights, with a tokenizer trained on the corpus."""
    from small import make_model

    return make_model(tmp_path_factory.mktemp("resource") / "tiny")


@pytest.fixture(scope="session")
def tiny_model(tiny_resource, tmp_path_factory) -> Path:
    """The same as a stage's model folder, with its contract."""
    from ascent.model import save_new
    from ascent.settings import Contract

    contract = Contract(max_tokens=32)
    folder = tmp_path_factory.mktemp("model") / "model"
    folder.mkdir()
    save_new(tiny_resource, contract, {}, folder)
    return folder
