# In: training pairs with the negatives that a stage trains on, and the stage's teacher. Out: the teacher's score of
# each document or embedding of each text, as the stage's losses need.


rule score_with_teacher:
    input:
        settings=TEACHING,
        checked=ancient(LEAKAGE),
        teacher=stage_teacher,
        pairs=training_pairs,
        negatives=mined_negatives,
    output:
        TEACHER_SCORES,
    log:
        "logs/{recipe}/{stage}/scores/{dataset}.log",
    benchmark:
        "benchmarks/{recipe}/{stage}/scores/{dataset}.tsv"
    conda:
        ENVIRONMENT
    threads: 8
    resources:
        gpu=1,
        # The weights as they are read and in float32.
        mem_mb=by_model("teacher", 32_000, copies=2),
        runtime=by_attempt(480),
    params:
        revision=3,
    shell:
        call_script(
            "score_with_teacher.py --settings {input.settings} --teacher {input.teacher} "
            "--pairs {input.pairs} --negatives {input.negatives} --output {output} > {log} 2>&1"
        )


rule embed_with_teacher:
    input:
        settings=TEACHING,
        checked=ancient(LEAKAGE),
        teacher=stage_teacher,
        pairs=training_pairs,
        negatives=mined_negatives,
    output:
        directory(TEACHER_EMBEDDINGS),
    log:
        "logs/{recipe}/{stage}/embeddings/{dataset}.log",
    benchmark:
        "benchmarks/{recipe}/{stage}/embeddings/{dataset}.tsv"
    conda:
        ENVIRONMENT
    threads: 8
    resources:
        gpu=1,
        # The weights as they are read and in float32.
        mem_mb=by_model("teacher", 32_000, copies=2),
        runtime=by_attempt(480),
    params:
        revision=3,
    shell:
        call_script(
            "embed_with_teacher.py --settings {input.settings} --teacher {input.teacher} "
            "--pairs {input.pairs} --negatives {input.negatives} --output {output} > {log} 2>&1"
        )
