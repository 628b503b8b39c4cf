"""Hard negatives: each query's nearest documents that are not answers and not itself, with a count of every choice.

The selection is positive-aware (NV-Retriever, arXiv 2407.15831, section 3.2, TopK-PercPos): a candidate that scores
close to the positive is probably an unlabelled positive, and is dropped."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from ..errors import AscentError
from ..files import scratch_in
from ..pairs.parquet import Table, files_of, read_batches, writing
from ..pairs.table import SCHEMA
from ..settings.negatives import Selection
from .audit import Audit
from .documents import Documents
from .ranking import Candidate, Ranking
from .shards import Shards
from .table import NEGATIVES, RESERVE, schema_of
from .texts import ChosenTexts

_PAIRS = pa.schema([SCHEMA.field(name) for name in ("query_id", "positive_id", "query", "positive")])
_CHOSEN = pa.schema(
    [
        *[pa.field(name, pa.string()) for name in ("query_id", "positive_id")],
        pa.field("positive_score", pa.float64()),
        *[pa.field(name, pa.list_(pa.int64())) for name in ("kept", "reserve")],
        *[pa.field(name, pa.list_(pa.float64())) for name in ("kept_scores", "reserve_scores")],
    ]
)


@dataclass(frozen=True)
class Pool:
    """The documents of a corpus to mine in: their shards, and the tables with their texts."""

    shards: Shards
    files: list[Path] = field(default_factory=list)


def mine(
    shards: Shards, pairs: Table, mining: Selection, output: Path, pools: Mapping[str, Pool] | None = None
) -> dict:
    """Choose negatives for each pair among the data set's documents and those of pools, by corpus; write the table of
    negatives and return its audit.

    Table: query_id, positive_id, positive_score, negative_ids, negatives (texts), scores; one row per pair, in the
    pairs' order. A pair may get fewer than `per_query` negatives, or none: the audit counts them. With a reserve also
    reserve_ids, reserve (texts) and reserve_scores: the next candidates after these, best first. In memory are numbers
    for each document, query and pair, and a block of embeddings or texts."""
    with scratch_in(output.parent) as scratch:
        pools = pools or {}
        documents = Documents(shards, {corpus: pool.shards for corpus, pool in pools.items()})
        audit = Audit(mining, documents)
        ranking = Ranking(shards, documents, pairs, mining.ranks[1], scratch)
        chosen = scratch / "chosen.parquet"
        _choose_all(ranking, pairs, mining, audit, chosen)
        if not audit.counts["kept"]:
            ranks, within = list(mining.ranks), audit.counts["above_share_of_positive"]
            why = f"ranks {ranks} hold no document that is not an answer, of {len(documents)} in all; lower them"
            if within:
                why = f"all {within} candidates of ranks {ranks} score too high; raise max_share_of_positive"
            raise AscentError(
                f"{shards.folder}: mining found no negative for any pair: {why}, or set the data set's mine: false."
            )
        places = _distinct_places(chosen, audit.shown)
        files = [file for pool in pools.values() for file in pool.files]
        texts = ChosenTexts(places, documents.ids(places), pairs, files, scratch / "texts.arrow")
        _write_table(output, chosen, bool(mining.reserve), documents, texts)
        return audit.finished(texts)


def _choose_all(ranking: Ranking, pairs: Table, mining: Selection, audit: Audit, output: Path) -> None:
    """Write the places and scores of each pair's negatives."""
    draw, first = np.random.default_rng(mining.seed), 0
    with writing(output, _CHOSEN) as add:
        for file in files_of(pairs):
            for batch in read_batches(file, _PAIRS):
                rows = []
                for pair, ranked in zip(batch.iter_rows(named=True), ranking.of(first, len(batch)), strict=True):
                    chosen = _choose(ranked.others, ranked.positive_score, mining, draw)
                    audit.add(pair, ranked, chosen)
                    row = {name: pair[name] for name in ("query_id", "positive_id")}
                    row["positive_score"] = ranked.positive_score
                    for name, candidates in (("kept", chosen.kept), ("reserve", chosen.reserve)):
                        row[name] = [place for _, place in candidates]
                        row[f"{name}_scores"] = [score for score, _ in candidates]
                    rows.append(row)
                add(pl.DataFrame(rows, schema=pl.from_arrow(_CHOSEN.empty_table()).schema))
                first += len(batch)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What becomes of a pair's candidates. `window` are those of the ranks, `safe` those of them that may be taken."""

    window: list[Candidate]
    safe: list[Candidate]
    kept: list[Candidate]
    reserve: list[Candidate]


def _choose(others: list[Candidate], positive_score: float, mining: Selection, draw: np.random.Generator) -> Chosen:
    """Choose a pair's negatives from the documents that are not answers, best first."""
    window = others[slice(*mining.ranks)]
    safe = [each for each in window if each[0] <= mining.max_share_of_positive * positive_score]
    kept = safe[: mining.per_query]
    if mining.sampling == "random" and len(safe) > mining.per_query:
        kept = [safe[i] for i in sorted(draw.choice(len(safe), mining.per_query, replace=False).tolist())]
    return Chosen(window, safe, kept, [each for each in safe if each not in kept][: mining.reserve])


def _distinct_places(chosen: Path, shown: list[int]) -> np.ndarray:
    """Return the places of all documents whose texts are needed, ascending: int64."""
    places = np.unique(np.array(shown, dtype=np.int64))
    for batch in read_batches(chosen, pa.schema([_CHOSEN.field(name) for name in ("kept", "reserve")])):
        for name in batch.columns:
            places = np.union1d(places, batch[name].explode().drop_nulls().to_numpy())
    return places


def _write_table(output: Path, chosen: Path, reserve: bool, documents: Documents, texts: ChosenTexts) -> None:
    """Write the table of negatives from the places that were chosen."""
    with writing(output, schema_of(reserve)) as add:
        for batch in read_batches(chosen, _CHOSEN):
            table = batch.select("query_id", "positive_id", "positive_score")
            for names, kind in ((NEGATIVES, "kept"), (RESERVE, "reserve"))[: 1 + reserve]:
                places = batch[kind].explode().drop_nulls().to_numpy()
                ids = pl.Series(documents.ids(places).astype(str), dtype=pl.String)
                lists = (_as_lists(batch[kind], values) for values in (ids, texts.of(places)))
                columns = zip(names, (*lists, batch[f"{kind}_scores"]), strict=True)
                table = table.with_columns(column.alias(name) for name, column in columns)
            add(table)


def _as_lists(like: pl.Series, values: pl.Series) -> pl.Series:
    """Return values, one list behind the other, in lists as long as those of `like`."""
    offsets = pa.array(np.cumsum([0, *like.list.len()]), type=pa.int64())
    return pl.from_arrow(pa.LargeListArray.from_arrays(offsets, values.to_arrow()))
