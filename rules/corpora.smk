# In: sources named in config/config.yaml. Out: retrieved files, and each corpus in one form, pairs and documents.


def files_of_source(wildcards):
    """The files of this machine that a source reads, so that an edit of one is seen."""
    source = getattr(recipes.config, wildcards.kind)[wildcards.name].source
    return source.paths if source.type == "files" else []


rule retrieve_resource:
    input:
        settings="resources/{kind}/{name}.yaml",
        files=files_of_source,
    output:
        directory("resources/{kind}/{name}"),
    wildcard_constraints:
        kind="corpora|models",
        name=any_of([*recipes.config.corpora, *recipes.config.models]),
    params:
        revision=1,
    log:
        "logs/resources/{kind}/{name}.log",
    benchmark:
        "benchmarks/resources/{kind}/{name}.tsv"
    conda:
        "../envs/ascent.yaml"
    shell:
        "python scripts/retrieve_resource.py --kind {wildcards.kind} --settings {input.settings} "
        "--output {output} > {log} 2>&1"


rule normalise_corpus:
    input:
        settings="results/corpora/{corpus}/corpus.yaml",
        resource="resources/corpora/{corpus}",
    output:
        pairs="results/corpora/{corpus}/pairs.parquet",
        documents="results/corpora/{corpus}/documents.parquet",
        audit="results/corpora/{corpus}/audit.json",
    params:
        revision=1,
    log:
        "logs/corpora/{corpus}/normalise_corpus.log",
    benchmark:
        "benchmarks/corpora/{corpus}/normalise_corpus.tsv"
    conda:
        "../envs/ascent.yaml"
    shell:
        "python scripts/normalise_corpus.py --name {wildcards.corpus} --settings {input.settings} "
        "--resource {input.resource} --pairs {output.pairs} --documents {output.documents} "
        "--audit {output.audit} > {log} 2>&1"
