"""Licences by the words of SPDX, the hub and mteb, and what each allows."""

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator, model_validator

from .base import Settings


class Terms(Settings):
    """What a licence allows; see licences.yaml."""

    commercial: bool = True
    """Whether it may be used commercially."""
    research: bool = False
    """Whether it may be used for research only."""
    derivatives: bool = True
    """Whether changed works may be passed on."""
    share_alike: str = ""
    """The family of licences that changed works must have; empty if any will do."""
    known: bool = True
    """Whether the word says what is allowed."""
    spdx: str = ""
    """SPDX's id, where mteb has no word."""
    hub: bool = True
    """Whether the hub knows the word."""


TERMS = {
    word: Terms(**terms)
    for word, terms in yaml.safe_load(Path(__file__).with_name("licences.yaml").read_text()).items()
}


def _known(word: str) -> str:
    """Return the word as the hub spells it: SPDX's ids are the same whatever their case."""
    if word.lower() in TERMS:
        return word.lower()
    near = get_close_matches(word.lower(), TERMS, n=1)
    raise ValueError(
        f"'{word}' is not a licence of SPDX or the hub that Ascent knows: write {f'{near[0]}, or ' if near else ''}"
        "other, with its terms in licence_note"
    )


Licence = Annotated[str, AfterValidator(_known)]


class Licensed(Settings):
    """What has a licence."""

    licence: Licence
    """The licence, by its word on the hub or SPDX's id: apache-2.0, cc-by-nc-4.0. Also `internal` (your own, for
    yourselves), `research-only`, and `other`."""
    licence_note: str = ""
    """What the word does not say, printed on the model card. `other` needs it."""

    @model_validator(mode="after")
    def _other_terms_are_told(self):
        if self.licence == "other" and not self.licence_note:
            raise ValueError("licence: other says nothing: add its name, or where it is written, as licence_note")
        return self

    @property
    def licence_in_words(self) -> str:
        """The word, and the note if there is one."""
        return f"{self.licence} ({self.licence_note})" if self.licence_note else self.licence


def wider_than(release: str, source: str) -> list[str]:
    """Return what a release's licence permits though a source's does not, in words: `forbids commercial use`.

    What is released as `internal` is not passed on, and so goes no further than anything.
    """
    given, had = TERMS[release], TERMS[source]
    if release == "internal":
        return []
    if not had.known:
        return [] if release == source else ["does not say what it allows"]
    reasons = []
    if had.research and not given.research:
        reasons.append("is for research only")
    elif not (had.commercial or had.research) and given.commercial and not given.research:
        reasons.append("forbids commercial use")
    if not had.derivatives:
        reasons.append("forbids changed works")
    if had.share_alike and had.share_alike != given.share_alike:
        reasons.append("asks for the same licence")
    return reasons
