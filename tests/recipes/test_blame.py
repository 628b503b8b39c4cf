"""Which file, or option of the command line, an error blames; and settings that cannot have an effect."""

import sys

import pytest
import yaml

from ascent.errors import AscentError
from ascent.files import read_yaml
from ascent.recipes.loading import load_recipes
from support.recipes import CORPUS, SMALL, changed


def test_a_missing_recipe_is_named(write):
    config = write(small=SMALL)
    config["recipes"] = ["smal"]
    with pytest.raises(
        AscentError, match=r"configuration: there is no recipe 'smal' \(.*smal\.yaml\); did you mean 'small'\?"
    ):
        load_recipes(config)


def test_an_error_names_the_file_that_the_wrong_value_is_from(write, tmp_path):
    below, above = tmp_path / "below.yaml", tmp_path / "above.yaml"
    below.write_text("corpora: {library: {licence: mit, languag: en}}\nmodels: {tiny: {licence: 3}}\n")
    above.write_text("corpora: {library: {licence: 5, language: eng-Latn}}\n")
    config = write(small=SMALL)
    for key, value, path in (("licence", 5, above), ("languag", "en", below)):
        library = config["corpora"]["library"] | {key: value}
        wrong = config | {"corpora": config["corpora"] | {"library": library}}
        with pytest.raises(AscentError, match=rf"^{path}: .*'corpora\.library\.{key}'"):
            load_recipes(wrong, {path: read_yaml(path) for path in (below, above)})


def test_a_value_of_the_command_line_is_blamed_on_its_option(write, tmp_path):
    files = tmp_path / "corpora.yaml", tmp_path / "config.yaml"
    config = write(small=SMALL) | {"recipes": ["smal"], "trial": {"rows": 5, "modle": "tiny"}}
    files[0].write_text(yaml.safe_dump({"corpora": config["corpora"]}))
    files[1].write_text("recipes: [small]\n")
    given = {"--config": {"recipes": ["smal"], "trial": config["trial"]}}
    held = {path: read_yaml(path) for path in files}
    with pytest.raises(AscentError, match=r"^--config: unknown key 'trial\.modle'; did you mean 'model'\?$"):
        load_recipes(config, held, given)
    config["trial"].pop("modle")
    with pytest.raises(AscentError, match=r"^--config: there is no recipe 'smal' .*; did you mean 'small'\?$"):
        load_recipes(config, held, given)
    # What stands in no file and no option is missing in a file.
    config["corpora"]["library"] = {key: value for key, value in CORPUS.items() if key != "licence"}
    with pytest.raises(AscentError, match=rf"^{files[0]}: 'corpora\.library\.licence' is missing; add it\.$"):
        load_recipes(config, held, given)


@pytest.mark.parametrize(
    ("trial", "message"),
    [
        ({"model": "tinny"}, "'trial.model' names the model 'tinny', which does not exist; did you mean 'tiny'?"),
        ({"cross_encoder": "judge"}, "'trial.cross_encoder' names the model 'judge', which does not exist; known are:"),
        ({"corpus": "tickets"}, "'trial.corpus.retrieval' names the corpus 'tickets', which does not exist; known are"),
        ({"corpora": {"library": "simila"}}, "'trial.corpora.library' names the corpus 'simila', which does not exist"),
        (
            {"tasks": {"Tickets": {"type": "retrieval", "corpus": "lbrary"}}},
            "'trial.tasks.Tickets' names the corpus 'lbrary', which does not exist; did you mean 'library'?",
        ),
    ],
)
def test_what_a_trial_names_is_blamed_on_the_trial(write, trial, message):
    with pytest.raises(AscentError) as error:
        load_recipes(write(small=SMALL) | {"trial": trial}, options={"--config": {"trial": trial}})
    assert str(error.value).startswith(f"--config: {message}")


TEMPLATE = {"query": "Instruct: {instruction}\nQuery: {text}"}


@pytest.mark.parametrize(
    "changes",
    [
        {"base__prompts": {"query": {"retrieval": "Find the answer"}}},
        {"data__questions__prompts": {"query": "Find the answer"}},
        {"base__task_prompts": "mteb"},
    ],
)
def test_a_template_in_which_no_prompt_stands_is_refused(write, changes):
    plain = {f"stages__{name}__prompts": None for name in ("finetune", "merge")} | {"base__templates": TEMPLATE}
    with pytest.raises(AscentError) as error:
        load_recipes(write(small=changed(**plain)))
    message = "small.yaml: 'base.templates.query' has no effect, since no query has a prompt to stand in it; add"
    assert message in str(error.value)
    load_recipes(write(small=changed(**plain | changes)))
    load_recipes(write(small=changed(base__templates=TEMPLATE)))  # two stages have prompts
    config = write(small=changed(**plain))
    columns = {"columns": {"query_prompt": "instruction"}}
    config["corpora"] |= {"library": CORPUS | {"reader": CORPUS["reader"] | columns}}
    load_recipes(config)  # the rows have


def test_a_stage_whose_package_is_missing_is_refused_before_anything_runs(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "mergekit", None)
    merge = {"type": "mergekit", "method": "karcher", "from": ["contrastive", "finetune"], "prompts": {}}
    with pytest.raises(AscentError) as error:
        load_recipes(write(small=changed(stages__merge=merge)))
    message = "'stages.merge' needs the package mergekit, which is not installed here; run pip install 'mergekit>="
    assert message in str(error.value)
