# In: a corpus's pairs. Out: training pairs that passed every filter, and the counts of those that did not; the test
# texts found among them.


# One pass over a part of a data set; recipes/dataset_steps.py says which filters are in which pass.
rule filter_pairs:
    input:
        settings=FILTERING,
        rows=rows_before,
        audit=audit_before,
        measured=measured_tables,
        against=tables_against,
        models=counting_models,
    output:
        pairs=FILTERED,
        audit=FILTERED_AUDIT,
        dropped=DROPPED,
    log:
        "logs/{folder}/{key}/filter_pairs/{part}-of-{parts}.log",
    benchmark:
        "benchmarks/{folder}/{key}/filter_pairs/{part}-of-{parts}.tsv"
    conda:
        ENVIRONMENT
    resources:
        # A batch of rows, DuckDB, and the test texts of tasks.
        mem_mb=by_attempt(8_000),
        runtime=by_attempt(480),
    params:
        revision=6,
        name=dataset_of_pass,
        place=place_of_part,
    shell:
        call_script(
            "filter_pairs.py --name {params.name} --settings {input.settings} --rows {input.rows} --place {params.place} "
            "--audit-before {input.audit} --measured {input.measured} --against {input.against} "
            "--models {input.models} --parts {wildcards.parts} --output {output.pairs} --audit {output.audit} "
            "--dropped {output.dropped} > {log} 2>&1"
        )


rule score_pairs:
    input:
        settings=SCORING,
        pairs=measured_rows,
        teacher=measuring_model,
    output:
        PAIR_SCORES,
    log:
        "logs/scored/{key}/score_pairs/{part}-of-{parts}.log",
    benchmark:
        "benchmarks/scored/{key}/score_pairs/{part}-of-{parts}.tsv"
    conda:
        ENVIRONMENT
    threads: 8
    resources:
        gpu=1,
        mem_mb=by_attempt(32_000),
        runtime=by_attempt(480),
    params:
        revision=1,
    shell:
        call_script(
            "score_pairs.py --settings {input.settings} --pairs {input.pairs} "
            "--teacher {input.teacher} --output {output} > {log} 2>&1"
        )


# The documents of a data set among which its positives are ranked.
rule embed_ranked_pool:
    input:
        settings=RANKING,
        pairs=all_measured_rows,
        teacher=measuring_model,
    output:
        pool=RANKED_POOL,
        ids=RANKED_POOL_IDS,
    log:
        "logs/ranked/{key}/embed_ranked_pool.log",
    benchmark:
        "benchmarks/ranked/{key}/embed_ranked_pool.tsv"
    conda:
        ENVIRONMENT
    threads: 8
    resources:
        gpu=1,
        mem_mb=by_attempt(32_000),
        runtime=by_attempt(480),
    params:
        revision=1,
    shell:
        call_script(
            "embed_ranked_pool.py --settings {input.settings} --pairs {input.pairs} "
            "--teacher {input.teacher} --ids {output.ids} --output {output.pool} > {log} 2>&1"
        )


# The rank of each pair's positive in the pool. The parts' rows together say which documents also answer a query.
rule rank_pairs:
    input:
        settings=RANKING,
        pairs=measured_rows,
        parts=all_measured_rows,
        teacher=measuring_model,
        pool=RANKED_POOL,
        ids=RANKED_POOL_IDS,
    output:
        PAIR_RANKS,
    log:
        "logs/ranked/{key}/rank_pairs/{part}-of-{parts}.log",
    benchmark:
        "benchmarks/ranked/{key}/rank_pairs/{part}-of-{parts}.tsv"
    conda:
        ENVIRONMENT
    threads: 8
    resources:
        gpu=1,
        mem_mb=by_attempt(32_000),
        runtime=by_attempt(480),
    params:
        revision=1,
    shell:
        call_script(
            "rank_pairs.py --settings {input.settings} --pairs {input.pairs} --all-pairs {input.parts} "
            "--teacher {input.teacher} --ids {input.ids} --pool {input.pool} --output {output} > {log} 2>&1"
        )


# How well a language model predicts both texts of each pair.
rule measure_perplexity:
    input:
        settings=PREDICTING,
        pairs=measured_rows,
        model=measuring_model,
    output:
        PERPLEXITIES,
    log:
        "logs/predicted/{key}/measure_perplexity/{part}-of-{parts}.log",
    benchmark:
        "benchmarks/predicted/{key}/measure_perplexity/{part}-of-{parts}.tsv"
    conda:
        ENVIRONMENT
    threads: 8
    resources:
        gpu=1,
        mem_mb=by_attempt(32_000),
        runtime=by_attempt(480),
    params:
        revision=1,
    shell:
        call_script(
            "measure_perplexity.py --settings {input.settings} --pairs {input.pairs} "
            "--model {input.model} --output {output} > {log} 2>&1"
        )


# The signatures by which near duplicates are found. Each part is signed once, and compared with all parts.
rule sign_pairs:
    input:
        settings=SIGNING,
        pairs=measured_rows,
    output:
        SIGNATURES,
    log:
        "logs/signed/{key}/sign_pairs/{part}-of-{parts}.log",
    benchmark:
        "benchmarks/signed/{key}/sign_pairs/{part}-of-{parts}.tsv"
    conda:
        ENVIRONMENT
    resources:
        runtime=by_attempt(480),
    params:
        revision=2,
    shell:
        call_script(
            "sign_pairs.py --settings {input.settings} --pairs {input.pairs} --output {output} > {log} 2>&1"
        )


# A check that fails leaves no file, and without one everything behind it would be trained again, though the task that
# leaked be taken back: then the last clean one stands in, older than what has changed since, so that the next run
# checks again.
for recipe in RECIPES:
    before, checked = LEAKAGE_BEFORE.format(recipe=recipe), LEAKAGE.format(recipe=recipe)
    if workflow.is_main_process and exists(before) and not exists(checked):
        copy2(before, checked)
        # Snakemake records the inputs of a check that failed, too, and would take them for checked.
        record_of(checked).unlink(missing_ok=True)


# The gate of every step that trains, or uses a GPU or much time for a recipe (CONTRIBUTING.md, "The leak check"). Each
# takes its output as `ancient`, so that a new task, which is checked before anything else, trains nothing again.
rule check_leakage:
    input:
        settings=LEAKAGE_SETTINGS,
        pairs=recipe_pairs,
        pools=lambda wildcards: documents_in(mined_corpora(wildcards)),
        searched=lambda wildcards: documents_in(searched_corpora(wildcards)),
        encoder=comparing_model,
        evaluation=evaluation_pairs,
        documents=evaluation_documents,
    output:
        LEAKAGE,
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
        revision=3,
        before=LEAKAGE_BEFORE,
        # No output: what a check found must stay when it fails.
        ledger=LEDGER,
        pools=lambda wildcards: words_of("--pool", mined_corpora(wildcards)),
        searched=lambda wildcards: words_of("--searched", searched_corpora(wildcards)),
    shell:
        call_script(
            "check_leakage.py --settings {input.settings} --pairs {input.pairs} {params.pools} "
            "--evaluation {input.evaluation} --documents {input.documents} {params.searched} --ledger {params.ledger} "
            "--encoder {input.encoder} --output {output} > {log} 2>&1 && cp -p {output} {params.before}"
        )
