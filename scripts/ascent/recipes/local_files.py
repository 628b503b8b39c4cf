"""What the files of this machine show before the first job: missing files and columns, and splits that no task can use.

Only the first row of each text file is read, and only of the corpora that a recipe uses. Nothing here imports torch or uses a
network: every cluster job parses the workflow again.
"""

import csv
import gzip
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ..errors import AscentError, did_you_mean
from ..settings.corpora import Corpus
from ..settings.readers import COMPRESSED, FORMATS, Table, root_of
from .recipes import Recipes


def check_local_files(recipes: Recipes) -> None:
    """Raise AscentError for a local file that is missing, empty or of another form than its corpus says, and for a split that a
    recipe uses and its corpus lacks."""
    for name in sorted({corpus for corpus, *_ in _uses(recipes)}):
        corpus = recipes.config.corpora[name]
        if corpus.source.type == "files":
            files = _files(recipes, name)
            if isinstance(corpus.reader, Table):
                _check_table(files, name, corpus.reader)
    for name, split, task, where in _uses(recipes):
        _check_use(recipes.config.corpora[name], name, split, task, where)


def _uses(recipes: Recipes) -> Iterator[tuple[str, str, str, str]]:
    """Yield each use of a corpus: its name, the split, the rows' task type, and where the recipe says so."""
    for name, recipe in recipes.recipes.items():
        path = recipes.path(name)
        for key, dataset in recipe.data.items():
            yield dataset.corpus, dataset.split, dataset.task, f"{path}: 'data.{key}'"
        for key, task in recipe.evaluate.tasks.items():
            for split in (*task.splits_besides, task.split):
                yield task.corpus, split, task.rows, f"{path}: 'evaluate.tasks.{key}'"


def _files(recipes: Recipes, name: str) -> dict[str, Path]:
    """Return a corpus's local files by the names that its reader knows them by."""
    where, files = f"'corpora.{name}.source.paths'", {}
    for given in map(Path, recipes.config.corpora[name].source.paths):
        if not given.exists():
            known = [str(path) for path in given.parent.glob("*")]
            raise AscentError(
                f"the catalogue of corpora: {where} names '{given}', which does not exist; {did_you_mean(str(given), known)}"
            )
        inside = [path for path in given.rglob("*") if path.is_file()] if given.is_dir() else []
        files |= {path.relative_to(given).as_posix(): path for path in inside} or {given.name: given}
    for path in files.values():
        if path.stat().st_size == 0:
            raise AscentError(f"{path}: is empty; fill it, or remove it from {where}.")
    return files


def _check_table(files: dict[str, Path], name: str, reader: Table) -> None:
    columns = {"query": reader.columns.query, "positive": reader.columns.positive}
    parts = [(f"pairs.{split}", patterns, columns) for split, patterns in reader.pairs.items()]
    parts += [(f"documents.{split}", patterns, {}) for split, patterns in reader.documents.items()]
    for key, patterns, wanted in parts:
        for pattern in patterns:
            found = [path for file, path in files.items() if PurePosixPath(file).match(pattern)]
            if not found and "**" not in pattern:
                raise AscentError(
                    f"'corpora.{name}.reader.{key}' names '{pattern}', which is none of the source's files; "
                    f"{did_you_mean(pattern, list(files))}"
                )
            for path in found:
                _check_file(path, name, wanted or {"": reader.document_column})


def _check_file(path: Path, name: str, wanted: dict[str, str]) -> None:
    kind = next((suffix for suffix in reversed(path.suffixes) if suffix not in COMPRESSED.values()), "")
    if kind not in FORMATS:
        raise AscentError(
            f"{path}: unknown format; use one of {', '.join(FORMATS)}, optionally {' or '.join(COMPRESSED.values())}."
        )
    header = _header(path, kind)
    for key, column in wanted.items():
        if header and not {column, root_of(column)} & set(header):
            key = f"columns.{key}" if key else "document_column"
            words = did_you_mean(column, [textwrap.shorten(cell, 40, placeholder=" …") for cell in header])
            if kind in (".csv", ".tsv") and not words.startswith("did"):
                words = f"its first line must be a header with the columns' names: add one, or fix this key; {words}"
            raise AscentError(f"{path}: its first row has no column '{column}' ('corpora.{name}.reader.{key}'); {words}")


def _header(path: Path, kind: str) -> list[str]:
    """Return the columns of a file's first row; none where more than its first line would have to be read."""
    if path.suffix not in (kind, ".gz") or kind in (".json", ".parquet"):
        return []
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig") as file:
            line = file.readline()
        if kind == ".jsonl":
            return list(json.loads(line))
        return next(csv.reader([line], delimiter="\t" if kind == ".tsv" else ","), [])
    except (OSError, ValueError, TypeError, csv.Error):
        return []  # what is wrong with it, its reader says


def _check_use(corpus: Corpus, name: str, split: str, task: str, where: str) -> None:
    if not isinstance(corpus.reader, Table):
        return
    if split not in corpus.reader.pairs:
        has = ", ".join(corpus.reader.pairs) or "none"
        raise AscentError(
            f"{where} uses the split '{split}' of the corpus '{name}', whose reader has files of pairs for: {has}; "
            "name files of this split, or change the split."
        )
    if task != corpus.reader.task:
        raise AscentError(
            f"{where} needs rows of the task type '{task}', but the rows of the corpus '{name}' are '{corpus.reader.task}'; "
            "change `task` of its reader, or use another corpus."
        )
