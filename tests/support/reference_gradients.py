"""A batch's gradient by loops over rows and documents, with torch's autograd and nothing of the engine."""

import numpy as np
import torch

from ascent.losses import Embedded
from ascent.model.batching import pad
from ascent.model.embedding_model import EmbeddingModel
from ascent.model.token_scores import TokenOutputs
from support import reference_losses
from support.gradient_cases import (
    LOSSES,
    QUEUED_SOURCES,
    ROWS,
    SIZES,
    SPECIAL,
    TEMPERATURE,
    Row,
    batch_of,
    factor,
    prepared,
    queued,
    rows,
    unit,
)


def reference(folder: str, case: dict) -> dict[str, torch.Tensor]:
    """The gradient by loops over rows and documents; with an adversarial perturbation that of L(0) + L(r), each text
    moved by its r."""
    model = prepared(folder, case, plain=True)
    texts = [text for row in rows(case["kind"]) for text in (row.query, *row.documents)]
    loss = _loss_by_loops(model, case, [0.0] * len(texts))
    if "epsilon" in case:
        zeros = [torch.zeros(len(text), 32, dtype=torch.float64, requires_grad=True) for text in texts]
        # A graded row's negatives have no gradient, and are not moved.
        found = torch.autograd.grad(_loss_by_loops(model, case, zeros), zeros, materialize_grads=True)
        loss = loss + _loss_by_loops(model, case, [case["epsilon"] * g / g.norm() if g.norm() else g for g in found])
    loss.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def _loss_by_loops(model: EmbeddingModel, case: dict, moved: list) -> torch.Tensor:
    """The batch's loss, with the input embeddings of each text moved: each row's query, its documents, then the next
    row's."""
    table = rows(case["kind"])
    sizes = {32: 1.0} | (SIZES if case["kind"] == "matryoshka" else {})
    moves = iter(moved)
    of_tokens: list[TokenOutputs] = []

    def embed(tokens: np.ndarray) -> torch.Tensor:
        inputs = pad([tokens], 0)
        embedded = model.backbone.get_input_embeddings()(inputs.pop("input_ids")) + next(moves)
        states = model.backbone(inputs_embeds=embedded, **inputs).last_hidden_state[0]
        if case["kind"] == "m3":
            counted = [place for place, token in enumerate(tokens) if token not in SPECIAL]
            linear = {name: head.linear for name, head in model.heads.items()}
            made = {
                name: torch.stack([states[i] @ part.weight.T + part.bias for i in counted])
                for name, part in linear.items()
            }
            made["lexical"] = made["lexical"].clamp(min=0)
            of_tokens.append(
                TokenOutputs(lengths=torch.tensor([len(counted)]), ids=torch.tensor(tokens[counted]), outputs=made)
            )
        if case.get("head") == "latent_attention":
            states = reference_losses.latent_attention(
                states, dict(model.heads.latent_attention.named_parameters()), heads=4
            )
        if case.get("head") == "projection":
            linear = model.heads.projection.linear
            return linear.weight @ states.mean(0) + linear.bias
        return states.mean(0)

    embedded = [[embed(text) for text in (row.query, *row.documents)] for row in table]
    queries, documents = [own[0] for own in embedded], [own[1:] for own in embedded]

    def score(a: torch.Tensor, b: torch.Tensor, size: int) -> torch.Tensor:
        return a[:size] @ b[:size] / (a[:size].norm() * b[:size].norm())

    def contrast(number: int, size: int) -> torch.Tensor:
        row = table[number]
        rivals = [number] if row.source == 2 else [n for n, other in enumerate(table) if other.source == row.source]
        own = score(queries[number], documents[number][0], size) / TEMPERATURE
        others = [
            score(queries[number], document, size) / TEMPERATURE
            for n in rivals
            for i, document in zip(table[n].ids, documents[n], strict=True)
            if i != row.ids[0]
        ]
        if "queue" in case and row.source == 0:
            others += [
                score(queries[number], entry, size) / TEMPERATURE
                for i, entry in enumerate(queued())
                if i != row.ids[0] and QUEUED_SOURCES[i] == 0
            ]
        loss = torch.logsumexp(torch.stack([own, *others]), 0) - own
        if case["symmetric"] and row.source == 0:
            back = [
                score(documents[number][0], queries[i], size) / TEMPERATURE
                for i, r in enumerate(table)
                if r.source == 0 and r.ids[0] != row.ids[0]
            ]
            loss = (loss + torch.logsumexp(torch.stack([own, *back]), 0) - own) / 2
        return loss

    total = torch.zeros((), dtype=torch.float64)
    if case["kind"] in LOSSES:
        name, settings = LOSSES[case["kind"]]
        batch = batch_of(case["kind"], 0, 1)
        ordered = [own[0] for own in documents] + [negative for own in documents for negative in own[1:]]
        same = batch.tensors()
        if of_tokens:
            same |= _of_sides(of_tokens, table)
        whole = Embedded(queries=unit(torch.stack(queries)), documents=unit(torch.stack(ordered)), **same)
        own = batch.dataset_index != 1
        total = batch.weights[own] @ getattr(reference_losses, name)(whole.select(own), **settings)
    for number, row in enumerate(table):
        if case["kind"] in LOSSES and row.source != 1:
            continue
        for size, weight in sizes.items():
            if row.source == 1:
                loss = (score(queries[number], documents[number][0], size) - row.label) ** 2
            else:
                loss = contrast(number, size)
            total = total + weight * factor(case["kind"], row.source) * loss
    return total / ROWS


def _of_sides(texts: list[TokenOutputs], table: list[Row]) -> dict[str, TokenOutputs]:
    """Tokens of each row's query and documents, then the next row's, as tokens of the queries, and of the positives and
    then the negatives."""
    starts = np.cumsum([0, *(1 + len(row.documents) for row in table)])[:-1]
    negatives = [start + 2 + i for start, row in zip(starts, table, strict=True) for i in range(len(row.documents) - 1)]
    found = {}
    for side, order in {"query_tokens": starts, "document_tokens": [*(starts + 1), *negatives]}.items():
        own = [texts[i] for i in order]
        found[side] = TokenOutputs(
            lengths=torch.cat([text.lengths for text in own]),
            ids=torch.cat([text.ids for text in own]),
            outputs={name: torch.cat([text.outputs[name] for text in own]) for name in own[0].outputs},
        )
    return found
