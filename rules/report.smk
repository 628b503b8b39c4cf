# In: scores, metrics, audits, corpora and training pairs. Out: the figures and pages of the report.


report: "../docs/report/workflow.rst"


rule draw_curves:
    input:
        stage_metrics,
    output:
        report(
            CURVES,
            category="{recipe}",
            labels={"page": "Curves"},
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
            labels={"page": "Radar"},
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
            labels={"page": "Scores"},
            caption="../docs/report/scores.rst",
        ),
        significance=report(
            SIGNIFICANCE_PAGE,
            category="{recipe}",
            labels={"page": "Significance"},
            caption="../docs/report/significance.rst",
        ),
        audits=report(
            AUDITS_PAGE,
            category="{recipe}",
            labels={"page": "Audits"},
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


rule draw_flow:
    input:
        recipe_data_audits,
    output:
        report(
            FLOW,
            category="{recipe}",
            labels={"page": "From rows to pairs"},
            caption="../docs/report/flow.rst",
        ),
    log:
        "logs/{recipe}/draw_flow.log",
    benchmark:
        "benchmarks/{recipe}/draw_flow.tsv"
    conda:
        ENVIRONMENT
    params:
        revision=1,
    shell:
        call_script("draw_flow.py --audits {input} --output {output} > {log} 2>&1")


rule describe_rows:
    input:
        pairs=described_pairs,
        documents=described_documents,
        model=RETRIEVED_MODEL,
    output:
        STATISTICS,
    log:
        "logs/{table}/describe_rows-{model}.log",
    benchmark:
        "benchmarks/{table}/describe_rows-{model}.tsv"
    wildcard_constraints:
        table="(?:corpora|pairs)/[^/]+",
    conda:
        ENVIRONMENT
    resources:
        # DuckDB, and texts of drawn rows.
        mem_mb=by_attempt(4_000),
        runtime=by_attempt(240),
    params:
        revision=3,
        name=described_name,
    shell:
        call_script(
            "describe_rows.py --name {params.name} --pairs {input.pairs} --documents {input.documents} "
            "--model {input.model} --output {output} > {log} 2>&1"
        )


rule render_statistics:
    input:
        statistics=recipe_statistics,
        audits=recipe_data_audits,
    output:
        report(
            STATISTICS_PAGE,
            category="{recipe}",
            labels={"page": "Statistics"},
            caption="../docs/report/statistics.rst",
        ),
    log:
        "logs/{recipe}/render_statistics.log",
    benchmark:
        "benchmarks/{recipe}/render_statistics.tsv"
    conda:
        ENVIRONMENT
    params:
        revision=2,
    shell:
        call_script(
            "render_statistics.py --statistics {input.statistics} --audits {input.audits} "
            "--output {output} > {log} 2>&1"
        )


rule render_samples:
    input:
        audits=sampled_audits,
        pairs=training_pairs,
        dropped=sampled_drops,
        scores=sampled_scores,
    output:
        report(
            SAMPLES_PAGE,
            category="{recipe}",
            labels={"page": "Samples of {dataset}"},
            caption="../docs/report/samples.rst",
        ),
    log:
        "logs/{recipe}/{dataset}/render_samples.log",
    benchmark:
        "benchmarks/{recipe}/{dataset}/render_samples.tsv"
    conda:
        ENVIRONMENT
    params:
        revision=3,
    shell:
        call_script(
            "render_samples.py --audits {input.audits} --pairs {input.pairs} --dropped {input.dropped} "
            "--scores {input.scores} --output {output} > {log} 2>&1"
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
            labels={"page": "Overview"},
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
