"""Compare training texts (queries, positives, negatives) with the texts of evaluated tasks; fail where one must not
be."""

import argparse
from functools import partial
from pathlib import Path

from ascent.errors import AscentError, reports_errors
from ascent.files import scratch_in, write_json
from ascent.pairs.ledger import (
    Training,
    as_rows,
    make_ledger,
    named_tables,
    pool_of,
    refuse,
    report,
    sizes_of,
    tables_of,
    trained_on,
    write_ledger,
)
from ascent.pairs.tested import TestedTexts
from ascent.settings.leaks import LeakCheck
from ascent.settings.validation import load


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=Path, nargs="*", default=[], help="training pairs")
    of_pool = "a corpus that negatives are mined among, and its documents"
    parser.add_argument("--pool", action="append", nargs="+", default=[], help=of_pool)
    parser.add_argument(
        "--evaluation", type=Path, nargs="*", default=[], help="pairs of the corpora that tasks are made of"
    )
    parser.add_argument("--documents", type=Path, nargs="*", default=[], help="documents of each of them, or none")
    of_searched = "a further corpus that tasks search in, and its documents"
    parser.add_argument("--searched", action="append", nargs="+", default=[], help=of_searched)
    parser.add_argument("--encoder", type=Path, nargs="?", help="model folder for the method `embedding`")
    parser.add_argument("--settings", required=True, help="leakage.yaml")
    parser.add_argument(
        "--ledger", type=Path, required=True, help="table of what matched, .tsv, also when the check fails"
    )
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    if options.documents and len(options.documents) != len(options.evaluation):
        raise AscentError("--documents: there must be one file for each of --evaluation; add those that are missing.")

    settings, pools = load(LeakCheck, options.settings), dict(zip(options.evaluation, options.documents, strict=False))
    tables = [
        table
        for name, pairs in named_tables(options.evaluation)
        for table in tables_of(name, pairs, [pools[file] for file in pairs] if pools else None, settings.splits)
    ]
    for name, *files in options.searched:
        tables.append(pool_of(name, [Path(file) for file in files], settings.searched[name]))
    training = trained_on(options.pairs)
    for name, *files in options.pool:
        training.append(Training(name, [Path(file) for file in files], True, tuple(settings.pools[name])))
    with scratch_in(options.output.parent) as folder:
        tested = TestedTexts.written(folder / "tested.arrow", tables)
        encode = None
        if options.encoder:
            from ascent.model.encoder import Encoder  # torch is loaded only where texts are embedded

            encoder = Encoder.of_backbone(options.encoder, settings.leaks.embedding.encoder, "float32")
            encode = partial(encoder.encode, side="query", task="sts")
        ledger = make_ledger(training, tested, settings.leaks, encode=encode)
        write_ledger(options.ledger, ledger)
        refuse(ledger)
        report(ledger, options.ledger)
        counts = {"splits": settings.splits, **sizes_of(training, tested), "ledger": as_rows(ledger)}
        write_json(options.output, counts)


if __name__ == "__main__":
    raise SystemExit(main())
