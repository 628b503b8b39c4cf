"""The model card, and the folder that is released with it."""

from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ..errors import AscentError
from ..evaluation.statistics import read_table, verdict
from ..files import read_json
from ..model.contract import read_contract
from ..model.saving import prompt_name
from ..report.pages import environment, read_audits
from ..settings.recipe import ReleaseSettings
from ..settings.stages import MergeStage
from ..settings.training import Training
from ..settings.validation import dump


def make_card(
    settings: ReleaseSettings,
    model: Path,
    *,
    scores: Path,
    significance: Path,
    audits: list[Path],
    leakage: Path,
    results: list[Path],
    facts: dict,
    radar: str | None = "radar.png",
) -> ModelCard:
    """Return the card of a model folder. `facts`: dimension, parameters and revision; `radar`: the picture's name in the folder.

    Every number comes from one of the files given, and the card names it. Raises AscentError when a file lacks the stage.
    """
    release, recipe = settings.recipe.release, settings.recipe
    contract, _ = read_contract(model)
    rows = {row["task"]: row for row in read_table(scores) if row["stage"] == release.stage}
    if not rows:
        raise AscentError(f"{scores}: has no row of the stage '{release.stage}'; evaluate it, or release another stage.")
    tests = {row["task"]: row for row in read_table(significance) if row["stage"] == release.stage}
    bases = {row["task"]: row for row in read_table(scores) if row["stage"] == "base"}
    lineage = _lineage(settings)
    trained = {name for stage in lineage.values() if isinstance(stage, Training) for name in stage.data}
    found = read_audits(audits)
    base = settings.models[recipe.base.model]
    data = ModelCardData(
        language=list(release.languages),
        license=release.licence,
        library_name="sentence-transformers",
        pipeline_tag="sentence-similarity",
        tags=["sentence-transformers", "sentence-similarity", "feature-extraction", "mteb", "ascent"],
        base_model=base.upstream or None,
        model_name=release.name,
        eval_results=[entry for path in results for entry in _eval_results(path, settings, rows)],
    )
    text = (
        environment()
        .get_template("card.md.j2")
        .render(
            **{
                "settings": settings,
                "release": release,
                "contract": contract,
                "base": base,
                "facts": facts,
                "radar": radar,
            },
            lines=[(row, bases.get(task), tests.get(task)) for task, row in rows.items()],
            teachers={
                name: (stage.teacher, settings.models.get(stage.teacher.model))
                for name, stage in lineage.items()
                if isinstance(stage, Training) and stage.teacher
            },
            lineage={name: dump(stage) for name, stage in lineage.items()},
            datasets={name: (recipe.data[name], settings.corpora[recipe.data[name].corpus]) for name in sorted(trained)},
            pairs=[audit for audit in found["pairs"] if audit["name"] in trained],
            negatives=[audit for audit in found["negatives"] if audit["name"].split(", ")[0] in lineage],
            replacements=[audit for audit in found["replacements"] if audit["name"] in lineage],
            evaluated={task.corpus: settings.corpora[task.corpus] for task in recipe.evaluate.tasks.values()},
            leakage=read_json(leakage),
            files={"scores": scores, "significance": significance, "leakage": leakage},
            verdict=verdict,
            prompt_name=prompt_name,
        )
    )
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}")


def _lineage(settings: ReleaseSettings) -> dict[str, Training | MergeStage]:
    """Return the stages that the released one descends from, itself included, in the recipe's order."""
    stages, wanted = settings.recipe.stages, [settings.recipe.release.stage]
    for name in wanted:
        wanted += [parent for parent in getattr(stages.get(name), "parents", []) if parent not in wanted]
    return {name: stage for name, stage in stages.items() if name in wanted}


def _eval_results(path: Path, settings: ReleaseSettings, rows: dict[str, dict]) -> list[EvalResult]:
    result = read_json(path)
    name = result["task_name"]
    if name not in rows:
        raise AscentError(f"{path}: the task '{name}' has no score of the released stage; score the stages again.")
    # By the task, and not by its corpus: results of one data set and split are written as one.
    source = "local" if name in settings.recipe.evaluate.tasks else "mteb"
    return [
        EvalResult(
            task_type=rows[name]["type"],
            dataset_type=f"{source}/{name}",
            dataset_name=f"{name} ({entry['hf_subset']})",
            dataset_config=entry["hf_subset"],
            dataset_split=split,
            dataset_revision=result["dataset_revision"],
            metric_type=rows[name]["metric"],
            metric_name=rows[name]["metric"],
            metric_value=entry["main_score"],
        )
        for split, entries in result["scores"].items()
        for entry in entries
    ]
