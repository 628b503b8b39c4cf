"""The spelling of languages, against mteb's own tables."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from ascent.errors import AscentError
from ascent.settings.corpora import Reading
from ascent.settings.languages import COMMON
from ascent.settings.recipe import Release
from ascent.settings.validation import check

RELEASE = {"stage": "base", "name": "a/b", "licence": "mit", "summary": "s"}


def test_common_languages_are_spelled_as_mteb_does():
    folder = Path(find_spec("mteb").submodule_search_locations[0]) / "languages"
    three, script = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("iso_639_1_to_3", "iso_639_3_to_default_script")
    )
    assert {two: f"{three[two]}-{script[three[two]]}" for two in COMMON} == COMMON


@pytest.mark.parametrize("language", ["eng-Latn", "zho-Hant", "und-Latn", "python-Code"])
def test_a_corpus_has_a_language_as_mteb_spells_it(language):
    assert check(Reading, {"reader": {"pairs": {}}, "language": language}, "x").language == language


@pytest.mark.parametrize(
    ("language", "remedy"),
    [("en", "write eng-Latn."), ("zh", "write zho-Hans."), ("English", "write eng-Latn for English"), ("eng", "")],
)
def test_another_spelling_is_refused(language, remedy):
    said = f"'{language}' is not a language as mteb spells it, an ISO 639-3 code with script"
    message = rf"^x: 'language': {said}; {remedy}"
    with pytest.raises(AscentError, match=message):
        check(Reading, {"reader": {"pairs": {}}, "language": language}, "x")


@pytest.mark.parametrize("language", ["en", "zh", "yue", "multilingual", "code"])
def test_a_release_has_languages_as_hubs_spell_them(language):
    assert check(Release, RELEASE | {"languages": [language]}, "x").languages == [language]
    for other, remedy in (("eng-Latn", "write en."), ("English", "write en for English")):
        with pytest.raises(
            AscentError, match=rf"^x: 'languages.1': '{other}' is not a language as hubs spell it.*; {remedy}"
        ):
            check(Release, RELEASE | {"languages": [language, other]}, "x")
