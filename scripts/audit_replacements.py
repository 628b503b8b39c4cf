"""Tell from a stage's metrics which negatives were replaced while it trained."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.files import write_json
from ascent.negatives.selection import audit_replacements


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.jsonl of a stage with mining.dynamic")
    parser.add_argument("--output", type=Path, required=True, help="audit, JSON")
    arguments = parser.parse_args()
    write_json(arguments.output, audit_replacements(arguments.metrics))


if __name__ == "__main__":
    raise SystemExit(main())
