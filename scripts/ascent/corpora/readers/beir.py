"""BEIR's form (Thakur et al. 2021, arXiv 2104.08663): corpus.jsonl (_id, title, text), queries.jsonl (_id, text) and
qrels/<split>.tsv with the header `query-id corpus-id score`. Each may also be another table, as hubs have them."""

from collections.abc import Iterator
from pathlib import Path

from ...pairs.table import Document, Pair
from ...settings.readers import QRELS, Beir
from ..judgements import judged_rows, run_rows
from ..rows import Rows, table_rows
from . import Rejected


def read(folder: Path, settings: Beir) -> Iterator[Pair | Document | Rejected]:
    """Yield the documents of each split's pool, then the pairs split by split."""
    qrels = {split: _rows(folder, patterns, QRELS) for split, patterns in settings.qrels.items()}
    queries, documents = (_rows(folder, patterns, {"text": "text"}) for patterns in (settings.queries, settings.corpus))
    yield from judged_rows(settings, _with_ids(queries), _with_ids(documents), qrels, run_rows(folder, settings))


def share(folder: Path, settings: Beir, part: int, parts: int) -> Beir:
    """Return the settings of one part's queries. The first part has all documents."""
    return settings.of_part(part, parts)


def _rows(folder: Path, patterns: list[str], columns: dict[str, str]) -> Rows:
    """Yield rows with the cells of these columns under names of our own, and all others under theirs."""
    for where, cells in table_rows(folder, patterns, list(columns), "use another reader, such as trec"):
        yield (
            where,
            {columns.get(name, name): cell for name, cell in cells.items()} if isinstance(cells, dict) else cells,
        )


def _with_ids(rows: Rows) -> Rows:
    """Yield rows with their id, which mteb's copies of BEIR's data sets call `id`, under that name."""
    for where, cells in rows:
        yield where, {**cells, "id": cells.get("_id", cells.get("id"))} if isinstance(cells, dict) else cells
