"""JSON: one object a line, or one array of objects, whichever of .jsonl and .json the name says. No file is held
whole."""

import io
import json
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from ...errors import AscentError
from .opening import open_text

# Characters that are read at a time, and looked at to tell what a file is.
CHUNK = 2**20
_BLANK = re.compile(r"\s*")
# At most as many of the last characters are wrong where a text breaks off within an escape, a number or a word.
_CUT = 16


def read(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield the objects of a file's lines, or of the one array that it is.

    Raises AscentError if it is an array that breaks off, or one object over several lines.
    """
    with open_text(path) as text:
        begin, head = 1, text.readline(CHUNK)
        while head and not head.strip():
            begin, head = begin + head.endswith("\n"), text.readline(CHUNK)
        if head.lstrip()[:1] in ("[", "{") and not isinstance(_parsed(head), dict):
            line, ended = head, False
            head += text.read(CHUNK)
            head += (rest := text.read(1))  # also the \n of a \r
            ended = not rest
            if _is_array(line, head[len(line) :], ended):
                yield from ((place, _row(value)) for place, value in enumerate(_elements(path, head, text), 1))
                return
            if ended and re.search(r"[\r\n]", head.strip()):
                _refuse_one_object(path, head)
        head += "" if head.endswith("\n") else text.readline()
        for number, row in enumerate(chain(io.StringIO(head, newline=""), text), begin):
            if row.strip():
                yield number, _row(_parsed(row))


def _is_array(line: str, rest: str, ended: bool) -> bool:
    """Whether a file is one array, and not lines, by its first line and what follows, which is all of it if `ended`."""
    if not line.lstrip().startswith("["):
        return False
    return _parsed(line) is None or (ended and not rest.strip())


def _elements(path: Path, head: str, text: TextIO) -> Iterator[Any]:
    """Yield the elements of the array that a file is, of which `head` has been read."""
    unread = _Unread(head, text)
    unread.skip("[")
    count, closed = 0, unread.skip("]")
    while not closed:
        try:
            yield unread.value()
        except (ValueError, RecursionError) as error:
            raise _broken(path, f"element {count + 1}: {getattr(error, 'msg', error)}") from None
        count += 1
        closed = unread.skip("]")
        if not closed and not unread.skip(","):
            raise _broken(path, f"neither a comma nor a bracket follows element {count}")
    if not unread.skip(""):
        raise _broken(path, f"more follows its end, after element {count}")


class _Unread:
    """The part of a text that is still to be parsed, of which a little is in memory."""

    def __init__(self, head: str, text: TextIO):
        self.text, self.buffer, self.place, self.ended = text, head, 0, False

    def skip(self, mark: str) -> bool:
        """Skip white space, and this mark behind it; the empty mark is the text's end. Return whether it was there."""
        while True:
            self.place = _BLANK.match(self.buffer, self.place).end()
            if self.place < len(self.buffer):
                found = bool(mark) and self.buffer.startswith(mark, self.place)
                self.place += found
                return found
            if self.ended:
                return not mark
            self._read_on()

    def value(self) -> Any:
        """Return the next value. Raises ValueError if there is none, or not a whole one."""
        self.skip("\0")
        while True:
            try:
                value, end = json.JSONDecoder().raw_decode(self.buffer, self.place)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated string") or error.pos >= len(self.buffer) - _CUT
                if self.ended or not cut:
                    raise
            else:
                if end + _CUT < len(self.buffer) or self.ended:  # 1 may go on as 1.5e-7
                    self.place = end
                    return value
            self._read_on()

    def _read_on(self) -> None:
        """Read as much again as is left, so that a long value is not parsed over and over."""
        left = self.buffer[self.place :]
        more = self.text.read(max(CHUNK, len(left)))
        self.buffer, self.place, self.ended = left + more, 0, not more


def _broken(path: Path, why: str) -> AscentError:
    return AscentError(
        f"{path}: is one JSON array, but not a complete one ({why}); write it again, or as JSON lines, one object a"
        " line (`jq -c '.[]'`)."
    )


def _refuse_one_object(path: Path, text: str) -> None:
    value = _parsed(text)
    if isinstance(value, dict):
        raise AscentError(
            f"{path}: is one JSON object, with {', '.join(list(value)[:5])[:100]}, and not rows; write one object a"
            ' line, such as {"query": "...", "positive": "..."}.'
        )


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _row(value: Any) -> dict[str, Any] | str:
    return value if isinstance(value, dict) else "not a JSON object"
