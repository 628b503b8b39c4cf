import json
import subprocess
from pathlib import Path

import polars as pl
import pytest

from ascent.errors import AscentError
from ascent.pairs.ledger import (
    Entry,
    Training,
    as_rows,
    make_ledger,
    named_tables,
    pool_of,
    refuse,
    sizes_of,
    tables_of,
    trained_on,
)
from ascent.pairs.table import Document, Pair, document_frame, pair_frame, write_documents, write_pairs
from ascent.pairs.tested import TestedTexts
from ascent.settings.leaks import Hash, Leaks, NearDuplicate, Ngram

SCRIPT = Path(__file__).parents[2] / "scripts" / "check_leakage.py"
TESTED = [
    Pair("What is Term-Life?", "Cover for a time.", split="test"),
    Pair("What is whole life?", "Cover for life.", split="validation"),
    Pair("What is a claim?", "A request.", split="train"),
    Pair("Storms hit the coast.", "A storm hit.", label=0.9, task="sts", split="test"),
    Pair("My car was hit.", "car insurance", task="classification", split="test"),
]
NOTHING = {"test": "ignore", "documents": "ignore"}
HASH = Leaks(ngram=Ngram(**NOTHING), near_duplicate=NearDuplicate(**NOTHING))


@pytest.fixture
def write(tmp_path):
    def written(name, *pairs, parts=None):
        path = tmp_path / f"{name}.parquet"
        write_pairs(path, pair_frame(pairs, name, "eng-Latn"))
        return path

    return written


@pytest.fixture
def tested(tmp_path, write):
    def made(splits=("test",)):
        write_documents(
            tmp_path / "pool.parquet", document_frame([Document("Cover for a time.", "test"), Document("x", "train")])
        )
        return TestedTexts.written(
            tmp_path / "tested.arrow",
            tables_of("insurance", write("insurance", *TESTED), tmp_path / "pool.parquet", splits),
        )

    return made


def told(entries: list[Entry]) -> list[tuple]:
    return [
        (entry.dataset, entry.task, entry.texts, entry.method, entry.rows, entry.tested, entry.of_tested)
        for entry in entries
    ]


def test_what_is_compared_is_counted(write, tested):
    rows = [("Cover for life.", ("A lot.", "Nothing.")), ("A lot.", ())]
    training = write("web", *(Pair("How much is a car?", positive, negatives) for positive, negatives in rows))
    assert make_ledger(trained_on([training]), tested(), Leaks()) == []
    assert sizes_of(trained_on([training]), tested()) == {
        "training": {"web": {"pairs": 2}},
        "evaluation": {"insurance": {"texts": 4, "labels": 1, "documents": 1}},
    }


@pytest.mark.parametrize(
    "pair",
    [
        Pair("What is Term-Life?", "y"),
        Pair("what is term life", "y"),
        Pair("y", "What is term life!"),
        Pair("y", "a storm hit"),
        Pair("y", "y", negatives=("y", "what is term life")),
    ],
)
def test_a_leaked_text_is_named(write, tested, pair):
    training = write("web", Pair("How much is a car?", "A lot."), pair, pair)
    (leaked,) = {pair.query, pair.positive, *pair.negatives} - {"y"}
    ledger = make_ledger(trained_on([training]), tested(), Leaks())
    assert told(ledger) == [("web", "insurance", "test", "hash", 2, 1, 4)]  # slower methods are left out
    with pytest.raises(AscentError) as error:
        refuse(ledger)
    assert str(error.value).startswith(
        f"data set web: 2 of its rows have test texts of insurance (hash), first '{leaked}' ('"
    )
    assert str(error.value).endswith("'); add insurance to `against` of the data set's filter contamination.")


def test_documents_and_labels_are_reported(write, tested):
    pairs = [Pair("What does it cover?", "cover for a TIME"), Pair("y", "Car Insurance"), Pair("y", "cover for a time")]
    ledger = make_ledger(trained_on([write("web", *pairs), write("clean", Pair("a", "b"))]), tested(), HASH)
    assert told(ledger) == [
        ("web", "insurance", "labels", "hash", 1, 1, 1),
        ("web", "insurance", "documents", "hash", 2, 1, 1),
    ]
    assert as_rows(ledger)[1]["examples"] == [
        {"training": "cover for a TIME", "test": "Cover for a time.", "score": 1.0},
        {"training": "cover for a time", "test": "Cover for a time.", "score": 1.0},
    ]
    refuse(ledger)
    with pytest.raises(AscentError, match="2 of its rows have documents .* or set leaks.hash.documents to report"):
        refuse(
            make_ledger(
                trained_on([write("web", *pairs)]), tested(), HASH.model_copy(update={"hash": Hash(documents="stop")})
            )[1:]
        )


def test_another_split_can_be_checked(write, tested):
    training = write("web", Pair("what is whole life", "y"))
    assert make_ledger(trained_on([training]), tested(), HASH) == []
    assert told(make_ledger(trained_on([training]), tested(["validation"]), HASH)) == [
        ("web", "insurance", "test", "hash", 1, 1, 1)
    ]


@pytest.mark.slow
def test_passes_and_batches_change_nothing(write, tmp_path, monkeypatch):
    """However few keys fit in memory, and however rows are cut into batches and files."""
    words = [
        f"word{number % 7} and {number} of them stand in row {number % 11} of the long table" for number in range(60)
    ]
    pairs = [Pair(words[place], words[-place], negatives=(words[place // 2],)) for place in range(60)]
    tasks = [
        pair_frame([Pair(word, "y", split="test") for word in words[part::3]], f"t{part}", "eng-Latn")
        for part in range(3)
    ]
    for part, task in enumerate(tasks):
        write_pairs(tmp_path / f"t{part}.parquet", task)

    def ledger(training, most, batch):
        monkeypatch.setattr("ascent.pairs.ledger._TEXTS", batch)
        monkeypatch.setattr("ascent.pairs.ledger._ROWS", batch)
        tables = [
            table for part in range(3) for table in tables_of(f"t{part}", tmp_path / f"t{part}.parquet", None, ["test"])
        ]
        made = make_ledger(trained_on(training), TestedTexts.written(tmp_path / "t.arrow", tables), leaks, most)
        return [entry | {"examples": len(entry["examples"])} for entry in as_rows(made)]

    leaks = Leaks(hash=Hash(test="report"), ngram=Ngram(size=5), near_duplicate=NearDuplicate(similarity=0.8))
    whole = write("whole", *pairs)
    expected = ledger([whole], 10**6, 10**6)
    assert [(entry["method"], entry["task"]) for entry in expected] == [
        (method, f"t{part}") for method in ("hash", "ngram", "near_duplicate") for part in range(3)
    ]
    assert sum(entry["rows"] for entry in expected[:3]) >= 60
    folder = tmp_path / "parts"
    folder.mkdir()
    frame = pl.read_parquet(whole)
    for part in range(3):
        frame[part * 20 : part * 20 + 20].write_parquet(folder / f"{part}.parquet")
    for training, most, batch in (([whole], 1, 10**6), ([whole], 40, 7), (sorted(folder.iterdir()), 10**6, 9)):
        assert ledger(training, most, batch) == expected


def test_parts_without_rows_are_of_the_table_beside_them(write, tmp_path):
    """Of a corpus in parts the first may have the rows of another split."""
    empty = write("empty")
    web, more, dump = (write(name, Pair(name, "b")) for name in ("web", "more", "dump"))
    renamed = pl.read_parquet(more).with_columns(dataset=pl.lit("web"))
    write_pairs(more, renamed)
    assert named_tables([empty, empty, web, empty, more, empty, dump]) == [
        ("web", [empty, empty, web, empty, more, empty]),
        ("dump", [dump]),
    ]
    with pytest.raises(AscentError, match=r"empty\.parquet: has no rows; check the step that made it, by the audit"):
        named_tables([empty, empty])


def test_a_data_set_of_which_no_part_has_a_row_is_named(write, tmp_path):
    web = write("web", Pair("a", "b"))
    parts = [tmp_path / "dump-1" / f"pairs-0000{part}-of-00002.parquet" for part in range(2)]
    for path in parts:
        write_pairs(path, pair_frame([], "dump", "eng-Latn"))
    with pytest.raises(AscentError, match=r"dump-1: no part has a row; its audit-\*\.json say which filter dropped"):
        trained_on([web, *parts])
    write_pairs(parts[1], pair_frame([Pair("c", "d")], "dump", "eng-Latn"))
    assert [(training.name, len(training.files)) for training in trained_on([web, *parts])] == [("web", 2), ("dump", 1)]


def test_the_command_writes_a_ledger_and_counts_or_fails(tmp_path, write, warm_python):
    write("tested", *TESTED)
    write("web", Pair("a", "b"))
    write("dump", Pair("WHAT IS TERM LIFE", "b"))
    write_documents(tmp_path / "wiki.parquet", document_frame([Document("c", "test"), Document("b", "train")]))
    (tmp_path / "leakage.yaml").write_text(
        "{splits: [test], training: [web], evaluation: [insurance], searched: {wiki: [test]}}"
    )
    options = {
        "--settings": "leakage.yaml",
        "--evaluation": "tested.parquet",
        "--output": "leakage.json",
        "--ledger": "ledger.tsv",
    }
    command = [warm_python, SCRIPT, *(word for option in options.items() for word in option)]
    command += ["--searched", "wiki", "wiki.parquet", "--pairs"]

    run = subprocess.run([*command, "web.parquet", "dump.parquet"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 1 and run.stderr.startswith("error: data set dump: 1 of its rows")
    assert not (tmp_path / "leakage.json").exists() and not list(tmp_path.glob(".tested*"))
    (line,) = pl.read_csv(tmp_path / "ledger.tsv", separator="\t").rows(named=True)
    assert (line["dataset"], line["task"], line["method"], line["rows"]) == ("dump", "tested", "hash", 1)
    assert json.loads(line["examples"])[0]["training"] == "WHAT IS TERM LIFE"

    run = subprocess.run([*command, "web.parquet"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stderr == ""
    found = json.loads((tmp_path / "leakage.json").read_text())
    assert (found["ledger"], found["evaluation"]["wiki"]) == ([], {"texts": 0, "documents": 1})
    assert (tmp_path / "ledger.tsv").read_text().startswith("dataset\ttask\ttexts\tmethod\taction\trows")

    write("near", Pair("a", "Storms hit the coasts."))
    run = subprocess.run([*command, "near.parquet"], cwd=tmp_path, capture_output=True, text=True, check=True)
    told = (
        "training rows share test texts: 1 of near with tested (near_duplicate); read the examples in ledger.tsv, and"
        " set the method's `test` in the recipe's `leaks` to drop if they are test texts."
    )
    assert run.stderr == f"warning: {told}\n"


def test_documents_that_negatives_are_mined_among_are_compared(tmp_path, write, tested):
    """A test text among them stops the run; with `drop` it is told, since it is left out when they are embedded."""
    texts = [Document("nothing", "train"), Document("what is TERM life", "train"), Document("My car was hit.", "test")]
    write_documents(tmp_path / "wiki.parquet", document_frame(texts))
    mined = [
        *trained_on([write("web", Pair("a", "b"))]),
        Training("wiki", [tmp_path / "wiki.parquet"], True, ("train",)),
    ]
    (entry,) = make_ledger(mined, tested(), HASH)
    assert (entry.dataset, entry.pool, entry.rows, entry.action) == ("wiki", True, 1, "stop")
    assert sizes_of(mined, tested())["pools"] == {"wiki": {"documents": 2}}
    message = (
        "^corpus wiki: 1 of its documents, which negatives are mined among, have test texts .*leaks.hash.test to drop"
    )
    with pytest.raises(AscentError, match=message):
        refuse([entry])
    dropped = HASH.model_copy(update={"hash": Hash(test="drop")})
    (entry,) = make_ledger(mined, tested(), dropped)
    refuse([entry])
    assert entry.action == "drop"


def test_documents_of_a_corpus_that_is_searched_are_a_pool_and_its_pairs_no_test(tmp_path, write):
    texts = [Document("What is a TERM?", "test"), Document("x", "test"), Document("of another split", "train")]
    write_documents(tmp_path / "wiki.parquet", document_frame(texts))
    tables = [pool_of("wiki", [tmp_path / "wiki.parquet"], ["test"])]
    tested = TestedTexts.written(tmp_path / "tested.arrow", tables)
    training = trained_on([write("web", Pair("what is a term", "x"), Pair("of another split", "y"))])
    ledger = make_ledger(training, tested, HASH)
    assert told(ledger) == [("web", "wiki", "documents", "hash", 1, 2, 2)]
    refuse(ledger)  # which it only reports
    assert sizes_of(training, tested)["evaluation"] == {"wiki": {"texts": 0, "documents": 2}}
