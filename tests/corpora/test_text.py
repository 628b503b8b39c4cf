"""Documents without queries, from tables and from plain files."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ascent.corpora.readers.text import read
from ascent.errors import AscentError
from ascent.pairs.table import read_documents, write_documents
from ascent.settings.base import Split
from support.corpora import corpus, texts
from support.pairs import normalised

ROWS = [
    {"url": "https://a.example/1", "title": "Cats ", "text": "# Cats\n\nCats purr.  They sleep.\n"},
    {"url": "", "title": None, "text": "猫会 打呼噜。"},
]


def documents(folder, split: Split = "train", file="*", **settings):
    return normalised("raw", corpus("text", documents={split: [file]}, **settings), folder)


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_csv(path, rows):
    cells = [[str(row.get(name) or "") for name in ("url", "title", "text")] for row in rows]
    path.write_text("url,title,text\n" + "".join(",".join(f'"{cell}"' for cell in row) + "\n" for row in cells))


def write_parquet(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.mark.parametrize(
    ("name", "write"), [("a.jsonl", write_jsonl), ("a.csv", write_csv), ("a.parquet", write_parquet)]
)
def test_every_table_gives_the_same_documents(tmp_path, name, write):
    write(tmp_path / name, ROWS)
    settings = {"columns": {"title": "title", "id": "url"}}
    reader = corpus("text", documents={"train": ["a.*"]}, **settings).reader
    found = list(read(tmp_path, reader))
    # The text keeps its lines, by which headings are found.
    assert [(each.text, each.title) for each in found] == [
        ("# Cats\n\nCats purr.  They sleep.\n", "Cats"),
        ("猫会 打呼噜。", ""),
    ]
    second = {"a.jsonl": "a.jsonl:2", "a.csv": "a.csv:6", "a.parquet": "a.parquet:2"}[name]
    assert [each.origin for each in found] == ["https://a.example/1", second]
    pairs, pool, audit = documents(tmp_path, **settings)
    assert len(pairs) == 0 and audit["pairs"] == {} and audit["documents"] == {"train": 2}
    assert texts(pool, "text", "split", "origin") == [
        ("# Cats Cats purr. They sleep.", "train", "https://a.example/1"),
        ("猫会 打呼噜。", "train", second),
    ]
    write_documents(tmp_path / "documents.parquet", pool)
    assert read_documents(tmp_path / "documents.parquet").equals(pool)


@pytest.mark.parametrize(
    ("above", "title"),
    [
        ("---\ntitle: Renewing a key\ntags: [a, b]\n---\n", "Renewing a key"),
        ("---\r\nname: keys\r\n...\r\n", ""),
        ("---\ntitle: [a, b]\n--- \n", ""),
        ("---\ntitle: 2026\ndate: 2026-99-99\n---\n", "2026"),
        ("---\ntitle:\n---\n", ""),
    ],
)
def test_front_matter_is_no_text_but_may_hold_the_title(tmp_path, above, title):
    (tmp_path / "a.md").write_text(f"{above}Keys expire.\n\n## Renewing\n\nAsk for one.\n", newline="")
    found = list(read(tmp_path, corpus("text", documents={"train": ["*"]}).reader))
    assert [(each.title, each.text) for each in found] == [(title, "Keys expire.\n\n## Renewing\n\nAsk for one.\n")]


@pytest.mark.parametrize(
    "text",
    [
        "---\nAn introduction.\n---\nA text.\n",
        "---\nbroken: [yaml\n---\nA text.\n",
        "A text.\n\n---\na: b\n---\nMore.\n",
        "---\na: b\n",
        f"---\na: {'[' * 5000}\n---\nA text.\n",
        f"---\na: {'b' * 20000}\n---\nA text.\n",
    ],
)
def test_what_is_no_front_matter_stays(tmp_path, text):
    (tmp_path / "a.md").write_text(text)
    (found,) = read(tmp_path, corpus("text", documents={"train": ["*"]}).reader)
    assert (found.text, found.title) == (text, "")


PLAIN = "One line\nof a text.\n\n  \nAnother.\nIts end."


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("file", [("One line of a text. Another. Its end.", "sub/a.md")]),
        ("paragraph", [("One line of a text.", "sub/a.md:1"), ("Another. Its end.", "sub/a.md:5")]),
        (
            "line",
            [
                ("One line", "sub/a.md:1"),
                ("of a text.", "sub/a.md:2"),
                ("Another.", "sub/a.md:5"),
                ("Its end.", "sub/a.md:6"),
            ],
        ),
    ],
)
@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["unix", "windows"])
def test_a_plain_file_is_one_document_or_several(tmp_path, unit, expected, ends):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.md").write_bytes(PLAIN.replace("\n", ends).encode())
    assert texts(documents(tmp_path, file="**/*.md", document=unit)[1], "text", "origin") == expected
    (tmp_path / "sub" / "a.md").unlink()
    (tmp_path / "sub" / "a.md.gz").write_bytes(gzip.compress(PLAIN.replace("\n", ends).encode(), mtime=0))
    found = texts(documents(tmp_path, file="**/*.md.gz", document=unit)[1], "text", "origin")
    assert found == [(text, origin.replace(".md", ".md.gz")) for text, origin in expected]


def test_documents_that_cannot_be_used_are_set_aside_and_counted(tmp_path):
    write_jsonl(
        tmp_path / "a.jsonl", [*ROWS, {"text": None}, {"text": " \n"}, {"text": 7}, {"text": "None"}, {"title": "t"}]
    )
    with (tmp_path / "a.jsonl").open("ab") as file:
        file.write(b'{"text": "\xff"}\nno object\n')
    (tmp_path / "b.txt").write_text(" \n\n")
    (tmp_path / "c.txt").write_bytes(b"caf\xe9\n")
    _, pool, audit = documents(tmp_path)
    assert len(pool) == 2
    assert audit["set_aside"] == {
        "document is a printed null, None": 1,
        "document is not text": 1,
        "document is not valid UTF-8": 2,
        "no document": 3,
        "not a JSON object": 1,
        "the file has no documents": 1,
    }
    assert audit["warnings"][0].startswith("corpus raw: 9 of 11 rows of train documents set aside, 81.8%")


def test_errors_name_the_file_and_the_remedy(tmp_path):
    with pytest.raises(AscentError, match=r"no file '\*'; known are: none"):
        documents(tmp_path)
    write_jsonl(tmp_path / "a.jsonl", ROWS)
    with pytest.raises(
        AscentError, match=r"a.jsonl: column 'body' is missing \(there are: text, title, url\); fix `columns`"
    ):
        documents(tmp_path, columns={"text": "body"})
    (tmp_path / "a.jsonl").write_text("")
    with pytest.raises(AscentError, match=r"no usable row of train documents \(1 x the file has no documents"):
        documents(tmp_path)
    (tmp_path / "a.jsonl").unlink()
    (tmp_path / "a.txt").write_bytes("UTF-16".encode("utf-16"))
    with pytest.raises(AscentError, match=r"a.txt: is UTF-16 or no text, but must be UTF-8"):
        documents(tmp_path)


def test_an_id_that_no_file_can_hold_costs_its_row(tmp_path):
    write_jsonl(tmp_path / "train.jsonl", [{"text": "a", "id": "\ud800"}, {"text": "b", "id": "2"}, {"text": "c"}])
    _, found, audit = documents(tmp_path, columns={"id": "id"})
    assert texts(found, "text", "origin") == [("b", "2"), ("c", "train.jsonl:3")]
    assert audit["set_aside"] == {"id is not valid UTF-8": 1}
