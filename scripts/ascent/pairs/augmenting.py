"""A data set's augmentations: rows with altered texts, added or in place of the rows that they are made of.

What becomes of a row depends on its texts and the seed only, so parts of a data set and the order of its rows change
nothing."""

import polars as pl

from ..components import module_of
from ..settings.augmentations import Augmentation, OneAugmentation
from .draws import generator
from .text import normalise_text, text_id
from .words import parts

EXAMPLES = 5
_EXAMPLE_CHARACTERS = 200


def augment(pairs: pl.DataFrame, augmentations: list[OneAugmentation]) -> tuple[pl.DataFrame, list[dict]]:
    """Return the pairs of any batch with altered ones, each behind the row it is made of, and an audit entry per
    augmentation.

    Each augmentation alters the data set's rows, not those that another added. A row whose altered text is empty or
    what it was is neither added nor replaced. Labels, negatives and scores stay as they are."""
    own, added, audit = pairs.with_row_index("place"), [], []
    for each in augmentations:
        settings = each.settings
        altered = _altered(own, settings)
        if settings.replace:
            own = pl.concat([own.join(altered, on="place", how="anti"), altered]).sort("place")
        else:
            added.append(altered)
        counts = {"added": 0, "replaced": 0} | {"replaced" if settings.replace else "added": len(altered)}
        examples = altered.head(EXAMPLES).select(pl.col("query", "positive").str.head(_EXAMPLE_CHARACTERS)).to_dicts()
        audit.append({"augmentation": settings.component(), "in": len(own), **counts, "examples": examples})
    return pl.concat([own, *added]).sort("place", maintain_order=True).drop("place"), audit


def summed(batches: list[list[dict]]) -> list[dict]:
    """Return the audit entries of several batches together, an entry per augmentation."""
    whole = []
    for entries in zip(*batches, strict=True):
        counts = {key: sum(entry[key] for entry in entries) for key in ("in", "added", "replaced")}
        examples = [example for entry in entries for example in entry["examples"]][:EXAMPLES]
        whole.append(entries[0] | counts | {"examples": examples})
    return whole


def _altered(pairs: pl.DataFrame, settings: Augmentation) -> pl.DataFrame:
    """Return the rows that an augmentation alters, altered."""
    alter = module_of(settings).alter
    sides = ("query", "positive") if settings.side == "both" else (settings.side,)
    draws = [
        generator(settings.seed, settings.component(), *ids)
        for ids in pairs.select("query_id", "positive_id").iter_rows()
    ]
    drawn = pl.Series([random.random() < settings.rows for random in draws], dtype=pl.Boolean)
    chosen = pairs.filter(drawn)
    draws = [random for random, is_drawn in zip(draws, drawn, strict=True) if is_drawn]
    for side in sides:
        texts = []
        for text, split, random in zip(chosen[side], parts(chosen[side]), draws, strict=True):
            new = normalise_text("".join(alter(split, settings, random))) if len(split) > 1 else text
            texts.append(new or text)
        ids = pl.Series(map(text_id, texts), dtype=pl.String)
        chosen = chosen.with_columns(**{side: pl.Series(texts, dtype=pl.String), f"{side}_id": ids})
    before = pairs.filter(drawn)
    same = (chosen["query"] == before["query"]) & (chosen["positive"] == before["positive"])
    return chosen.filter(~same)
