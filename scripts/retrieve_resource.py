"""Retrieve a corpus or a model from its source into a folder, with provenance.json."""

import argparse
from functools import partial
from pathlib import Path

from ascent.errors import reports_errors
from ascent.layout import DOWNLOADS
from ascent.settings.sources import Resource
from ascent.settings.validation import load
from ascent.sources import retrieve


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", required=True, choices=["corpora", "models"])
    parser.add_argument("--settings", required=True, help="YAML with the source")
    parser.add_argument("--output", required=True, help="folder to make")
    parser.add_argument(
        "--base", type=Path, nargs="?", help="folder with the model to merge an adapter into; default: none"
    )
    parser.add_argument("--cache", default=DOWNLOADS, help="folder for downloads that resources share")
    options = parser.parse_args()

    source, finish = load(Resource, options.settings).source, None
    if options.base:
        from ascent.model.merging import merge_adapter  # imports torch, for seconds

        finish = partial(merge_adapter, base=options.base)
    retrieve(source, options.output, options.kind, options.cache, finish)


if __name__ == "__main__":
    raise SystemExit(main())
