"""What stands before the texts of each row: the row's own prompt, or the data set's."""

import numpy as np
import polars as pl

from ..settings.evaluation import TWO_SIDED
from ..settings.model import Tokenising
from ..settings.prompts import INSTRUCTION, TEXT, Side

COLUMNS: dict[Side, str] = {"query": "query_prompt", "document": "document_prompt"}


def with_prompts(rows: pl.DataFrame, settings: Tokenising, draw: np.random.Generator | None = None) -> pl.DataFrame:
    """Return rows of a data set with what stands before their query, and before their documents, in query_prompt and
    document_prompt.

    A row's own prompt stands in its side's template. Of several prompts of the data set each row draws one, by the seed
    and its place, and the same of both sides where these have as many. draw: the generator of that seed, which a table
    that is read in batches goes on with."""
    draw = draw or np.random.default_rng(settings.seed)
    draws = draw.random(len(rows)) if settings.seed is not None else np.zeros(len(rows))
    columns = {}
    for side, name in COLUMNS.items():
        prompts = settings.prompts[side]
        shared = pl.Series(prompts, dtype=pl.String).gather((draws * len(prompts)).astype(np.uint32))
        # Texts of these rows have no side.
        own = pl.when(pl.col("task").is_in(TWO_SIDED)).then("query_prompt").otherwise(name)
        template = settings.templates[side]
        if template is None:
            columns[name] = shared
        else:
            before, after = template.removesuffix(TEXT).split(INSTRUCTION)
            columns[name] = pl.coalesce(pl.lit(before) + own + pl.lit(after), shared)
    return rows.with_columns(**columns)
