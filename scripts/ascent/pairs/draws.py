"""Draws that follow from a seed and the texts themselves, so that neither the order of rows nor their parts change
them."""

import hashlib
import random
from collections.abc import Iterable
from typing import Any


def digest(seed: int, *of: str) -> str:
    """Return a hash of the seed and the texts, as hexadecimal digits."""
    return hashlib.sha256("\0".join([str(seed), *of]).encode()).hexdigest()


def number(seed: int, *of: str) -> int:
    """Return a number of 64 bits for the seed and the texts."""
    return int(digest(seed, *of)[:16], 16)


def rank_in_sql(seed: int, *columns: str) -> str:
    """Return DuckDB's expression for the digest of the seed and the texts in some columns, so that rows which do not
    fit into memory are drawn as `some` draws."""
    return f"sha256(concat_ws(chr(0), '{seed}', {', '.join(columns)}))"


def generator(seed: int, *of: str) -> random.Random:
    """Return a generator of random numbers for the seed and the texts."""
    return random.Random(digest(seed, *of))


def some(items: Iterable[Any], most: int | None, seed: int, *of: str) -> list[Any]:
    """Return at most `most` of the items, which are texts or tuples of texts, drawn for `of`; in the items' order."""
    items = list(items)
    if most is None or len(items) <= most:
        return items
    ranks = sorted(range(len(items)), key=lambda place: (digest(seed, *of, *_texts(items[place])), place))
    return [items[place] for place in sorted(ranks[:most])]


def _texts(item: Any) -> tuple[str, ...]:
    return (item,) if isinstance(item, str) else item
