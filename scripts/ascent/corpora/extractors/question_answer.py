"""Questions and their answers, from pages of frequent questions."""

import re
from collections.abc import Iterator

from ...pairs.table import Document
from ...settings.extractors import QuestionAnswer
from ..cells import BadRow
from ..headings import sections
from ..passages import Cut
from ..sentences import sentences
from . import first_passage

# What may stand before a question: numbers, bullets, emphasis, and a `Q:` that says what it is.
_BEFORE = re.compile(r"(?:[\s>*_•-]|\d{1,3}(?:\.\d{1,3})*[.)、](?!\d))*")
_ASKED = re.compile(r"[\s>*_•-]*(?:Q(?:uestion)?|问题?)\s*\d{0,3}\s*[:：.)、]", re.IGNORECASE)
_ANSWER = re.compile(r"[\s>*_]*(?:A(?:nswer)?|答案?)\s*\d{0,3}\s*[:：.)、][*_]*", re.IGNORECASE)
# Lines that a question may take, and spaces before it: what stands further in is code or a formula.
_LINES = 4
_INDENT = 2


def question_answer(document: Document, settings: QuestionAnswer, cut: Cut) -> Iterator[tuple[str, str]]:
    """Yield each question with the text up to the next question or heading, or the first passage of it."""
    found = list(_pairs(document.text, settings.longest))
    if not found:
        raise BadRow("it has no questions")
    answered = [(question, answer) for question, answer in found if answer.strip()]
    if not answered:
        raise BadRow("its questions have no answers")
    for question, answer in answered:
        yield question, first_passage(answer, cut)


def _pairs(text: str, longest: int) -> Iterator[tuple[str, str]]:
    for section in sections(text):
        question, answer = _without_marks(section.heading), []
        question = question if _asks(question, longest) else ""
        for lines in _paragraphs(text[section.begin : section.end]):
            asked, used = _question(lines, longest)
            if asked:
                if question:
                    yield question, _answer(answer)
                question, answer = asked, []
            answer += lines[used:]
        if question:
            yield question, _answer(answer)


def _paragraphs(text: str) -> Iterator[list[str]]:
    """Yield the lines of each paragraph; one ends before an empty line, and before a line that says it is a
    question."""
    lines: list[str] = []
    for line in text.splitlines(keepends=True):
        if lines and (not line.strip() or _ASKED.match(line)):
            yield lines
            lines = []
        lines.append(line)
    if lines:
        yield lines


def _question(lines: list[str], longest: int) -> tuple[str, int]:
    """Return the question that a paragraph begins with and how many lines it takes; ("", 0) if it begins with none.

    It is one sentence, unless the paragraph says that it is a question.
    """
    begin = 0 if lines[0].strip() else 1
    if begin == len(lines) or len(lines[begin]) - len(lines[begin].lstrip(" \t")) > _INDENT:
        return "", 0
    says = _ASKED.match(lines[begin])
    for end in range(begin + 1, min(len(lines), begin + _LINES) + 1):
        text = _without_marks("".join(lines[begin:end]))
        if _asks(text, longest) and (says or len(sentences(text)) == 1):
            return text, end
    return "", 0


def _without_marks(text: str) -> str:
    asked = _ASKED.match(text)
    text = text[asked.end() :] if asked else text
    return text[_BEFORE.match(text).end() :].rstrip("*_ \t\r\n")


def _asks(text: str, longest: int) -> bool:
    return text.endswith(("?", "？")) and 1 < len(text) <= longest


def _answer(lines: list[str]) -> str:
    text = "".join(lines)
    mark = _ANSWER.match(text)
    return text[mark.end() :] if mark else text
