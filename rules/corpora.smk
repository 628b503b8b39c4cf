# In: sources named in config/corpora.yaml and config/models.yaml. Out: retrieved files, and each corpus as pairs and
# documents, in parts; also the test texts of mteb's tasks, which are kept out of training.


rule retrieve_resource:
    input:
        settings=RESOURCE_SETTINGS,
        files=files_of_source,
        base=adapted_model,
    output:
        directory(RESOURCE),
    log:
        "logs/resources/{kind}/{name}.log",
    benchmark:
        "benchmarks/resources/{kind}/{name}.tsv"
    wildcard_constraints:
        kind="corpora|models",
        name=any_retrieved(),
    conda:
        ENVIRONMENT
    resources:
        runtime=by_attempt(240),
    params:
        revision=1,
    shell:
        call_script(
            "retrieve_resource.py --kind {wildcards.kind} --settings {input.settings} "
            "--base {input.base} --output {output} > {log} 2>&1"
        )


rule normalise_corpus:
    input:
        settings=CORPUS_SETTINGS,
        resource=RETRIEVED_CORPUS,
        tokenizer=tokenizer_of_passages,
    output:
        pairs=CORPUS_PAIRS,
        documents=CORPUS_DOCUMENTS,
        audit=CORPUS_AUDIT,
    log:
        "logs/corpora/{corpus}/normalise_corpus/{part}-of-{parts}.log",
    benchmark:
        "benchmarks/corpora/{corpus}/normalise_corpus/{part}-of-{parts}.tsv"
    conda:
        ENVIRONMENT
    resources:
        # A batch of rows, and DuckDB.
        mem_mb=by_attempt(4_000),
        runtime=by_attempt(480),
    params:
        revision=6,
        # No output: the rows must stay when there are too many.
        set_aside=CORPUS_SET_ASIDE,
    shell:
        call_script(
            "normalise_corpus.py --name {wildcards.corpus} --settings {input.settings} "
            "--part {wildcards.part} --parts {wildcards.parts} --resource {input.resource} "
            "--tokenizer {input.tokenizer} --pairs {output.pairs} --documents {output.documents} "
            "--set-aside {params.set_aside} --audit {output.audit} > {log} 2>&1"
        )


rule list_evaluation_texts:
    output:
        texts=EVALUATION_TEXTS,
        documents=EVALUATION_DOCUMENTS,
    log:
        "logs/tested/{task}/list_evaluation_texts.log",
    benchmark:
        "benchmarks/tested/{task}/list_evaluation_texts.tsv"
    wildcard_constraints:
        task=any_of(recipes.tested_tasks),
    conda:
        ENVIRONMENT
    resources:
        mem_mb=by_attempt(16_000),
        runtime=by_attempt(240),
    params:
        revision=2,
    shell:
        call_script(
            "list_evaluation_texts.py --task {wildcards.task:q} --output {output.texts:q} "
            "--documents {output.documents:q} > {log:q} 2>&1"
        )
