"""Print the contract of a model folder as YAML, for its entry in config/models.yaml."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.model.adoption.own_contract import own_contract
from ascent.settings.base import as_written


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a model's folder, in sentence-transformers' layout or made here")
    folder = parser.parse_args().folder
    print(as_written({"contract": own_contract(folder)}, flow=False))


if __name__ == "__main__":
    raise SystemExit(main())
