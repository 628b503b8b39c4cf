"""Spherical interpolation of models' weights, tensor by tensor (Shoemake 1985, doi:10.1145/325165.325242).

Between a and b with the angle W, at t from 0 to 1: (sin((1 - t) W) a + sin(t W) b) / sin W. The vectors keep their own
lengths, as in mergekit. Of more than two, each next one is interpolated with the result so far, at its share of the
weights so far; of equal vectors' directions that is the weighted mean in any order, else it depends on the order.

The angle is 2 atan2(|u - v|, |u + v|) of the unit vectors u and v (Kahan 2006, "How futile are mindless assessments of
roundoff"), exact where the arc cosine of their product is not: fine-tuned weights of one base are nearly parallel.
"""

import math

import torch

from ...settings.merging import Slerp

# Below this sine the mean is taken. Of nearly parallel vectors it differs by less than float32 resolves, a sixth of the
# angle's square; of opposite ones there is no shortest way.
PARALLEL = 1e-4


def slerp(tensors: list[torch.Tensor], weights: list[float], stage: Slerp) -> torch.Tensor:
    """Interpolate tensors of one shape, float64; weights sum to 1."""
    merged, total = tensors[0], weights[0]
    for tensor, weight in zip(tensors[1:], weights[1:], strict=True):
        total += weight
        merged = interpolated(merged, tensor, weight / total)
    return merged


def interpolated(first: torch.Tensor, second: torch.Tensor, t: float) -> torch.Tensor:
    """Return the point at t on the way from `first` to `second`; on the straight way where the arc has no direction."""
    lengths = first.norm(), second.norm()
    if not all(lengths):
        return (1 - t) * first + t * second
    one, other = first / lengths[0], second / lengths[1]
    angle = 2 * math.atan2((one - other).norm(), (one + other).norm())
    if math.sin(angle) < PARALLEL:
        return (1 - t) * first + t * second
    return (math.sin((1 - t) * angle) * first + math.sin(t * angle) * second) / math.sin(angle)
