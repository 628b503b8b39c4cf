"""Classes in words, as what a text asks for."""

from collections.abc import Iterator
from dataclasses import replace

from ...pairs.draws import generator
from ...pairs.table import Pair
from ...settings.extractors import LabelAsPositive
from ..cells import BadRow


def label_as_positive(row: Pair, settings: LabelAsPositive) -> Iterator[Pair]:
    """Yield the text with its class in words, and other classes as negatives."""
    names = settings.names
    if names and row.positive not in names:
        raise BadRow("its class is not among names")
    positive = names.get(row.positive, row.positive)
    others = sorted({name for name in names.values() if name != positive})
    # The text alone: a text of two classes would else get one of them as a negative of the other more often.
    negatives = generator(settings.seed, row.query).sample(others, min(settings.negatives, len(others)))
    yield replace(row, positive=positive, negatives=tuple(negatives), task=settings.task, scores=None)
