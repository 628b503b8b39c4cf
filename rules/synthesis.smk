# In: the documents or pairs of a corpus, a prompt, a generator. Out: the rows that the generator wrote about them, as
# the retrieved files of a corpus of their own, which is treated like any other from there on. Every answer is kept
# outside the output, which Snakemake removes before a job and after one that failed: what was answered is never asked
# again.


rule synthesise_corpus:
    input:
        settings=RESOURCE_SETTINGS.format(kind="corpora", name="{corpus}"),
        generator=synthesis_generator,
        table=synthesis_table,
        model=synthesis_model,
    output:
        directory(RETRIEVED_CORPUS),
    log:
        "logs/resources/corpora/{corpus}.log",
    benchmark:
        "benchmarks/resources/corpora/{corpus}.tsv"
    wildcard_constraints:
        corpus=any_of(synthesised_corpora(is_local=False)),
    conda:
        ENVIRONMENT
    resources:
        mem_mb=by_attempt(8_000),
        # Not longer by attempt: it resumes where it stopped.
        runtime=1440,
    params:
        revision=2,
        answers=kept_answers,
    shell:
        call_script(
            "synthesise_corpus.py --name {wildcards.corpus} --settings {input.settings} "
            "--generator {input.generator} --table {input.table} --model {input.model} --answers {params.answers} "
            "--output {output} > {log} 2>&1"
        )


# By a model that the job itself loads.
use rule synthesise_corpus as synthesise_locally with:
    wildcard_constraints:
        corpus=any_of(synthesised_corpora(is_local=True)),
    threads: 8
    resources:
        gpu=1,
        mem_mb=by_model("model", 16_000, copies=2),
        runtime=1440,
