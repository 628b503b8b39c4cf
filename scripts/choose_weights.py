"""Choose the weights of a merge by the scores of mixtures on a development set."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.files import write_json
from ascent.model.contract import read_contract
from ascent.settings.stages import StageSettings
from ascent.settings.validation import load
from ascent.tokens.table import TokenisedPairs
from ascent.training.choice import choose_weights
from ascent.training.data import open_table
from ascent.training.development import Split


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="stage.yaml")
    parser.add_argument("--parents", type=Path, nargs="+", required=True, help="model folders, in the order of 'from'")
    parser.add_argument("--tokens", type=Path, required=True, help="tokens of the development set")
    parser.add_argument(
        "--trained", type=Path, nargs="*", default=[], help="tokens of what the parents were trained on"
    )
    parser.add_argument("--output", type=Path, required=True, help="weights.json: scores, and the chosen weights")
    arguments = parser.parse_args()
    settings = load(StageSettings, arguments.settings)

    _, document = read_contract(arguments.parents[0], weights=False)
    table = open_table(arguments.tokens, settings, settings.stage.development.data, document["tokenizer_digest"])
    split = Split(table, [TokenisedPairs(folder) for folder in arguments.trained])
    write_json(arguments.output, choose_weights(settings, arguments.parents, split))


if __name__ == "__main__":
    raise SystemExit(main())
