"""Files of JSON as `datasets` loads them, by this project's reader of JSON in place of its own. That one calls Arrow's,
which ends the process where a column holds values of two kinds in two blocks of 320 KB, or loses some of them
(docs/log.md, 2026-11-29); and with one number in a column of texts it writes all of these as JSON, quotes and all."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
from datasets.builder import Key
from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES
from datasets.packaged_modules.json.json import JsonConfig
from datasets.table import table_cast

from ..errors import AscentError
from .formats import json_rows

# Rows that are made into columns at a time.
BATCH = 1_000
# Columns of ids, of which mteb makes texts.
IDS = {"_id", "query-id", "corpus-id"}
# What Arrow raises of values that have no type in common, or that it cannot hold: lone surrogates, huge numbers.
_MIXED = (ValueError, TypeError, OverflowError, pa.ArrowException)


@contextmanager
def read_by_rows() -> Iterator[None]:
    """Within this, `datasets` loads files of JSON by Json, below."""
    before = _PACKAGED_DATASETS_MODULES["json"]
    _PACKAGED_DATASETS_MODULES["json"] = (__name__, before[1])
    try:
        yield
    finally:
        _PACKAGED_DATASETS_MODULES["json"] = before


class Config(JsonConfig):
    """A class of its own, since the name of what `datasets` keeps of a loaded file depends on it."""


class Json(datasets.ArrowBasedBuilder):
    """Columns have the type that all their values have in common. Those that have none are `datasets.Json`."""

    BUILDER_CONFIG_CLASS = Config
    VERSION = "1.0.0"  # Raise it to have files loaded again.

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(features=self.config.features)

    def _split_generators(self, dl_manager: datasets.DownloadManager) -> list[datasets.SplitGenerator]:
        found = dl_manager.extract(dl_manager.download(self.config.data_files))
        files = {split: [*map(Path, dl_manager.iter_files(paths))] for split, paths in found.items()}
        schema = _schema(path for paths in files.values() for path in paths)
        self.info.features = self.info.features or datasets.Features.from_arrow_schema(schema)
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"files": paths, "schema": schema})
            for split, paths in files.items()
        ]

    def _generate_tables(self, files: list[Path], schema: pa.Schema) -> Iterator[tuple[Key, pa.Table]]:
        declared = self.info.features.arrow_schema  # by the card, or what was found
        types = {field.name: field.type for field in declared}
        types |= {field.name: field.type for field in schema if field.type != pa.json_() or field.name not in types}
        for number, batch in enumerate(_batches(files)):
            columns = {name: _column([row.get(name) for row in batch], name, types[name]) for name in types}
            yield Key(0, number), table_cast(pa.table(columns), declared)


def _schema(files: Iterable[Path]) -> pa.Schema:
    """Return the columns of all rows, and their types."""
    types: dict[str, pa.DataType] = {}
    for batch in _batches(files):
        for name in dict.fromkeys(name for row in batch for name in row):
            found = _type([row.get(name) for row in batch])
            types[name] = _common(types.get(name, found), found)
    return pa.schema(types | {name: pa.string() for name in IDS if types.get(name) == pa.json_()})


def _batches(files: Iterable[Path]) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of files. Raises AscentError for one that is not an object of JSON."""
    rows = (row for path in files for row in _rows(path))
    while batch := [*islice(rows, BATCH)]:
        yield batch


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    for number, cells in json_rows.read(path):
        if isinstance(cells, str):
            raise AscentError(f"{path}: row {number} is {cells}; fix or remove it.")
        yield cells


def _type(values: list) -> pa.DataType:
    """Return the type that values have in common. Objects have none, since a struct would add each other's fields, nor
    have truths beside doubles, which Arrow makes 1 and 0."""
    kinds = {*_kinds(values)}
    if dict in kinds or {bool, float} <= kinds:
        return pa.json_()
    try:
        return pa.array(values).type
    except _MIXED:
        return pa.json_()


def _kinds(values: list) -> Iterator[type]:
    for value in values:
        yield from _kinds(value) if isinstance(value, list) else (type(value),)


def _common(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    try:
        both = [pa.schema({"": one}), pa.schema({"": other})]
        return pa.unify_schemas(both, promote_options="permissive").field(0).type
    except _MIXED:
        return pa.json_()


def _column(values: list, name: str, kind: pa.DataType) -> pa.Array:
    if kind == pa.json_():
        texts = [None if value is None else json.dumps(value) for value in values]
        return pa.ExtensionArray.from_storage(kind, pa.array(texts, kind.storage_type))
    if name in IDS and kind == pa.string():
        values = [str(value) if isinstance(value, int) else value for value in values]
    return pa.array(values, kind)
