# Raw corpora to a released text-embedding model. Read the includes from top to bottom: that is the way of the data.
# config/config.yaml names the recipes to build; corpora.yaml and models.yaml are the catalogue; docs/reference.md
# explains every key.
from snakemake.utils import min_version

min_version("9.14")


include: "rules/places.smk"


configfile: found("config/corpora.yaml")
configfile: found("config/models.yaml")
configfile: found("config/config.yaml")


include: "rules/environment.smk"
include: "rules/reasons.smk"
include: "rules/common.smk"
include: "rules/inputs.smk"
include: "rules/pools.smk"
include: "rules/settings.smk"
include: "rules/synthesis.smk"
include: "rules/corpora.smk"
include: "rules/pairs.smk"
include: "rules/negatives.smk"
include: "rules/teachers.smk"
include: "rules/tokens.smk"
include: "rules/training.smk"
include: "rules/evaluation.smk"
include: "rules/report.smk"
include: "rules/release.smk"
include: "rules/terminal.smk"


localrules:
    all,
    data,
    write_settings,


rule all:
    default_target: True
    input:
        expand(RELEASE_CARD, recipe=RECIPES),
        REPORT,


# The training pairs alone, to be read before anything is trained.
rule data:
    input:
        expand(LEAKAGE, recipe=RECIPES),
        [page for name in RECIPES for page in recipes.data_pages(name)],
