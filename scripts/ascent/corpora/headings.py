"""The headings of a document and the sections below them: Markdown, reStructuredText, manual pages as `man` prints
them.

A heading is a line that
  begins with one to six #, outside of a fenced block of code (Markdown);
  is underlined by a line of one punctuation character (reStructuredText, Markdown), and may be overlined by the same;
  is in capitals at the left margin, above indented lines (manual pages).
"""

import re
from dataclasses import dataclass

_FENCE = re.compile(r" {0,3}(```+|~~~+)")
_ATX = re.compile(r" {0,3}#{1,6}[ \t]+")
_CLOSING = re.compile(r"(?:^|[ \t])#+$")
# Characters that reStructuredText's authors are advised to underline by, but for the one that fences code in Markdown.
_LINE = re.compile(r"""([=\-:.'"~^_*+#])\1{2,}$""")
_CAPITALS = re.compile(r"[A-Z][A-Z0-9 ,/()&-]*[A-Z)]$")
_LONGEST = 120


@dataclass(frozen=True, slots=True)
class Section:
    """What stands below a heading, to the next heading of any level: text[begin:end]. The heading is "" for the
    beginning."""

    heading: str
    begin: int
    end: int


def sections(text: str) -> list[Section]:
    """Return the sections of a text in order, first that before any heading, which may be empty."""
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    plain = [line.rstrip() for line in lines]
    found, heading, begin, place, fence = [], "", 0, 0, ""
    while place < len(plain):
        title, used = ("", 0) if fence else _heading(plain, place)
        if not title and (fenced := _FENCE.match(plain[place])):
            fence = fenced[1] if not fence else "" if fenced[1].startswith(fence) else fence
        if title:
            found.append(Section(heading, begin, starts[place]))
            heading, begin = title, starts[place + used]
        place += used or 1
    return [*found, Section(heading, begin, len(text))]


def _heading(lines: list[str], place: int) -> tuple[str, int]:
    """Return the heading that begins at a line and how many lines it takes; ("", 0) if there is none."""
    line, after = lines[place], lines[place + 1] if place + 1 < len(lines) else ""
    above = lines[place - 1] if place else ""
    if max(len(line), len(after)) > _LONGEST or not line or (above and not (_ATX.match(line) or _LINE.match(above))):
        return "", 0
    if match := _ATX.match(line):
        return _CLOSING.sub("", line[match.end() :]).strip(), 1
    if _LINE.match(line):
        return (
            (after.strip(), 3)
            if after and not _LINE.match(after) and lines[place + 2 : place + 3] == [line]
            else ("", 0)
        )
    if not line[0].isspace():
        # A line shorter than the heading underlines it in Markdown only, which knows two.
        if (under := _LINE.match(after)) and (under[1] in "=-" or len(after) >= len(line)):
            return line, 2
        if _CAPITALS.match(line) and re.match(r"(?: {3,}|\t)", after):
            return line, 1
    return "", 0
