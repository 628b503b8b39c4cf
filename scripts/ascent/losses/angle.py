"""AnglE: graded pairs are ranked by an angle in the complex plane, which does not saturate as the cosine does (Li and
Li 2023, arXiv 2309.12871, section 3.4)."""

import torch

from . import Embedded
from .cosent import ranking


def angle(local: Embedded, *, scale: float) -> torch.Tensor:
    """Return per row the loss of its data set, see `ranking`, with AnglE's similarity.

    An embedding's first half are the real parts of complex numbers, its second half the imaginary parts. With unit
    vectors z of the query and w of the positive, the similarity is |Re(c) + Im(c)|, c = sum_k z_k * conj(w_k), as in
    the authors' code. If the number of dimensions is odd, the last real part has no imaginary one."""
    odd = local.queries.shape[1] % 2
    query, positive = (
        torch.nn.functional.pad(torch.nn.functional.normalize(side, dim=1), (0, odd))
        for side in (local.queries, local.positives)
    )
    real, imaginary = query.chunk(2, dim=1)
    turned = torch.cat([imaginary, -real], dim=1)
    return ranking(((query + turned) * positive).sum(1).abs(), local, scale)
