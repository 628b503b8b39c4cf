"""The report's pages behind the first: scores, significance and audits as self-contained HTML, no link or script."""

import math
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..errors import AscentError
from ..evaluation.mteb_names import metric_name
from ..evaluation.statistics import ALPHA, read_table, verdict
from ..files import read_json, write_atomically
from .figures import stage_colours

TEMPLATES = Path(__file__).with_name("templates")
# Width in pixels of the strip on which an interval is drawn.
STRIP = 220


def environment(**options) -> Environment:
    """Return the templates with the filters that all of them use. A name that is not given is an error."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )
    found.filters |= {
        "metric": metric_name,
        "number": number,
        "signed": lambda value: number(value, sign=True),
        "p": p_text,
    }
    return found


def number(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """Return a number as the tables print it; an en dash for none, a true minus sign."""
    if value is None:
        return "–"
    # The sum makes -0.0 of a small negative number 0.0.
    return f"{round(value, digits) + 0.0:{'+' if sign else ''}.{digits}f}".replace("-", "\u2212")


def p_text(value: float) -> str:
    """Return a p-value: two digits that count, and no more zeros than the test can resolve."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def score_table(rows: list[dict]) -> dict:
    """Return the rows of scores.tsv by task: stages, one line a task with a cell a stage, and the means over tasks."""
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    cells = {(row["task"], row["stage"]): row for row in rows}
    lines = []
    for task in dict.fromkeys(row["task"] for row in rows):
        line = [cells.get((task, stage)) for stage in stages]
        first = next(cell for cell in line if cell)
        best = max(cell["score"] for cell in line if cell)
        lines.append({"task": task, "type": first["type"], "metric": first["metric"], "cells": line, "best": best})
    complete = [line["cells"] for line in lines if all(line["cells"])]
    means = [sum(cells[i]["score"] for cells in complete) / len(complete) for i in range(len(stages))] if complete else []
    return {"stages": stages, "lines": lines, "means": means}


def read_audits(paths: list[Path]) -> dict[str, list[dict]]:
    """Return audits by kind (`corpora`, `pairs`, `negatives`, `replacements`), each with its name and its file."""
    audits = {"corpora": [], "pairs": [], "negatives": [], "replacements": []}
    for path in paths:
        audit = read_json(path)
        named = audit if isinstance(audit, dict) else {}
        if "filters" in named:
            audits["pairs"].append(audit | {"name": audit["dataset"], "file": str(path)})
        elif "set_aside" in named:
            audits["corpora"].append(audit | {"name": audit["corpus"], "file": str(path)})
        elif "counts" in named:
            # .../<stage>/negatives/<data set>.audit.json
            name = f"{path.parent.parent.name}, {path.name.split('.')[0]}"
            audits["negatives"].append(audit | {"name": name, "file": str(path)})
        elif "checks" in named:
            audits["replacements"].append(audit | {"name": path.parent.name, "file": str(path)})
        else:
            raise AscentError(f"{path}: no audit of a corpus, of pairs or of negatives; give the audits only.")
    return audits


def render_scores(scores: Path, output: Path) -> None:
    """Write the page of scores.tsv."""
    rows = read_table(scores)
    ends = [value for row in rows for value in (row["low"], row["high"], row["score"]) if value is not None]
    strip = Strip(math.floor(min(ends) * 10) / 10, math.ceil(max(ends) * 10) / 10)
    colours = stage_colours([row["stage"] for row in rows])
    write_page("scores.html.j2", output, table=score_table(rows), strip=strip, colours=colours, source=scores)


def render_significance(significance: Path, output: Path) -> None:
    """Write the page of significance.tsv."""
    rows = read_table(significance)
    ends = [abs(value) for row in rows for value in (row["low"], row["high"], row["difference"]) if value is not None]
    reach = max(ends, default=0.0) * 1.05 or 0.1
    stages = {stage: [row for row in rows if row["stage"] == stage] for stage in dict.fromkeys(row["stage"] for row in rows)}
    strip = Strip(-reach, reach)
    write_page(
        "significance.html.j2",
        output,
        stages=stages,
        strip=strip,
        verdict=verdict,
        alpha=ALPHA,
        source=significance,
    )


def render_audits(audits: list[Path], output: Path) -> None:
    """Write the page of the audits."""
    write_page("audits.html.j2", output, **read_audits(audits))


class Strip:
    """Places numbers between two ends on a strip of pixels."""

    def __init__(self, low: float, high: float, width: int = STRIP) -> None:
        self.low, self.high, self.width = low, high, width

    def at(self, value: float) -> float:
        """Return the place of a value in pixels; 6 pixels at both ends are left for the dots."""
        return round(6 + (self.width - 12) * (value - self.low) / (self.high - self.low), 1)


def write_page(template: str, output: Path, **values) -> None:
    """Write a page: a template with its values."""
    text = environment(autoescape=True).get_template(template).render(**values)
    with write_atomically(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
