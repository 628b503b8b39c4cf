"""MEDI's form, the data of INSTRUCTOR (Su et al. 2023, arXiv 2212.09741): one array of objects such as

    {"query": [instruction, text], "pos": [instruction, text], "neg": [instruction, text], "task_name": name}

where a list of one is a text without an instruction.
"""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ...pairs.table import Pair
from ...settings.evaluation import TWO_SIDED
from ...settings.tables import Medi
from ..cells import BadRow, is_none, usable_id, usable_text
from ..rows import own_prompt, rows_made, table_rows
from . import Rejected, share_of_files


def read(folder: Path, settings: Medi) -> Iterator[Pair | Rejected]:
    """Yield the rows of all files, split by split."""
    for split, patterns in settings.pairs.items():
        rows = table_rows(folder, patterns, ["query", "pos"], "use another reader, such as table with `columns`")
        yield from rows_made(rows, lambda cells, split=split: _pair(cells, settings, split), split)


def share(folder: Path, settings: Medi, part: int, parts: int) -> Medi:
    """Return the settings of one part's files."""
    return share_of_files(folder, settings, part, parts, "pairs")


def _pair(cells: dict, settings: Medi, split: str) -> list[Pair]:
    """Return the pair of a row, or nothing if it is of no task that is read."""
    name = cells.get("task_name", cells.get("task_id", ""))
    if not any(fnmatchcase(str(name), pattern) for pattern in settings.task_names):
        return []
    query_prompt, query = _side(cells.get("query"), "query")
    prompt, positive = _side(cells.get("pos"), "positive")
    negatives = ()
    if not is_none(cells.get("neg")) and cells["neg"] != []:
        other, negative = _side(cells["neg"], "negative")
        if other != prompt:
            raise BadRow("the negative's instruction is not the positive's")
        negatives = (negative,)
    if settings.task in TWO_SIDED:
        if prompt != query_prompt:
            raise BadRow(f"two instructions, but both texts of a row of {settings.task} get the query's")
        prompt = None
    origin = None if is_none(name) else usable_id(name, "task_name")
    return [Pair(query, positive, negatives, None, settings.task, split, None, query_prompt, prompt, origin)]


def _side(value: Any, what: str) -> tuple[str | None, str]:
    """Return the instruction and the text of a cell."""
    if not isinstance(value, list) or len(value) not in (1, 2):
        raise BadRow(f"{what} is not a list of an instruction and a text")
    return own_prompt(value[0]) if len(value) == 2 else None, usable_text(value[-1], what)
