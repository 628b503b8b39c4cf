# In: the configuration. Out: each step's settings file, the only part of the configuration that it sees.
from ascent.files import write_atomically
from ascent.recipes.step_settings import PATTERNS

# Where Snakemake's record of a settings file is lost (rm -rf .snakemake), only its content shows that it is stale. It
# is written here then, also by a dry run, and so is newer than what was made from the old one.
for path, text in SETTINGS.items() if workflow.is_main_process else ():
    if (
        not record_of(path).exists()
        and Path(path).exists()
        and Path(path).read_text(encoding="utf-8") != text
    ):
        with write_atomically(path, shared=True) as temporary:
            temporary.write_text(text, encoding="utf-8")


rule write_settings:
    output:
        "{settings}.yaml",
    log:
        "logs/write_settings/{settings}.log",
    wildcard_constraints:
        # Snakemake reads the expression several times for each job, so it holds the patterns and not a thousand paths.
        settings="|".join(re.sub(r"\{\w+\}", "[^/]+", path).removesuffix(".yaml") for path in PATTERNS),
    conda:
        ENVIRONMENT
    params:
        text=lambda wildcards: SETTINGS[f"{wildcards.settings}.yaml"],
    shell:
        "printf '%s' {params.text:q} > {output} 2> {log}"


# Snakemake (9.27) records a job that failed as it does one that succeeded, with the checksums of its inputs. If an
# edited settings file had caused the job, and what is behind it is there from before, the next run would find the same
# checksum and nothing to do, and the old results would stand for the new settings.
onerror:
    for job in workflow.scheduler.failed:
        workflow.persistence.cleanup(job)
