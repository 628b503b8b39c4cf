"""A data set's filters, applied in the order of its list, and the audit, which counts every row.

Filters run in passes over the rows (recipes/dataset_steps.py), each part of the data set by itself, a batch at a time.
A part's audit has one entry per filter so far, the selection of rows first: how many rows came in, were changed,
dropped (why, with examples) and kept."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import polars as pl

from ..components import module_of
from ..errors import AscentError
from ..settings.filters import Filter, compared_with
from ..settings.pairs import Filtering
from .augmenting import augment, summed
from .earlier import count_rows
from .filters import Context
from .parquet import writing
from .repeating import repeating
from .select import select
from .table import MEASURES, SCHEMA, pair_batches, read_measures, read_tested

EXAMPLES = 5
_EXAMPLE_CHARACTERS = 200
# Dropped rows that are kept to be read, for each reason of a filter.
DROPPED_ROWS = 1000
DROPPED_SCHEMA = SCHEMA.insert(0, SCHEMA.field("dataset").with_name("filter")).insert(
    1, SCHEMA.field("dataset").with_name("reason")
)
_QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
# Behind what is measured, the key of its quantiles in an entry.
_OF_QUANTILES = "_quantiles"

# What judges a batch, given the number of its first row.
Judge = Callable[[pl.DataFrame, int], pl.DataFrame]


def filter_pairs(
    name: str,
    settings: Filtering,
    rows: Sequence[Path],
    output: Path,
    dropped: Path,
    *,
    audit: dict | None = None,
    measured: Sequence[Path] = (),
    against: Sequence[Path] = (),
    models: Sequence[Path] = (),
    place: int = -1,
) -> dict:
    """Write the rows of a part of a data set that pass a pass's filters, with augmentations, and some of those that do
    not pass; return the audit.

    rows: the files of this pass's rows, the part's and those of other parts that it needs (Filtering.read_for); `place`
    is the part's place among them, the last by default. audit: the part's from the pass before; None in the first pass.
    measured: what filters judge by, if that is measured of the rows in their order; a table for each file of `rows`.
    models: the folders, called by the models' names, of those whose tokenizers filters need.

    Raises AscentError if a score is missing or NaN, `against` lacks a corpus that a filter names, or no row of a data
    set in one part is left."""
    part, earlier = rows[place], rows[:place]
    audit = audit or {"kind": "pairs", "dataset": name, "corpus": settings.select.corpus, "filters": []}
    context = _context(name, settings, measured, against, models)
    repeat = repeating(part, rows, settings.repeat) if settings.repeat else None
    steps = [*_selection(settings, part, earlier), *_judges(settings, rows, place, context)]
    names = _numbered([entry["filter"] for entry in audit["filters"]], [step for step, _ in steps])
    entries = [Entry(step) for step in names]
    altered, values = [], []
    of_part = read_measures(measured[place], settings.measured) if settings.measured in MEASURES else None
    with writing(output, SCHEMA) as keep:
        for start, batch in pair_batches(part):
            if settings.select:
                batch = batch.with_columns(dataset=pl.lit(name))
            if of_part is not None:
                batch = _with_measure(name, batch, of_part, start)
                values.append(batch.select(of_part.columns[2:]))
            for entry, (_, judge) in zip(entries, steps, strict=True):
                batch = entry.kept_of(batch, judge(batch, start))
            made = []
            if repeat:
                batch, repeated = repeat(batch, start)
                made.append(repeated)
            if settings.augment:
                batch, added = augment(batch, settings.augment)
                made += added
            if made:
                altered.append(made)
            keep(batch)
    _write_dropped(entries, dropped)
    found = [entry.audit() for entry in entries]
    for column in pl.concat(values) if values else ():  # the pass begins with the first filter that judges by them
        found[0][column.name + _OF_QUANTILES] = {str(share): _shown(column, share) for share in _QUANTILES}
    return audit | {"filters": audit["filters"] + found} | ({"augmentations": summed(altered)} if altered else {})


def _context(
    name: str, settings: Filtering, measured: Sequence[Path], against: Sequence[Path], models: Sequence[Path]
) -> Context:
    """Return what the filters of a pass judge by, besides the rows."""
    if bool(measured) != bool(settings.measured):
        needed = settings.measured or "nothing that is measured"
        raise AscentError(
            f"data set {name}: its filters judge by {needed}; give --measured what they judge by, and nothing else."
        )
    folders = {folder.name: folder for folder in models}
    context = Context(positive=settings.positive, against=read_tested(against), models=folders, measured=measured)
    absent = set(compared_with(settings.filters)) - set(context.against["dataset"])
    if absent:
        raise AscentError(
            f"data set {name}: the test rows of '{min(absent)}' are missing; name corpora in `against` that have some."
        )
    return context


def _write_dropped(entries: Sequence["Entry"], dropped: Path) -> None:
    """Write some of the rows that each filter dropped for each reason."""
    with writing(dropped, DROPPED_SCHEMA) as keep:
        for entry in entries:
            for reason, frames in sorted(entry.dropped_rows.items()):
                frame = pl.concat(frames).head(DROPPED_ROWS)
                keep(frame.with_columns(filter=pl.lit(entry.name), reason=pl.lit(reason)))


def _selection(settings: Filtering, part: Path, earlier: Sequence[Path]) -> Iterator[tuple[str, Judge]]:
    """Yield the selection of the corpus's rows, in the first pass."""
    if settings.select is None:
        return
    chosen = 0
    if settings.select.rows is not None:
        chosen = count_rows(earlier, split=settings.select.split, task=settings.select.task)

    def judge(pairs: pl.DataFrame, start: int) -> pl.DataFrame:
        nonlocal chosen
        judged = select(pairs, settings.select, chosen)
        chosen += pairs.filter(split=settings.select.split, task=settings.select.task).height
        return judged

    yield "select", judge


def _judges(settings: Filtering, rows: Sequence[Path], place: int, context: Context) -> Iterator[tuple[str, Judge]]:
    """Yield each filter's name and what judges a batch by it."""
    for each in settings.filters:
        filter, module = each.settings, module_of(each.settings)
        if filter.compares:  # the first of its pass, so that the file's rows are those that it judges
            others = rows if filter.needs == "all rows" else rows[:place]
            yield filter.component(), partial(_marked, module.find(rows[place], others, filter, context))
        else:
            yield filter.component(), partial(_judged, module.judge, filter, context)


def _judged(judge: Callable, settings: Filter, context: Context, pairs: pl.DataFrame, start: int) -> pl.DataFrame:
    return judge(pairs, settings, context)


def _marked(found: pl.DataFrame, pairs: pl.DataFrame, start: int) -> pl.DataFrame:
    """Return the rows of a batch with the reasons found by their numbers in the file."""
    first, end = (found["row"].search_sorted(number) for number in (start, start + len(pairs)))
    reasons = found[first:end].select(place=pl.col("row") - start, reason="reason")
    numbered = pairs.with_columns(place=pl.int_range(pl.len(), dtype=pl.Int64))
    return numbered.join(reasons, on="place", how="left", maintain_order="left").drop("place")


def _numbered(before: list[str], names: list[str]) -> list[str]:
    """Return the names of filters, with a number behind one that came before."""
    came, numbered = Counter(name.split()[0] for name in before), []
    for name in names:
        came[name] += 1
        numbered.append(name if came[name] == 1 else f"{name} {came[name]}")
    return numbered


def _with_measure(name: str, pairs: pl.DataFrame, of_part: pl.DataFrame, start: int) -> pl.DataFrame:
    """Return the rows of a batch with what was measured of them, such as a score, in a column of that name. start: the
    number of the first row."""
    ids, columns = of_part.columns[:2], of_part.columns[2:]
    found = of_part[start : start + len(pairs)]
    unknown = found.select(pl.any_horizontal(pl.col(columns).cast(pl.Float64).fill_null(math.nan).is_nan()))
    unknown = pairs.filter(unknown.to_series()) if len(found) == len(pairs) else pairs
    if len(unknown) or not found.select(ids).equals(pairs.select(ids)):
        first, what = (unknown if len(unknown) else pairs)["query"][0], " and ".join(columns).replace("_", " ")
        raise AscentError(
            f"data set {name}: {len(unknown) or len(pairs)} pairs have no {what} or NaN, or that of others, first "
            f"'{_short(first)}'; run the step that measures the pairs again."
        )
    return pairs.hstack(found.select(columns))


class Entry:
    """What one filter did with a part's rows, counted batch by batch."""

    def __init__(self, name: str):
        self.name, self.rows, self.changed, self.kept, self.dropped = name, 0, 0, 0, Counter()
        self.dropped_rows: dict[str, list[pl.DataFrame]] = defaultdict(list)
        self._changed: list[pl.DataFrame] = []

    def kept_of(self, pairs: pl.DataFrame, judged: pl.DataFrame) -> pl.DataFrame:
        """Return the judged rows without a reason to be dropped, and count all."""
        texts = ("query", "positive", "negatives")
        changed = pairs.filter(pl.any_horizontal(pairs[text] != judged[text] for text in texts))
        dropped, kept = judged.filter(pl.col("reason").is_not_null()), judged.filter(pl.col("reason").is_null())
        self.rows, self.kept, self.changed = self.rows + len(pairs), self.kept + len(kept), self.changed + len(changed)
        if sum(map(len, self._changed)) < EXAMPLES:
            self._changed.append(changed.head(EXAMPLES))
        for (reason,), rows in dropped.group_by("reason", maintain_order=True):
            if self.dropped[reason] < DROPPED_ROWS:
                self.dropped_rows[reason].append(rows.head(DROPPED_ROWS))
            self.dropped[reason] += len(rows)
        return kept.drop("reason")

    def audit(self) -> dict:
        """Return the entry as the audit has it."""
        shown = {reason: _examples(rows) for reason, rows in sorted(self.dropped_rows.items())}
        shown |= {"changed": _examples(self._changed)} if self.changed else {}
        counts = {
            "in": self.rows,
            "changed": self.changed,
            "dropped": dict(sorted(self.dropped.items())),
            "kept": self.kept,
        }
        return {"filter": self.name} | counts | {"examples": shown}


def check_audit(audit: dict, rows: int) -> None:
    """Reject an audit that loses a row: in = kept + dropped at each filter, and the kept rows enter the next. rows: how
    many came out, with those that augmentations added."""
    steps = audit["filters"]
    rows -= sum(each["added"] for each in audit.get("augmentations", ()))
    after = [step["in"] for step in steps[1:]] + [rows]
    for step, following in zip(steps, after, strict=True):
        if step["in"] != step["kept"] + sum(step["dropped"].values()) or step["kept"] != following:
            raise AscentError(
                f"data set {audit['dataset']}: the audit of filter '{step['filter']}' does not add up "
                f"({step['in']} in, {step['kept']} kept, {step['dropped']} dropped, {following} passed on); "
                "prepare the data set again."
            )


def check_rows_are_left(audit: dict) -> None:
    """Raise AscentError if no row is left after a filter."""
    entry = next((step for step in audit["filters"] if not step["kept"]), None)
    if entry is None:
        return
    why = "; ".join(f"{count:,} x {reason}" for reason, count in entry["dropped"].items())
    if entry["filter"] == "select":  # no list of filters names it
        raise AscentError(
            f"data set {audit['dataset']}: its corpus has no pair of its split and task type ({why}); take others in"
            " `data`, or fix the corpus."
        )
    raise AscentError(
        f"data set {audit['dataset']}: no pair is left after filter '{entry['filter']}' ({why}); loosen the data set's"
        " filters or fix the corpus."
    )


def whole_audit(parts: Sequence[dict]) -> dict:
    """Return a data set's audit, of those of its parts in order, with the counts of all filters together."""
    first, *others = parts
    steps = [] if others else first["filters"]
    for entries in zip(*(part["filters"] for part in parts if others), strict=True):
        dropped = sum((Counter(entry["dropped"]) for entry in entries), Counter())
        shown: dict[str, list] = {}
        for entry in entries:
            for reason, examples in entry["examples"].items():
                shown[reason] = (shown.get(reason, []) + examples)[:EXAMPLES]
        counts = {key: sum(entry[key] for entry in entries) for key in ("in", "changed", "kept")}
        step = {"filter": entries[0]["filter"]} | counts | {"dropped": dict(sorted(dropped.items())), "examples": shown}
        for key in sorted({key for entry in entries for key in entry if key.endswith(_OF_QUANTILES)}):
            step[key] = _widest([entry[key] for entry in entries if key in entry])
        steps.append(step)
    dropped = sum((Counter(step["dropped"]) for step in steps), Counter())
    if others and (altered := [part["augmentations"] for part in parts if "augmentations" in part]):
        first = first | {"augmentations": summed(altered)}
    return first | {"filters": steps, "in": steps[0]["in"], "kept": steps[-1]["kept"], "dropped": dict(dropped)}


def _shown(measured: pl.Series, share: float) -> float | int:
    """Return a quantile, which of whole numbers is one."""
    quantile = measured.quantile(share)
    return int(quantile) if measured.dtype.is_integer() else round(quantile, 4)


def _widest(quantiles: list[dict]) -> dict:
    """Return the quantiles of all parts: of one part its own, of several the lowest and the highest."""
    if len(quantiles) == 1:
        return quantiles[0]
    lowest, highest = str(_QUANTILES[0]), str(_QUANTILES[-1])
    return {lowest: min(each[lowest] for each in quantiles), highest: max(each[highest] for each in quantiles)}


def _examples(frames: list[pl.DataFrame]) -> list[dict]:
    rows = pl.concat([frame.select("query", "positive") for frame in frames]).head(EXAMPLES)
    return [{key: _short(text) for key, text in row.items()} for row in rows.iter_rows(named=True)]


def _short(text: str) -> str:
    return text if len(text) <= _EXAMPLE_CHARACTERS else text[: _EXAMPLE_CHARACTERS - 1] + "…"
