"""Units of a task, made up."""

import pyarrow as pa

from ascent.evaluation.units import SCHEMA, Units


def units(scores, metric="ndcg_at_10", reference=None, subsets=None, stage="base", task="Toy", texts=None):
    """Return units with these scores; each has a text of its own unless `texts` says otherwise."""
    n = len(scores)
    columns = {
        "split": ["test"] * n,
        "subset": subsets or ["default"] * n,
        "unit": [str(i) for i in range(n)],
        "score": scores,
        "reference": [None] * n if reference is None else reference,
        "texts": texts or [[str(i)] for i in range(n)],
    }
    table = pa.table({key: pa.array(value, SCHEMA.field(key).type) for key, value in columns.items()})
    kind = "STS" if reference is not None else "Retrieval"
    return Units(recipe="toy", stage=stage, task=task, type=kind, metric=metric, table=table)
