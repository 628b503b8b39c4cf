"""Render a data set's samples as a page to read: kept, dropped by each filter, and set aside."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.report.samples import render_samples


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audits", type=Path, nargs="+", required=True, help="the data set's and its corpus's audits")
    parser.add_argument("--pairs", type=Path, nargs="+", required=True, help="its training pairs, all parts")
    parser.add_argument("--dropped", type=Path, nargs="+", required=True, help="rows that its filters dropped")
    parser.add_argument("--scores", type=Path, nargs="*", default=[], help="the teacher's scores, if a filter has them")
    parser.add_argument("--output", type=Path, required=True, help="HTML to write")
    options = parser.parse_args()
    render_samples(options.audits, options.pairs, options.dropped, options.scores, options.output)


if __name__ == "__main__":
    raise SystemExit(main())
