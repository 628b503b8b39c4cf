"""The settings file of each step, made from the recipes.

Nothing here imports torch or uses a network: every cluster job parses the workflow again.
"""

from .. import layout
from ..settings.corpora import Reading
from ..settings.model import Adoption
from ..settings.negatives import Selection
from ..settings.recipe import Recipe, ReleaseSettings
from ..settings.sources import Resource
from ..settings.synthesis import GeneratorSettings, Synthesis
from ..settings.teachers import Teaching
from ..settings.training import Running
from ..settings.validation import dump
from .dataset_steps import part
from .pools import pools_of_recipe
from .recipes import Recipes
from .synthesis import synthesis_settings

# Those of all settings files.
PATTERNS = [path for path in vars(layout).values() if isinstance(path, str) and path.endswith(".yaml")]


def settings_files(recipes: Recipes) -> dict[str, str]:
    """Return the text of every step's settings file, by path. A step sees nothing else of the configuration.

    Each file holds only what its step uses, because an edit re-runs the step: changing a licence must not download the
    corpus again, and changing a learning rate must not mine negatives again.
    """
    files = {}
    for kind in ("corpora", "models"):
        for name, resource in getattr(recipes.config, kind).items():
            synthesised = isinstance(resource.source, Synthesis)
            settings = synthesis_settings(recipes.config, name) if synthesised else part(Resource, resource)
            files[layout.RESOURCE_SETTINGS.format(kind=kind, name=name)] = dump(settings)
    for name, generator in recipes.config.generators.items():
        files[layout.GENERATOR_SETTINGS.format(generator=name)] = dump(GeneratorSettings(generator=generator))
    for name, corpus in recipes.config.corpora.items():
        files[layout.CORPUS_SETTINGS.format(corpus=name)] = dump(part(Reading, corpus))
    for steps in recipes.all_steps:
        for step in steps.passes:
            files[layout.FILTERING.format(folder=step.folder, key=step.key)] = dump(step.settings)
        for measure in steps.measures:
            settings, _ = layout.MEASURED[measure.measured]
            files[settings.format(key=measure.key)] = dump(measure.settings)
    for name, recipe in recipes.recipes.items():
        files[layout.STAGE_SETTINGS.format(recipe=name, stage="base")] = dump(part(Adoption, recipe.base))
        for stage, settings in recipe.stages.items():
            files[layout.STAGE_SETTINGS.format(recipe=name, stage=stage)] = recipes.stage_settings(name, stage)
            made_for = settings.data_name(stage)
            for dataset in settings.datasets_read:
                data = recipe.data[dataset]
                tokenising = settings.tokenising(recipes.contract(name, stage), dataset, data.task, data.prompts)
                files[layout.TOKENISING.format(recipe=name, stage=made_for, dataset=dataset)] = dump(tokenising)
                if settings.teacher_needs(dataset) and settings.teacher_model:
                    teaching = Teaching(teacher=settings.teacher_used, task=data.task)
                    files[layout.TEACHING.format(recipe=name, stage=made_for, dataset=dataset)] = dump(teaching)
            if settings.mining_used:
                files[layout.SELECTION.format(recipe=name, stage=made_for)] = dump(
                    part(Selection, settings.mining_used)
                )
                miner = settings.mining_used.model
                for dataset in filter(settings.mines_for, settings.datasets_read):
                    data = recipe.data[dataset]
                    tokenising = recipes.contract(name, miner).tokenising(data.task, data.prompts)
                    files[layout.SHARD_SETTINGS.format(recipe=name, stage=miner, dataset=dataset)] = dump(tokenising)
        for pool in pools_of_recipe(recipes, name):
            path = layout.POOL_SETTINGS.format(recipe=name, stage=pool.model, pool=pool.name)
            files[path] = dump(pool.encoding)
        for task, settings in recipes.tasks(name).items():
            if (path := recipes.task_settings[name, task]) not in files:
                files[path] = dump(settings)
        files[layout.LEAKAGE_SETTINGS.format(recipe=name)] = dump(recipes.leak_check(name))
        files[layout.RUNNING.format(recipe=name)] = dump(recipe.running)
        files[layout.RELEASE_SETTINGS.format(recipe=name)] = dump(_release(name, recipe, recipes))
    return files


def _release(name: str, recipe: Recipe, recipes: Recipes) -> ReleaseSettings:
    models = {recipe.base.model} | {model for data in recipe.data.values() for model in data.measured_by}
    models |= {model for stage in recipes.trained(name) if (model := recipe.stages[stage].teacher_model)}
    return ReleaseSettings(
        name=name,
        # How training was run changes nothing on the card.
        recipe=recipe.model_copy(update={"running": Running()}),
        corpora={corpus: recipes.config.corpora[corpus] for corpus in recipes.corpora_used(name)},
        models={model: recipes.config.models[model] for model in sorted(models)},
    )
