"""What the plan says a language model will be asked, against what a server is asked."""

import shutil

import pytest
import yaml

from ascent.errors import AscentError
from ascent.files import read_yaml
from ascent.planning.gpus import Machine
from ascent.planning.plan import make_plan
from ascent.planning.written import written
from ascent.recipes.loading import load_recipes
from ascent.recipes.synthesis import synthesis_settings
from ascent.synthesis.run import synthesise
from plan_recipe import text_of
from support.chat_server import ChatServer

PRICE = {"input": 2.0, "output": 8.0}


@pytest.fixture
def planned(workspace, monkeypatch):
    """The small recipe, trained on a corpus that is written about its own: the loaded recipes."""
    monkeypatch.chdir(workspace)

    def _planned(prompt="queries", library=None, rows=40, **changes):
        config = read_yaml(workspace / "config.yaml") | {"recipes": ["written"]}
        generator = {"type": "openai", "address": "http://127.0.0.1:1/v1", "model": "m", "price": PRICE}
        source = {"type": "synthesis", "documents": "library", "prompt": prompt, "generator": "g", "rows": rows}
        made = {"source": source, "reader": {"type": "synthesised"}, "licence": "mit", "language": "eng-Latn"}
        changed = changes.pop("generator", {})
        config |= {"generators": {"g": changed if "type" in changed else generator | changed}}
        config["corpora"]["library"] |= library or {}
        config["corpora"]["made"] = made | changes
        values = yaml.safe_load((workspace / "small.yaml").read_text())
        values["data"]["questions"] = {"corpus": "made"}
        (workspace / "written.yaml").write_text(yaml.safe_dump(values))
        return load_recipes(config)

    return _planned


@pytest.mark.slow
@pytest.mark.parametrize(("prompt", "requests"), [("queries", 200), ("query-rewriting", 200), ("refined-queries", 600)])
def test_requests_and_their_tokens_are_those_that_a_server_counts(planned, workspace, tmp_path, prompt, requests):
    """Of all 200 texts, so that it does not matter which are drawn."""
    (one,) = written(planned(prompt, rows=200), "written")
    table = "documents" if prompt != "query-rewriting" else "pairs"
    with ChatServer() as server:
        recipes = planned(prompt, rows=200, generator={"address": server.address})
        settings, generator = synthesis_settings(recipes.config, "made"), recipes.config.generators["g"]
        path = workspace / f"results/corpora/library/{table}-00000-of-00001.parquet"
        counts = synthesise("made", settings, generator, path, tmp_path / "answers.sqlite", tmp_path / "made")
    assert one.requests == len(server.requests) == requests
    # The server's answers, of which the later rounds tell the model, are shorter than the prompt says.
    within = 0.1 if prompt == "refined-queries" else 0.01
    assert one.input_tokens == pytest.approx(counts["input_tokens"], rel=within)
    tokens = {"queries": 60, "query-rewriting": 30, "refined-queries": 30 + 2 * 70}[prompt]
    assert one.output_tokens == 200 * tokens
    assert one.price == pytest.approx((one.input_tokens * 2 + 200 * tokens * 8) / 1e6)


def test_the_plan_has_a_line_before_anything_is_asked(planned, workspace):
    recipes = planned()
    plan = make_plan(recipes, "written", Machine())
    assert "Data set questions: 40 rows, as the catalogue says of made, unfiltered." in plan.notes
    (line,) = [line.split() for line in text_of(plan, "written", Machine()).splitlines() if line.startswith("g ")]
    assert line[:3] == ["g", "made", "40"] and float(line[-1]) == pytest.approx(plan.written[0].price, abs=0.005)
    folder = workspace / "resources/corpora/made"
    folder.mkdir(parents=True)
    try:  # it is written
        assert written(recipes, "written") == []
    finally:
        shutil.rmtree(folder)


def test_what_is_not_known_is_said(planned, workspace, monkeypatch, tmp_path):
    recipes = planned(generator={"price": None})
    assert written(recipes, "written")[0].price is None
    monkeypatch.chdir(tmp_path)  # where the corpus that it is asked about has not been read
    (one,) = written(recipes, "written")
    assert (one.requests, one.input_tokens, one.price) == (40, None, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"source": {"documents": "librari"}},
            "'corpora.made.source.documents' names 'librari', which .* did you mean 'library'",
        ),
        (
            {"source": {"generator": "h"}},
            "'corpora.made.source.generator' names 'h', which does not exist; known are: g",
        ),
        ({"source": {"prompt": "querys"}}, "'corpora.made.source.prompt' names 'querys', .* did you mean 'queries'"),
        ({"source": {"documents": "made"}}, "corpora are made of each other .made <- made.; change a `documents`"),
        (
            {"reader": {"pairs": {"train": ["rows.jsonl"]}}},
            "'corpora.made.reader' cannot read .*; write reader: {type: synthesised}",
        ),
        (
            {"generator": {"type": "transformers", "model": "tini"}},
            "'generators.g.model' names 'tini', .* did you mean 'tiny'",
        ),
    ],
)
def test_what_does_not_exist_is_named_before_the_first_job(planned, changes, message):
    source = {"type": "synthesis", "documents": "library", "prompt": "queries", "generator": "g", "rows": 40}
    changes = changes | ({"source": source | changes["source"]} if "source" in changes else {})
    with pytest.raises(AscentError, match=message):
        planned(**changes)


def test_a_release_is_held_to_the_licence_of_the_texts_that_rows_are_about(planned):
    recipes = planned()
    assert recipes.config.made_from(["made"]) == (["made", "library"], [])
    assert ("corpora", "library") in recipes.local_sources
    with pytest.raises(AscentError, match=r"'release.licence' is .*, but library .research-only. "):
        planned(library={"licence": "research-only"})
