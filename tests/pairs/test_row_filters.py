"""Filters that judge each row alone: what is kept and what is dropped, for which reason, in English and Chinese."""

from collections import Counter
from itertools import pairwise
from random import Random

import polars as pl
import pytest

from ascent.components import module_of
from ascent.errors import AscentError
from ascent.pairs.filters import Context
from ascent.pairs.table import Pair, pair_frame
from ascent.pairs.words import WORD, parts, words
from ascent.settings.filters import OneFilter
from ascent.settings.languages import labels_of
from ascent.settings.pairs import Dataset
from ascent.settings.validation import check
from support.pairs import filtered

ENGLISH = "What does term life insurance pay when the holder outlives the term?"
CHINESE = "定期人寿保险在投保人活过保险期限之后还会支付什么样的赔偿金吗？"
GERMAN = "Was zahlt eine Risikolebensversicherung, wenn der Versicherte die Laufzeit überlebt?"
JAPANESE = "被保険者が保険期間を超えて生存した場合、定期保険は何を支払いますか。"


def reasons(name, *rows, language="eng-Latn", **given):
    """Why a filter drops each of these rows, None for those that it keeps. A text alone is a query; its positive is
    plain."""
    chosen = check(OneFilter, {name: given}, "filters").settings
    plain = ENGLISH if language == "eng-Latn" else CHINESE
    pairs = pair_frame([Pair(*((row, plain) if isinstance(row, str) else row)) for row in rows], "corpus", language)
    judged = module_of(chosen).judge(pairs, chosen, Context(positive="given", against=pair_frame([], "", "")))
    assert judged.drop("reason").equals(pairs)
    return judged["reason"].to_list()


# ------------------------------------------------------------------ words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's Tom’s C# code, v2.5!", ["it's", "tom’s", "c", "code", "v2", "5"]),
        ("保险 insurance2 条款。", ["保", "险", "insurance2", "条", "款"]),
        ("東京タワーへ行く", list("東京タワーへ行く")),
        ("naïve Größe слово हिन्दी भाषा", ["naïve", "größe", "слово", "हिन्दी", "भाषा"]),
        ("ジョン・スミス", list("ジョンスミス")),
        ("... !", []),
    ],
)
def test_words(text, expected):
    assert words(pl.Series([text])).to_list() == [expected]
    assert pl.Series([text]).str.count_matches(WORD).item() == len(expected)


def test_parts_are_the_words_and_what_stands_between():
    random = Random(0)
    letters = "aé'’ ,.-_保か・9ส\u0301\U00020000\n"
    texts = pl.Series(["".join(random.choices(letters, k=random.randrange(20))) for _ in range(300)])
    for text, found, of_text in zip(texts, parts(texts), texts.str.extract_all(WORD), strict=True):
        assert "".join(found) == text
        assert found[1::2] == of_text.to_list() and len(found) % 2
    assert list(parts(pl.Series(["¿Qué, 保险?", "..."]))) == [["¿", "Qué", ", ", "保", "", "险", "?"], ["..."]]


def test_word_counts_with_their_bounds_kept():
    rows = ["one two", "one two three", "one two three four five", "保险", "人寿保险", "人寿保险单"]
    found = reasons("words", *rows, query=[3, 4])
    longer, shorter = "query longer than 4 words", "query shorter than 3 words"
    assert found == [shorter, None, longer, shorter, None, longer]


# ------------------------------------------------------------------ tokens


def test_token_counts_are_those_of_transformers_with_their_bounds_kept(tiny_resource, tmp_path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_resource)
    texts = [
        *(" ".join(["what does open do"] * times) for times in range(1, 9)),
        CHINESE,
        "unknownwordswithoutend" * 30,
    ]
    counts = [len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
    low, high = counts[1], counts[5]
    filters = [{"tokens": {"model": "tiny", "query": [low, high], "positive": [1, 10**6]}}]
    settings = check(Dataset, {"corpus": "insurance", "filters": filters}, "recipe.yaml")
    pairs = pair_frame([Pair(text, ENGLISH) for text in texts], "insurance", "eng-Latn")
    (tmp_path / "tiny").symlink_to(tiny_resource)
    kept, audit = filtered("faq", settings, [pairs], models=[tmp_path / "tiny"])
    assert kept["query"].to_list() == [text for text, count in zip(texts, counts, strict=True) if low <= count <= high]
    assert audit["filters"][1]["dropped"] == {
        f"query longer than {high} tokens": sum(count > high for count in counts),
        f"query shorter than {low} tokens": sum(count < low for count in counts),
    }
    with pytest.raises(
        AscentError, match="filter tokens: there is no tokenizer at .*; name a model with a tokenizer.json"
    ):
        filtered("faq", settings, [pairs])


# ------------------------------------------------------------------ language


def test_languages_that_are_not_kept_are_dropped():
    rows = [ENGLISH, CHINESE, GERMAN, JAPANESE, (ENGLISH, GERMAN), (GERMAN, CHINESE)]
    query, positive = "query is in another language", "positive is in another language"
    assert reasons("language", *rows) == [None, query, query, query, positive, query]
    assert reasons("language", *rows, languages=["eng-Latn", "deu-Latn"]) == [None, query, None, query, None, positive]
    assert reasons("language", *rows, languages=["eng-Latn", "zho-Hans"]) == [None, None, query, query, positive, query]
    assert reasons("language", ENGLISH, CHINESE, JAPANESE, language="zho-Hans") == [query, None, query]


def test_each_row_has_its_own_language_by_default():
    frame = pl.concat(
        [pair_frame([Pair(CHINESE, CHINESE)], "c", code) for code in ("zho-Hant", "cmn-Hans", "eng-Latn")]
    )
    chosen = check(OneFilter, {"language": {}}, "filters").settings
    judged = module_of(chosen).judge(frame, chosen, Context(positive="given", against=frame))
    assert judged["reason"].to_list() == [None, None, "query is in another language"]


def test_short_texts_are_not_judged_and_capitals_change_nothing():
    assert reasons("language", "Was ist das?", "12345 67890 12345 67890 12345") == [None, None]
    assert reasons("language", "Was ist das denn?", min_letters=8) == ["query is in another language"]
    capitals = [
        "When Can I Start On Medicare?",
        "How Much Should Renters Insurance Be?",
        ENGLISH.upper(),
        GERMAN.upper(),
    ]
    assert reasons("language", *capitals) == [None, None, None, "query is in another language"]


def test_ideographs_without_kana_are_chinese():
    """The model alone takes these for Japanese, Japanese, Kazakh, Korean, English and Cantonese."""
    rows = [
        "旧时形容在父母丧中因过度悲伤而瘦得只剩一把骨头。",
        "形容秩序良好，百姓和原来一样安居乐业，各得其所。",
        "精锐指军队装备优良，战斗力强；师军队。指战斗能力很强的部队。",
        "妖魔鬼怪到处闹事作乱。比喻小人兴风作浪，为非做歹。",
        "刚买了U盘到货了,想上去写评论的,又看见降价.现在看买的东西又在降价.",
        "我哋今日去邊度食飯好呢？佢話唔使等佢喇，咁就快啲行啦。",
    ]
    other = "query is in another language"
    assert reasons("language", *rows, language="zho-Hans") == [None] * 6
    assert reasons("language", rows[-1], rows[2], language="yue-Hant") == [None, None]
    mixed = "帮同事订的：It was excellent and I can recommend it to anyone else to stay there."
    foreign = [JAPANESE, mixed, "大韓民國의 保險 會社는 契約者에게 무엇을 지급합니까?"]
    assert reasons("language", *foreign, language="zho-Hans") == [other] * 3
    assert reasons("language", rows[3], CHINESE, language="kor-Hang") == [other] * 2


def test_the_confidence_that_is_asked_for():
    mixed = "insurance Versicherung claim Schaden policy Vertrag"
    kept = [reasons("language", mixed, min_confidence=least)[0] is None for least in (0.0, 0.1, 0.3, 0.6, 0.9, 1.0)]
    assert kept[0] and not kept[-1] and kept == sorted(kept, reverse=True)
    assert reasons("language", GERMAN, min_confidence=0.0) == [None]


def test_a_language_that_cannot_be_told():
    with pytest.raises(AscentError, match="'xyz-Latn' is not a language that can be told from a text"):
        check(OneFilter, {"language": {"languages": ["xyz-Latn"]}}, "filters")
    with pytest.raises(
        AscentError, match="filter language: cannot tell python-Code, the language of the rows, from others"
    ):
        reasons("language", ENGLISH, language="python-Code")


def test_the_labels_are_those_of_the_model():
    from ascent.pairs.filters.language import _model
    from ascent.settings import languages

    told = {label for labels in languages._LABELS.values() for label in labels}
    assert {f"__label__{label}" for label in told} == {*_model().predict("text", k=-1, threshold=-1)[0]}
    assert all(labels_of(code) for code in languages.COMMON.values())


# ------------------------------------------------------------------ symbols


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (ENGLISH, None),
        (CHINESE, None),
        ("“Größe”, naïve café – 5 € à l’été", None),
        ("¿Cuánto cuesta? ¡30 %! NÃO", None),
        ("Вопрос: что платит страховка?", None),
        ("donâ€™t pay", "was read in the wrong encoding"),
        ("ä½ å¥½ä¸–ç•Œ", "was read in the wrong encoding"),
        ("Ñ€ÑƒÑÑÐºÐ¸Ð¹", "was read in the wrong encoding"),
        ("保险条款锟斤拷锟斤拷保险", "was read in the wrong encoding"),
        ("a text with a \ufffd in it", "has broken characters"),
        ("a text\x00 with a null", "has broken characters"),
        ("private \ue000 use", "has broken characters"),
        ("lines\nand\ttabs are not control characters here", None),
        ("=== --- *** +++ a b", "has few letters"),
        ("0123456789 01234567 a phone number", "has few letters"),
        ("one 12345 two 123", "has many digits"),
        ("word, word; (word) [a] {b} «c» d!?..#", "has many symbols"),
        ("t h i s t e x t i s s p a c e d", "has many spaces"),
    ],
)
def test_symbols(text, reason):
    given = {"letters": 0.3} if reason in ("has many symbols", "has many digits") else {}
    assert reasons("symbols", text, (ENGLISH, text), **given) == (
        [None, None] if reason is None else [f"query {reason}", f"positive {reason}"]
    )


def test_what_is_allowed_is_kept():
    assert reasons("symbols", "donâ€™t pay", "a text with a \ufffd in it", mojibake=True, broken=0.05) == [None, None]


def test_scripts_by_their_share_of_letters():
    latin = "query is not in Latin"
    assert reasons("symbols", ENGLISH, "Вопрос о страховке", "保险的 API 接口", scripts=["Latin"]) == [
        None,
        latin,
        latin,
    ]
    han = ["保险的 API 接口", "API 保险", JAPANESE, ENGLISH]
    found = reasons("symbols", *han, language="zho-Hans", scripts=["Han"], script_share=0.4)
    assert found == [None, None, None, "query is not in Han"]
    assert reasons("symbols", "API 保险", scripts=["Han", "Latin"], script_share=1.0) == [None]
    with pytest.raises(AscentError, match="filters.*scripts"):
        check(OneFilter, {"symbols": {"scripts": ["Latn"]}}, "filters")


# ------------------------------------------------------------------ repetition


def gopher(text, n, most_frequent):
    """Gopher's shares by brute force: of the most frequent n-gram, or of all words in n-grams that recur."""
    found = words(pl.Series([text])).to_list()[0]
    grams = [tuple(found[place : place + n]) for place in range(len(found) - n + 1)]
    counts = Counter(grams)
    total = sum(map(len, found))
    if most_frequent:
        return max((sum(map(len, gram)) * count for gram, count in counts.items() if count > 1), default=0) / total
    covered = {place + word for place, gram in enumerate(grams) if counts[gram] > 1 for word in range(n)}
    return sum(len(found[place]) for place in covered) / total


def word_size(text):
    """How many characters make a word: two where most words are characters of Chinese."""
    found = words(pl.Series([text])).to_list()[0]
    return 1 + (sum(word in "保险" for word in found) > len(found) / 2)


def test_repetition_is_gophers():
    """Each n alone, at bounds between the shares of some texts, which are judged together."""
    random = Random(0)
    for n in [*range(2, 11)] * 3:
        texts = [
            " ".join(random.choices(f"a bb {some}".split(), k=random.randrange(1, 60)))
            for some in ("ccc dddd 保 险 eeeee", "保 险 保 险") * 3
        ]
        most_frequent = n < 5
        shares = [gopher(text, n * word_size(text), most_frequent) for text in texts]
        first, key = (2, "most_frequent") if most_frequent else (5, "duplicated")
        for low, high in pairwise(sorted({0.0, *shares, 1.0})):
            given = {
                "most_frequent": [],
                "duplicated": [],
                key: [*[1.0] * (n - first), (low + high) / 2],
                "min_words": 1,
            }
            found = reasons("repetition", *texts, **given)
            assert [reason is not None for reason in found] == [share > (low + high) / 2 for share in shares]


def test_repetition_in_real_texts():
    natural = (
        "A term policy lasts for a fixed number of years, and pays only if its holder dies while it runs. A whole life"
        " policy never ends; part of each premium is saved, and the sum grows until it is paid out to the heirs, or"
        " borrowed against earlier. Which of the two is cheaper depends on age, health and how long somebody else"
        " relies on the income."
    )
    spam = "best cheap insurance quotes online now " * 12
    lines = natural + " click here to get your own free quote today from our team " * 4
    chinese = (
        "定期保险只在约定的年限内有效，被保险人在此期间身故才会赔付。终身寿险没有期限，"
        "部分保费会积累成现金价值，可以借出或者留给受益人。哪种更划算，要看年龄和健康状况。"
    )
    repeated = "保险公司会赔付，" * 12
    often, again = "query has few words in a row too often", "query has many words in a row again"
    rows = [natural, spam, lines, chinese, repeated, "buy " * 60]
    assert reasons("repetition", *rows, min_words=30) == [None, often, again, None, often, often]
    assert reasons("repetition", "buy " * 99, "buy " * 100, "赔" * 199, "赔" * 200) == [None, often, None, often]
    assert reasons("repetition", (ENGLISH, spam), min_words=72) == ["positive has few words in a row too often"]


def test_a_term_of_four_characters_may_recur_in_chinese():
    """Were each character a word, the term would be a 4-gram with a sixth of the text."""
    term = (
        "人寿保险分为几类。定期的人寿保险最便宜，到期以后不再有价值；终身的保险会积累现金，可以借出。"
        "购买人寿保险以前，先算一算家人每年需要多少收入，再比较几家公司的价格。"
    )
    assert gopher(term, 4, True) > 0.16
    assert reasons("repetition", term, min_words=30) == [None]


# ------------------------------------------------------------------ overlap


def test_overlap():
    contains, less, more = (
        "the positive contains the query",
        "less than 25% of the query's words are in the positive",
        "more than 75% of the query's words are in the positive",
    )
    rows = [
        ("Term life", "What is term life insurance?"),
        ("term life cover cost", "The cost of a term policy"),
        ("term life cover cost", "Cost, cover and life of a term"),
        ("term life cover cost", "Whole policies are dear"),
        ("???", "Whole policies are dear"),
        ("寿险", "什么是寿险？"),
        ("定期寿险", "终身保险与定期"),
        ("定期", "终身保险"),
    ]
    found = reasons("overlap", *rows, words=[0.25, 0.75])
    assert found == [contains, None, more, less, None, contains, None, less]
    assert reasons("overlap", *rows) == [contains, None, None, None, None, contains, None, None]
    assert reasons("overlap", *rows, verbatim=True) == [None] * 8
    with pytest.raises(AscentError, match="admits no pair; write the lower share first"):
        check(OneFilter, {"overlap": {"words": [0.5, 0.25]}}, "filters")


# ------------------------------------------------------------------ all of them


def test_a_row_is_judged_alone():
    """What a filter says of a row is the same in any batch, which is what makes parts of a corpus agree."""
    texts = [ENGLISH, CHINESE, GERMAN, "buy " * 120, "赔付" * 120, "donâ€™t 1234"]
    rows = [(query, positive) for query in texts for positive in texts]
    for name in ("words", "language", "symbols", "repetition", "overlap"):
        together = reasons(name, *rows)
        assert together == [reason for row in rows for reason in reasons(name, row)]
        assert together[::-1] == reasons(name, *rows[::-1])
        assert reasons(name) == []  # those before it may drop a batch


def test_batches_longer_than_a_slice(monkeypatch):
    texts = [CHINESE if number % 3 else "buy " * 120 for number in range(23)]
    whole = reasons("repetition", *texts)
    monkeypatch.setattr("ascent.pairs.filters.repetition.SLICE", 5)
    assert reasons("repetition", *texts) == whole and whole.count(None) == 15


def test_a_data_set_lists_them_by_name():
    names = ["clean", "language", "symbols", "words", "repetition", "overlap"]
    dataset = check(Dataset, {"corpus": "insurance", "filters": names}, "data set")
    assert [each.settings.component() for each in dataset.filters] == names
