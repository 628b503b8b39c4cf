"""What became of the candidates for negatives, in counts and examples."""

import json
from array import array
from collections import Counter
from pathlib import Path

import numpy as np

from ..settings.negatives import Selection
from .documents import Documents
from .ranking import Ranked
from .texts import ChosenTexts

EXAMPLES = 5
# What each check of the negatives counts while a stage trains.
CHECKED = ("judged", "replaced", "exhausted")


class Audit:
    """Counts pairs' candidates, and keeps the numbers of those that were chosen."""

    def __init__(self, mining: Selection, documents: Documents):
        self._mining, self._documents = mining, documents
        self.counts: Counter[str] = Counter()
        self._examples: dict[str, list[dict]] = {"above_share_of_positive": [], "kept": []}
        # 16 bytes per negative.
        self._places, self._margins = array("q"), array("d")

    @property
    def shown(self) -> list[int]:
        """The places of the documents in examples."""
        return [example["candidate"] for examples in self._examples.values() for example in examples]

    def add(self, pair: dict, found: Ranked, chosen) -> None:
        """Count a pair's candidates. pair: its query and positive, besides ids; chosen: see selection.py."""
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
            pairs_with_fewer_than_asked=int(len(chosen.kept) < self._mining.per_query),
            pairs_without_negatives=int(not chosen.kept),
        )
        too_high = chosen.window[: len(chosen.window) - len(chosen.safe)]
        for reason, candidates in (("above_share_of_positive", too_high), ("kept", chosen.kept)):
            if candidates and len(self._examples[reason]) < EXAMPLES:
                self._examples[reason].append(_example(pair, found.positive_score, *candidates[0]))
        self._places.extend(place for _, place in chosen.kept)
        self._margins.extend(found.positive_score - score for score, _ in chosen.kept)

    def finished(self, texts: ChosenTexts) -> dict:
        """Return the audit: the settings, what became of the candidates, where the negatives are from if there are
        pools, the margins and examples."""
        drops = ["known_positive", "query_itself", "outside_ranks", "above_share_of_positive", "not_needed"]
        counts, drops = self.counts, drops + (["reserved"] if self._mining.reserve else [])
        if counts["ranked"] != counts["kept"] + sum(counts[reason] for reason in drops):
            raise AssertionError(f"the audit of the negatives does not add up: {dict(counts)}")
        names = ("pairs", "ranked", *drops, "kept", "pairs_with_fewer_than_asked", "pairs_without_negatives")
        kept, margins = np.array(self._places), np.array(self._margins)
        audit = {
            "settings": self._mining.model_dump(mode="json"),
            "counts": {name: counts[name] for name in names},
            "margin_of_positive_over_negative": {
                f"p{q}": round(float(np.percentile(margins, q)), 4) for q in (5, 25, 50, 75, 95)
            },
            "distinct_negatives": len(np.unique(kept)),
            "examples": {reason: self._with_texts(found, texts) for reason, found in self._examples.items() if found},
        }
        if len(self._documents.sources) > 1:
            audit["from"] = self._by_source(kept)
        return audit

    def _by_source(self, kept: np.ndarray) -> list[dict]:
        """Return how many negatives are from the data set itself (`corpus` is null) and from each corpus."""
        sources = self._documents.sources
        counts = np.bincount(self._documents.source(kept), minlength=len(sources))
        return [{"corpus": corpus, "kept": count} for corpus, count in zip(sources, counts.tolist(), strict=True)]

    def _with_texts(self, examples: list[dict], texts: ChosenTexts) -> list[dict]:
        places = np.array([example["candidate"] for example in examples])
        corpora = [self._documents.sources[number] for number in self._documents.source(places)]
        return [
            example | {"candidate": text[:200]} | ({"corpus": corpus} if corpus else {})
            for example, text, corpus in zip(examples, texts.of(places), corpora, strict=True)
        ]


def _example(pair: dict, positive_score: float, score: float, place: int) -> dict:
    return {
        "query": pair["query"][:200],
        "positive": pair["positive"][:200],
        "candidate": place,
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
