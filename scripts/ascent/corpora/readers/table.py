"""Tables: rows of jsonl, json, csv, tsv and parquet, each optionally compressed (gz, zst), with columns by name."""

from collections.abc import Iterator
from pathlib import Path

from ...pairs.table import Document, Pair
from ...settings.tables import Table
from ..cells import usable_text
from ..rows import one_of, pairs_of, rows_made, table_rows, texts_of
from . import Rejected, share_of_files


def read(folder: Path, settings: Table) -> Iterator[Pair | Document | Rejected]:
    """Yield the rows of all files, split by split."""
    columns = settings.columns
    wanted = [columns.query, columns.positive, *columns.negatives, *columns.negative_scores]
    optional = (columns.label, columns.positive_scores, columns.query_prompt, columns.document_prompt, columns.origin)
    wanted += [name for name in optional if name]
    for split, patterns in settings.pairs.items():
        rows = table_rows(folder, patterns, wanted)
        yield from rows_made(rows, lambda cells, split=split: pairs_of(cells, columns, settings.task, split), split)
    for split, patterns in settings.documents.items():
        rows = table_rows(folder, patterns, [settings.document_column])
        yield from rows_made(rows, lambda cells, split=split: _document(cells, split, settings), f"{split} documents")


def share(folder: Path, settings: Table, part: int, parts: int) -> Table:
    """Return the settings of one part's files."""
    return share_of_files(folder, settings, part, parts, "pairs", "documents")


def _document(cells: dict, split: str, settings: Table) -> list[Document]:
    return [Document(usable_text(one_of(texts_of(cells, settings.document_column)), "document"), split)]
