"""Random pieces of a text, joined in their order."""

from itertools import pairwise
from random import Random

from ...settings.augmentations import Crop


def alter(parts: list[str], settings: Crop, random: Random) -> list[str]:
    """Keep a random share of the words, in pieces that lie at random places. At least one word is kept."""
    words = len(parts) // 2
    kept = max(1, round(words * random.uniform(*settings.keep)))
    pieces = min(settings.pieces, kept)
    sizes = [0, *sorted(random.sample(range(1, kept), pieces - 1)), kept]
    # How many words are left out before each piece.
    left_out = sorted(random.choices(range(words - kept + 1), k=pieces))
    cropped = []
    for before, (begin, end) in zip(left_out, pairwise(sizes), strict=True):
        cropped += parts[2 * (before + begin) + 1 : 2 * (before + end) + 1]
    return cropped
