# In: the recipes. Out: what a run tells in the terminal. `--verbose` or a logger of `--logger` takes its place.
from snakemake.logging import logger

from ascent.report.terminal import show_run


def built_recipes():
    """A line for each recipe: what it builds of what; and one for each benchmark that is not run as a whole."""
    return [
        f"Ascent builds the recipe {name}: {' > '.join([recipe.base.model, *recipe.stages])}; {recipe.release.stage} is released."
        for name, recipe in recipes.recipes.items()
    ] + list(dict.fromkeys(line for name in RECIPES for line in recipes.left_out(name)))


def where_results_are():
    """For each recipe, where to look."""
    return [
        f"{{recipe}}: scores in {SCORES}, pages in {dirname(OVERVIEW)}, model and card in {RELEASE}".format(
            recipe=recipe
        )
        for recipe in RECIPES
    ] + ["one page of all: snakemake --report report.html"]


def where_data_are():
    """For each recipe, where its training pairs are shown."""
    return [
        f"{{recipe}}: statistics, flow and samples in {dirname(OVERVIEW)}, leak check in {LEAKAGE}".format(
            recipe=recipe
        )
        for recipe in RECIPES
    ]


# As a module of another workflow, the terminal is that workflow's.
main = workflow.modifier.is_main_snakefile()
if main and workflow.is_main_process and not workflow.output_settings.verbose:
    show_run(
        logger,
        heading=built_recipes(),
        endings={"all": where_results_are(), "data": where_data_are()},
        folded=("write_settings",),
        dry_run=workflow.output_settings.dryrun,
    )
