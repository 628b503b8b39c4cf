"""Audit the negatives that a stage replaced while it trained, from its metrics."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.files import write_json
from ascent.negatives.audit import audit_replacements


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.jsonl of a stage with mining.dynamic")
    parser.add_argument("--stage", required=True, help="the stage")
    parser.add_argument("--output", type=Path, required=True, help="audit, JSON")
    arguments = parser.parse_args()
    audit = {"kind": "replacements", "stage": arguments.stage} | audit_replacements(arguments.metrics)
    write_json(arguments.output, audit)


if __name__ == "__main__":
    raise SystemExit(main())
