"""The filter cap, and rows that are repeated, against draws that are counted in a loop."""

from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise

import pytest

from ascent.errors import AscentError
from ascent.pairs.draws import number
from ascent.pairs.repeating import repeated_share
from ascent.pairs.table import Pair, pair_frame
from ascent.pairs.text import text_id
from ascent.settings.pairs import Dataset
from ascent.settings.validation import check
from support.pairs import filtered

# Classes of 1, 4, 9, ... rows, and a class of 20 equal rows, one after the other in turn.
CLASSES = [
    Pair(f"text {row} of class {label}", f"class {label}", task="classification", query_prompt=prompt)
    for row in range(49)
    for label, prompt in enumerate(("a", None, "b", "a", "c", "a", None))
    if row < (label + 1) ** 2
] + [Pair("equal", "equals", task="classification")] * 20


def kept(pairs, parts=1, **settings):
    """The pairs that the filter keeps, and the audit."""
    frame = pair_frame(pairs, "corpus", "eng-Latn")
    bounds = [len(frame) * number // parts for number in range(parts + 1)]
    dataset = {"corpus": "corpus", "task": "classification", "filters": [{"cap": settings}]}
    pieces = [frame[begin:end] for begin, end in pairwise(bounds)]
    return filtered("set", check(Dataset, dataset, "recipe.yaml"), pieces)


def drawn(rows, most, seed, key=lambda row: row.positive):
    """What is to be kept: of each key the rows with the smallest draws, and of equal rows the first."""
    groups = defaultdict(list)
    for place, row in enumerate(rows):
        groups[key(row)].append((number(seed, text_id(row.query), text_id(row.positive)), place))
    places = sorted(place for group in groups.values() for _, place in sorted(group)[:most])
    return [(rows[place].query, rows[place].positive) for place in places]


@pytest.mark.parametrize("parts", [1, 3, 8])
def test_of_each_class_as_many_rows_are_drawn(parts):
    pairs, audit = kept(CLASSES, parts, rows=10, seed=5)
    assert pairs.select("query", "positive").rows() == drawn(CLASSES, 10, 5)
    assert Counter(pairs["positive"]) == {
        **{f"class {label}": min(10, (label + 1) ** 2) for label in range(7)},
        "equals": 10,
    }
    assert audit["dropped"] == {"not among the 10 rows drawn of its positive": len(CLASSES) - len(pairs)}


def test_neither_the_order_of_rows_nor_another_class_changes_the_draw():
    one, _ = kept(CLASSES, rows=3)
    turned, _ = kept([*reversed(CLASSES), Pair("more", "class 9", task="classification")], rows=3)
    assert sorted(turned["query"]) == sorted([*one["query"], "more"])
    other, _ = kept(CLASSES, rows=3, seed=1)
    assert set(one["query"]) != set(other["query"])


@pytest.mark.slow
def test_rows_are_counted_by_query_or_prompt():
    answers = [Pair("query", f"answer {row}", task="classification") for row in range(9)]
    rows = [*CLASSES[:30], *answers]
    pairs, _ = kept(rows, 3, by="query", rows=4)
    assert pairs.select("query", "positive").rows() == drawn(rows, 4, 0, lambda row: row.query)
    pairs, _ = kept(rows, 3, by="query_prompt", rows=4)
    assert pairs.select("query", "positive").rows() == drawn(rows, 4, 0, lambda row: row.query_prompt)
    assert Counter(pairs["query_prompt"]) == {"a": 4, None: 4, "b": 4, "c": 4}


# A page of each site for some rows, one without a scheme, and rows of which nothing is known.
ORIGINS = [
    "https://a.example/1",
    "http://user:word@A.example:8080?page=2",
    "a.example/3",
    None,
    "https://b.example#top",
    "ftp://b.example/1",
]
HOSTS = ["a.example", "a.example", None, None, "b.example", "b.example"]


@pytest.mark.parametrize("parts", [1, 3, 8])
@pytest.mark.parametrize(("by", "known"), [("origin", ORIGINS), ("host", HOSTS)])
def test_rows_are_counted_by_where_they_come_from(by, known, parts):
    """Those of which it is not known are kept."""
    rows = [
        Pair(f"query {row}", f"answer {row % 7}", task="classification", origin=ORIGINS[row * row % 11 % 6])
        for row in range(60)
    ]
    of_row = {row.query: known[ORIGINS.index(row.origin)] for row in rows}
    pairs, audit = kept(rows, parts, by=by, rows=4, seed=2)
    # A group of its own for each row that is not counted.
    assert pairs.select("query", "positive").rows() == drawn(rows, 4, 2, lambda row: of_row[row.query] or row.query)
    sizes = Counter(of_row.values())
    assert Counter(of_row[query] for query in pairs["query"]) == {
        value: size if value is None else min(4, size) for value, size in sizes.items()
    }
    assert max(size for value, size in sizes.items() if value) > 8 and sizes[None] > 4
    assert audit["dropped"] == {f"not among the 4 rows drawn of its {by}": len(rows) - len(pairs)}
    # The origins stay with their rows.
    assert dict(pairs.select("query", "origin").rows()).items() <= {row.query: row.origin for row in rows}.items()


def test_rows_of_which_no_origin_is_known_cannot_be_counted_by_it():
    rows = [Pair("query", "answer", task="classification", origin="a.md:1")]
    assert len(kept(rows, by="origin", rows=1)[0]) == 1
    with pytest.raises(AscentError, match=r"no row of the data set has a host in its origin to be counted by; have"):
        kept(rows, by="host", rows=1)
    with pytest.raises(AscentError, match=r"has an origin to be counted by; .* such as `columns: {origin: url}`, or"):
        kept([replace(row, origin=None) for row in rows] * 4, 3, by="origin", rows=1)


@pytest.mark.parametrize("parts", [1, 3, 8])
def test_rows_of_rare_classes_are_repeated(parts):
    frame = pair_frame(CLASSES, "corpus", "eng-Latn")
    bounds = [len(frame) * number // parts for number in range(parts + 1)]
    dataset = {"corpus": "corpus", "task": "classification", "filters": ["empty"], "repeat": {"rows": 11, "most": 5}}
    pieces = [frame[begin:end] for begin, end in pairwise(bounds)]
    pairs, audit = filtered("set", check(Dataset, dataset, "recipe.yaml"), pieces)
    sizes = {f"class {label}": (label + 1) ** 2 for label in range(7)} | {"equals": 20}
    expected = {label: min(5, 11) if size == 1 else max(11, size) for label, size in sizes.items()}
    assert Counter(pairs["positive"]) == expected
    # Of 4 rows the 3 with the smallest draws occur three times, the other one twice.
    *_, last = sorted(
        (number(0, text_id(row.query), text_id(row.positive)), row.query)
        for row in CLASSES
        if row.positive == "class 1"
    )
    times = Counter(pairs.filter(positive="class 1")["query"])
    assert times.pop(last[1]) == 2 and set(times.values()) == {3}
    texts = [table.select("query", "positive").unique(maintain_order=True) for table in (pairs, frame)]
    assert texts[0].equals(texts[1])
    (entry,) = audit["augmentations"]
    assert (entry["augmentation"], entry["in"], entry["added"]) == ("repeat", len(frame), len(pairs) - len(frame))
    assert audit["kept"] == len(frame)
    repeat = check(Dataset, dataset, "recipe.yaml").repeat
    assert repeated_share(frame, repeat) == pytest.approx((len(pairs) - len(frame)) / len(frame))
