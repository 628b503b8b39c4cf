# In: training pairs, with a stage's mined negatives and its teacher's scores and embeddings, if any, and the base's
# tokenizer. Out: the texts as tokens, which training maps into memory.


rule tokenise_pairs:
    input:
        settings=TOKENISING,
        checked=ancient(LEAKAGE),
        # All stages have its tokenizer, and a parent would first have to be trained.
        model=BASE_MODEL,
        pairs=training_pairs,
        negatives=mined_negatives,
        scores=candidate_scores,
        embeddings=teacher_embeddings,
    output:
        directory(TOKENS),
    log:
        "logs/{recipe}/{stage}/tokens/{dataset}.log",
    benchmark:
        "benchmarks/{recipe}/{stage}/tokens/{dataset}.tsv"
    conda:
        ENVIRONMENT
    threads: 8
    resources:
        mem_mb=by_attempt(8_000),
        runtime=by_attempt(480),
    params:
        revision=4,
    shell:
        call_script(
            "tokenise_pairs.py --settings {input.settings} --model {input.model} "
            "--pairs {input.pairs} --negatives {input.negatives} --scores {input.scores} "
            "--embeddings {input.embeddings} --output {output} > {log} 2>&1"
        )
