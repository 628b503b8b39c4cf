"""Hard negatives: each query's nearest documents that are no answers and not itself, with a count of every choice.

The selection is positive-aware (NV-Retriever, arXiv 2407.15831, section 3.2, TopK-PercPos): a candidate that scores
close to the positive is probably an unlabelled positive, and is dropped."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from ..errors import AscentError
from ..settings.negatives import Selection
from .search import rankings
from .shards import Shards

EXAMPLES = 5
# Columns of a table of negatives: ids, texts and scores.
NEGATIVES = ("negative_ids", "negatives", "scores")
RESERVE = ("reserve_ids", "reserve", "reserve_scores")
# A document's score and its place among all documents.
Candidate = tuple[float, int]
# What each check of the negatives counts while a stage trains.
CHECKED = ("judged", "replaced", "exhausted")


def mine(shards: Shards, pairs: pl.DataFrame, mining: Selection) -> tuple[pl.DataFrame, dict]:
    """Choose negatives for each pair; return the table of negatives and its audit.

    Table: query_id, positive_id, positive_score, negative_ids, negatives (texts), scores; one row per pair, in the
    pairs' order. A pair may get fewer than `per_query` negatives, or none: the audit counts them. With a reserve also
    reserve_ids, reserve (texts) and reserve_scores: the next candidates after these, best first."""
    ranking, draw = _Ranking(shards, pairs, mining.ranks[1]), np.random.default_rng(mining.seed)
    record = _Record(mining, ranking.document_ids, dict(pairs.select("positive_id", "positive").iter_rows()))
    for pair in pairs.select("query_id", "positive_id", "query").iter_rows(named=True):
        found = ranking.of(pair["query_id"], pair["positive_id"])
        record.add(pair, found, _choose(found.others, found.positive_score, mining, draw))
    if not record.counts["kept"]:
        ranks, within = list(mining.ranks), record.counts["above_share_of_positive"]
        why = f"ranks {ranks} hold no document that is no answer, of {len(ranking.document_ids)} in all; lower them"
        if within:
            why = f"all {within} candidates of ranks {ranks} score too high; raise max_share_of_positive"
        raise AscentError(
            f"{shards.folder}: mining found no negative for any pair: {why}, or set the data set's mine: false."
        )
    table = record.table()
    return table, record.audit(table)


@dataclass(frozen=True, slots=True)
class _Ranked:
    """A query's nearest documents: the positive's score, how many are ranked, how many of these are answers, whether
    one is the query itself, and those that are neither, best first."""

    positive_score: float
    ranked: int
    answers: int
    itself: int
    others: list[Candidate]


class _Ranking:
    """Each query's nearest documents, as deep as itself, its answers and `depth` others reach.

    Raises AscentError if the shards lack a text of the pairs.
    """

    def __init__(self, shards: Shards, pairs: pl.DataFrame, depth: int):
        query_ids = np.concatenate([ids for ids, _ in shards.parts("queries")]).astype(str)
        self.queries = np.concatenate([embeddings for _, embeddings in shards.parts("queries")])
        self.documents = [embeddings for _, embeddings in shards.parts("documents")]
        self.document_ids = np.concatenate([ids for ids, _ in shards.parts("documents")]).astype(str)
        self.row_of = {id: row for row, id in enumerate(query_ids)}
        self.place_of = {id: place for place, id in enumerate(self.document_ids)}
        missing = set(pairs["query_id"]) - self.row_of.keys() | set(pairs["positive_id"]) - self.place_of.keys()
        if missing:
            raise AscentError(
                f"{shards.folder}: {len(missing)} texts of the pairs are not in the shards; delete the folder and"
                " re-run."
            )
        self.answers: dict[str, set[int]] = {}
        for query_id, positive_id in pairs.select("query_id", "positive_id").iter_rows():
            self.answers.setdefault(query_id, set()).add(self.place_of[positive_id])
        depths = depth + np.array([len(self.answers.get(id, set()) | self._itself(id)) for id in query_ids])
        self.nearest = rankings(self.queries, self.documents, depths)
        self.starts = np.cumsum([0, *(len(shard) for shard in self.documents)])

    def _itself(self, query_id: str) -> set[int]:
        return {self.place_of[query_id]} if query_id in self.place_of else set()

    def of(self, query_id: str, positive_id: str) -> _Ranked:
        """Return a pair's ranked documents."""
        row, place = self.row_of[query_id], self.place_of[positive_id]
        shard = int(np.searchsorted(self.starts, place, side="right")) - 1
        positive_score = float(self.queries[row] @ self.documents[shard][place - self.starts[shard]])
        ranked = [(float(score), int(place)) for score, place in zip(*self.nearest(row), strict=True)]
        others = [each for each in ranked if each[1] not in self.answers[query_id]]
        itself = self._itself(query_id)
        candidates = [each for each in others if each[1] not in itself]
        return _Ranked(
            positive_score, len(ranked), len(ranked) - len(others), len(others) - len(candidates), candidates
        )


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What becomes of a pair's candidates. `window` are those of the ranks, `safe` those of them that may be taken."""

    window: list[Candidate]
    safe: list[Candidate]
    kept: list[Candidate]
    reserve: list[Candidate]


def _choose(others: list[Candidate], positive_score: float, mining: Selection, draw: np.random.Generator) -> _Chosen:
    """Choose a pair's negatives from the documents that are no answer, best first."""
    window = others[slice(*mining.ranks)]
    safe = [each for each in window if each[0] <= mining.max_share_of_positive * positive_score]
    kept = safe[: mining.per_query]
    if mining.sampling == "random" and len(safe) > mining.per_query:
        kept = [safe[i] for i in sorted(draw.choice(len(safe), mining.per_query, replace=False).tolist())]
    return _Chosen(window, safe, kept, [each for each in safe if each not in kept][: mining.reserve])


class _Record:
    """The rows of the table of negatives, and what the audit counts."""

    def __init__(self, mining: Selection, document_ids: np.ndarray, text_of: dict[str, str]):
        self.mining, self.document_ids, self.text_of = mining, document_ids, text_of
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[dict]] = {"above_share_of_positive": [], "kept": []}
        self.rows: list[dict] = []

    def add(self, pair: dict, found: _Ranked, chosen: _Chosen) -> None:
        """Add a pair's row, and count its candidates."""
        self.counts.update(
            ranked=found.ranked,
            known_positive=found.answers,
            query_itself=found.itself,
            outside_ranks=len(found.others) - len(chosen.window),
            above_share_of_positive=len(chosen.window) - len(chosen.safe),
            not_needed=len(chosen.safe) - len(chosen.kept) - len(chosen.reserve),
            reserved=len(chosen.reserve),
            kept=len(chosen.kept),
            pairs=1,
            pairs_with_fewer_than_asked=int(len(chosen.kept) < self.mining.per_query),
            pairs_without_negatives=int(not chosen.kept),
        )
        too_high = chosen.window[: len(chosen.window) - len(chosen.safe)]
        for reason, candidates in (("above_share_of_positive", too_high), ("kept", chosen.kept)):
            if candidates and len(self.examples[reason]) < EXAMPLES:
                self.examples[reason].append(self._example(pair, found.positive_score, *candidates[0]))
        row = {"query_id": pair["query_id"], "positive_id": pair["positive_id"], "positive_score": found.positive_score}
        for (ids, texts, scores), candidates in ((NEGATIVES, chosen.kept), (RESERVE, chosen.reserve)):
            row[ids] = [str(self.document_ids[place]) for _, place in candidates]
            row[texts] = [self.text_of[id] for id in row[ids]]
            row[scores] = [score for score, _ in candidates]
        self.rows.append(row)

    def table(self) -> pl.DataFrame:
        """Return the table of negatives."""
        kinds = (pl.List(pl.String), pl.List(pl.String), pl.List(pl.Float64))
        schema = {"query_id": pl.String, "positive_id": pl.String, "positive_score": pl.Float64}
        schema |= dict(zip((*NEGATIVES, *RESERVE), kinds * 2, strict=True))
        table = pl.DataFrame(self.rows, schema=schema)
        return table if self.mining.reserve else table.drop(RESERVE)

    def audit(self, table: pl.DataFrame) -> dict:
        """Return the audit: the settings, what became of the candidates, the margins and examples."""
        drops = ["known_positive", "query_itself", "outside_ranks", "above_share_of_positive", "not_needed"]
        counts, drops = self.counts, drops + (["reserved"] if self.mining.reserve else [])
        if counts["ranked"] != counts["kept"] + sum(counts[reason] for reason in drops):
            raise AssertionError(f"the audit of the negatives does not add up: {dict(counts)}")
        names = ("pairs", "ranked", *drops, "kept", "pairs_with_fewer_than_asked", "pairs_without_negatives")
        flat = table.filter(pl.col("scores").list.len() > 0).explode(NEGATIVES)
        margin = (flat["positive_score"] - flat["scores"]).to_numpy()
        return {
            "settings": self.mining.model_dump(mode="json"),
            "counts": {name: counts[name] for name in names},
            "margin_of_positive_over_negative": {
                f"p{q}": round(float(np.percentile(margin, q)), 4) for q in (5, 25, 50, 75, 95)
            },
            "distinct_negatives": flat["negative_ids"].n_unique(),
            "examples": {reason: examples for reason, examples in self.examples.items() if examples},
        }

    def _example(self, pair: dict, positive_score: float, score: float, place: int) -> dict:
        return {
            "query": pair["query"][:200],
            "positive": self.text_of[pair["positive_id"]][:200],
            "candidate": self.text_of[str(self.document_ids[place])][:200],
            "positive_score": round(positive_score, 4),
            "candidate_score": round(score, 4),
        }


def audit_replacements(metrics: Path) -> dict:
    """Return the audit of the negatives that a stage replaced while it trained, from its metrics.jsonl."""
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    checks = [line for line in lines if "negatives_judged" in line]
    counted = [{"step": line["step"]} | {name: line[f"negatives_{name}"] for name in CHECKED} for line in checks]
    examples = [example | {"step": line["step"]} for line in checks for example in line["replacements"]]
    totals = {name: sum(check[name] for check in counted) for name in CHECKED}
    shown = {"replaced": examples[:EXAMPLES]} if examples else {}
    return totals | {"checks": counted, "examples": shown}
