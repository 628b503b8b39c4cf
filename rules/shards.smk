# In: training pairs and a stage's model. Out: their embeddings in shards, each with a fingerprint.


rule encode_shard:
    input:
        model="results/{recipe}/{stage}/model",
        pairs="results/pairs/{dataset}/pairs.parquet",
    output:
        multiext(
            "results/{recipe}/{stage}/shards/{dataset}/queries-{shard}-of-{shards}",
            ".npy",
            ".ids.npy",
        ),
        multiext(
            "results/{recipe}/{stage}/shards/{dataset}/documents-{shard}-of-{shards}",
            ".npy",
            ".ids.npy",
        ),
        fingerprint="results/{recipe}/{stage}/shards/{dataset}/fingerprint-{shard}-of-{shards}.json",
    log:
        "logs/{recipe}/{stage}/shards/{dataset}/{shard}-of-{shards}.log",
    benchmark:
        "benchmarks/{recipe}/{stage}/shards/{dataset}/{shard}-of-{shards}.tsv"
    conda:
        ENVIRONMENT
    resources:
        gpu=1,
        mem_mb=by_attempt(32_000),
        runtime=by_attempt(480),
    params:
        revision=1,
        task=task_of_dataset,
    shell:
        "python scripts/encode_shard.py --model {input.model} --pairs {input.pairs} --task {params.task} "
        "--shard {wildcards.shard} --shards {wildcards.shards} "
        "--output $(dirname {output.fingerprint}) > {log} 2>&1"
