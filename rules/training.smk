# In: parents' models and the tokens of the data sets. Out: the stage's model and metrics, the audit of replaced
# negatives, the weights that were chosen for a merge.


rule import_base:
    input:
        settings=STAGE_SETTINGS,
        resource=base_model,
    output:
        directory(MODEL),
    log:
        "logs/{recipe}/{stage}/import_base.log",
    benchmark:
        "benchmarks/{recipe}/{stage}/import_base.tsv"
    wildcard_constraints:
        stage="base",
    conda:
        ENVIRONMENT
    resources:
        # Loaded in float32 to be checked, and again to be saved; the files may hold 16 bits.
        mem_mb=by_model("resource", 32_000, copies=4),
    params:
        revision=2,
    shell:
        call_script(
            "import_base.py --settings {input.settings} --resource {input.resource} "
            "--output {output} > {log} 2>&1"
        )


rule train_contrastive:
    input:
        settings=STAGE_SETTINGS,
        # Changes nothing that comes out.
        running=ancient(RUNNING),
        checked=ancient(LEAKAGE),
        parent=parent_models,
        tokens=stage_tokens,
    output:
        model=directory(MODEL),
        metrics=METRICS,
        deepspeed=DEEPSPEED,
    log:
        "logs/{recipe}/{stage}/train_contrastive.log",
    benchmark:
        "benchmarks/{recipe}/{stage}/train_contrastive.tsv"
    wildcard_constraints:
        stage=any_stage(recipes.stages("contrastive")),
    conda:
        ENVIRONMENT
    threads: 8
    resources:
        gpu=1,
        nodes=1,
        mem_mb=by_attempt(64_000),
        # Not longer by attempt: training resumes where it stopped.
        runtime=1440,
    params:
        revision=5,
    # A signal that ends the job is for the training alone, which then writes a checkpoint and says so.
    shell:
        call_script(
            "train_stage.py --settings {input.settings} --running {input.running} "
            "--parent {input.parent} --tokens {input.tokens} --output {output.model} "
            "--metrics {output.metrics} --deepspeed {output.deepspeed} --revision {params.revision} "
            "--nodes {resources.nodes} > {log} 2>&1",
            before="trap '' TERM INT USR1; ",
        )


use rule train_contrastive as train_pretrain with:
    log:
        "logs/{recipe}/{stage}/train_pretrain.log",
    benchmark:
        "benchmarks/{recipe}/{stage}/train_pretrain.tsv"
    wildcard_constraints:
        stage=any_stage(recipes.stages("pretrain")),


use rule train_contrastive as train_finetune with:
    log:
        "logs/{recipe}/{stage}/train_finetune.log",
    benchmark:
        "benchmarks/{recipe}/{stage}/train_finetune.tsv"
    wildcard_constraints:
        stage=any_stage(recipes.stages("finetune")),


rule audit_replacements:
    input:
        METRICS,
    output:
        REPLACEMENTS,
    log:
        "logs/{recipe}/{stage}/audit_replacements.log",
    benchmark:
        "benchmarks/{recipe}/{stage}/audit_replacements.tsv"
    conda:
        ENVIRONMENT
    params:
        revision=2,
    shell:
        call_script(
            "audit_replacements.py --metrics {input} --stage {wildcards.stage} "
            "--output {output} > {log} 2>&1"
        )


rule choose_weights:
    input:
        settings=STAGE_SETTINGS,
        checked=ancient(LEAKAGE),
        parents=parent_models,
        tokens=stage_tokens,
        trained=tokens_trained_before,
    output:
        CHOICE,
    log:
        "logs/{recipe}/{stage}/choose_weights.log",
    benchmark:
        "benchmarks/{recipe}/{stage}/choose_weights.tsv"
    conda:
        ENVIRONMENT
    threads: 8
    resources:
        gpu=1,
        # One model; the parents' files are mapped.
        mem_mb=by_model("parents", 32_000, copies=1),
        runtime=by_attempt(480),
    params:
        revision=1,
    shell:
        call_script(
            "choose_weights.py --settings {input.settings} --parents {input.parents} "
            "--tokens {input.tokens} --trained {input.trained} --output {output} > {log} 2>&1"
        )


rule merge_stages:
    input:
        settings=STAGE_SETTINGS,
        parents=parent_models,
        weights=chosen_weights,
    output:
        directory(MODEL),
    log:
        "logs/{recipe}/{stage}/merge_stages.log",
    benchmark:
        "benchmarks/{recipe}/{stage}/merge_stages.tsv"
    wildcard_constraints:
        stage=any_stage(recipes.stages("merge")),
    conda:
        ENVIRONMENT
    resources:
        # The merged model; the parents' files are mapped.
        mem_mb=by_model("parents", 32_000, copies=1),
    params:
        revision=1,
    shell:
        call_script(
            "merge_stages.py --settings {input.settings} --parents {input.parents} "
            "--weights {input.weights} --output {output} > {log} 2>&1"
        )
