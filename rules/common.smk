# In: the configuration. Out: the recipes, the wildcards, and the resources that rules name.
import re
import sys
from base64 import urlsafe_b64encode
from os.path import dirname, exists
from pathlib import Path
from shutil import copy2

from ascent.errors import AscentError
from ascent.layout import *
from ascent.recipes.loading import load_recipes
from ascent.recipes.local_files import check_local_files
from ascent.recipes.memory import memory_mb, mining_mb
from ascent.recipes.source_digests import update_digests
from ascent.recipes.step_settings import settings_files

try:
    # Files given on the command line are laid over the others, though they are read first.
    files = sorted(workflow.configfiles, key=lambda path: path in workflow.overwrite_configfiles)
    files = {path: held(path) for path in files} if workflow.is_main_process else {}
    given = {"--config": dict(workflow.config_settings.config)}
    recipes = load_recipes(config, files, given)
    SETTINGS = settings_files(recipes)
    if workflow.is_main_process:
        check_local_files(recipes)
        update_digests(recipes)
except AscentError as error:
    # Snakemake would name this file and line in front of an exception's message.
    sys.exit(f"error: {error}")

RECIPES = list(recipes.recipes)
ENVIRONMENT = f"../envs/{recipes.config.environment}.yaml"

REPORT = [page for recipe in RECIPES for page in recipes.pages(recipe)]


def any_of(names):
    """A regular expression that matches these names only, or nothing when there are none."""
    return "|".join(re.escape(name) for name in names) or "(?!)"


def any_stage(stages):
    """A regular expression that matches these stages only, each in its recipe's folder: (recipe, stage), ..."""
    return "|".join(rf"(?<=/{re.escape(recipe)}/){re.escape(stage)}" for recipe, stage in stages) or "(?!)"


def any_retrieved():
    """A regular expression that matches the corpora and models that files are retrieved for, each in the folder of its kind."""
    corpora = recipes.config.corpora.keys() - recipes.config.synthesised.keys()
    return rf"(?<=corpora/)(?:{any_of(sorted(corpora))})|(?<=models/)(?:{any_of(recipes.config.models)})"


wildcard_constraints:
    recipe=any_of(RECIPES),
    stage=any_stage(
        [(recipe, stage) for recipe in RECIPES for stage in ("base", *recipes.stages_by_path(recipe))]
    ),
    corpus=any_of(recipes.config.corpora),
    model=any_of(recipes.config.models),
    dataset=any_of({name for recipe in recipes.recipes.values() for name in recipe.data}),
    key=any_of([*recipes.passes_by_key, *recipes.measures_by_key]),
    folder="prepared|pairs",
    part=r"\d{5}",
    parts=r"\d{5}",
    pool=r"[^/]+",
    task=r"[^/]+",
    shard=r"\d{5}",
    shards=r"\d{5}",


def record_of(path):
    """Snakemake's record of how a file was made."""
    return Path(".snakemake/metadata") / urlsafe_b64encode(path.encode()).decode()


def by_attempt(first):
    """A resource that grows with a job's second and third attempt, for a job that ran out of it."""
    return lambda wildcards, attempt: first * min(attempt, 3)


def by_model(name, first, copies):
    """MB for a job that holds the weights of the models in its input `name` so many times, see memory_mb; grows by attempt."""

    def mem_mb(wildcards, input, attempt):
        folders = input[name] if isinstance(input[name], list) else [input[name]]
        return memory_mb(folders, first=first, copies=copies) * min(attempt, 3)

    return mem_mb


def by_documents(first):
    """MB for a job that mines negatives among the documents of its shards and pools, see mining_mb; grows by attempt."""

    def mem_mb(wildcards, input, attempt):
        return mining_mb([*input.shards, *input.pools], input.pairs, first=first) * min(attempt, 3)

    return mem_mb
