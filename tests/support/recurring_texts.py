"""STS tasks whose texts recur among the pairs, made up: two models that are equally good, and what they score in
truth."""

import itertools

import numpy as np
from scipy import stats

from support.units import units

DIMENSIONS = 8
NOISE = 0.6


def pairs_of(shape: str, texts: int, draws: np.random.Generator) -> np.ndarray:
    """Return the pairs of texts, (pairs, 2): `complete`, all pairs of the texts (Lee's 50); `sparse`, each text in
    about three random pairs (SICK-R); `star`, each query with four texts of its own; `apart`, no text twice."""
    if shape == "complete":
        return np.array(list(itertools.combinations(range(texts), 2)))
    if shape == "sparse":
        pairs = np.unique(np.sort(draws.integers(0, texts, (3 * texts // 2, 2)), axis=1), axis=0)
        return pairs[pairs[:, 0] != pairs[:, 1]]
    if shape == "star":
        queries = np.repeat(np.arange(texts // 5), 4)
        return np.stack([queries, texts // 5 + np.arange(len(queries))], axis=1)
    return np.arange(texts // 2 * 2).reshape(-1, 2)


def task(shape: str, texts: int, draws: np.random.Generator, by: str = "text") -> list:
    """Return the units of two models on one sample of texts and pairs. Each model errs about whole texts, some more
    than others.

    by: `text`, or `pair`, as if no two pairs shared a text.
    """
    pairs = pairs_of(shape, texts, draws)
    latent = draws.normal(size=(texts, DIMENSIONS))
    human = (_cosines(latent, pairs) + draws.normal(0, 0.15, len(pairs))).round(1)
    errors = [np.exp(NOISE * draws.normal(size=(texts, 1))) * draws.normal(size=latent.shape) for _ in range(2)]
    names = [[str(i), str(j)] for i, j in pairs] if by == "text" else None
    return [units(_cosines(latent + NOISE * error, pairs), "cosine_spearman", human, texts=names) for error in errors]


def truth(shape: str, samples: int = 30) -> float:
    """Return the correlation that such models have over very many texts."""
    draws, found = np.random.default_rng(99), []
    for _ in range(samples):
        for model in task(shape, 400 if shape == "complete" else 6000, draws):
            found.append(stats.spearmanr(model.table["score"], model.table["reference"])[0])
    return float(np.mean(found))


def _cosines(vectors: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors[pairs[:, 0]] * vectors[pairs[:, 1]]).sum(axis=1)
