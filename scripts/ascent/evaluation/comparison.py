"""The tables of a recipe: scores with intervals, each stage compared with the base, and a merged one with its
parents."""

import json
import math
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import polars as pl

from ..errors import AscentError, warn
from ..files import write_atomically
from .mteb_names import metric_name, units_name
from .permutation import ALPHA, compare, independent_units, smallest_p, units_needed
from .statistics import intervals, main_score
from .units import Units, read_units

# The model before training.
BASE = "base"
_TEXT, _NUMBER = pl.String, pl.Float64
# `reason`: why there is no interval, or no test.
SCORES = (
    dict.fromkeys(("recipe", "stage", "task", "type", "metric"), _TEXT)
    | dict.fromkeys(("score", "low", "high"), _NUMBER)
    | {"reason": _TEXT}
)
# low, high: of the difference alone; low_adjusted, high_adjusted: of all differences of the recipe together.
SIGNIFICANCE = (
    dict.fromkeys(("recipe", "stage", "baseline", "task", "metric"), _TEXT)
    | dict.fromkeys(("difference", "low", "high", "low_adjusted", "high_adjusted", "p_value", "p_adjusted"), _NUMBER)
    | {"units": pl.Int64, "reason": _TEXT}
)


def verdict(row: dict) -> str:
    """Return `better`, `worse`, `no clear difference` or `not tested` for a row of significance.tsv."""
    if row["p_adjusted"] is None:
        return "not tested"
    if row["p_adjusted"] >= ALPHA:
        return "no clear difference"
    return "better" if row["difference"] > 0 else "worse"


def tally(rows: list[dict]) -> str:
    """Return how many rows of significance.tsv have which verdict, in words."""
    counts = Counter(map(verdict, rows))
    parts = [f"{word} on {counts[word]}" for word in ("better", "worse", "no clear difference")]
    return ", ".join([*parts, *([f"not tested on {counts['not tested']}"] if counts["not tested"] else [])])


def best_parents(against: dict[str, list[str]], choices: list[dict], baseline: str = BASE) -> dict[str, list[str]]:
    """Return what merged stages are compared with besides the baseline: their evaluated parents (`against`), or of a
    stage with a development set the parent that scores best on it. choices: the contents of weights.json.

    A best parent that was not evaluated is told.
    """
    found = dict(against)
    for choice in choices:
        stage, best = choice["stage"], max(choice["parents"], key=choice["parents"].get)
        if stage not in against:  # not evaluated itself
            continue
        if best not in (*against[stage], baseline):
            of = f"{best}, the best parent of {stage} on {choice['dataset']}"
            warn(f"evaluate.stages lacks {of}, so they are not compared; add it.")
        found[stage] = [parent for parent in against[stage] if parent == best]
    return found


def compare_stages(
    results: list[Path],
    scores: Path,
    significance: Path,
    baseline: str = BASE,
    against: dict[str, list[str]] | None = None,
) -> None:
    """Write scores.tsv and significance.tsv of a recipe from mteb's results.

    `results`: <Task>.json of each stage, with <Task>.units.parquet beside it. Stages and tasks keep this order. Every
    other stage is compared with the baseline, and a stage of `against` with the stages that it names, too. Raises
    AscentError for a score that is NaN, and for stages that were evaluated on different units."""
    units: dict[str, dict[str, Units]] = defaultdict(dict)
    values: dict[tuple[str, str], float] = {}
    for path in results:
        one = read_units(path.with_suffix(".units.parquet"))
        units[one.task][one.stage] = one
        values[one.task, one.stage] = _mteb_score(path)
    order = {stage: i for i, stage in enumerate(dict.fromkeys(stage for _, stage in values))}
    score_rows, test_rows = [], []
    compared = {baseline: [stage for stage in order if stage != baseline]}
    for stage, others in (against or {}).items():
        for other in others:
            compared.setdefault(other, []).append(stage)
    family = _Family(units, compared)
    for task, by_stage in units.items():
        # The baseline comes first, because differences are to the first.
        stages = sorted(by_stage, key=lambda stage: stage != baseline)
        models = [by_stage[stage] for stage in stages]
        own, differences = intervals(models)
        for stage, model, ends in zip(stages, models, own, strict=True):
            row = {"recipe": model.recipe, "stage": stage, "task": task, "type": model.type, "metric": model.metric}
            ends = {"low": ends[0], "high": ends[1], "reason": _no_interval(model, ends)}
            score_rows.append(row | {"score": values[task, stage]} | ends)
        for first, others in compared.items():
            later = [model for stage, model in by_stage.items() if stage in others]
            if first in by_stage and later and later[0].table.num_rows:
                ends = differences if first == baseline else intervals([by_stage[first], *later])[1]
                test_rows += _differences(by_stage[first], later, ends[1:], family)
    _write(scores, SCORES, sorted(score_rows, key=lambda row: order[row["stage"]]))
    _write(significance, SIGNIFICANCE, sorted(test_rows, key=lambda row: order[row["stage"]]))


def read_table(path: Path) -> list[dict]:
    """Return the rows of scores.tsv or significance.tsv; an empty cell is None."""
    try:
        return pl.read_csv(path, separator="\t", infer_schema_length=None).to_dicts()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise AscentError(
            f"{path}: could not be read ({' '.join(str(error).split())[:120]}); re-run compare_stages."
        ) from None


class _Family:
    """A recipe's comparisons: how many are `possible`, how many are `tested`, and on which `tasks`.

    Those of too few units for any difference to be found among so many would only make the others harder to find.
    """

    def __init__(self, units: dict[str, dict[str, Units]], compared: dict[str, list[str]]):
        counts = {
            task: sum(first in by_stage and stage in by_stage for first, stages in compared.items() for stage in stages)
            for task, by_stage in units.items()
            if next(iter(by_stage.values())).table.num_rows
        }
        self.possible = sum(counts.values())
        one = {task: next(iter(units[task].values())) for task, count in counts.items() if count}
        self.tasks = [task for task in one if smallest_p(independent_units(one[task]), self.possible) < ALPHA]
        self.tested = sum(counts[task] for task in self.tasks)


def _differences(first: Units, others: list[Units], alone: np.ndarray, family: _Family) -> list[dict]:
    """Return the rows of significance.tsv of one task's models, each compared with the first. alone: the intervals of
    the differences alone, (others, 2)."""
    found = compare([first, *others], family.tested) if first.task in family.tasks else [None] * len(others)
    rows = []
    for model, ends, test in zip(others, alone, found, strict=True):
        row = {
            "recipe": model.recipe,
            "stage": model.stage,
            "baseline": first.stage,
            "task": model.task,
            "metric": model.metric,
        }
        row |= {"difference": main_score(model) - main_score(first), "low": ends[0], "high": ends[1]}
        row |= {"units": model.table.num_rows, "reason": None if test else _too_few(model, family.possible)}
        if test:
            row |= {"low_adjusted": test.low, "high_adjusted": test.high}
            row |= {"p_value": test.p_value, "p_adjusted": test.p_adjusted}
        rows.append(row)
    return rows


def _too_few(units: Units, family: int) -> str:
    count = independent_units(units)
    what = units_name(units.type) if count == units.table.num_rows else "texts"
    return (
        f"{count} {what} cannot tell any difference among {family} comparisons; evaluate at least"
        f" {units_needed(family)}"
    )


def _no_interval(model: Units, ends: np.ndarray) -> str | None:
    if not math.isnan(ends[0]):
        return None
    if not model.table.num_rows:
        return f"{metric_name(model.metric)} is not a mean over {units_name(model.type)}"
    return f"fewer than two {units_name(model.type)}"


def _write(path: Path, schema: dict, rows: list[dict]) -> None:
    numbers = pl.col(pl.Float64)
    frame = pl.DataFrame(rows, schema=schema).with_columns(pl.when(numbers.is_finite()).then(numbers).name.keep())
    with write_atomically(path) as temporary:
        frame.write_csv(temporary, separator="\t", float_precision=6)


def _mteb_score(path: Path) -> float:
    # mteb writes NaN for metrics that a task does not have. Python's reader accepts it, and the main score is checked.
    entries = [entry for split in json.loads(path.read_text())["scores"].values() for entry in split]
    score = float(np.mean([entry["main_score"] for entry in entries]))
    if math.isnan(score):
        raise AscentError(f"{path}: main_score is NaN; remove the file and re-run evaluate_task.")
    return score
