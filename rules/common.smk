# In: config/config.yaml and the recipes. Out: each step's settings file, and the few names that rules share.
import re
from os.path import dirname

from snakemake.exceptions import WorkflowError

from scripts.ascent.errors import AscentError
from scripts.ascent.recipes import load_recipes, settings_files

try:
    recipes = load_recipes(config)
    SETTINGS = settings_files(recipes)
except AscentError as error:
    raise WorkflowError(str(error)) from None

RECIPES = list(recipes.recipes)
PAGES = ["curves.svg", "radar.svg", "scores.html", "significance.html", "audits.html"]
CORPUS_PAIRS = "results/corpora/{corpus}/pairs.parquet"
CORPUS_DOCUMENTS = "results/corpora/{corpus}/documents.parquet"
SCORES = "results/pairs/{dataset}/scores.parquet"
PAIRS = "results/pairs/{dataset}/pairs.parquet"
NEGATIVES = "results/{recipe}/{stage}/negatives/{dataset}.parquet"
MODEL = "results/{recipe}/{stage}/model"
METRICS = "results/{recipe}/{stage}/metrics.jsonl"
RESULT = "results/{recipe}/{stage}/mteb/{task}.json"


def any_of(names):
    """A regular expression that matches these names only, or nothing when there are none."""
    return "|".join(re.escape(name) for name in names) or "(?!)"


wildcard_constraints:
    recipe=any_of(RECIPES),
    stage=any_of(["base", *recipes.stage_names]),
    corpus=any_of(recipes.config.corpora),
    model=any_of(recipes.config.models),
    dataset=any_of(recipes.datasets),
    task=r"[^/]+",
    shard=r"\d{5}",
    shards=r"\d{5}",


rule write_settings:
    output:
        "{settings}.yaml",
    wildcard_constraints:
        settings=any_of(path.removesuffix(".yaml") for path in SETTINGS),
    params:
        text=lambda wildcards: SETTINGS[f"{wildcards.settings}.yaml"],
    log:
        "logs/write_settings/{settings}.log",
    shell:
        "printf '%s' {params.text:q} > {output} 2> {log}"
