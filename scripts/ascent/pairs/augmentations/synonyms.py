"""Put synonyms in place of words (EDA, arXiv 1901.11196)."""

from random import Random

from ...settings.augmentations import Synonyms
from ..wordnet import synonyms


def alter(parts: list[str], settings: Synonyms, random: Random) -> list[str]:
    """Replace each word that has synonyms with the given probability. A capital letter stays one."""
    known, parts = synonyms(settings.wordnet), parts.copy()
    for place in range(1, len(parts), 2):
        word = parts[place]
        found = known.get(word.lower())
        if found and random.random() < settings.share:
            chosen = random.choice(found)
            if word.isupper() and len(word) > 1:
                chosen = chosen.upper()
            parts[place] = chosen[0].upper() + chosen[1:] if word[0].isupper() else chosen
    return parts
