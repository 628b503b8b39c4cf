"""Hard negatives: the nearest documents of each query that are not positives, each choice counted.

Positive-aware selection after NV-Retriever (arXiv 2407.15831, section 3.2, TopK-PercPos): a candidate whose score comes
close to the positive's is probably an unlabelled positive, and is dropped.
"""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl

from ..errors import AscentError
from ..settings.negatives import Selection
from .search import _rankings
from .shards import Shards

EXAMPLES = 5
# What a check of the negatives counts while a stage trains.
CHECKED = ("judged", "replaced", "exhausted")


def mine(shards: Shards, pairs: pl.DataFrame, mining: Selection) -> tuple[pl.DataFrame, dict]:
    """Choose negatives for each pair; return the negatives table and its audit.

    Table: query_id, positive_id, positive_score, negative_ids, negatives (texts), scores, one row a pair in the pairs'
    order. A pair may get fewer than `per_query` negatives, or none: the audit counts them. With a reserve also reserve_ids,
    reserve (texts) and reserve_scores: the next candidates after these, best first.
    """
    query_ids = np.concatenate([ids for ids, _ in shards.parts("queries")]).astype(str)
    queries = np.concatenate([embeddings for _, embeddings in shards.parts("queries")])
    documents = [embeddings for _, embeddings in shards.parts("documents")]
    document_ids = np.concatenate([ids for ids, _ in shards.parts("documents")]).astype(str)
    row_of = {id: row for row, id in enumerate(query_ids)}
    place_of = {id: place for place, id in enumerate(document_ids)}
    missing = set(pairs["query_id"]) - row_of.keys() | set(pairs["positive_id"]) - place_of.keys()
    if missing:
        raise AscentError(
            f"{shards.folder}: {len(missing)} texts of the pairs are not in the shards; delete the folder and run again."
        )

    known: dict[str, set[int]] = {}
    for query_id, positive_id in pairs.select("query_id", "positive_id").iter_rows():
        known.setdefault(query_id, set()).add(place_of[positive_id])
    first, last = mining.ranks
    answers = np.array([len(known.get(query_id, ())) for query_id in query_ids])
    ranking = _rankings(queries, documents, last + answers)
    text_of = dict(pairs.select("positive_id", "positive").iter_rows())
    starts = np.cumsum([0, *(len(shard) for shard in documents)])

    draw = np.random.default_rng(mining.seed)
    counts: Counter[str] = Counter()
    examples: dict[str, list[dict]] = {"known_positive": [], "above_share_of_positive": [], "kept": []}
    rows = []
    for pair in pairs.select("query_id", "positive_id", "query").iter_rows(named=True):
        row = row_of[pair["query_id"]]
        place = place_of[pair["positive_id"]]
        shard = int(np.searchsorted(starts, place, side="right")) - 1
        positive_score = float(queries[row] @ documents[shard][place - starts[shard]])
        ranked = [(float(s), int(p)) for s, p in zip(*ranking(row), strict=True)]
        others = [(s, p) for s, p in ranked if p not in known[pair["query_id"]]]
        window = others[first:last]
        safe = [(s, p) for s, p in window if s <= mining.max_share_of_positive * positive_score]
        if mining.sampling == "random" and len(safe) > mining.per_query:
            chosen = sorted(draw.choice(len(safe), mining.per_query, replace=False).tolist())
            kept = [safe[i] for i in chosen]
        else:
            kept = safe[: mining.per_query]
        reserve = [candidate for candidate in safe if candidate not in kept][: mining.reserve]

        counts["ranked"] += len(ranked)
        counts["known_positive"] += len(ranked) - len(others)
        counts["outside_ranks"] += len(others) - len(window)
        counts["above_share_of_positive"] += len(window) - len(safe)
        counts["not_needed"] += len(safe) - len(kept) - len(reserve)
        counts["reserved"] += len(reserve)
        counts["kept"] += len(kept)
        counts["pairs"] += 1
        counts["pairs_with_fewer_than_asked"] += len(kept) < mining.per_query
        counts["pairs_without_negatives"] += not kept
        dropped = [(s, p) for s, p in window if s > mining.max_share_of_positive * positive_score]
        for reason, chosen in (("above_share_of_positive", dropped), ("kept", kept)):
            if chosen and len(examples[reason]) < EXAMPLES:
                examples[reason].append(_example(pair, text_of, document_ids, positive_score, *chosen[0]))
        rows.append(
            {
                "query_id": pair["query_id"],
                "positive_id": pair["positive_id"],
                "positive_score": positive_score,
                "negative_ids": [str(document_ids[p]) for _, p in kept],
                "negatives": [text_of[str(document_ids[p])] for _, p in kept],
                "scores": [s for s, _ in kept],
                "reserve_ids": [str(document_ids[p]) for _, p in reserve],
                "reserve": [text_of[str(document_ids[p])] for _, p in reserve],
                "reserve_scores": [s for s, _ in reserve],
            }
        )
    schema = {
        "query_id": pl.String, "positive_id": pl.String, "positive_score": pl.Float64,
        "negative_ids": pl.List(pl.String), "negatives": pl.List(pl.String), "scores": pl.List(pl.Float64),
        "reserve_ids": pl.List(pl.String), "reserve": pl.List(pl.String), "reserve_scores": pl.List(pl.Float64),
    }  # fmt: skip
    table = pl.DataFrame(rows, schema=schema)
    if not mining.reserve:
        table = table.drop("reserve_ids", "reserve", "reserve_scores")
    if not counts["kept"]:
        ranks, within = list(mining.ranks), counts["above_share_of_positive"]
        why = f"ranks {ranks} hold no document that is no answer, of {len(document_ids)} in all; lower them"
        if within:
            why = f"all {within} candidates of ranks {ranks} score too high; raise max_share_of_positive"
        raise AscentError(f"{shards.folder}: mining found no negative for any pair: {why}, or set the data set's mine: false.")
    return table, _audit(table, mining, counts, examples)


def _example(pair: dict, text_of: dict, document_ids: np.ndarray, positive_score: float, score: float, place: int) -> dict:
    return {
        "query": pair["query"][:200],
        "positive": text_of[pair["positive_id"]][:200],
        "candidate": text_of[str(document_ids[place])][:200],
        "positive_score": round(positive_score, 4),
        "candidate_score": round(score, 4),
    }


def _audit(table: pl.DataFrame, mining: Selection, counts: Counter, examples: dict) -> dict:
    drops = ["known_positive", "outside_ranks", "above_share_of_positive", "not_needed"]
    drops += ["reserved"] if mining.reserve else []
    if counts["ranked"] != counts["kept"] + sum(counts[reason] for reason in drops):
        raise AssertionError(f"the audit of the negatives does not add up: {dict(counts)}")
    flat = table.filter(pl.col("scores").list.len() > 0).explode("negative_ids", "negatives", "scores")
    margin = (flat["positive_score"] - flat["scores"]).to_numpy()
    quantiles = {f"p{q}": round(float(np.percentile(margin, q)), 4) for q in (5, 25, 50, 75, 95)}
    return {
        "settings": mining.model_dump(mode="json"),
        "counts": {
            key: counts[key]
            for key in ("pairs", "ranked", *drops, "kept", "pairs_with_fewer_than_asked", "pairs_without_negatives")
        },
        "margin_of_positive_over_negative": quantiles,
        "distinct_negatives": flat["negative_ids"].n_unique(),
        "examples": {reason: found for reason, found in examples.items() if found},
    }


def audit_replacements(metrics: Path) -> dict:
    """Return the audit of a stage that replaced negatives while it trained, from its metrics.jsonl."""
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    checks = [line for line in lines if "negatives_judged" in line]
    counted = [{"step": line["step"]} | {name: line[f"negatives_{name}"] for name in CHECKED} for line in checks]
    examples = [example | {"step": line["step"]} for line in checks for example in line["replacements"]]
    totals = {name: sum(check[name] for check in counted) for name in CHECKED}
    return totals | {"checks": counted, "examples": {"replaced": examples[:EXAMPLES]} if examples else {}}
