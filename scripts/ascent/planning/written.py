"""What a language model will be asked for the corpora of a recipe that it writes: requests, tokens and their price."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from .. import layout
from ..recipes.recipes import Recipes
from ..recipes.synthesis import read_prompt
from ..settings.synthesis import Prompt, Step, Synthesis
from ..synthesis.conversation import FORM
from .token_counts import SAMPLE

# Of a token, in the mean: four characters of English, one and a third of Chinese.
BYTES = 4


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
    config, data = recipes.config, recipes.recipes[recipe].data
    used = [data[name].corpus for name in recipes.training_data(recipe)] + recipes.evaluation_corpora(recipe)
    behind, _ = config.made_from(dict.fromkeys(used))
    missing = [name for name in behind[::-1] if not Path(layout.RETRIEVED_CORPUS.format(corpus=name)).is_dir()]
    return [_written(recipes, name, source) for name in missing if (source := config.synthesised.get(name))]


def _written(recipes: Recipes, corpus: str, source: Synthesis) -> Written:
    prompt, price = read_prompt(source.prompt), recipes.config.generators[source.generator].price
    lengths = _lengths(recipes, source, prompt)
    asked = [(step, round) for step in prompt.steps for round in range(step.rounds)]
    known = None if lengths is None else source.rows * sum(_request(prompt, step, round, lengths) for step, round in asked)
    answers = source.rows * sum(step.tokens for step, _ in asked)
    total = (known * price.input + answers * price.output) / 1e6 if price and known is not None else None
    requests = source.rows * len(asked)
    return Written(
        corpus=corpus, generator=source.generator, requests=requests, input_tokens=known, output_tokens=answers, price=total
    )


def _request(prompt: Prompt, step: Step, round: int, lengths: dict[str, float]) -> float:
    """Return the tokens of a step's request: its templates, and what their names stand for."""
    fixed = prompt.system + FORM + json.dumps(step.schema_of_answer, ensure_ascii=False) + step.user
    answers = {other.name: other.tokens for other in prompt.steps if other is not step or round}
    return len(fixed.encode()) / BYTES + sum(tokens for name, tokens in (lengths | answers).items() if name in _names(step.user))


def _names(template: str) -> set[str]:
    """Return the words within the braces of a template."""
    return set(re.findall(r"\w+", " ".join(re.findall(r"\{[{%].*?[%}]\}", template))))


def _lengths(recipes: Recipes, source: Synthesis, prompt: Prompt) -> dict[str, float] | None:
    """Return the mean tokens of the prompt's inputs: of the first rows of the corpus, or by the catalogue's size of it."""
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
        rows = rows.filter(task=prompt.of_task).with_columns(negatives=pl.col("negatives").list.join(" "), other_label="positive")
    means = rows.select(pl.col(name).str.len_bytes() for name in prompt.inputs).head(SAMPLE).collect().mean()
    return {name: (means[name][0] or 0) / BYTES for name in prompt.inputs}
