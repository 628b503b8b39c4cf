"""Corpora read by a test."""

from ascent.settings.corpora import Reading
from ascent.settings.validation import check


def corpus(reader="table", **settings) -> Reading:
    return check(Reading, {"reader": {"type": reader, **settings}, "language": "eng-Latn"}, "the.yaml")


def texts(pairs, *columns):
    return list(pairs.select(*(columns or ("query", "positive"))).iter_rows())
