# In: a corpus's pairs. Out: training pairs that passed every filter, and the count of those that did not.


def corpus_pairs(wildcards):
    """The corpus of a data set."""
    return CORPUS_PAIRS.format(corpus=recipes.datasets[wildcards.dataset].corpus)


def decontamination_pairs(wildcards):
    """The corpora whose test texts are kept out of a data set."""
    return [CORPUS_PAIRS.format(corpus=corpus) for corpus in recipes.datasets[wildcards.dataset].decontaminate]


def teacher_model(wildcards):
    """The model that scores a data set's pairs."""
    return f"resources/models/{recipes.datasets[wildcards.dataset].teacher.model}"


def pair_scores(wildcards):
    """A data set's scores; none when it has no teacher."""
    return SCORES.format(dataset=wildcards.dataset) if recipes.datasets[wildcards.dataset].teacher else []


rule prepare_pairs:
    input:
        settings="results/pairs/{dataset}/dataset.yaml",
        pairs=corpus_pairs,
        against=decontamination_pairs,
    output:
        pairs="results/pairs/{dataset}/prepared.parquet",
        audit="results/pairs/{dataset}/prepared.json",
    params:
        revision=1,
    log:
        "logs/pairs/{dataset}/prepare_pairs.log",
    benchmark:
        "benchmarks/pairs/{dataset}/prepare_pairs.tsv"
    conda:
        "../envs/ascent.yaml"
    shell:
        "python scripts/prepare_pairs.py --name {wildcards.dataset} --settings {input.settings} "
        "--pairs {input.pairs} --against {input.against} --output {output.pairs} --audit {output.audit} > {log} 2>&1"


rule score_pairs:
    input:
        settings="results/pairs/{dataset}/dataset.yaml",
        pairs="results/pairs/{dataset}/prepared.parquet",
        teacher=teacher_model,
    output:
        "results/pairs/{dataset}/scores.parquet",
    params:
        revision=1,
    threads: 8
    log:
        "logs/pairs/{dataset}/score_pairs.log",
    benchmark:
        "benchmarks/pairs/{dataset}/score_pairs.tsv"
    conda:
        "../envs/ascent.yaml"
    shell:
        "python scripts/score_pairs.py --settings {input.settings} --pairs {input.pairs} "
        "--teacher {input.teacher} --output {output} > {log} 2>&1"


rule filter_pairs:
    input:
        settings="results/pairs/{dataset}/dataset.yaml",
        prepared="results/pairs/{dataset}/prepared.parquet",
        audit="results/pairs/{dataset}/prepared.json",
        scores=pair_scores,
    output:
        pairs="results/pairs/{dataset}/pairs.parquet",
        audit="results/pairs/{dataset}/audit.json",
    params:
        revision=1,
    log:
        "logs/pairs/{dataset}/filter_pairs.log",
    benchmark:
        "benchmarks/pairs/{dataset}/filter_pairs.tsv"
    conda:
        "../envs/ascent.yaml"
    shell:
        "python scripts/filter_pairs.py --settings {input.settings} --prepared {input.prepared} "
        "--prepared-audit {input.audit} --scores {input.scores} --output {output.pairs} "
        "--audit {output.audit} > {log} 2>&1"
