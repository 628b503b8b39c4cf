"""The data of the recipe `bilingual` in small: its extractors and filters, on files in the forms of its packages."""

import gzip
import json
import random
from collections import Counter
from itertools import combinations

import polars as pl
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from ascent.pairs.table import Pair, pair_frame
from ascent.recipes.loading import load_recipes, read_config
from ascent.settings.base import components
from ascent.settings.corpora import Corpus
from ascent.settings.extractors import Extractor
from ascent.settings.filters import Filter
from support.pairs import filtered, normalised
from support.small_recipe import ROOT

SENTENCES = (
    "保险公司通常会在三十天之内答复您的申请。",
    "如果发生事故，请先拍照并联系当地的警察。",
    "年轻司机所付的保费一般高于有经验的司机。",
    "购买之前最好比较几家公司的价格和服务。",
    "孩子上大学以后，家庭的保障需要重新计算。",
    "医院的账单可以直接寄给承保的那一方。",
    "退休以后，很多人选择按月领取一笔固定收入。",
    "租房子的人常常忘记自己的家具也值得保护。",
    "合同里写明了哪些情况不在赔偿范围内。",
    "定期寿险便宜得多，但到期之后不再有价值。",
    "代理人会帮助您填写所有必要的表格。",
    "洪水和地震大多需要另外单独投保。",
)
WORDS = "一帆风顺 二话不说 三心二意 四面楚歌 五湖四海 六神无主 七上八下 八仙过海 九牛一毛 十全十美".split()


@pytest.fixture(scope="module")
def recipe():
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        recipes = load_recipes(read_config() | {"recipes": ["bilingual"]})
    return recipes.recipes["bilingual"], recipes.config.corpora


@pytest.fixture(scope="module")
def folders(tmp_path_factory, corpus_rows) -> dict:
    """Each corpus's files, as they are retrieved."""
    root, draw = tmp_path_factory.mktemp("resources"), random.Random(0)
    found = {name: root / name for name in ("insuranceqa", "idioms", "chinese-reviews", "django-docs")}
    for folder in found.values():
        folder.mkdir()
    chinese = [draw.sample(each, 3) for each in combinations(SENTENCES, 3)]
    answers = {
        str(i): {"en": row["positive"], "zh": "".join(chinese[i % len(chinese)])} for i, row in enumerate(corpus_rows)
    }
    domains = ["life-insurance", "auto-insurance", "annuities"]
    splits = {"train": range(200), "valid": range(200, 220), "test": range(220, 240)}
    for name, numbers in splits.items():
        rows = {
            str(i): {
                "en": f"{corpus_rows[i]['query']}?",
                "zh": f"{WORDS[i % 10]}在第{i}种情况下是什么意思？",
                "domain": domains[i % 3],
                "answers": [str(i)],
                "negatives": [],
            }
            for i in numbers
        }
        (found["insuranceqa"] / f"{name}.json.gz").write_bytes(gzip.compress(json.dumps(rows).encode()))
    (found["insuranceqa"] / "answers.json.gz").write_bytes(gzip.compress(json.dumps(answers).encode()))
    found |= dict.fromkeys(("insuranceqa-zh", "insuranceqa-topics"), found["insuranceqa"])
    lines = ["word,explanation", *(f"{word},“{''.join(chinese[i])}”" for i, word in enumerate(WORDS))]
    (found["idioms"] / "idiom.csv").write_text("\n".join(lines))
    for name, some in (("pos", chinese[:100]), ("neg", chinese[50:150])):  # a quarter stands in both
        (found["chinese-reviews"] / f"{name}.txt").write_text("".join(f"{''.join(each)}\n" for each in some))
    guides = {f"Guide {number}": (corpus_rows[number : number + 4], "?") for number in range(0, 40, 4)}
    guides["Settings"] = corpus_rows[50:200], ""  # more sections than the recipe takes of one document
    for title, (rows, end) in guides.items():
        parts = [f"{row['query']}{end}\n{'-' * 80}\n\n{row['positive']}\n" for row in rows]
        text = f"{'=' * 80}\n{title}\n{'=' * 80}\n\nWhat this guide is about.\n\n" + "\n".join(parts)
        (found["django-docs"] / f"{title}.txt").write_text(text)
    return found


@pytest.fixture(scope="module")
def read(recipe, folders) -> dict[str, tuple[pl.DataFrame, dict]]:
    """Each corpus's pairs and audit."""
    _, corpora = recipe
    found = {}
    for name, folder in folders.items():
        corpus: Corpus = corpora[name]
        if corpus.reader.type == "insuranceqa":
            corpus = corpus.model_copy(update={"reader": corpus.reader.model_copy(update={"slice": None})})
        pairs, _, audit = normalised(name, corpus, folder)
        found[name] = pairs, audit
    return found


@pytest.mark.slow
def test_every_extractor_of_its_corpora_makes_pairs_and_loses_no_row(recipe, read):
    data = recipe[0].data
    assert {dataset.corpus for dataset in data.values()} == read.keys()
    runs = {name: {run["extractor"]: run for run in audit.get("extracted", ())} for name, (_, audit) in read.items()}
    made = {extractor: run["pairs"] for of_corpus in runs.values() for extractor, run in of_corpus.items()}
    assert len(made) >= 7 and made.keys() <= components(Extractor).keys() and min(made.values()) > 0
    for run in (run for of_corpus in runs.values() for run in of_corpus.values()):
        assert run["taken"] == run["used"] + sum(run["left_out"].values())
    assert (
        runs["chinese-reviews"]["query_context"]["taken"] == 200
        and runs["django-docs"]["question_answer"]["pairs"] == 40
    )
    labelled = read["insuranceqa-zh"][0].filter(task="classification", split="train")
    assert set(labelled["positive"]) == {"人寿保险", "汽车保险", "年金"} and labelled["negatives"].list.len().min() == 3


PLANTED = {
    "empty": Pair("\u00a0", "A question that nobody asked has an answer nevertheless."),
    "length": Pair("So?", "It is so because somebody wrote it down a long time ago."),
    "words": Pair("a " * 90 + "?", "It is so because somebody wrote it down a long time ago."),
    "tokens": Pair("what is it worth?", "immeasurably considerable understandings notwithstanding it"),
    "language": Pair(
        "quelle est la différence entre ces deux contrats d'assurance ?",
        "Le premier contrat couvre la maison et le second couvre seulement la voiture du client.",
    ),
    "symbols": Pair(
        "what does this line of output mean?", "a $$$ 1 ### b %%% 2 @@@ c ^^^ 3 &&& d *** 4 !!! e ((( 5 )))"
    ),
    "repetition": Pair("how often does it say so?", "This is said again and again. " * 20),
    "overlap": Pair(
        "what is a deductible?", "You ask: what is a deductible? It is the part of a damage that one pays oneself."
    ),
    "score": Pair(
        "how do I choose a good dentist?", "Roses are planted in autumn, before the first frost of the year."
    ),
    "rank": Pair("what does a funeral cost?", "It depends on where you live, and others have answered it far better."),
    "perplexity": Pair(
        "what is written on the form?", "Form the of is on a and what it who below above never of and to."
    ),
}


@pytest.mark.slow
def test_each_filter_drops_the_row_that_is_planted_for_it(recipe, read, tmp_path):
    """Rows in are rows kept and rows dropped at every filter, and the planted ones are among those that it dropped."""
    dataset = recipe[0].data["questions"]
    corpus, _ = read["insuranceqa"]
    tested = corpus.filter(split="test", task="retrieval")
    good = next(row for row in corpus.filter(split="train").iter_rows(named=True) if len(row["positive"]) > 200)
    planted = [
        *PLANTED.values(),
        Pair(good["query"], good["positive"]),
        Pair(f"{good['query']}?", good["positive"] + " Indeed."),
        Pair(tested["query"][0], "An answer that somebody else gave to a question of the test."),
    ]
    rows = pl.concat([corpus, pair_frame(planted, "insuranceqa", "eng-Latn")])
    model = tmp_path / "smollm2-135m"
    model.mkdir()
    words = Tokenizer(WordLevel({"[UNK]": 0}, "[UNK]"))
    words.pre_tokenizer = Whitespace()
    words.save(str(model / "tokenizer.json"))

    def measured(pairs: pl.DataFrame) -> pl.DataFrame:
        """What models that know the planted rows would say: their own tests ask real ones."""
        unrelated, unranked, unread = (
            pl.col("query") == PLANTED[name].query for name in ("score", "rank", "perplexity")
        )
        return pairs.select(
            "query_id",
            "positive_id",
            score=1 - unrelated.cast(pl.Float64),
            rank=1 + 999 * unranked.cast(pl.Int64),
            query_perplexity=pl.lit(40.0),
            positive_perplexity=40 + 1e6 * unread.cast(pl.Float64),
        )

    against = [tested, read["insuranceqa-zh"][0].filter(split="test")]
    kept, audit = filtered("questions", dataset, [rows], against, measured, [model])
    steps = {step["filter"]: step for step in audit["filters"]}
    named = [each.settings.component() for each in dataset.filters]
    assert list(steps) == ["select", *named] and components(Filter).keys() - {*named} == {"cap"}
    dropped = Counter({name: sum(step["dropped"].values()) for name, step in steps.items()})
    for name in {*named} - {"clean"}:
        texts = {example["query"] for shown in steps[name]["examples"].values() for example in shown}
        assert dropped[name] >= 1, name
        if name in PLANTED:
            assert any(PLANTED[name].query.strip().startswith(text.rstrip("…")[:40]) for text in texts), name
    assert len(kept) == steps["select"]["kept"] - sum(dropped[name] for name in named) >= 150


@pytest.mark.slow
@pytest.mark.parametrize("name", ["topics", "questions-zh", "domains-zh", "idioms", "reviews", "documentation"])
def test_the_other_data_sets_keep_what_is_good_and_count_the_rest(recipe, read, name):
    dataset = recipe[0].data[name]
    pairs, _ = read[dataset.corpus]
    tested = [read[corpus][0].filter(split="test") for corpus in ("insuranceqa", "insuranceqa-zh")]
    kept, audit = filtered(name, dataset, [pairs], tested)
    chosen = pairs.filter(split="train", task=dataset.task)
    assert len(chosen) == len(kept) + sum(sum(step["dropped"].values()) for step in audit["filters"][1:])
    assert len(kept) >= 0.4 * len(chosen)
    steps = {step["filter"]: step["dropped"] for step in audit["filters"]}
    if name == "documentation":
        assert kept["origin"].value_counts()["count"].max() == 100 and sum(steps["cap"].values()) >= 1
    if name == "reviews":  # those that stand in both files, and nothing else
        assert sum(steps["duplicate"].values()) + sum(steps["near_duplicate"].values()) >= 50
