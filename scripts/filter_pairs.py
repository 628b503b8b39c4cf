"""Apply the filters that need scores, and those behind them, and complete the audit."""

import argparse

from ascent.errors import reports_errors
from ascent.files import read_json, write_json
from ascent.pairs.filtering import finish
from ascent.pairs.table import read_all_pairs, read_pair_scores, read_pairs, write_pairs
from ascent.settings.pairs import Filtering
from ascent.settings.validation import load


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", required=True, help="filtering.yaml")
    parser.add_argument("--prepared", required=True, help="pairs that passed the filters before scoring")
    parser.add_argument("--prepared-audit", required=True, help="their audit")
    parser.add_argument("--scores", nargs="?", help="parquet with query_id, positive_id, score, if a filter needs scores")
    parser.add_argument("--against", nargs="*", default=[], help="pairs of the corpora and tasks that filters compare with")
    parser.add_argument("--output", required=True, help="parquet file to write")
    parser.add_argument("--audit", required=True, help="JSON file to write")
    options = parser.parse_args()

    scores = read_pair_scores(options.scores) if options.scores else None
    prepared = read_pairs(options.prepared)
    against = read_all_pairs(options.against)
    settings, audit = load(Filtering, options.settings), read_json(options.prepared_audit)
    pairs, audit = finish(settings, prepared, audit, scores, against)
    write_pairs(options.output, pairs)
    write_json(options.audit, audit)


if __name__ == "__main__":
    raise SystemExit(main())
