"""What the tests of planning share."""

from dataclasses import replace

import polars as pl
import pytest
import yaml

from ascent.files import read_yaml
from ascent.pairs.table import pair_frame, write_documents, write_pairs
from ascent.planning.gpus import Machine
from ascent.planning.plan import make_plan
from ascent.recipes.loading import load_recipes
from ascent.settings.model import Contract
from support.pairs import normalised
from support.small_recipe import make_workspace


@pytest.fixture(scope="session")
def workspace(training_rows, tmp_path_factory):
    """The small recipe's folder with what a plan reads: the model, the corpora, the rows of the data set."""
    folder = tmp_path_factory.mktemp("plan")
    recipes = load_recipes(read_yaml(make_workspace(folder)))
    (folder / "resources" / "models").mkdir(parents=True)
    (folder / "resources" / "models" / "tiny").symlink_to(folder / "model")
    for name, corpus in recipes.config.corpora.items():
        pairs, documents, _ = normalised(name, corpus, folder / "data")
        if name == "similar":  # which the tests also rerank
            pairs = pl.concat(
                [pairs, pair_frame([replace(row, split="test") for row in training_rows], name, "eng-Latn")]
            )
        write_pairs(folder / f"results/corpora/{name}/pairs-00000-of-00001.parquet", pairs)
        write_documents(folder / f"results/corpora/{name}/documents-00000-of-00001.parquet", documents)
    return folder


@pytest.fixture(scope="session")
def base(workspace):
    """The small recipe's base model."""
    from ascent.model.saving import save_new

    (workspace / "base").mkdir()
    save_new(workspace / "model", Contract(max_tokens=32), {}, workspace / "base")
    return workspace / "base"


@pytest.fixture
def recipe(workspace, monkeypatch):
    """Make a plan of the small recipe, its YAML changed."""
    monkeypatch.chdir(workspace)

    def planned(change=lambda recipe: None, **machine):
        values = yaml.safe_load((workspace / "small.yaml").read_text())
        change(values)
        (workspace / "changed.yaml").write_text(yaml.safe_dump(values))
        config = read_yaml(workspace / "config.yaml") | {"recipes": ["changed"]}
        return make_plan(load_recipes(config), "changed", Machine(**machine))

    return planned
