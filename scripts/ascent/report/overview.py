"""The report's front page: what a recipe is, its headline result with the interval, and where to look."""

from pathlib import Path

from .. import layout
from ..evaluation.comparison import BASE, read_table, tally
from ..settings.recipe import Recipe, ReleaseSettings
from .flow import WHOLE, draw, flows_of
from .pages import ALPHA, Strip, pair_counts, read_audits, verdict, write_page

# Pages of the report, in the order in which they are offered: what they are, path, and what one finds there.
PAGES = (
    ("Scores", layout.SCORES_PAGE, "every stage on every task, with intervals"),
    (
        "Significance",
        layout.SIGNIFICANCE_PAGE,
        "every stage against the base, merged ones against their parents, by query",
    ),
    ("Radar", layout.RADAR, "the scores as a picture"),
    ("Curves", layout.CURVES, "loss and learning rate of each stage that trains"),
    ("From rows to pairs", layout.FLOW, "where the rows of each data set's corpus went, as a picture"),
    ("Statistics", layout.STATISTICS_PAGE, "lengths, languages, classes and repetitions of corpora and data sets"),
    ("Audits", layout.AUDITS_PAGE, "what each filter kept and dropped, with examples"),
    ("Samples of {dataset}", layout.SAMPLES_PAGE, "pairs to read, and rows that each filter dropped"),
)
# More data sets than these are not drawn on the page, which links to their picture.
DRAWN = 3


def render_overview(
    settings: ReleaseSettings, scores: Path, significance: Path, audits: list[Path], pages: list[str], output: Path
) -> None:
    """Write the front page. `pages`: the paths of the report's files, as Snakemake names them."""
    release = settings.recipe.release
    tests = read_table(significance)
    rows = compared(read_table(scores), tests, release.stage)
    head = headline(rows)
    found = read_audits(audits)
    datasets = [audit["dataset"] for audit in found["pairs"]]
    write_page(
        "overview.html.j2",
        output,
        settings=settings,
        release=release,
        base=settings.models[settings.recipe.base.model],
        stages=stages_in_words(settings.recipe),
        parents={name: tally(part) for name, part in by_baseline(tests, release.stage).items()},
        pairs=[(audit["dataset"], pair_counts(audit)) for audit in found["pairs"]],
        pictures=[draw(flow) for flow in flows_of(found)] if len(datasets) <= DRAWN else [],
        whole=WHOLE,
        rows=rows,
        head=head,
        strip=Strip.of_differences(rows, width=150),
        tested=sum(row["p_adjusted"] is not None for row in tests),
        alpha=ALPHA,
        pages=_offered(settings.name, datasets, pages),
        places={"release": layout.RELEASE.format(recipe=settings.name), "scores": scores, "significance": significance},
    )


def _offered(recipe: str, datasets: list[str], pages: list[str]) -> list[tuple[str, str, str]]:
    """Return what each page is, its path, and what one finds there; of PAGES those that there are, one of a data set
    for each."""
    every = [
        (what.format(dataset=name), pattern.format(recipe=recipe, dataset=name), text)
        for what, pattern, text in PAGES
        for name in (datasets if "{dataset}" in pattern else [""])
    ]
    return [page for page in every if page[1] in pages]


def compared(scores: list[dict], tests: list[dict], stage: str) -> list[dict]:
    """Return a row for each task that a stage was evaluated on: its score, the base's and, where it was tested, the
    difference.

    Keys: task, type, metric, score, base (None where the base was not evaluated), difference, low, high, low_adjusted,
    high_adjusted, p_adjusted, units (None where nothing was tested), verdict (empty likewise), reason (why there is no
    interval or no test, else None)."""
    bases = {row["task"]: row["score"] for row in scores if row["stage"] == BASE}
    tested = {row["task"]: row for row in tests if (row["stage"], row["baseline"]) == (stage, BASE)}
    rows = []
    for row in (row for row in scores if row["stage"] == stage):
        test = tested.get(row["task"])
        keys = ("difference", "low", "high", "low_adjusted", "high_adjusted", "p_adjusted", "units")
        rows.append(
            {key: row[key] for key in ("task", "type", "metric", "score")}
            | {"base": bases.get(row["task"])}
            | {key: test[key] if test else None for key in keys}
            | {"verdict": verdict(test) if test else "", "reason": (test or row)["reason"]}
        )
    return rows


def by_baseline(tests: list[dict], stage: str) -> dict[str, list[dict]]:
    """Return a stage's rows of significance.tsv by what it is compared with besides the base: its parents."""
    rows = [row for row in tests if row["stage"] == stage and row["baseline"] != BASE]
    return {
        name: [row for row in rows if row["baseline"] == name]
        for name in dict.fromkeys(row["baseline"] for row in rows)
    }


def headline(rows: list[dict]) -> dict | None:
    """Return the row that the page opens with: the first retrieval task that was tested against the base, else the
    first task that was, else the first retrieval task, else the first task; none where there are no rows. The scores do
    not matter."""
    order = [
        lambda row: row["type"] == "Retrieval" and row["difference"] is not None,
        lambda row: row["difference"] is not None,
        lambda row: row["type"] == "Retrieval",
        lambda row: True,
    ]
    return next((row for wanted in order for row in rows if wanted(row)), None)


def stages_in_words(recipe: Recipe) -> list[tuple[str, str]]:
    """Return each stage's name and what it does, in the recipe's order, the base first."""
    base, most = recipe.base, recipe.base.max_tokens
    texts = f"texts of up to {most.longest} tokens"
    if most.query != most.document:
        texts = f"queries of up to {most.query} and documents of up to {most.document} tokens"
    return [
        (BASE, f"{base.model}, {base.pooling.replace('_', ' ')} pooling, {texts}"),
        *((name, stage.summary) for name, stage in recipe.stages.items()),
    ]
