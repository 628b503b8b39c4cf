"""Draw the way from each corpus's rows to a recipe's training pairs, of the audits."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.report.flow import draw_flows
from ascent.report.pages import read_audits


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audits", type=Path, nargs="+", required=True, help="audits of corpora and pairs, JSON")
    parser.add_argument("--output", type=Path, required=True, help="SVG to write")
    options = parser.parse_args()
    draw_flows(read_audits(options.audits), options.output)


if __name__ == "__main__":
    raise SystemExit(main())
