"""Long documents cut into passages at the ends of sentences, with overlap.

Passages are spans of the document, which they cover without a gap. Each has as many sentences as fit; a sentence that
is longer than a passage is cut at white space, or anywhere if it has none, as in Chinese."""

from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

from tokenizers import Tokenizer

from ..pairs.text import normalise_text
from ..pairs.tokenizer import count_tokens, load_tokenizer
from ..settings.corpora import Passages
from .sentences import Span, sentences

Cut = Callable[[str], list[Span]]
Measure = Callable[[list[str]], list[int]]


def whole(text: str) -> list[Span]:
    """Return the one passage of a document that is not cut."""
    return [(0, len(text))]


def cutter(settings: Passages | None, tokenizer: Path | None = None) -> Cut:
    """Return the function that cuts a text into passages.

    tokenizer: a tokenizer.json, or a model's folder with one; needed if passages are measured in tokens. Raises
    AscentError if it is none."""
    if settings is None:
        return whole
    if settings.tokens:
        measure = _token_counts(load_tokenizer(tokenizer, "passages"))
    else:

        def measure(texts: list[str]) -> list[int]:
            return [len(normalise_text(text)) for text in texts]

    # Several extractors cut the same document one after another.
    return lru_cache(maxsize=1)(lambda text: _passages(text, settings.longest, settings.overlap, measure))


def _passages(text: str, longest: int, overlap: int, measure: Measure) -> list[Span]:
    spans = sentences(text)
    if not spans:
        return whole(text)
    spans[0] = (0, spans[0][1])
    pieces, sizes = [], []
    for span, size in zip(spans, measure([text[begin:end] for begin, end in spans]), strict=True):
        for piece, part in _pieces(text, span, size, longest, measure):
            pieces.append(piece)
            sizes.append(part)
    before = [0, *accumulate(sizes)]

    def measured(first: int, end: int) -> int:
        return measure([text[pieces[first][0] : pieces[end - 1][1]]])[0]

    found, first, reach = [], 0, 0
    while reach < len(pieces):
        end = reach + 1
        while end < len(pieces) and before[end + 1] - before[first] <= longest:
            end += 1
        # Where its sentences meet, a passage may have more tokens than they have alone: it ends earlier, or begins
        # later.
        while end - first > 1 and measured(first, end) > longest:
            first, end = (first, end - 1) if end > reach + 1 else (first + 1, end)
        found.append((pieces[first][0], pieces[end - 1][1]))
        start, first, reach = first, end, end
        while (
            overlap and reach < len(pieces) and first - 1 > start and before[reach + 1] - before[first - 1] <= longest
        ):
            if measured(first - 1, reach) > overlap:
                break
            first -= 1
    return found


def _pieces(text: str, span: Span, size: int, longest: int, measure: Measure) -> list[tuple[Span, int]]:
    """Return a sentence, or its halves, quarters and so on, none longer than a passage, with their sizes."""
    begin, end = span
    if size <= longest or end - begin < 2:
        return [(span, size)]
    middle = (begin + end) // 2
    # The space next to the middle, within the middle half; one at the end of the first part stays with it.
    quarter = (end - begin) // 4
    places = (text.rfind(" ", begin + quarter, middle), text.find(" ", middle, end - quarter))
    spaces = [place + 1 for place in places if 0 <= place < end - 1]
    middle = min(spaces, key=lambda place: abs(place - middle)) if spaces else middle
    halves = [(begin, middle), (middle, end)]
    sizes = measure([text[first:last] for first, last in halves])
    return [
        part for half, size in zip(halves, sizes, strict=True) for part in _pieces(text, half, size, longest, measure)
    ]


def _token_counts(tokenizer: Tokenizer) -> Measure:
    return lambda texts: count_tokens(tokenizer, [normalise_text(text) for text in texts])
