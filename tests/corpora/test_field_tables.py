"""Tables in the form of other trainers: small samples of each form, and what must come of them, by hand."""

import io
import json
import tarfile

import datasets
import pyarrow as pa
import pytest

from ascent.corpora.formats import rows_of
from ascent.errors import AscentError
from support.corpora import corpus, texts
from support.pairs import normalised


def written(folder, name, rows):
    (folder / name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


# ---------------------------------------------------------------- FlagEmbedding

FLAG = [
    {"query": "how tall is K2", "pos": ["8,611 metres"], "neg": ["8,849 metres", "in Pakistan"]},
    {
        "query": "who wrote Emma",
        "pos": ["Jane Austen", "J. Austen"],
        "neg": ["Emily Brontë"],
        "pos_scores": [9.5, 8],
        "neg_scores": [0.25],
        "prompt": "Find the author: ",
        "type": "normal",
    },
    {
        "query": "a dog runs",
        "pos": ["a hound runs"],
        "neg": ["a cat sits"],
        "prompt": "Similar text",
        "type": "symmetric_sts",
    },
    {
        "query": "refund please",
        "pos": ["complaint"],
        "neg": ["praise"],
        "prompt": "Classify",
        "type": "symmetric_class",
    },
    {"query": "GPU drivers", "pos": ["kernel modules"], "neg": [], "prompt": "Topic", "type": "symmetric_clustering"},
    {"query": "is it so", "pos": ["yes"], "neg": ["no"], "pos_scores": None, "neg_scores": None, "type": "only_1neg"},
    {"query": "was it so", "pos": ["yes"], "neg": ["no"], "pos_scores": [], "neg_scores": []},
    {"query": "is it", "pos": ["yes"], "neg": [], "pos_scores": [2], "neg_scores": []},
]


def test_flag_embedding(tmp_path):
    bad = [
        {"query": "q", "pos": [], "neg": ["n"]},
        {"query": "q", "pos": ["p"], "neg": ["n"], "type": "symmetric"},
        {"query": "q", "pos": ["p"], "neg": ["n"], "type": ["normal"]},
        {"query": "q", "pos": ["p"], "neg": ["n", "m"], "pos_scores": [1], "neg_scores": [1]},
        {"query": "q", "pos": ["p"], "neg": ["n"], "neg_scores": [1]},
    ]
    written(tmp_path, "train.jsonl", FLAG + bad)
    pairs, _, audit = normalised("flag", corpus("flag_embedding", pairs={"train": ["*.jsonl"]}), tmp_path)
    assert texts(pairs, "query", "positive", "negatives", "scores", "query_prompt", "document_prompt", "task") == [
        ("how tall is K2", "8,611 metres", ["8,849 metres", "in Pakistan"], None, None, None, "retrieval"),
        ("who wrote Emma", "Jane Austen", ["Emily Brontë"], [9.5, 0.25], "Find the author: ", None, "retrieval"),
        ("who wrote Emma", "J. Austen", ["Emily Brontë"], [8, 0.25], "Find the author: ", None, "retrieval"),
        ("a dog runs", "a hound runs", ["a cat sits"], None, "Similar text", None, "sts"),
        ("refund please", "complaint", ["praise"], None, "Classify", None, "classification"),
        ("GPU drivers", "kernel modules", [], None, "Topic", "Topic", "clustering"),
        ("is it so", "yes", ["no"], None, None, None, "retrieval"),
        ("was it so", "yes", ["no"], None, None, None, "retrieval"),
        ("is it", "yes", [], [2], None, None, "retrieval"),
    ]
    assert audit["set_aside"] == {
        "no positive": 1,
        "unknown type 'symmetric'": 1,
        "unknown type \"['normal']\"": 1,
        "not one score per negative": 1,
        "not one score per positive": 1,
    }
    assert len(FLAG) + len(bad) == 8 + sum(audit["set_aside"].values())  # one row has two positives


def test_another_form_is_no_flag_embedding(tmp_path):
    written(tmp_path, "train.jsonl", [{"query": "q", "positive": "p"}])
    with pytest.raises(
        AscentError, match=r"column 'pos' is missing \(there are: positive, query\); use the reader table with"
    ):
        normalised("flag", corpus("flag_embedding", pairs={"train": ["*.jsonl"]}), tmp_path)


# ---------------------------------------------------------------- sentence-transformers

ANCHORS = ["which bird is largest", "the largest sea", "what is tin"]
ROWS = {
    "anchor": ANCHORS,
    "positive": ["the ostrich", "the Pacific", "a metal"],
    "negative": ["the wren", "the Aral", "a gas"],
}


def saved(folder, columns: dict, name: str) -> dict[str, list[str]]:
    """Save columns as `datasets` does, in the form that the name says, and return the reader's `pairs`."""
    data = datasets.Dataset.from_dict(columns)
    if name == "train/*.arrow":
        datasets.DatasetDict({"train": data}).save_to_disk(folder, num_shards={"train": 2})
    else:
        write = {"csv": data.to_csv, "jsonl": data.to_json, "parquet": data.to_parquet}[name.split(".")[-1]]
        write(folder / name)
    return {"train": [name]}


def trained(folder, table: dict, name: str = "rows.parquet", **settings):
    reading = corpus("sentence_transformers", pairs=saved(folder, table, name), **settings)
    pairs, _, audit = normalised("st", reading, folder)
    assert audit["set_aside"] == {}
    return texts(pairs, "query", "positive", "negatives", "label")


@pytest.mark.parametrize("name", ["train/*.arrow", "rows.jsonl", "rows.csv", "rows.parquet"])
def test_the_order_of_columns_says_what_they_are(tmp_path, name):
    expected = [(q, p, [n], None) for q, p, n in zip(*ROWS.values(), strict=True)]
    assert trained(tmp_path, ROWS, name) == expected
    assert trained(tmp_path / "other", dict(zip(("a", "b", "c"), ROWS.values(), strict=True)), name) == expected


def test_pairs_several_negatives_and_scores(tmp_path):
    question, answer, wrong = ROWS.values()
    expected = [(q, p, [], None) for q, p in zip(question, answer, strict=True)]
    assert trained(tmp_path, {"query": question, "answer": answer}) == expected
    several = {"anchor": question, "positive": answer, "negative_1": wrong, "negative_2": wrong[::-1]}
    assert [row[2] for row in trained(tmp_path, several)] == [
        list(pair) for pair in zip(wrong, wrong[::-1], strict=True)
    ]
    scored = {"sentence1": question, "sentence2": answer, "score": [0.9, 0.5, 0.1]}
    assert trained(tmp_path, scored, task="sts") == [(q, p, [], s) for q, p, s in zip(*scored.values(), strict=True)]
    first = {"label": [1, 0, 1], "premise": question, "hypothesis": answer}
    assert [row[3] for row in trained(tmp_path, first, task="pair-classification")] == [1, 0, 1]


def test_a_text_and_its_class(tmp_path):
    classes = {"label": [1, 0, 1], "text": ANCHORS}
    assert [row[:2] for row in trained(tmp_path, classes, task="classification")] == list(
        zip(ANCHORS, "101", strict=True)
    )
    named = {"text": ANCHORS, "label": [1, 0, 1], "label_text": ["bird", "sea", "bird"]}
    chosen = trained(tmp_path, named, task="classification", columns=["text", "label_text"])
    assert [row[:2] for row in chosen] == list(zip(ANCHORS, named["label_text"], strict=True))
    with pytest.raises(
        AscentError, match=r": train: columns text, label, label_text, but a text and its class are two"
    ):
        trained(tmp_path, named, task="classification")


def test_columns_that_make_no_pair_are_refused(tmp_path):
    with pytest.raises(AscentError, match=r": train: columns text, label, but a pair has two texts"):
        trained(tmp_path, {"text": ANCHORS, "label": [1, 0, 1]})
    with pytest.raises(AscentError, match="column 'answer' is missing"):
        trained(tmp_path, ROWS, columns=["anchor", "answer"])


def test_rows_that_lack_a_text_are_set_aside(tmp_path):
    rows = {"anchor": [*ANCHORS, None], "positive": ["p", "", None, "p"], "negative": ["n", "n", "n", None]}
    pairs, _, audit = normalised(
        "st", corpus("sentence_transformers", pairs=saved(tmp_path, rows, "train/*.arrow")), tmp_path
    )
    assert texts(pairs) == [(ANCHORS[0], "p")]
    assert audit["set_aside"] == {"no positive": 2, "no query": 1}


@pytest.mark.parametrize("new", [pa.ipc.new_stream, pa.ipc.new_file])
def test_arrow_streams_and_files_are_read_in_batches(tmp_path, new):
    table = pa.table({"a": list(range(10))})
    with new(tmp_path / "train.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=3)
    assert [*rows_of(tmp_path / "train.arrow")] == [(i + 1, {"a": i}) for i in range(10)]


# ---------------------------------------------------------------- MEDI

FIND, KEEP, SAME = "Represent the question: ", "Represent the article: ", "Represent the sentence; "
MEDI = [
    {"query": [FIND, "who built it"], "pos": [KEEP, "a mason"], "neg": [KEEP, "a  tailor"], "task_name": "squad"},
    {"query": [SAME, "it rains"], "pos": [SAME, "rain falls"], "neg": [SAME, "it snows"], "task_name": "simcse_nli"},
    {"query": ["a text alone"], "pos": ["", "its pair"], "neg": [], "task_name": "gooaq_pairs"},
    {"query": [FIND, "where"], "pos": [KEEP, "here"], "neg": [SAME, "there"], "task_name": "squad"},
    {"query": "where", "pos": [KEEP, "here"], "neg": [KEEP, "there"], "task_name": "squad"},
    {"query": [FIND, "where"], "pos": [KEEP, " "], "neg": [KEEP, "there"], "task_name": "squad"},
    {"query": [FIND, KEEP, "where"], "pos": [KEEP, "here"], "task_name": "squad"},
]


@pytest.mark.parametrize("indent", [None, 4])
def test_medi(tmp_path, indent):
    (tmp_path / "medi-data.json").write_text(json.dumps(MEDI, indent=indent))
    pairs, _, audit = normalised("medi", corpus("medi", pairs={"train": ["medi-data.json"]}), tmp_path)
    assert texts(pairs, "query", "positive", "negatives", "query_prompt", "document_prompt") == [
        ("who built it", "a mason", ["a tailor"], FIND, KEEP),
        ("it rains", "rain falls", ["it snows"], SAME, SAME),
        ("a text alone", "its pair", [], None, None),
    ]
    assert pairs["origin"].to_list() == [row.get("task_name") for row in MEDI[:3]]
    assert audit["examples"] == {
        "the negative's instruction is not the positive's": ["medi-data.json:4"],
        "query is not a list of an instruction and a text": ["medi-data.json:5", "medi-data.json:7"],
        "no positive": ["medi-data.json:6"],
    }
    assert len(MEDI) == len(pairs) + sum(audit["set_aside"].values())


def test_tasks_of_medi(tmp_path):
    """Tasks are chosen by name; both texts of an sts row get one instruction."""
    (tmp_path / "medi-data.json").write_text(json.dumps(MEDI[:3]))
    settings = {"pairs": {"train": ["*.json"]}, "task": "sts"}
    pairs = normalised("medi", corpus("medi", **settings, task_names=["simcse_*", "none"]), tmp_path)[0]
    assert texts(pairs, "query", "query_prompt", "document_prompt", "task") == [("it rains", SAME, None, "sts")]
    audit = normalised("medi", corpus("medi", **settings, task_names=["s*"]), tmp_path)[2]
    assert audit["set_aside"] == {"two instructions, but both texts of a row of sts get the query's": 1}


def test_task_names_of_medi_that_are_no_names_are_set_aside(tmp_path):
    """A file may spell half a surrogate pair, which nothing can write."""
    names = ["\ud800", ["squad"], 7, None]
    rows = [{"query": [f"q{place}"], "pos": ["p"], "task_name": name} for place, name in enumerate(names)]
    (tmp_path / "medi-data.json").write_text(json.dumps(rows))
    reading = corpus("medi", pairs={"train": ["*.json"]}).model_copy(update={"max_rejected": 1.0})
    pairs, _, audit = normalised("medi", reading, tmp_path)
    assert dict(zip(pairs["query"], pairs["origin"], strict=True)) == {"q2": "7", "q3": None}
    assert audit["set_aside"] == {"task_name is not valid UTF-8": 1, "task_name is not text": 1}


# ---------------------------------------------------------------- tars


def packed(path, mode: str, **members: bytes):
    with tarfile.open(path, mode) as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(f"shard/{name}".replace("_", "."))
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize(("name", "mode"), [("train.tar", "w"), ("train.tar.gz", "w:gz")])
def test_a_tar_of_tables_is_read_as_its_members(tmp_path, name, mode):
    row = b'{"query": "q", "positive": "p"}\n'
    packed(tmp_path / name, mode, a_jsonl=row + b"broken\n", b_jpg=b"...", c_csv=b"query,positive\nr,s\n", d_json=row)
    pairs, _, audit = normalised("tar", corpus(pairs={"train": ["train.*"]}), tmp_path)
    assert texts(pairs) == [("q", "p"), ("r", "s"), ("q", "p")]
    assert audit["examples"] == {
        "not a JSON object": [f"{name}:2"],
        "a member of the tar that is not a table": [f"{name}:3"],
    }
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:100])
    with pytest.raises(AscentError, match="cannot be read to its end"):
        normalised("tar", corpus(pairs={"train": ["train.*"]}), tmp_path)


# ---------------------------------------------------------------- lists


def test_columns_lead_to_places_in_lists(tmp_path):
    """Pairs that are lists of two, and a list of scores of the positive and the negatives."""
    row = {"texts": ["q", "p", "n", "m"], "score": [9, 2.5, 1]}
    (tmp_path / "train.jsonl").write_text(json.dumps(row) + '\n{"texts": ["q"], "score": [1]}\n')
    columns = {"query": "texts[0]", "positive": "texts[1]", "negatives": ["texts[2]", "texts[3]"]}
    columns |= {"positive_scores": "score[0]", "negative_scores": ["score[1]", "score[2]"]}
    reader = {"pairs": {"train": ["train.jsonl"]}}
    pairs, _, audit = normalised("lists", corpus(columns=columns, **reader), tmp_path)
    assert texts(pairs, "query", "positive", "negatives", "scores") == [("q", "p", ["n", "m"], [9, 2.5, 1])]
    assert sum(audit["set_aside"].values()) == 1
    with pytest.raises(AscentError, match=r"column 'pair\[0\]' is missing \(there are: score, texts\)"):
        normalised("lists", corpus(columns={"query": "pair[0]"}, **reader), tmp_path)
