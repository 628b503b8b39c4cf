"""Recipes and configurations that name what the catalogue, mteb or a corpus does not have: one sentence each."""

import pytest

from ascent.errors import AscentError
from ascent.recipes.loading import load_recipes
from support.recipes import CORPUS, SMALL, changed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"evaluate__mteb_tasks": ["NFCorpu"]},
            "'evaluate.mteb_tasks' names the task 'NFCorpu', which does not exist; did you mean 'NFCorpus'?",
        ),
        (
            {"stages__contrastive__objective": "triplet"},
            "'stages.contrastive.data.questions' has nothing to learn by 'triplet', since the corpus 'library' has no",
        ),
        (
            {"stages__contrastive__data": {"questions": {"in_batch": False}}},
            "'stages.contrastive.data.questions' has nothing to learn by 'infonce', since the corpus 'library' has no",
        ),
        (
            {"evaluate__benchmarks": ["MTEB(eng", "v2)"]},
            "names the benchmark 'MTEB(eng', which does not exist; put a name with a comma in quotes.",
        ),
        (
            {"evaluate__benchmarks": ["MTEB(eng, v3)"]},
            (
                "'evaluate.benchmarks' names the benchmark 'MTEB(eng, v3)', which does not exist; did you mean"
                " 'MTEB(eng, v2)'?"
            ),
        ),
    ],
)
def test_an_unknown_task_of_mteb_is_named(write, changes, message):
    with pytest.raises(AscentError, match=r"small\.yaml: ") as error:
        load_recipes(write(small=changed(**changes)))
    assert message in str(error.value)


def test_a_typo_in_the_configuration_names_its_file(write):
    config = write(small=SMALL)
    config["copora"] = config.pop("corpora")
    with pytest.raises(AscentError, match=r"^configuration: unknown key 'copora'; did you mean 'corpora'\?$"):
        load_recipes(config)


def test_a_corpus_of_a_task_that_mteb_does_not_know_is_refused(write):
    config = write(small=SMALL)
    config["corpora"]["similar"] = CORPUS | {"mteb_tasks": ["SciFac"]}
    with pytest.raises(
        AscentError, match=r"'corpora\.similar\.mteb_tasks' names 'SciFac', which is not a task of mteb; did you"
    ):
        load_recipes(config)


@pytest.mark.parametrize(
    ("reader", "tells"),
    [
        ({"pairs": {}, "columns": {"origin": "url"}}, True),
        ({"type": "text", "documents": {"train": ["*"]}}, True),
        ({"type": "medi", "pairs": {}}, True),
        ({"type": "beir", "qrels": {"train": ["qrels.tsv"]}}, True),
        ({"type": "trec", "triples": {"train": ["ids"]}, "collection": ["c"], "queries": ["q"]}, True),
        ({"type": "trec", "triples": {"train": ["texts"]}}, False),
        ({"type": "flag_embedding", "pairs": {}}, False),
        ({"type": "sentence_transformers", "pairs": {}}, False),
        ({"type": "similarity", "scores": "s.tsv"}, False),
        ({"type": "mteb", "task": "NFCorpus"}, True),
        ({"type": "mteb", "task": "Banking77Classification"}, False),
    ],
)
def test_rows_are_counted_by_origin_where_the_reader_tells_some(write, reader, tells):
    """Of rows that a language model writes, the reader of the texts that they are about."""
    config = write(small=changed(data__questions__filters=[{"cap": {"by": "origin", "rows": 9}}]))
    task = [reader["task"]] if reader.get("type") == "mteb" else []
    read = CORPUS | {"reader": reader, "mteb_tasks": task}
    source = {"type": "synthesis", "documents": "raw", "prompt": "queries", "generator": "server", "rows": 9}
    config["generators"] = {"server": {"type": "openai", "address": "http://gpu:8000/v1", "model": "m"}}
    for library in (read, CORPUS | {"source": source, "reader": {"type": "synthesised"}}):
        config["corpora"] |= {"raw": read, "library": library}
        if tells:
            load_recipes(config)
            continue
        name = "raw" if library is not read else "library"
        with pytest.raises(AscentError, match=f"of the corpus '{name}' tells no origins; have it read them"):
            load_recipes(config)
