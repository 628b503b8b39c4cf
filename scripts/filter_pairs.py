"""Drop the prepared pairs that the teacher scores too low, and complete the audit."""

import argparse

import polars as pl
import pyarrow as pa

from ascent.errors import reports_errors
from ascent.files import read_json, write_json
from ascent.pairs.filters import keep_scored
from ascent.pairs.table import read_columns, read_pairs, write_pairs
from ascent.settings.pairs import Threshold
from ascent.settings.validation import load

SCORES = pa.schema({"query_id": pa.string(), "positive_id": pa.string(), "score": pa.float64()})


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", required=True, help="YAML with the data set's settings")
    parser.add_argument("--prepared", required=True, help="pairs that passed the text filters")
    parser.add_argument("--prepared-audit", required=True, help="their audit")
    parser.add_argument("--scores", nargs="?", help="parquet with query_id, positive_id, score; if there is a teacher")
    parser.add_argument("--output", required=True, help="parquet file to write")
    parser.add_argument("--audit", required=True, help="JSON file to write")
    options = parser.parse_args()

    scores = pl.from_arrow(read_columns(options.scores, SCORES)) if options.scores else None
    pairs, audit = keep_scored(
        load(Threshold, options.settings),
        read_pairs(options.prepared),
        read_json(options.prepared_audit),
        scores,
    )
    write_pairs(options.output, pairs)
    write_json(options.audit, audit)


if __name__ == "__main__":
    raise SystemExit(main())
