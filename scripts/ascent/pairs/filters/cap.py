"""Drop rows of what very many rows have: a text, a prompt, an origin."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from ...settings.filters import Cap
from ..earlier import undrawn_rows
from . import Context


def find(part: Path, parts: Sequence[Path], settings: Cap, context: Context) -> pl.DataFrame:
    """Drop all but `rows` drawn rows of each text, prompt or origin that is counted."""
    rows = undrawn_rows(part, parts, settings.by, settings.rows, settings.seed)
    reason = f"not among the {settings.rows} rows drawn of its {settings.by}"
    return pl.DataFrame({"row": rows}).with_columns(reason=pl.lit(reason))
