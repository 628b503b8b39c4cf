# In: training pairs, corpora to mine in, and the model of an earlier stage. Out: embeddings in shards, each with a
# fingerprint; each pair's hard negatives, and their audit.


rule encode_shard:
    input:
        settings=SHARD_SETTINGS,
        checked=ancient(LEAKAGE),
        model=MODEL,
        pairs=training_pairs,
    output:
        multiext(
            SHARD_QUERIES,
            ".npy",
            ".ids.npy",
        ),
        multiext(
            SHARD_DOCUMENTS,
            ".npy",
            ".ids.npy",
        ),
        fingerprint=SHARD_FINGERPRINT,
    log:
        "logs/{recipe}/{stage}/shards/{dataset}/{shard}-of-{shards}.log",
    benchmark:
        "benchmarks/{recipe}/{stage}/shards/{dataset}/{shard}-of-{shards}.tsv"
    conda:
        ENVIRONMENT
    threads: 8
    resources:
        gpu=1,
        # The weights as they are read and in float32.
        mem_mb=by_model("model", 32_000, copies=2),
        runtime=by_attempt(480),
    params:
        revision=2,
    shell:
        call_script(
            "encode_shard.py --settings {input.settings} --model {input.model} --pairs {input.pairs} "
            "--shard {wildcards.shard} --shards {wildcards.shards} "
            "--output $(dirname {output.fingerprint}) > {log} 2>&1"
        )


rule encode_pool:
    input:
        settings=POOL_SETTINGS,
        checked=ancient(LEAKAGE),
        model=MODEL,
        documents=documents_of_shard,
        against=tables_against_pool,
    output:
        multiext(
            POOL_DOCUMENTS,
            ".npy",
            ".ids.npy",
        ),
        fingerprint=POOL_FINGERPRINT,
    log:
        "logs/{recipe}/{stage}/pools/{pool}/{shard}-of-{shards}.log",
    benchmark:
        "benchmarks/{recipe}/{stage}/pools/{pool}/{shard}-of-{shards}.tsv"
    conda:
        ENVIRONMENT
    threads: 8
    resources:
        gpu=1,
        # The weights as they are read and in float32.
        mem_mb=by_model("model", 32_000, copies=2),
        runtime=by_attempt(480),
    params:
        revision=1,
        share=share_of_shard,
    shell:
        call_script(
            "encode_pool.py --settings {input.settings} --model {input.model} --documents {input.documents} "
            "--against {input.against} --share {params.share} --shard {wildcards.shard} {wildcards.shards} "
            "--output $(dirname {output.fingerprint}) > {log} 2>&1"
        )


rule mine_negatives:
    input:
        settings=SELECTION,
        pairs=training_pairs,
        shards=shards_of_miner,
        pools=shards_of_pools,
        documents=documents_of_pools,
    output:
        negatives=NEGATIVES,
        audit=NEGATIVES_AUDIT,
    log:
        "logs/{recipe}/{stage}/negatives/{dataset}.log",
    benchmark:
        "benchmarks/{recipe}/{stage}/negatives/{dataset}.tsv"
    conda:
        ENVIRONMENT
    threads: 8
    resources:
        # A block of queries and one of documents, their nearest, and some numbers for each document and pair.
        mem_mb=by_documents(16_000),
        runtime=by_attempt(480),
    params:
        revision=4,
        folder=lambda wildcards, input: dirname(input.shards[0]),
        shards=lambda wildcards, input: len(input.shards),
        pools=words_of_pools,
    shell:
        call_script(
            "mine_negatives.py --settings {input.settings} --pairs {input.pairs} "
            "--shards {params.folder} --count {params.shards} {params.pools} "
            "--stage {wildcards.stage} --dataset {wildcards.dataset} "
            "--output {output.negatives} --audit {output.audit} > {log} 2>&1"
        )
