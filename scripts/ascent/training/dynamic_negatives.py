"""Dynamic hard negatives: while a stage trains, one that has become easy is replaced by the next of its row's list.

The rule of Conan-embedding (arXiv 2408.15710): a negative whose score s, times 1.15, is below its first score s0, while
|s| < 0.8, is replaced; here each one separately, by the next candidate of the list that was mined for its row. Scores
are the cosines that training steps compute; s0 is that of the step that first saw the negative. All processes know all
of them, and so make the same choice of negatives."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..collectives import gather
from ..errors import AscentError
from ..losses import Embedded, Objective
from ..pairs.arrays import blocks
from ..settings.negatives import Dynamic
from ..tokens.table import TokenisedPairs

EXAMPLES = 3


class DynamicNegatives:
    """Which candidates of their lists are the rows' negatives now.

    Rows are numbered over the stage's data sets and have one place per negative that mining chose for them. A row's
    list is these negatives, then its reserve. Per place, row by row:

    candidates: int32, the number of its negative in the row's list. first: float32, the score with which this negative
    was first seen, NaN before. latest: float32, the last score since the last check, NaN if there is none.

    mined: whether each table's negatives are replaced. Raises AscentError if such a table has no reserve.
    """

    def __init__(self, tables: Sequence[TokenisedPairs], mined: Sequence[bool], settings: Dynamic):
        by_table, reserves = [np.diff(table.document_offsets) - 1 for table in tables], []
        for table, replaced in zip(tables, mined, strict=True):
            if replaced and table.reserve is None:
                raise AscentError(
                    f"{table.folder}: has no reserve for mining.dynamic; mine its negatives with mining.reserve."
                )
            reserves.append(np.diff(table.reserve_offsets) if replaced else np.zeros(len(table), dtype=int))
        self._settings, self._tables = settings, tables
        self._starts = np.cumsum([0, *(len(table) for table in tables)])
        counts = np.concatenate(by_table)
        self._listed = counts + np.concatenate(reserves)
        self._replaced = np.repeat(mined, [counts.sum() for counts in by_table])
        self._offsets = np.concatenate([[0], np.cumsum(counts)])
        self.candidates = np.empty(self._offsets[-1], dtype=np.int32)
        for rows in blocks(len(counts)):
            begin, end = self._offsets[rows.start], self._offsets[rows.stop]
            self.candidates[begin:end] = np.arange(begin, end) - np.repeat(self._offsets[rows], counts[rows])
        self.first, self.latest = (np.full(len(self.candidates), np.nan, dtype=np.float32) for _ in range(2))
        self._scores: torch.Tensor | None = None

    def chosen(self, row: int, listed: list[int]) -> list[int]:
        """Return which of a row's list are its negatives now."""
        return [listed[self.candidates[place]] for place in self._places(row)]

    def _places(self, row: int) -> range:
        return range(*self._offsets[row : row + 2].tolist())

    def watching(self, objective: Objective) -> Objective:
        """Return the objective, which now records the cosine of each local negative with its query."""

        def loss(local: Embedded) -> torch.Tensor:
            if self._scores is None:  # an objective may be called again in the same step, with perturbed embeddings
                own = local.queries.detach()[local.row_of_document[len(local.queries) :]]
                self._scores = torch.cosine_similarity(own, local.documents.detach()[len(local.queries) :])
            return objective(local)

        return loss

    def saw(self, rows: np.ndarray, batch) -> None:
        """Record the scores of a step. rows: those of the whole batch; batch: this process's share of it. Called by
        every process."""
        numbers = batch.numbers.tolist()
        places = [(number, place) for number in numbers for place in self._places(int(rows[number]))]
        seen = torch.tensor(places, dtype=torch.float64).reshape(-1, 2).to(self._scores.device)
        seen = gather(torch.cat([seen, self._scores[:, None].double()], dim=1)).cpu().numpy()
        self._scores = None
        # In the order of the whole batch's rows, whichever process held them: one that occurs twice has its later
        # score.
        seen = seen[np.argsort(seen[:, 0], kind="stable")]
        places, scores = seen[:, 1].astype(np.int64), seen[:, 2].astype(np.float32)
        self.latest[places] = scores
        self.first[places] = np.where(np.isnan(self.first[places]), scores, self.first[places])

    def due(self, step: int) -> bool:
        """Return whether to check after `step` steps."""
        return step % self._settings.every_steps == 0

    def check(self, decode: Callable[..., str]) -> dict:
        """Replace the negatives seen since the last check that have become easy; return the counts and some examples.

        judged: negatives that were seen. replaced: easy ones with a next one. exhausted: easy ones whose list is at its
        end, which stay. decode: tokens to text.
        """
        judged = np.flatnonzero(~np.isnan(self.latest) & self._replaced)
        scores, first = self.latest[judged].astype(float), self.first[judged].astype(float)
        easy = judged[(self._settings.decline * scores < first) & (np.abs(scores) < self._settings.ceiling)]
        examples, replaced = [], 0
        for place in easy.tolist():
            row = int(np.searchsorted(self._offsets, place, side="right")) - 1
            following = int(self.candidates[self._places(row)].max()) + 1
            if following == self._listed[row]:
                continue
            replaced += 1
            if len(examples) < EXAMPLES:
                examples.append(self._example(row, place, following, decode))
            self.candidates[place], self.first[place] = following, np.nan
        self.latest[:] = np.nan
        counts = {"judged": len(judged), "replaced": replaced, "exhausted": len(easy) - replaced}
        return {f"negatives_{name}": count for name, count in counts.items()} | {"replacements": examples}

    def _example(self, row: int, place: int, following: int, decode: Callable[..., str]) -> dict:
        source = int(np.searchsorted(self._starts, row, side="right")) - 1
        table, number = self._tables[source], int(row - self._starts[source])
        positive, *listed = table.documents_of(number)
        listed += table.reserve_of(number)
        texts = {"query": int(table.queries[number]), "positive": positive}
        texts |= {"negative": listed[self.candidates[place]], "replaced_by": listed[following]}
        return {name: decode(table.text(text), skip_special_tokens=True)[:200] for name, text in texts.items()} | {
            "first_score": round(float(self.first[place]), 4),
            "score": round(float(self.latest[place]), 4),
        }

    def state(self) -> dict[str, torch.Tensor]:
        """Return what a resumed run needs."""
        return {name: torch.from_numpy(getattr(self, name)) for name in ("candidates", "first", "latest")}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Resume from a state."""
        for name, tensor in state.items():
            getattr(self, name)[:] = tensor.numpy()
