"""Exchange words of a text at random."""

from random import Random

from ...settings.augmentations import WordSwap


def alter(parts: list[str], settings: WordSwap, random: Random) -> list[str]:
    """Exchange two words at a time, as often as the share of the words says, at least once. What stands between
    stays."""
    places = range(1, len(parts), 2)
    parts = parts.copy()
    for _ in range(max(1, round(len(places) * settings.share)) if len(places) > 1 else 0):
        one, other = random.sample(places, 2)
        parts[one], parts[other] = parts[other], parts[one]
    return parts
