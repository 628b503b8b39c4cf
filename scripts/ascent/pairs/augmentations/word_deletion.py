"""Leave out words of a text at random."""

from random import Random

from ...settings.augmentations import WordDeletion


def alter(parts: list[str], settings: WordDeletion, random: Random) -> list[str]:
    """Leave out each word with the given probability, and what stands behind it. If none would stay, one does."""
    words = len(parts) // 2
    kept = [word for word in range(words) if random.random() >= settings.share] or [random.randrange(words)]
    return parts[:1] + [part for word in kept for part in parts[2 * word + 1 : 2 * word + 3]]
