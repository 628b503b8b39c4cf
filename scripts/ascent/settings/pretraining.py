"""The objectives of pre-training that a recipe may name, and each one's settings."""

from typing import Annotated

from pydantic import Field, model_validator

from .base import Choice, Settings, Share, by_name

MaskedShare = Annotated[float, Field(gt=0, lt=1)]


class Mlm(Settings):
    """Masked tokens are predicted from the text around them (BERT, arXiv 1810.04805, section 3.1)."""

    mask: MaskedShare = 0.15
    """Share of a text's tokens that are predicted."""


class Retromae(Settings):
    """As mlm, and one layer predicts the whole text from its embedding (RetroMAE, arXiv 2205.12035, section 3)."""

    encoder_mask: MaskedShare = 0.3
    """Share of a text's tokens that the backbone does not see."""
    decoder_mask: Share = 0.5
    """Share of the other tokens that the decoder does not see when it predicts a token; drawn for each token anew."""


class Mntp(Settings):
    """Masked tokens are predicted from the state before them, for a causal backbone made bidirectional (LLM2Vec, arXiv
    2404.05961, section 2.2)."""

    mask: MaskedShare = 0.2
    """Share of a text's tokens that are predicted."""


PRETRAINING: dict[str, type[Settings]] = {"mlm": Mlm, "retromae": Retromae, "mntp": Mntp}


class PretrainObjectives(Choice):
    """An objective of pre-training with its settings: one of these."""

    mlm: Mlm | None = None
    """Predict masked tokens."""
    retromae: Retromae | None = None
    """Predict masked tokens, and the text from its embedding."""
    mntp: Mntp | None = None
    """Predict masked tokens from the state before them."""

    @property
    def name(self) -> str:
        """The objective's name."""
        return next(iter(self.chosen))

    @model_validator(mode="after")
    def _one_objective(self):
        if len(self.chosen) != 1:
            raise ValueError("takes one objective of pre-training: name one")
        return self


PretrainObjective = by_name(PretrainObjectives)
