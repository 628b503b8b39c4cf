"""How well a causal language model predicts the texts of pairs."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from ..model.causal import LanguageModel
from ..pairs.table import count_pairs, distinct_texts, pair_batches
from ..progress import PATIENCE, Progress
from ..settings.measures import Predicting


def measure_perplexity(predicting: Predicting, folder: Path, part: Path) -> Iterator[pl.DataFrame]:
    """Yield query_id, positive_id, query_perplexity and positive_perplexity of a part's pairs, a batch at a time: see
    LanguageModel.perplexities. The part may have no rows."""
    model = LanguageModel(folder, predicting.max_tokens)
    with Progress("pairs", 2 * count_pairs(part), "text", patience=PATIENCE) as shown:
        for _, pairs in pair_batches(part):
            for side in ("query", "positive"):
                texts, places = distinct_texts(pairs[side])
                found = model.perplexities(texts.to_list(), shown)[places]
                pairs = pairs.with_columns(pl.Series(f"{side}_perplexity", found))
                shown.advance(len(pairs) - len(texts))
            yield pairs.select("query_id", "positive_id", "query_perplexity", "positive_perplexity")
