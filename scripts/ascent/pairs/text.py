"""What "the same text" means: normalised and cleaned texts, and their ids."""

import hashlib
import html
import re
import unicodedata
from collections import defaultdict


def normalise_text(text: str) -> str:
    """Return the text in Unicode NFC, with each run of white space as one space, and none at the ends."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def text_id(text: str) -> str:
    """Return the text's id: the first 32 hex digits of the SHA-256 of the normalised text in UTF-8."""
    return hashlib.sha256(normalise_text(text).encode()).hexdigest()[:32]


# Only HTML's names, so that `vector<int>` and `a < b` stay.
_TAG = re.compile(
    r"</?(?:a|abbr|article|b|blockquote|body|br|center|code|dd|div|dl|dt|em|font|form|h[1-6]|head|hr|html|i|iframe|img"
    r"|input|label|li|link|meta|ol|option|p|pre|q|s|section|small|span|strike|strong|style|sub|sup|table|tbody|td|th"
    r"|thead|title|tr|tt|u|ul|wbr)(?:\s[^<>]*)?/?>|<!--.*?-->",
    re.IGNORECASE | re.DOTALL,
)
# Only with the semicolon: html.unescape alone would turn `?a=1&lt=2` into `?a=1<=2`.
_ENTITY = re.compile(r"&(?:#[0-9]+|#[xX][0-9a-fA-F]+|[A-Za-z][A-Za-z0-9]*);")


def clean_text(text: str) -> str:
    """Return the text without HTML tags, with entities resolved, normalised as by normalise_text."""
    if "<" in text:
        text = _TAG.sub(" ", text)
    return normalise_text(_resolved(text))


def plain_text(text: str) -> str:
    """Return the text as clean_text does, but with the tags that it speaks of: those that open or close nothing.

    `<b>so</b><br>` becomes `so`; `What is <b>?` stays.
    """
    if "<" in text:
        marks = _markup(text)
        text = _TAG.sub(lambda tag: " " if tag.start() in marks else tag[0], text)
    return normalise_text(_resolved(text))


def _markup(text: str) -> set[int]:
    """Return where the tags begin that mark text up: comments, line breaks, and pairs with something between them."""
    marks, opened = set(), defaultdict(list)
    for tag in _TAG.finditer(text):
        name = re.match(r"</?(\w+)|", tag[0])[1]
        if name is None or name.lower() == "br":
            marks.add(tag.start())
        elif not tag[0].startswith("</"):
            opened[name.lower()].append(tag)
        elif opened[name.lower()]:
            begin = opened[name.lower()].pop()
            if text[begin.end() : tag.start()].strip():
                marks |= {begin.start(), tag.start()}
    return marks


def _resolved(text: str) -> str:
    return _ENTITY.sub(lambda entity: html.unescape(entity[0]), text) if "&" in text else text
