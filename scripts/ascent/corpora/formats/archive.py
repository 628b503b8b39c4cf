"""Tars of tables, such as shards of jsonl: each member is unpacked alone, read, and removed."""

import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from ...errors import AscentError
from .opening import open_bytes

Rows = Iterator[tuple[int, dict[str, Any] | str]]


def read(path: Path, read_member: Callable[[Path], Rows], is_table: Callable[[Path], bool]) -> Rows:
    """Yield the rows of a tar's members in their order, numbered through. A member that is not a table is one row that
    has none."""
    count = 0
    try:
        with open_bytes(path) as file, tarfile.open(fileobj=file, mode="r|") as tar, TemporaryDirectory() as folder:
            for member in (member for member in tar if member.isfile()):
                unpacked = Path(folder) / PurePosixPath(member.name).name
                if not is_table(unpacked):
                    count += 1
                    yield count, "a member of the tar that is not a table"
                    continue
                with unpacked.open("wb") as copy:
                    shutil.copyfileobj(tar.extractfile(member), copy)
                try:
                    for _, cells in read_member(unpacked):
                        count += 1
                        yield count, cells
                except AscentError as error:
                    raise AscentError(str(error).replace(f"{unpacked}", f"{path}, member {member.name}")) from None
                unpacked.unlink()
    except (tarfile.TarError, EOFError) as error:
        raise AscentError(f"{path}: cannot be read to its end ({error}); replace it.") from None
