"""Every architecture trains, and what it has learned survives the folder: loaded by us, and by plain
sentence-transformers."""

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from ascent.model.encoder import Encoder
from ascent.model.saving import save_new
from ascent.tokens.tokenise import tokenise_pairs
from support.tiny_models import DECODERS, ENCODERS, EVERY, make_architecture


@pytest.fixture(scope="module")
def folders(tiny_resource, tmp_path_factory):
    parent = tmp_path_factory.mktemp("architectures")
    return {name: make_architecture(parent / name, name, tiny_resource) for name in (*ENCODERS, *DECODERS)}


@pytest.mark.parametrize(("name", "attention"), EVERY)
def test_it_trains_and_is_read_back(
    folders, train_here, training_contract, training_pairs, training_rows, tmp_path, name, attention
):
    pooling = "last" if attention == "causal" else "mean"
    contract = training_contract.model_copy(update={"attention": attention, "pooling": pooling})
    parent = tmp_path / "parent"
    parent.mkdir()
    save_new(folders[name], contract, {}, parent)
    tokens = tmp_path / "tokens"
    tokenise_pairs(parent, contract.tokenising("retrieval"), training_pairs, None, tokens)
    # All rows in each step, so that losses compare.
    lines = train_here(
        parent, contract, tokens=tokens, batch_size=44, epochs=10, learning_rate=3e-3, precision="float32"
    )
    losses = [line["loss"] for line in lines]
    assert len(losses) == 10
    assert losses[-1] < 0.7 * losses[0]

    folder, texts = tmp_path / "run" / "model", [row.query for row in training_rows]
    before, after = (
        Encoder(path, precision="float32").encode(texts, side="query", task="retrieval") for path in (parent, folder)
    )
    assert np.abs(after - before).max() > 1e-2
    plain = SentenceTransformer(str(folder), device="cpu")
    np.testing.assert_allclose(plain.encode_query(texts), after, rtol=0, atol=1e-5)
    plain.save(str(tmp_path / "again"))
    again = SentenceTransformer(str(tmp_path / "again"), device="cpu")
    np.testing.assert_allclose(again.encode_query(texts), after, rtol=0, atol=1e-5)
