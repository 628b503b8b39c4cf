# In: scores, metrics and audits. Out: the figures and pages of the report.


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
