"""Documents cut into passages: nothing is lost, none is too long, and each begins with the end of the one before."""

from itertools import pairwise
from pydoc_data.topics import topics

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE, WordLevel
from tokenizers.pre_tokenizers import ByteLevel, Whitespace
from tokenizers.processors import TemplateProcessing

from ascent.corpora.passages import cutter
from ascent.corpora.sentences import sentences
from ascent.errors import AscentError
from ascent.pairs.text import normalise_text
from ascent.settings.corpora import Passages
from ascent.settings.validation import check

CHINESE = "保险是一种制度。它分为两类：人寿保险；财产保险。参见第三节！" * 20 + "没有句号的很长的一句话" * 30
TEXTS = [*list(topics.values())[:25], CHINESE, "x" * 700, "one two " * 200, "\n\n Short. \n", "a. " * 300]


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A tokenizer whose tokens are words and punctuation; it truncates, pads and adds tokens, which must not matter."""
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "[PAD]": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(pad_id=1, pad_token="[PAD]", length=9)
    folder = tmp_path_factory.mktemp("model")
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def characters(text):
    return len(normalise_text(text))


def cut(text, folder=None, **settings):
    return cutter(check(Passages, settings, "the.yaml"), folder)(text)


@pytest.mark.parametrize(("longest", "overlap"), [(300, 0), (300, 120), (40, 39), (1, 0)])
@pytest.mark.parametrize("unit", ["characters", "tokens"])
def test_passages_cover_the_text_and_overlap_as_they_are_set(words, unit, longest, overlap):
    whitespace = Whitespace()
    size = characters if unit == "characters" else lambda text: len(whitespace.pre_tokenize_str(normalise_text(text)))
    settings = {unit: longest, "overlap": overlap} | ({"model": "words"} if unit == "tokens" else {})
    for text in TEXTS if longest > 1 else ["One two, three. 四五六。"]:
        spans = cut(text, words, **settings)
        assert spans[0][0] == 0 and spans[-1][1] == len(text)
        ends = {end for _, end in sentences(text)}
        for (begin, end), (start, stop) in pairwise(spans):
            assert begin < start <= end < stop, "a gap, or nothing new"
            assert size(text[start:end]) <= overlap
        for begin, end in spans:
            assert size(text[begin:end]) <= longest or end - begin == 1
            # Only a sentence that is longer than a passage ends within.
            if end not in ends and end != len(text):
                first = max((each for each in ends if each < end), default=0)
                assert size(text[first : min(each for each in ends if each > end)]) > longest


def test_passages_are_as_long_as_they_can_be():
    text = "Aaaa. Bbbb. Cccc. Dddd. Eeee."
    assert [text[slice(*span)] for span in cut(text, characters=17)] == ["Aaaa. Bbbb. Cccc. ", "Dddd. Eeee."]
    # White space at the end counts no character: three sentences have 17 of them.
    assert [text[slice(*span)] for span in cut(text, characters=16)] == ["Aaaa. Bbbb. ", "Cccc. Dddd. ", "Eeee."]
    overlapping = [text[slice(*span)] for span in cut(text, characters=17, overlap=11)]
    assert overlapping == ["Aaaa. Bbbb. Cccc. ", "Bbbb. Cccc. Dddd. ", "Cccc. Dddd. Eeee."]
    assert [text[slice(*span)] for span in cut(text, characters=17, overlap=10)][1] == "Cccc. Dddd. Eeee."


def test_a_long_sentence_is_cut_at_white_space_if_it_has_any():
    text = "one two three four five six seven eight nine ten"
    parts = [text[slice(*span)] for span in cut(text, characters=20)]
    assert "".join(parts) == text and all(part.strip() in text.split() or " " in part for part in parts)
    assert all(text[end - 1] == " " for _, end in cut(text, characters=20)[:-1])
    assert [len(CHINESE[slice(*span)]) <= 50 for span in cut(CHINESE, characters=50)]


def test_tokens_are_counted_by_the_tokenizer_without_what_it_adds(tmp_path):
    """Bytes as tokens: a Chinese character has three."""
    tokenizer = Tokenizer(BPE({byte: place for place, byte in enumerate(sorted(ByteLevel.alphabet()))}, []))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = TemplateProcessing(single="! $A !", special_tokens=[("!", 0)])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    text = "五六七。八九。"
    for longest, passages in [(21, [text]), (20, ["五六七。", "八九。"]), (6, ["五六", "七。", "八", "九。"])]:
        found = cut(text, tmp_path / "tokenizer.json", tokens=longest, tokenizer="t")
        assert [text[slice(*span)] for span in found] == passages


def test_errors(tmp_path):
    for settings, message in [
        ({}, "passages are measured in tokens or in characters; give one of the two"),
        ({"tokens": 9, "characters": 9, "model": "m"}, "give one of the two"),
        ({"tokens": 9}, "give tokens with a model or a tokenizer"),
        ({"tokens": 9, "model": "m", "tokenizer": "t"}, "give tokens with a model or a tokenizer"),
        ({"characters": 9, "model": "m"}, "characters need none"),
        ({"characters": 9, "overlap": 9}, "overlap 9 is a whole passage of 9; choose less"),
    ]:
        with pytest.raises(AscentError, match=message):
            cut("text", **settings)
    with pytest.raises(AscentError, match=r"there is no tokenizer at .*tokenizer.json; name a model with"):
        cut("text", tmp_path, tokens=9, model="m")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(AscentError, match=r"tokenizer.json: is not a tokenizer \(.*\); name a tokenizer.json\."):
        cut("text", tmp_path, tokens=9, model="m")
