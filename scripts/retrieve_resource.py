"""Retrieve a corpus or a model from its source into a folder, with provenance.json."""

import argparse

from ascent.errors import reports_errors
from ascent.files import read_yaml
from ascent.layout import DOWNLOADS
from ascent.settings.validation import check
from ascent.sources import Resource, retrieve


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", required=True, choices=["corpora", "models"])
    parser.add_argument("--settings", required=True, help="YAML with the corpus or model; only its `source` is read")
    parser.add_argument("--output", required=True, help="folder to make")
    parser.add_argument("--cache", default=DOWNLOADS, help="folder for downloads that resources share")
    options = parser.parse_args()

    values = read_yaml(options.settings)
    if isinstance(values, dict):
        values = {key: value for key, value in values.items() if key == "source"}
    resource = check(Resource, values, options.settings)
    retrieve(resource.source, options.output, options.kind, options.cache)


if __name__ == "__main__":
    raise SystemExit(main())
