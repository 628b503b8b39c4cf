"""Model selection: held-out pairs are scored during training, the best weights are kept, and training may stop
early."""

from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from scipy.stats import spearmanr

from ..collectives import of_first
from ..errors import AscentError
from ..files import read_json, write_atomically, write_json
from ..model.batching import by_length
from ..settings.contrastive import Development as DevelopmentSettings
from ..tokens.table import TokenisedPairs

DEPTH = 10


class Development:
    """The development split of a stage. Scores and the best weights are kept in `folder`, under the run's fingerprint,
    so that an interrupted run resumes with them.

    trained: the tables that the stage trains on. tokens: how many are embedded at a time. Raises AscentError if a query
    of the split is trained on, or if all its rows have the same label.
    """

    def __init__(
        self,
        settings: DevelopmentSettings,
        table: TokenisedPairs,
        trained: list[TokenisedPairs],
        folder: Path,
        fingerprint: str,
        tokens: int,
    ):
        shared = sum(len(np.intersect1d(table.asked, other.asked)) for other in trained)
        if shared:
            raise AscentError(
                f"{table.folder}: {shared} of the development split's queries are trained on; use another split of the corpus."
            )
        if np.isfinite(table.labels).all() and np.ptp(table.labels) == 0:
            raise AscentError(
                f"{table.folder}: the development split's labels are all equal, so there is nothing to rank; use another one."
            )
        self._settings, self._table, self._tokens = settings, table, tokens
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
        agreed = torch.tensor([self.score(engine, pad_id)], dtype=torch.float64, device=engine.device)
        dist.broadcast(agreed, 0)  # different machines may differ in the last digit
        score = float(agreed)
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
        return max(((int(at), score) for at, score in self._content["scores"].items()), key=lambda item: (item[1], -item[0]))

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the best weights."""
        return load_file(self._weights)

    def close(self) -> None:
        """Remove the files of a finished run."""
        self._weights.unlink(missing_ok=True)
        self._file.unlink(missing_ok=True)

    def score(self, engine, pad_id: int) -> float:
        """Return the split's score: Spearman's correlation of similarities and labels for graded pairs; else nDCG@10 of
        each query among all documents of the split except itself, where known answers are relevant (Järvelin and
        Kekäläinen 2002)."""
        embeddings = self._embed(engine, pad_id)
        table = self._table
        queries, positives = table.queries, table.documents[table.document_offsets[:-1]]
        if np.isfinite(table.labels).all():
            return float(spearmanr((embeddings[queries] * embeddings[positives]).sum(1), table.labels).statistic)
        documents = np.unique(table.documents)
        asked = np.unique(queries)
        places, answers = table.answers_of(table.text_ids[asked])
        relevant = np.zeros((len(asked), len(documents)), dtype=bool)
        column = {int(id_): place for place, id_ in enumerate(table.text_ids[documents])}
        for place, answer in zip(places, answers, strict=True):
            relevant[place, column[int(answer)]] = True
        scores = embeddings[asked] @ embeddings[documents].T
        same = table.text_ids[asked][:, None] == table.text_ids[documents]
        return ndcg(np.where(same & ~relevant, -np.inf, scores), relevant)

    @torch.no_grad()
    def _embed(self, engine, pad_id: int) -> np.ndarray:
        """Embed all texts, each process a share; return (texts, dimension) on every process."""
        lengths = np.diff(self._table.offsets)
        chunks = by_length(lengths, self._tokens)
        rank, world = dist.get_rank(), dist.get_world_size()
        full = None
        engine.eval()
        for begin in range(0, len(chunks), world):
            # ZeRO's collectives need the same number of passes on every process: at the end some embed the last chunk
            # in vain.
            chunk = chunks[min(begin + rank, len(chunks) - 1)]
            rows = [self._table.text(index) for index in chunk]
            prompt_lengths = [self._table.prompt_length(index) for index in chunk]
            embedded = engine(**engine.module.inputs(rows, pad_id, engine.device, prompt_lengths))[0].float()
            if full is None:
                full = embedded.new_zeros((len(lengths), embedded.shape[1]))
            if begin + rank < len(chunks):
                full[torch.from_numpy(chunk).to(full.device)] = embedded
        engine.train()
        dist.all_reduce(full)
        return full.cpu().numpy()


def ndcg(scores: np.ndarray, relevant: np.ndarray) -> float:
    """Return the mean nDCG@10 of queries by their scores (queries, documents) and relevant documents, of the same
    shape."""
    top = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
    discounts = 1 / np.log2(np.arange(2, 2 + DEPTH))
    gains = np.take_along_axis(relevant, top, axis=1) @ discounts[: top.shape[1]]
    ideal = np.concatenate([[0], np.cumsum(discounts)])[np.minimum(relevant.sum(1), DEPTH)]
    return float(np.mean(gains / ideal))
