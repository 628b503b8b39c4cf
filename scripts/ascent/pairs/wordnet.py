"""Synonyms from the files of WordNet's database, whose forms are those of its manual pages wndb, senseidx and cntlist
(section 5)."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from ..errors import AscentError

FILES = ("data.noun", "data.verb", "data.adj", "data.adv")
# The number of a part of speech in a sense key; `s` are adjectives that stand around one like them, their head.
NUMBERS = {"n": 1, "v": 2, "a": 3, "r": 4, "s": 5}


@lru_cache(maxsize=2)
def synonyms(folder: str) -> dict[str, tuple[str, ...]]:
    """Return the synonyms of each word that has some, by the word in lower case, as WordNet spells them.

    They are the other words of the synset that is its most frequent sense, by the counts in cntlist.rev. A word that
    was never counted, and a function word, has none: `a`, for one, is a unit in WordNet. Raises AscentError if the
    files are missing or damaged."""
    # It takes a second, and whoever imports this file need not look a word up.
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    best: dict[str, tuple[int, list[str]]] = {}
    try:
        with (Path(folder) / "cntlist.rev").open(encoding="utf-8") as lines:
            counts = {key: int(count) for key, _, count in map(str.split, lines)}
        for file in FILES:
            for key, words in _senses(Path(folder) / file):
                word, count = key[: key.index("%")], counts.get(key, 0)
                if count > best.get(word, (0,))[0]:
                    best[word] = count, words
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise AscentError(
            f"{folder}: is not a folder of WordNet's database ({error}); name one with cntlist.rev and"
            f" {', '.join(FILES)}, such as /usr/share/wordnet of Debian's package wordnet-base."
        ) from None
    others = {
        word: tuple(other for other in words if other.lower() != word)
        for word, (_, words) in sorted(best.items())
        if "_" not in word and word not in ENGLISH_STOP_WORDS
    }
    return {word: found for word, found in others.items() if found}


def _senses(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the key of each sense, lemma%type:file:id:head:head's id, and the words of its synset."""
    heads = {cells[0]: "{}:{}".format(*_lemmas(cells)[0]) for cells in _synsets(path) if cells[2] == "a"}
    for cells in _synsets(path):
        lemmas, head = _lemmas(cells), ":"
        if cells[2] == "s":
            pointers = cells[5 + 2 * len(lemmas) :]
            head = heads[pointers[pointers.index("&") + 1]]
        words = [word.partition("(")[0].replace("_", " ") for word in cells[4 : 4 + 2 * len(lemmas) : 2]]
        for lemma, id in lemmas:
            yield f"{lemma}%{NUMBERS[cells[2]]}:{cells[1]}:{id}:{head}", words


def _synsets(path: Path) -> Iterator[list[str]]:
    """Yield the cells of each synset: its place, file, type, number of words, words each with an id, number of
    pointers, pointers each of four cells, and so on."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip() and not line.startswith(" "):  # as the licence above does
                yield line.split("|")[0].split()


def _lemmas(cells: list[str]) -> list[tuple[str, str]]:
    """Return the words of a synset as sense keys spell them, each with its id. Numbers in the file are of base 16, in
    keys of base 10."""
    end = 4 + 2 * int(cells[3], 16)
    return [
        (word.partition("(")[0].lower(), f"{int(id, 16):02d}")
        for word, id in zip(cells[4:end:2], cells[5:end:2], strict=True)
    ]
