"""The way from a corpus's rows to a data set's pairs as a picture: a stream from top to bottom, as wide as rows are
many, which what is set aside, belongs elsewhere or is dropped leaves to the right.

Same numbers, same bytes."""

from dataclasses import dataclass, field
from pathlib import Path
from textwrap import wrap

from ..files import write_atomically
from .pages import environment

# Pixels: the stream at its widest, where it begins, where the words right of it do, and the whole picture.
WIDTH, LEFT, WORDS, WHOLE = 260, 190, 500, 1020
# A line of words; the least height of a step; the inner radius of a turn; the least width of what is drawn.
LINE, STEP, TURN, HAIR = 20, 34, 10, 1.5
# Reasons of a step with a stream of their own; the others share one. Characters of a reason that are shown, and of a
# line of steps' names, for which there is room left of the stream.
REASONS, CHARACTERS, NAMES = 6, 52, 20
COLOURS = {"kept": "#0072b2", "dropped": "#d55e00", "set aside": "#cc79a7", "elsewhere": "#9a9a9a", "added": "#009e73"}


@dataclass(frozen=True)
class Branch:
    """Rows that leave the stream, or that enter it (added): what becomes of them, why, and how many they are."""

    kind: str
    reason: str
    rows: int


@dataclass
class Step:
    """What happens at one place of the way: its name, the rows that come, the branches; those that stay follow."""

    name: str
    rows: int
    branches: list[Branch] = field(default_factory=list)

    @property
    def after(self) -> int:
        """The rows that go on."""
        return self.rows + sum(each.rows * (1 if each.kind == "added" else -1) for each in self.branches)


@dataclass(frozen=True)
class Flow:
    """The way of one data set: its steps, and in words what extractors made the corpus's rows of."""

    name: str
    corpus: str
    steps: list[Step]
    made_of: list[str]

    @property
    def kept(self) -> int:
        """The training pairs at the end."""
        return self.steps[-1].after


def flows_of(audits: dict[str, list[dict]]) -> list[Flow]:
    """Return the way of each data set, of audits by kind (pages.read_audits)."""
    corpora = {audit["corpus"]: audit for audit in audits["corpus"]}
    return [flow_of(audit, corpora.get(audit["corpus"])) for audit in audits["pairs"]]


def flow_of(audit: dict, corpus: dict | None) -> Flow:
    """Return the way of a data set, of its audit and its corpus's. A row set aside counts as one, whatever pairs it
    would have made."""
    selection, *filters = audit["filters"]
    steps, made_of = [], []
    if corpus is not None:
        aside = [Branch("set aside", reason, rows) for reason, rows in corpus["set_aside"].items()]
        steps.append(Step("read", selection["in"] + sum(each.rows for each in aside), _ordered(aside)))
        for one in corpus.get("extracted", []):
            left = "".join(f"; {rows:,} left out: {reason}" for reason, rows in one["left_out"].items())
            made_of.append(f"{one['extractor']} made {one['pairs']:,} pairs of {one['taken']:,} rows{left}")
    others = [Branch("elsewhere", reason, rows) for reason, rows in selection["dropped"].items()]
    steps.append(Step("select", selection["in"], _ordered(others)))
    for entry in filters:
        dropped = [Branch("dropped", reason, rows) for reason, rows in entry["dropped"].items()]
        steps.append(Step(entry["filter"], entry["in"], _ordered(dropped)))
    for entry in audit.get("augmentations", []):
        what = "the same rows again" if entry["augmentation"] == "repeat" else "rows with altered texts"
        added = [Branch("added", what, entry["added"])]
        steps.append(Step(entry["augmentation"].replace("_", " "), steps[-1].after, _ordered(added)))
    return Flow(audit["dataset"], audit["corpus"], _joined(steps), made_of)


def _ordered(branches: list[Branch]) -> list[Branch]:
    """Return the branches that have rows, the widest first, the last of many as one."""
    there = sorted((each for each in branches if each.rows), key=lambda each: (-each.rows, each.reason))
    if len(there) <= REASONS:
        return there
    rest = there[REASONS - 1 :]
    return [*there[: REASONS - 1], Branch(rest[0].kind, f"{len(rest)} other reasons", sum(each.rows for each in rest))]


def _joined(steps: list[Step]) -> list[Step]:
    """Return the steps with those that lose and add nothing, one after the other, as one."""
    joined: list[Step] = []
    for step in steps:
        if joined and not step.branches and not joined[-1].branches:
            joined[-1] = Step(f"{joined[-1].name}, {step.name}", step.rows)
        else:
            joined.append(step)
    return joined


def share(rows: int, of: int) -> str:
    """Return a share in percent: three digits, `< 0.01%` for less, and 0% and 100% for none and all only."""
    if rows in (0, of):
        return "0%" if not rows else "100%"
    percent = 100 * rows / of
    if 0 < percent < 0.01:
        return "< 0.01%"
    digits = 2 if percent < 1 else 1
    shown = f"{percent:.{digits}f}"
    if rows < of and float(shown) >= 100:
        return "> 99.9%"
    return f"{shown}%"


@dataclass(frozen=True)
class Shape:
    """A part of the picture: its colour and outline, what it says when it is pointed at."""

    colour: str
    path: str
    title: str


@dataclass(frozen=True)
class Words:
    """A line of words: where, and in which style (`name`, `number` or `reason`)."""

    x: float
    y: float
    text: str
    style: str
    title: str = ""


@dataclass
class Picture:
    """A drawn way: shapes and words in pixels, and its height."""

    flow: Flow
    shapes: list[Shape] = field(default_factory=list)
    words: list[Words] = field(default_factory=list)
    height: float = 0.0

    @property
    def summary(self) -> str:
        """The picture in one sentence, for those who do not see it."""
        first = self.flow.steps[0]
        return f"{self.flow.name}: {self.flow.kept:,} pairs of {first.rows:,} rows of {self.flow.corpus}"


def draw(flow: Flow) -> Picture:
    """Return a way as shapes and words. Widths are in proportion to rows; what would be thinner than HAIR is a line."""
    picture = Picture(flow)
    most = max(max(step.rows, step.after) for step in flow.steps) or 1
    scale, y = WIDTH / most, 26.0
    right: list[tuple[float, float]] = []  # the stream's right edge, from top to bottom
    first = flow.steps[0].rows
    picture.words.append(Words(LEFT, 16, f"{first:,} rows", "number"))
    for step in flow.steps:
        top, edge = y, LEFT + step.rows * scale
        right.append((max(edge, LEFT + HAIR), y))
        lines = wrap(step.name, NAMES)
        picture.words += [Words(LEFT - 16, y + 14 + LINE * place, line, "name") for place, line in enumerate(lines)]
        widths = [max(branch.rows * scale, HAIR) for branch in step.branches]
        for branch, wide, following in zip(step.branches, widths, [*widths[1:], HAIR], strict=False):
            is_added = branch.kind == "added"
            picture.shapes.append(_branch(branch, edge, y, wide, step.rows))
            # What enters has joined the stream at the end of its turn, what leaves has left it at the beginning.
            turned = y + (TURN + wide if is_added else 0)
            right.append((max(edge, LEFT + HAIR), turned))
            edge += branch.rows * scale * (1 if is_added else -1)
            right.append((max(edge, LEFT + HAIR), turned))
            middle = y + (0 if is_added else TURN) + wide / 2
            of = f"{branch.rows:,} ({share(branch.rows, step.rows)})"
            picture.words.append(Words(WORDS, middle + 4.5, of, "number"))
            text = f"{branch.kind}: {branch.reason}"
            picture.words.append(Words(WORDS + 132, middle + 4.5, _cut(text, CHARACTERS), "reason", text))
            y += max(LINE + (wide - following) / 2, wide + 6)
        y = max(y + TURN if step.branches else y, top + STEP + LINE * (len(lines) - 1))
        if step.branches:
            picture.words.append(Words(LEFT - 16, top + 31, f"{step.after:,} left", "soft"))
            y = max(y, top + STEP + 10)
    end = max(LEFT + flow.kept * scale, LEFT + HAIR)
    right.append((end, y))
    tip = f"L{(LEFT + end) / 2:.1f},{y + 12:.1f} L{LEFT:.1f},{y:.1f}" if flow.kept else f"L{LEFT:.1f},{y:.1f}"
    outline = " ".join(f"L{x:.1f},{down:.1f}" for x, down in right)
    path = f"M{LEFT:.1f},26.0 {outline} {tip} Z"
    picture.shapes.insert(0, Shape(COLOURS["kept"], path, picture.summary))
    y += 32
    picture.words += [
        Words(LEFT, y, f"{flow.kept:,} training pairs", "number"),
        Words(LEFT, y + 18, _shares_kept(flow), "soft left"),
    ]
    picture.height = y + 30
    return picture


def _shares_kept(flow: Flow) -> str:
    """Return in words which share of the rows was kept, and how many were added."""
    first, own = flow.steps[0].rows, next(step.after for step in flow.steps if "select" in step.name.split(", "))
    added = sum(each.rows for step in flow.steps for each in step.branches if each.kind == "added")
    kept = flow.kept - added
    words = f"{share(kept, own)} of the data set's {own:,} rows"
    words += f", {share(kept, first)} of all rows" if first != own else ""
    return words + (f"; {added:,} more were added" if added else "")


def _branch(branch: Branch, edge: float, y: float, wide: float, of: int) -> Shape:
    """Return the shape of rows that leave a stream at its right edge, or enter there, by a quarter of a turn."""
    end, out = WORDS - 8, TURN + wide
    if branch.kind == "added":
        path = (
            f"M{end:.1f},{y:.1f} L{edge + out:.1f},{y:.1f} A{out:.1f},{out:.1f} 0 0 0 {edge:.1f},{y + out:.1f} "
            f"L{edge + wide:.1f},{y + out:.1f} A{TURN},{TURN} 0 0 1 {edge + out:.1f},{y + wide:.1f} "
            f"L{end:.1f},{y + wide:.1f} Z"
        )
    else:
        path = (
            f"M{edge - wide:.1f},{y:.1f} A{out:.1f},{out:.1f} 0 0 0 {edge + TURN:.1f},{y + out:.1f} "
            f"L{end:.1f},{y + out:.1f} L{end:.1f},{y + TURN:.1f} L{edge + TURN:.1f},{y + TURN:.1f} "
            f"A{TURN},{TURN} 0 0 1 {edge:.1f},{y:.1f} Z"
        )
    title = f"{branch.kind}: {branch.reason}: {branch.rows:,} of {of:,} rows, {share(branch.rows, of)}"
    return Shape(COLOURS[branch.kind], path, title)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def draw_flows(audits: dict[str, list[dict]], output: Path) -> None:
    """Write the ways of all data sets as one picture, one below the other. audits: by kind."""
    pictures = [draw(flow) for flow in flows_of(audits)]
    text = environment(autoescape=True).get_template("flow.svg.j2").render(pictures=pictures, whole=WHOLE)
    with write_atomically(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
