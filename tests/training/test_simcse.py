"""Texts that are their own positives, told apart by dropout alone (SimCSE)."""

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from ascent.errors import AscentError
from ascent.losses import Embedded
from ascent.losses.infonce import infonce
from ascent.model.backbone import has_dropout, load_backbone
from ascent.model.embedding_model import EmbeddingModel
from ascent.pairs.table import Pair, pair_frame
from ascent.settings.model import Contract
from ascent.settings.pairs import Dataset
from support.pairs import filtered
from support.tiny_models import make_architecture

CONTRACT = Contract(max_tokens=32)


@pytest.fixture(scope="module")
def itself(corpus_rows) -> list[Pair]:
    """What the filters make of 40 rows of which two have the same query."""
    distinct = list({row["query"]: row for row in corpus_rows}.values())[:40]
    rows = [Pair(row["query"], row["positive"], ("a negative",), label=0.5) for row in distinct]
    rows.append(Pair(rows[0].query, "another answer"))
    pairs, audit = filtered("texts", Dataset(corpus="c", positive="query"), [pair_frame(rows, "c", "eng-Latn")])
    assert [step["dropped"] for step in audit["filters"] if step["dropped"]] == [{"the pair occurred before": 1}]
    assert pairs["query"].to_list() == pairs["positive"].to_list() == [row.query for row in rows[:40]]
    assert pairs["query_id"].to_list() == pairs["positive_id"].to_list()
    assert pairs["negatives"].list.len().sum() == 0 and pairs["label"].null_count() == 40
    return [Pair(row["query"], row["positive"]) for row in pairs.iter_rows(named=True)]


@pytest.fixture(scope="module")
def tokens(itself, tokens_of):
    return tokens_of(itself, contract=CONTRACT)


@pytest.fixture(scope="module")
def batch(tokens, data_of):
    data = data_of({"texts": tokens}, contract=CONTRACT, batch_size=16)
    assert data.own_positives() == ["texts"]
    return data.batch(np.arange(16), rank=0, world=1)


def test_the_loss_is_sentence_transformers_of_the_same_two_views(batch):
    """Other texts' second views are the negatives; a text's own, which has the query's id, is the positive and no
    negative."""
    draw = torch.Generator().manual_seed(0)
    first, second = (torch.nn.functional.normalize(torch.randn(16, 8, generator=draw), dim=1) for _ in range(2))
    ours = infonce(Embedded(queries=first, documents=second, **batch.tensors()), temperature=0.05).mean()
    theirs = MultipleNegativesRankingLoss(torch.nn.Identity(), scale=20).compute_loss_from_embeddings(
        [first, second], None
    )
    assert float(ours) == pytest.approx(float(theirs), abs=1e-5)


@pytest.fixture(scope="module")
def sensitive(tiny_resource, tmp_path_factory):
    """A model whose attention matters."""
    return make_architecture(tmp_path_factory.mktemp("sensitive") / "bert", "bert", tiny_resource)


@pytest.mark.parametrize("dropout", ["hidden", "attention", "none"])
@pytest.mark.parametrize("packed", [True, False])
def test_two_passes_differ_by_dropout_alone(sensitive, batch, packed, dropout, monkeypatch):
    """The rows lie beside each other in one packed row or one padded batch: each has masks of its own, the attention's
    too."""
    monkeypatch.setattr("ascent.model.backbone.is_to_pack", lambda kind: packed)
    backbone, _ = load_backbone(sensitive, CONTRACT)
    for name, module in backbone.named_modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.3 if dropout == ("attention" if "attention.self" in name else "hidden") else 0.0
    model = EmbeddingModel(backbone, CONTRACT).train()
    torch.manual_seed(0)
    embeddings = model.embed(**model.inputs(batch.tokens, 0, "cpu")).detach()
    cosines = (embeddings[: batch.rows] * embeddings[batch.rows :]).sum(1)
    if dropout == "none":
        assert torch.allclose(cosines, torch.ones(batch.rows), atol=1e-5)
    else:
        assert cosines.max() < 1 - 1e-4
        assert len(cosines.unique()) == batch.rows


def test_training_on_it_lowers_the_loss_and_needs_dropout(train_here, tiny_model, training_contract, itself, tokens_of):
    settings = {"tokens": tokens_of(itself), "epochs": 8, "batch_size": 20, "learning_rate": 1e-3}
    losses = [line["loss"] for line in train_here(tiny_model, training_contract, dropout=0.1, **settings)]
    assert np.mean(losses[-4:]) < np.mean(losses[:4]) - 0.1
    message = (
        r"stages\.s\.data\.questions: query and positive are the same text and the model has no dropout, so their "
        r"embeddings would be identical; set dropout, for example 0\.1\.$"
    )
    with pytest.raises(AscentError, match=message):
        train_here(tiny_model, training_contract, dropout=0, **settings)


def test_whether_a_backbone_drops_anything_is_told(tiny_model):
    assert has_dropout(load_backbone(tiny_model, CONTRACT)[0])
    assert not has_dropout(load_backbone(tiny_model, CONTRACT, dropout=0.0)[0])


def test_a_loss_on_labels_and_rows_that_do_not_compete_are_refused(tokens, data_of):
    with pytest.raises(AscentError, match="data.texts: row 0 has no label, which the objective 'cosine' needs"):
        data_of({"texts": tokens}, contract=CONTRACT, objective="cosine")
    with pytest.raises(AscentError, match="data.texts: has no negatives, and in-batch negatives are off"):
        data_of({"texts": tokens}, contract=CONTRACT, data={"texts": {"in_batch": False}})
