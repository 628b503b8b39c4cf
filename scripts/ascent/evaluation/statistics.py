"""Intervals of scores: bootstrap over what was sampled.

The model is fixed; what varies is the sample of queries (or texts, or pairs) in a task. So queries are resampled, and
all stages see the same resample, because a hard query is hard for all of them. `permutation.py` tests differences.

**Intervals** are 95% BCa bootstrap intervals from 10,000 resamples (`scipy.stats.bootstrap`). Percentile intervals will
not do: nDCG and accuracy are skewed near 1, and resampling adds ties, which bias Spearman's correlation. BCa corrects
both to second order (Efron 1987, doi:10.1080/01621459.1987.10478410).

- Means over queries or texts (nDCG@10, MAP, accuracy, ...): these are drawn, and their scores averaged. Of a
  classification
  it is the share of mteb's classifiers that label a text correctly, so that the mean is mteb's accuracy.
- STS: pairs are drawn with their human scores and similarities, and ranked again within the resample.
- Units that share a text are not independent: Lee's 50 texts make 1,225 pairs. Where texts recur, texts are drawn
  instead,
  and a pair counts as often as both of its texts (`groups.py`; Snijders & Borgatti 1999, Connections 22(2); Owen 2007,
  doi:10.1214/07-AOAS122, shows that this rather overstates the variance).
- Tasks with several subsets: each subset is resampled separately, and the main score is the mean over subsets, as in
  mteb.
- A score that is neither a mean nor a correlation of units, such as a V-measure, has no interval.

All draws have fixed seeds: the same units give the same tables.
"""

import warnings

import numpy as np
from scipy import stats

from ..errors import AscentError
from .groups import Groups, groups_of
from .units import Units

RESAMPLES = 10_000
LEVEL = 0.95
SEED = 0
# Numbers per batch of resamples: 64 MiB of float64.
BATCH = 8_000_000


def main_score(units: Units) -> float:
    """Return the main score of units: the mean over subsets of each subset's mean or correlation."""
    scores, reference = arrays([units])
    weights = [np.ones((1, rows.stop - rows.start)) for rows in units.subsets()]
    return float(_score(units, scores, reference, weights)[0, 0])


def intervals(models: list[Units]) -> tuple[np.ndarray, np.ndarray]:
    """Return the intervals of one task's scores, and of the differences to the first model.

    Both have shape (models, 2): low and high, in the metric's unit; NaN if a subset has fewer than two independent
    units."""
    scores, reference = arrays(models)
    first, n_models = models[0], len(models)
    groups = [groups_of(first.texts(rows)) for rows in first.subsets()]
    if min((part.count for part in groups), default=0) < 2:
        return np.full((n_models, 2), np.nan), np.full((n_models, 2), np.nan)

    def statistic(*draws: np.ndarray, axis: int) -> np.ndarray:
        # The samples are numbers of groups, so that one draw serves all models: this is the paired bootstrap.
        weights = [_weights(part, draw) for part, draw in zip(groups, draws, strict=True)]
        values = _score(first, scores, reference, weights)
        return np.concatenate([values, values - values[:1]]).reshape(2 * n_models, *draws[0].shape[:-1])

    with warnings.catch_warnings():
        # The difference of two equal models is always 0, which BCa cannot correct and warns about.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        result = stats.bootstrap(
            [np.arange(part.count) for part in groups],
            statistic,
            n_resamples=RESAMPLES,
            confidence_level=LEVEL,
            batch=max(1, BATCH // max(scores.size, sum(part.count for part in groups))),
            method="BCa",
            rng=np.random.default_rng(SEED),
        )
        percentile = np.nanquantile(result.bootstrap_distribution, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=-1).T
    ends = np.stack(result.confidence_interval, axis=-1)
    ends = np.where(np.isnan(ends), percentile, ends)
    return ends[:n_models], ends[n_models:]


def arrays(models: list[Units]) -> tuple[np.ndarray, np.ndarray]:
    """Return scores (models, units) and human scores (units,) of one task's models. Raises AscentError for other
    units."""
    first = models[0].table
    for model in models[1:]:
        if not model.table.drop_columns("score").equals(first.drop_columns("score")):
            raise AscentError(
                f"{model.task}: two stages were evaluated on different queries; re-run evaluate_task for all."
            )
    return np.stack([model.table["score"].to_numpy() for model in models]), first["reference"].to_numpy()


def standardised(metric: str, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return values (units,) as a correlation sees them, with mean 0 and variance 1 under weights (draws, units).

    For Spearman's correlation these are their ranks, as if each value occurred as often as its weight says, ties at the
    mean rank. Ranks are counted, not sorted: values are ordered once for all draws."""
    values = np.broadcast_to(values, weights.shape)
    if metric.endswith("spearman") and values.size:
        place = stats.rankdata(values[0], method="dense") - 1
        order = np.argsort(place, kind="stable")
        starts = np.flatnonzero(np.diff(place[order], prepend=-1))
        counts = np.add.reduceat(weights[:, order], starts, axis=1)
        values = (np.cumsum(counts, axis=1) - (counts - 1) / 2)[:, place]
    total = weights.sum(axis=1, keepdims=True)
    centred = values - (weights * values).sum(axis=1, keepdims=True) / total
    return centred / np.sqrt((weights * centred**2).sum(axis=1, keepdims=True) / total)


def _score(units: Units, scores: np.ndarray, reference: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Return the main scores (models, draws) of weighted units; `weights`: (draws, units) of each subset."""
    parts = []
    for rows, weight in zip(units.subsets(), weights, strict=True):
        total = weight.sum(axis=1)
        if units.is_mean:
            parts.append(scores[:, rows] @ weight.T / total)
            continue
        human = weight * standardised(units.metric, reference[rows], weight)
        parts.append(
            [(standardised(units.metric, model[rows], weight) * human).sum(axis=1) / total for model in scores]
        )
    return np.mean(parts, axis=0)


def _weights(groups: Groups, draws: np.ndarray) -> np.ndarray:
    """Return how often units occur, (draws, units), in draws (..., groups) of groups by number."""
    draws = draws.reshape(-1, draws.shape[-1])
    places = draws + groups.count * np.arange(len(draws))[:, None]
    counts = (
        np.bincount(places.ravel(), minlength=groups.count * len(draws)).reshape(len(draws), groups.count).astype(float)
    )
    if groups.second is None:
        return counts[:, groups.first]
    return counts[:, groups.first] * np.where(groups.second < 0, 1.0, counts[:, groups.second])
