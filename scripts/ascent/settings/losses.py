"""The losses that a recipe may name, and each one's settings.

A loss's settings but `weight` are the keyword arguments of the function of its name in scripts/ascent/losses.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from .base import Choice, Component, Positive, Seed, Settings, by_name, some_of


class Loss(Component):
    """What every loss has."""

    folder = "losses"
    needs: ClassVar[Literal["labels", "negatives", "own negatives", "teacher scores", "teacher embeddings", "nothing"]]
    """What rows must have for the loss to teach anything: labels; documents to be told from, in the batch or their own; their own
    documents' scores, or their texts' embeddings, by the stage's teacher."""
    of_tokens: ClassVar[bool] = False
    """Whether it learns what the heads beside the embedding give for each token."""
    cosine_labels: ClassVar[bool] = False
    """Whether a label is what the cosine should be."""

    weight: Positive = 1
    """Factor on the loss in the sum of a stage's losses."""


class Mixing(Settings):
    """Synthetic negatives of rows that have two of their own, made of these: mixtures of the embeddings (MoCHi, arXiv
    2010.01028; KaLM-Embedding-V2, arXiv 2506.20923)."""

    pairwise: Annotated[int, Field(ge=0)] = 0
    """So many of two negatives each, drawn with their shares at random."""
    listwise: bool = False
    """One more of all of them, by the softmax of their similarities to the query, at the loss's temperature."""
    seed: Seed = 0
    """Seed of the draw, which also depends on the step and on the row's place in the batch."""

    @model_validator(mode="after")
    def _some_mixture(self):
        if not self.pairwise and not self.listwise:
            raise ValueError("makes no negative: set pairwise or listwise")
        return self


class Infonce(Loss):
    """Each query's positive against every other document of the batch (arXiv 1807.03748)."""

    needs = "negatives"

    temperature: Positive = 0.05
    """Similarities are divided by it before the softmax."""
    symmetric: bool = False
    """Also rank the batch's queries for each positive, and average the two losses."""
    terms: tuple[Literal["query-query", "document-query", "document-document"], ...] = ()
    """More scores in the softmax's sum: of the query with other queries, of the positive with other queries, of the positive with
    other rows' documents. GTE takes all (arXiv 2308.03281), Qwen3-Embedding the first and the last (arXiv 2506.05176)."""
    false_negative_margin: Annotated[float, Field(ge=0)] | None = None
    """What scores higher than the positive by more than this is no negative; Qwen3-Embedding takes 0.1. All are when absent."""
    tau_plus: Annotated[float, Field(ge=0, lt=1)] = 0
    """Share of the negatives that are answers in truth: the sum over them is corrected for it, for embeddings of length 1
    (debiased contrastive loss, arXiv 2007.00224)."""
    focal_gamma: Annotated[float, Field(ge=0)] = 0
    """A row's loss is multiplied by (1 - its positive's probability) to this power, so that hard rows weigh more (arXiv
    1708.02002, arXiv 2506.20923); 0 for none."""
    mixing: Mixing | None = None
    """Synthetic negatives of each row's own ones; none when absent."""

    @model_validator(mode="after")
    def _terms_stand_alone(self):
        if self.symmetric and self.terms:
            raise ValueError("symmetric and terms are two ways to compare more than queries with documents: give one")
        if self.tau_plus and self.terms:
            raise ValueError("tau_plus corrects the sum over documents only: leave it or the terms out")
        return self


class ScoreWeights(Settings):
    """A number for each kind of score; those of heads that the base lacks are not heeded."""

    dense: Positive = 1
    """The embedding's."""
    lexical: Positive = 0.3
    """The head `lexical`'s."""
    multi_vector: Positive = 1
    """The head `multi_vector`'s."""


class LossWeights(ScoreWeights):
    """A factor on the loss of each kind of score."""

    lexical: Positive = 0.1
    """The head `lexical`'s, which is low at first since its weights are random."""


class M3(Loss):
    """Infonce on the embedding's score, on those of the heads `lexical` and `multi_vector`, and on their sum, which also teaches
    them (BGE-M3, arXiv 2402.03216). The defaults are the paper's."""

    needs = "negatives"
    of_tokens = True

    temperature: Positive = 0.02
    """Scores are divided by it before the softmax."""
    score_weights: ScoreWeights = ScoreWeights()
    """Each score's weight in their sum."""
    loss_weights: LossWeights = LossWeights()
    """Each score's weight in the sum of the losses."""
    self_distillation: bool = True
    """Whether each score also learns the probabilities that the sum gives the batch's documents."""


class Circle(Loss):
    """Like infonce, but a similarity is pushed the harder the further it is from where it should be (arXiv 2002.10857)."""

    needs = "negatives"

    gamma: Positive = 80
    """Scale of the similarities."""
    margin: Annotated[float, Field(gt=0, lt=1)] = 0.4
    """A positive should score above 1 less this, a negative below it. The defaults are the paper's for fine-grained retrieval."""


class Triplet(Loss):
    """Each query nearer to its positive than to its own negatives, by a margin (arXiv 1503.03832)."""

    needs = "own negatives"

    margin: Positive = 1
    """How much nearer."""
    distance: Literal["euclidean", "cosine"] = "euclidean"
    """The distance; `cosine` is 1 less the cosine. Between unit vectors either is 2 at most."""


class Cosine(Loss):
    """Squared error of the cosine similarity against the label, of graded pairs with labels from -1 to 1 (arXiv 1908.10084)."""

    needs = "labels"
    cosine_labels = True


class Cosent(Loss):
    """Ranks graded pairs of a data set by their cosine (CoSENT, doi 10.1109/TASLP.2024.3402087)."""

    needs = "labels"

    scale: Positive = 20
    """Factor on differences of similarities."""


class Angle(Loss):
    """Ranks graded pairs of a data set by an angle in the complex plane (AnglE, arXiv 2309.12871)."""

    needs = "labels"

    scale: Positive = 20
    """Factor on differences of similarities."""


class MarginMse(Loss):
    """By how much a positive scores above each of its row's negatives is what a teacher says, in squared error (MarginMSE, arXiv
    2010.02666)."""

    needs = "teacher scores"

    scale: Positive = 1
    """Factor on the model's similarities before they are compared: a cosine's margin is at most 2, a logit's may be 20."""


class DistillKl(Loss):
    """A row's documents have the probabilities that the teacher's scores give them, by the Kullback-Leibler divergence (arXiv
    2010.11386), times the square of `temperature` (arXiv 1503.02531). Beside infonce at the same temperature its gradient is
    smaller by that square: raise its `weight`."""

    needs = "teacher scores"

    temperature: Positive = 0.05
    """The model's similarities are divided by it before the softmax."""
    teacher_temperature: Positive = 1
    """The teacher's scores are divided by it before the softmax."""


class EmbeddingMse(Loss):
    """Each text's embedding is a bi-encoder's, of the same dimension, in mean squared error (arXiv 2004.09813)."""

    needs = "teacher embeddings"


class SpreadOut(Loss):
    """Regulariser beside other losses: similarities within the batch are like those of random directions (arXiv 1708.06320)."""

    needs = "nothing"


class _Objectives(Choice):
    """Losses and their settings, summed with their weights. Each is a module of scripts/ascent/losses."""

    @property
    def compares(self) -> bool:
        """Whether one of them compares a row's positive with negatives."""
        return any(loss.needs in ("negatives", "own negatives", "teacher scores") for loss in self.chosen.values())

    @property
    def of_tokens(self) -> list[str]:
        """Those that learn what the heads beside the embedding give."""
        return [name for name, loss in self.chosen.items() if loss.of_tokens]

    @model_validator(mode="after")
    def _some_loss(self):
        if not self.chosen:
            raise ValueError("names no loss: name one at least")
        return self


Objectives = some_of(Loss, "Objectives", _Objectives)
Objective = by_name(Objectives)
