"""The report's pages behind the first: scores, significance and audits as self-contained HTML, no link or script."""

import math
from collections import Counter
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..corpora.normalise import whole_audit as whole_corpus
from ..errors import AscentError
from ..evaluation.comparison import ALPHA, read_table, verdict
from ..evaluation.mteb_names import metric_name, units_name
from ..files import read_json, write_atomically
from ..pairs.filtering import whole_audit as whole_pairs
from .figures import stage_colours
from .provenance import sentence

TEMPLATES = Path(__file__).with_name("templates")
# Kinds of audit: rows set aside, pairs filtered, negatives mined, negatives replaced in training, a merge's weights
# chosen.
AUDITS = ("corpus", "pairs", "negatives", "replacements", "weights")
# Width in pixels of the strip on which an interval is drawn.
STRIP = 220


def environment(**options) -> Environment:
    """Return the templates with the filters that all of them use. An undefined name is an error."""
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )
    templates.filters |= {
        "metric": metric_name,
        "units": units_name,
        "number": number,
        "signed": lambda value: number(value, sign=True),
        "p": p_text,
    }
    return templates


def number(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """Return a number as tables print it: an en dash for None, a true minus sign."""
    if value is None:
        return "–"
    # Adding 0.0 turns -0.0 into 0.0.
    return f"{round(value, digits) + 0.0:{'+' if sign else ''}.{digits}f}".replace("-", "\u2212")


def p_text(value: float | None) -> str:
    """Return a p-value with three decimals, or `< 0.001`; an en dash for None."""
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def score_table(rows: list[dict]) -> dict:
    """Return the rows of scores.tsv as a table: stages, one line per task with a cell per stage and the reasons why
    cells have no interval, and means over tasks."""
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    cells = {(row["task"], row["stage"]): row for row in rows}
    lines = []
    for task in dict.fromkeys(row["task"] for row in rows):
        line = [cells.get((task, stage)) for stage in stages]
        first = next(cell for cell in line if cell)
        best = max(cell["score"] for cell in line if cell)
        reasons = list(dict.fromkeys(cell["reason"] for cell in line if cell and cell["reason"]))
        lines.append(
            {"task": task, "type": first["type"], "metric": first["metric"], "cells": line, "best": best}
            | {"reasons": reasons}
        )
    complete = [line["cells"] for line in lines if all(line["cells"])]
    means = (
        [sum(cells[i]["score"] for cells in complete) / len(complete) for i in range(len(stages))] if complete else []
    )
    return {"stages": stages, "lines": lines, "means": means}


def pair_counts(audit: dict) -> dict:
    """Return the counts of a data set's audit: `rows` of its corpus, of which `others` are not its own, by reason (of
    another split or task); `own`, of which `kept` passed the filters and others were `dropped`, by reason."""
    selection, dropped = audit["filters"][0], Counter()
    if selection["filter"] != "select":
        raise AscentError(
            f"the audit of the data set {audit['dataset']}: lacks the selection of rows; re-run filter_pairs."
        )
    for step in audit["filters"][1:]:
        dropped.update(step["dropped"])
    counts = {"rows": selection["in"], "others": selection["dropped"], "own": selection["kept"]}
    return counts | {"kept": audit["filters"][-1]["kept"], "dropped": dict(dropped)}


def read_audits(paths: list[Path]) -> dict[str, list[dict]]:
    """Return audits by kind, each with its file, those of the parts of a corpus or data set as one. Raises AscentError
    for a file that is not an audit."""
    audits = {kind: [] for kind in AUDITS}
    for path in paths:
        audit = read_json(path)
        kind = audit.get("kind") if isinstance(audit, dict) else None
        if kind not in audits:
            raise AscentError(f"{path}: is not an audit (its 'kind' is none of {', '.join(AUDITS)}); pass audits only.")
        audits[kind].append(audit | {"file": str(path)})
    for kind, whole, by in (("corpus", whole_corpus, "corpus"), ("pairs", whole_pairs, "dataset")):
        parts: dict[str, list[dict]] = {}
        for audit in audits[kind]:
            parts.setdefault(audit[by], []).append(audit)
        audits[kind] = [whole(found) for found in parts.values()]
    return audits


def render_scores(scores: Path, output: Path) -> None:
    """Write the page of scores.tsv."""
    rows = read_table(scores)
    ends = [value for row in rows for value in (row["low"], row["high"], row["score"]) if value is not None]
    low, high = math.floor(min(ends) * 10) / 10, math.ceil(max(ends) * 10) / 10
    strip = Strip(low, high if high > low else low + 0.1)
    colours = stage_colours([row["stage"] for row in rows])
    write_page("scores.html.j2", output, table=score_table(rows), strip=strip, colours=colours, source=scores)


def render_significance(significance: Path, output: Path) -> None:
    """Write the page of significance.tsv."""
    rows = read_table(significance)
    compared: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        compared.setdefault((row["stage"], row["baseline"]), []).append(row)
    values = {"compared": compared, "strip": Strip.of_differences(rows), "verdict": verdict, "alpha": ALPHA}
    tested = sum(row["p_adjusted"] is not None for row in rows)
    write_page("significance.html.j2", output, **values, tested=tested, source=significance)


def render_audits(audits: list[Path], output: Path) -> None:
    """Write the page of the audits."""
    write_page("audits.html.j2", output, audits=read_audits(audits), pair_counts=pair_counts)


class Strip:
    """Places numbers between two ends on a strip of pixels."""

    def __init__(self, low: float, high: float, width: int = STRIP) -> None:
        self.low, self.high, self.width = low, high, width

    @classmethod
    def of_differences(cls, rows: list[dict], **options) -> "Strip":
        """Return a strip around 0 on which all differences and their intervals have room."""
        ends = [row[key] for row in rows for key in ("difference", "low", "high", "low_adjusted", "high_adjusted")]
        reach = max((abs(end) for end in ends if end is not None), default=0.0) * 1.05 or 0.1
        return cls(-reach, reach, **options)

    def at(self, value: float) -> float:
        """Return the position of a value in pixels; both ends leave 6 pixels for the dots."""
        return round(6 + (self.width - 12) * (value - self.low) / (self.high - self.low), 1)


def write_page(template: str, output: Path, **values) -> None:
    """Write a page: a template with its values."""
    text = environment(autoescape=True).get_template(template).render(**values, made=sentence())
    with write_atomically(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
