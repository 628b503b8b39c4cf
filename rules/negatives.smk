# In: the shards of an earlier stage's model. Out: hard negatives for each pair, and the audit of their choice.


def shards_to_mine(wildcards):
    """All shards of a data set by the model that the stage mines with."""
    mining = recipes.recipes[wildcards.recipe].stages[wildcards.stage].mining
    count = recipes.recipes[wildcards.recipe].shards
    folder = f"results/{wildcards.recipe}/{mining.model}/shards/{wildcards.dataset}"
    return [f"{folder}/fingerprint-{shard:05d}-of-{count:05d}.json" for shard in range(count)]


rule mine_negatives:
    input:
        settings="results/{recipe}/{stage}/stage.yaml",
        pairs="results/pairs/{dataset}/pairs.parquet",
        shards=shards_to_mine,
    output:
        negatives="results/{recipe}/{stage}/negatives/{dataset}.parquet",
        audit="results/{recipe}/{stage}/negatives/{dataset}.audit.json",
    params:
        revision=1,
        folder=lambda wildcards, input: dirname(input.shards[0]),
        shards=lambda wildcards, input: len(input.shards),
    threads: 8
    log:
        "logs/{recipe}/{stage}/negatives/{dataset}.log",
    benchmark:
        "benchmarks/{recipe}/{stage}/negatives/{dataset}.tsv"
    conda:
        "../envs/ascent.yaml"
    shell:
        "python scripts/mine_negatives.py --settings {input.settings} --pairs {input.pairs} "
        "--shards {params.folder} --count {params.shards} --output {output.negatives} "
        "--audit {output.audit} > {log} 2>&1"
