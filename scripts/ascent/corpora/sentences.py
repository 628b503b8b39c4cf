"""Where sentences end, in English and like languages, and in Chinese and Japanese: a short rule, measured in
docs/log.md."""

import re

Span = tuple[int, int]
# What may stand between a sentence's full stop and its end.
_CLOSING = "\"'”’»)\\]}」』）】》*_"
# A mark that ends a sentence wherever it stands; one that does so before white space, or behind a Chinese character;
# and an empty line, or a line that begins an item of a list. Each is tried once per run of characters, so that long
# runs cost no more.
_END = re.compile(
    rf"(?P<full>[。！？｡]++[{_CLOSING}]*)"
    rf"|(?P<mark>(?<![.!?…])[.!?…]++[{_CLOSING}]*+)(?=\s|$)"
    rf"|(?<=[\u3400-\u9fff])[!?]++[{_CLOSING}]*"
    r"|(?P<line>\n[^\S\n]*\n|\n(?=[ \t]*(?:[-*•+]|\(?\d{1,3}[.)])[ \t]))"
)
_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof st sr jr gen col maj capt lt sgt rev hon sen rep gov pres mt ft "
    "vs v cf al approx ca fig figs eq eqs no nos vol vols pp p ch sec sect chap ed eds trans art "
    "dept univ inc ltd co corp bros est e.g i.e viz resp incl esp "
    "jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thur thurs fri sat sun".split()
)
# Those that end a sentence as often as not, if a capital follows.
_EITHER = frozenset("etc inc ltd co corp bros jr sr no a.m p.m".split())
_WORD = re.compile(r"[^\s(\[{\"'“‘]*$")
_INITIALS = re.compile(r"[A-Za-z](?:\.[A-Za-z])*")


def sentences(text: str) -> list[Span]:
    """Return the sentences of a text as spans (first character, behind the last), which cover it: white space belongs
    to the sentence before it."""
    spans, begin, stop = [], 0, 0
    for end in _END.finditer(text):
        if end.start() < stop or (end["mark"] and not _ends(text, end)):
            continue
        stop = _behind_space(text, end.end())
        # White space alone, at the beginning, is not a sentence.
        if text[begin:stop].strip():
            spans.append((begin, stop))
            begin = stop
    if text[begin:].strip():
        spans.append((begin, len(text)))
    elif spans:
        spans[-1] = (spans[-1][0], len(text))
    return spans


def _behind_space(text: str, place: int) -> int:
    while place < len(text) and text[place].isspace():
        place += 1
    return place


def _ends(text: str, mark: re.Match) -> bool:
    """Whether a mark before white space ends a sentence: by the word before it, and the character after."""
    follows = _behind_space(text, mark.end())
    next_ = text[follows : follows + 1]
    if not mark[0].startswith(".") or mark[0].startswith(".."):
        return not next_.islower()
    word = _WORD.search(text[max(0, mark.start() - 40) : mark.start()])[0]
    lower = word.lower()
    if next_.islower():
        return False
    if lower in _EITHER:
        return next_.isupper() and not (lower == "no" and next_.isdigit())
    if lower in _ABBREVIATIONS:
        return False
    # J. R. R. Tolkien, U.S. Army; but `and I.` ends.
    if _INITIALS.fullmatch(word) and word != "I":
        return not word[-1].isupper()
    # An item's number, `2. Install it`, at the beginning of a line.
    return not (word.isdigit() and len(word) < 4 and _alone(text, mark.start() - len(word)))


def _alone(text: str, place: int) -> bool:
    """Whether nothing but white space stands before a place on its line."""
    return not text[text.rfind("\n", 0, place) + 1 : place].strip()
