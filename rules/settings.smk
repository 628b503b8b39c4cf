# In: the configuration. Out: each step's settings file, the only part of the configuration that it sees.


rule write_settings:
    output:
        "{settings}.yaml",
    log:
        "logs/write_settings/{settings}.log",
    wildcard_constraints:
        settings=any_of(path.removesuffix(".yaml") for path in SETTINGS),
    conda:
        ENVIRONMENT
    params:
        text=lambda wildcards: SETTINGS[f"{wildcards.settings}.yaml"],
    shell:
        "printf '%s' {params.text:q} > {output} 2> {log}"
