"""What a language model will be asked for the corpora of a recipe that it writes: requests, tokens and their price."""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from .. import layout
from ..recipes.recipes import Recipes
from ..recipes.synthesis import read_prompt
from ..settings.synthesis import Prompt, Step, Synthesis
from ..synthesis.answers import Answer
from ..synthesis.conversation import converse
from ..synthesis.prompts import Templates
from .token_counts import SAMPLE

# Of a token, in the mean: four characters of English, one and a third of Chinese.
BYTES = 4
# Conversations whose mean is taken, as their choices are drawn.
DRAWS = 20


@dataclass(frozen=True, kw_only=True)
class Written:
    """One corpus. Tokens and price are None where the texts' lengths, or the generator's price, are not known."""

    corpus: str
    generator: str
    requests: int
    input_tokens: float | None
    output_tokens: float
    price: float | None


def written(recipes: Recipes, recipe: str) -> list[Written]:
    """Return the corpora that will be written for a recipe, those that others are written about first.

    Tokens are those of answers that are good at once. A corpus that has been written is left out.
    """
    config = recipes.config
    behind, _ = config.made_from(recipes.corpora_used(recipe))
    missing = [name for name in behind[::-1] if not Path(layout.RETRIEVED_CORPUS.format(corpus=name)).is_dir()]
    return [_written(recipes, name, source) for name in missing if (source := config.synthesised.get(name))]


def _written(recipes: Recipes, corpus: str, source: Synthesis) -> Written:
    prompt, price = read_prompt(source.prompt), recipes.config.generators[source.generator].price
    lengths = _lengths(recipes, source, prompt)
    known = lengths and source.rows * _input_tokens(Templates(source.prompt, prompt), lengths)
    answers = source.rows * sum(step.tokens * step.rounds for step in prompt.steps)
    total = (known * price.input + answers * price.output) / 1e6 if price and known is not None else None
    requests = source.rows * sum(step.rounds for step in prompt.steps)
    return Written(
        corpus=corpus,
        generator=source.generator,
        requests=requests,
        input_tokens=known,
        output_tokens=answers,
        price=total,
    )


def _input_tokens(templates: Templates, lengths: dict[str, float]) -> float:
    """Return the tokens of the requests for one row: of the conversation itself, with texts and answers of the mean
    lengths."""
    values: dict[str, Any] = {name: _text(tokens) for name, tokens in lengths.items()}
    values |= {"negatives": [values["negatives"]]} if "negatives" in values else {}
    steps = [step for step in templates.prompt.steps for _ in range(step.rounds)]
    total = 0
    for seed in range(DRAWS):
        talk = converse(templates, values, seed, attempts=1)
        request = next(talk)
        for step in steps:
            total += sum(len(content.encode()) for _, content in request.messages)
            with suppress(StopIteration):  # behind the last answer
                request = talk.send(_answer(step))
    return total / DRAWS / BYTES


def _answer(step: Step) -> Answer:
    """Return an answer to a step with its number of tokens, shared by its texts."""
    texts = sum(schema["type"] in ("string", "array") for schema in step.answer.values())
    written = {name: _filled(schema, step.tokens / max(texts, 1)) for name, schema in step.answer.items()}
    return Answer(json.dumps(written))


def _filled(schema: dict[str, Any], tokens: float) -> Any:
    """Return a value that matches a JSON schema, with this many tokens if it is a text or a list of texts."""
    if "enum" in schema:
        return schema["enum"][0]
    if schema["type"] == "array":
        items = max(schema.get("minItems", 1), 1)
        return [_filled(schema["items"], tokens / items + number) for number in range(items)]  # no two alike
    if schema["type"] == "string":
        return _text(max(tokens, schema.get("minLength", 0) / BYTES))[: schema.get("maxLength")]
    return schema.get("minimum", 0)


def _text(tokens: float) -> str:
    return "x" * max(1, round(tokens * BYTES))


def _lengths(recipes: Recipes, source: Synthesis, prompt: Prompt) -> dict[str, float] | None:
    """Return the mean tokens of the prompt's inputs: of the first rows of the corpus, or by the catalogue's size of
    it."""
    table = layout.CORPUS_DOCUMENTS if prompt.of_documents else layout.CORPUS_PAIRS
    paths = recipes.corpus_files(table, source.documents)
    if not all(Path(path).exists() for path in paths):
        size = recipes.config.corpora[source.documents].planned_size
        return size and {
            "document": size.positive_tokens,
            "query": size.query_tokens,
            "positive": size.positive_tokens,
            "negatives": size.negatives * size.positive_tokens,
            "other_label": size.positive_tokens,
        }
    rows = pl.scan_parquet(paths).filter(split=source.split)
    if prompt.of_documents:
        rows = rows.select(document="text")
    else:
        rows = rows.filter(task=prompt.of_task).with_columns(
            negatives=pl.col("negatives").list.join(" "), other_label="positive"
        )
    means = rows.select(pl.col(name).str.len_bytes() for name in prompt.inputs).head(SAMPLE).collect().mean()
    return {name: (means[name][0] or 0) / BYTES for name in prompt.inputs}
