"""Corpora whose documents local tasks search besides their own: what a recipe makes of their names."""

import pytest

from ascent.errors import AscentError
from ascent.recipes.loading import load_recipes
from ascent.recipes.step_settings import settings_files
from support.recipes import CORPUS, SMALL, changed

DOCUMENTS = "evaluate__tasks__LibraryRetrieval__documents"


def loaded(write, **changes):
    config = write(small=changed(**{DOCUMENTS: ["wiki"]} | changes))
    return load_recipes(config | {"corpora": config["corpora"] | {"wiki": CORPUS | {"parts": 2}}})


def test_the_documents_are_compared_and_counted_and_nothing_is_learnt_of_them(write):
    recipes = loaded(write)
    assert recipes.leak_check("small").searched == {"wiki": ["test"]}
    assert "wiki" not in recipes.leak_check("small").evaluation  # whose rows test, too
    assert "wiki" not in recipes.recipes["small"].made_of[0]
    assert ("corpora", "wiki") in recipes.local_sources
    assert "results/corpora/wiki/audit-00001-of-00002.json" in recipes.audits("small")
    assert "  wiki:" in settings_files(recipes)["results/small/release.yaml"]
    assert load_recipes(write(small=SMALL)).leak_check("small").searched == {}


def test_the_documents_of_a_corpus_that_a_task_is_made_of_are_compared_once(write):
    checked = loaded(write, **{DOCUMENTS: ["similar", "wiki"]}).leak_check("small")
    assert "similar" in checked.evaluation
    assert checked.searched == {"wiki": ["test"]}


def test_the_documents_are_those_of_the_split_of_each_task(write):
    other = {"type": "retrieval", "corpus": "library", "split": "validation", "documents": ["wiki"]}
    recipes = loaded(write, evaluate__tasks__Other=other)
    assert recipes.leak_check("small").searched == {"wiki": ["test", "validation"]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["wikki"], r"'evaluate.tasks.LibraryRetrieval.documents' names the corpus 'wikki', which does not exist; did"),
        (["wiki", "wiki"], r"'evaluate.tasks.LibraryRetrieval.documents': names wiki twice; name it once"),
    ],
    ids=["unknown", "repeated"],
)
def test_unknown_and_repeated_corpora_are_refused(write, changes, message):
    with pytest.raises(AscentError, match=message):
        loaded(write, **{DOCUMENTS: changes})


def test_only_retrieval_searches_other_corpora(write):
    task = {"type": "reranking", "corpus": "library", "documents": ["wiki"]}
    with pytest.raises(AscentError, match=r"unknown key 'evaluate.tasks.Ranked.documents'"):
        loaded(write, evaluate__tasks__Ranked=task)
