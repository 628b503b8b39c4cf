"""Losses as loops over rows and documents, written from the papers' formulas: what the fast ones are compared with.

Each takes a whole batch (`Embedded`, float64) and the loss's settings, and returns the rows' losses with torch's own gradients.
"""

import torch


def cosine_of(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return one @ other / (one.norm() * other.norm())


def cosent(batch, scale: float) -> torch.Tensor:
    return _ranking([cosine_of(q, p) for q, p in zip(batch.queries, batch.positives, strict=True)], batch, scale)


def angle(batch, scale: float) -> torch.Tensor:
    def similarity(query: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
        half = (len(query) + 1) // 2
        pairs = [(side / side.norm()).tensor_split([half]) for side in (query, positive)]
        z, w = (torch.complex(a, torch.cat([b, b.new_zeros(half - len(b))])) for a, b in pairs)
        turn = (z * w.conj()).sum()
        return (turn.real + turn.imag).abs()

    return _ranking([similarity(q, p) for q, p in zip(batch.queries, batch.positives, strict=True)], batch, scale)


def _ranking(similarities: list[torch.Tensor], batch, scale: float) -> torch.Tensor:
    """For each row, all pairs of rows of its data set of which one has the higher label."""
    sources, labels = batch.sources.tolist(), batch.labels.tolist()
    losses = []
    for source in sources:
        rows = [row for row, other in enumerate(sources) if other == source]
        wrong = [
            torch.exp(scale * (similarities[low] - similarities[high]))
            for high in rows
            for low in rows
            if labels[high] > labels[low]
        ]
        losses.append(torch.log(1 + sum(wrong, torch.zeros((), dtype=torch.float64))))
    return torch.stack(losses)


def triplet(batch, margin: float, distance: str) -> torch.Tensor:
    def far(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return 1 - cosine_of(one, other) if distance == "cosine" else (one - other).pow(2).sum().sqrt()

    losses = []
    for row, (query, positive) in enumerate(zip(batch.queries, batch.positives, strict=True)):
        own = [
            torch.clamp(far(query, positive) - far(query, batch.documents[d]) + margin, min=0)
            for d in range(len(batch.queries), len(batch.documents))
            if batch.owners[d] == row and batch.document_ids[d] not in batch.answers[row]
        ]
        losses.append(sum(own) / len(own) if own else query.sum() * 0)
    return torch.stack(losses)
