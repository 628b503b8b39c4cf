"""What follows from a data set's rows and the tokens of its texts: each row's length, each query's answers, and each
text's embedding by a teacher."""

import shutil
from pathlib import Path

import numpy as np

from ..pairs.arrays import blocks, growing, mapped
from ..pairs.distinct import distinct_answers, number_texts, writing_answers
from ..pairs.prompts import COLUMNS
from .texts import plain_keys


def write_row_tokens(folder: Path) -> None:
    """Write how many tokens the texts of each row have together."""
    offsets, queries, documents, starts = (
        mapped(folder / f"{name}.npy") for name in ("offsets", "queries", "documents", "document_offsets")
    )

    def lengths(texts: np.ndarray) -> np.ndarray:
        return offsets[texts + 1] - offsets[texts]

    with growing(folder / "row_tokens.npy", "<i4") as array:
        for rows in blocks(len(queries)):
            begin, end = starts[rows.start], starts[rows.stop]
            own = np.add.reduceat(lengths(documents[begin:end]), starts[rows] - begin)
            array.add(lengths(queries[rows]) + own)


def write_answers(folder: Path, scratch: Path) -> None:
    """Write the ids of the distinct queries, ascending, and of each one's positives in order of first occurrence."""
    ids, queries, documents, starts = (
        mapped(folder / f"{name}.npy") for name in ("text_ids", "queries", "documents", "document_offsets")
    )
    pairs = scratch / "answers.parquet"
    with writing_answers(pairs) as add:
        for rows in blocks(len(queries)):
            add(ids[queries[rows]], ids[documents[starts[rows]]])
    with (
        growing(folder / "asked.npy", "<i8") as asked,
        growing(folder / "answers.npy", "<i8") as answers,
        growing(folder / "answer_offsets.npy", "<i8") as offsets,
    ):
        last = -1  # no id
        for of_query, found in distinct_answers(pairs, scratch):
            first = np.flatnonzero(np.diff(of_query, prepend=last))
            asked.add(of_query[first])
            offsets.add(answers.length + first)
            answers.add(found)
            last = of_query[-1]
        offsets.add(np.array([answers.length]))


def copy_embeddings(source: Path, scratch: Path, folder: Path) -> None:
    """Write the teacher's embedding of each text, which has one whatever prompts it is trained with."""
    target, parts, start, total = folder / "teacher_embeddings.npy", [], 0, 0
    for side in COLUMNS:
        places = number_texts([plain_keys(scratch, side)], scratch)
        parts.append((start, total, places))
        start += max(int(places[block].max()) for block in blocks(len(places))) + 1
        total += len(places)
    if start == total:
        shutil.copyfile(source, target)
        return
    embeddings = np.load(source, mmap_mode="r")
    written = np.lib.format.open_memmap(target, "w+", embeddings.dtype, (total, *embeddings.shape[1:]))
    for start, begin, places in parts:
        for block in blocks(len(places)):
            written[begin + block.start : begin + block.stop] = embeddings[start + places[block]]
    written.flush()
