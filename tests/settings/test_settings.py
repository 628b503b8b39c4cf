"""Settings: what is loaded, dumped and defaulted; a broken file is named."""

from importlib import import_module
from pkgutil import iter_modules

import pytest
import yaml
from pydantic import BaseModel

from ascent import settings
from ascent.errors import AscentError, did_you_mean
from ascent.settings.base import Settings
from ascent.settings.contrastive import Contrastive, DataUse
from ascent.settings.corpora import Corpus
from ascent.settings.losses import Infonce
from ascent.settings.merging import Linear, Slerp
from ascent.settings.model import Contract
from ascent.settings.validation import check, dump, load

SOURCE = {"type": "files", "paths": ["a.jsonl"]}
CORPUS = {"source": SOURCE, "reader": {"pairs": {"train": ["a"]}}, "licence": "mit", "language": "eng-Latn"}
TRAIN = {"objective": "infonce", "data": ["questions"]}
PYPI = {"type": "pypi", "name": "x", "version": "1", "sha256": "0", "members": ["*"]}


def test_an_unknown_word_gets_the_nearest_or_the_list():
    assert did_you_mean("meam", ["mean", "cls"]) == "did you mean 'mean'?"
    assert did_you_mean("infoNCE", ["triplet", "infonce"]) == "did you mean 'infonce'?"
    assert did_you_mean("zzz", ["mean", "cls"]) == "known are: cls, mean."
    assert did_you_mean("zzz", []) == "known are: none."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"pooling: [mean", "not valid YAML"),
        (b"pooling: \xff", "byte 9 is not UTF-8"),
        (b"- 1\n- 2\n", "the whole is "),
        (b"", "the whole is null, but "),
        (b"!!python/object/apply:os.system [echo]", "not valid YAML"),
    ],
)
def test_a_broken_file_is_named(tmp_path, text, message):
    (tmp_path / "the.yaml").write_bytes(text)
    with pytest.raises(AscentError, match=message) as error:
        load(Contract, tmp_path / "the.yaml")
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(AscentError, match=r"nowhere\.yaml: no such file"):
        load(Contract, tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (Corpus, CORPUS | {"reader": {"type": "table", "pairs": {}, "columns": {"query": "q"}}}),
        (Corpus, CORPUS | {"source": PYPI}),
        (Contract, {"pooling": "cls", "prompts": {"query": {"retrieval": "Frage: ü\n", "default": ""}}}),
        (Contrastive, TRAIN | {"from": ["a"], "mining": {"model": "a", "ranks": [2, 40]}, "learning_rate": 1.0e-5}),
        (Linear, {"type": "linear", "from": ["a", "b"], "weights": [0.3, 0.7]}),
        (Slerp, {"type": "slerp", "from": ["a", "b"], "weights": "greedy", "development": {"data": "c"}}),
        (Contrastive, TRAIN | {"seed": 3, "seeds": [3]}),
    ],
)
def test_what_is_dumped_is_loaded_again(tmp_path, kind, values):
    settings = check(kind, values, "x")
    (tmp_path / "settings.yaml").write_text(dump(settings), encoding="utf-8")
    again = load(kind, tmp_path / "settings.yaml")
    assert again == settings
    assert dump(again) == dump(settings)


def test_an_objective_may_be_a_name():
    by_name = check(Contrastive, TRAIN | {"objective": {"infonce": None}}, "x")
    assert check(Contrastive, TRAIN | {"objective": {"infonce": {"weight": 1, "temperature": 0.05}}}, "x") == by_name
    assert check(Contrastive, TRAIN, "x") == by_name


def test_settings_tell_of_the_chosen_losses_only():
    """A loss more must not change every settings file. The order in which they are named is not a change either."""
    chosen = {"infonce": {"temperature": 0.1}, "cosine": {"weight": 0.5}}
    stage = check(Contrastive, TRAIN | {"objective": chosen}, "x")
    dumped = yaml.safe_load(dump(stage))["objective"]
    assert dumped == {"infonce": Infonce(temperature=0.1).model_dump(mode="json"), "cosine": {"weight": 0.5}}
    assert dump(check(Contrastive, TRAIN | {"objective": dict(reversed(chosen.items()))}, "x")) == dump(stage)


def test_data_sets_may_be_a_list_of_names():
    by_name = check(Contrastive, TRAIN | {"data": {"b": {}, "a": {"loss_weight": 1}}}, "x")
    assert check(Contrastive, TRAIN | {"data": ["b", "a"]}, "x") == by_name
    assert list(by_name.data) == ["b", "a"]


@pytest.mark.parametrize(
    ("task", "expected"), [("retrieval", True), ("sts", True), ("classification", False), ("clustering", False)]
)
def test_whether_in_batch_negatives_serve_follows_from_the_task_type(task, expected):
    assert DataUse().uses_in_batch_negatives(task) is expected
    assert DataUse(in_batch=True).uses_in_batch_negatives(task) and not DataUse(in_batch=False).uses_in_batch_negatives(
        task
    )


def test_a_dump_is_complete():
    """Every default is written out: a step reads nothing else, and a changed default is a changed file."""
    dumped = yaml.safe_load(dump(check(Contrastive, TRAIN, "x")))
    names = {field.alias or name for name, field in Contrastive.model_fields.items()}
    assert dumped.keys() == names
    assert dumped["from"] == ["base"]
    assert dumped["learning_rate"] == 2e-5


def test_settings_are_frozen():
    modules = [import_module(f"{settings.__name__}.{module.name}") for module in iter_modules(settings.__path__)]
    assert len(modules) > 9
    found = {k for module in modules for k in vars(module).values() if isinstance(k, type) and issubclass(k, Settings)}
    kinds = sorted(found - {Settings}, key=lambda kind: kind.__name__)
    assert len(kinds) > 10
    for kind in kinds:
        assert issubclass(kind, BaseModel)
        assert kind.model_config["frozen"]


def test_a_data_set_with_nothing_behind_it_is_used_by_its_defaults():
    assert Contrastive(**TRAIN | {"data": {"questions": None}}) == Contrastive(**TRAIN)
