"""Typing errors."""

from random import Random

from ...settings.augmentations import CharacterNoise


def alter(parts: list[str], settings: CharacterNoise, random: Random) -> list[str]:
    """At each character of a word, with the given probability: leave it out, double it, or exchange it with the
    next."""
    parts = parts.copy()
    for place in range(1, len(parts), 2):
        characters = list(parts[place])
        for at in range(len(characters)):
            if random.random() < settings.share:
                error = random.randrange(3)
                if error == 2 and at + 1 < len(characters):
                    characters[at : at + 2] = characters[at + 1], characters[at]
                else:
                    characters[at] *= 2 * (error == 1)
        parts[place] = "".join(characters)
    return parts
