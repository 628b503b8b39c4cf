# In: a parent's model, training pairs, and negatives where the stage mines them. Out: the stage's model and metrics.


def stage_of(wildcards):
    """A stage as its recipe has it."""
    return recipes.recipes[wildcards.recipe].stages[wildcards.stage]


def parent_models(wildcards):
    """The models that a stage starts from."""
    return [MODEL.format(recipe=wildcards.recipe, stage=parent) for parent in stage_of(wildcards).parents]


def training_pairs(wildcards):
    """The pairs of each of a stage's data sets."""
    return [PAIRS.format(dataset=dataset) for dataset in stage_of(wildcards).data]


def mined_negatives(wildcards):
    """The negatives of each of a stage's data sets."""
    return [
        NEGATIVES.format(recipe=wildcards.recipe, stage=wildcards.stage, dataset=dataset)
        for dataset in stage_of(wildcards).data
    ]


rule adopt_base:
    input:
        settings="results/{recipe}/{stage}/stage.yaml",
        resource=lambda wildcards: f"resources/models/{recipes.recipes[wildcards.recipe].base.model}",
    output:
        directory("results/{recipe}/{stage}/model"),
    wildcard_constraints:
        stage="base",
    params:
        revision=1,
    log:
        "logs/{recipe}/{stage}/adopt_base.log",
    benchmark:
        "benchmarks/{recipe}/{stage}/adopt_base.tsv"
    conda:
        "../envs/ascent.yaml"
    shell:
        "python scripts/adopt_base.py --settings {input.settings} --resource {input.resource} "
        "--output {output} > {log} 2>&1"


rule train_contrastive:
    input:
        settings="results/{recipe}/{stage}/stage.yaml",
        parent=parent_models,
        pairs=training_pairs,
    output:
        model=directory("results/{recipe}/{stage}/model"),
        metrics="results/{recipe}/{stage}/metrics.jsonl",
    wildcard_constraints:
        stage=any_of(recipes.stages("contrastive")),
    params:
        revision=1,
        negatives="",
    threads: 8
    log:
        "logs/{recipe}/{stage}/train_contrastive.log",
    benchmark:
        "benchmarks/{recipe}/{stage}/train_contrastive.tsv"
    conda:
        "../envs/ascent.yaml"
    shell:
        "python scripts/train_stage.py --settings {input.settings} --parent {input.parent} "
        "--pairs {input.pairs} {params.negatives} --output {output.model} "
        "--metrics {output.metrics} 2>&1 | tee {log}"


use rule train_contrastive as train_finetune with:
    input:
        settings="results/{recipe}/{stage}/stage.yaml",
        parent=parent_models,
        pairs=training_pairs,
        negatives=mined_negatives,
    wildcard_constraints:
        stage=any_of(recipes.stages("finetune")),
    params:
        revision=1,
        negatives=lambda wildcards, input: f"--negatives {input.negatives}",
    log:
        "logs/{recipe}/{stage}/train_finetune.log",
    benchmark:
        "benchmarks/{recipe}/{stage}/train_finetune.tsv"


rule merge_stages:
    input:
        settings="results/{recipe}/{stage}/stage.yaml",
        parents=parent_models,
    output:
        directory("results/{recipe}/{stage}/model"),
    wildcard_constraints:
        stage=any_of(recipes.stages("merge")),
    params:
        revision=1,
    log:
        "logs/{recipe}/{stage}/merge_stages.log",
    benchmark:
        "benchmarks/{recipe}/{stage}/merge_stages.tsv"
    conda:
        "../envs/ascent.yaml"
    shell:
        "python scripts/merge_stages.py --settings {input.settings} --parents {input.parents} "
        "--output {output} > {log} 2>&1"
