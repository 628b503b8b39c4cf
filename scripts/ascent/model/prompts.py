"""Prompts by the names under which mteb and sentence-transformers look them up in a model folder.

mteb gives a text the first prompt that it finds of `<task>-<side>`, `<task>`, `<type>-<side>`, `<type>` and `<side>`
(`AbsEncoder.get_prompt_name`) and ignores other names. Only texts of retrieval and reranking, and of a few asymmetric tasks
of other types, have a side. `encode_query` and `encode_document` of sentence-transformers use `query` and `document`.
"""

from ..settings.evaluation import MTEB_TYPES, SEARCHED
from ..settings.model import Contract


def named_prompts(contract: Contract) -> dict[str, str]:
    """Return a contract's prompts by name: of both sides and of every type of mteb's text tasks that needs its own.

    A type without a prompt has an empty one, where another would be found in its place.
    """
    named = {side: contract.prompt(side, "retrieval") for side in ("query", "document")}
    if not any(text for tasks in contract.prompts.values() for text in tasks.values()):
        return named
    types = {}
    for task, names in MTEB_TYPES.items():
        for name in names:
            if task in SEARCHED:
                own = {side: contract.prompt(side, task) for side in named}
                types |= {f"{name}-{side}": text for side, text in own.items() if text != named[side]}
            else:
                types[name] = contract.prompt("query", task)
    return named | dict(sorted(types.items()))
