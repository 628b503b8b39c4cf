"""Files that are not what they seem: set aside with a reason or refused with a remedy, never read as something else."""

import bz2
import gzip
import json
import lzma
import tarfile
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from ascent.corpora.cells import cell_of
from ascent.corpora.formats import json_rows, rows_of
from ascent.errors import AscentError
from support.corpora import corpus, texts
from support.pairs import normalised

GOOD = b'{"query": "q", "positive": "p"}\n'


def table(folder, file="train.jsonl", **settings):
    return normalised("insurance", corpus(pairs={"train": [file]}, **settings), folder)


def refused(folder, file="train.jsonl", **settings) -> str:
    with pytest.raises(AscentError) as error:
        table(folder, file, **settings)
    return str(error.value)


# ---------------------------------------------------------------- lines that a text has broken

FEWER, BESIDE = "fewer cells than the header has", "beside a line of one cell, which may be part of it"


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        ("what\tis this\nthat\tnegative\n", {2: FEWER, 3: FEWER}),  # in the middle: two lines of two cells
        ("what\tis\n\nthis\tnegative\n", {2: FEWER, 4: FEWER}),  # a blank line is not a row
        ("what\nis\tthis\tnegative\n", {2: FEWER, 3: BESIDE}),  # at the beginning: the second line seems whole
        (
            "what\tis\tnega\ntive\n",
            {2: BESIDE, 3: FEWER, 4: BESIDE},
        ),  # at the end: so does the first; line 4 may be, too
        ("a\tb\tc\td\n", {2: "more cells than the header has"}),
    ],
)
def test_a_line_break_in_a_text_is_not_read_as_two_rows(tmp_path, broken, expected):
    lines = f"query\tpositive\tnegative\n{broken}q\tp\tn\nr\ts\tt\n"
    (tmp_path / "train.tsv").write_text(lines)
    found = dict(rows_of(tmp_path / "train.tsv"))
    assert {number: cells for number, cells in found.items() if isinstance(cells, str)} == expected
    whole = {number: line.split("\t") for number, line in enumerate(lines.splitlines(), 1) if number not in expected}
    read = [list(cells.values()) for cells in found.values() if isinstance(cells, dict)]
    assert read == [cells for number, cells in whole.items() if number > 1 and cells != [""]]


def test_one_column_has_lines_of_one_cell(tmp_path):
    (tmp_path / "pool.tsv").write_text("text\na\nb\n")
    assert [cells for _, cells in rows_of(tmp_path / "pool.tsv")] == [{"text": "a"}, {"text": "b"}]


@pytest.mark.parametrize(
    "rows",
    [
        'q,p\nr,"a quote that opens\ns,t\nu,v\n',  # to the end of the file
        'q,p\nr,"a quote that opens\ns,"t"\nu,v\n',  # to the next quote
        'q,p\nr,"a "word" in it"\nu,v\n',
    ],
)
def test_a_quotation_mark_that_nothing_closes_is_named(tmp_path, rows):
    (tmp_path / "train.csv").write_text(f"query,positive\n{rows}")
    assert "train.csv: line 3: a quotation mark opens a cell here, and none closes it" in refused(tmp_path, "train.csv")


def test_quotes_that_are_closed_may_hold_anything(tmp_path):
    (tmp_path / "train.csv").write_text('query,positive\n"a, ""b""\nc",5" disk\nd,\n')
    assert [*rows_of(tmp_path / "train.csv")] == [
        (2, {"query": 'a, "b"\nc', "positive": '5" disk'}),
        (4, {"query": "d", "positive": ""}),
    ]


def test_without_a_header_the_first_line_is_not_told_in_full(tmp_path):
    (tmp_path / "train.tsv").write_text("what is it\t" + "a long passage " * 99 + "\tanother\nq\tp\tn\n")
    message = refused(tmp_path, "train.tsv")
    assert message.endswith("its first line must be a header with the columns' names: add one, or fix `columns`.")
    assert len(message.removeprefix(str(tmp_path))) < 300
    (tmp_path / "train.tsv").write_text("yes\tyes\nq\tp\n")
    assert "names the column 'yes' twice; rename one, or add a header" in refused(tmp_path, "train.tsv")


# ---------------------------------------------------------------- compression and encoding


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "train.jsonl",
            gzip.compress(GOOD, mtime=0),
            "is compressed by gzip, which its name does not say; name it train.jsonl.gz.",
        ),
        (
            "train.csv",
            zstandard.compress(GOOD),
            "is compressed by zstd, which its name does not say; name it train.csv.zst.",
        ),
        (
            "train.jsonl.gz",
            bz2.compress(GOOD),
            "is compressed by bzip2, which its name does not say; name it train.jsonl.bz2.",
        ),
        (
            "train.jsonl",
            lzma.compress(GOOD),
            "holds xz, which its name does not say; unpack it, or compress it by gzip.",
        ),
        ("train.csv", b"PK\x03\x04...", "holds zip, which its name does not say; unpack it, or compress it by gzip."),
        ("train.jsonl", b"PAR1...", "holds parquet, which its name does not say; name it .parquet."),
        ("train.jsonl.gz", GOOD, "is not compressed by gzip, as its name says; name it train.jsonl."),
        ("train.jsonl", GOOD.decode().encode("utf-16"), "is UTF-16 or no text, but must be UTF-8; convert it"),
        ("train.csv", "query,positive\nq,p".encode("utf-16-le"), "is UTF-16 or no text, but must be UTF-8; convert it"),
        ("train.tsv", "query\tpositive\nq\tp".encode("utf-32"), "is UTF-16 or no text, but must be UTF-8; convert it"),
    ],
)
def test_what_the_name_does_not_say_is_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    assert f"{name}: {message}" in refused(tmp_path, name)


def test_what_the_name_says_is_read(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(GOOD) + gzip.compress(GOOD))  # as bgzip and pigz write it
    (tmp_path / "b.jsonl.bz2").write_bytes(bz2.compress(GOOD))
    (tmp_path / "c.jsonl").write_bytes(b"\xef\xbb\xbf" + GOOD)  # a byte order mark
    assert texts(table(tmp_path, "*")[0]) == [("q", "p")] * 4


def test_bytes_of_latin_1_are_set_aside_in_their_row(tmp_path):
    (tmp_path / "train.csv").write_bytes("query,positive\nq,p\ncafé,p\nr,naïve\n".encode("latin-1"))
    pairs, _, audit = table(tmp_path, "train.csv")
    assert texts(pairs) == [("q", "p")]
    assert audit["set_aside"] == {"query is not valid UTF-8": 1, "positive is not valid UTF-8": 1}


# ---------------------------------------------------------------- cells that print what they should hold


@pytest.mark.parametrize("printed", ["['a', 'b']", '["a"]', "['a'\n 'b']", "[]", "array(['a', 'b'], dtype=object)"])
def test_a_printed_list_is_no_text(tmp_path, printed):
    rows = [{"query": "q", "positive": "p"}, {"query": "q", "positive": printed}]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pairs, _, audit = table(tmp_path)
    assert texts(pairs) == [("q", "p")]
    assert audit["set_aside"] == {"positive is a printed list; jsonl and parquet hold lists": 1}


@pytest.mark.parametrize(
    "text", ["[1, 2] is a list", "x[0]", "[sic] 'so'", "an array(['a'])", "none", "a NULL", "[edit]"]
)
def test_brackets_and_words_within_a_text_stay(tmp_path, text):
    (tmp_path / "train.jsonl").write_text(json.dumps({"query": text, "positive": "p"}))
    assert texts(table(tmp_path)[0]) == [(text, "p")]


@pytest.mark.parametrize("printed", ["None", "nan", "NaN", "NULL", "null", "<NA>", "\\N"])
def test_a_printed_null_is_no_text(tmp_path, printed):
    (tmp_path / "train.csv").write_text(f"query,positive\nq,p\nq,{printed}\n{printed},p\n")
    pairs, _, audit = table(tmp_path, "train.csv")
    assert texts(pairs) == [("q", "p")]
    assert audit["set_aside"] == {f"{what} is a printed null, {printed}": 1 for what in ("positive", "query")}


@pytest.mark.parametrize("none", ["", " \n", None, float("nan"), "nan", [], [""], [" ", None], [float("nan"), "None"]])
def test_a_blank_negative_is_none_and_costs_no_row(tmp_path, none):
    rows = [{"query": "q", "positive": "p", "neg": none, "more": "n"}, {"query": "r", "positive": "s"}]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pairs, _, audit = table(tmp_path, columns={"negatives": ["neg", "more"]})
    assert texts(pairs, "query", "negatives") == [("q", ["n"]), ("r", [])]
    assert audit["set_aside"] == {}


def test_a_blank_negative_takes_its_score_along(tmp_path):
    row = {"query": "q", "positive": "p", "neg": [" ", "n", None], "high": 3, "low": [None, 2, 1]}
    (tmp_path / "train.jsonl").write_text(json.dumps(row))
    columns = {"negatives": ["neg"], "positive_scores": "high", "negative_scores": ["low"]}
    assert texts(table(tmp_path, columns=columns)[0], "negatives", "scores") == [(["n"], [3, 2])]


# ---------------------------------------------------------------- json


@pytest.mark.parametrize("name", ["train.json", "train.jsonl"])
@pytest.mark.parametrize("indent", [None, 1])
def test_one_array_is_read_as_its_objects(tmp_path, name, indent):
    (tmp_path / name).write_text(json.dumps([{"query": "q", "positive": "p"}, ["q", "p"]], indent=indent))
    pairs, _, audit = table(tmp_path, name)
    assert texts(pairs) == [("q", "p")]
    assert audit["examples"] == {"not a JSON object": [f"{name}:2"]}


def test_lines_may_be_called_json_and_lines_of_arrays_are_no_rows(tmp_path):
    (tmp_path / "train.json").write_bytes(b"\n" + GOOD + GOOD)
    assert len(table(tmp_path, "train.json")[0]) == 2
    (tmp_path / "train.jsonl").write_bytes(b'["q", "p"]\n' + GOOD)
    assert table(tmp_path)[2]["examples"] == {"not a JSON object": ["train.jsonl:1"]}
    (tmp_path / "train.jsonl").write_bytes(b'\n{"query": "q", "pos\n' + GOOD)
    assert table(tmp_path)[2]["examples"] == {"not a JSON object": ["train.jsonl:2"]}


def test_an_array_that_breaks_off_and_one_object_are_refused(tmp_path):
    (tmp_path / "train.json").write_text(json.dumps([{"query": "q", "positive": "p"}] * 9, indent=1)[:-20])
    assert "is one JSON array, but not a complete one" in refused(tmp_path, "train.json")
    # As LlamaIndex saves its pairs.
    whole = {"queries": {"1": "q"}, "corpus": {"2": "p"}, "relevant_docs": {"1": ["2"]}}
    (tmp_path / "train.json").write_text(json.dumps(whole, indent=4))
    assert "is one JSON object, with queries, corpus, relevant_docs, and not rows" in refused(tmp_path, "train.json")
    (tmp_path / "train.json").write_text(json.dumps(whole))
    assert "column 'query' is missing (there are: corpus.2, queries.1, relevant_docs.1)" in refused(
        tmp_path, "train.json"
    )


# ---------------------------------------------------------------- other trainers' formats

TEVATRON = {
    "query": "q",
    "positive_passages": [{"docid": "7", "title": "T", "text": "p"}, {"docid": "8", "title": "", "text": "r"}],
    "negative_passages": [{"docid": "9", "title": "", "text": "n"}],
}
DPR = {
    "question": "q",
    "positive_ctxs": [{"title": "T", "text": "p"}, {"text": "r"}],
    "hard_negative_ctxs": [{"text": "n"}],
}
SWIFT = {
    "messages": [{"role": "user", "content": "q"}],
    "positive_messages": [[{"role": "user", "content": "p"}], [{"role": "user", "content": "r"}]],
    "negative_messages": [[{"role": "user", "content": "n"}]],
}


@pytest.mark.parametrize(
    ("row", "query", "positive", "negative"),
    [
        (TEVATRON, "query", "positive_passages[].text", "negative_passages[].text"),
        (DPR, "question", "positive_ctxs[].text", "hard_negative_ctxs[].text"),
        (SWIFT, "messages[].content", "positive_messages[][].content", "negative_messages[][].content"),
    ],
)
@pytest.mark.parametrize("name", ["train.jsonl", "train.parquet"])
def test_columns_lead_into_objects(tmp_path, row, query, positive, negative, name):
    if name == "train.jsonl":
        (tmp_path / name).write_text(json.dumps(row))
    else:
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / name)
    pairs = table(tmp_path, name, columns={"query": query, "positive": positive, "negatives": [negative]})[0]
    assert texts(pairs, "query", "positive", "negatives") == [("q", "p", ["n"]), ("q", "r", ["n"])]


def test_objects_without_a_path_name_their_fields(tmp_path):
    (tmp_path / "train.jsonl").write_text(json.dumps(TEVATRON))
    message = refused(tmp_path, columns={"positive": "positive_passages"})
    assert "column 'positive_passages' holds objects; name their texts in `columns`: " in message
    assert "positive_passages[].text" in message
    assert "(there are: negative_passages[].docid, negative_passages[].text, " in refused(tmp_path)
    assert "column 'passages[].text' is missing" in refused(tmp_path, columns={"positive": "passages[].text"})


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("a.b", 1),
        ("c[].d", [2, 3]),
        ("c[].e", [None, None]),
        ("f[][]", [4, 5]),
        ("g.h", None),
        ("a.b.c", None),
        ("x.y", "named"),
        ("f[1][0]", 5),
        ("f[][0]", [None, None]),
        ("i[].j[1]", [7, None]),
        ("f[2]", None),
        ("a[0]", None),
    ],
)
def test_a_path_is_what_it_leads_to(column, expected):
    row = {"a": {"b": 1}, "c": [{"d": 2}, {"d": 3}], "f": [[4], [5]], "g": None, "x.y": "named"}
    row["i"] = [{"j": [6, 7]}, {"j": [8]}]
    assert cell_of(row, column) == expected


# A value that any chunk may cut: escapes, a surrogate pair, numbers, words, nesting, brackets and quotes within texts.
AWKWARD = [
    {"query": 'a "quoted" ] } \\ , [ text', "positive": "é\u2028\U0001f600", "n": [-12.5e-7, 123456, True, None]},
    {"nested": {"list": [[1], [{"a": "]"}]], "empty": {}}, "positive": ""},
    [1, 2],
    "a text",
    12345,
    -0.5e-7,
    {},
]


@pytest.mark.parametrize("ascii", [True, False])
@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_is_read_alike_in_chunks_of_any_length(tmp_path, monkeypatch, ascii, indent):
    """With Python's own json as the judge; each chunk's length moves where values are cut."""
    path = tmp_path / "train.json"
    path.write_bytes((" \n" + json.dumps(AWKWARD * 2, indent=indent, ensure_ascii=ascii) + "\r\n").encode())
    expected = [value if isinstance(value, dict) else "not a JSON object" for value in AWKWARD * 2]
    for chunk in [*range(1, 40), 97, 2**20]:
        monkeypatch.setattr(json_rows, "CHUNK", chunk)
        assert [*rows_of(path)] == [*enumerate(expected, 1)], chunk


@pytest.mark.parametrize("chunk", [1, 7, 2**20])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_keep_their_numbers_in_chunks_of_any_length(tmp_path, monkeypatch, chunk, end):
    monkeypatch.setattr(json_rows, "CHUNK", chunk)
    lines = ["", '{"query": "broken', '{"query": "q"}', "", '["a"]', '{"query": "é"}']
    (tmp_path / "train.jsonl").write_bytes(end.join(lines).encode())
    wrong = "not a JSON object"
    assert [*rows_of(tmp_path / "train.jsonl")] == [(2, wrong), (3, {"query": "q"}), (5, wrong), (6, {"query": "é"})]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[{"a": 1}, {"a": "b', "element 2: Unterminated string"),
        ('[{"a": 1},', "element 2: Expecting value"),
        ('[{"a": 1}\n', "neither a comma nor a bracket follows element 1"),
        ('[{"a": 1} {"a": 2}]', "neither a comma nor a bracket follows element 1"),
        ('[{"a": 1},\n]', "element 2: Expecting value"),
        ('[{"a" 1}]', "element 1: Expecting ':' delimiter"),
        ('[\n{"a": 1}]\n[{"a": 1}]', "more follows its end, after element 1"),
        ("[" * 200_000, "element 1: "),  # deeper than Python's stack
    ],
)
def test_an_array_that_is_not_whole_is_refused_where_it_breaks(tmp_path, text, why):
    (tmp_path / "train.json").write_text(text)
    with pytest.raises(AscentError) as error:
        [*rows_of(tmp_path / "train.json")]
    assert f"is one JSON array, but not a complete one ({why}" in str(error.value)


def test_a_long_array_is_not_held(tmp_path, monkeypatch):
    """What is in memory is measured: chunks, and not the 5 MB of the file."""
    monkeypatch.setattr(json_rows, "CHUNK", 2**16)
    with (tmp_path / "train.json").open("w") as file:
        file.write("[" + ", ".join(json.dumps({"query": "q" * 1000, "positive": str(i)}) for i in range(5000)) + "]")
    tracemalloc.start()
    count = sum(isinstance(row, dict) for _, row in rows_of(tmp_path / "train.json"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 5000 and peak < 10 * 2**16


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_only_row_may_be_longer_than_what_is_looked_at(tmp_path, monkeypatch, end):
    """As in a file per document: it was taken for one object that is not rows."""
    monkeypatch.setattr(json_rows, "CHUNK", 10)
    (tmp_path / "train.jsonl").write_text(json.dumps({"text": "x" * 100}) + end)
    assert [*rows_of(tmp_path / "train.jsonl")] == [(1, {"text": "x" * 100})]


# ---------------------------------------------------------------- parquet, arrow and tars


def test_cells_that_point_outside_of_a_file_are_damaged_rows(tmp_path):
    """Offsets of a text that arrow believes: it read whatever is in memory there, or the process died."""
    rows = pa.table({"query": ["first", "second", "third"]})
    with pa.ipc.new_file(tmp_path / "train.arrow", rows.schema) as file:
        file.write_table(rows)
    content = (tmp_path / "train.arrow").read_bytes()
    offsets = b"".join(number.to_bytes(4, "little") for number in (0, 5, 11, 16))
    assert content.count(offsets) == 1
    wrong = offsets[:8] + (2**30).to_bytes(4, "little") + offsets[12:]
    (tmp_path / "train.arrow").write_bytes(content.replace(offsets, wrong))
    assert [*rows_of(tmp_path / "train.arrow")] == [(1, {"query": "first"}), (2, "damaged cells"), (3, "damaged cells")]


def test_a_date_that_python_has_no_value_for_costs_its_row_only(tmp_path):
    dates = pa.array([0, 10**7], pa.date32())
    pq.write_table(pa.table({"query": ["q", "r"], "at": dates}), tmp_path / "train.parquet")
    (_, first), second = rows_of(tmp_path / "train.parquet")
    assert first["query"] == "q" and second == (2, "damaged cells")


def test_a_tar_s_damaged_member_is_named(tmp_path):
    (tmp_path / "whole.parquet").write_bytes(b"PAR1" + b"x" * 50 + b"PAR1")
    with tarfile.open(tmp_path / "train.tar", "w") as tar:
        tar.add(tmp_path / "whole.parquet", "shards/7.parquet")
    message = refused(tmp_path, "train.tar")
    assert message.startswith(f"{tmp_path}/train.tar, member shards/7.parquet: cannot be read to its end (")
    assert message.isprintable() and message.endswith("); replace it.")
