# In: scores, metrics and audits. Out: the figures and pages of the report.


report: "../docs/report/workflow.rst"


rule draw_curves:
    input:
        stage_metrics,
    output:
        report(
            CURVES,
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
        stages=trained_stages,
    shell:
        call_script(
            "draw_curves.py --stages {params.stages} --metrics {input} --output {output} > {log} 2>&1"
        )


rule draw_radar:
    input:
        SCORES,
    output:
        report(
            RADAR,
            category="{recipe}",
            caption="../docs/report/radar.rst",
        ),
        RADAR_IMAGE,
    log:
        "logs/{recipe}/draw_radar.log",
    benchmark:
        "benchmarks/{recipe}/draw_radar.tsv"
    conda:
        ENVIRONMENT
    params:
        revision=2,
    shell:
        call_script("draw_radar.py --scores {input} --output {output} > {log} 2>&1")


rule render_tables:
    input:
        scores=SCORES,
        significance=SIGNIFICANCE,
        audits=recipe_audits,
    output:
        scores=report(
            SCORES_PAGE,
            category="{recipe}",
            caption="../docs/report/scores.rst",
        ),
        significance=report(
            SIGNIFICANCE_PAGE,
            category="{recipe}",
            caption="../docs/report/significance.rst",
        ),
        audits=report(
            AUDITS_PAGE,
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
        revision=2,
    shell:
        call_script(
            "render_tables.py --scores {input.scores} --significance {input.significance} "
            "--audits {input.audits} --scores-page {output.scores} --significance-page {output.significance} "
            "--audits-page {output.audits} > {log} 2>&1"
        )


rule render_overview:
    input:
        settings=RELEASE_SETTINGS,
        scores=SCORES,
        significance=SIGNIFICANCE,
        audits=recipe_audits,
    output:
        report(
            OVERVIEW,
            category="{recipe}",
            caption="../docs/report/overview.rst",
        ),
    log:
        "logs/{recipe}/render_overview.log",
    benchmark:
        "benchmarks/{recipe}/render_overview.tsv"
    conda:
        ENVIRONMENT
    params:
        revision=2,
        pages=recipe_pages,
    shell:
        call_script(
            "render_overview.py --settings {input.settings} --scores {input.scores} "
            "--significance {input.significance} --audits {input.audits} --pages {params.pages} "
            "--output {output} > {log} 2>&1"
        )
