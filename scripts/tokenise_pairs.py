"""Tokenise a data set's pairs as a stage trains on them, so that no GPU waits for it."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors, warn
from ascent.model.prompt_checks import prompt_twice
from ascent.settings.model import Tokenising
from ascent.settings.validation import load
from ascent.tokens.tokenise import tokenise_pairs


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="prompts and maximum tokens, YAML")
    parser.add_argument("--model", type=Path, required=True, help="model folder with the tokenizer")
    parser.add_argument("--pairs", type=Path, nargs="+", required=True, help="training pairs, part by part")
    parser.add_argument("--negatives", type=Path, nargs="?", help="mined negatives; default: the pairs' own")
    parser.add_argument("--scores", type=Path, nargs="*", help="a teacher's scores, or --pairs again; default: none")
    parser.add_argument("--embeddings", type=Path, nargs="?", help="a teacher's embeddings of the texts; default: none")
    parser.add_argument("--output", type=Path, required=True, help="folder to make")
    arguments = parser.parse_args()
    settings = load(Tokenising, arguments.settings)
    files = (arguments.pairs, arguments.negatives, arguments.output)
    meta = tokenise_pairs(arguments.model, settings, *files, scores=arguments.scores, embeddings=arguments.embeddings)
    texts, truncated = sum(meta["texts"].values()), sum(meta["texts_cut"].values())
    print(f"{meta['rows']:,} rows, {texts:,} distinct texts, {meta['tokens']:,} tokens")
    print(f"{truncated:,} texts were truncated to {settings.max_tokens} tokens: {meta['texts_cut']}")
    dataset = arguments.output.name
    for side, total in meta["texts"].items():
        prompts, what = meta["prompts"][side], "distinct queries" if side == "query" else "distinct documents"
        if number := meta["texts_with_prompt"][side]:
            warn(f"data set {dataset}: {prompt_twice(number, total, prompts, what)}")
        if number := meta["texts_alike"][side]:
            warn(
                f"data set {dataset}: {number:,} of {total:,} {what} ({number / total:.2%}) become the tokens of an"
                f" earlier one and so get its embedding; if they differ behind max_tokens: {settings.max_tokens},"
                " prompt included, raise it; if in characters that the tokenizer does not know, choose another base."
            )


if __name__ == "__main__":
    raise SystemExit(main())
