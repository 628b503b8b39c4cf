"""FlagEmbedding's form of training data, one object a line.

    {"query": text, "pos": [texts], "neg": [texts], "pos_scores": [numbers], "neg_scores": [numbers],
     "prompt": text, "type": word}

The last four may be missing. As in FlagEmbedding, a row's prompt stands before its query, and before all its texts
where its type is symmetric_sts or symmetric_clustering."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from ...pairs.table import Pair
from ...settings.tables import Columns, FlagEmbedding
from ..cells import BadRow, is_none
from ..rows import pairs_of, rows_made, table_rows
from . import Rejected, share_of_files

# The task types of rows whose texts are all of one kind.
SYMMETRIC = {"symmetric_sts": "sts", "symmetric_class": "classification", "symmetric_clustering": "clustering"}


def read(folder: Path, settings: FlagEmbedding) -> Iterator[Pair | Rejected]:
    """Yield the rows of all files, split by split."""
    for split, patterns in settings.pairs.items():
        rows = table_rows(folder, patterns, ["query", "pos"], "use the reader table with `columns`")
        yield from rows_made(rows, lambda cells, split=split: _pairs(cells, settings.task, split), split)


def share(folder: Path, settings: FlagEmbedding, part: int, parts: int) -> FlagEmbedding:
    """Return the settings of one part's files."""
    return share_of_files(folder, settings, part, parts, "pairs")


def _pairs(cells: dict, task: str, split: str) -> list[Pair]:
    kind = cells.get("type")
    if not is_none(kind) and kind not in ("normal", "only_1neg"):
        if not isinstance(kind, str) or kind not in SYMMETRIC:
            raise BadRow(f"unknown type {str(kind)[:40]!r}")
        task = SYMMETRIC[kind]
    # Empty lists beside texts are no scores either.
    scored = any(not is_none(scores := cells.get(name)) and scores != [] for name in ("pos_scores", "neg_scores"))
    # Both texts of sts rows get the query's prompt anyway.
    return pairs_of(cells, _columns(scored, kind == "symmetric_clustering"), task, split)


@cache
def _columns(scored: bool, both: bool) -> Columns:
    scores = {"positive_scores": "pos_scores", "negative_scores": ["neg_scores"]} if scored else {}
    document = {"document_prompt": "prompt"} if both else {}
    return Columns(positive="pos", negatives=["neg"], query_prompt="prompt", **scores, **document)
