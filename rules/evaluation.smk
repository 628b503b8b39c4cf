# In: the stages' models and the tasks. Out: mteb's results, and scores with intervals.


rule evaluate_task:
    input:
        settings=task_settings,
        checked=ancient(LEAKAGE),
        model=MODEL,
        pairs=task_pairs,
        documents=task_documents,
        pools=lambda wildcards: documents_in(task_corpora(wildcards)),
    output:
        result=RESULT,
        units=RESULT_UNITS,
    log:
        "logs/{recipe}/{stage}/evaluate_task/{task}.log",
    benchmark:
        "benchmarks/{recipe}/{stage}/evaluate_task/{task}.tsv"
    conda:
        ENVIRONMENT
    resources:
        gpu=1,
        mem_mb=by_model("model", 32_000, copies=2),
        runtime=by_attempt(480),
    params:
        revision=7,
        pools=lambda wildcards: words_of("--pool", task_corpora(wildcards)),
    shell:
        call_script(
            "evaluate_task.py --settings {input.settings} --model {input.model} "
            "--recipe {wildcards.recipe} --stage {wildcards.stage} --pairs {input.pairs} --documents {input.documents} "
            "{params.pools} --output {output.result} --units {output.units} > {log} 2>&1"
        )


rule compare_stages:
    input:
        # Not `ancient`: what follows from a task that is added or removed must be seen from here on.
        checked=LEAKAGE,
        results=task_results,
        choices=recipe_choices,
    output:
        scores=SCORES,
        significance=SIGNIFICANCE,
    log:
        "logs/{recipe}/compare_stages.log",
    benchmark:
        "benchmarks/{recipe}/compare_stages.tsv"
    conda:
        ENVIRONMENT
    params:
        revision=3,
        against=parents_compared,
    shell:
        call_script(
            "compare_stages.py --results {input.results} --against {params.against} --choices {input.choices} "
            "--scores {output.scores} --significance {output.significance} > {log} 2>&1"
        )
