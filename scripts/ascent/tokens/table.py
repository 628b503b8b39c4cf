"""The tokens of a data set, mapped into memory. tokenise.py describes the files."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ..errors import AscentError
from ..files import digest_of, read_json
from ..pairs.arrays import blocks, mapped

META = "meta.json"


class TokenisedPairs:
    """A folder made by tokenise_pairs, with its arrays by name, mapped and not read.

    Raises AscentError if a file is missing or its size has changed.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.meta = read_json(folder / META)
        for name, expected in self.meta["files"].items():
            path = folder / name
            if not path.exists() or path.stat().st_size != expected["bytes"]:
                raise AscentError(f"{path}: is missing or damaged; remove {folder} and re-run.")
        arrays = {name: mapped(folder / name) for name in self.meta["files"]}
        self.tokens, self.offsets, self.text_ids = (arrays[f"{name}.npy"] for name in ("tokens", "offsets", "text_ids"))
        self.queries, self.documents = arrays["queries.npy"], arrays["documents.npy"]
        self.document_offsets, self.row_tokens = arrays["document_offsets.npy"], arrays["row_tokens.npy"]
        self.labels, self.asked = arrays["labels.npy"], arrays["asked.npy"]
        self.answers, self.answer_offsets = arrays["answers.npy"], arrays["answer_offsets.npy"]
        self.teacher_scores, self.teacher_embeddings = (
            arrays.get(f"teacher_{name}.npy") for name in ("scores", "embeddings")
        )
        self._prompt_lengths = arrays.get("prompt_lengths.npy")
        self.reserve, self.reserve_offsets = arrays.get("reserve.npy"), arrays.get("reserve_offsets.npy")

    def __len__(self) -> int:
        return self.meta["rows"]

    def __reduce__(self):
        return TokenisedPairs, (self.folder,)  # another process maps the files itself

    @property
    def digest(self) -> str:
        """A digest of every file and of how texts were tokenised: of all that is read here. What else the tables hold
        that they were made from, such as a miner's scores, changes nothing."""
        return digest_of({key: self.meta[key] for key in ("files", "settings", "tokenizer_digest")})

    def blocks(self) -> Iterator[slice]:
        """Yield the rows, a block at a time."""
        return blocks(len(self))

    def positives(self, rows: slice) -> np.ndarray:
        """Return the text of each row's positive."""
        return self.documents[self.document_offsets[:-1][rows]]

    def first_row(self, wanted: Callable[[np.ndarray], np.ndarray]) -> int | None:
        """Return the first row whose label is wanted, or None. wanted: labels to truth values."""
        found = (rows.start + np.flatnonzero(wanted(self.labels[rows])) for rows in self.blocks())
        return next((int(places[0]) for places in found if len(places)), None)

    @property
    def graded(self) -> bool:
        """Whether rows have different labels."""
        first = self.first_row(lambda labels: ~np.isnan(labels))
        return first is not None and self.first_row(lambda labels: np.abs(labels - self.labels[first]) > 0) is not None

    @property
    def most_documents(self) -> int:
        """The number of documents of the row that has most."""
        return max(int(np.diff(self.document_offsets[rows.start : rows.stop + 1]).max()) for rows in self.blocks())

    def text(self, index: int) -> np.ndarray:
        """Return a text's tokens, a copy: int32."""
        return np.array(self.tokens[self.offsets[index] : self.offsets[index + 1]])

    def prompt_length(self, index: int) -> int:
        """Return how many tokens at the start of a text pooling leaves out."""
        return 0 if self._prompt_lengths is None else int(self._prompt_lengths[index])

    def documents_of(self, row: int) -> list[int]:
        """Return the texts of a row's positive and negatives."""
        return self.documents[self.document_offsets[row] : self.document_offsets[row + 1]].tolist()

    def teacher_scores_of(self, row: int) -> np.ndarray:
        """Return the teacher's scores of a row's positive and negatives: float32, NaN where there are none."""
        begin, end = self.document_offsets[row : row + 2]
        return (
            np.full(end - begin, np.nan, np.float32) if self.teacher_scores is None else self.teacher_scores[begin:end]
        )

    def reserve_of(self, row: int) -> list[int]:
        """Return the texts of a row's reserve."""
        return (
            []
            if self.reserve is None
            else self.reserve[self.reserve_offsets[row] : self.reserve_offsets[row + 1]].tolist()
        )

    def answers_of(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (place, answer) for each known answer to queries with these ids: places in `queries`, and texts'
        ids."""
        nearest = self._nearest(queries)
        places = np.flatnonzero(self.asked[nearest] == queries)
        begin, end = self.answer_offsets[nearest[places]], self.answer_offsets[nearest[places] + 1]
        counts = end - begin
        first = np.repeat(np.cumsum(counts) - counts, counts)  # of each answer's query, among all that are returned
        return np.repeat(places, counts), self.answers[np.repeat(begin, counts) + np.arange(len(first)) - first]

    def knows(self, queries: np.ndarray) -> np.ndarray:
        """Return whether each of these ids is of a query: bool."""
        return self.asked[self._nearest(queries)] == queries

    def _nearest(self, queries: np.ndarray) -> np.ndarray:
        """Return the place in `asked` at which each id is, if anywhere."""
        return np.minimum(np.searchsorted(self.asked, queries), len(self.asked) - 1)
