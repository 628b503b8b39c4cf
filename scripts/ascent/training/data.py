"""The data sets of a stage, mapped into memory, and one process's share of a batch."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch

from ..errors import AscentError
from ..losses.rows import Rows
from ..model.batching import Texts
from ..settings.losses import Objectives
from ..settings.stages import StageSettings
from ..tokens.table import TokenisedPairs
from .dynamic_negatives import DynamicNegatives
from .schedule import Schedule, dealt, make_schedule


@dataclass(frozen=True, kw_only=True)
class Batch(Rows):
    """One process's share of a batch, as token ids."""

    tokens: Texts
    """The token ids of its queries, then of its documents."""
    prompt_lengths: list[int]
    """How many tokens at the beginning of each text pooling leaves out."""
    rows: int
    """How many queries this share holds."""
    global_rows: int
    """How many queries the whole batch holds."""

    def pin_memory(self) -> Self:
        """See Rows."""
        return replace(super().pin_memory(), tokens=self.tokens.pin_memory())


class TrainingData:
    """The rows of a stage's data sets, numbered over all data sets.

    They are mapped, not loaded, and an instance that is sent to another process opens the files there.
    tables: by data set, see open_table. dynamic: which negatives the rows have now, if the stage replaces them. Raises
    AscentError if a loss cannot learn from its rows, see check_losses_can_learn.
    """

    def __init__(self, tables: dict[str, TokenisedPairs], settings: StageSettings):
        self._arguments = (tables, settings)
        self.settings, self.stage = settings, settings.stage
        self.tables = [tables[name] for name in self.stage.data]
        for name, use in self.stage.data.items():
            where = f"{settings.where}.data.{name}"
            check_losses_can_learn(
                where, self.stage.objective_of(name), tables[name], use.uses_in_batch_negatives(settings.tasks[name])
            )
        self.sizes = [len(table) for table in self.tables]
        self._starts = np.cumsum([0, *self.sizes])
        uses = self.stage.data.items()
        self._alone = np.array([not use.uses_in_batch_negatives(settings.tasks[name]) for name, use in uses])
        if self.stage.queue and self._alone.all():
            raise AscentError(
                f"{settings.where}.queue: in-batch negatives are off for all data sets, so "
                "no row would enter or use it; remove it, or set in_batch: true."
            )
        self._weights = np.array([use.loss_weight for _, use in uses], dtype=np.float32)
        dynamic = self.stage.mining and self.stage.mining.dynamic
        mined = [self.stage.mines_for(name) for name in self.stage.data]
        self.dynamic = DynamicNegatives(self.tables, mined, dynamic) if dynamic else None

    @property
    def reads_ahead(self) -> bool:
        """Whether batches may be read before their step begins: not if a step may replace their negatives."""
        return self.dynamic is None

    def __len__(self) -> int:
        return sum(self.sizes)

    def __reduce__(self):
        return TrainingData, self._arguments

    def schedule(self) -> Schedule:
        """Return the stage's batches, in order."""
        return make_schedule(self.sizes, self.stage, self._row_tokens)

    def batch(self, rows: np.ndarray, *, rank: int, world: int) -> Batch:
        """Return a process's share of the batch of these rows, see dealt."""
        numbers = dealt(self._row_tokens(rows), rank, world)
        own = rows[numbers]
        sources = np.searchsorted(self._starts, own, side="right") - 1
        places = list(
            zip([self.tables[source] for source in sources], (own - self._starts[sources]).tolist(), strict=True)
        )
        queries = [(table, int(table.queries[row])) for table, row in places]
        positives, negatives, owners = [], [], []
        for number, (table, row) in enumerate(places):
            positive, *others = table.documents_of(row)
            if self.dynamic:
                others = self.dynamic.chosen(int(own[number]), others + table.reserve_of(row))
            positives.append((table, positive))
            negatives += [(table, text) for text in others]
            owners += [number] * len(others)
        documents = positives + negatives
        return Batch(
            tokens=Texts.of([table.text(text) for table, text in queries + documents]),
            prompt_lengths=[table.prompt_length(text) for table, text in queries + documents],
            rows=len(own),
            global_rows=len(rows),
            numbers=torch.from_numpy(numbers),
            row_of_document=torch.tensor([*range(len(own)), *owners]),
            document_ids=torch.tensor([int(table.text_ids[text]) for table, text in documents]),
            answers=torch.from_numpy(self._answers(rows)[numbers]),
            dataset_index=torch.from_numpy(sources),
            groups=torch.from_numpy(np.where(self._alone[sources], 1 + numbers, 0)),
            labels=torch.tensor([float(table.labels[row]) for table, row in places], dtype=torch.float32),
            weights=torch.from_numpy(self._factors(rows)[sources]),
            teacher_scores=self._teacher_scores(places),
            teacher_queries=self._teacher_embeddings(queries),
            teacher_documents=self._teacher_embeddings(documents),
        )

    def _row_tokens(self, rows: np.ndarray) -> np.ndarray:
        """Return how many tokens the texts of each row have together: int64 (rows,)."""
        sources = np.searchsorted(self._starts, rows, side="right") - 1
        tokens = np.empty(len(rows), dtype=np.int64)
        for source in np.unique(sources):
            mask = sources == source
            tokens[mask] = self.tables[source].row_tokens[rows[mask] - self._starts[source]]
        return tokens

    def _teacher_scores(self, rows: list[tuple[TokenisedPairs, int]]) -> torch.Tensor | None:
        """Return the teacher's scores of the rows' positives, then of their negatives."""
        if all(table.teacher_scores is None for table in self.tables):
            return None
        scores = [table.teacher_scores_of(row) for table, row in rows]
        return torch.from_numpy(np.concatenate([*(own[:1] for own in scores), *(own[1:] for own in scores)]))

    def _teacher_embeddings(self, texts: list[tuple[TokenisedPairs, int]]) -> torch.Tensor | None:
        """Return the teacher's embeddings of texts, NaN in data sets without a teacher."""
        width = next(
            (table.teacher_embeddings.shape[1] for table in self.tables if table.teacher_embeddings is not None), None
        )
        if width is None:
            return None
        none = np.full(width, np.nan)
        rows = [none if table.teacher_embeddings is None else table.teacher_embeddings[text] for table, text in texts]
        return torch.from_numpy(np.array(rows, dtype=np.float32))

    def _factors(self, rows: np.ndarray) -> np.ndarray:
        """Return the factor on the losses of each data set's rows in the batch of these rows: float32 (data sets,).

        The batch's loss is a mean over its rows; in balanced batches it is the sum of the data sets' means.
        """
        if self.stage.batching != "balanced":
            return self._weights
        counts = np.bincount(np.searchsorted(self._starts, rows, side="right") - 1, minlength=len(self.tables))
        return self._weights * (len(rows) / np.maximum(counts, 1)).astype(np.float32)

    def own_positives(self) -> list[str]:
        """Return the data sets in which a row's positive is its query."""
        names = []
        for name, table in zip(self.stage.data, self.tables, strict=True):
            found = (
                (table.text_ids[table.queries[rows]] == table.text_ids[table.positives(rows)]).any()
                for rows in table.blocks()
            )
            names += [name] if any(found) else []
        return names

    def sample(self) -> list[np.ndarray]:
        """Return the token ids of a query and a positive per data set."""
        return [table.text(text) for table in self.tables for text in (table.queries[0], table.documents_of(0)[0])]

    def _answers(self, rows: np.ndarray) -> np.ndarray:
        """Return the ids of the queries of rows and of the known answers to them: int64 (rows, most), padded with
        -1."""
        sources = np.searchsorted(self._starts, rows, side="right") - 1
        queries = np.empty(len(rows), dtype=np.int64)
        for source in np.unique(sources):
            table, mask = self.tables[source], sources == source
            queries[mask] = table.text_ids[table.queries[rows[mask] - self._starts[source]]]
        places, answers = self._known(queries)
        answer_ids = np.full((len(rows), 1 + np.bincount(places).max()), -1, dtype=np.int64)
        answer_ids[:, 0] = queries
        answer_ids[places, 1 + np.arange(len(places)) - np.searchsorted(places, places)] = answers
        return answer_ids

    def _known(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (place, answer) of each answer that any data set knows to queries with these ids, once, in order of
        place."""
        parts = [table.answers_of(queries) for table in self.tables]
        places, answers = (np.concatenate(part) for part in zip(*parts, strict=True))
        if len(self.tables) > 1:
            _, first = np.unique(np.stack([places, answers]), axis=1, return_index=True)
            places, answers = places[np.sort(first)], answers[np.sort(first)]
        order = np.argsort(places, kind="stable")
        return places[order], answers[order]


def check_losses_can_learn(where: str, objective: Objectives, table: TokenisedPairs, competes: bool) -> None:
    """Raise AscentError if a loss can learn nothing from its rows. competes: whether in-batch negatives are on."""
    alone = len(table.documents) == len(table)
    read = any(settings.needs == "labels" for settings in objective.chosen.values())
    graded = not read and table.graded
    for loss, settings in objective.chosen.items():
        if settings.needs == "labels" and (row := table.first_row(lambda labels: ~np.isfinite(labels))) is not None:
            raise AscentError(
                f"{where}: row {row} has no label, which the objective '{loss}' needs; add labels, or use "
                "another objective."
            )
        if settings.cosine_labels and (row := table.first_row(lambda labels: np.abs(labels) > 1)) is not None:
            raise AscentError(
                f"{where}: row {row} has the label {table.labels[row]:g}, but the objective '{loss}'"
                " expects a cosine, from -1 to 1; divide the corpus's labels by the largest, or use cosent or angle,"
                " which rank them."
            )
        if settings.needs in ("negatives", "own negatives") and graded:
            raise AscentError(
                f"{where}: these rows have labels, but '{loss}' treats every pair as a positive; use a loss that reads"
                " labels, such as cosent, or remove the labels."
            )
        outputs = {"teacher scores": table.teacher_scores, "teacher embeddings": table.teacher_embeddings}
        if settings.needs in outputs and outputs[settings.needs] is None:
            raise AscentError(
                f"{where}: {table.folder} has no {settings.needs}, which the objective '{loss}' needs; remove the"
                " folder and re-run."
            )
        if settings.needs in ("own negatives", "teacher scores") and alone:
            raise AscentError(
                f"{where}: has no negatives of its own, which the objective '{loss}' needs; mine them, or use another"
                " objective."
            )
        if getattr(settings, "mixing", None) and table.most_documents < 3:
            raise AscentError(
                f"{where}: has no row with two negatives of its own, which mixing needs; mine more, or remove it."
            )
        if settings.needs == "negatives" and not competes and alone:
            raise AscentError(
                f"{where}: has no negatives, and in-batch negatives are off for it, so its rows train nothing; mine"
                " negatives, or set in_batch: true."
            )


def check_shares(schedule: Schedule, processes: int, settings: StageSettings) -> None:
    """Raise AscentError if a batch has fewer rows than there are processes: now, and not after days of training."""
    if schedule.smallest < processes:
        key = "batch_size" if settings.stage.batch_tokens is None else "batch_tokens"
        raise AscentError(
            f"{settings.where}.{key}: a batch of {schedule.smallest} rows cannot be shared by {processes} processes;"
            " raise it."
        )


def open_table(folder: Path, settings: StageSettings, name: str, tokenizer_digest: str) -> TokenisedPairs:
    """Map a data set's tokens. tokenizer_digest: that of the model to train.

    Raises AscentError if they are damaged, or their tokenizer, length or prompts differ from the stage's.
    """
    table = TokenisedPairs(folder)
    if table.meta["tokenizer_digest"] != tokenizer_digest:
        raise AscentError(
            f"{table.folder}: tokens of another tokenizer than the model's; remove the folder and re-run."
        )
    tokenising = settings.stage.tokenising(settings.contract, name, settings.tasks[name], settings.prompts.get(name))
    expected = tokenising.model_dump(mode="json")
    for key, value in expected.items():
        made_with = table.meta["settings"].get(key)
        if made_with != value:
            raise AscentError(
                f"{table.folder}: tokens made with {key} = {made_with!r}, but the stage has {value!r}; "
                "remove the folder and re-run."
            )
    return table
