"""An Ascent model as a search model of mteb: ranks by the scores of the embedding and of token-level heads."""

import math

import torch
from mteb._create_dataloaders import create_dataloader
from mteb.types import PromptType

from ..model.encoder import Encoder
from ..model.token_scores import Encoded, scores_by_kind
from ..progress import PATIENCE, Progress
from .model import model_meta, prompt_of, prompt_used

# Queries per tile of scores.
QUERIES = 256


class SearchingModel:
    """mteb's search protocol for an Encoder: exact search by a weighted sum of scores.

    `weights`: by kind of score, `dense` (the embedding's) or the name of a token-level head.
    """

    def __init__(self, encoder: Encoder, name: str, weights: dict[str, float]) -> None:
        self.encoder = encoder
        self.mteb_model_meta = model_meta(encoder, name)
        self._heads = [name for name in encoder.contract.heads.per_token if name in weights]
        self._weights = torch.tensor(
            [weights.get(kind, 0.0) for kind in ("dense", *self._heads)], device=encoder.device
        )

    def index(self, corpus, **_) -> None:
        """Keep the corpus as text: token-level outputs would fill the memory."""
        self._corpus = corpus

    @torch.inference_mode()
    def search(self, queries, *, task_metadata, top_k: int, encode_kwargs, top_ranked=None, num_proc=None, **_) -> dict:
        """Return the best `top_k` documents per query, among `top_ranked` if given: {query: {document: score}}."""
        options = {"task_metadata": task_metadata, "num_proc": num_proc} | encode_kwargs

        def encode(texts: list[str], side: PromptType) -> Encoded:
            prompt = prompt_of(self.encoder.contract, task_metadata, side)
            return self.encoder.encode_tokens(texts, self._heads, prompt=prompt)

        for side, texts in ((PromptType.query, "queries"), (PromptType.document, "documents")):
            print(prompt_used(task_metadata, texts, prompt_of(self.encoder.contract, task_metadata, side)))
        ids, device = list(self._corpus["id"]), self.encoder.device
        column_of = {document: column for column, document in enumerate(ids)}
        loader = create_dataloader(queries, prompt_type=PromptType.query, **options)
        texts = [text for batch in loader for text in batch["text"]]
        groups = [slice(start, start + QUERIES) for start in range(0, len(texts), QUERIES)]
        encoded = [encode(texts[group], PromptType.query) for group in groups]
        query_ids = [list(queries["id"][group]) for group in groups]
        allowed = [_mask(part, top_ranked, column_of, device) for part in query_ids] if top_ranked else None
        empty = [torch.empty(len(part), 0, device=device) for part in query_ids]
        best = [(scores, scores.long()) for scores in empty]
        start, shown = 0, Progress(f"{task_metadata.name}, documents", len(ids), "text", patience=PATIENCE)
        for batch in create_dataloader(self._corpus, prompt_type=PromptType.document, **options):
            documents = encode(batch["text"], PromptType.document)
            columns = torch.arange(start, start + len(batch["text"]), device=device)
            for number, part in enumerate(encoded):
                tiles = [scores_by_kind(part, tile) for tile, _, _ in documents.tiles(part)]
                scores = torch.einsum("k,kqd->qd", self._weights, torch.cat(tiles, dim=-1))
                if allowed:
                    scores = scores.masked_fill(~allowed[number][:, columns], -math.inf)
                scores = torch.cat([best[number][0], scores], dim=1)
                candidates = torch.cat([best[number][1], columns.expand(len(scores), -1)], dim=1)
                top = scores.topk(min(top_k, scores.shape[1]))
                best[number] = top.values, candidates.gather(1, top.indices)
            start += len(columns)
            shown.advance(len(columns))
        shown.close()
        return {
            query: {ids[column]: score for score, column in zip(*row, strict=True) if score > -math.inf}
            for part, (scores, columns) in zip(query_ids, best, strict=True)
            for query, *row in zip(part, scores.tolist(), columns.tolist(), strict=True)
        }


def _mask(queries: list[str], top_ranked: dict, column_of: dict[str, int], device: torch.device) -> torch.Tensor:
    """Return which documents each query ranks: bool, (queries, documents)."""
    mask = torch.zeros(len(queries), len(column_of), dtype=torch.bool, device=device)
    for row, query in enumerate(queries):
        mask[row, [column_of[document] for document in top_ranked[query]]] = True
    return mask
