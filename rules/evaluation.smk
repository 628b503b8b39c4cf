# In: each stage's model and the tasks. Out: mteb's results, scores with intervals, and the figures and pages of the report.


rule check_leakage:
    input:
        pairs=recipe_pairs,
        evaluation=evaluation_pairs,
    output:
        "results/{recipe}/leakage.json",
    log:
        "logs/{recipe}/check_leakage.log",
    benchmark:
        "benchmarks/{recipe}/check_leakage.tsv"
    # A leak is found before days of training, not after.
    priority: 100
    conda:
        ENVIRONMENT
    resources:
        mem_mb=by_attempt(16_000),
    params:
        revision=1,
        splits=evaluation_splits,
    shell:
        "python scripts/check_leakage.py --pairs {input.pairs} --evaluation {input.evaluation} "
        "--splits {params.splits} --output {output} > {log} 2>&1"


rule evaluate_task:
    input:
        settings="results/{recipe}/tasks/{task}.yaml",
        model="results/{recipe}/{stage}/model",
        pairs=task_pairs,
        documents=task_documents,
    output:
        result="results/{recipe}/{stage}/mteb/{task}.json",
        units="results/{recipe}/{stage}/mteb/{task}.units.parquet",
    log:
        "logs/{recipe}/{stage}/evaluate_task/{task}.log",
    benchmark:
        "benchmarks/{recipe}/{stage}/evaluate_task/{task}.tsv"
    conda:
        ENVIRONMENT
    resources:
        gpu=1,
        mem_mb=by_attempt(32_000),
        runtime=by_attempt(480),
    params:
        revision=1,
    shell:
        "python scripts/evaluate_task.py --settings {input.settings} --model {input.model} "
        "--name ascent/{wildcards.recipe}-{wildcards.stage} --pairs {input.pairs} --documents {input.documents} "
        "--output {output.result} --units {output.units} > {log} 2>&1"


rule score_stages:
    input:
        task_results,
    output:
        scores="results/{recipe}/scores.tsv",
        significance="results/{recipe}/significance.tsv",
    log:
        "logs/{recipe}/score_stages.log",
    benchmark:
        "benchmarks/{recipe}/score_stages.tsv"
    conda:
        ENVIRONMENT
    params:
        revision=1,
    shell:
        "python scripts/score_stages.py --recipe {wildcards.recipe} --results {input} "
        "--scores {output.scores} --significance {output.significance} > {log} 2>&1"


rule draw_curves:
    input:
        stage_metrics,
    output:
        report(
            "results/{recipe}/report/curves.svg",
            category="{recipe}",
            caption="../docs/report/curves.rst",
        ),
    log:
        "logs/{recipe}/draw_curves.log",
    benchmark:
        "benchmarks/{recipe}/draw_curves.tsv"
    conda:
        ENVIRONMENT
    params:
        revision=1,
    shell:
        "python scripts/draw_curves.py --metrics {input} --output {output} > {log} 2>&1"


rule draw_radar:
    input:
        "results/{recipe}/scores.tsv",
    output:
        report(
            "results/{recipe}/report/radar.svg",
            category="{recipe}",
            caption="../docs/report/radar.rst",
        ),
        "results/{recipe}/report/radar.png",
    log:
        "logs/{recipe}/draw_radar.log",
    benchmark:
        "benchmarks/{recipe}/draw_radar.tsv"
    conda:
        ENVIRONMENT
    params:
        revision=1,
    shell:
        "python scripts/draw_radar.py --scores {input} --output {output} > {log} 2>&1"


rule render_tables:
    input:
        scores="results/{recipe}/scores.tsv",
        significance="results/{recipe}/significance.tsv",
        audits=recipe_audits,
    output:
        scores=report(
            "results/{recipe}/report/scores.html",
            category="{recipe}",
            caption="../docs/report/scores.rst",
        ),
        significance=report(
            "results/{recipe}/report/significance.html",
            category="{recipe}",
            caption="../docs/report/significance.rst",
        ),
        audits=report(
            "results/{recipe}/report/audits.html",
            category="{recipe}",
            caption="../docs/report/audits.rst",
        ),
    log:
        "logs/{recipe}/render_tables.log",
    benchmark:
        "benchmarks/{recipe}/render_tables.tsv"
    conda:
        ENVIRONMENT
    params:
        revision=1,
    shell:
        "python scripts/render_tables.py --scores {input.scores} --significance {input.significance} "
        "--audits {input.audits} --scores-page {output.scores} --significance-page {output.significance} "
        "--audits-page {output.audits} > {log} 2>&1"
