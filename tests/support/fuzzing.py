"""Inputs that hypothesis draws: awkward texts, damaged files, and how many of them a test tries."""

import bz2
import gzip
import os
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ascent.components import module_of
from ascent.corpora.readers import Rejected
from ascent.errors import AscentError
from ascent.settings.corpora import Reading
from support.pairs import normalised

_ALWAYS = {"deadline": None, "database": None, "suppress_health_check": [*HealthCheck]}
# Each run of the tests tries the same few; `make nightly` many new ones. FUZZ_EXAMPLES: how many.
_FEW = settings(max_examples=8, derandomize=True, **_ALWAYS)
_MANY = settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", "1000")), print_blob=True, **_ALWAYS)
fuzzed = pytest.mark.parametrize("examples", ["few", pytest.param("many", marks=pytest.mark.nightly)])


def holds(examples: str, check: Callable, times: float = 1, **drawn: st.SearchStrategy) -> None:
    """Call `check` with drawn arguments, again and again. times: how many times as often as others."""
    chosen = _FEW if examples == "few" else _MANY
    settings(chosen, max_examples=int(chosen.max_examples * times))(given(**drawn)(check))()


# What breaks readers: quotes, line ends, separators of several kinds, brackets, printed nulls and lists, white space.
_AWKWARD = [
    '"',
    '""',
    ",",
    "\t",
    "\n",
    "\r",
    "\r\n",
    "\\",
    "'",
    "\u2028",
    "\x85",
    "\x0b",
    "\x1c",
    "\ufeff",
    "\u200b",
    "[",
    "]",
]
_AWKWARD += [
    "{",
    "}",
    "['a', 'b']",
    "NaN",
    "None",
    "null",
    " ",
    "\u3000",
    "é",
    "e\u0301",
    "中文",
    "\U0001f600",
    "#",
    "=1+1",
    "<b>",
]
# One of them is longer than any buffer, which is 64 KB and less.
texts = st.lists(st.sampled_from(_AWKWARD) | st.text(max_size=4), max_size=6).map("".join) | st.just("long " * 20_000)
# With what no file of UTF-8 can hold, but JSON can spell.
unsound_texts = texts | st.sampled_from(["\ud800", "a\udcffb", "\0", "a\0b", "\udfff\ud800"])
scalars = st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | unsound_texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(unsound_texts, inner, max_size=3), max_leaves=6
)

_ODD = [
    b"\0",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\r",
    b"\n",
    b"\r\n",
    b"\t",
    b'"',
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b":",
]
_ODD += [b"\\ud800", b"\\u0000", b"NaN", b"1e999", b"-", b"null", b"9" * 400, b"9" * 5000, b"[" * 3000, b"x" * 100_000]
_ODD += [
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    "naïve".encode("latin-1"),
    "wörds".encode("utf-16"),
    "\u4e2d\u6587".encode("gb18030"),
]


@st.composite
def damaged(draw, content: bytes) -> bytes:
    """Content cut off, with a piece cut out, inserted, written over, doubled, or moved; or other bytes altogether."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    for _ in range(draw(st.sampled_from([1, 1, 2, 5]))):
        at = draw(st.integers(0, len(content)))
        end = at + draw(st.integers(1, 20))
        odd = draw(st.sampled_from(_ODD) | st.binary(min_size=1, max_size=4))
        way = draw(st.sampled_from(["cut off", "cut out", "insert", "write over", "double", "move"]))
        content = {
            "cut off": content[:at],
            "cut out": content[:at] + content[end:],
            "insert": content[:at] + odd + content[at:],
            "write over": content[:at] + odd + content[at + len(odd) :],
            "double": content[:end] + content[at:],
            "move": content[at:] + content[:at],
        }[way]
    return content


def _lz4(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as file:
        file.write(content)
    return sink.getvalue().to_pybytes()


COMPRESS = {
    "": bytes,
    ".gz": lambda content: gzip.compress(content, mtime=0),
    ".zst": zstandard.ZstdCompressor(write_checksum=True).compress,
    ".bz2": bz2.compress,
    ".lz4": _lz4,
}


def check_sentence(error: AscentError) -> None:
    """Assert that an error is one sentence, `where: what is wrong; how to fix it`, which a terminal can show."""
    told = str(error)
    assert re.fullmatch(r"[^:;]+:.+; .+[.?]", told), told
    assert told.isprintable() and len(told) < 1500, told


def check_counted_or_refused(settings: Reading, folder: Path) -> None:
    """Assert that a corpus's files are refused in a sentence, or that the audit counts what is written and what is set
    aside."""
    try:
        rows = [*module_of(settings.reader).read(folder, settings.reader)]
        pairs, documents, audit = normalised("damaged", settings, folder)
    except AscentError as error:
        check_sentence(error)
    else:
        assert sum(audit["pairs"].values()) == len(pairs) and sum(audit["documents"].values()) == len(documents)
        assert sum(audit["set_aside"].values()) == sum(isinstance(row, Rejected) for row in rows)
