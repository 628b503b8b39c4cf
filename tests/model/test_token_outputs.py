"""Heads beside the embedding: their scores, the loss on them, the folder, and what ranks by them."""

import json
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from sentence_transformers import MultiVectorEncoder, SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from sentence_transformers.multi_vector_encoder.scoring import mean_colbert_scores

from ascent.components import module_of
from ascent.errors import AscentError
from ascent.evaluation.local_tasks import Tables
from ascent.evaluation.run import evaluate_task
from ascent.evaluation.search import SearchingModel
from ascent.evaluation.tasks import make_task
from ascent.losses import Embedded
from ascent.losses.m3 import m3
from ascent.model import token_scores
from ascent.model.encoder import Encoder
from ascent.model.heads import multi_vector, read_state
from ascent.model.saving import save_like, save_new
from ascent.model.token_scores import Encoded, TokenOutputs, scores_by_head, scores_by_kind
from ascent.pairs.table import Document, Pair, document_frame, pair_frame, write_documents, write_pairs
from ascent.pairs.text import text_id
from ascent.settings.base import components
from ascent.settings.evaluation import TaskSettings
from ascent.settings.heads import Head, ScoreKind
from ascent.settings.losses import M3, ScoreWeights
from ascent.settings.model import Contract
from ascent.settings.validation import check
from support import reference_losses
from support.insurance import ANSWERS, OTHERS, QUESTIONS

BESIDE = {"lexical": {}, "multi_vector": {"dimension": 6}}
PROMPT = "find the answer: "


@pytest.fixture(scope="module")
def contract(training_contract):
    prompts = {"query": {"retrieval": PROMPT}}
    return check(
        Contract, training_contract.model_dump() | {"heads": BESIDE, "pool_prompt": False, "prompts": prompts}, "x"
    )


@pytest.fixture(scope="module")
def parent(tiny_resource, contract, tmp_path_factory):
    folder = tmp_path_factory.mktemp("beside") / "model"
    folder.mkdir()
    save_new(tiny_resource, contract, {}, folder)
    return folder


@pytest.fixture(scope="module")
def folder(parent, contract, tmp_path_factory):
    """The same with drawn biases, too: a new head's are zero."""
    state, draw = read_state(parent, contract), torch.Generator().manual_seed(0)
    drawn = {
        name: torch.randn(tensor.shape, generator=draw) / 4
        for name, tensor in state.items()
        if name.startswith("heads.")
    }
    folder = tmp_path_factory.mktemp("drawn") / "model"
    save_like(parent, state | drawn, contract, {}, folder)
    return folder


@pytest.fixture(scope="module")
def texts(corpus_rows):
    return [row["positive"] for row in corpus_rows[:9]] + ["", "open open the open"]


def tokens(lengths: list[int], seed: int, vocabulary: int = 12) -> TokenOutputs:
    draw = torch.Generator().manual_seed(seed)
    count = sum(lengths)
    outputs = {
        "lexical": torch.randn(count, 1, dtype=torch.float64, generator=draw).relu(),
        "multi_vector": torch.randn(count, 5, dtype=torch.float64, generator=draw),
    }
    ids = torch.randint(vocabulary, (count,), generator=draw)
    return TokenOutputs(lengths=torch.tensor(lengths, dtype=torch.int64), ids=ids, outputs=outputs)


@pytest.mark.parametrize("lengths", [([3, 1, 7], [5, 2, 9, 1]), ([2, 0, 4], [0, 6, 0]), ([0, 0], [0]), ([3], [])])
def test_scores_are_their_formulas(lengths):
    """Also of texts without tokens, of which all is special or cut."""
    queries, documents = tokens(lengths[0], 1), tokens(lengths[1], 2)
    for name in BESIDE:
        found = scores_by_head(name, queries, documents)
        assert found.shape == (len(lengths[0]), len(lengths[1]))
        for row, query in zip(found, reference_losses.texts_of(queries), strict=True):
            for value, document in zip(row, reference_losses.texts_of(documents), strict=True):
                torch.testing.assert_close(value, reference_losses.token_score(name, query, document))


def test_multi_vector_is_sentence_transformers_score():
    queries, documents = tokens([3, 1, 7], 1), tokens([5, 2, 9, 1], 2)
    padded, masks = [], []
    for side in (queries, documents):
        vectors = torch.nn.functional.normalize(side.outputs["multi_vector"], dim=-1)
        padded.append(torch.nn.utils.rnn.pad_sequence(vectors.split(side.lengths.tolist()), batch_first=True))
        masks.append(torch.arange(padded[-1].shape[1]) < side.lengths[:, None])
    expected = mean_colbert_scores(padded[0], padded[1][:, None], masks[0], masks[1][:, None])
    torch.testing.assert_close(multi_vector.score(queries, documents), expected.double(), rtol=0, atol=1e-6)


def test_the_loss_is_flag_embedding_s():
    """By its own functions, on one process and with every document a candidate, where it is installed."""
    modeling = pytest.importorskip("FlagEmbedding.finetune.embedder.encoder_only.m3.modeling")
    theirs = modeling.EncoderOnlyEmbedderM3Model.__new__(modeling.EncoderOnlyEmbedderM3Model)
    torch.nn.Module.__init__(theirs)
    theirs.temperature, theirs.cross_entropy = 0.2, torch.nn.CrossEntropyLoss()
    batch = replace(
        batch_of(3), document_ids=torch.arange(8), answers=torch.arange(4)[:, None], groups=torch.zeros(4).long()
    )
    lengths = [2, 5, 1, 3, 4, 6, 2, 3]
    batch = replace(batch, document_tokens=tokens(lengths, 5))

    def padded(side: TokenOutputs, room: int) -> torch.Tensor:
        """A vector of a text stands in its padding too: a vector of zeros may be the most similar one there."""
        vectors = torch.nn.functional.normalize(side.outputs["multi_vector"], dim=-1).split(side.lengths.tolist())
        return torch.stack([torch.cat([own, own[:1].expand(room - len(own), -1)]) for own in vectors])

    def sparse(side: TokenOutputs) -> torch.Tensor:
        weights, ids = (part.split(side.lengths.tolist()) for part in (side.outputs["lexical"][:, 0], side.ids))
        pairs = zip(ids, weights, strict=True)
        return torch.stack([torch.zeros(12, dtype=torch.float64).scatter_reduce(0, i, w, "amax") for i, w in pairs])

    sides = batch.query_tokens, batch.document_tokens
    queries = torch.nn.utils.rnn.pad_sequence(
        torch.nn.functional.normalize(sides[0].outputs["multi_vector"], dim=-1).split([3, 1, 2, 4]), batch_first=True
    )
    mask = torch.arange(5) < sides[0].lengths[:, None] + 1  # theirs counts the first token, which has no vector
    scores = [
        theirs.compute_dense_score(batch.queries, batch.documents),
        theirs.compute_sparse_score(*map(sparse, sides)),
        theirs.compute_colbert_score(queries, padded(sides[1], 6), q_mask=mask),
    ]
    together, target = theirs.ensemble_score(None, None, *scores), torch.arange(4)
    losses = [theirs.compute_loss(kind, target) for kind in (*scores, together)]
    taught = [theirs.distill_loss("kl_div", together.softmax(-1), kind) for kind in scores]
    expected = (losses[0] + 0.1 * losses[1] + losses[2] + losses[3]) / 4
    settings = M3(temperature=0.2).model_dump(exclude={"weight"})
    torch.testing.assert_close(m3(batch, **settings | {"self_distillation": False}).mean(), expected)
    expected = (expected + (taught[0] + 0.1 * taught[1] + taught[2]) / 3) / 2
    torch.testing.assert_close(m3(batch, **settings).mean(), expected)


def batch_of(seed: int) -> Embedded:
    """Rows 0 and 2 share a positive; document 4 is an answer to row 1; row 3 is alone with its own negative, document
    7."""
    draw = torch.Generator().manual_seed(seed)
    rows = [
        torch.nn.functional.normalize(torch.randn(n, 4, dtype=torch.float64, generator=draw), dim=-1) for n in (4, 8)
    ]
    rows[1][2] = rows[1][0]
    ids = torch.tensor([10, 11, 10, 13, 11, 15, 16, 17])
    return Embedded(
        queries=rows[0],
        documents=rows[1],
        row_of_document=torch.tensor([0, 1, 2, 3, 0, 1, 2, 3]),
        document_ids=ids,
        answers=ids[:4, None],
        groups=torch.tensor([0, 0, 0, 9]),
        labels=torch.full((4,), torch.nan),
        dataset_index=torch.zeros(4, dtype=torch.int64),
        numbers=torch.arange(4),
        weights=torch.ones(4),
        query_tokens=tokens([3, 1, 2, 4], seed + 1),
        document_tokens=tokens([2, 5, 1, 3, 4, 0, 2, 3], seed + 2),
    )


@pytest.mark.slow
@pytest.mark.parametrize("tile", [2**24, 20], ids=["one tile", "tiles"])
@pytest.mark.parametrize("distilled", [True, False])
@pytest.mark.parametrize("names", [("lexical", "multi_vector"), ("multi_vector",)])
def test_loss_is_its_formula_and_its_gradient_the_differences(monkeypatch, tile, distilled, names):
    monkeypatch.setattr(token_scores, "TILE", tile)
    settings = M3(temperature=0.3, self_distillation=distilled).model_dump(exclude={"weight"})

    def only(side: TokenOutputs) -> TokenOutputs:
        return replace(side, outputs={name: side.outputs[name] for name in names})

    batch = batch_of(3)
    batch = replace(batch, query_tokens=only(batch.query_tokens), document_tokens=only(batch.document_tokens))
    torch.testing.assert_close(m3(batch, **settings), reference_losses.m3(batch, **settings))
    given = [
        batch.queries,
        batch.documents,
        *batch.query_tokens.outputs.values(),
        *batch.document_tokens.outputs.values(),
    ]

    def loss(queries, documents, *outputs):
        half = len(outputs) // 2
        sides = [dict(zip(names, part, strict=True)) for part in (outputs[:half], outputs[half:])]
        changed = replace(
            batch,
            queries=queries,
            documents=documents,
            query_tokens=replace(batch.query_tokens, outputs=sides[0]),
            document_tokens=replace(batch.document_tokens, outputs=sides[1]),
        )
        # The teacher is constant, which differences would not see.
        return m3(changed, **settings | {"self_distillation": False})

    assert torch.autograd.gradcheck(loss, [part.detach().clone().requires_grad_() for part in given])


def test_defaults_are_the_paper_s():
    settings = M3().model_dump()
    assert settings["score_weights"] == {"dense": 1, "lexical": 0.3, "multi_vector": 1}
    assert settings["loss_weights"] == {"dense": 1, "lexical": 0.1, "multi_vector": 1}


def test_sentence_transformers_gives_the_same_outputs(folder, texts):
    """Of one plain model: lexical weights and vectors by `encode(output_value=None)`, and the embedding as ever."""
    encoder, plain = (
        Encoder(folder, precision="float32", tokens_per_batch=64),
        SentenceTransformer(str(folder), device="cpu"),
    )
    special = set(encoder.tokenizer.all_special_ids)
    for side, encode in (("query", plain.encode_query), ("document", plain.encode_document)):
        ours = encoder.encode_tokens(texts, list(BESIDE), prompt=encoder.contract.prompt(side, "retrieval"))
        np.testing.assert_allclose(ours.embeddings.numpy(), encode(texts), rtol=0, atol=1e-5)
        assert np.array_equal(ours.embeddings.numpy(), encoder.encode(texts, side=side, task="retrieval"))
        skipped = len(encoder.tokenizer(PROMPT)["input_ids"]) - 1 if side == "query" else 0
        place = 0
        for length, features in zip(ours.tokens.lengths.tolist(), encode(texts, output_value=None), strict=True):
            real = int(features["attention_mask"].sum())
            kept = [i for i in range(skipped, real) if int(features["input_ids"][i]) not in special]
            assert ours.tokens.ids[place : place + length].tolist() == features["input_ids"][kept].tolist()
            for head, name in {"lexical": "lexical_weights", "multi_vector": "multi_vectors"}.items():
                found = ours.tokens.outputs[head][place : place + length]
                torch.testing.assert_close(found, features[name][kept], rtol=0, atol=1e-5)
            place += length
        assert place == len(ours.tokens.ids)


def test_sentence_transformers_multi_vector_encoder_ranks_alike(folder, texts, contract):
    """Its class for such models, put together from the folder's own modules."""
    paths = {module["name"]: module["path"] for module in json.loads((folder / "modules.json").read_text())}
    head = Dense.load(str(folder), subfolder=paths["multi_vector"])
    head.module_output_name = "token_embeddings"
    transformer = Transformer(str(folder), max_seq_length=contract.max_tokens.longest)
    special = transformer.tokenizer.all_special_tokens
    mask = MultiVectorMask(skiplist_words=special, skiplist_tasks=["query", "document"])
    normalise = Normalize(module_input_name="token_embeddings")
    theirs = MultiVectorEncoder(
        modules=[transformer, head, normalise, mask], similarity_fn_name="meanmaxsim", device="cpu"
    )
    kept = [text for text in texts if text]
    expected = theirs.similarity(theirs.encode_document(kept), theirs.encode_document(kept))
    ours = Encoder(folder, precision="float32").encode_tokens(kept, ["multi_vector"], prompt="").tokens
    torch.testing.assert_close(multi_vector.score(ours, ours), expected, rtol=0, atol=1e-5)


SETTINGS = {"precision": "float32", "epochs": 10, "learning_rate": 3e-3, "weight_decay": 0.1}


@pytest.fixture(scope="module")
def own_tokens(contract, tokens_of, training_rows):
    return tokens_of(training_rows, contract=contract)


def test_the_loss_trains_the_heads(parent, contract, train_here, own_tokens, texts, tmp_path):
    more = {"tokens": own_tokens, "objective": {"m3": {"temperature": 0.1}}, "mini_batch_tokens": 64}
    lines = train_here(parent, contract, **SETTINGS, **more)
    assert lines[-1]["loss"] < 0.8 * lines[0]["loss"]
    before, after = read_state(parent, contract), read_state(tmp_path / "run" / "model", contract)
    assert not [name for name in before if name.startswith("heads.") and torch.equal(after[name], before[name])]
    found = Encoder(tmp_path / "run" / "model", precision="float32").encode(texts, side="query", task="retrieval")
    plain = SentenceTransformer(str(tmp_path / "run" / "model"), device="cpu")
    np.testing.assert_allclose(found, plain.encode_query(texts), rtol=0, atol=1e-5)


ROUNDED = {"weights": "bfloat16", "precision": "bfloat16", "zero": 1}


@pytest.mark.parametrize(
    "more", [{}, ROUNDED, ROUNDED | {"adapter": {"type": "lora"}}], ids=["float32", "bfloat16", "LoRA"]
)
def test_a_loss_on_embeddings_leaves_the_heads_as_they_are(parent, contract, train_here, own_tokens, tmp_path, more):
    """Also where the weights that trained beside them were bfloat16."""
    train_here(parent, contract, tokens=own_tokens, **SETTINGS | {"epochs": 1} | more)
    before, after = read_state(parent, contract), read_state(tmp_path / "run" / "model", contract)
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], before[name]) for name in before if name.startswith("heads."))
    assert not torch.equal(after["encoder.layer.0.output.dense.weight"], before["encoder.layer.0.output.dense.weight"])


@pytest.fixture
def corpus(tmp_path):
    rows = [
        Pair(q, a, tuple(OTHERS[i : i + 3]), split="test")
        for i, (q, a) in enumerate(zip(QUESTIONS, ANSWERS, strict=True))
    ]
    write_pairs(tmp_path / "pairs.parquet", pair_frame(rows, "toy", "eng-Latn"))
    write_documents(
        tmp_path / "documents.parquet", document_frame([Document(text, "test") for text in ANSWERS + OTHERS])
    )
    return tmp_path


@pytest.mark.parametrize("weights", [{"lexical": 0.3, "multi_vector": 1.0}, {"multi_vector": 2.0}], ids=len)
@pytest.mark.parametrize("kind", ["retrieval", "reranking"])
def test_documents_are_ranked_by_the_weighted_sum(folder, corpus, monkeypatch, kind, weights):
    from ascent.evaluation import search

    monkeypatch.setattr(search, "QUERIES", 3)
    settings = check(
        TaskSettings, {"name": "Toy", "task": {"type": kind, "corpus": "toy", "rank_by": weights}}, "toy.yaml"
    )
    task = make_task(settings, Tables(corpus / "pairs.parquet", corpus / "documents.parquet", folder=corpus))
    data = task.dataset["default"]["test"]
    model = SearchingModel(Encoder(folder, precision="float32"), "ascent/toy", weights)
    model.index(data["corpus"])
    options = {"task_metadata": task.metadata, "encode_kwargs": {"batch_size": 4}, "top_ranked": data["top_ranked"]}
    found = model.search(data["queries"], top_k=5, **options)
    documents = {text_id(text): text for text in ANSWERS + OTHERS}
    for query in data["queries"]:
        allowed = data["top_ranked"][query["id"]] if kind == "reranking" else documents
        sides = [
            model.encoder.encode_tokens(
                texts, list(BESIDE), prompt=model.encoder.contract.prompt(side, "retrieval")
            ).tokens
            for side, texts in {"query": [query["text"]], "document": [documents[key] for key in allowed]}.items()
        ]
        expected = sum(weight * scores_by_head(name, *sides) for name, weight in weights.items())[0].tolist()
        best = sorted(zip(expected, allowed, strict=True), reverse=True)[:5]
        assert list(found[query["id"]]) == [key for _, key in best]
        assert list(found[query["id"]].values()) == pytest.approx([score for score, _ in best], abs=1e-5)


def test_dense_alone_is_the_ordinary_evaluation(folder, corpus):
    entries = []
    for scores in ({}, {"dense": 2.0}):
        task = {"type": "retrieval", "corpus": "toy", "rank_by": scores}
        settings = check(TaskSettings, {"name": "Toy", "task": task}, "toy.yaml")
        files = {"pairs": corpus / "pairs.parquet", "documents": corpus / "documents.parquet"}
        files |= {"output": corpus / "Toy.json", "units": corpus / "Toy.units.parquet"}
        evaluate_task(settings, folder, recipe="toy", stage="base", **files)
        entries.append(json.loads((corpus / "Toy.json").read_text())["scores"]["test"][0])
    assert entries[0]["main_score"] == pytest.approx(entries[1]["main_score"], abs=1e-9)


def test_only_tasks_that_rank_take_rank_by():
    with pytest.raises(AscentError, match=r"unknown key 'task.rank_by'; known are: corpus, queries, split, type"):
        check(
            TaskSettings, {"name": "Toy", "task": {"type": "sts", "corpus": "toy", "rank_by": {"dense": 1}}}, "toy.yaml"
        )


def test_what_is_not_finite_is_refused(folder, texts, contract, tmp_path):
    state = read_state(folder, contract)
    name = "heads.multi_vector.linear.bias"
    save_like(folder, state | {name: torch.full_like(state[name], torch.nan)}, contract, {}, tmp_path / "model")
    with pytest.raises(AscentError, match="is not finite; train it again in float32"):
        Encoder(tmp_path / "model").encode_tokens(texts, ["multi_vector"], prompt="")


def test_every_head_beside_has_a_score():
    assert {"dense", *BESIDE} == set(get_args(ScoreKind)) == set(ScoreWeights.model_fields)
    assert all(callable(module_of(components(Head)[name]).score) for name in BESIDE)


def test_tiles_hold_whole_texts(monkeypatch):
    monkeypatch.setattr(token_scores, "TILE", 12)
    queries, documents = (
        Encoded(embeddings=torch.randn(len(side.lengths), 4, dtype=torch.float64), tokens=side)
        for side in (tokens([2, 1], 1), tokens([2, 3, 0, 7, 1, 1], 2))
    )
    tiles = list(documents.tiles(queries))
    assert [texts for _, texts, _ in tiles] == [slice(0, 1), slice(1, 3), slice(3, 4), slice(4, 6)]
    joined = torch.cat([scores_by_kind(queries, tile) for tile, _, _ in tiles], dim=-1)
    torch.testing.assert_close(joined, scores_by_kind(queries, documents))
