"""An Ascent model as mteb sees it that ranks by several scores: the embedding's, and those of heads beside it."""

import math

import torch
from mteb._create_dataloaders import create_dataloader
from mteb.types import PromptType

from ..model.encoder import Encoder
from ..model.token_scores import Encoded, scores_by_kind
from .model import model_meta
from .mteb_names import prompt_task

# Queries that are compared at a time.
QUERIES = 256


class SearchingModel:
    """mteb's search protocol over an Encoder: every query with every document, by the weighted sum of scores.

    weights: by kind of score, `dense` for the embedding's and the names of heads beside it.
    """

    def __init__(self, encoder: Encoder, name: str, weights: dict[str, float]) -> None:
        self.encoder = encoder
        self.mteb_model_meta = model_meta(encoder, name)
        self._heads = [name for name in encoder.contract.heads.beside if name in weights]
        self._weights = torch.tensor([weights.get(kind, 0.0) for kind in ("dense", *self._heads)], device=encoder.device)

    def index(self, corpus, **_) -> None:
        """Keep the corpus as it is: what heads give for its tokens would fill the memory."""
        self._corpus = corpus

    @torch.inference_mode()
    def search(self, queries, *, task_metadata, top_k: int, encode_kwargs, top_ranked=None, num_proc=None, **_) -> dict:
        """Return the best `top_k` documents of each query, of `top_ranked` where given: {query: {document: score}}."""
        options = {"task_metadata": task_metadata, "num_proc": num_proc} | encode_kwargs
        task = prompt_task(task_metadata.type)

        def encode(texts: list[str], side: str) -> Encoded:
            return self.encoder.encode_tokens(texts, self._heads, side=side, task=task)

        ids, device = list(self._corpus["id"]), self.encoder.device
        place = {document: index for index, document in enumerate(ids)}
        loader = create_dataloader(queries, prompt_type=PromptType.query, **options)
        texts = [text for batch in loader for text in batch["text"]]
        groups = [slice(start, start + QUERIES) for start in range(0, len(texts), QUERIES)]
        asked = [encode(texts[group], "query") for group in groups]
        names = [list(queries["id"][group]) for group in groups]
        allowed = [_mask(own, top_ranked, place, device) for own in names] if top_ranked else None
        none = [torch.empty(len(own), 0, device=device) for own in names]
        best = [(scores, scores.long()) for scores in none]
        start = 0
        for batch in create_dataloader(self._corpus, prompt_type=PromptType.document, **options):
            documents = encode(batch["text"], "document")
            columns = torch.arange(start, start + len(batch["text"]), device=device)
            for number, part in enumerate(asked):
                tiles = [scores_by_kind(part, tile) for tile, _, _ in documents.tiles(part)]
                scores = torch.einsum("k,kqd->qd", self._weights, torch.cat(tiles, dim=-1))
                if allowed:
                    scores = scores.masked_fill(~allowed[number][:, columns], -math.inf)
                scores = torch.cat([best[number][0], scores], dim=1)
                places = torch.cat([best[number][1], columns.expand(len(scores), -1)], dim=1)
                found = scores.topk(min(top_k, scores.shape[1]))
                best[number] = found.values, places.gather(1, found.indices)
            start += len(columns)
        return {
            query: {ids[at]: score for score, at in zip(*row, strict=True) if score > -math.inf}
            for own, (scores, places) in zip(names, best, strict=True)
            for query, *row in zip(own, scores.tolist(), places.tolist(), strict=True)
        }


def _mask(queries: list[str], top_ranked: dict, place: dict[str, int], device: torch.device) -> torch.Tensor:
    """Return which documents each query is to rank, (queries, documents)."""
    mask = torch.zeros(len(queries), len(place), dtype=torch.bool, device=device)
    for row, query in enumerate(queries):
        mask[row, [place[document] for document in top_ranked[query]]] = True
    return mask
