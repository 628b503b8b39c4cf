# In: the chosen stage's model, scores, audits. Out: the released folder: model, card, results for the leaderboard.


rule release_model:
    input:
        settings=RELEASE_SETTINGS,
        model=released_model,
        scores=SCORES,
        significance=SIGNIFICANCE,
        audits=recipe_audits,
        leakage=LEAKAGE,
        radar=RADAR_IMAGE,
        results=released_results,
    output:
        RELEASE_CARD,
    log:
        "logs/{recipe}/release_model.log",
    benchmark:
        "benchmarks/{recipe}/release_model.tsv"
    conda:
        ENVIRONMENT
    threads: 8
    resources:
        # The comparison with mteb's wrapper loads the model a second time.
        mem_mb=by_model("model", 16_000, copies=3),
        runtime=by_attempt(240),
    params:
        revision=6,
    shell:
        call_script(
            "release_model.py --settings {input.settings} --model {input.model} "
            "--scores {input.scores} --significance {input.significance} --audits {input.audits} "
            "--leakage {input.leakage} --radar {input.radar} --results {input.results} --output $(dirname {output}) > {log} 2>&1"
        )
