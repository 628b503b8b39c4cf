"""Training pairs, tokenised once, and the order in which they are seen: a pure function of the seed and the step."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..batching import tokenise
from ..errors import AscentError
from ..negatives import read_negatives
from ..pairs import read_pairs, text_id
from ..settings import Contract


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One process's share of a batch.

    tokens: the token ids of its queries, then its positives in the same order, then its negatives.
    rows: how many queries it holds; global_rows: how many the whole batch holds.
    document_ids: int64, of positives, then negatives, equal where the texts are equal. answers: int64 (rows, most), the ids
    of all documents that the data know to answer each query, filled up with -1; `most` is the same for every batch.
    """

    tokens: list[np.ndarray]
    rows: int
    global_rows: int
    document_ids: torch.Tensor
    answers: torch.Tensor


class TrainingPairs:
    """The pairs of a stage's data sets with their negatives, tokenised.

    Raises AscentError when a data set is empty, or its negatives were mined for other pairs.
    """

    def __init__(
        self,
        pairs: dict[str, Path],
        negatives: dict[str, Path],
        tasks: dict[str, str],
        tokenizer,
        contract: Contract,
    ):
        self._tokens: list[np.ndarray] = []
        self._ids: list[int] = []
        self.queries: list[int] = []  # index of each row's query in _tokens
        self.documents: list[list[int]] = []  # the same of its positive and negatives
        answers: dict[str, dict[int, None]] = {}  # ids of the documents that answer a query, in any data set
        asked: list[str] = []
        for name, path in pairs.items():
            table = read_pairs(path).to_dicts()
            mined = read_negatives(negatives[name]) if name in negatives else {}
            if name in negatives and set(mined) != {(row["query_id"], row["positive_id"]) for row in table}:
                raise AscentError(f"{negatives[name]}: holds negatives of other pairs than {path}; mine again.")
            rows = []
            for row in table:
                texts = [row["positive"], *mined.get((row["query_id"], row["positive_id"]), row["negatives"])]
                rows.append((row["query"], texts))
                answers.setdefault(row["query_id"], {})[_number(row["positive"])] = None
                asked.append(row["query_id"])
            self._add(rows, tasks[name], tokenizer, contract)
        self.answers = np.full((len(asked), max(map(len, answers.values()))), -1, dtype=np.int64)
        for row, query in enumerate(asked):
            self.answers[row, : len(answers[query])] = list(answers[query])

    def __len__(self) -> int:
        return len(self.queries)

    def _add(self, rows: list[tuple[str, list[str]]], task: str, tokenizer, contract: Contract) -> None:
        queries = self._store([query for query, _ in rows], "query", task, tokenizer, contract)
        documents = self._store([text for _, texts in rows for text in texts], "document", task, tokenizer, contract)
        self.queries += [queries[query] for query, _ in rows]
        self.documents += [[documents[text] for text in texts] for _, texts in rows]

    def _store(self, texts: list[str], side: str, task: str, tokenizer, contract: Contract) -> dict[str, int]:
        """Tokenise each distinct text once; return its index."""
        distinct = list(dict.fromkeys(texts))
        start = len(self._tokens)
        self._tokens += tokenise(tokenizer, distinct, contract.prompt(side, task), contract.max_tokens)
        self._ids += [_number(text) for text in distinct]
        return {text: start + index for index, text in enumerate(distinct)}

    def steps(self, batch_size: int, epochs: float) -> int:
        """Return how many batches `epochs` passes make."""
        return math.ceil(self._rows(epochs) / batch_size)

    def batch(self, step: int, *, batch_size: int, epochs: float, seed: int, rank: int, world: int) -> Batch:
        """Return a process's share of batch `step`.

        Passes follow one another in one stream, each in an order of its own, and a batch is the next `batch_size` rows of
        it: so which rows make a batch depends on neither the number of processes nor what ran before.
        """
        end = min((step + 1) * batch_size, self._rows(epochs))
        positions = range(step * batch_size, end)
        orders = {epoch: self._order(seed, epoch) for epoch in {position // len(self) for position in positions}}
        rows = [int(orders[position // len(self)][position % len(self)]) for position in positions]
        if len(rows) < world:
            raise AscentError(f"a batch of {len(rows)} rows cannot be shared by {world} processes; raise batch_size.")
        own = rows[rank::world]
        documents = [self.documents[row][0] for row in own] + [d for row in own for d in self.documents[row][1:]]
        queries = [self.queries[row] for row in own]
        return Batch(
            tokens=[self._tokens[index] for index in queries + documents],
            rows=len(own),
            global_rows=len(rows),
            document_ids=torch.tensor([self._ids[index] for index in documents]),
            answers=torch.from_numpy(self.answers[own]),
        )

    def _rows(self, epochs: float) -> int:
        return math.ceil(round(len(self) * epochs, 6))  # 100 * 1.1 is a hair above 110

    def _order(self, seed: int, epoch: int) -> Sequence[int]:
        return np.random.default_rng([seed, epoch]).permutation(len(self))


def _number(text: str) -> int:
    return int(text_id(text)[:15], 16)  # 60 bits: collectives carry int64
