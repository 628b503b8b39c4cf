"""Pre-training: a stage that learns to predict tokens of texts.

The gradient at any number of processes. Let a batch have N predictions, which lie on W processes, and L be the sum of their
losses divided by N. Each process computes W/N times the sum of its own, and DeepSpeed averages over the processes: dL/dw. N is
the whole batch's, so processes add up theirs before the first pass; RetroMAE's two parts each have one of their own. Predictions
of different texts do not meet, so each mini-batch goes forward and backward at once, and only the last is declared a boundary
(training/engine.py says why).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from ..collectives import largest
from ..errors import AscentError
from ..model.batching import by_length
from ..model.embedding_model import EmbeddingModel
from ..settings.stages import StageSettings
from ..settings.training import PretrainStage
from ..tokens.table import TokenisedPairs
from .engine import StepResult, forward_tokens, optimizer_step, seed_pass
from .masking import Masking, draw_of, visible
from .pretraining_model import PretrainingModel
from .schedule import Schedule, make_schedule


@dataclass(frozen=True, kw_only=True)
class TextBatch:
    """One process's share of a batch of texts.

    tokens: the texts' tokens. numbers: int64 (rows,), each text's place in the whole batch. global_rows: how many texts the whole
    batch holds.
    """

    tokens: list[np.ndarray]
    numbers: np.ndarray
    global_rows: int

    def pin_memory(self) -> "TextBatch":
        """Return the batch; a loader calls this, and there is no tensor to pin."""
        return self


class TextData:
    """The distinct documents of a stage's data sets, numbered from one data set to the next; queries are left out, since what is
    embedded at its full length is documents."""

    def __init__(self, tables: dict[str, TokenisedPairs], settings: StageSettings):
        """tables: by data set, see open_table."""
        assert isinstance(settings.stage, PretrainStage)
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
        needed = self.stage.bucket_batches is not None or self.stage.batch_tokens is not None
        lengths = [np.diff(table.offsets)[table.meta["texts"]["query"] :] for table in self.tables] if needed else None
        return make_schedule(self.sizes, self.stage, np.concatenate(lengths) if needed else None)

    def batch(self, rows: np.ndarray, *, rank: int, world: int) -> TextBatch:
        """Return a process's share of the batch of these texts: each world-th one."""
        numbers = np.arange(rank, len(rows), world)
        own = rows[numbers].astype(np.int64)
        sources = np.searchsorted(self._starts, own, side="right") - 1
        texts = []
        for source, row in zip(sources, own - self._starts[sources], strict=True):
            table = self.tables[source]
            texts.append(table.text(table.meta["texts"]["query"] + row))  # a table's queries come first
        return TextBatch(tokens=texts, numbers=numbers, global_rows=len(rows))

    def sample(self) -> list[np.ndarray]:
        """Return the token ids of a text of each data set."""
        return [table.text(table.meta["texts"]["query"]) for table in self.tables]


class Pretraining:
    """A stage's objective on its model: what DeepSpeed is to wrap, `module`, and the step.

    Raises AscentError when the model cannot be trained so.
    """

    Data = TextData

    def __init__(self, model: EmbeddingModel, tokenizer, settings: StageSettings, data: TextData, schedule: Schedule):
        assert isinstance(settings.stage, PretrainStage)
        where = f"{settings.where}.objective"
        self.stage = settings.stage
        self.pad_id = tokenizer.pad_token_id or 0
        name = self.stage.objective.name
        objective = getattr(self.stage.objective, name)
        words = model.backbone.get_input_embeddings()
        masking = {"mask_id": mask_id(tokenizer, where), "special": np.array(tokenizer.all_special_ids)}
        if name == "retromae":
            # The paper hides every chosen token (section 3.2).
            self.masking = Masking(share=objective.encoder_mask, **masking)
        else:
            masking["vocabulary"] = min(len(tokenizer), words.num_embeddings)
            self.masking = Masking(share=objective.mask, first=int(name == "mntp"), **masking)
        self.before = int(name == "mntp")
        self.decoder_mask = objective.decoder_mask if name == "retromae" else None
        self.parts = ("encoder", "decoder") if name == "retromae" else ("masked",)
        if words.embedding_dim != model.backbone.config.hidden_size:
            raise AscentError(
                f"{where}: '{name}' predicts by the input embeddings, which have {words.embedding_dim} dimensions here and the "
                f"states {model.backbone.config.hidden_size}; take a backbone in which they have as many."
            )
        if name == "mntp":
            check_decoder(model.backbone, where)
        self.module = PretrainingModel(model, transformed=name != "mntp", decoder=name == "retromae")

    def save(self, folder: Path) -> None:
        """Write nothing: nothing is kept from step to step."""

    def load(self, folder: Path, processes: int) -> None:
        """Read nothing."""

    def step(self, engine, batch: TextBatch, step: int) -> StepResult:
        """Take one optimizer step on a batch, of which this process holds a share (at least one text)."""
        losses = self.backward(engine, batch, step)
        norm = optimizer_step(engine, self.stage)
        lengths = torch.tensor([[len(text), len(text) ** 2] for text in batch.tokens], dtype=torch.float64, device=engine.device)
        lengths = lengths.sum(0)
        dist.all_reduce(lengths)
        tokens, squares = lengths.tolist()
        parts = dict(zip(self.parts, losses.tolist(), strict=True))
        return StepResult(
            loss=sum(parts.values()),
            gradient_norm=norm,
            tokens=int(tokens),
            squares=int(squares),
            more={f"loss/{part}": loss for part, loss in parts.items()} if len(parts) > 1 else {},
            unit="texts",
        )

    def backward(self, engine, batch: TextBatch, step: int) -> torch.Tensor:
        """Leave the whole batch's gradient with the engine; return each part's mean loss over the whole batch, (parts,)."""
        device, stage = engine.device, self.stage
        chunks = by_length([len(text) for text in batch.tokens], forward_tokens(stage, device))
        (count,) = largest(len(chunks), device=device)
        possible = [len(self.masking.predictable(text)) for text in batch.tokens]
        counts = {"decoder": sum(possible)}
        counts["encoder"] = counts["masked"] = sum(map(self.masking.count, possible))
        totals = torch.tensor([counts[part] for part in self.parts], dtype=torch.float64, device=device)
        dist.all_reduce(totals)
        totals = totals.clamp(min=1)  # texts of special tokens only teach nothing
        sums = torch.zeros_like(totals)
        for index in range(count):
            # Every process makes the same number of passes, else ZeRO's collectives would wait for ever: the extra ones take one
            # text whose losses do not count.
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
        masked, places = zip(*(self.masking(text, draw) for text, draw in zip(texts, draws, strict=True)), strict=True)
        starts = np.cumsum([0, *(len(text) for text in texts[:-1])])
        labels = np.concatenate([text[at] for text, at in zip(texts, places, strict=True)]).astype(np.int64)
        at = np.concatenate([start + at - self.before for start, at in zip(starts, places, strict=True)])
        inputs = {"places": torch.from_numpy(at).to(device), "labels": torch.from_numpy(labels).to(device)}
        if self.decoder_mask is not None:
            inputs["decoding"] = tuple(part.to(device) for part in self.decoding(texts, draws))
        return inputs | self.module.embedder.inputs(masked, self.pad_id, device)

    def decoding(self, texts: list[np.ndarray], draws: list[np.random.Generator]) -> tuple[torch.Tensor, ...]:
        """Return what RetroMAE's decoder takes, padded; see PretrainingModel.forward."""
        width = max(map(len, texts))
        tokens = np.zeros((len(texts), width), dtype=np.int64)
        predicted = np.zeros((len(texts), width), dtype=bool)
        seen = np.zeros((len(texts), width, width), dtype=bool)
        for row, (text, draw) in enumerate(zip(texts, draws, strict=True)):
            tokens[row, : len(text)] = text
            predicted[row, self.masking.predictable(text)] = True
            seen[row, : len(text), : len(text)] = visible(len(text), self.decoder_mask, draw)
        return torch.from_numpy(tokens), torch.from_numpy(predicted), torch.from_numpy(seen)


def mask_id(tokenizer, where: str) -> int:
    """Return the token that stands for a hidden one: the tokenizer's mask token or, where there is none, as in decoders, the
    underscore, which LLM2Vec takes (arXiv 2404.05961, section 2.2)."""
    if tokenizer.mask_token_id is not None:
        return tokenizer.mask_token_id
    found = tokenizer.get_vocab().get("_")
    if found is None:
        raise AscentError(f"{where}: the base's tokenizer has neither a mask token nor '_'; add a mask token to it.")
    return found


def check_decoder(backbone: torch.nn.Module, where: str) -> None:
    """Refuse a backbone whose states were never trained to predict the next token, or not by its input embeddings."""
    if not any(getattr(module, "is_causal", False) for module in backbone.modules()):
        raise AscentError(f"{where}: mntp is for a causal backbone made bidirectional, and this one is an encoder; take mlm.")
    if not backbone.config.tie_word_embeddings:
        raise AscentError(
            f"{where}: mntp predicts by the input embeddings, and this backbone has others for its output, which a stage's model "
            "does not hold; take a backbone with tie_word_embeddings."
        )
