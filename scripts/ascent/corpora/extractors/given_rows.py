"""Rows as they were read."""

from collections.abc import Iterator

from ...pairs.table import Pair
from ...settings.extractors import GivenRows


def given_rows(row: Pair, settings: GivenRows) -> Iterator[Pair]:
    """Yield the row."""
    yield row
