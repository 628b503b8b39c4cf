"""The rank of each pair's positive among a pool of a data set's documents, by a teacher (E5's consistency filter, arXiv
2212.03533)."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch

from ..model.encoder import Encoder
from ..pairs.database import Database, listed
from ..pairs.draws import rank_in_sql
from ..pairs.table import count_pairs, pair_batches
from ..progress import PATIENCE, Progress
from ..settings.measures import Ranking

# Queries, and documents, of one matrix of scores: 256 MiB.
_QUERIES, _DOCUMENTS = 1024, 65_536
# Two sums of one document may differ by this much of the product of the norms: a tie.
_ROUNDING = 1e-6


def embed_ranked_pool(ranking: Ranking, folder: Path, tables: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Return ids and embeddings of the pool: of all distinct positives of a data set's parts those that are drawn,
    S32 (documents,) and float32 (documents, dimension), in the order of their ids."""
    drawn = (
        f"SELECT positive_id FROM (SELECT DISTINCT positive_id FROM read_parquet({listed(tables)}))"
        f" ORDER BY {rank_in_sql(ranking.seed, 'positive_id')} LIMIT {ranking.pool}"
    )
    rows = f"SELECT positive_id, positive FROM read_parquet({listed(tables)}) SEMI JOIN ({drawn}) USING (positive_id)"
    texts = f"SELECT positive_id, min(positive) AS positive FROM ({rows}) GROUP BY positive_id ORDER BY positive_id"
    with Database(tables[0].parent) as database:
        pool = pl.from_arrow(database.sql(texts).to_arrow_table())
    encoder = Encoder.of_backbone(folder, ranking.teacher)
    embeddings = encoder.encode(pool["positive"].to_list(), side="document", task=ranking.task, progress="documents")
    return np.array(pool["positive_id"].to_list(), dtype="S32"), embeddings


def rank_pairs(
    ranking: Ranking, folder: Path, part: Path, tables: Sequence[Path], ids: np.ndarray, pool: np.ndarray
) -> Iterator[pl.DataFrame]:
    """Yield query_id, positive_id and rank of a part's pairs, from 1, a batch at a time: one more than the documents of
    the pool that the teacher finds closer to the query than the positive.

    Positives of the query in any of the data set's `tables` do not count, nor do documents that are as close. ids and
    pool: as embed_ranked_pool returns them."""
    encoder = Encoder.of_backbone(folder, ranking.teacher)
    answers = _answers(part, tables, ids)
    with Progress("pairs", 2 * count_pairs(part), "text", patience=PATIENCE) as shown:
        for _, pairs in pair_batches(part):
            query, positive = (
                encoder.encode(pairs[column].to_list(), side=side, task=ranking.task, progress=shown)
                for column, side in (("query", "query"), ("positive", "document"))
            )
            ranks = []
            for start in range(0, len(pairs), _QUERIES):
                some = slice(start, start + _QUERIES)
                own = pairs[some].select("query_id").with_row_index("row").join(answers, "query_id")
                found = own["row"].to_numpy(), own["place"].to_numpy()
                ranks.append(count_closer(query[some], positive[some], pool, *found, device=encoder.device) + 1)
            yield pairs.select("query_id", "positive_id").with_columns(rank=pl.Series(np.concatenate(ranks)))


def _answers(part: Path, tables: Sequence[Path], ids: np.ndarray) -> pl.DataFrame:
    """Return the positives in the pool of the queries of a part: `query_id` and `place` in the pool."""
    pool = pl.DataFrame({"positive_id": ids.astype(str)}).with_row_index("place")
    with Database(part.parent) as database:
        database.register("pool", pool.to_arrow())
        found = database.sql(
            f"SELECT DISTINCT query_id, place FROM read_parquet({listed(tables)})"
            f" SEMI JOIN (SELECT query_id FROM read_parquet({listed([part])})) USING (query_id)"
            " JOIN pool USING (positive_id)"
        )
        return pl.from_arrow(found.to_arrow_table())


@torch.inference_mode()
def count_closer(
    queries: np.ndarray,
    positives: np.ndarray,
    pool: np.ndarray,
    rows: np.ndarray,
    places: np.ndarray,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """Return how many documents of a pool are closer to each query than its positive, int64 (queries,). Each `rows` and
    `places` is a query and a document of the pool that does not count.

    queries and positives: float32 (queries, dimension), row by row; pool: float32 (documents, dimension)."""
    query, positive = (torch.from_numpy(np.ascontiguousarray(side)).to(device) for side in (queries, positives))
    norms = query.norm(dim=1) * positive.norm(dim=1)
    least = ((query * positive).sum(1) + _ROUNDING * norms).unsqueeze(1)
    closer = torch.zeros(len(queries), dtype=torch.int64, device=device)
    for start in range(0, len(pool), _DOCUMENTS):
        documents = torch.from_numpy(np.array(pool[start : start + _DOCUMENTS])).to(device)
        scores = query @ documents.T
        inside = (places >= start) & (places < start + len(documents))
        own = [torch.from_numpy(each[inside].astype(np.int64)).to(device) for each in (rows, places - start)]
        scores[own[0], own[1]] = -torch.inf
        closer += (scores > least).sum(1)
    return closer.cpu().numpy()
