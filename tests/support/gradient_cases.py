"""The batches, stages and models whose gradients test_gradients.py compares."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from transformers import AutoModel

from ascent.model.adapters import adapt
from ascent.model.backbone import load_backbone
from ascent.model.batching import Texts
from ascent.model.embedding_model import EmbeddingModel
from ascent.model.heads import new_heads
from ascent.settings.adapters import Lora
from ascent.settings.base import components
from ascent.settings.contrastive import Contrastive
from ascent.settings.losses import Loss
from ascent.settings.model import Contract
from ascent.training.data import Batch
from ascent.training.schedule import dealt

CONTRACT = Contract(max_tokens=32)
TEMPERATURE = 0.1
SIZES = {8: 0.5, 16: 2.0}
ROWS = 9  # two processes hold 5 and 4 rows; four hold 3, 2, 2, 2

# What a batch holds: for each row the number of its data set. Data sets: 0 and 3 with in-batch negatives, 1 graded, 2
# without.
KINDS = {"infonce": [0] * ROWS, "graded": [1] * ROWS, "mixed": [0, 0, 1, 2, 0, 0, 2, 1, 0], "matryoshka": [0] * ROWS}
KINDS["balanced"] = [0, 3, 1, 3, 0, 2, 0, 3, 0]
DATA = {"pairs": {}, "graded": {"objective": "cosine"}, "classes": {"in_batch": False, "loss_weight": 0.5}}
DATA["others"] = {"loss_weight": 0.8}
# Kinds whose reference is a loop of reference_losses.py: a loss and its settings, of rows of the data sets 0 and 2. Of
# four processes, one has no such row.
M3 = {"score_weights": {"dense": 1.0, "lexical": 0.3, "multi_vector": 0.8}, "self_distillation": True}
M3["loss_weights"] = {"dense": 1.0, "lexical": 0.1, "multi_vector": 0.9}
TERMS = ("query-query", "document-query", "document-document")
LOSSES = {
    "cosent": ("cosent", {"scale": 5.0}),
    "angle": ("angle", {"scale": 5.0}),
    "triplet": ("triplet", {"margin": 1.0, "distance": "euclidean"}),
    "all terms": ("infonce", {"temperature": TEMPERATURE, "terms": TERMS, "false_negative_margin": 0.1}),
    "debiased": ("infonce", {"temperature": TEMPERATURE, "symmetric": True, "tau_plus": 0.05, "focal_gamma": 0.5}),
    "mixing": ("infonce", {"temperature": TEMPERATURE, "mixing": {"pairwise": 3, "listwise": True, "seed": 7}}),
    "circle": ("circle", {"gamma": 16.0, "margin": 0.4}),
    "spread out": ("spread_out", {}),
    "margin mse": ("margin_mse", {"scale": 2.0}),
    "embedding mse": ("embedding_mse", {}),
    "m3": ("m3", {"temperature": 0.5, **M3}),
    "distill kl": ("distill_kl", {"temperature": 0.5, "teacher_temperature": 2.0}),
}
KINDS |= {kind: [0, 1, 2, 2, 0, 1, 0, 0, 2] for kind in LOSSES}
# A queue of earlier documents: entry i has the id i, so that some are answers of the batch's rows, and every third is
# of the graded data set, whose loss is another.
QUEUED, QUEUED_SOURCES = 12, [1 if i % 3 == 2 else 0 for i in range(12)]
HEADS = {"projection": {"dimension": 12, "bias": True}, "latent_attention": {"latents": 6, "heads": 4}}
BESIDE = {"lexical": {}, "multi_vector": {"dimension": 7}}
SPECIAL = range(5, 25)  # a tenth of the tokens
ADAPTER = Lora(type="lora", rank=4, targets=["query", "value"], dropout=0)


@dataclass(frozen=True, kw_only=True)
class Row:
    """Token ids of query, positive and negatives; ids of the documents, equal where the texts are equal; a teacher's
    scores."""

    query: np.ndarray
    documents: list[np.ndarray]
    ids: list[int]
    source: int
    label: float
    scores: list[float]


def rows(kind: str) -> list[Row]:
    """Rows with 0 to 2 negatives. Rows 1, 4 and 7 share a positive, row 2's negative is row 0's positive."""
    draw = np.random.default_rng(0)

    def text() -> np.ndarray:
        return draw.integers(5, 200, size=draw.integers(3, 20)).astype(np.int32)

    queries = [text() for _ in range(ROWS)]
    documents = [[text() for _ in range(1 + index % 3)] for index in range(ROWS)]
    documents[4][0] = documents[7][0] = documents[1][0]
    documents[2][1] = documents[0][0]
    seen: dict[bytes, int] = {}
    ids = [[seen.setdefault(document.tobytes(), len(seen)) for document in own] for own in documents]
    return [
        Row(
            query=queries[i],
            documents=documents[i],
            ids=ids[i],
            source=source,
            label=i / ROWS,
            scores=[math.nan if source == 1 else 3 * math.sin(i + 7 * place) for place in range(len(ids[i]))],
        )
        for i, source in enumerate(KINDS[kind])
    ]


def taught(texts: list[int]) -> torch.Tensor:
    """A teacher's embeddings of texts by their numbers."""
    return torch.sin(torch.outer(0.5 + torch.tensor(texts, dtype=torch.float64), torch.arange(32, dtype=torch.float64)))


def batch_of(kind: str, rank: int, world: int) -> Batch:
    """A process's share of the batch, as training deals it."""
    table = rows(kind)
    lengths = np.array([len(row.query) + sum(map(len, row.documents)) for row in table])
    numbers = dealt(lengths, rank, world).tolist()
    own = [table[number] for number in numbers]
    negatives = [
        (i, document, id_)
        for i, row in enumerate(own)
        for document, id_ in zip(row.documents[1:], row.ids[1:], strict=True)
    ]
    return Batch(
        tokens=Texts.of(
            [row.query for row in own] + [row.documents[0] for row in own] + [text for _, text, _ in negatives]
        ),
        prompt_lengths=[0] * (2 * len(own) + len(negatives)),
        rows=len(own),
        global_rows=ROWS,
        numbers=torch.tensor(numbers),
        row_of_document=torch.tensor([*range(len(own)), *(i for i, _, _ in negatives)]),
        document_ids=torch.tensor([row.ids[0] for row in own] + [id_ for _, _, id_ in negatives]),
        answers=torch.tensor([[row.ids[0]] for row in own]),
        groups=torch.tensor([1 + number if row.source == 2 else 0 for number, row in zip(numbers, own, strict=True)]),
        labels=torch.tensor([row.label for row in own], dtype=torch.float64),
        dataset_index=torch.tensor([row.source for row in own]),
        weights=torch.tensor([factor(kind, row.source) for row in own], dtype=torch.float64),
        teacher_scores=torch.tensor(
            [row.scores[0] for row in own] + [score for row in own for score in row.scores[1:]], dtype=torch.float64
        ),
        teacher_queries=taught([100 + number for number in numbers]),
        teacher_documents=taught([row.ids[0] for row in own] + [id_ for _, _, id_ in negatives]),
    )


def factor(kind: str, source: int) -> float:
    """A row's factor in the mean over the batch. Balanced, the rows of a data set are a mean of their own."""
    share = ROWS / KINDS[kind].count(source) if kind == "balanced" else 1.0
    return share * list(DATA.values())[source].get("loss_weight", 1.0)


def stage_of(case: dict, **settings) -> Contrastive:
    name, settings_of_loss = LOSSES.get(
        case["kind"], ("infonce", {"temperature": TEMPERATURE, "symmetric": case["symmetric"]})
    )
    return Contrastive(
        objective={name: settings_of_loss},
        data=DATA,
        batching="balanced" if case["kind"] == "balanced" else "mixed",
        matryoshka=SIZES if case["kind"] == "matryoshka" else {},
        teacher={"model": "t", "type": "bi-encoder"} if components(Loss)[name].needs.startswith("teacher") else None,
        gradient_clipping=0,
        dropout=0,
        adversarial={"epsilon": case["epsilon"]} if "epsilon" in case else None,
        queue={} if "queue" in case else None,
        **settings,
    )


def heads_of(case: dict) -> dict:
    return {case["head"]: HEADS[case["head"]]} if "head" in case else BESIDE if case["kind"] == "m3" else {}


def prepared(folder: str, case: dict, *, plain: bool = False) -> EmbeddingModel:
    """The model of a case, in float64; LoRA's second factors are drawn, since at zero the first ones have no gradient.

    plain: the backbone as transformers loads it, with its own attention.
    """
    contract = Contract(max_tokens=32, heads=heads_of(case))
    if plain:
        dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        backbone = AutoModel.from_pretrained(folder, attn_implementation="eager", **dropout)
    else:
        backbone, _ = load_backbone(folder, CONTRACT, dropout=case.get("dropout", 0.0))
    if case.get("lora"):
        adapt(backbone, ADAPTER, None, "here")
        draw = torch.Generator().manual_seed(0)
        for parameter in backbone.parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=0.1, generator=draw)
    if case.get("checkpointing"):
        backbone.gradient_checkpointing_enable({"use_reentrant": False})
    heads = new_heads(contract, 32)
    torch.manual_seed(0)
    for (
        parameter
    ) in heads.parameters():  # a new one's last matrices are zero, and what stands before them has no gradient
        torch.nn.init.normal_(parameter, std=0.3)
    return EmbeddingModel(backbone, contract, heads=heads, special_ids=SPECIAL).double()


def unit(rows: torch.Tensor) -> torch.Tensor:
    return rows / rows.norm(dim=1, keepdim=True)


def queued() -> torch.Tensor:
    """What a queue holds, (QUEUED, 32)."""
    return unit(torch.randn(QUEUED, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
