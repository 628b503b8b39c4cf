"""Files of every format, sound and damaged: rows are what Python's own modules read, or what is lost is counted, or the
file is refused in one sentence."""

import csv
import io
import json
import re
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from ascent.corpora.formats import json_rows, lines_of, rows_of
from ascent.errors import AscentError
from support.fuzzing import COMPRESS, check_sentence, damaged, fuzzed, holds, texts, values

LINE_ENDS = re.compile(r"\r\n|\r|\n")
BESIDE = "beside a line of one cell, which may be part of it"


def delimited(rows: list[list[str]], **dialect) -> str:
    file = io.StringIO(newline="")
    csv.writer(file, **dialect).writerows(rows)
    return file.getvalue()


def columnar(rows: list[dict], name: str) -> bytes:
    table, file = pa.Table.from_pylist(rows), io.BytesIO()
    if name == "parquet":
        pq.write_table(table, file, row_group_size=2)
    else:
        with (pa.ipc.new_stream if name == "stream" else pa.ipc.new_file)(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    return file.getvalue()


def tar(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as written:
        for name, content in members.items():
            (info := tarfile.TarInfo(name)).size = len(content)
            written.addfile(info, io.BytesIO(content))
    return file.getvalue()


def read(path) -> list[tuple[int, dict | str]]:
    """The rows of a file, whose numbers rise."""
    rows = [*rows_of(path)]
    numbers = [number for number, _ in rows]
    assert numbers == sorted({*numbers}) and all(number >= 1 for number in numbers)
    assert all(isinstance(cells, (dict, str)) for _, cells in rows)
    return rows


# ---------------------------------------------------------------- sound files


@fuzzed
def test_csv_is_read_as_python_reads_it(tmp_path, examples):
    """Line breaks, quotes and commas in quotes; a byte order mark; line ends of every system; each compression."""
    cell = texts.filter(lambda text: "\0" not in text)

    def check(rows, end, mark, suffix):
        content = delimited([["a", "b,\n"], *rows], lineterminator=end, quoting=csv.QUOTE_ALL)
        (tmp_path / f"t.csv{suffix}").write_bytes(COMPRESS[suffix]((mark + content).encode()))
        wanted = [dict(row) for row in csv.DictReader(io.StringIO(content, newline=""))]
        assert [cells for _, cells in read(tmp_path / f"t.csv{suffix}")] == wanted
        assert [[*row.values()] for row in wanted] == rows

    ends, rows = st.sampled_from(["\n", "\r\n", "\r"]), st.lists(st.lists(cell, min_size=2, max_size=2), max_size=5)
    holds(
        examples, check, rows=rows, end=ends, mark=st.sampled_from(["", "\ufeff"]), suffix=st.sampled_from([*COMPRESS])
    )


@fuzzed
def test_rows_of_wrong_columns_are_counted(tmp_path, examples):
    """In csv and tsv: rows have any number of cells; each is whole, or set aside, and none is lost."""
    cell = texts.map(lambda text: re.sub(r"[\0\t\r\n\"]", "", text))

    def check(rows, name):
        tabs = "\n".join("\t".join(row) for row in [["a", "b"], *rows])
        content = tabs if name == "t.tsv" else delimited([["a", "b"], *rows], quoting=csv.QUOTE_ALL)
        (tmp_path / name).write_bytes(content.encode())
        rows, found = (
            [row for row in rows if row != [""] or name == "t.csv"],
            [each for _, each in read(tmp_path / name)],
        )
        assert len(found) == len(rows)
        for row, cells in zip(rows, found, strict=True):
            assert (
                cells == dict(zip("ab", row, strict=False))
                if len(row) == 2 and cells != BESIDE
                else isinstance(cells, str)
            )

    rows = st.lists(st.lists(cell, min_size=1, max_size=3), max_size=5)
    holds(examples, check, rows=rows, name=st.sampled_from(["t.csv", "t.tsv"]))


@fuzzed
def test_lines_of_json_are_read_as_python_reads_them(tmp_path, monkeypatch, examples):
    """Nested values, lone surrogates and null characters as JSON spells them, broken lines, blank lines, any chunk."""
    line = values.map(json.dumps) | st.dictionaries(st.sampled_from("ab"), values, max_size=2).map(json.dumps)
    line |= st.sampled_from(
        ["", " ", "{", '{"a": 1} {"a": 2}', '{"a": "', "[1,", "\u2028", "NaN", "{'a': 1}", '"\ud800']
    ).filter(str.isascii)

    def check(lines, end, mark, suffix, chunk):
        monkeypatch.setattr(json_rows, "CHUNK", chunk)
        lines = ['{"a": 0}', *lines]  # not an array, by its first line
        path = tmp_path / f"t.jsonl{suffix}"
        path.write_bytes(COMPRESS[suffix]((mark + end.join(lines)).encode()))
        wanted = []
        for number, text in enumerate(lines, 1):
            try:
                value = json.loads(text) if text.strip() else None
            except ValueError:
                value = text
            if text.strip():
                wanted.append((number, value if isinstance(value, dict) else "not a JSON object"))
        assert repr(read(path)) == repr(wanted)  # as NaN is not itself

    chunks, ends, marks = (
        st.sampled_from([1, 7, 64, 2**20]),
        st.sampled_from(["\n", "\r\n", "\r"]),
        st.sampled_from(["", "\ufeff"]),
    )
    suffixes = st.sampled_from([*COMPRESS])
    holds(examples, check, lines=st.lists(line, max_size=5), end=ends, mark=marks, suffix=suffixes, chunk=chunks)


@fuzzed
def test_an_array_is_read_as_python_reads_it(tmp_path, monkeypatch, examples):
    def check(array, indent, chunk, ascii):
        monkeypatch.setattr(json_rows, "CHUNK", chunk)
        content = json.dumps(array, indent=indent, ensure_ascii=ascii).encode("utf-8", "surrogatepass")
        (tmp_path / "t.json").write_bytes(content)
        found = [cells for _, cells in read(tmp_path / "t.json")]
        assert len(found) == len(array)
        if ascii:
            assert repr(found) == repr([each if isinstance(each, dict) else "not a JSON object" for each in array])

    chunks = st.sampled_from([1, 7, 64, 2**20])
    # Of lists alone one line cannot tell, nor of nothing: the next test has the errors.
    array = st.lists(st.dictionaries(st.sampled_from("ab"), values, max_size=2) | values, min_size=1, max_size=4)
    holds(examples, check, array=array, indent=st.sampled_from([None, 1]), chunk=chunks, ascii=st.booleans())


@fuzzed
def test_columnar_files_are_read_as_arrow_reads_them(tmp_path, examples):
    def check(rows, name, suffix):
        path = tmp_path / f"t.{'parquet' if name == 'parquet' else 'arrow'}{suffix}"
        path.write_bytes(COMPRESS[suffix](columnar(rows, name)))
        assert [cells for _, cells in read(path)] == pa.Table.from_pylist(rows).to_pylist()

    cells = st.fixed_dictionaries({"a": texts, "b": st.lists(texts, max_size=2), "c": st.none() | st.integers(0, 9)})
    names = st.sampled_from(["parquet", "stream", "file"])
    holds(
        examples, check, rows=st.lists(cells, min_size=1, max_size=5), name=names, suffix=st.sampled_from([*COMPRESS])
    )


# ---------------------------------------------------------------- damaged files

ROWS = [{"a": f"query {i}", "b": f"positive, \u4e2d\u6587 {i}"} for i in range(5)]
SOUND = {
    "t.jsonl": "".join(json.dumps(row) + "\n" for row in ROWS).encode(),
    "t.json": json.dumps(ROWS, indent=1).encode(),
    "t.csv": delimited([["a", "b"], *([*row.values()] for row in ROWS)], quoting=csv.QUOTE_ALL).encode(),
    "t.tsv": "".join("\t".join(row) + "\n" for row in (ROWS[0], *(row.values() for row in ROWS))).encode(),
    "t.parquet": columnar(ROWS, "parquet"),
    "stream.arrow": columnar(ROWS, "stream"),
    "file.arrow": columnar(ROWS, "file"),
}
SOUND["t.tar"] = tar(
    {"a.jsonl": SOUND["t.jsonl"], "b.csv": SOUND["t.csv"], "c.txt": b"text", "d.parquet": SOUND["t.parquet"]}
)


def counted(content: bytes, name: str) -> int | None:
    """How many rows a damaged file holds by Python's own modules; None where they cannot tell."""
    try:
        text = content.decode("utf-8-sig", "surrogateescape")
        if name == "t.csv":
            return max(0, sum(1 for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row) - 1)
        if name == "t.tsv":
            rows = csv.reader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
            return max(0, sum(1 for row in rows if row) - 1)
        if name == "t.jsonl" and not text.lstrip().startswith("["):
            return sum(1 for line in LINE_ENDS.split(text) if line.strip())
        if name == "t.json":
            return len(array) if isinstance(array := json.loads(text), list) else None
    except (csv.Error, ValueError, RecursionError):
        pass
    return None


@fuzzed
@pytest.mark.parametrize("name", SOUND)
def test_damage_is_counted_or_refused(tmp_path, name, examples):
    (tmp_path / name).write_bytes(SOUND[name])
    assert len(read(tmp_path / name)) == (16 if name == "t.tar" else 5)
    csv.field_size_limit(10**9)

    def check(content):
        (tmp_path / name).write_bytes(content)
        try:
            rows = read(tmp_path / name)
        except AscentError as error:
            check_sentence(error)
            return
        wanted = counted(content, name)
        assert wanted is None or len(rows) == wanted

    holds(examples, check, times=3, content=damaged(SOUND[name]))


@fuzzed
@pytest.mark.parametrize("suffix", [suffix for suffix in COMPRESS if suffix])
def test_a_damaged_compressed_file_is_refused_unless_it_says_the_same(tmp_path, suffix, examples):
    """Its check sums find what changes its text; where it is cut off, no row is lost in silence."""
    path, whole = tmp_path / f"t.jsonl{suffix}", COMPRESS[suffix](SOUND["t.jsonl"])

    def check(at, byte):
        path.write_bytes(whole[:at] if byte is None else whole[:at] + bytes([byte]) + whole[at + 1 :])
        try:
            rows = read(path)
        except AscentError as error:
            check_sentence(error)
            return
        assert at == 0 or [cells for _, cells in rows] == ROWS

    byte = st.none() if suffix == ".lz4" else st.none() | st.integers(0, 255)  # arrow's lz4 has no check sum
    holds(examples, check, times=3, at=st.integers(0, len(whole) - 1), byte=byte)


@fuzzed
def test_lines_are_counted_whatever_they_hold(tmp_path, examples):
    """Of the files without a header, which TREC has."""

    def check(content):
        (tmp_path / "t.txt").write_bytes(content)
        try:
            lines = [*lines_of(tmp_path / "t.txt")]
        except AscentError as error:
            check_sentence(error)
            return
        text = content.decode("utf-8-sig", "surrogateescape")
        wanted = [(number, line) for number, line in enumerate(LINE_ENDS.split(text), 1) if line.strip()]
        assert lines == wanted

    holds(examples, check, times=3, content=damaged(SOUND["t.tsv"]))


@fuzzed
def test_a_name_that_says_something_else_is_refused_or_read(tmp_path, examples):
    """Every format's bytes under every other's name."""

    def check(name, content, suffix):
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(content)
        try:
            read(path)
        except AscentError as error:
            check_sentence(error)
        path.unlink()

    contents = [compress(content) for content in SOUND.values() for compress in COMPRESS.values()]
    suffixes = st.sampled_from([*COMPRESS])
    holds(examples, check, times=3, name=st.sampled_from([*SOUND]), content=st.sampled_from(contents), suffix=suffixes)
