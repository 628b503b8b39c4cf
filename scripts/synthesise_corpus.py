"""Have a language model write the rows of a corpus about the texts of another one, into a folder with
provenance.json."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors, warn
from ascent.settings.synthesis import GeneratorSettings, SynthesisSettings
from ascent.settings.validation import load
from ascent.synthesis.run import synthesise


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="the corpus's name")
    parser.add_argument("--settings", required=True, help="YAML with the source, the prompt and what answers depend on")
    parser.add_argument("--generator", required=True, help="YAML with the generator")
    parser.add_argument(
        "--table", nargs="+", required=True, help="parquet files of the documents or pairs that are asked about"
    )
    parser.add_argument("--model", type=Path, nargs="?", help="folder of a local generator's model; default: none")
    parser.add_argument("--answers", required=True, help="file that keeps the answers from run to run")
    parser.add_argument("--output", required=True, help="folder to make")
    options = parser.parse_args()

    settings = load(SynthesisSettings, options.settings)
    generator = load(GeneratorSettings, options.generator).generator
    counts = synthesise(
        options.name, settings, generator, options.table, options.answers, options.output, options.model
    )
    print(f"{options.name}: {counts['made']:,} of {counts['asked']:,} rows made")
    print(f"{options.name}: {counts['input_tokens']:,} tokens of requests, {counts['output_tokens']:,} of answers")
    if counts["set_aside"]:
        reasons = "; ".join(f"{count} x {reason}" for reason, count in counts["set_aside"].items())
        warn(
            f"corpus {options.name}: {counts['asked'] - counts['made']} of {counts['asked']} rows were not made"
            f" ({reasons})."
        )


if __name__ == "__main__":
    raise SystemExit(main())
