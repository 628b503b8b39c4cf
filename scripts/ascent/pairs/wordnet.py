"""Synonyms from the files of WordNet's database, whose forms are those of its manual pages wndb, senseidx and cntlist
(section 5)."""

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from ..errors import AscentError
from ..settings.augmentations import WORDNET_COUNTS, WORDNET_DATA, Synonyms

# The number of a part of speech in a sense key; `s` are adjectives that stand around one like them, their head.
NUMBERS = {"n": 1, "v": 2, "a": 3, "r": 4, "s": 5}


@lru_cache(maxsize=2)
def synonyms(folder: str) -> dict[str, tuple[str, ...]]:
    """Return the synonyms of each word that has some, by the word in lower case, as WordNet spells them.

    They are the other words of the synset that is its most frequent sense, by the counts in cntlist.rev or
    index.sense: of equally frequent ones that of the first part of speech, and of it the sense that WordNet lists
    first. A word that was never counted, and a function word, has none: `a`, for one, is a unit in WordNet. Raises
    AscentError if the files are missing or damaged."""
    if lacks := Synonyms(wordnet=folder).lacks():
        raise AscentError(f"augment.synonyms.wordnet {lacks}.")
    # It takes a second, and whoever imports this file need not look a word up.
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    best: dict[str, tuple[tuple[int, int, int], list[str]]] = {}
    try:
        ranks = _ranks(Path(folder))
        for place, file in enumerate(WORDNET_DATA):
            for key, words in _senses(Path(folder) / file):
                word, (count, number) = key[: key.index("%")], ranks.get(key, (0, 0))
                rank = (-count, place, number)
                if count and (word not in best or rank < best[word][0]):
                    best[word] = rank, words
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise AscentError(
            f"{folder}: its files are not those of WordNet's database ({error}); copy the folder again."
        ) from None
    others = {
        word: tuple(other for other in words if other.lower() != word)
        for word, (_, words) in sorted(best.items())
        if "_" not in word and word not in ENGLISH_STOP_WORDS
    }
    return {word: found for word, found in others.items() if found}


def _ranks(folder: Path) -> dict[str, tuple[int, int]]:
    """Return how often each sense was counted, by its key, and its number among those of its word and part of
    speech."""
    file = next(path for name in WORDNET_COUNTS if (path := folder / name).exists())
    with file.open(encoding="utf-8") as lines:
        # index.sense also has the synset's place, behind the key. Keys in cntlist.rev may have the marker of a head,
        # preceding(a), which other files leave out.
        cells = (re.sub(r"\(\w+\)", "", line).split() for line in lines)
        return {key: (int(count), int(number)) for key, *_, number, count in cells}


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
