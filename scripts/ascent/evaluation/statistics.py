"""Intervals of scores, and tests of each stage against a baseline.

The model is fixed; what varies is the sample of queries (or texts, or pairs) in a task. So queries are resampled, and all
stages see the same resample, because a hard query is hard for all of them.

**Intervals** are 95% BCa bootstrap intervals from 10,000 resamples (`scipy.stats.bootstrap`). Percentile intervals will not
do: nDCG and accuracy are skewed near 1, and resampling adds ties, which bias Spearman's correlation. BCa corrects both to
second order (Efron 1987, doi:10.1080/01621459.1987.10478410).

- Retrieval, reranking (nDCG@10, MAP, any mean over queries) and classification (share of mteb's classifiers that label a text
  correctly, so that the mean is mteb's accuracy): queries or texts are drawn, and their scores averaged.
- STS: pairs are drawn with their human scores and similarities, and ranked again within the resample. Pairs that share a
  text are less independent than this assumes, so an interval over Lee's 50 texts is too narrow.
- Tasks with several subsets: each subset is resampled separately, and the main score is the mean over subsets, as in mteb.
- Clustering: a V-measure is not a mean over texts, so its score has no interval.

**Tests** are two-sided paired permutation tests with 9,999 random draws (`scipy.stats.permutation_test`): under the null
hypothesis, a query's scores by stage and baseline are exchangeable. STS exchanges the two models' ranks of a pair, because
their similarities lie on different scales, and Spearman's correlation is Pearson's of ranks. Normality is not assumed:
nDCG@10, with its many zeros and ones, is far from normal. The p-values of all stages and tasks of a recipe are one family,
adjusted by Holm's method (1979), which holds under any dependence between them.

All draws have fixed seeds: the same units give the same tables.
"""

import json
import math
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
import polars as pl
from scipy import stats

from ..errors import AscentError
from ..files import write_atomically
from .units import Units, read_units

RESAMPLES = 10_000
LEVEL = 0.95
SEED = 0
# A difference is significant if its adjusted p-value is below this.
ALPHA = 0.05
# Numbers per batch of resamples: 64 MiB of float64.
_BATCH = 8_000_000

_TEXT, _NUMBER = pl.String, pl.Float64
SCORES = dict.fromkeys(("recipe", "stage", "task", "type", "metric"), _TEXT) | dict.fromkeys(("score", "low", "high"), _NUMBER)
SIGNIFICANCE = (
    dict.fromkeys(("recipe", "stage", "baseline", "task", "metric"), _TEXT)
    | dict.fromkeys(("difference", "low", "high", "p_value", "p_adjusted"), _NUMBER)
    | {"units": pl.Int64}
)


def main_score(units: Units) -> float:
    """Return the main score of units: the mean over subsets of each subset's mean or correlation."""
    scores, reference = _arrays([units])
    return float(_score(units.metric, scores, reference, _rows(units))[0])


def intervals(models: list[Units]) -> tuple[np.ndarray, np.ndarray]:
    """Return the intervals of one task's scores, and of the differences to the first model.

    Both have shape (models, 2): low and high, in the metric's unit; NaN if a subset has fewer than two units.
    """
    scores, reference = _arrays(models)
    rows, metric, n_models = _rows(models[0]), models[0].metric, len(models)
    if not rows or min(len(group) for group in rows) < 2:
        return np.full((n_models, 2), np.nan), np.full((n_models, 2), np.nan)

    def statistic(*draws: np.ndarray, axis: int) -> np.ndarray:
        # The samples are row numbers, so that one draw serves all models: this is the paired bootstrap.
        values = _score(metric, scores, reference, draws)
        return np.concatenate([values, values - values[:1]])

    with warnings.catch_warnings():
        # The difference of two equal models is always 0, which BCa cannot correct and warns about.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        result = stats.bootstrap(
            rows,
            statistic,
            n_resamples=RESAMPLES,
            confidence_level=LEVEL,
            batch=max(1, _BATCH // scores.size),
            method="BCa",
            rng=np.random.default_rng(SEED),
        )
    ends = np.stack(result.confidence_interval, axis=-1)
    percentile = np.quantile(result.bootstrap_distribution, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=-1).T
    ends = np.where(np.isnan(ends), percentile, ends)
    return ends[:n_models], ends[n_models:]


def p_value(baseline: Units, model: Units) -> float:
    """Return the two-sided p-value of a model's difference to the baseline on one task; NaN without units."""
    (base, other), reference = _arrays([baseline, model])
    groups = baseline.groups()
    if not groups:
        return math.nan
    if not _is_mean(baseline.metric):
        reference = _standard(_ranks(baseline.metric, reference, groups), groups)
        base, other = (_ranks(baseline.metric, values, groups) for values in (base, other))

    def difference(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        if _is_mean(baseline.metric):
            return np.mean([(x[..., group] - y[..., group]).mean(axis) for group in groups], axis=0)
        x, y = _standard(x, groups), _standard(y, groups)
        return np.mean([((x - y) * reference)[..., group].mean(axis) for group in groups], axis=0)

    return float(
        stats.permutation_test(
            (other, base),
            difference,
            permutation_type="samples",
            n_resamples=RESAMPLES - 1,
            batch=max(1, _BATCH // (2 * len(base))),
            vectorized=True,
            rng=np.random.default_rng(SEED),
        ).pvalue
    )


def holm(p_values: list[float]) -> list[float]:
    """Return p-values adjusted by Holm's step-down method: the lowest family-wise level at which each is still rejected."""
    order = np.argsort(p_values)
    factors = len(p_values) - np.arange(len(p_values))
    stepped = np.minimum(1, np.maximum.accumulate(factors * np.asarray(p_values)[order]))
    adjusted = np.empty(len(p_values))
    adjusted[order] = stepped
    return adjusted.tolist()


def verdict(row: dict) -> str:
    """Return `better`, `worse` or `no clear difference` for a row of significance.tsv."""
    if row["p_adjusted"] >= ALPHA:
        return "no clear difference"
    return "better" if row["difference"] > 0 else "worse"


def compare_stages(results: list[Path], scores: Path, significance: Path, baseline: str = "base") -> None:
    """Write scores.tsv and significance.tsv of a recipe from mteb's results.

    `results`: <Task>.json of each stage, with <Task>.units.parquet beside it. Stages and tasks keep this order. Raises
    AscentError for a score that is NaN, and for stages that were evaluated on different units.
    """
    units: dict[str, dict[str, Units]] = defaultdict(dict)
    values: dict[tuple[str, str], float] = {}
    order: dict[str, int] = {}
    for path in results:
        one = read_units(path.with_suffix(".units.parquet"))
        units[one.task][one.stage] = one
        values[one.task, one.stage] = _mteb_score(path)
        order.setdefault(one.stage, len(order))
    score_rows, test_rows = [], []
    for task, by_stage in units.items():
        # The baseline comes first, because differences are to the first.
        stages = sorted(by_stage, key=lambda stage: stage != baseline)
        models = [by_stage[stage] for stage in stages]
        own, differences = intervals(models)
        for i, (stage, model) in enumerate(zip(stages, models, strict=True)):
            score = values[task, stage]
            score_rows.append((model.recipe, stage, task, model.type, model.metric, score, *own[i]))
            if stage != baseline and stages[0] == baseline and model.table.num_rows:
                gain = main_score(model) - main_score(models[0])
                p, n = p_value(models[0], model), model.table.num_rows
                test_rows.append((model.recipe, stage, baseline, task, model.metric, gain, *differences[i], p, n))
    adjusted = holm([row[-2] for row in test_rows])
    test_rows = [(*row[:-1], p, row[-1]) for row, p in zip(test_rows, adjusted, strict=True)]
    _write(scores, SCORES, sorted(score_rows, key=lambda row: order[row[1]]))
    _write(significance, SIGNIFICANCE, sorted(test_rows, key=lambda row: order[row[1]]))


def read_table(path: Path) -> list[dict]:
    """Return the rows of scores.tsv or significance.tsv; an empty cell is None."""
    try:
        return pl.read_csv(path, separator="\t", infer_schema_length=None).to_dicts()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise AscentError(f"{path}: could not be read ({' '.join(str(error).split())[:120]}); re-run compare_stages.") from None


def _write(path: Path, schema: dict, rows: list[tuple]) -> None:
    frame = pl.DataFrame(rows, schema=schema, orient="row").fill_nan(None)
    with write_atomically(path) as temporary:
        frame.write_csv(temporary, separator="\t", float_precision=6)


def _mteb_score(path: Path) -> float:
    # mteb writes NaN for metrics that a task does not have. Python's reader accepts it, and the main score is checked.
    entries = [entry for split in json.loads(path.read_text())["scores"].values() for entry in split]
    score = float(np.mean([entry["main_score"] for entry in entries]))
    if math.isnan(score):
        raise AscentError(f"{path}: main_score is NaN; remove the file and re-run evaluate_task.")
    return score


def _arrays(models: list[Units]) -> tuple[np.ndarray, np.ndarray]:
    """Return scores (models, units) and human scores (units,) of one task's models. Raises AscentError for other units."""
    first = models[0].table
    for model in models[1:]:
        if not model.table.drop_columns("score").equals(first.drop_columns("score")):
            raise AscentError(f"{model.task}: two stages were evaluated on different queries; re-run evaluate_task for all.")
    return np.stack([model.table["score"].to_numpy() for model in models]), first["reference"].to_numpy()


def _rows(units: Units) -> tuple[np.ndarray, ...]:
    return tuple(np.arange(group.start, group.stop) for group in units.groups())


def _is_mean(metric: str) -> bool:
    return not metric.endswith(("spearman", "pearson"))


def _score(metric: str, scores: np.ndarray, reference: np.ndarray, draws: tuple[np.ndarray, ...]) -> np.ndarray:
    """Return the main scores (models, ...) of units drawn by row number, one array (..., units) per subset."""
    if _is_mean(metric):
        return np.mean([scores[:, draw].mean(axis=-1) for draw in draws], axis=0)
    whole = [slice(None)]
    correlations = []
    for draw in draws:
        human = _standard(_drawn(metric, reference, draw), whole)
        correlations.append([(_standard(_drawn(metric, model, draw), whole) * human).mean(axis=-1) for model in scores])
    return np.mean(correlations, axis=0)


def _drawn(metric: str, values: np.ndarray, draw: np.ndarray) -> np.ndarray:
    """Return values[draw] for Pearson's correlation; for Spearman's their ranks within each draw, ties at the mean rank.

    Ranks are counted, not sorted: values are ordered once for all draws, which is five times faster.
    """
    if metric.endswith("pearson"):
        return values[draw]
    order = stats.rankdata(values, method="dense") - 1
    drawn, distinct = order[draw].reshape(-1, draw.shape[-1]), order.max() + 1
    places = drawn + distinct * np.arange(len(drawn))[:, None]
    counts = np.bincount(places.ravel(), minlength=distinct * len(drawn)).reshape(len(drawn), distinct)
    ranks = np.cumsum(counts, axis=1) - (counts - 1) / 2
    return np.take_along_axis(ranks, drawn, axis=1).reshape(draw.shape)


def _ranks(metric: str, values: np.ndarray, groups: list[slice]) -> np.ndarray:
    """Return ranks per group for Spearman's correlation, the values themselves for Pearson's."""
    if metric.endswith("pearson"):
        return values
    return np.concatenate([stats.rankdata(values[..., group], axis=-1) for group in groups], axis=-1)


def _standard(values: np.ndarray, groups: list[slice]) -> np.ndarray:
    """Return values with mean 0 and variance 1 per group, so that a mean product is a correlation."""
    parts = [values[..., group] for group in groups]
    return np.concatenate([(v - v.mean(-1, keepdims=True)) / v.std(-1, keepdims=True) for v in parts], axis=-1)
