"""BGE-M3's loss on several scores at once (Chen et al. 2024, arXiv 2402.03216, section 3.3)."""

from collections.abc import Callable

import torch
import torch.distributed as dist

from ..collectives import gather, pass_on, sizes_of_all
from ..model.token_scores import Encoded, TokenOutputs, scores_by_kind
from . import Embedded
from .ring import excluded_columns, keys_of


def m3(
    local: Embedded,
    *,
    temperature: float,
    score_weights: dict[str, float],
    loss_weights: dict[str, float],
    self_distillation: bool,
) -> torch.Tensor:
    """Return the loss of each local row, scored against all documents in the global batch. Candidates are those of
    infonce.

    For each kind of score s, the embedding's and the heads', and for their weighted sum s_all, let L(s) = -log
    softmax(s / temperature) at the positive. Then L is the sum of the L(s), each with its weight, and of L(s_all),
    divided by their number. Self-distillation: L' is the weighted mean, over the kinds, of -sum p log softmax(s /
    temperature) with the constant p = softmax(s_all / temperature), and the loss is (L + L') / 2.
    """
    assert local.query_tokens is not None and local.document_tokens is not None
    kinds = ["dense", *local.query_tokens.outputs]
    scores = scores_of_all(local) / temperature
    query_keys, document_keys = keys_of(local)
    excluded = excluded_columns(query_keys, gather(document_keys))
    rows = torch.arange(len(local.queries), device=excluded.device)
    before = sizes_of_all(local.documents)[: dist.get_rank()] if dist.is_initialized() else []
    excluded[rows, sum(before) + rows] = False  # a row's own positive

    def by_kind(weights: dict[str, float]) -> torch.Tensor:
        return torch.tensor([weights[kind] for kind in kinds], dtype=scores.dtype, device=scores.device)[:, None]

    together = (by_kind(score_weights)[..., None] * scores).sum(0, keepdim=True)
    logs = torch.log_softmax(torch.cat([scores, together]).masked_fill(excluded, -torch.inf), dim=-1)
    losses = -logs[:, rows, sum(before) + rows]
    factors = by_kind(loss_weights)
    loss = ((factors * losses[:-1]).sum(0) + losses[-1]) / (len(kinds) + 1)
    if not self_distillation:
        return loss
    distilled = -(logs[-1].detach().exp() * logs[:-1].masked_fill(excluded, 0)).sum(-1)
    return (loss + (factors * distilled).mean(0)) / 2


def scores_of_all(local: Embedded) -> torch.Tensor:
    """Return the scores of the local queries with the documents of every process, in the order of ranks: (kinds, rows,
    all documents). The kinds are the embedding's score, then the heads'.

    The documents go round the processes in a ring, so that none ever holds all their tokens.
    """
    assert local.query_tokens is not None and local.document_tokens is not None
    queries = Encoded(embeddings=local.queries, tokens=local.query_tokens)
    documents = Encoded(embeddings=local.documents, tokens=local.document_tokens)
    return _Ring.apply(queries, documents, *queries.parts, *documents.parts)


class _Ring(torch.autograd.Function):
    """parts: the queries', then the documents'. Scores are computed tile by tile, and recomputed in the backward pass;
    a block's gradient goes round with it until it is home."""

    @staticmethod
    def forward(ctx, queries: Encoded, documents: Encoded, *parts: torch.Tensor):
        ctx.queries, ctx.documents = queries, documents
        ctx.sizes = sizes_of_all(documents.embeddings), sizes_of_all(documents.tokens.ids)
        world, block, scores = len(ctx.sizes[0]), documents, {}
        for hop in range(world):
            next_block = _send(block, ctx.sizes, hop) if hop + 1 < world else None  # sent while this one is used
            scores[_home(hop, world)] = torch.cat(
                [scores_by_kind(queries, tile) for tile, _, _ in block.tiles(queries)], dim=-1
            )
            block = next_block() if next_block else block
        return torch.cat([scores[rank] for rank in range(world)], dim=-1)

    @staticmethod
    def backward(ctx, gradient):
        mine = [part.detach().requires_grad_() for part in ctx.queries.parts]
        queries, block = ctx.queries.like(mine), ctx.documents.like([part.detach() for part in ctx.documents.parts])
        half = len(mine)
        by_home = gradient.split(ctx.sizes[0], dim=-1)
        world = len(by_home)
        grad_queries, grad_block = ([torch.zeros_like(part) for part in side.parts] for side in (queries, block))
        for hop in range(world):
            next_block = _send(block, ctx.sizes, hop) if hop + 1 < world else None
            for tile, texts, tokens in block.tiles(queries):
                theirs = [part.requires_grad_() for part in tile.parts]
                with torch.enable_grad():
                    scores = scores_by_kind(queries, tile)
                grad_scores = by_home[_home(hop, world)][..., texts]
                gradients = torch.autograd.grad(
                    scores, mine + theirs, grad_scores, allow_unused=True, materialize_grads=True
                )
                for total, part in zip(grad_queries, gradients[:half], strict=True):
                    total += part
                for total, part, place in zip(
                    grad_block, gradients[half:], [texts] + [tokens] * (half - 1), strict=True
                ):
                    total[place] += part
            grad_block = [*pass_on(grad_block[:1], ctx.sizes[0], hop)(), *pass_on(grad_block[1:], ctx.sizes[1], hop)()]
            block = next_block() if next_block else block
        return None, None, *grad_queries, *grad_block


def _home(hop: int, world: int) -> int:
    """Return the rank whose documents are here before a hop, see pass_on."""
    return (dist.get_rank() - hop) % world if world > 1 else 0


def _send(block: Encoded, sizes: tuple[list[int], list[int]], hop: int) -> Callable[[], Encoded]:
    """Start sending a block on; return a function that waits for the next one."""
    wait_texts = pass_on([block.embeddings, block.tokens.lengths], sizes[0], hop)
    wait_tokens = pass_on([block.tokens.ids, *block.tokens.outputs.values()], sizes[1], hop)

    def wait() -> Encoded:
        (embeddings, lengths), (ids, *outputs) = wait_texts(), wait_tokens()
        tokens = TokenOutputs(lengths=lengths, ids=ids, outputs=dict(zip(block.tokens.outputs, outputs, strict=True)))
        return Encoded(embeddings=embeddings, tokens=tokens)

    return wait
