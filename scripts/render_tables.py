"""Render a recipe's scores, significance and audits as pages for the report."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.report.pages import render_audits, render_scores, render_significance


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, required=True, help="scores.tsv")
    parser.add_argument("--significance", type=Path, required=True, help="significance.tsv")
    parser.add_argument(
        "--audits", type=Path, nargs="*", default=[], help="audits of corpora, pairs and negatives, JSON"
    )
    parser.add_argument("--scores-page", type=Path, required=True, help="HTML to write")
    parser.add_argument("--significance-page", type=Path, required=True, help="HTML to write")
    parser.add_argument("--audits-page", type=Path, required=True, help="HTML to write")
    options = parser.parse_args()
    render_scores(options.scores, options.scores_page)
    render_significance(options.significance, options.significance_page)
    render_audits(options.audits, options.audits_page)


if __name__ == "__main__":
    raise SystemExit(main())
