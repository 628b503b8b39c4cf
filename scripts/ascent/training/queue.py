"""A queue of earlier batches' positives, embedded by a momentum copy of the model: more negatives for infonce (MoCo, He
et al. 2020, arXiv 1911.05722, algorithm 1).

After a step the copy, as it was during the step and without dropout, embeds the batch's positives; then its weights
become momentum * its own + (1 - momentum) * the model's; then the embeddings join the queue and the oldest leave. A
row's own positive and the batch's other documents are embedded by the model, with a gradient, as without a queue. The
queue is empty at first.

The queue holds the positives of the last `size` rows trained on, of those with infonce and in-batch negatives. Each
process keeps those of its own rows and drops them when they are too old, so nothing has to be sent: together the
processes hold what one would. InfoNCE's ring brings every process's share to all rows; the entries are constants and
need no gradient.
"""

import copy
from pathlib import Path

import torch
import torch.distributed as dist

from ..losses import Queued
from ..model.embedding_model import EmbeddingModel
from ..settings.contrastive import Contrastive
from .data import Batch


class Queue:
    """This process's share of the queue, and the momentum copy of `model`, which every process holds whole."""

    def __init__(self, stage: Contrastive, model: EmbeddingModel):
        self._settings = stage.queue
        self._by_dataset = stage.batching == "by_dataset"
        self._trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        self._copy = copy.deepcopy(model).eval().requires_grad_(False)
        self._device = next(self._copy.parameters()).device
        served = ["infonce" in stage.objective_of(name).chosen for name in stage.data]
        self._served = torch.tensor(served, device=self._device)
        self._rows = 0  # of all steps so far
        # Per entry: the embedding, the text's id, the number of its data set, and of its row among all rows of all
        # steps.
        self._entries: dict[str, torch.Tensor] = {}

    def candidates(self, batch: Batch) -> Queued | None:
        """Return further candidates for the rows of a batch: all entries or, if a batch holds rows of one data set
        only, those of that data set."""
        if not self._entries:
            return None
        queued = Queued(**{name: self._entries[name] for name in ("embeddings", "ids", "dataset_index")})
        return queued.select(queued.dataset_index == batch.dataset_index[0]) if self._by_dataset else queued

    @torch.no_grad()
    def take(self, model: EmbeddingModel, batch: Batch, pad_id: int, tokens: int) -> None:
        """Enqueue a batch after its step, embedded `tokens` at a time, and update the momentum copy."""
        groups, sources, ids, numbers = (
            tensor.to(self._device) for tensor in (batch.groups, batch.dataset_index, batch.document_ids, batch.numbers)
        )
        rows = torch.nonzero((groups == 0) & self._served[sources])[:, 0]
        if len(rows):
            new = {
                "embeddings": self._embed(batch, [batch.rows + row for row in rows.tolist()], pad_id, tokens),
                "ids": ids[rows],
                "dataset_index": sources[rows],
                "places": self._rows + numbers[rows],
            }
            self._entries = {
                name: torch.cat([self._entries.get(name, tensor[:0]), tensor]) for name, tensor in new.items()
            }
        for (name, mine), theirs in zip(self._copy.named_parameters(), model.parameters(), strict=True):
            if name in self._trained:  # weights held in 4 bits have no mean
                mine.lerp_(theirs.to(mine.dtype), 1 - self._settings.momentum)
        self._rows += batch.global_rows
        if self._entries:
            young = self._entries["places"] >= self._rows - self._settings.size
            self._entries = {name: tensor[young] for name, tensor in self._entries.items()}

    def _embed(self, batch: Batch, texts: list[int], pad_id: int, tokens: int) -> torch.Tensor:
        """Return the copy's embeddings of these texts of a batch."""
        chunks, parts = self._copy.mini_batches(batch.tokens.lengths[texts], tokens), []
        for chunk in chunks:
            rows, prompt_lengths = (
                [values[texts[row]] for row in chunk] for values in (batch.tokens, batch.prompt_lengths)
            )
            parts.append(self._copy.embed(**self._copy.inputs(rows, pad_id, self._device, prompt_lengths)))
        order = torch.cat([torch.from_numpy(chunk) for chunk in chunks]).to(self._device)
        return torch.cat(parts)[order.argsort()]

    def save(self, folder: Path) -> None:
        """Write this process's share into a checkpoint's folder; the first process also writes the copy's trained
        weights."""
        rank = dist.get_rank()
        torch.save({"entries": self._entries, "rows": self._rows}, folder / f"queue-{rank}.pt")
        if rank == 0:
            weights = {name: tensor for name, tensor in self._copy.named_parameters() if name in self._trained}
            torch.save(weights, folder / "momentum.pt")

    def load(self, folder: Path, processes: int) -> None:
        """Resume with what `processes` processes saved: with this process's share or, if their number differs, with a
        new one."""
        _, unknown = self._copy.load_state_dict(self._read(folder / "momentum.pt"), strict=False)
        assert not unknown
        rank, world = dist.get_rank(), dist.get_world_size()
        saved = [
            self._read(folder / f"queue-{number}.pt") for number in ([rank] if processes == world else range(processes))
        ]
        self._rows = saved[0]["rows"]
        shares = [share["entries"] for share in saved if share["entries"]]
        entries = {name: torch.cat([share[name] for share in shares]) for name in shares[0]} if shares else {}
        if entries and processes != world:
            own = entries["places"].argsort()[rank::world]
            entries = {name: tensor[own] for name, tensor in entries.items()}
        self._entries = entries

    def _read(self, path: Path) -> dict:
        return torch.load(path, map_location=self._device, weights_only=True)
