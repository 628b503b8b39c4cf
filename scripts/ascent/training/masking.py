"""Which tokens of a text pre-training predicts, and which of the others the model sees.

Everything is drawn from the seed, the step and the text's place in the whole batch, so masks depend neither on the
number of processes nor on resumption.
"""

from dataclasses import dataclass

import numpy as np


def draw_of(seed: int, step: int, number: int) -> np.random.Generator:
    """Return the random generator of the text with this place in the whole batch of this step."""
    # Five numbers: the draws of schedule and dropout have fewer.
    return np.random.default_rng([seed, step, number, 0, 1])


@dataclass(frozen=True, kw_only=True)
class Masking:
    """How tokens are chosen and hidden.

    share: of the tokens of a text that can be predicted. mask_id: the token that stands for a hidden one. special: ids
    that are never predicted. vocabulary: how many ids a replacement is drawn from; with None every chosen token becomes
    `mask_id`; else 80 % do, 10 % become a random token and 10 % stay (BERT, arXiv 1810.04805, section 3.1). first: the
    first place that can be predicted.
    """

    share: float
    mask_id: int
    special: np.ndarray
    vocabulary: int | None = None
    first: int = 0

    def predictable(self, tokens: np.ndarray) -> np.ndarray:
        """Return the places of a text's tokens that can be predicted, int64, ascending."""
        places = np.flatnonzero(~np.isin(tokens, self.special))
        return places[places >= self.first]

    def count(self, predictable: int) -> int:
        """Return how many of `predictable` tokens are chosen: the share, rounded, at least one."""
        return min(predictable, max(1, round(self.share * predictable)))

    def __call__(self, tokens: np.ndarray, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return a copy of a text's tokens with the chosen ones hidden, and their places, int64, ascending."""
        places = self.predictable(tokens)
        places = np.sort(draw.permutation(places)[: self.count(len(places))])
        masked = tokens.copy()
        masked[places] = self.mask_id
        if self.vocabulary is not None:
            luck, others = draw.random(len(places)), draw.integers(self.vocabulary, size=len(places))
            masked[places[luck >= 0.8]] = others[luck >= 0.8]
            masked[places[luck >= 0.9]] = tokens[places[luck >= 0.9]]
        return masked, places
