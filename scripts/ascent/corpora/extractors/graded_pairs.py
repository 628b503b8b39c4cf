"""Pairs with a human score."""

from collections.abc import Iterator
from dataclasses import replace

from ...pairs.table import Pair
from ...settings.extractors import GradedPairs
from ..cells import BadRow


def graded_pairs(row: Pair, settings: GradedPairs) -> Iterator[Pair]:
    """Yield the pair with its score as a label from 0 to 1; or, from a score on, without one."""
    low, high = settings.range
    if row.label is None:
        raise BadRow("it has no label")
    if not low <= row.label <= high:
        raise BadRow(f"its label is outside of range [{low}, {high}]")
    if settings.positives_from is None:
        yield replace(row, label=(row.label - low) / (high - low), task=settings.task)
    elif row.label >= settings.positives_from:
        yield replace(row, label=None, task=settings.task)
    else:
        raise BadRow(f"its label is below {settings.positives_from}")
