"""What "the same text" means: normalised and cleaned texts, and their ids."""

import hashlib
import html
import re
import unicodedata


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
    if "&" in text:
        text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    return normalise_text(text)
