"""Every recipe of config/recipes end to end, at trial size, without a hub: on small corpora, and tiny models of the
recipe's own architecture."""

import json

import pytest
import yaml

from ascent.recipes.loading import read_config
from support.field import ARCHITECTURES, make_field, trial_of
from support.small_recipe import ROOT
from support.workflow_copy import Copy

pytestmark = pytest.mark.workflow
NAMES = sorted(path.stem for path in (ROOT / "config" / "recipes").glob("*.yaml"))
# What the small recipe lacks: pre-training and a teacher; a decoder made bidirectional, latent attention, an adapter,
# instructions; T5. All others are nightly.
COVERING = ("granite", "nv-embed", "sentence-t5")
TRIALS = [pytest.param(name, marks=() if name in COVERING else pytest.mark.nightly) for name in NAMES]
# Models of the catalogue that are here have no `shape` there.
OTHERS = {"all-minilm-l6-v2": "bert", "smollm2-135m": "llama"}


@pytest.fixture(scope="module")
def field(warm_python, tmp_path_factory) -> Copy:
    """A copy that all trials share, as two recipes of one run do."""
    folder = tmp_path_factory.mktemp("field")
    return Copy(folder / "ascent", make_field(folder, *ARCHITECTURES), warm_python)


@pytest.mark.parametrize("name", TRIALS)
def test_a_recipe_runs_end_to_end_at_trial_size(field, name):
    recipe = yaml.safe_load((ROOT / "config" / "recipes" / f"{name}.yaml").read_text())
    base = recipe["base"]["model"]
    architecture = OTHERS.get(base) or read_config()["models"][base]["shape"]["architecture"]
    trial = f"trial={json.dumps(trial_of(architecture))}"
    done = field.snakemake("--configfile", str(field.config), "--config", f"recipes=[{name}]", trial)
    assert done.returncode == 0, done.stdout
    card = (field / f"results/{name}-trial/release/README.md").read_text()
    assert f"tiny-{architecture}" in card and "## Scores" in card
    metrics = sorted((field / f"results/{name}-trial").glob("*/metrics.jsonl"))
    steps = {path.parent.name: [json.loads(line)["step"] for line in path.read_text().splitlines()] for path in metrics}
    # Half a pass over 60 rows, as smollm2 has it, is two batches.
    assert steps and all(found in ([1, 2], [1, 2, 3]) for found in steps.values()), steps
    assert not (field / f"results/{name}").exists()
    decoding = {stage for stage, settings in recipe["stages"].items() if "retromae" in str(settings.get("objective"))}
    for path in (path for path in metrics if path.parent.name in decoding):
        first = json.loads(path.read_text().splitlines()[0])
        assert first["loss"] == pytest.approx(first["loss/encoder"] + first["loss/decoder"])
