"""MarginMSE: margins between documents are learned from a teacher (Hofstätter et al. 2020, arXiv 2010.02666)."""

import torch

from . import Embedded


def margin_mse(local: Embedded, *, scale: float) -> torch.Tensor:
    """Return per row the mean of ((s(q, p) - s(q, n)) - (t(q, p) - t(q, n)))^2 over its own negatives n, where s is
    `scale` times the inner product and t the teacher's score; 0 if it has none. A row's loss depends on no other
    row."""
    rows = len(local.queries)
    owners = local.row_of_document[rows:]
    margins = scale * (local.queries[local.row_of_document] * local.documents).sum(1)
    margins = margins - local.teacher_scores.to(margins.dtype)
    losses = (margins[:rows][owners] - margins[rows:]) ** 2
    total = margins.new_zeros(rows).index_add(0, owners, losses)
    return total / torch.bincount(owners, minlength=rows).clamp(min=1)
