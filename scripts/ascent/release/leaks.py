"""What the card says of test texts in training: from the ledger in leakage.json, of the released model's data."""

from collections.abc import Collection
from typing import Any

from ..settings.mteb_tasks import mteb_tasks
from ..settings.recipe import ReleaseSettings

_SHOWN = 10


def leak_facts(
    settings: ReleaseSettings, leakage: dict, datasets: Collection[str], learnt: Collection[str]
) -> dict[str, Any]:
    """Return `by_method`, for each method in words the matches of test texts that are left and how many are not shown;
    `pools`, by data set the tasks whose documents or labels it has; and `unnamed`, by data set mteb's tasks of which it
    has texts, though they are not among those that mteb takes for `learnt`.

    `datasets`: those that the released model was trained on. The documents that negatives of its lineage were mined
    among count as a data set of their corpus's name.
    """
    methods = {name: method for name, method in settings.recipe.leaks if method.test != "ignore"}
    mined = settings.recipe.mined_in_lineage

    def counts(entry: dict) -> bool:
        if entry.get("pool"):  # what is dropped of these is left out when they are embedded
            return entry["dataset"] in mined and entry["action"] != "drop"
        return entry["dataset"] in datasets

    entries = [entry for entry in leakage["ledger"] if counts(entry)]
    by_method, pools, unnamed = {}, {}, {}
    for name, method in methods.items():
        found = [entry for entry in entries if (entry["method"], entry["texts"]) == (name, "test")]
        found.sort(key=lambda entry: -entry["rows"])
        by_method[method.words.format(**dict(method))] = (found[:_SHOWN], len(found[_SHOWN:]))
    for entry in entries:
        if entry["texts"] != "test":
            pools.setdefault(entry["dataset"], {})[entry["task"]] = None
        if entry["task"] in mteb_tasks()["tasks"] and entry["task"] not in learnt:
            unnamed.setdefault(entry["dataset"], {})[entry["task"]] = None
    return {"by_method": by_method, "pools": pools, "unnamed": unnamed}
