"""Masked language modelling (BERT, Devlin et al. 2019, arXiv 1810.04805, section 3.1)."""

from . import MaskedPrediction


class Mlm(MaskedPrediction):
    """Predicts masked tokens from the text around them."""
