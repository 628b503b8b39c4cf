"""Extraction as a whole: what stays, what the pool holds, that counts add up and that the order of rows changes
nothing."""

import json
import random
from pydoc_data.topics import topics

import polars as pl
import pytest

from ascent.corpora.extraction import Extraction
from ascent.corpora.normalise import normalise, whole_audit
from ascent.errors import AscentError
from ascent.pairs.table import Document, Pair, count_pairs, read_documents, read_pairs
from ascent.pairs.text import normalise_text, text_id
from ascent.settings.corpora import Corpus, Reading
from ascent.settings.pairs import Dataset
from ascent.settings.validation import check
from support.corpora import texts
from support.pairs import filtered, normalised

# Topics of `help()`, of about 6,000 characters each.
DOCUMENTS = [Document(text, "train", origin=name) for name, text in sorted(topics.items())]
DOCUMENTS.append(Document("# Cats\n\n## Do they purr?\n\nThey do.\n", "train"))
ALL = [
    "whole_text",
    "title_body",
    {"heading_section": {"per_document": 3}},
    "question_answer",
    {"query_context": {"per_document": 2, "seed": 3}},
    {"neighbouring_passages": {"per_document": 1}},
    "given_rows",
    "sentence_edit",
    {"nli_triples": {"negatives": 2}},
    "graded_pairs",
    {"label_as_positive": {"names": {f"class {number}": f"the class {number}" for number in range(9)}, "negatives": 2}},
    {"same_class_pairs": {"negatives": 2, "pool": 4}},
]
LABELS = {0: "entailment", 1: "neutral", 2: "contradiction"}


def reading(*extract, **settings) -> Reading:
    reader = {"type": "text", "documents": {"train": ["*"]}}
    return check(Reading, {"reader": reader, "language": "eng-Latn", "extract": list(extract)} | settings, "the.yaml")


def rows() -> list[Pair]:
    """Rows of every kind that extractors take."""
    draw = random.Random(5)
    words = sorted({word for text in list(topics.values())[:5] for word in text.split() if word.isalpha()})
    sentence = lambda: " ".join(draw.sample(words, 6)).capitalize() + "."  # noqa: E731
    found = [
        Pair(f"premise {draw.randrange(12)}", sentence(), label=float(draw.randrange(3)), task="sts") for _ in range(80)
    ]
    found += [Pair(sentence(), f"class {draw.randrange(9)}", task="classification") for _ in range(80)]
    for _ in range(20):
        kept, old = sentence(), sentence()
        found.append(Pair(f"{kept} {old}", f"{kept} {old.replace('e', 'a')}"))
    return found


def extracted(rows, *extract, **settings):
    extraction = Extraction(reading(*extract, **settings))
    found = list(extraction.rows(rows))
    return (
        [row for row in found if isinstance(row, Pair)],
        [row for row in found if isinstance(row, Document)],
        extraction.audit,
    )


@pytest.fixture(scope="module")
def everything():
    return extracted([*DOCUMENTS, *rows()], *ALL, passages={"characters": 600, "overlap": 100})


def test_every_extractor_makes_something_and_its_counts_add_up(everything):
    pairs, _, audits = everything
    assert [audit["extractor"] for audit in audits] == [
        each if isinstance(each, str) else next(iter(each)) for each in ALL
    ]
    for audit in audits:
        assert audit["taken"] == audit["used"] + sum(audit["left_out"].values())
        assert audit["pairs"] > 0, audit
        assert audit["left_out"].keys() == audit["examples"].keys()
    assert sum(audit["pairs"] for audit in audits) == len(pairs)
    assert [audit["taken"] for audit in audits[:6]] == [len(DOCUMENTS)] * 6


def test_the_order_of_rows_changes_nothing(everything):
    shuffled = [*DOCUMENTS, *rows()]
    random.Random(1).shuffle(shuffled)
    pairs, pool, audits = extracted(shuffled, *ALL, passages={"characters": 600, "overlap": 100})
    in_order = lambda found: sorted(map(repr, found))  # noqa: E731
    assert in_order(pairs) == in_order(everything[0]) and in_order(pool) == in_order(everything[1])
    counts = lambda audits: [{**audit, "examples": None} for audit in audits]  # noqa: E731
    assert counts(audits) == counts(everything[2])


def test_another_seed_draws_others(everything):
    seeded = [{"query_context": {"per_document": 2, "seed": 4}}]
    others, _, _ = extracted(DOCUMENTS, *seeded, passages={"characters": 600, "overlap": 100})
    same, _, _ = extracted(DOCUMENTS, ALL[4], passages={"characters": 600, "overlap": 100})
    assert set(same) <= set(everything[0])
    assert len(others) == len(same) and len(set(others) & set(same)) < len(same) / 2


@pytest.mark.parametrize("extractor", ALL[:6], ids=lambda each: each if isinstance(each, str) else next(iter(each)))
def test_no_pair_crosses_documents(extractor):
    """Each text of a pair is in one document, the same for both."""
    for document in DOCUMENTS[::6]:
        whole = normalise_text(document.text)
        parts = set(whole.split())
        for pair in extracted([document], extractor, passages={"characters": 600})[0]:
            assert pair.query in whole or all(word in parts for word in pair.query.split())
            assert set(pair.positive.split()) <= parts


def test_of_a_limit_per_document_the_pairs_are_some_of_all():
    for extractor, limit in [("heading_section", 2), ("query_context", 1)]:
        every, _, _ = extracted(DOCUMENTS, extractor, passages={"characters": 600})
        some, _, _ = extracted(DOCUMENTS, {extractor: {"per_document": limit}}, passages={"characters": 600})
        assert set(some) < set(every) and len(some) < len(every)


# ---------------------------------------------------------------- what the corpus then holds


def test_the_pool_holds_passages_or_what_was_made_of_a_document():
    document = Document("# Cats\nThey purr. They sleep.\n", "train", origin="a.md")
    other = Document("Dogs bark. They run.", "train", origin="b.md")
    test = Document("# Mice\nThey hide.", "test", origin="c.md")
    pairs, pool, _ = extracted([document, other, test], "title_body")
    assert pairs == [Pair("Cats", "They purr. They sleep.", origin="a.md")]
    assert pool == [
        Document("They purr. They sleep.", "train", origin="a.md"),
        Document("Dogs bark. They run.", "train", origin="b.md"),  # it has no title
        Document("# Mice They hide.", "test", origin="c.md"),
    ]
    _, pool, _ = extracted([other], passages={"characters": 10})
    assert pool == [
        Document("Dogs bark.", "train", origin="b.md#char=0,11"),
        Document("They run.", "train", origin="b.md#char=11,20"),
    ]


def test_origins_lead_back_to_the_passage(tmp_path):
    for name in ("with", "async", "numbers"):
        (tmp_path / f"{name}.txt").write_text(topics[name])
    _, documents, _ = normalised("python", reading(passages={"characters": 500, "overlap": 50}), tmp_path)
    assert sum("#" in origin for origin in documents["origin"]) > 10
    for id, text, origin in documents.select("document_id", "text", "origin").iter_rows():
        file, _, place = origin.partition("#char=")
        begin, end = map(int, place.split(",")) if place else (0, None)
        assert normalise_text((tmp_path / file).read_text()[begin:end]) == text and text_id(text) == id


def test_rows_that_no_extractor_takes_stay():
    kept = [Pair("a", "b"), Pair("c", "1", task="classification", split="test")]
    taken = [Pair(text, "1", task="classification") for text in ("d", "e")]
    pairs, _, _ = extracted([*kept, *taken], "same_class_pairs")
    assert pairs[:2] == kept and [(pair.query, pair.positive) for pair in pairs[2:]] == [("d", "e"), ("e", "d")]
    pairs, _, _ = extracted([*kept, *taken], "given_rows", "same_class_pairs")
    assert pairs[:4] == [*kept, *taken] and len(pairs) == 6


def test_splits_do_not_mix():
    draw = random.Random(0)
    mixed = [
        Pair(f"{split} {n}", f"{n % 3}", task="classification", split=split)
        for n in range(30)
        for split in ("train", "test")
    ]
    mixed += [
        Pair("premise", f"{split} {n}", label=float(n % 3), task="sts", split=split)
        for n in range(9)
        for split in ("train", "test")
    ]
    draw.shuffle(mixed)
    splits = {"splits": ["train", "test"]}
    pairs, _, _ = extracted(mixed, {"same_class_pairs": splits}, {"nli_triples": splits})
    assert len(pairs) > 60
    assert all(text.startswith(pair.split) for pair in pairs for text in (pair.positive, *pair.negatives))


def test_rows_set_aside_are_a_share_of_those_read(tmp_path):
    """However many pairs were made of the others."""
    rows = [{"text": text} for text in list(topics.values())[:18]] + [{"text": ""}] * 2
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    _, _, audit = normalised("python", reading("heading_section", max_rejected=0.1), tmp_path)
    assert audit["warnings"][0].startswith("corpus python: 2 of 20 rows of train documents set aside, 10.0%")
    assert audit["extracted"][0]["taken"] == 18


def test_texts_alone_are_a_data_set_whose_positives_are_its_queries(tmp_path):
    (tmp_path / "a.txt").write_text("One text.\n\nAnother text.\n\nOne  text.\n")
    reader = {"type": "text", "documents": {"train": ["*.txt"]}, "document": "paragraph"}
    pairs, documents, _ = normalised("raw", reading("whole_text", reader=reader), tmp_path)
    assert texts(documents, "text", "origin") == [("One text.", "a.txt:1"), ("Another text.", "a.txt:3")]
    settings = {"corpus": "raw", "positive": "query", "filters": ["clean", "empty", "length", "duplicate"]}
    kept, audit = filtered("raw", check(Dataset, settings, "the.yaml"), [pairs])
    assert texts(kept) == [("One text.", "One text."), ("Another text.", "Another text.")]
    assert audit["filters"][-1]["dropped"] == {"the pair occurred before": 1}


@pytest.mark.parametrize("parts", [3, 8])
def test_parts_change_nothing(tmp_path, parts):
    """Nor which of a text's origins is kept."""
    for number, text in enumerate([*topics.values()][:40]):
        folder = tmp_path / "files" / f"[{number % 3}]"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:02}.rst").write_text(text)
    settings = {"reader": {"type": "text", "documents": {"train": ["**/*[0-7].rst"], "test": ["**/*[89].rst"]}}}
    corpus = reading(*ALL[:6], **settings, passages={"characters": 900, "overlap": 90})
    found, audits = [], []
    for place, count in [(0, 1), *((part, parts) for part in range(parts))]:
        files = [tmp_path / f"{kind}.parquet" for kind in ("pairs", "documents", "set_aside")]
        audits.append(normalise("python", corpus, tmp_path / "files", *files, part=place, parts=count))
        found.append((read_pairs(files[0]) if count_pairs(files[0]) else None, read_documents(files[1])))
    pairs, documents = (
        pl.concat([part for part in parts if part is not None]) for parts in zip(*found[1:], strict=True)
    )
    assert pairs.equals(found[0][0])
    assert documents.unique(["split", "document_id"], keep="first", maintain_order=True).equals(found[0][1])
    assert documents["origin"].null_count() == 0 and set(documents["split"]) == {"train", "test"}
    examples = lambda audit: [{**run, "examples": None} for run in audit["extracted"]]  # noqa: E731
    assert examples(whole_audit(audits[1:])) == examples(audits[0])


def test_rows_from_anywhere_are_not_read_in_parts():
    settings = {"source": {"type": "files", "paths": ["a"]}, "licence": "mit", "language": "eng-Latn", "parts": 2}
    settings |= {"reader": {"pairs": {"train": ["*"]}, "task": "classification"}}
    check(Corpus, settings | {"extract": ["label_as_positive"]}, "the.yaml")
    with pytest.raises(
        AscentError, match=r"same_class_pairs makes pairs of rows from anywhere .* in 2 parts; remove `parts`"
    ):
        check(Corpus, settings | {"extract": ["same_class_pairs"]}, "the.yaml")


BITS = (
    "# |## |\n|\n\n| |\t|?|？|。|! |...|. |e.g. |Q: |A: |问：|```|~~~|----|===|NAME\n|    indented|- |1."
    " |word|Word|猫|\r\n|"
    "\0|\x85|\u2028|\u3000|e\u0301|😀|“|”|**|3.14|https://a.b/c?d=e |\x0c|None|[]|("
).split("|")


def test_whatever_a_document_holds_it_is_counted_and_its_texts_are_in_one_form():
    draw = random.Random(0)
    for number in range(200):
        text = "".join(draw.choices(BITS, k=draw.randrange(1, 60)))
        for size in (1, 5, 20):
            document = Document(text, "train", origin=str(number))
            pairs, _, audits = extracted([document], *ALL[:6], passages={"characters": size, "overlap": size // 2})
            for pair in pairs:
                assert pair.query and pair.positive
                assert (pair.query, pair.positive) == (normalise_text(pair.query), normalise_text(pair.positive))
            assert all(audit["taken"] == audit["used"] + sum(audit["left_out"].values()) == 1 for audit in audits)


@pytest.mark.parametrize("extractor", ["same_class_pairs", "nli_triples"])
def test_rows_that_waited_come_in_an_order_that_says_nothing(extractor):
    """A data set may take the first rows only."""
    if extractor == "same_class_pairs":
        waited = [Pair(f"text {number:03}", str(number % 2), task="classification") for number in range(100)]
    else:
        waited = [
            Pair(f"premise {number:03}", "it", label=label, task="sts") for number in range(100) for label in (0.0, 2.0)
        ]
    numbers = [int(pair.query[-3:]) for pair in extracted(waited, extractor)[0]]
    assert sorted(numbers) == list(range(100)) and 30 < sum(numbers[:40]) / 40 < 70
