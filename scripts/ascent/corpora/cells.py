"""What a cell of a table holds: usable text, a usable number, nothing, or something that only looks like text."""

import math
import re
from typing import Any

from ..pairs.text import normalise_text

# How programs write a missing value where they should write none: Python, pandas, JSON and SQL, Hive.
PRINTED_NULLS = {"None", "nan", "NaN", "NaT", "<NA>", "null", "NULL", "\\N"}
# A list of texts as Python, JSON or numpy prints it, which a cell of csv or tsv can hold only as text.
_PRINTED_LIST = re.compile(r"(?:array\()?\[\s*(?:[bu]?(['\"]).*\1)?\s*\](?:,\s*dtype=\w+)?\)?", re.DOTALL)


class BadRow(Exception):
    """Raised within a reader to set a row aside; the message is the reason."""


def is_none(value: Any) -> bool:
    """Whether a cell holds nothing: null, NaN, white space, or one of these as a program prints it."""
    if isinstance(value, str):
        return not value.strip() or value.strip() in PRINTED_NULLS
    return value is None or (isinstance(value, float) and math.isnan(value))


def usable_text(value: Any, what: str) -> str:
    """Return the value as normalised text. Raises BadRow if it is not text, only white space, or a printed null or
    list."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise BadRow(f"no {what}")
    if not isinstance(value, str):
        raise BadRow(f"{what} is not text")
    try:
        value.encode()
    except UnicodeEncodeError:  # bytes that are not UTF-8 were read as lone surrogates
        raise BadRow(f"{what} is not valid UTF-8") from None
    text = normalise_text(value)
    if not text:
        raise BadRow(f"no {what}")
    if text in PRINTED_NULLS:
        raise BadRow(f"{what} is a printed null, {text}")
    if _PRINTED_LIST.fullmatch(text):
        raise BadRow(f"{what} is a printed list; jsonl and parquet hold lists")
    return text


def usable_id(value: Any, what: str) -> str:
    """Return an id, which may be a whole number, as text. Raises BadRow if there is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return usable_text(value, what)


def usable_number(value: Any, what: str) -> float:
    """Return the value as a finite number. Raises BadRow if it is not one."""
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        raise BadRow(f"{what} is not a number") from None
    except OverflowError:  # a whole number beyond the largest double
        number = math.inf
    if not math.isfinite(number):
        raise BadRow(f"{what} is not a finite number")
    return number


def cell_of(row: dict[str, Any], column: str) -> Any:
    """Return the cell of a column, or what a path such as `passages[].text` leads to: with `[]` a list, flattened, and
    with `[0]` the first of a list."""
    if column in row:
        return row[column]
    found: Any = row
    many = False
    for step in column.split("."):
        name, *places = re.split(r"\[(\d*)\]", step)
        found = [_field(each, name) for each in found] if isinstance(found, list) else _field(found, name)
        for place in places[::2]:
            if not place:
                found, many = _flat(found), True
            else:
                found = [_item(each, int(place)) for each in found] if many else _item(found, int(place))
    return found


def fields_of(row: dict[str, Any]) -> list[str]:
    """Return the columns of a row as `columns` names them; of cells with objects, the paths to their fields."""
    return sorted(path for name, value in row.items() for path in _paths(name, value))


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _item(value: Any, place: int) -> Any:
    return value[place] if isinstance(value, list) and place < len(value) else None


def _flat(values: Any) -> list:
    if not isinstance(values, list):
        return [] if values is None else [values]
    return [part for value in values for part in (value if isinstance(value, list) else [value])]


def _paths(path: str, value: Any) -> list[str]:
    name = path
    while isinstance(value, list) and value:
        name, value = f"{name}[]", value[0]
    return [f"{name}.{field}" for field in value] if isinstance(value, dict) else [path]
