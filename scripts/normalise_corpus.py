"""Read a retrieved corpus into the pair table: pairs, documents, and an audit of the rows set aside."""

import argparse
from pathlib import Path

from ascent.corpora.normalise import normalise
from ascent.errors import reports_errors, warn
from ascent.files import write_json
from ascent.settings.corpora import Reading
from ascent.settings.validation import load


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="the corpus's name")
    parser.add_argument("--settings", required=True, help="YAML with the corpus's settings")
    parser.add_argument("--resource", type=Path, required=True, help="folder of the retrieved corpus")
    parser.add_argument("--part", type=int, default=0, help="which part, from 0")
    parser.add_argument("--parts", type=int, default=1, help="how many parts there are")
    parser.add_argument(
        "--tokenizer", type=Path, nargs="?", help="tokenizer.json or model's folder, for passages in tokens"
    )
    parser.add_argument("--pairs", type=Path, required=True, help="parquet file to write")
    parser.add_argument("--documents", type=Path, required=True, help="parquet file to write")
    parser.add_argument("--set-aside", type=Path, required=True, help="parquet file to write, with some of those rows")
    parser.add_argument("--audit", required=True, help="JSON file to write")
    options = parser.parse_args()

    part = {"tokenizer": options.tokenizer, "part": options.part, "parts": options.parts}
    files = (options.resource, options.pairs, options.documents, options.set_aside)
    audit = normalise(options.name, load(Reading, options.settings), *files, **part)
    write_json(options.audit, audit)
    for kind in ("pairs", "documents"):
        print(
            f"{options.name}: {kind}: {', '.join(f'{count} {part}' for part, count in audit[kind].items()) or 'none'}"
        )
    for message in audit["warnings"]:
        warn(message)


if __name__ == "__main__":
    raise SystemExit(main())
