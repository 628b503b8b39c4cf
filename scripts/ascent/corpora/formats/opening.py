"""Files opened: what a name says of compression and encoding is what the file must hold."""

import io
from pathlib import Path

import pyarrow as pa

from ...errors import AscentError
from ...settings.tables import COMPRESSED

# By the first bytes: how a file is compressed, and the suffix that says so.
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\x04\x22\x4d\x18": "lz4",
    b"\xfd7zXZ\x00": "xz",
    b"PK\x03\x04": "zip",
    b"PAR1": "parquet",
}
# Bytes looked at for what is not UTF-8.
_HEAD = 4096


def open_bytes(path: Path) -> io.BufferedReader:
    """Open a file; gz, zst, bz2 and lz4 are decompressed, by suffix.

    Raises AscentError if there is no such file, or its first bytes are compressed otherwise than its name says.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except FileNotFoundError:
        raise AscentError(f"{path}: no such file; retrieve the corpus again or fix its `reader`.") from None
    found = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
    named = next((name for name, suffix in COMPRESSED.items() if path.suffix == suffix), None)
    if found in COMPRESSED and found != named:
        name = f"{path.stem if named else path.name}{COMPRESSED[found]}"
        raise AscentError(f"{path}: is compressed by {found}, which its name does not say; name it {name}.")
    if found and found != named:
        way = "name it .parquet" if found == "parquet" else "unpack it, or compress it by gzip"
        raise AscentError(f"{path}: holds {found}, which its name does not say; {way}.")
    if named and head and not found:
        raise AscentError(f"{path}: is not compressed by {named}, as its name says; name it {path.stem}.")
    return io.BufferedReader(pa.input_stream(path, compression="detect"))


def open_text(path: Path) -> io.TextIOWrapper:
    """Open a file of UTF-8 lines. Broken bytes become lone surrogates, which `usable_text` finds in their row.

    Raises AscentError if the text is UTF-16 or UTF-32, and as open_bytes does.
    """
    file = open_bytes(path)
    head = file.peek(_HEAD)[:_HEAD]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in head:
        raise AscentError(
            f"{path}: is UTF-16 or no text, but must be UTF-8; convert it, such as by `iconv -f UTF-16 -t UTF-8`."
        )
    return io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="")
