"""Drop rows of texts that very many rows have."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from ...settings.filters import Cap
from ..earlier import undrawn_rows
from ..repeating import COLUMNS
from . import Context


def find(part: Path, parts: Sequence[Path], settings: Cap, context: Context) -> pl.DataFrame:
    """Drop all but `rows` drawn rows of each text that is counted."""
    rows = undrawn_rows(part, parts, COLUMNS[settings.by], settings.rows, settings.seed)
    reason = f"not among the {settings.rows} rows drawn of its {settings.by}"
    return pl.DataFrame({"row": rows}).with_columns(reason=pl.lit(reason))
