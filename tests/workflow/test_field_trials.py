"""Every recipe of config/recipes end to end, at trial size, without a hub: on small corpora, and tiny models of the
recipe's own architecture."""

import json

import pytest
import yaml

from ascent.recipes.loading import read_config
from support.field import ARCHITECTURES, make_field, trial_of
from support.small_recipe import ROOT
from support.workflow_copy import Copy

pytestmark = [pytest.mark.workflow, pytest.mark.nightly]
NAMES = sorted(path.stem for path in (ROOT / "config" / "recipes").glob("*.yaml"))
# Models of the catalogue that are here have no `shape` there.
OTHERS = {"all-minilm-l6-v2": "bert", "smollm2-135m": "llama"}


@pytest.fixture(scope="module")
def field(warm_python, tmp_path_factory) -> Copy:
    """A copy that all trials share, as two recipes of one run do."""
    folder = tmp_path_factory.mktemp("field")
    return Copy(folder / "ascent", make_field(folder, *ARCHITECTURES), warm_python)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_runs_end_to_end_at_trial_size(field, name):
    base = yaml.safe_load((ROOT / "config" / "recipes" / f"{name}.yaml").read_text())["base"]["model"]
    model = read_config()["models"][base]
    architecture = OTHERS.get(base) or model["shape"]["architecture"]
    trial = f"trial={json.dumps(trial_of(architecture))}"
    done = field.snakemake("--configfile", str(field.config), "--config", f"recipes=[{name}]", trial)
    assert done.returncode == 0, done.stdout
    card = (field / f"results/{name}-trial/release/README.md").read_text()
    assert f"tiny-{architecture}" in card and "## Scores" in card
