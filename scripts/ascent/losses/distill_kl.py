"""Kullback-Leibler divergence from a teacher's ranking of a row's documents (Lin et al. 2020, arXiv 2010.11386)."""

import torch

from . import Embedded


def distill_kl(local: Embedded, *, temperature: float, teacher_temperature: float) -> torch.Tensor:
    """Return temperature^2 * sum_d t_d * log(t_d / s_d) per row, over its own documents d, with t = softmax(teacher's
    scores / teacher_temperature) and s = softmax(inner products / temperature). A row's loss depends on no other row.

    The square keeps the gradient's size as the temperature rises (Hinton et al. 2015, arXiv 1503.02531, section 2); so
    does sentence-transformers' DistillKLDivLoss. FlagEmbedding leaves it out: its loss is this one with weight 1 /
    temperature^2, plus a constant.
    """
    scores = (local.queries[local.row_of_document] * local.documents).sum(1)
    student = _log_softmax(scores / temperature, local)
    teacher = _log_softmax(local.teacher_scores.to(scores.dtype) / teacher_temperature, local)
    terms = torch.exp(teacher) * (teacher - student)
    return temperature**2 * scores.new_zeros(len(local.queries)).index_add(0, local.row_of_document, terms)


def _log_softmax(scores: torch.Tensor, local: Embedded) -> torch.Tensor:
    """Return the log of each document's share in the softmax over its row's documents: (documents,)."""
    rows, row = len(local.queries), local.row_of_document
    highest = scores.new_zeros(rows).scatter_reduce(0, row, scores.detach(), "amax", include_self=False)
    shifted = scores - highest[row]
    return shifted - torch.log(scores.new_zeros(rows).index_add(0, row, torch.exp(shifted)))[row]
