"""What happens to rows between a corpus and a data set: one module for each filter, all with the function

    judge(pairs, dataset, against)    return `pairs` with a column `reason`: why a row is dropped, or null

A filter may also change texts, and then keeps the ids true. `dataset` are the settings; `against` are the
rows of the corpora that the data set must not overlap with. A new filter is a new file and its name in
PREPARING.

The audit counts every row: for each filter what came in, was changed, dropped (why, with examples) and kept.
"""

from collections import Counter
from importlib import import_module

import polars as pl

from ...errors import AscentError
from ...settings.pairs import Preparation, Threshold
from ..table import SCHEMA

# In this order: texts are cleaned before they are measured and compared.
PREPARING = ("select", "clean", "empty", "length", "duplicate", "contamination")
EXAMPLES = 5
_EXAMPLE_CHARACTERS = 200


def prepare(name: str, dataset: Preparation, pairs: pl.DataFrame, against: pl.DataFrame) -> tuple[pl.DataFrame, dict]:
    """Return the corpus's pairs that pass the text filters, named after the data set, and the audit.

    Raises AscentError when `against` lacks a corpus that `dataset.decontaminate` names, or no pair is left.
    """
    absent = set(dataset.decontaminate) - set(against["dataset"])
    if absent:
        raise AscentError(f"data set {name}: the rows of '{min(absent)}' are not given; add them to --against.")
    audit = {"kind": "pairs", "dataset": name, "corpus": dataset.corpus, "filters": []}
    for filter in PREPARING:
        pairs = _apply(filter, pairs, dataset, against, audit)
    return pairs.with_columns(dataset=pl.lit(name)), audit


def keep_scored(threshold: Threshold, pairs: pl.DataFrame, audit: dict, scores: pl.DataFrame | None) -> tuple[pl.DataFrame, dict]:
    """Return the prepared pairs that the teacher scores high enough, and the complete, checked audit.

    `scores` has the columns query_id, positive_id and score; None when the data set has no teacher. Raises
    AscentError when a score is missing or NaN, the audit's counts do not add up, or no pair is left.
    """
    name = audit["dataset"]
    if (scores is None) != (threshold.min_score is None):
        raise AscentError(f"data set {name}: give --scores if and only if `min_score` is set.")
    if scores is not None:
        scores = scores.unique(["query_id", "positive_id"], keep="first", maintain_order=True)
        pairs = pairs.join(scores, ["query_id", "positive_id"], how="left", maintain_order="left")
        unscored = pairs.filter(pl.col("score").is_null() | pl.col("score").is_nan())
        if len(unscored):
            raise AscentError(
                f"data set {name}: {len(unscored)} pairs have no score or NaN, "
                f"first '{_short(unscored['query'][0])}'; score the pairs again."
            )
        pairs = _apply("score", pairs, threshold, pairs.clear(), audit)
        quartiles = {str(share): round(scores["score"].quantile(share), 4) for share in (0.0, 0.25, 0.5, 0.75, 1.0)}
        audit["filters"][-1]["score_quantiles"] = quartiles
    check_audit(audit, len(pairs))
    dropped = Counter()
    for step in audit["filters"]:
        dropped.update(step["dropped"])
    pairs = pairs.select(SCHEMA.names)
    return pairs, audit | {"in": audit["filters"][0]["in"], "kept": len(pairs), "dropped": dict(dropped)}


def check_audit(audit: dict, rows: int) -> None:
    """Refuse an audit that loses a row: in = kept + dropped at each filter, and the next has the kept."""
    steps = audit["filters"]
    after = [step["in"] for step in steps[1:]] + [rows]
    for step, following in zip(steps, after, strict=True):
        if step["in"] != step["kept"] + sum(step["dropped"].values()) or step["kept"] != following:
            raise AscentError(
                f"data set {audit['dataset']}: the audit of filter '{step['filter']}' does not add up "
                f"({step['in']} in, {step['kept']} kept, {step['dropped']} dropped, {following} go on); "
                "prepare the data set again."
            )


def _apply(
    filter: str, pairs: pl.DataFrame, dataset: Preparation | Threshold, against: pl.DataFrame, audit: dict
) -> pl.DataFrame:
    judged = import_module(f".{filter}", __name__).judge(pairs, dataset, against)
    changed = pairs.filter(
        (pairs["query"] != judged["query"])
        | (pairs["positive"] != judged["positive"])
        | (pairs["negatives"] != judged["negatives"])
    )
    dropped = judged.filter(pl.col("reason").is_not_null())
    kept = judged.filter(pl.col("reason").is_null()).drop("reason")
    audit["filters"].append(
        {
            "filter": filter,
            "in": len(pairs),
            "changed": len(changed),
            "dropped": dict(sorted(dropped["reason"].value_counts().iter_rows())),
            "kept": len(kept),
            "examples": {reason: _examples(rows) for (reason,), rows in sorted(dropped.group_by("reason", maintain_order=True))}
            | ({"changed": _examples(changed)} if len(changed) else {}),
        }
    )
    if kept.is_empty():
        raise AscentError(
            f"data set {audit['dataset']}: no pair is left after filter '{filter}' "
            f"({audit['filters'][-1]['dropped']}); loosen the data set's settings or mend the corpus."
        )
    return kept


def _examples(rows: pl.DataFrame) -> list[dict]:
    return [
        {key: _short(text) for key, text in row.items()}
        for row in rows.head(EXAMPLES).select("query", "positive").iter_rows(named=True)
    ]


def _short(text: str) -> str:
    return text if len(text) <= _EXAMPLE_CHARACTERS else text[: _EXAMPLE_CHARACTERS - 1] + "…"
