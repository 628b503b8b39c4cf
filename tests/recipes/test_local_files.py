"""What local files show before the first job."""

import gzip
import json

import pytest

from ascent.errors import AscentError
from ascent.recipes.loading import load_recipes
from ascent.recipes.local_files import check_local_files
from support.recipes import SMALL, changed

COMMON = {"licence": "mit", "language": "eng-Latn"}


@pytest.fixture
def config(write, tmp_path):
    """The small recipe's configuration with real files."""
    text = '{"query": "a", "positive": "b"}\n'
    for name in ("train", "test"):
        (tmp_path / f"{name}.jsonl").write_text(text)
    (tmp_path / "classes.csv.gz").write_bytes(gzip.compress(b"query,positive\na,b\n"))
    (tmp_path / "similar.tsv").write_text("first\tsecond\tscore\na\tb\t1\n")
    (tmp_path / "documents.parquet").write_bytes(b"PAR1")

    def source(*names: str) -> dict:
        return {"type": "files", "paths": [str(tmp_path / name) for name in names]}

    config = write(small=SMALL)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    config["models"]["tiny"]["source"] = source("model")
    config["corpora"] = {
        "library": (
            COMMON
            | {
                "source": source("train.jsonl", "test.jsonl", "documents.parquet"),
                "reader": {
                    "pairs": {"train": ["train.jsonl"], "test": ["test.*"]},
                    "documents": {"test": ["*.parquet"]},
                },
            }
        ),
        "modules": (
            COMMON
            | {
                "source": source("classes.csv.gz"),
                "reader": {"pairs": {"train": ["classes*"], "test": ["classes*"]}, "task": "classification"},
            }
        ),
        "similar": (
            COMMON
            | {
                "source": source("similar.tsv"),
                "reader": {
                    "pairs": {"test": ["similar.tsv"]},
                    "columns": {"query": "first", "positive": "second", "label": "score"},
                    "task": "sts",
                },
            }
        ),
    }
    return config


def test_what_is_there_is_accepted(config):
    check_local_files(load_recipes(config))


@pytest.mark.parametrize(
    ("corpus", "path", "value", "message"),
    [
        (
            "similar",
            "source.paths",
            ["{}/simlar.tsv"],
            "'corpora.similar.source.paths' names '.*simlar.tsv', which does not exist; did",
        ),
        (
            "similar",
            "reader.pairs",
            {"test": ["simlar.tsv"]},
            "reader.pairs.test' names 'simlar.tsv', .* did you mean 'similar.tsv'",
        ),
        (
            "similar",
            "reader.columns",
            {"query": "frist", "positive": "second"},
            "no column 'frist' .*did you mean 'first'",
        ),
        ("library", "reader.columns", {"query": "question"}, "train.jsonl: its first row has no column 'question'"),
        ("modules", "reader.columns", {"positive": "label"}, "classes.csv.gz: its first row has no column 'label'"),
        (
            "modules",
            "reader.pairs",
            {"test": ["classes*"]},
            "'evaluate.tasks.Modules' uses the split 'train' of the corpus 'modules'",
        ),
        (
            "library",
            "reader.pairs",
            {"test": ["test.jsonl"]},
            "'data.questions' uses the split 'train' of the corpus 'library'",
        ),
        (
            "similar",
            "reader.task",
            "retrieval",
            "needs rows of the task type 'sts', but the rows of the corpus 'similar' are 'retrieval'",
        ),
    ],
)
def test_what_is_not_there_is_told(config, tmp_path, corpus, path, value, message):
    node = config["corpora"][corpus]
    *above, last = path.split(".")
    for key in above:
        node = node[key]
    node[last] = [text.format(tmp_path) for text in value] if isinstance(value, list) else value
    with pytest.raises(AscentError, match=message):
        check_local_files(load_recipes(config))


def test_a_model_that_is_not_there_is_told(config, tmp_path):
    config["models"]["tiny"]["source"]["paths"] = [str(tmp_path / "modell")]
    with pytest.raises(AscentError, match=r"'models\.tiny\.source\.paths' names '.*modell', .* did you mean '.*model'"):
        check_local_files(load_recipes(config))


def test_a_data_set_of_another_task_type_is_told_which_to_write(config, tmp_path):
    (tmp_path / "nli.jsonl").write_text('{"query": "a", "positive": "b", "label": 0}\n')
    config["corpora"]["library"]["source"]["paths"].append(str(tmp_path / "nli.jsonl"))
    reader = config["corpora"]["library"]["reader"]
    reader |= {"pairs": {"train": ["nli.jsonl"], "test": ["test.*"]}, "task": "pair-classification"}
    with pytest.raises(AscentError, match=r"'data\.questions' .* are 'pair-classification'; write `task: pair-clas"):
        check_local_files(load_recipes(config))
    config["corpora"]["library"]["extract"] = ["nli_triples"]
    words = r"'retrieval', but the rows of the corpus 'library' are 'sts' and 'pair-classification'; write `task: sts` "
    with pytest.raises(AscentError, match=words):
        check_local_files(load_recipes(config))
    reader["pairs"] = {"test": ["test.*"]}
    with pytest.raises(AscentError, match="the corpus 'library' are 'sts'; write `task: sts` here"):
        check_local_files(load_recipes(config))


def test_a_table_without_a_header_is_told_and_its_texts_are_shortened(config, tmp_path):
    """As MS MARCO's tables are."""
    text = "Passion fruit of one kind is native there, and grows in the whole of the country's east."
    (tmp_path / "similar.tsv").write_text(f"what is native there\t{text}\t1\n")
    words = (
        "must be a header .*: add one, or fix this key; known are: 1, Passion fruit .* native …, what is native there"
    )
    with pytest.raises(AscentError, match=words):
        check_local_files(load_recipes(config))


@pytest.mark.parametrize(("name", "mark"), [("similar.csv", ";"), ("similar.csv", "\t"), ("similar.tsv", ",")])
def test_cells_that_are_divided_by_another_mark_are_told(config, tmp_path, name, mark):
    """Excel saves so where a comma is the decimal point."""
    (tmp_path / name).write_text(f"first{mark}second{mark}score\na{mark}b{mark}1\n")
    similar = config["corpora"]["similar"]
    similar["source"]["paths"], similar["reader"]["pairs"] = [str(tmp_path / name)], {"test": [name]}
    words = rf"has no column 'first' .*; its cells are divided by {mark!r}: save it with commas as \.csv, or with tabs"
    with pytest.raises(AscentError, match=words.replace("\\t", r"\\t")):
        check_local_files(load_recipes(config))


def test_a_format_that_is_unknown_and_an_empty_file_are_told(config, tmp_path):
    (tmp_path / "test.jsonl").write_text("")
    with pytest.raises(
        AscentError, match=r"test\.jsonl: is empty; fill it, or remove it from 'corpora\.library\.source\.paths'"
    ):
        check_local_files(load_recipes(config))
    (tmp_path / "test.jsonl").unlink()
    (tmp_path / "test.xlsx").write_text("x")
    config["corpora"]["library"]["source"]["paths"][1] = str(tmp_path / "test.xlsx")
    with pytest.raises(AscentError, match=r"test\.xlsx: unknown format; use one of \.jsonl"):
        check_local_files(load_recipes(config))


def test_columns_of_objects_and_corpora_that_no_recipe_uses_are_left_alone(config, tmp_path):
    (tmp_path / "train.jsonl").write_text('{"query": "a", "passages": [{"text": "b"}]}\n')
    (tmp_path / "test.jsonl").write_text('{"query": "a", "passages": [{"text": "b"}]}\n')
    config["corpora"]["library"]["reader"]["columns"] = {"positive": "passages[].text"}
    config["corpora"]["unused"] = config["corpora"]["similar"] | {"source": {"type": "files", "paths": ["nowhere.tsv"]}}
    check_local_files(load_recipes(config))


FLAG = {"type": "flag_embedding", "pairs": {"train": ["train.jsonl"], "test": ["test.jsonl"]}}
BEIR = {
    "type": "beir",
    "corpus": ["docs.*"],
    "queries": ["test.jsonl"],
    "qrels": {"train": ["train.tsv"], "test": ["train.tsv"]},
}
TREC = {"type": "trec", "collection": ["docs.tsv"], "queries": ["q.txt"], "qrels": {"train": ["train.tsv"]}}


@pytest.mark.parametrize(
    ("files", "reader", "message"),
    [
        (
            {},
            FLAG,
            r"train\.jsonl: its first row has no column 'query' \('corpora\.library\.reader\.type' is flag_embedding\)",
        ),
        (
            {"train.tsv": "q\td\t1\n", "docs.jsonl": '{"_id": 1, "text": "a"}'},
            BEIR,
            r"train\.tsv: .* no column 'query-id' .* add one",
        ),
        (
            {"train.tsv": "q\td\t1\n", "docs.tsv": "id\tbody\n"},
            BEIR,
            r"docs\.tsv: its first row has no column 'text' \('corpora",
        ),
        (
            {"docs.tsv": "1\ta\n", "q.txt": "1\ta\n"},
            TREC,
            r"reader\.qrels\.train' names 'train\.tsv', which is none of the source's",
        ),
        (
            {"docs.tsv": "1\ta\n", "q.txt": "1\ta\n", "train.tsv": "1 0 1 1\n"},
            TREC,
            r"split 'test' .* files of pairs for: train;",
        ),
        (
            {"a.md": "text", "b.jsonl": '{"body": "a"}'},
            {"type": "text", "documents": {"train": ["*.md", "b.*"]}},
            r"b\.jsonl: its first row has no column 'text' \('corpora\.library\.reader\.columns\.text'\)",
        ),
    ],
)
def test_files_of_other_forms_are_checked_too(config, tmp_path, files, reader, message):
    (tmp_path / "raw").mkdir()
    for name, text in (
        {"train.jsonl": '{"q": "a", "pos": ["b"]}\n', "test.jsonl": '{"id": 1, "text": "b"}'} | files
    ).items():
        (tmp_path / "raw" / name).write_text(text)
    config["corpora"]["library"] |= {"source": {"type": "files", "paths": [str(tmp_path / "raw")]}, "reader": reader}
    with pytest.raises(AscentError, match=message):
        check_local_files(load_recipes(config))


def test_a_corpus_of_texts_alone_needs_extractors_for_the_rows_that_are_used(config):
    library = config["corpora"]["library"]
    library["reader"] = {"type": "text", "documents": {"train": ["*.jsonl"]}, "columns": {"text": "query"}}
    message = (
        r"data\.questions' needs rows of the task type 'retrieval' of the split 'train' .*which has documents only;"
        r" make"
    )
    for extract in ([], [{"whole_text": {"splits": ["test"]}}]):
        library["extract"] = extract
        with pytest.raises(AscentError, match=message):
            check_local_files(load_recipes(config))
    library["extract"] = ["whole_text", {"title_body": {"splits": ["test"]}}]
    check_local_files(load_recipes(config))
    library["passages"] = {"tokens": 64, "model": "mini"}
    with pytest.raises(
        AscentError, match=r"'corpora\.library\.passages\.model' names the model 'mini', which does not exist"
    ):
        load_recipes(config)


SEARCHED = {
    "stages.finetune.mining.documents": ("train", "test"),
    "evaluate.tasks.LibraryRetrieval.documents": ("test", "train"),
}


@pytest.mark.parametrize("key", SEARCHED)
def test_corpora_that_are_only_searched_are_checked_too(config, write, tmp_path, key):
    """For their files and columns, and for documents of the split that is searched."""
    split, other = SEARCHED[key]
    write(small=changed(**{key.replace(".", "__"): ["wiki"]}))
    (tmp_path / "wiki.jsonl").write_text('{"text": "a"}\n')
    source = {"type": "files", "paths": [str(tmp_path / "wiki.jsonl")]}

    def refused(reader: dict, message: str, paths: tuple[str, ...] = ()) -> None:
        own = source | ({"paths": [str(tmp_path / path) for path in paths]} if paths else {})
        config["corpora"]["wiki"] = COMMON | {"source": own, "reader": reader}
        with pytest.raises(AscentError, match=message):
            check_local_files(load_recipes(config))

    searched = {"type": "text", "documents": {split: ["wiki.jsonl"]}}
    refused(searched, r"^'corpora\.wiki\.source\.paths' names '.*wiky\.jsonl', which does not .*wiki", ("wiky.jsonl",))
    refused(searched | {"columns": {"text": "body"}}, r"wiki\.jsonl: its first row has no column 'body'")
    refused(
        searched | {"documents": {split: ["**/*.json"]}}, rf"'corpora\.wiki\.reader\.documents\.{split}' names '\*\*"
    )
    lacks = rf"'{key}' names the corpus 'wiki' for its documents of the split '{split}', but its reader has files for:"
    refused({"type": "text", "documents": {other: ["wiki.jsonl"]}}, rf"{lacks} {other}; have it read")
    pairs = {"columns": dict.fromkeys(("query", "positive"), "text")}
    refused(pairs | {"pairs": {other: ["*.jsonl"]}}, rf"{lacks} {other}; have it read")
    for reader in (
        searched,
        searched | {"documents": {split: ["**/*.jsonl"]}},
        pairs | {"pairs": {split: ["*.jsonl"]}},  # whose positives are documents
        pairs | {"pairs": {other: ["*.jsonl"]}, "documents": {split: ["*.jsonl"]}},
    ):
        config["corpora"]["wiki"] = COMMON | {"source": source, "reader": reader}
        check_local_files(load_recipes(config))


def test_an_encoder_predicts_no_texts(config, write, tmp_path):
    """As the catalogue says; or config.json, where the model is on this machine."""
    write(small=changed(data__questions__filters=[{"perplexity": {"model": "lm", "positive": [5, 500]}}]))
    shape = {"layers": 1, "width": 8, "heads": 1, "inner": 8, "vocabulary": 9}
    message = r"'data\.questions\.filters' needs a causal language model, but 'lm' is an encoder \(bert\); name another"

    def check(architecture, **written):
        (tmp_path / "lm").mkdir(exist_ok=True)
        if written:
            (tmp_path / "lm" / "config.json").write_text(json.dumps(written))
        source = {"type": "files", "paths": [str(tmp_path / "lm")]}
        config["models"]["lm"] = {"source": source, "licence": "mit", "shape": shape | {"architecture": architecture}}
        check_local_files(load_recipes(config))

    check("llama")
    with pytest.raises(AscentError, match=message):
        check("bert")
    check("bert", model_type="bert", is_decoder=True)
    with pytest.raises(AscentError, match=message):
        check("llama", model_type="bert")
    write(small=changed())
    config["generators"] = {"local": {"type": "transformers", "model": "lm"}}
    check("llama", model_type="bert")  # as no corpus is written by it
    source = {"type": "synthesis", "documents": "library", "prompt": "queries", "generator": "local", "rows": 9}
    config["corpora"]["modules"] |= {"source": source, "reader": {"type": "synthesised"}}
    with pytest.raises(
        AscentError, match=r"'generators\.local\.model' needs a causal language model, but 'lm' is an enc"
    ):
        check("llama", model_type="bert")


def test_a_folder_without_wordnet_is_named(config, write, tmp_path):
    write(small=changed(data__questions__augment=[{"synonyms": {"wordnet": str(tmp_path / "dict")}}]))
    where = rf"small\.yaml: 'data\.questions\.augment' is '{tmp_path}/dict', which "
    with pytest.raises(AscentError, match=f"^.*{where}does not exist; name a folder of WordNet's database, such as"):
        check_local_files(load_recipes(config))
    (tmp_path / "dict").mkdir()
    for name in ("data.noun", "data.verb", "data.adj", "data.adv", "index.sense"):
        what = "cntlist.rev or index.sense" if name == "index.sense" else name
        with pytest.raises(AscentError, match=f"{where}has no file {what}; name a folder"):
            check_local_files(load_recipes(config))
        (tmp_path / "dict" / name).write_text("")
    check_local_files(load_recipes(config))
