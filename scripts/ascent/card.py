"""The model card, and the folder that is released with it."""

import shutil
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from .contract import read_contract
from .errors import AscentError
from .files import folder_atomically, read_json
from .heads import write_code
from .model import prompt_name
from .report import environment, read_audits, verdict
from .settings import ReleaseSettings
from .stage_settings import MergeStage, Training
from .statistics import read_table
from .validation import dump

# What the released folder gives may differ this much from what was evaluated, as a share of the largest number or of 1.
TOLERANCE = 1e-5
PROBES = (
    "short",
    "What does a term life policy cover?",
    "A longer text, cut at the end if it must be. " * 60,
)


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


def release_model(settings: ReleaseSettings, model: Path, output: Path, *, radar: Path, results: list[Path], **files) -> None:
    """Write the release: the model, README.md, the radar, and mteb's results in the layout of its results repository.

    `results`: the released stage's <Task>.json; `files`: the other inputs of `make_card`. Raises AscentError when
    sentence-transformers, as a user would call it, gives another output than the one that was evaluated.
    """
    import json

    from .encoder import Encoder
    from .evaluation.model import model_meta

    release = settings.recipe.release
    with folder_atomically(output) as folder:
        shutil.copytree(model, folder, dirs_exist_ok=True)
        encoder = Encoder(folder, precision="float32")
        write_code(folder, encoder.contract)
        check_outputs(folder, encoder)
        shutil.copyfile(radar, folder / f"radar{radar.suffix}")
        upstream = settings.models[settings.recipe.base.model].upstream
        languages = sorted({corpus.language for corpus in settings.corpora.values()})
        meta = model_meta(encoder, release.name, license=release.licence, languages=languages, adapted_from=upstream or None)
        booked = folder / "results" / release.name.replace("/", "__") / meta.revision
        booked.mkdir(parents=True)
        for path in results:
            shutil.copyfile(path, booked / path.name)
        (booked / "model_meta.json").write_text(json.dumps(meta.to_dict(), default=str, indent=4))
        facts = {"dimension": meta.embed_dim, "parameters": meta.n_parameters, "revision": meta.revision}
        card = make_card(settings, model, results=results, facts=facts, radar=f"radar{radar.suffix}", **files)
        card.save(folder / "README.md")


def check_outputs(folder: Path, encoder) -> None:
    """Raise AscentError unless SentenceTransformer(folder) gives what the encoder gives, for every prompt it has: the embeddings,
    and what heads beside them give for each token."""
    import torch
    from sentence_transformers import SentenceTransformer

    # The code of a head is a copy of ours, which write_code has put there.
    plain = SentenceTransformer(str(folder), device=str(encoder.device), trust_remote_code=encoder.contract.heads.need_code)
    heads, special = encoder.contract.heads.beside, torch.tensor(encoder.tokenizer.all_special_ids)
    prompts = {(side, task) for side, tasks in encoder.contract.prompts.items() for task in tasks}
    for side, task in sorted(prompts | {("query", "retrieval"), ("document", "retrieval")}):
        ours = encoder.encode_tokens(PROBES, heads, side=side, task=task)
        theirs = plain.encode(list(PROBES), prompt_name=prompt_name(side, task), output_value=None)
        parts = [torch.stack([text["sentence_embedding"] for text in theirs])]
        for head in heads:
            name, of_tokens = encoder.model.heads[head].module_output_name, []
            for text, length in zip(theirs, ours.tokens.lengths.tolist(), strict=True):
                own = text["attention_mask"].bool() & ~torch.isin(text["input_ids"], special.to(text["input_ids"]))
                of_tokens.append(text[name][own][int(own.sum()) - length :])  # behind a prompt that is not pooled
            parts.append(torch.cat(of_tokens))
        for what, mine, other in zip(("embeddings", *heads), ours.parts, parts, strict=True):
            difference = float((mine - other).abs().max())
            if not difference <= TOLERANCE * max(1.0, float(mine.abs().max())):
                raise AscentError(
                    f"{folder}: sentence-transformers' {what} ({prompt_name(side, task)}) differ by {difference:.1e} from those "
                    "that were evaluated; its modules or prompts do not say what ascent.json says, so build the model again."
                )


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
