"""The texts that a model is asked about: which ones, how many times each, and with which seed."""

import random
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ..errors import AscentError
from ..pairs.draws import number
from ..pairs.parquet import Table, files_of, named
from ..pairs.table import whole_document
from ..settings.synthesis import Prompt, Synthesis

BATCH = 4096
# Other positives than a row's own are drawn from all there are, which must be classes then.
MOST_LABELS = 10_000


@dataclass(frozen=True, slots=True)
class Asked:
    """One row to make: the values of the prompt's inputs, the id and the origin of what it is about, and a seed of its
    own."""

    values: dict[str, Any]
    about: str
    origin: str | None
    seed: int


class Texts:
    """The rows that a source asks for, in the order of its corpus; each pass reads the table batch by batch.

    Which texts are drawn depends on the seed and their ids alone, so that more rows, or a text more, keep the others.
    In memory are 8 bytes for each text of the corpus, and the labels of classification rows."""

    def __init__(self, source: Synthesis, prompt: Prompt, table: Table):
        self.source, self.prompt, self.table = source, prompt, table
        ranks, labels = array("Q"), set()
        for row in self._rows(["positive"] if "other_label" in prompt.inputs else []):
            ranks.append(number(source.seed, row["id"]))
            labels.add(row.get("positive"))
            if len(labels) > MOST_LABELS:
                raise AscentError(
                    f"{named(table)}: has over {MOST_LABELS:,} positives, so they are not classes; use another prompt."
                )
        if not ranks:
            what = "documents" if prompt.of_documents else f"pairs of {prompt.of_task}"
            raise AscentError(
                f"{named(table)}: has no {what} in the split '{source.split}'; change `split` or `prompt`."
            )
        if labels == {None}:
            labels = set()
        if "other_label" in prompt.inputs and len(labels) < 2:
            raise AscentError(
                f"{named(table)}: has one class only, but the prompt contrasts classes; use another prompt."
            )
        self.texts, self._labels = len(ranks), sorted(labels)
        self._times, self._more = divmod(source.rows, len(ranks))
        drawn = np.partition(np.frombuffer(ranks, np.uint64), self._more - 1)[self._more - 1] if self._more else -1
        self._last = int(drawn)

    def __iter__(self) -> Iterator[Asked]:
        taken = 0
        columns = {"document": "text"} if self.prompt.of_documents else {name: name for name in self.prompt.inputs}
        columns.pop("other_label", None)
        for row in self._rows(["origin", *columns.values()]):
            about = row["id"]
            drawn = taken < self._more and number(self.source.seed, about) <= self._last
            taken += drawn
            for time in range(self._times + drawn):
                seed = number(self.source.seed, about, str(time)) % 2**31
                values = {name: row[column] for name, column in columns.items()}
                if self._labels:
                    others = [label for label in self._labels if label != row["positive"]]
                    values["other_label"] = random.Random(seed).choice(others)
                yield Asked(values, about, whole_document(row["origin"]), seed)

    def _rows(self, columns: list[str]) -> Iterator[dict[str, Any]]:
        """Yield the columns and the id of each row that may be asked about."""
        ids = ["document_id"] if self.prompt.of_documents else ["query_id", "positive_id"]
        wanted = {"split": self.source.split} | ({} if self.prompt.of_documents else {"task": self.prompt.of_task})
        for file in files_of(self.table):
            # Not pyarrow's data sets, which read ahead and hold most of a corpus.
            for batch in pq.ParquetFile(file).iter_batches(BATCH, columns=list({*ids, *wanted, *columns})):
                for row in batch.to_pylist():
                    if all(row.pop(name) == value for name, value in wanted.items()):
                        yield row | {"id": "".join(row.pop(name) for name in ids)}
