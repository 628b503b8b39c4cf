"""Make a model folder, with its prompt contract, of a model as it was retrieved."""

import argparse
from pathlib import Path

from ascent.contract import weights_digest
from ascent.errors import reports_errors
from ascent.files import folder_atomically
from ascent.model import load_backbone, save_new
from ascent.settings import Contract
from ascent.validation import load


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="contract, YAML")
    parser.add_argument("--resource", type=Path, required=True, help="folder with the retrieved model")
    parser.add_argument("--output", type=Path, required=True, help="model folder to make")
    arguments = parser.parse_args()
    contract = load(Contract, arguments.settings)
    load_backbone(arguments.resource, contract)  # refuses what training could not use
    with folder_atomically(arguments.output) as folder:
        history = {"retrieved": weights_digest(arguments.resource)}
        save_new(arguments.resource, contract, history, folder)


if __name__ == "__main__":
    raise SystemExit(main())
