"""The data sets of a stage, mapped into memory, and one process's share of a batch."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..errors import AscentError
from ..losses.rows import Rows
from ..settings.losses import Objectives
from ..settings.stages import StageSettings
from ..settings.training import TrainStage
from ..tokens.table import TokenisedPairs
from .dynamic_negatives import DynamicNegatives
from .schedule import Schedule, make_schedule


@dataclass(frozen=True, kw_only=True)
class Batch(Rows):
    """One process's share of a batch, as token ids."""

    tokens: list[np.ndarray]
    """The token ids of its queries, then of its documents."""
    prompt_lengths: list[int]
    """How many tokens at the beginning of each text pooling leaves out."""
    rows: int
    """How many queries this share holds."""
    global_rows: int
    """How many queries the whole batch holds."""


class TrainingData:
    """The rows of a stage's data sets, numbered from one data set to the next.

    Nothing of them is kept in memory, and an instance that is sent to another process opens the files there.
    tables: by data set, see open_table. dynamic: which negatives the rows have now, of a stage that replaces them. Raises
    AscentError when a row of a loss on graded pairs has no label, or a data set's rows have nothing to be told from.
    """

    def __init__(self, tables: dict[str, TokenisedPairs], settings: StageSettings):
        assert isinstance(settings.stage, TrainStage)
        self._arguments = (tables, settings)
        self.settings, self.stage = settings, settings.stage
        self.tables = [tables[name] for name in self.stage.data]
        for name, use in self.stage.data.items():
            where = f"{settings.where}.data.{name}"
            _refuse_idle(where, self.stage.objective_of(name), tables[name], use.competes(settings.tasks[name]))
        self.sizes = [len(table) for table in self.tables]
        self._starts = np.cumsum([0, *self.sizes])
        uses = self.stage.data.items()
        self._alone = np.array([not use.competes(settings.tasks[name]) for name, use in uses])
        if self.stage.queue and self._alone.all():
            raise AscentError(
                f"{settings.where}.queue: in-batch negatives are off for all data sets, so "
                "nothing would join or use it; leave it out, or set in_batch: true."
            )
        self._weights = np.array([use.loss_weight for _, use in uses], dtype=np.float32)
        dynamic = self.stage.mining and self.stage.mining.dynamic
        mined = [self.stage.mined(name) for name in self.stage.data]
        self.dynamic = DynamicNegatives(self.tables, mined, dynamic) if dynamic else None

    def __len__(self) -> int:
        return sum(self.sizes)

    def __reduce__(self):
        return TrainingData, self._arguments

    def schedule(self) -> Schedule:
        """Return the stage's batches, in order."""
        needed = self.stage.bucket_batches is not None or self.stage.batch_tokens is not None
        lengths = np.concatenate([table.row_tokens for table in self.tables]) if needed else None
        return make_schedule(self.sizes, self.stage, lengths)

    def batch(self, rows: np.ndarray, *, rank: int, world: int) -> Batch:
        """Return a process's share of the batch of these rows: each world-th one."""
        numbers = np.arange(rank, len(rows), world)
        own = rows[numbers].astype(np.int64)
        sources = np.searchsorted(self._starts, own, side="right") - 1
        places = list(zip([self.tables[source] for source in sources], (own - self._starts[sources]).tolist(), strict=True))
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
            tokens=[table.text(text) for table, text in queries + documents],
            prompt_lengths=[table.prompt_length(text) for table, text in queries + documents],
            rows=len(own),
            global_rows=len(rows),
            numbers=torch.from_numpy(numbers),
            row_of_document=torch.tensor([*range(len(own)), *owners]),
            document_ids=torch.tensor([int(table.text_ids[text]) for table, text in documents]),
            answers=torch.from_numpy(self._answers(rows.astype(np.int64))[numbers]),
            dataset_index=torch.from_numpy(sources),
            groups=torch.from_numpy(np.where(self._alone[sources], 1 + numbers, 0)),
            labels=torch.tensor([float(table.labels[row]) for table, row in places], dtype=torch.float32),
            weights=torch.from_numpy(self._factors(rows)[sources]),
            teacher_scores=self._teacher_scores(places),
            teacher_queries=self._teacher_embeddings(queries),
            teacher_documents=self._teacher_embeddings(documents),
        )

    def _teacher_scores(self, rows: list[tuple[TokenisedPairs, int]]) -> torch.Tensor | None:
        """Return the teacher's scores of the rows' positives, then of their negatives."""
        if all(table.teacher_scores is None for table in self.tables):
            return None
        scores = [table.teacher_scores_of(row) for table, row in rows]
        return torch.from_numpy(np.concatenate([*(own[:1] for own in scores), *(own[1:] for own in scores)]))

    def _teacher_embeddings(self, texts: list[tuple[TokenisedPairs, int]]) -> torch.Tensor | None:
        """Return the teacher's embeddings of texts, NaN of those of data sets without."""
        width = next((table.teacher_embeddings.shape[1] for table in self.tables if table.teacher_embeddings is not None), None)
        if width is None:
            return None
        none = np.full(width, np.nan)
        rows = [none if table.teacher_embeddings is None else table.teacher_embeddings[text] for table, text in texts]
        return torch.from_numpy(np.array(rows, dtype=np.float32))

    def _factors(self, rows: np.ndarray) -> np.ndarray:
        """Return the factor on the losses of each data set's rows in the batch of these rows: float32 (data sets,).

        The batch's loss is a mean over its rows; balanced, it is to be the sum of the data sets' means.
        """
        if self.stage.batching != "balanced":
            return self._weights
        counts = np.bincount(np.searchsorted(self._starts, rows, side="right") - 1, minlength=len(self.tables))
        return self._weights * (len(rows) / np.maximum(counts, 1)).astype(np.float32)

    def own_positives(self) -> list[str]:
        """Return the data sets in which a row's positive is its query."""
        found = []
        for name, table in zip(self.stage.data, self.tables, strict=True):
            positives = table.documents[table.document_offsets[:-1]]
            found += [name] if (table.text_ids[table.queries] == table.text_ids[positives]).any() else []
        return found

    def sample(self) -> list[np.ndarray]:
        """Return the token ids of a query and a positive of each data set."""
        return [table.text(text) for table in self.tables for text in (table.queries[0], table.documents_of(0)[0])]

    def _answers(self, rows: np.ndarray) -> np.ndarray:
        """Return the ids of the known answers to the queries of rows: int64 (rows, most), filled up with -1."""
        sources = np.searchsorted(self._starts, rows, side="right") - 1
        queries = np.empty(len(rows), dtype=np.int64)
        for source in np.unique(sources):
            table, of = self.tables[source], sources == source
            queries[of] = table.text_ids[table.queries[rows[of] - self._starts[source]]]
        places, answers = self._known(queries)
        found = np.full((len(rows), np.bincount(places).max()), -1, dtype=np.int64)
        found[places, np.arange(len(places)) - np.searchsorted(places, places)] = answers
        return found

    def _known(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (place, answer) for each answer that any data set knows to queries with these ids, once, by rising place."""
        parts = [table.answers_of(queries) for table in self.tables]
        places, answers = (np.concatenate(part) for part in zip(*parts, strict=True))
        if len(self.tables) > 1:
            _, first = np.unique(np.stack([places, answers]), axis=1, return_index=True)
            places, answers = places[np.sort(first)], answers[np.sort(first)]
        order = np.argsort(places, kind="stable")
        return places[order], answers[order]


def _refuse_idle(where: str, objective: Objectives, table: TokenisedPairs, competes: bool) -> None:
    """Refuse rows that a loss can learn nothing from."""
    unlabelled = np.flatnonzero(~np.isfinite(table.labels))
    alone = len(table.documents) == len(table)
    read = any(settings.needs == "labels" for settings in objective.chosen.values())
    graded = not read and np.nanmin(table.labels, initial=np.inf) < np.nanmax(table.labels, initial=-np.inf)
    for loss, settings in objective.chosen.items():
        if settings.needs == "labels" and len(unlabelled):
            raise AscentError(
                f"{where}: row {unlabelled[0]} has no label, which the objective '{loss}' needs; give labels, or another "
                "objective."
            )
        if settings.cosine_labels and len(outside := np.flatnonzero(np.abs(table.labels) > 1)):
            raise AscentError(
                f"{where}: row {outside[0]} has the label {table.labels[outside[0]]:g}, which the objective '{loss}' takes for a "
                "cosine, from -1 to 1; divide the corpus's labels by the largest, or take cosent or angle, which rank them."
            )
        if settings.needs in ("negatives", "own negatives") and graded:
            raise AscentError(
                f"{where}: its rows have labels, of which the objective '{loss}' knows nothing: every pair would be a positive; "
                "give the data set an objective of its own, such as cosent, or its corpus no labels."
            )
        taught = {"teacher scores": table.teacher_scores, "teacher embeddings": table.teacher_embeddings}
        if settings.needs in taught and taught[settings.needs] is None:
            raise AscentError(
                f"{where}: {table.folder} has no {settings.needs}, which the objective '{loss}' needs; remove the folder and run "
                "again."
            )
        if settings.needs in ("own negatives", "teacher scores") and alone:
            raise AscentError(
                f"{where}: has no negatives of its own, which the objective '{loss}' needs; mine them, or give another objective."
            )
        if getattr(settings, "mixing", None) and np.diff(table.document_offsets).max() < 3:
            raise AscentError(
                f"{where}: has no row with two negatives of its own, which mixing is made of; mine more, or leave it out."
            )
        if settings.needs == "negatives" and not competes and alone:
            raise AscentError(
                f"{where}: has no negatives, and in-batch negatives are off for it, so its rows teach nothing; give them "
                "negatives, or set in_batch: true."
            )


def check_shares(schedule: Schedule, processes: int, settings: StageSettings) -> None:
    """Refuse a stage with a batch that has fewer rows than there are processes: now, and not after days of training."""
    if schedule.smallest < processes:
        key = "batch_size" if settings.stage.batch_tokens is None else "batch_tokens"
        raise AscentError(
            f"{settings.where}.{key}: a batch of {schedule.smallest} rows cannot be shared by {processes} processes; raise it."
        )


def open_table(folder: Path, settings: StageSettings, name: str, tokenizer_digest: str) -> TokenisedPairs:
    """Map a data set's tokens. tokenizer_digest: that of the model which is trained.

    Raises AscentError when they are of another tokenizer, another length or other prompts than the stage's, or are damaged.
    """
    table = TokenisedPairs(folder)
    if table.meta["tokenizer_digest"] != tokenizer_digest:
        raise AscentError(f"{table.folder}: tokens of another tokenizer than the model's; remove the folder and run again.")
    expected = settings.stage.tokenising(settings.contract, settings.tasks[name]).model_dump(mode="json")
    for key, value in expected.items():
        found = table.meta["settings"].get(key)
        if found != value:
            raise AscentError(
                f"{table.folder}: tokens made with {key} = {found!r}, but the stage has {value!r}; "
                "remove the folder and run again."
            )
    return table
