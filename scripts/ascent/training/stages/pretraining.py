"""Pre-training: a stage that learns to predict tokens of texts.

The gradient at any number of processes. Let a batch have N predictions on W processes, and let L be the sum of their
losses divided by N. Each process computes W/N times the sum of its own losses, and DeepSpeed averages over the
processes: dL/dw. N counts the whole batch, so the processes add up their counts before the first pass; each part of
RetroMAE has its own N. Predictions of different texts do not interact, so each mini-batch goes forward and backward at
once, and only the last is declared a boundary (training/engine.py says why).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from ...collectives import largest
from ...components import code_of
from ...model.batching import Texts
from ...model.embedding_model import EmbeddingModel
from ...settings.stages import StageSettings
from ...tokens.table import TokenisedPairs
from ..engine import StepResult, forward_tokens, optimizer_step, seed_pass
from ..masking import draw_of
from ..schedule import Schedule, dealt, make_schedule


@dataclass(frozen=True, kw_only=True)
class TextBatch:
    """One process's share of a batch of texts.

    tokens: the texts' tokens. numbers: int64 (rows,), each text's place in the whole batch. global_rows: how many texts
    the whole batch holds.
    """

    tokens: Texts
    numbers: np.ndarray
    global_rows: int

    def pin_memory(self) -> "TextBatch":
        """Return the batch, which has no tensor to pin; a loader calls this."""
        return self


class TextData:
    """The distinct documents of a stage's data sets, numbered over all data sets. Queries are left out: what is
    embedded at full length is documents."""

    reads_ahead = True

    def __init__(self, tables: dict[str, TokenisedPairs], settings: StageSettings):
        """tables: by data set, see open_table."""
        self._arguments = (tables, settings)
        self.stage = settings.stage
        self.tables = [tables[name] for name in self.stage.data]
        self.sizes = [table.meta["texts"]["document"] for table in self.tables]
        self._starts = np.cumsum([0, *self.sizes])

    def __len__(self) -> int:
        return sum(self.sizes)

    def __reduce__(self):
        return TextData, self._arguments

    def schedule(self) -> Schedule:
        """Return the stage's batches, in order."""
        return make_schedule(self.sizes, self.stage, self._lengths)

    def batch(self, rows: np.ndarray, *, rank: int, world: int) -> TextBatch:
        """Return a process's share of the batch of these texts, see dealt."""
        numbers = dealt(self._lengths(rows), rank, world)
        own = zip(*(part[numbers] for part in self._places(rows)), strict=True)
        return TextBatch(
            tokens=Texts.of([self.tables[source].text(place) for source, place in own]),
            numbers=numbers,
            global_rows=len(rows),
        )

    def _places(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the table of each of some texts, and its place among the table's: int64."""
        sources = np.searchsorted(self._starts, rows, side="right") - 1
        queries = np.array([table.meta["texts"]["query"] for table in self.tables])  # a table's queries come first
        return sources, rows - self._starts[sources] + queries[sources]

    def _lengths(self, rows: np.ndarray) -> np.ndarray:
        """Return how many tokens each of some texts has: int64."""
        sources, places = self._places(rows)
        tokens = np.empty(len(rows), dtype=np.int64)
        for source in np.unique(sources):
            offsets, own = self.tables[source].offsets, sources == source
            tokens[own] = offsets[places[own] + 1] - offsets[places[own]]
        return tokens

    def sample(self) -> list[np.ndarray]:
        """Return the token ids of one text per data set."""
        return [table.text(table.meta["texts"]["query"]) for table in self.tables]


class Pretraining:
    """Predicting tokens of texts: the model with the objective's head, `module`, and the step.

    Raises AscentError if the model cannot be trained by the objective.
    """

    Data = TextData

    def __init__(self, model: EmbeddingModel, tokenizer, settings: StageSettings, data: TextData, schedule: Schedule):
        self.stage = settings.stage
        self.pad_id = tokenizer.pad_token_id or 0
        chosen = self.stage.objective
        self.objective = code_of(chosen)(chosen, model, tokenizer, f"{settings.where}.objective")
        self.module = self.objective.module

    def chance(self, engine, batch: TextBatch, step: int) -> float:
        """Return the loss of guessing among all tokens, once for each part."""
        return len(self.objective.parts) * float(np.log(self.module.backbone.get_input_embeddings().num_embeddings))

    def save(self, folder: Path) -> None:
        """Write nothing: nothing is kept from step to step."""

    def load(self, folder: Path, processes: int) -> None:
        """Read nothing."""

    def step(self, engine, batch: TextBatch, step: int) -> StepResult:
        """Take one optimizer step on a batch; this process holds a share of at least one text."""
        losses = self.backward(engine, batch, step)
        norm = optimizer_step(engine, self.stage)
        lengths = batch.tokens.counts.double()
        lengths = torch.stack([lengths.sum(), lengths.square().sum()]).to(engine.device)
        dist.all_reduce(lengths)
        tokens, squares = lengths.tolist()
        parts = dict(zip(self.objective.parts, losses.tolist(), strict=True))
        return StepResult(
            loss=sum(parts.values()),
            gradient_norm=norm,
            tokens=int(tokens),
            squares=int(squares),
            more={f"loss/{part}": loss for part, loss in parts.items()} if len(parts) > 1 else {},
        )

    def backward(self, engine, batch: TextBatch, step: int) -> torch.Tensor:
        """Leave the whole batch's gradient with the engine; return each part's mean loss over the whole batch,
        (parts,)."""
        device, stage = engine.device, self.stage
        chunks = self.module.embedder.mini_batches(batch.tokens.lengths, forward_tokens(stage, device))
        (count,) = largest(len(chunks), device=device)
        predictable = [len(self.objective.masking.predictable(text)) for text in batch.tokens]
        totals = torch.tensor(self.objective.predictions(predictable), dtype=torch.float64, device=device)
        dist.all_reduce(totals)
        totals = totals.clamp(min=1)  # a text of special tokens only has nothing to predict
        sums = torch.zeros_like(totals)
        for index in range(count):
            # Every process makes the same number of passes, otherwise ZeRO's collectives would wait for ever: the extra
            # ones take one text whose losses do not count.
            counted = index < len(chunks)
            chunk = chunks[index] if counted else chunks[-1][:1]
            seed_pass(stage, step, index)
            losses = engine(**self.inputs(batch, chunk, step, device))
            engine.set_gradient_accumulation_boundary(index == count - 1)
            engine.backward((losses * (counted * dist.get_world_size() / totals).to(losses.dtype)).sum())
            sums += counted * losses.detach()
        dist.all_reduce(sums)
        return sums / totals

    def inputs(self, batch: TextBatch, chunk: np.ndarray, step: int, device: torch.device) -> dict:
        """Return the arguments of the module's forward for some texts of a batch, masked as this step masks them."""
        texts = [batch.tokens[index] for index in chunk]
        draws = [draw_of(self.stage.seed, step, int(batch.numbers[index])) for index in chunk]
        masked, places = zip(
            *(self.objective.masking(text, draw) for text, draw in zip(texts, draws, strict=True)), strict=True
        )
        starts = np.cumsum([0, *(len(text) for text in texts[:-1])])
        labels = np.concatenate([text[at] for text, at in zip(texts, places, strict=True)]).astype(np.int64)
        at = np.concatenate([start + at - self.objective.before for start, at in zip(starts, places, strict=True)])
        inputs = {"places": torch.from_numpy(at).to(device), "labels": torch.from_numpy(labels).to(device)}
        if (decoding := self.objective.decoder_inputs(texts, draws)) is not None:
            inputs["decoding"] = tuple(part.to(device) for part in decoding)
        return inputs | self.module.embedder.inputs(masked, self.pad_id, device)
