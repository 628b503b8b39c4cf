# In: the shards of an earlier stage's model. Out: hard negatives for each pair, and the audit of their choice.


rule mine_negatives:
    input:
        settings="results/{recipe}/{stage}/mining.yaml",
        pairs="results/pairs/{dataset}/pairs.parquet",
        shards=shards_of_miner,
    output:
        negatives="results/{recipe}/{stage}/negatives/{dataset}.parquet",
        audit="results/{recipe}/{stage}/negatives/{dataset}.audit.json",
    log:
        "logs/{recipe}/{stage}/negatives/{dataset}.log",
    benchmark:
        "benchmarks/{recipe}/{stage}/negatives/{dataset}.tsv"
    conda:
        ENVIRONMENT
    threads: 8
    resources:
        mem_mb=by_attempt(64_000),
        runtime=by_attempt(480),
    params:
        revision=2,
        folder=lambda wildcards, input: dirname(input.shards[0]),
        shards=lambda wildcards, input: len(input.shards),
    shell:
        "python scripts/mine_negatives.py --settings {input.settings} --pairs {input.pairs} "
        "--shards {params.folder} --count {params.shards} --output {output.negatives} "
        "--audit {output.audit} > {log} 2>&1"
