"""Model selection: held-out pairs are scored during training, the best weights are kept, and training may stop
early; or they choose the weights of a merge (choice.py)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from scipy.stats import spearmanr

from ..collectives import of_first
from ..errors import AscentError
from ..files import read_json, write_atomically, write_json
from ..model.embedding_model import EmbeddingModel
from ..settings.contrastive import Development as DevelopmentSettings
from ..tokens.table import TokenisedPairs

DEPTH = 10
# Scores that are in memory together.
SCORES = 2**26


class Split:
    """A development split, which scores embeddings of its texts.

    trained: the tables that were trained on. Raises AscentError if a query of the split is among them, or if all its
    rows have the same label."""

    def __init__(self, table: TokenisedPairs, trained: list[TokenisedPairs]):
        shared = sum(int(other.knows(table.asked).sum()) for other in trained)
        if shared:
            raise AscentError(
                f"{table.folder}: {shared} of the development split's queries are trained on; use another split of the"
                " corpus."
            )
        if np.isfinite(table.labels).all() and np.ptp(table.labels) == 0:
            raise AscentError(
                f"{table.folder}: the development split's labels are all equal, so there is nothing to rank; use"
                " another one."
            )
        self._table = table

    @property
    def graded(self) -> bool:
        """Whether its rows have labels, whose order is to be found."""
        return bool(np.isfinite(self._table.labels).all())

    def score(self, embeddings: torch.Tensor) -> float:
        """Return the score of the texts' embeddings, (texts, dimension): Spearman's correlation of similarities and
        labels for graded pairs; else nDCG@10 of each query among all documents of the split except itself, where known
        answers are relevant (Järvelin and Kekäläinen 2002)."""
        table = self._table
        if self.graded:
            positives = table.documents[table.document_offsets[:-1]]
            pairs = (torch.from_numpy(np.array(texts)).to(embeddings.device) for texts in (table.queries, positives))
            queries, documents = (embeddings[texts] for texts in pairs)
            return float(spearmanr((queries * documents).sum(1).cpu().numpy(), table.labels).statistic)
        asked, documents = np.unique(table.queries), np.unique(table.documents)
        places, answers = table.answers_of(table.text_ids[asked])
        ids = table.text_ids[documents]
        order = np.argsort(ids)

        def column(wanted: np.ndarray) -> np.ndarray:
            return order[np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)]

        columns, own = column(answers), column(table.text_ids[asked])
        same = np.flatnonzero(ids[own] == table.text_ids[asked])
        hidden = np.setdiff1d(same * len(ids) + own[same], places * len(ids) + columns)
        sides = (embeddings[torch.from_numpy(texts).to(embeddings.device)] for texts in (asked, documents))
        return ndcg(*sides, places, columns, hidden)

    @torch.no_grad()
    def embed(
        self,
        forward: Callable,
        model: EmbeddingModel,
        device: torch.device,
        pad_id: int,
        tokens: int,
        rank: int = 0,
        world: int = 1,
    ) -> torch.Tensor:
        """Embed a process's share of all texts, `tokens` at a time; return (texts, dimension), zero for the others'
        texts.

        forward: the model itself, or the engine that holds it.
        """
        lengths = np.diff(self._table.offsets)
        chunks = model.mini_batches(lengths, tokens)
        full = None
        for begin in range(0, len(chunks), world):
            # ZeRO's collectives need the same number of passes on every process: at the end some embed the last chunk
            # in vain.
            chunk = chunks[min(begin + rank, len(chunks) - 1)]
            rows = [self._table.text(index) for index in chunk]
            prompt_lengths = [self._table.prompt_length(index) for index in chunk]
            embedded = forward(**model.inputs(rows, pad_id, device, prompt_lengths))[0].float()
            if full is None:
                full = embedded.new_zeros((len(lengths), embedded.shape[1]))
            if begin + rank < len(chunks):
                full[torch.from_numpy(chunk).to(full.device)] = embedded
        return full


class Development:
    """The development split of a stage that trains. Scores and the best weights are kept in `folder`, under the run's
    fingerprint, so that an interrupted run resumes with them.

    trained: the tables that the stage trains on. tokens: how many are embedded at a time. Raises AscentError as Split
    does."""

    def __init__(
        self,
        settings: DevelopmentSettings,
        table: TokenisedPairs,
        trained: list[TokenisedPairs],
        folder: Path,
        fingerprint: str,
        tokens: int,
    ):
        self._settings, self._split, self._tokens = settings, Split(table, trained), tokens
        self._weights, self._file = folder / "best.safetensors", folder / "best.json"
        kept = of_first(lambda: read_json(self._file) if self._file.exists() else {})
        self._content = kept if kept.get("fingerprint") == fingerprint else {"fingerprint": fingerprint, "scores": {}}

    def due(self, step: int, steps: int) -> bool:
        """Return whether to score after `step` steps; the last step is always scored."""
        return step % self._settings.every_steps == 0 or step == steps

    def take(self, engine, state, step: int, pad_id: int) -> float:
        """Score the model after `step` steps, and keep its weights, `state(engine)`, if none were better. Called by
        every process. A score that was computed before an interruption is not computed again.
        """
        scores = self._content["scores"]
        if str(step) in scores:
            return scores[str(step)]
        score = self.score(engine, pad_id)
        if score > max(scores.values(), default=-np.inf):
            weights = state(engine)
            if dist.get_rank() == 0:
                with write_atomically(self._weights) as temporary:
                    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, temporary)
        scores[str(step)] = score
        if dist.get_rank() == 0:
            write_json(self._file, self._content)
        return score

    def over(self, step: int) -> bool:
        """Return whether, after `step` steps, `patience` consecutive scores have not improved on the best."""
        if self._settings.patience is None:
            return False
        scores = [score for at, score in self._content["scores"].items() if int(at) <= step]
        return len(scores) - 1 - int(np.argmax(scores)) >= self._settings.patience if scores else False

    @property
    def best(self) -> tuple[int, float]:
        """The step and the score of the best weights."""
        return max(
            ((int(at), score) for at, score in self._content["scores"].items()), key=lambda item: (item[1], -item[0])
        )

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the best weights."""
        return load_file(self._weights)

    def close(self) -> None:
        """Remove the files of a finished run."""
        self._weights.unlink(missing_ok=True)
        self._file.unlink(missing_ok=True)

    def score(self, engine, pad_id: int) -> float:
        """Return the split's score, the same on every process."""
        engine.eval()
        rank, world = dist.get_rank(), dist.get_world_size()
        embeddings = self._split.embed(engine, engine.module, engine.device, pad_id, self._tokens, rank, world)
        engine.train()
        dist.reduce(embeddings, 0)
        score = self._split.score(embeddings) if rank == 0 else 0.0
        agreed = torch.tensor([score], dtype=torch.float64, device=engine.device)
        dist.broadcast(agreed, 0)
        return float(agreed)


def ndcg(
    queries: torch.Tensor,
    documents: torch.Tensor,
    places: np.ndarray,
    columns: np.ndarray,
    hidden: np.ndarray | None = None,
) -> float:
    """Return the mean nDCG@10 of queries (queries, dimension) among documents (documents, dimension) by dot product, on
    their device and in blocks of queries.

    places, columns: int64 (answers,), the query and the document of each relevant pair, once; every query has one.
    hidden: int64, the other pairs that are not ranked: the query's number times the number of documents, plus the
    document's."""
    device, count = queries.device, len(documents)
    relevant = torch.from_numpy(places * count + columns).to(device)
    discounts = 1 / torch.arange(2, 2 + DEPTH, dtype=torch.float64, device=device).log2()
    gains = []
    for block in torch.arange(len(queries), device=device).split(max(1, SCORES // count)):
        scores = queries[block] @ documents.T
        if hidden is not None:
            begin, end = np.searchsorted(hidden, [int(block[0]) * count, (int(block[-1]) + 1) * count])
            own = torch.from_numpy(hidden[begin:end]).to(device) - block[0] * count
            scores.view(-1)[own] = -torch.inf
        top = scores.topk(min(DEPTH, count)).indices
        hits = torch.isin(block[:, None] * count + top, relevant)
        gains.append(hits.double() @ discounts[: top.shape[1]])
    ideal = discounts.cumsum(0).cpu().numpy()[np.minimum(np.bincount(places, minlength=len(queries)), DEPTH) - 1]
    return float(np.mean(torch.cat(gains).cpu().numpy() / ideal))
