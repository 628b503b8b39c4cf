"""The losses that a recipe may name, and each one's settings.

A loss's settings but `weight` are the keyword arguments of the function of its name in scripts/ascent/losses.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, create_model, model_validator

from .base import Choice, Component, Positive, Seed, Settings, by_name, components, some_of
from .heads import Head


class Loss(Component):
    """What every loss has."""

    folder = "losses"
    needs: ClassVar[Literal["labels", "negatives", "own negatives", "teacher scores", "teacher embeddings", "nothing"]]
    """What rows must have for the loss to train anything: labels; negatives, in the batch or their own; the teacher's
    scores of their own documents, or its embeddings of their texts."""
    token_level: ClassVar[bool] = False
    """Whether it trains token-level heads."""
    cosine_labels: ClassVar[bool] = False
    """Whether a label is the value that the cosine should have."""
    has_chance: ClassVar[bool] = False
    """Whether its value for equal embeddings is that of guessing among the candidates."""
    one_pass: ClassVar[bool] = False
    """Whether it computes all Matryoshka sizes in one pass over the batch: its function then takes `sizes` and
    `normalise`."""

    weight: Positive = 1
    """Factor on the loss in the sum of a stage's losses."""


class Mixing(Settings):
    """Synthetic negatives for rows with at least two negatives of their own: mixtures of their embeddings (MoCHi, arXiv
    2010.01028; KaLM-Embedding-V2, arXiv 2506.20923)."""

    pairwise: Annotated[int, Field(ge=0)] = 0
    """Pairwise mixtures per row: each mixes two random negatives with a random weight."""
    listwise: bool = False
    """Add a mixture of all of a row's negatives, weighted by the softmax of their similarities to the query at the
    loss's temperature."""
    seed: Seed = 0
    """Seed of the draw, which also depends on the step and the row's place in the batch."""

    @model_validator(mode="after")
    def _some_mixture(self):
        if not self.pairwise and not self.listwise:
            raise ValueError("makes no negatives: set pairwise or listwise")
        return self


class Infonce(Loss):
    """Each query's positive against every other document of the batch (arXiv 1807.03748)."""

    needs = "negatives"
    has_chance = True
    one_pass = True

    temperature: Positive = 0.05
    """Similarities are divided by it before the softmax."""
    symmetric: bool = False
    """Also rank the batch's queries per positive, and average the two losses."""
    terms: Annotated[
        tuple[Literal["query-query", "document-query", "document-document"], ...], Field(strict=False)
    ] = ()
    """Further scores in the softmax's sum: of the query with other queries, of the positive with other queries, of the
    positive with other rows' documents. GTE uses all (arXiv 2308.03281), Qwen3-Embedding the first and the last (arXiv
    2506.05176)."""
    false_negative_margin: Annotated[float, Field(ge=0)] | None = None
    """Ignore negatives that score higher than the positive by more than this; Qwen3-Embedding uses 0.1. Default: ignore
    none."""
    tau_plus: Annotated[float, Field(ge=0, lt=1)] = 0
    """Assumed share of false negatives; the negative term is debiased by it. Needs unit-length embeddings (debiased
    contrastive loss, arXiv 2007.00224)."""
    focal_gamma: Annotated[float, Field(ge=0)] = 0
    """Multiply a row's loss by (1 - its positive's probability) to this power, so that hard rows weigh more; 0 switches
    it off (arXiv 1708.02002, arXiv 2506.20923)."""
    mixing: Mixing | None = None
    """Synthetic negatives, mixed from each row's own. Default: none."""

    @model_validator(mode="after")
    def _terms_stand_alone(self):
        if self.symmetric and self.terms:
            raise ValueError("symmetric and terms both add comparisons of other sides: set one of them")
        if self.tau_plus and self.terms:
            raise ValueError("tau_plus corrects the sum over documents only: remove it or the terms")
        return self


def _weights(name: str, meaning: str, default: str) -> type[Settings]:
    """Return settings with one number per kind of score. default: the attribute of heads that holds theirs."""
    token_level = {head: settings for head, settings in components(Head).items() if settings.per_token}
    fields = {"dense": (Positive, Field(1, description="The embedding's."))}
    for head, settings in token_level.items():
        fields[head] = (Positive, Field(getattr(settings, default), description=f"The head `{head}`'s."))
    return create_model(name, __base__=Settings, __module__=__name__, __doc__=meaning, **fields)


ScoreWeights = _weights(
    "ScoreWeights", "One weight per score. Weights of heads that the base lacks are ignored.", "score_weight"
)
LossWeights = _weights(
    "LossWeights", "One factor per score's loss. Factors of heads that the base lacks are ignored.", "loss_weight"
)


class M3(Loss):
    """Infonce on the embedding's score, on those of the heads `lexical` and `multi_vector`, and on their sum, which is
    also distilled into them (BGE-M3, arXiv 2402.03216). The defaults are the paper's."""

    needs = "negatives"
    token_level = True

    temperature: Positive = 0.02
    """Scores are divided by it before the softmax."""
    score_weights: ScoreWeights = ScoreWeights()
    """Each score's weight in their sum."""
    loss_weights: LossWeights = LossWeights()
    """Each score's weight in the sum of the losses."""
    self_distillation: bool = True
    """Distil the probabilities that the sum gives the batch's documents into each score."""


class Circle(Loss):
    """Like infonce, but each similarity is weighted by its distance from its optimum (arXiv 2002.10857)."""

    needs = "negatives"

    gamma: Positive = 80
    """Scale of the similarities."""
    margin: Annotated[float, Field(gt=0, lt=1)] = 0.4
    """A positive should score above 1 - margin, a negative below margin. The defaults are the paper's for fine-grained
    retrieval."""


class Triplet(Loss):
    """Each query nearer to its positive than to its own negatives, by a margin (arXiv 1503.03832)."""

    needs = "own negatives"

    margin: Positive = 1
    """By how much the positive must be nearer."""
    distance: Literal["euclidean", "cosine"] = "euclidean"
    """The distance; `cosine` is 1 - cosine. Between unit vectors either is at most 2."""


class Cosine(Loss):
    """Squared error of the cosine similarity against the label, for graded pairs with labels from -1 to 1 (arXiv
    1908.10084)."""

    needs = "labels"
    cosine_labels = True


class Cosent(Loss):
    """Ranks the graded pairs of a data set by their cosine (CoSENT, doi 10.1109/TASLP.2024.3402087)."""

    needs = "labels"

    scale: Positive = 20
    """Factor on differences of similarities."""


class Angle(Loss):
    """Ranks the graded pairs of a data set by an angle in the complex plane (AnglE, arXiv 2309.12871)."""

    needs = "labels"

    scale: Positive = 20
    """Factor on differences of similarities."""


class MarginMse(Loss):
    """Squared error between the student's and the teacher's margin, score(positive) - score(negative), over a row's own
    negatives (MarginMSE, arXiv 2010.02666)."""

    needs = "teacher scores"

    scale: Positive = 1
    """Factor on the model's similarities before they are compared: a cosine's margin is at most 2, a logit's may be
    20."""


class DistillKl(Loss):
    """Kullback-Leibler divergence from the probabilities that the teacher's scores give a row's documents (arXiv
    2010.11386), times the square of `temperature` (arXiv 1503.02531). Next to infonce at the same temperature its
    gradient is smaller by that square: raise its `weight`."""

    needs = "teacher scores"

    temperature: Positive = 0.05
    """The model's similarities are divided by it before the softmax."""
    teacher_temperature: Positive = 1
    """The teacher's scores are divided by it before the softmax."""


class EmbeddingMse(Loss):
    """Mean squared error between each text's embedding and that of a bi-encoder of the same dimension (arXiv
    2004.09813)."""

    needs = "teacher embeddings"


class SpreadOut(Loss):
    """Regulariser for use with other losses: similarities within the batch become like those of random directions
    (arXiv 1708.06320)."""

    needs = "nothing"


class _Objectives(Choice):
    """Losses and their settings, summed with their weights. Each is a module in scripts/ascent/losses."""

    @property
    def compares(self) -> bool:
        """Whether one of them compares a row's positive with negatives."""
        return any(loss.needs in ("negatives", "own negatives", "teacher scores") for loss in self.chosen.values())

    @property
    def token_level(self) -> list[str]:
        """Those that train token-level heads."""
        return [name for name, loss in self.chosen.items() if loss.token_level]

    @model_validator(mode="after")
    def _some_loss(self):
        if not self.chosen:
            raise ValueError("names no loss: name at least one")
        return self


Objectives = some_of(Loss, "Objectives", _Objectives)
Objective = by_name(Objectives)
