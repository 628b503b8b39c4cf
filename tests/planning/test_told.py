"""What a plan tells or refuses beside its numbers: prompts in texts, prompts without room, a model's own words."""

import shutil

import polars as pl
import pytest
import yaml

from ascent.errors import AscentError
from ascent.pairs.table import read_pairs


def test_texts_that_begin_with_their_prompt_are_told_by_data_set_and_task(recipe, workspace):
    def change(values):
        values["stages"]["finetune"]["prompts"] = values["stages"]["merge"]["prompts"] = {
            "query": {"retrieval": "What does"}
        }

    rows = read_pairs(workspace / "results/corpora/library/pairs-00000-of-00001.parquet")
    parts = {}
    for split, what in (("train", "data set questions"), ("test", "task LibraryRetrieval")):
        queries = rows.filter(pl.col("split") == split)["query"].unique()
        assert queries.str.starts_with("what does").all()
        parts[what] = (
            f"{len(queries)} of {len(queries)} distinct queries of {what} (100%) begin with the prompt 'What does'"
            " already"
        )
    found = recipe(change).warnings
    assert [warning.split(", so that")[0] for warning in found] == list(parts.values())


def test_a_prompt_without_room_for_a_text_is_refused_before_any_job(recipe):
    def change(values):
        values["stages"]["finetune"]["prompts"] = {"query": {"retrieval": "open the file and read a line of it " * 4}}

    with pytest.raises(
        AscentError, match=r"tiny: the prompt 'open the file .*' alone has \d+ tokens, 1\d\d% of max_tokens: 32, so"
    ):
        recipe(change)


@pytest.mark.slow
def test_what_a_model_says_of_itself_otherwise_is_told(recipe, workspace):
    modules, config = workspace / "model" / "modules.json", workspace / "model" / "1_Pooling" / "config.json"
    assert not recipe().warnings
    config.parent.mkdir()
    modules.write_text('[{"name": "1", "path": "1_Pooling", "type": "x"}]')
    length = "model 'tiny': tokenizer_config.json says max_tokens: 64, but the recipe has 32."
    try:
        for written, pooling in (
            ('{"pooling_mode": "cls"}', "cls"),
            ('{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}', "cls"),
            ('{"pooling_mode_max_tokens": true, "pooling_mode_mean_tokens": true}', "mean and max"),
        ):
            config.write_text(written)
            told = f"model 'tiny': 1_Pooling/config.json says pooling: '{pooling}', but the recipe has 'mean'."
            assert recipe().warnings == [told, length]  # once, although a filter's teacher is the same model
        config.write_text('{"pooling_mode": "mean"}')
        assert recipe().warnings == [length]
    finally:
        shutil.rmtree(config.parent)
        modules.unlink()


def test_what_a_recipe_sets_over_a_model_s_own_contract_is_told(recipe, workspace):
    path = workspace / "config.yaml"
    before = path.read_text()
    config = yaml.safe_load(before)
    config["models"]["tiny"]["contract"] = {"pooling": "mean", "max_tokens": 64}
    path.write_text(yaml.safe_dump(config))
    try:
        own = {"model": "tiny", "contract": "own"}
        found = recipe(lambda values: values.update(base=own | {"max_tokens": 32}))
        assert found.warnings == ["model 'tiny': its own contract has max_tokens: 64, but the recipe 32."]
        assert recipe(lambda values: values.update(base=own)).warnings == []
    finally:
        path.write_text(before)


@pytest.mark.slow
def test_what_heads_give_for_tokens_is_named_as_not_counted(recipe):
    def change(values):
        values["base"]["heads"] = {"lexical": {}}
        values["stages"]["contrastive"]["objective"] = "m3"

    notes = recipe(change).notes
    assert "Not counted: token-level outputs and their scores, in contrastive." in notes
    assert not any("token-level" in note for note in recipe().notes)


def test_tasks_of_a_hub_are_named_as_not_counted(recipe):
    found = recipe(lambda values: values["evaluate"].update(benchmarks=["NanoBEIR"]))
    assert "Not counted: 13 mteb tasks, because their data come from a hub." in found.notes


def test_the_share_of_a_benchmark_that_the_model_is_zero_shot_on_is_told_before_training(recipe, workspace):
    """It learns from a corpus that names a task of the benchmark, so from FEVER's other form, too, by mteb's rule."""
    config = workspace / "config.yaml"
    text = config.read_text()
    try:
        named = yaml.safe_load(text)
        named["corpora"]["library"]["mteb_tasks"] = ["NQ"]
        config.write_text(yaml.safe_dump(named))
        notes = recipe(
            lambda values: values["evaluate"].update(benchmarks=["NanoBEIR"], mteb_tasks=["NQ", "SciFact"])
        ).notes
    finally:
        config.write_text(text)
    assert (
        "Zero-shot on 50 % of the tasks that are evaluated in addition to benchmarks, by mteb's rule: not on NQ."
        in notes
    )
    (benchmark,) = (note for note in notes if note.startswith("Zero-shot on ") and " % of NanoBEIR, by mteb's" in note)
    assert "NanoNQRetrieval" in benchmark
    assert "mteb does not know what tiny learnt from, so the percentage may be too high." in notes
