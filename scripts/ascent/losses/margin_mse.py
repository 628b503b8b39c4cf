"""MarginMSE: margins between documents are learned from a teacher (Hofstätter et al. 2020, arXiv 2010.02666)."""

import torch

from . import Embedded


def margin_mse(local: Embedded, *, scale: float) -> torch.Tensor:
    """Return for each row the mean of ((s(q, p) - s(q, n)) - (t(q, p) - t(q, n)))^2 over its own negatives n, where s is `scale`
    times the inner product and t the teacher's score; 0 where it has none. A row's loss concerns no other row."""
    rows = len(local.queries)
    owners = local.row_of_document[rows:]
    ahead = scale * (local.queries[local.row_of_document] * local.documents).sum(1)
    ahead = ahead - local.teacher_scores.to(ahead.dtype)
    losses = (ahead[:rows][owners] - ahead[rows:]) ** 2
    total = ahead.new_zeros(rows).index_add(0, owners, losses)
    return total / torch.bincount(owners, minlength=rows).clamp(min=1)
