"""Reading and writing files. A file or folder is written whole or not at all."""

import fcntl
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
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from .errors import AscentError

# Scratch folders, and the file in each that its job locks.
_SCRATCH, _LOCK = ".scratch-", ".lock"
# The file in each folder that a rule makes, whose time Snakemake takes for the folder's.
SNAKEMAKE_MARK = ".snakemake_timestamp"


@contextmanager
def write_atomically(path: str | Path, *, shared: bool = False) -> Iterator[Path]:
    """Yield a temporary path in the same folder; sync and rename it to `path` on success, remove it on failure.

    One job writes a path at a time, so what another one, which was killed, left of it is removed first. shared: that
    several may write it, each the whole; then nothing is. The file's mode follows the umask, whatever wrote it:
    safetensors' own files are the user's alone. Raises AscentError if the path cannot be written, for example because
    the disk is full."""
    path = Path(path)
    with _errors_of_writing(path):
        # Keep the suffix last: numpy, pyarrow and matplotlib choose their format by it.
        temporary = _temporary(path, path.stem, path.suffix, shared)
        try:
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

    What a killed job left of it is removed first. Its files' modes follow the umask. Raises the errors of
    write_atomically."""
    path = Path(path)
    with _errors_of_writing(path):
        temporary = _temporary(path, path.name, "", shared=False)
        try:
            temporary.mkdir()
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


def _temporary(path: Path, stem: str, suffix: str, shared: bool) -> Path:
    """Return a new name beside a path, in a folder that is there, and remove the earlier ones, unless it is shared.

    A cluster may start a job again on another machine while the first, which it took for lost, still runs: that one
    then misses its own and fails, and never gets in the new one's way, whose name it does not know."""
    path.parent.mkdir(parents=True, exist_ok=True)
    left = re.compile(rf"\.{re.escape(stem)}\.[0-9a-f]{{8}}{re.escape(suffix)}")
    for found in () if shared else path.parent.iterdir():
        if left.fullmatch(found.name):
            _remove(found)
    return path.with_name(f".{stem}.{uuid.uuid4().hex[:8]}{suffix}")


def _remove(path: Path) -> None:
    with suppress(OSError):  # a folder into which a job still writes is left for the next time
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def scratch_in(folder: str | Path) -> Iterator[Path]:
    """Yield a new folder in a folder, for what is needed meanwhile, and remove those that killed jobs left there.

    Any number of jobs may have one in the same folder: each locks its own, which the kernel or the file server unlocks
    when the job dies. On a file system without locks what is left stays."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for lock in folder.glob(f"{_SCRATCH}*/{_LOCK}"):
        with suppress(OSError), lock.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(lock.parent)
    with TemporaryDirectory(dir=folder, prefix=_SCRATCH, ignore_cleanup_errors=True) as name:
        scratch = Path(name)
        with (scratch / ".new").open("w") as file:
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                (scratch / ".new").rename(scratch / _LOCK)  # no other job sees it unlocked
            yield scratch


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


def write_json(path: str | Path, value: Any, *, shared: bool = False) -> None:
    """Write JSON with sorted keys, as write_atomically does. NaN is rejected, because strict readers reject it."""
    try:
        text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise AscentError(f"{path}: a value is NaN or infinite; check the step that computed it.") from error
    with write_atomically(path, shared=shared) as temporary:
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
