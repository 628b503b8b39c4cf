"""Render the statistics of a recipe's corpora and data sets as a page for the report."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.report.statistics_page import render_statistics


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--statistics", type=Path, nargs="+", required=True, help="what describe_rows wrote, JSON")
    parser.add_argument("--audits", type=Path, nargs="*", default=[], help="audits of corpora and pairs, JSON")
    parser.add_argument("--output", type=Path, required=True, help="HTML to write")
    options = parser.parse_args()
    render_statistics(options.statistics, options.audits, options.output)


if __name__ == "__main__":
    raise SystemExit(main())
