"""Licences: the words of mteb and SPDX, and what is wider than what."""

from typing import get_args

import pytest
from mteb.types import Licenses
from packaging.licenses._spdx import LICENSES

from ascent.errors import AscentError
from ascent.settings.corpora import Model
from ascent.settings.licences import TERMS, wider_than
from ascent.settings.validation import check

SOURCE = {"type": "files", "paths": ["a"]}


def test_every_word_of_mteb_is_known():
    assert set(get_args(Licenses)) - TERMS.keys() == set()


def test_spdx_ids_are_spelled_as_spdx_does():
    assert {terms.spdx for terms in TERMS.values() if terms.spdx} - {
        licence["id"] for licence in LICENSES.values()
    } == set()
    # A word that is SPDX's own has an id here, or is mteb's word.
    assert {word for word, terms in TERMS.items() if word in LICENSES and not terms.spdx} - set(
        get_args(Licenses)
    ) == set()


@pytest.mark.parametrize(
    ("release", "source", "reasons"),
    [
        ("apache-2.0", "mit", []),
        ("apache-2.0", "cc-by-4.0", []),
        ("apache-2.0", "cc-by-nc-4.0", ["forbids commercial use"]),
        ("cc-by-nc-4.0", "cc-by-nc-4.0", []),
        ("research-only", "cc-by-nc-4.0", []),
        ("cc-by-nc-4.0", "research-only", ["is for research only"]),
        ("research-only", "research-only", []),
        ("mit", "cc-by-nc-sa-4.0", ["forbids commercial use", "asks for the same licence"]),
        ("cc-by-sa-4.0", "cc-by-sa-3.0", []),
        ("cc-by-4.0", "cc-by-sa-3.0", ["asks for the same licence"]),
        ("gpl-3.0", "lgpl-2.1", []),
        ("cc-by-nd-4.0", "cc-by-nd-4.0", ["forbids changed works"]),
        ("mit", "unknown", ["does not say what it allows"]),
        ("internal", "cc-by-nc-nd-4.0", []),
        ("mit", "internal", []),
        ("llama3.2", "llama3.1", ["asks for the same licence"]),
        ("other", "research-only", ["is for research only"]),
    ],
)
def test_a_release_is_compared_with_a_source(release, source, reasons):
    assert wider_than(release, source) == reasons


def test_case_is_no_difference_and_other_words_are_refused_with_the_nearest():
    assert check(Model, {"source": SOURCE, "licence": "Apache-2.0"}, "here").licence == "apache-2.0"
    with pytest.raises(
        AscentError, match=r"here: 'licence': 'apache2' is not a licence .*: write apache-2.0, or other, with its"
    ):
        check(Model, {"source": SOURCE, "licence": "apache2"}, "here")
    with pytest.raises(AscentError, match="licence: other says nothing: add its name"):
        check(Model, {"source": SOURCE, "licence": "other"}, "here")
    other = check(Model, {"source": SOURCE, "licence": "other", "licence_note": "ask Ann"}, "here")
    assert other.licence_in_words == "other (ask Ann)"
