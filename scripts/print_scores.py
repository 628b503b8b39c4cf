"""Print a recipe's scores, and where its card and its report are."""

import argparse
from pathlib import Path

from ascent.errors import AscentError, reports_errors
from ascent.evaluation.comparison import BASE, read_table, tally, verdict
from ascent.evaluation.mteb_names import metric_name
from ascent.report.pages import number, score_table


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="the folder of a recipe's results")
    parser.add_argument("--report", type=Path, help="the report's file, when there is one")
    options = parser.parse_args()
    if not (options.results / "scores.tsv").exists():
        raise AscentError(f"{options.results}: has no scores.tsv; build the recipe first, by `make run RECIPE=...`.")
    rows = read_table(options.results / "scores.tsv")
    tests = read_table(options.results / "significance.tsv")
    clear = {(row["task"], row["stage"]): verdict(row) for row in tests if row["baseline"] == BASE}
    marks = {"better": "+", "worse": "\u2212"}

    table = score_table(rows)
    lines = [["task", "metric", *table["stages"]]]
    for line in table["lines"]:
        scores = [
            f"{number(cell['score'])}{marks.get(clear.get((cell['task'], cell['stage'])), ' ')}" if cell else ""
            for cell in line["cells"]
        ]
        lines.append([line["task"], metric_name(line["metric"]), *scores])
    if table["means"]:
        lines.append(["mean over tasks", "", *(f"{number(mean)} " for mean in table["means"])])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for i, line in enumerate(lines):
        texts = [
            text.ljust(width) if n < 2 else text.rjust(width)
            for n, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(texts).rstrip())
        if i == 0:
            print("  ".join("-" * width for width in widths))
    print(
        f"\n+ better, {marks['worse']} worse than the base (adjusted p < 0.05); intervals: {options.results}/scores.tsv"
    )
    for stage, parent in dict.fromkeys((row["stage"], row["baseline"]) for row in tests if row["baseline"] != BASE):
        rows = [row for row in tests if (row["stage"], row["baseline"]) == (stage, parent)]
        print(f"{stage} against {parent}: {tally(rows)}")
    for what, path in (("card", options.results / "release" / "README.md"), ("report", options.report)):
        if path and path.exists():
            print(
                f"{what}: {path}"
                + (" (opens with the result; all pages are under Results)" if what == "report" else "")
            )


if __name__ == "__main__":
    raise SystemExit(main())
