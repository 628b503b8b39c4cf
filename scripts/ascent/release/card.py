"""The model card: facts from the workflow's files, and their rendering."""

from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ..errors import AscentError
from ..evaluation.comparison import BASE, read_table, verdict
from ..evaluation.zero_shot import ZeroShot
from ..files import read_json
from ..model.contract import read_contract
from ..model.prompts import named_prompts, prompts_of_tasks
from ..report.overview import by_baseline
from ..report.pages import environment, pair_counts, read_audits
from ..report.provenance import sentence
from ..settings.licences import TERMS
from ..settings.model import Contract
from ..settings.recipe import ReleaseSettings
from ..settings.validation import chosen
from .leaks import leak_facts


def make_card(
    settings: ReleaseSettings,
    model: Path,
    *,
    scores: Path,
    significance: Path,
    audits: list[Path],
    leakage: Path,
    results: list[Path],
    zero: ZeroShot,
    facts: dict,
    places: dict[Path, str],
    radar: str | None = "radar.png",
) -> ModelCard:
    """Return the card of a model folder. `zero`: what the model is zero-shot on; `facts`: dimension, parameters,
    revision, what must be installed, the token that ends a text, the side of the padding, the largest difference to
    mteb's wrapper and over how many tasks; `radar`: name of the image in the folder.

    Every number comes from one of these files, and the card links to its copy in the release, at `places`. Raises
    AscentError for a file without the stage."""
    rows, trained, compared = (
        score_facts(settings, scores, significance),
        training_facts(settings, audits),
        read_json(leakage),
    )
    text = (
        environment()
        .get_template("card.md.j2")
        .render(
            settings=settings,
            release=settings.recipe.release,
            base=settings.models[settings.recipe.base.model],
            contract=read_contract(model)[0],
            facts=facts,
            radar=radar,
            rows=rows,
            merged=merged_stages(settings, significance),
            **trained,
            leakage=compared,
            zero_shot=zero.sentences(),
            **leak_facts(settings, compared, trained["datasets"], zero.learnt),
            files={"scores": scores, "significance": significance, "leakage": leakage},
            tested=sum(row["p_adjusted"] is not None for row in read_table(significance)),
            source=lambda file: f"[{Path(file).name}]({places[Path(file)]})",
            verdict=verdict,
            pair_counts=pair_counts,
            **prompt_facts(read_contract(model)[0], list(rows)),
            made=sentence(),
        )
    )
    return ModelCard(f"---\n{metadata(settings, results, rows).to_yaml()}\n---\n\n{text}")


def score_facts(
    settings: ReleaseSettings, scores: Path, significance: Path
) -> dict[str, tuple[dict, dict | None, dict | None]]:
    """Return by task the row of the released stage in scores.tsv, the base's, and the released stage's in
    significance.tsv."""
    stage, table = settings.recipe.release.stage, read_table(scores)
    bases = {row["task"]: row for row in table if row["stage"] == BASE}
    tests = {row["task"]: row for row in read_table(significance) if (row["stage"], row["baseline"]) == (stage, BASE)}
    rows = {
        row["task"]: (row, bases.get(row["task"]), tests.get(row["task"])) for row in table if row["stage"] == stage
    }
    if not rows:
        raise AscentError(f"{scores}: has no row of the stage '{stage}'; evaluate it, or release another stage.")
    return rows


def merged_stages(settings: ReleaseSettings, significance: Path) -> dict[tuple[str, str], list[dict]]:
    """Return the rows of significance.tsv that compare the released stage, or an ancestor, with its parents, by both
    names; the last stage first."""
    tests = read_table(significance)
    return {
        (stage, parent): rows
        for stage in reversed(settings.recipe.lineage)
        for parent, rows in by_baseline(tests, stage).items()
    }


def prompt_facts(contract: Contract, evaluated: list[str]) -> dict:
    """Return what the card says of prompts: their names by text, of sides, of types, of the evaluated tasks and of
    those that the recipe names (nothing for a model without prompts); and how many others of mteb's own there are."""
    of_tasks, by_text = prompts_of_tasks(contract), {}
    shown = {*evaluated, *(task for tasks in contract.prompts.values() for task in tasks)}
    others = {name for name in of_tasks if not {name, name.rsplit("-", 1)[0]} & shown}
    for name, text in named_prompts(contract).items():
        if name not in others:
            by_text.setdefault(text, []).append(name)
    return {"prompts": by_text if any(by_text) else {}, "other_prompts": len(others)}


def training_facts(settings: ReleaseSettings, audits: list[Path]) -> dict:
    """Return what the card says of training: the released stage's lineage, its data, its teachers and their audits."""
    recipe, by_kind, lineage = settings.recipe, read_audits(audits), settings.recipe.lineage
    made_for = {stage.data_name(name) for name, stage in lineage.items()}
    trained = {name: stage for name, stage in lineage.items() if stage.trains}
    datasets = sorted({dataset for stage in trained.values() for dataset in stage.data})
    corpora = {recipe.data[name].corpus: settings.corpora[recipe.data[name].corpus] for name in datasets}
    return {
        "learnt": {name: corpus for name, corpus in corpora.items() if corpus.mteb_tasks},
        "lineage": {name: chosen(stage) for name, stage in lineage.items()},
        "teachers": {
            name: (stage.teacher_used, settings.models.get(stage.teacher_model))
            for name, stage in trained.items()
            if stage.teacher_used
        },
        "datasets": {name: (recipe.data[name], settings.corpora[recipe.data[name].corpus]) for name in datasets},
        "evaluated": {name: settings.corpora[name] for name in recipe.evaluate.corpora},
        "pairs": [audit for audit in by_kind["pairs"] if audit["dataset"] in datasets],
        "negatives": [audit for audit in by_kind["negatives"] if audit["stage"] in made_for],
        "choices": [audit for audit in by_kind["weights"] if audit["stage"] in lineage],
        "replacements": [audit for audit in by_kind["replacements"] if audit["stage"] in lineage],
    }


def metadata(settings: ReleaseSettings, results: list[Path], rows: dict[str, tuple]) -> ModelCardData:
    """Return what a hub reads: the front matter of the card."""
    release = settings.recipe.release
    return ModelCardData(
        language=list(release.languages),
        **_licence(release.licence),
        library_name="sentence-transformers",
        pipeline_tag="sentence-similarity",
        tags=["sentence-transformers", "sentence-similarity", "feature-extraction", "mteb", "ascent"],
        base_model=settings.models[settings.recipe.base.model].upstream or None,
        model_name=release.name,
        eval_results=[entry for path in results for entry in _eval_results(path, settings, rows)],
    )


def _licence(word: str) -> dict[str, str]:
    """Return a licence as the hub's front matter has it."""
    return {"license": word} if TERMS[word].hub else {"license": "other", "license_name": word}


def _eval_results(path: Path, settings: ReleaseSettings, rows: dict[str, tuple]) -> list[EvalResult]:
    result = read_json(path)
    name = result["task_name"]
    if name not in rows:
        raise AscentError(f"{path}: the task '{name}' has no score of the released stage; re-run compare_stages.")
    row, *_ = rows[name]
    dataset = _dataset_path(name, settings)
    return [
        EvalResult(
            task_type=row["type"],
            dataset_type=dataset,
            dataset_name=f"{name} ({entry['hf_subset']})",
            dataset_config=entry["hf_subset"],
            dataset_split=split,
            dataset_revision=result["dataset_revision"],
            metric_type=row["metric"],
            # With the task, because a hub merges the results of one data set and split.
            metric_name=f"{row['metric']} ({name})",
            metric_value=entry["main_score"],
        )
        for split, entries in result["scores"].items()
        for entry in entries
    ]


def _dataset_path(name: str, settings: ReleaseSettings) -> str:
    """Return the data set of a task by its id on the hub. Local tasks and aggregates have none, and are called by
    name."""
    import mteb

    if name in settings.recipe.evaluate.tasks:
        return f"local/{name}"
    task = mteb.get_task(name)
    return f"mteb/{name}" if task.is_aggregate else task.metadata.dataset["path"]
