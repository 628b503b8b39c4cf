"""Remove what is not text: HTML tags and entities, uneven white space, decomposed Unicode. Drops nothing."""

import html
import re

import polars as pl

from ..data_settings import Preparation
from ..pairs import normalise_text, text_id

# Only names of HTML, so that `vector<int>` and `a < b` stay.
_TAG = re.compile(
    r"</?(?:a|abbr|article|b|blockquote|body|br|center|code|dd|div|dl|dt|em|font|form|h[1-6]|head|hr|html|i|iframe|img"
    r"|input|label|li|link|meta|ol|option|p|pre|q|s|section|small|span|strike|strong|style|sub|sup|table|tbody|td|th"
    r"|thead|title|tr|tt|u|ul|wbr)(?:\s[^<>]*)?/?>|<!--.*?-->",
    re.IGNORECASE | re.DOTALL,
)
# Only with the semicolon: html.unescape alone would turn `?a=1&lt=2` into `?a=1<=2`.
_ENTITY = re.compile(r"&(?:#[0-9]+|#[xX][0-9a-fA-F]+|[A-Za-z][A-Za-z0-9]*);")


def judge(pairs: pl.DataFrame, dataset: Preparation, against: pl.DataFrame) -> pl.DataFrame:
    """Clean all texts and mend their ids. A negative of which nothing is left is removed, with its score."""
    queries = [clean_text(text) for text in pairs["query"]]
    positives = [clean_text(text) for text in pairs["positive"]]
    cleaned = [[clean_text(text) for text in row] for row in pairs["negatives"].to_list()]
    negatives = [list(filter(None, row)) for row in cleaned]
    scores = [
        own and [own[0], *(score for score, text in zip(own[1:], row, strict=True) if text)]
        for own, row in zip(pairs["scores"].to_list(), cleaned, strict=True)
    ]
    return pairs.with_columns(
        query=pl.Series(queries, dtype=pl.String),
        positive=pl.Series(positives, dtype=pl.String),
        negatives=pl.Series(negatives, dtype=pl.List(pl.String)),
        scores=pl.Series(scores, dtype=pl.List(pl.Float64)),
        query_id=pl.Series(map(text_id, queries), dtype=pl.String),
        positive_id=pl.Series(map(text_id, positives), dtype=pl.String),
        reason=pl.lit(None, pl.String),
    )


def clean_text(text: str) -> str:
    """Return the text without HTML tags, with entities resolved, normalised as pairs.normalise_text says."""
    if "<" in text:
        text = _TAG.sub(" ", text)
    if "&" in text:
        text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    return normalise_text(text)
