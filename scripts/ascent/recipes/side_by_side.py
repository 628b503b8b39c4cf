"""docs/recipes.md: the recipes of a folder side by side, made from their files."""

from collections.abc import Iterator
from pathlib import Path

from ..settings.contrastive import Contrastive
from ..settings.recipe import Config, Recipe
from ..settings.training import Stage, Training
from ..settings.validation import check
from .loading import read_config
from .own_contracts import read_recipe

HEAD = """# Which recipes are there?

Each recipe of `config/recipes`, side by side. Its file says in its opening comment which numbers
are published and which are our choice. Written by `make schemas` from these files: edit them
instead. [The plan](planning.md) tells what one costs, and
[a trial](../config/README.md#try-a-recipe-first) runs any of them in minutes, without a hub.

No recipe of the field has been run at its published scale yet: the scores below are their papers',
not ours.
"""
# Names in a cell before the others are only counted.
LISTED = 3


def recipes_text(folder: Path) -> str:
    """Return docs/recipes.md for the recipes of a folder."""
    models = check(Config, read_config(), "config").models
    recipes = {path.stem: read_recipe(path, models) for path in sorted(folder.glob("*.yaml"))}
    papers = {name: recipe for name, recipe in recipes.items() if recipe.paper}
    parts = [
        HEAD,
        "## The models\n",
        table(
            ["Recipe", "After", "Base", "Pooling", "Attention", "Tokens", "On the backbone"],
            [model_row(name, recipe) for name, recipe in recipes.items()],
        ),
        "## The stages\n",
        "A number behind an objective is its temperature. `batch`: other rows' documents are negatives.\n",
        table(
            ["Recipe", "Stage", "Objective", "Rows a step", "Rate", "Negatives", "Corpora"],
            [row for name, recipe in recipes.items() for row in stage_rows(name, recipe)],
        ),
        "## What the papers report\n",
        table(
            ["Recipe", "Benchmark", "Score", "Read in"],
            [
                [name, benchmark, f"{score:g}", recipe.paper.source or f"arXiv {recipe.paper.arxiv}"]
                for name, recipe in papers.items()
                for benchmark, score in recipe.paper.reported.items()
            ],
        ),
        "## What is ours, and what is missing\n",
        "Unverified numbers are not published or were not read in the paper: here they are a choice.\n",
        *(text for name, recipe in papers.items() for text in gaps(name, recipe)),
    ]
    return "\n".join(parts)


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def model_row(name: str, recipe: Recipe) -> list[str]:
    """Return a recipe's row of the first table."""
    base, paper = recipe.base, recipe.paper
    follows = f"{paper.system}, [{paper.arxiv}](https://arxiv.org/abs/{paper.arxiv})" if paper else "ours"
    lengths = base.max_tokens
    tokens = str(lengths.longest) if lengths.query == lengths.document else f"{lengths.query}, {lengths.document}"
    heads = [head.replace("_", " ") for head in base.heads.chosen]
    link = f"[{name}](../config/recipes/{name}.yaml)"
    return [link, follows, base.model, base.pooling.replace("_", " "), base.attention, tokens, ", ".join(heads) or "-"]


def stage_rows(name: str, recipe: Recipe) -> Iterator[list[str]]:
    """Yield the rows of a recipe's stages."""
    for stage, settings in recipe.stages.items():
        if settings.trains:
            settings = settings.with_defaults(recipe.data)
            corpora = list(dict.fromkeys(recipe.data[data].corpus for data in settings.data))
            rate = f"{settings.learning_rate:.0e}".replace("e-0", "e-")
            yield [
                name,
                stage,
                objective(settings),
                f"{settings.batch_size:,}",
                rate,
                negatives(settings, recipe),
                some(corpora),
            ]
        else:
            yield [name, stage, merged(settings), "-", "-", "-", "-"]


def objective(stage: Training) -> str:
    """Return what a stage is trained by, with its temperature."""
    if not isinstance(stage, Contrastive):
        return stage.objective.type
    chosen = {loss: settings for data in stage.data for loss, settings in stage.objective_of(data).chosen.items()}
    words = [loss.replace("_", " ") + temperature(settings) for loss, settings in chosen.items()]
    return " + ".join([*words, *(["Matryoshka"] if stage.matryoshka else [])])


def temperature(loss: object) -> str:
    """Return a loss's temperature, if it has one."""
    value = getattr(loss, "temperature", None)
    return f" {value:g}".replace("0.", ".") if value else ""


def negatives(stage: Training, recipe: Recipe) -> str:
    """Return where a stage's negatives come from."""
    if not isinstance(stage, Contrastive):
        return "-"
    needs = {data: {loss.needs for loss in stage.objective_of(data).chosen.values()} for data in stage.data}
    compared = [data for data in stage.data if "negatives" in needs[data]]
    in_batch = [data for data in compared if stage.data[data].uses_in_batch_negatives(recipe.data[data].task)]
    words = [] if not in_batch else ["batch"] if len(in_batch) == len(compared) else [f"batch ({some(in_batch)})"]
    if stage.mining:
        share = stage.mining.max_share_of_positive
        words.append(
            f"{stage.mining.per_query} mined by {stage.mining.model}" + (f", below {share:.0%}" if share < 1 else "")
        )
        words[-1] += ", replaced" if stage.mining.dynamic else ""
    elif any({"own negatives", "teacher scores"} & each for each in needs.values()):
        words.append("the corpus's")
    return " + ".join([*words, *([f"queue of {stage.queue_size:,}"] if stage.queue else [])]) or "-"


def merged(stage: Stage) -> str:
    """Return how a stage's weights come from its parents'."""
    return f"{stage.type} of {', '.join(stage.parents)}"


def some(names: list[str]) -> str:
    """Return names as a cell lists them."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more if names else "-"


def gaps(name: str, recipe: Recipe) -> Iterator[str]:
    """Yield a recipe's lines of what is ours and what is missing."""
    if recipe.paper.unverified or recipe.paper.missing:
        yield f"**{name}**\n"
        parts = {"Unverified": recipe.paper.unverified, "Missing": recipe.paper.missing}
        yield "".join(f"- {word}: {'; '.join(items)}.\n" for word, items in parts.items() if items)
