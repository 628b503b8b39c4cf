"""The page of statistics: of each data set its way, and of each data set and corpus its lengths, languages, classes and
repetitions, as tables and figures."""

from pathlib import Path

from ..errors import AscentError
from ..files import read_json
from .figures import PALETTE
from .flow import WHOLE, draw, flows_of, share
from .lengths import EDGES
from .pages import read_audits, write_page

# Pixels of the figure of lengths: its width, the height of a side, the room for the words left of it.
WIDTH, HEIGHT, LEFT = 720, 64, 90
# The sides of a pair, or a document, in the order of the figures, each with its colour.
SIDES = dict(
    zip(("query", "positive", "negative", "text"), (PALETTE[0], PALETTE[2], PALETTE[1], PALETTE[0]), strict=True)
)


def render_statistics(statistics: list[Path], audits: list[Path], output: Path) -> None:
    """Write the page. statistics: what describe_rows wrote, of corpora and data sets."""
    found = [_read(path) for path in statistics]
    flows = flows_of(read_audits(audits))
    pictures = {flow.name: draw(flow) for flow in flows}
    corpora = [each for each in found if each["of"] == "corpora"]
    datasets = [each for each in found if each["of"] == "pairs"]
    write_page(
        "statistics.html.j2",
        output,
        sections=[("Data sets", "data set", datasets), ("Corpora", "corpus", corpora)],
        pictures=pictures,
        corpus_of={flow.name: flow.corpus for flow in flows},
        whole=WHOLE,
        figure=lengths_figure,
        share=share,
        short=short_number,
        joined=joined_counts,
        has_table=has_table,
    )


def _read(path: Path) -> dict:
    found = read_json(path)
    if not isinstance(found, dict) or found.get("kind") != "statistics":
        raise AscentError(f"{path}: is not what describe_rows writes (its 'kind' is not 'statistics'); pass that only.")
    for group in found["groups"]:  # keys of JSON are in alphabetical order
        group["languages"] = _in_order(group["languages"])
        for each in (group, *group.get("sources", {}).get("named", [])):
            each["sides"] = _in_order(each["sides"])
        if "negatives" in group:
            group["negatives"] = dict(sorted(group["negatives"].items(), key=lambda item: int(item[0])))
    return found | {"of": path.parent.parent.name}


def _in_order(sides: dict) -> dict:
    return {side: sides[side] for side in SIDES if side in sides}


def has_table(group: dict) -> bool:
    """Return whether a group's sources are worth a table: several, of two rows or more on average."""
    known = sum(one["rows"] for one in group["sources"]["named"] if one["kind"] != "unknown")
    return known >= 2 * group["sources"]["number"] > 2


def short_number(value: float) -> str:
    """Return a count in at most four digits: 999, 1.2k, 35k, 1.2M, 3.4B."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        # As it would be rounded, so that 999,960 is 1.0M and not 1000k.
        if value >= size * 0.9995:
            return f"{value / size:.0f}{letter}" if value >= 9.95 * size else f"{value / size:.1f}{letter}"
    return f"{value:.0f}"


def joined_counts(counts: dict[str, int], most: int = 5) -> str:
    """Return counts by name as `en 98.2%, de 1.1%, too short to tell 0.7%`, the first few and the rest together."""
    total, items = sum(counts.values()), sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    named, short = [item for item in items if item[0]], [("too short to tell", counts[""])] if "" in counts else []
    if len(named) + len(short) > most:
        kept = most - 1 - len(short)
        named = [*named[:kept], ("others", sum(number for _, number in named[kept:]))]
    return ", ".join(f"{name} {share(number, total)}" for name, number in [*named, *short])


def lengths_figure(sides: dict[str, dict]) -> dict:
    """Return the figure of the lengths of a group's texts in characters: for each side bars, as high as texts are many,
    over lengths in steps of the square root of two; all sides over one axis."""
    spans = [side["characters"]["histogram"] for side in sides.values()]
    low, high = min(bars[0][0] for bars in spans), max(bars[-1][0] for bars in spans)
    edges = EDGES[EDGES.index(low) : EDGES.index(high) + 1]
    width = (WIDTH - LEFT) / len(edges)
    places = {edge: LEFT + number * width for number, edge in enumerate(edges)}
    rows = []
    for number, (name, side) in enumerate(sides.items()):
        base, bars = (number + 1) * HEIGHT, []
        most = max(texts for _, texts in side["characters"]["histogram"])
        for edge, texts in side["characters"]["histogram"]:
            height = max((HEIGHT - 14) * texts / most, 0.8) if texts else 0
            above = EDGES[EDGES.index(edge) + 1]
            title = f"{texts:,} of {side['texts']:,} have {edge:,} to {above - 1:,} characters"
            bars.append({"x": places[edge], "y": base - height, "height": height, "title": title})
        rows.append({"name": name, "base": base, "bars": bars, "colour": SIDES[name]})
    every = max(1, round(len(edges) / 12))
    ticks = [(places[edge], short_number(edge)) for edge in edges[::every]]
    return {"rows": rows, "ticks": ticks, "bar": width, "width": WIDTH, "left": LEFT, "height": len(rows) * HEIGHT + 40}
