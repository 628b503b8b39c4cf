"""A queue of earlier batches' positives, embedded by a momentum copy of the model: more negatives for infonce (MoCo, He et al.
2020, arXiv 1911.05722, algorithm 1).

After a step the copy, as it was during the step and without dropout, embeds the batch's positives; then its weights become
momentum * its own + (1 - momentum) * the model's; then the embeddings join the queue and the oldest leave. A row's own positive
and the batch's other documents are embedded by the model, with a gradient, as without a queue. The queue is empty at first.

The queue holds the positives of the last `size` rows trained on, of those that infonce and in-batch negatives are asked for.
Each process keeps those of its own rows and drops them when they are too old, so nothing has to be sent: together the processes
hold what one would. InfoNCE's ring brings every process's share to all rows; the entries are constants, whose gradient nobody
asks for.
"""

import copy
from pathlib import Path

import torch
import torch.distributed as dist

from ..losses import Queued
from ..model.batching import by_length
from ..model.embedding_model import EmbeddingModel
from ..settings.training import TrainStage
from .data import Batch


class Queue:
    """This process's share of the queue, and the momentum copy of `model`, which every process holds whole."""

    def __init__(self, stage: TrainStage, model: EmbeddingModel):
        assert stage.queue
        self._settings = stage.queue
        self._by_dataset = stage.batching == "by_dataset"
        self._trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        self._copy = copy.deepcopy(model).eval().requires_grad_(False)
        self._device = next(self._copy.parameters()).device
        served = ["infonce" in stage.objective_of(name).chosen for name in stage.data]
        self._served = torch.tensor(served, device=self._device)
        self._rows = 0  # of all steps so far
        # By entry: the embedding, the text's id, the number of its data set, and of its row among all rows of all steps.
        self._entries: dict[str, torch.Tensor] = {}

    def candidates(self, batch: Batch) -> Queued | None:
        """Return what the rows of a batch are told from beside the batch: all entries, or, where a batch holds rows of one data
        set only, those of that one."""
        if not self._entries:
            return None
        queued = Queued(**{name: self._entries[name] for name in ("embeddings", "ids", "dataset_index")})
        return queued.select(queued.dataset_index == batch.dataset_index[0]) if self._by_dataset else queued

    @torch.no_grad()
    def take(self, model: EmbeddingModel, batch: Batch, pad_id: int, tokens: int) -> None:
        """Take in a batch after its step, `tokens` at a time, and follow the model."""
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
            self._entries = {name: torch.cat([self._entries.get(name, tensor[:0]), tensor]) for name, tensor in new.items()}
        for (name, mine), theirs in zip(self._copy.named_parameters(), model.parameters(), strict=True):
            if name in self._trained:  # what an adapter's backbone holds in 4 bits has no mean
                mine.lerp_(theirs.to(mine.dtype), 1 - self._settings.momentum)
        self._rows += batch.global_rows
        if self._entries:
            young = self._entries["places"] >= self._rows - self._settings.size
            self._entries = {name: tensor[young] for name, tensor in self._entries.items()}

    def _embed(self, batch: Batch, texts: list[int], pad_id: int, tokens: int) -> torch.Tensor:
        """Return the copy's embeddings of these texts of a batch."""
        chunks, found = by_length([len(batch.tokens[text]) for text in texts], tokens), []
        for chunk in chunks:
            given = [[of_texts[texts[row]] for row in chunk] for of_texts in (batch.tokens, batch.prompt_lengths)]
            found.append(self._copy.embed(**self._copy.inputs(given[0], pad_id, self._device, given[1])))
        order = torch.cat([torch.from_numpy(chunk) for chunk in chunks]).to(self._device)
        return torch.cat(found)[order.argsort()]

    def save(self, folder: Path) -> None:
        """Write this process's share, and the first process the weights of the copy that follow, into a checkpoint's folder."""
        rank = dist.get_rank()
        torch.save({"entries": self._entries, "rows": self._rows}, folder / f"queue-{rank}.pt")
        if rank == 0:
            weights = {name: tensor for name, tensor in self._copy.named_parameters() if name in self._trained}
            torch.save(weights, folder / "momentum.pt")

    def load(self, folder: Path, processes: int) -> None:
        """Go on with what `processes` processes saved: with one's own share or, of another number of them, with a new one."""
        _, unknown = self._copy.load_state_dict(self._read(folder / "momentum.pt"), strict=False)
        assert not unknown
        rank, world = dist.get_rank(), dist.get_world_size()
        saved = [self._read(folder / f"queue-{number}.pt") for number in ([rank] if processes == world else range(processes))]
        self._rows = saved[0]["rows"]
        shares = [share["entries"] for share in saved if share["entries"]]
        entries = {name: torch.cat([share[name] for share in shares]) for name in shares[0]} if shares else {}
        if entries and processes != world:
            own = entries["places"].argsort()[rank::world]
            entries = {name: tensor[own] for name, tensor in entries.items()}
        self._entries = entries

    def _read(self, path: Path) -> dict:
        return torch.load(path, map_location=self._device, weights_only=True)
