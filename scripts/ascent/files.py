"""Reading and writing files. A file or folder is written whole or not at all."""

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from .errors import AscentError

# The file in each folder that a rule makes, whose time Snakemake takes for the folder's.
SNAKEMAKE_MARK = ".snakemake_timestamp"


@contextmanager
def write_atomically(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; sync and rename it to `path` on success, remove it on failure.

    The file's mode follows the umask, whatever wrote it: safetensors' own files are the user's alone.
    Raises AscentError if the path cannot be written, for example because the disk is full.
    """
    path = Path(path)
    # Keep the suffix last: numpy, pyarrow and matplotlib choose their format by it.
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")
    with _errors_of_writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.touch()
            mode = temporary.stat().st_mode
            yield temporary
            temporary.chmod(mode)
            with temporary.open("rb") as handle:
                os.fsync(handle.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise


@contextmanager
def folder_atomically(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; replace `path` by it on success, remove it on failure.

    Its files' modes follow the umask. Raises the errors of write_atomically.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    with _errors_of_writing(path):
        try:
            temporary.mkdir(parents=True)
            mode = temporary.stat().st_mode & 0o666
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    file.chmod(mode)
                    with file.open("rb") as handle:
                        os.fsync(handle.fileno())
            if path.exists():
                shutil.rmtree(path)
            temporary.replace(path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def copy_folder(source: str | Path, folder: str | Path, *but: str) -> None:
    """Copy a folder's files into a folder, but for those that match the patterns `but` and Snakemake's own mark of a
    folder."""
    shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(SNAKEMAKE_MARK, *but))


@contextmanager
def _errors_of_writing(path: Path) -> Iterator[None]:
    def sentence(reason: object) -> AscentError:
        return AscentError(f"{path}: could not be written ({reason}); free some space or fix the path.")

    try:
        yield
    except OSError as error:
        raise sentence(error.strerror or error) from error
    except Exception as error:
        # polars and safetensors raise errors of their own, which quote the system's error number.
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None or isinstance(error, AscentError):
            raise
        raise sentence(os.strerror(int(number[1]))) from error


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest_of(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON, in hex."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()


def read_json(path: str | Path) -> Any:
    """Read a JSON file. Errors name the file."""
    return _read(path, json.loads, "JSON")


def read_yaml(path: str | Path) -> Any:
    """Read a YAML file of plain values, in which each key stands once and each value is what it looks like.

    Errors name the file and the line.
    """

    def parse(text: str) -> Any:
        loader = _PlainLoader(text)
        loader.name = str(path)
        return loader.get_single_data()

    return _read(path, parse, "YAML")


class _PlainLoader(yaml.SafeLoader):
    """Refuses a key that is given twice, and words and numbers that YAML 1.1 turns into something else."""

    def construct_mapping(self, node, deep=False):
        keys: dict[str, yaml.Node] = {}
        for key, _ in node.value:
            first = keys.setdefault(key.value, key) if key.id == "scalar" else key
            if first is not key:
                raise _misread(
                    key, f"the key '{key.value}' already stands on line {first.start_mark.line + 1}; keep one of them"
                )
        return super().construct_mapping(node, deep)

    def construct_object(self, node, deep=False):
        value = super().construct_object(node, deep)
        if (
            node.id == "scalar"
            and node.style is None
            and not (isinstance(value, str) or _LITERAL.fullmatch(node.value))
        ):
            read = "a date" if isinstance(value, date) else str(value).lower()
            meant = "" if isinstance(value, date) else f"{read} if that is meant, else "
            raise _misread(node, f"YAML reads {node.value} as {read}; write {meant}'{node.value}' in quotes")
        return value


# Null, true, false, and numbers without leading zeros or colons.
_LITERAL = re.compile(
    r"|~|null|true|false|[-+]?(0|[1-9][0-9_]*)?(\.[0-9_]*)?(e[-+]?[0-9]+)?|[-+]?\.inf|\.nan", re.IGNORECASE
)
# YAML 1.1 takes 1e-4, without a point, for text.
_PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _misread(node: yaml.Node, problem: str) -> AscentError:
    return AscentError(f"{node.start_mark.name}, line {node.start_mark.line + 1}: {problem}.")


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON with sorted keys, atomically. NaN is rejected, because strict readers reject it."""
    try:
        text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise AscentError(f"{path}: a value is NaN or infinite; check the step that computed it.") from error
    with write_atomically(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _read(path: str | Path, parse, kind: str) -> Any:
    try:
        return parse(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AscentError(f"{path}: no such file; check the path.") from None
    except UnicodeDecodeError as error:
        raise AscentError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8.") from None
    except (ValueError, yaml.YAMLError) as error:
        raise AscentError(f"{path}: not valid {kind} ({' '.join(str(error).split())}); fix the file.") from None
