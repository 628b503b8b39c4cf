"""Render the report's front page: what the recipe is, its headline result, and where to look."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.report.overview import render_overview
from ascent.settings.recipe import ReleaseSettings
from ascent.settings.validation import load


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="release.yaml")
    parser.add_argument("--scores", type=Path, required=True, help="scores.tsv")
    parser.add_argument("--significance", type=Path, required=True, help="significance.tsv")
    parser.add_argument(
        "--audits", type=Path, nargs="*", default=[], help="audits of corpora, pairs and negatives, JSON"
    )
    parser.add_argument("--pages", nargs="*", default=[], help="paths of the report's files, which the page links to")
    parser.add_argument("--output", type=Path, required=True, help="HTML to write")
    options = parser.parse_args()
    render_overview(
        load(ReleaseSettings, options.settings),
        options.scores,
        options.significance,
        options.audits,
        options.pages,
        options.output,
    )


if __name__ == "__main__":
    raise SystemExit(main())
