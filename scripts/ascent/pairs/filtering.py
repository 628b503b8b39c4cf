"""A data set's filters, applied in the order of its list, and the audit, which counts every row.

The audit has one entry per filter, the selection of rows first: how many rows came in, were changed, dropped (why, with
examples) and kept. prepare_pairs runs the filters before the first that needs scores, filter_pairs the others.
"""

from collections import Counter

import polars as pl

from ..components import module_of
from ..errors import AscentError
from ..settings.filters import OneFilter, compared_with
from ..settings.pairs import Filtering, Preparation
from .augmenting import augment
from .filters import Context
from .select import select
from .table import SCHEMA

EXAMPLES = 5
_EXAMPLE_CHARACTERS = 200


def prepare(name: str, settings: Preparation, pairs: pl.DataFrame, against: pl.DataFrame) -> tuple[pl.DataFrame, dict]:
    """Return the corpus's pairs that pass the filters before scoring, named after the data set, and the audit.

    Raises AscentError if `against` lacks a corpus that a filter names, or no pair is left.
    """
    audit = {"kind": "pairs", "dataset": name, "corpus": settings.corpus, "filters": []}
    pairs = _keep("select", pairs, select(pairs, settings), audit)
    context = Context(positive=settings.positive, against=against)
    return _apply(settings.filters, pairs, context, audit).with_columns(dataset=pl.lit(name)), audit


def finish(
    settings: Filtering, pairs: pl.DataFrame, audit: dict, scores: pl.DataFrame | None, against: pl.DataFrame
) -> tuple[pl.DataFrame, dict]:
    """Return the prepared pairs that pass the remaining filters, with augmentations, and the complete, checked audit.

    `scores` has the columns query_id, positive_id and score. It is None for a data set without a filter that needs
    scores. Raises AscentError if a score is missing or NaN, `against` lacks a corpus that a filter names, the audit's counts do
    not add up, or no pair is left.
    """
    name = audit["dataset"]
    if (scores is None) != (not settings.filters):
        raise AscentError(f"data set {name}: --scores go with a filter that needs them; give both or neither.")
    if scores is not None:
        pairs = _with_scores(name, pairs, scores)
        done = len(audit["filters"])
        pairs = _apply(settings.filters, pairs, Context(positive=settings.positive, against=against), audit)
        values = scores.unique(["query_id", "positive_id"], keep="first")["score"]
        quartiles = {str(share): round(values.quantile(share), 4) for share in (0.0, 0.25, 0.5, 0.75, 1.0)}
        audit["filters"][done]["score_quantiles"] = quartiles
    check_audit(audit, len(pairs))
    dropped = Counter()
    for step in audit["filters"]:
        dropped.update(step["dropped"])
    pairs = pairs.select(SCHEMA.names)
    audit = audit | {"in": audit["filters"][0]["in"], "kept": len(pairs), "dropped": dict(dropped)}
    if settings.augment:
        pairs, audit["augmentations"] = augment(pairs, settings.augment)
    return pairs, audit


def check_audit(audit: dict, rows: int) -> None:
    """Reject an audit that loses a row: in = kept + dropped at each filter, and the kept rows enter the next."""
    steps = audit["filters"]
    after = [step["in"] for step in steps[1:]] + [rows]
    for step, following in zip(steps, after, strict=True):
        if step["in"] != step["kept"] + sum(step["dropped"].values()) or step["kept"] != following:
            raise AscentError(
                f"data set {audit['dataset']}: the audit of filter '{step['filter']}' does not add up "
                f"({step['in']} in, {step['kept']} kept, {step['dropped']} dropped, {following} passed on); "
                "prepare the data set again."
            )


def _with_scores(name: str, pairs: pl.DataFrame, scores: pl.DataFrame) -> pl.DataFrame:
    scores = scores.unique(["query_id", "positive_id"], keep="first", maintain_order=True)
    pairs = pairs.join(scores, ["query_id", "positive_id"], how="left", maintain_order="left")
    unscored = pairs.filter(pl.col("score").is_null() | pl.col("score").is_nan())
    if len(unscored):
        raise AscentError(
            f"data set {name}: {len(unscored)} pairs have no score or NaN, first '{_short(unscored['query'][0])}'; "
            "score the pairs again."
        )
    return pairs


def _apply(filters: list[OneFilter], pairs: pl.DataFrame, context: Context, audit: dict) -> pl.DataFrame:
    """Return the pairs that pass these filters, each of which adds its entry to the audit."""
    absent = set(compared_with(filters)) - set(context.against["dataset"])
    if absent:
        raise AscentError(f"data set {audit['dataset']}: the rows of '{min(absent)}' are missing; add them to --against.")
    for each in filters:
        settings = each.settings
        judged = module_of(settings).judge(pairs, settings, context)
        pairs = _keep(settings.component(), pairs, judged, audit)
    return pairs


def _keep(filter: str, pairs: pl.DataFrame, judged: pl.DataFrame, audit: dict) -> pl.DataFrame:
    """Return the judged rows without a reason to be dropped, and count all rows in the audit."""
    changed = pairs.filter(
        (pairs["query"] != judged["query"])
        | (pairs["positive"] != judged["positive"])
        | (pairs["negatives"] != judged["negatives"])
    )
    dropped = judged.filter(pl.col("reason").is_not_null())
    kept = judged.filter(pl.col("reason").is_null()).drop("reason")
    before = sum(step["filter"].split()[0] == filter for step in audit["filters"])
    entry = {
        "filter": f"{filter} {before + 1}" if before else filter,
        "in": len(pairs),
        "changed": len(changed),
        "dropped": dict(sorted(dropped["reason"].value_counts().iter_rows())),
        "kept": len(kept),
        "examples": {reason: _examples(rows) for (reason,), rows in sorted(dropped.group_by("reason", maintain_order=True))}
        | ({"changed": _examples(changed)} if len(changed) else {}),
    }
    audit["filters"].append(entry)
    if kept.is_empty():
        if entry["filter"] == "select":  # no list of filters names it
            raise AscentError(
                f"data set {audit['dataset']}: its corpus has no pair of its split and task type ({entry['dropped']}); take "
                "others in `data`, or fix the corpus."
            )
        raise AscentError(
            f"data set {audit['dataset']}: no pair is left after filter '{entry['filter']}' ({entry['dropped']}); loosen the "
            "data set's filters or fix the corpus."
        )
    return kept


def _examples(rows: pl.DataFrame) -> list[dict]:
    return [
        {key: _short(text) for key, text in row.items()}
        for row in rows.head(EXAMPLES).select("query", "positive").iter_rows(named=True)
    ]


def _short(text: str) -> str:
    return text if len(text) <= _EXAMPLE_CHARACTERS else text[: _EXAMPLE_CHARACTERS - 1] + "…"
