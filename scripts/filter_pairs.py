"""Apply the filters of one pass to a part of a data set, and count every drop."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.files import read_json, write_json
from ascent.pairs.filtering import check_audit, check_rows_are_left, filter_pairs
from ascent.pairs.table import count_pairs
from ascent.settings.pairs import Filtering
from ascent.settings.validation import load


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="the data set's name")
    parser.add_argument("--settings", required=True, help="filtering.yaml")
    parser.add_argument(
        "--rows",
        type=Path,
        nargs="+",
        required=True,
        help="the part's rows, and the other parts' that filters need",
    )
    parser.add_argument("--place", type=int, default=-1, help="the part's place among --rows; by default the last")
    parser.add_argument("--audit-before", nargs="?", help="the part's audit by the pass before")
    parser.add_argument(
        "--measured", type=Path, nargs="*", default=[], help="what filters judge the rows by: scores, signatures"
    )
    parser.add_argument(
        "--against", type=Path, nargs="*", default=[], help="pairs of corpora and tasks that filters compare with"
    )
    parser.add_argument(
        "--models", type=Path, nargs="*", default=[], help="models whose tokenizers filters need: their folders"
    )
    parser.add_argument("--parts", type=int, default=1, help="how many parts there are")
    parser.add_argument("--output", type=Path, required=True, help="parquet file to write")
    parser.add_argument("--audit", required=True, help="JSON file to write")
    parser.add_argument(
        "--dropped", type=Path, required=True, help="parquet file to write, with some of the rows dropped"
    )
    options = parser.parse_args()

    audit = filter_pairs(
        options.name,
        load(Filtering, options.settings),
        options.rows,
        options.output,
        options.dropped,
        audit=read_json(options.audit_before) if options.audit_before else None,
        measured=options.measured,
        against=options.against,
        models=options.models,
        place=options.place,
    )
    check_audit(audit, count_pairs(options.output))
    if options.parts == 1:
        check_rows_are_left(audit)
    write_json(options.audit, audit)


if __name__ == "__main__":
    raise SystemExit(main())
