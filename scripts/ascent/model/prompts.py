"""Prompts by the names under which mteb and sentence-transformers look them up in a model folder.

mteb gives a text the first prompt that it finds of `<task>-<side>`, `<task>`, `<type>-<side>`, `<type>` and `<side>`
(`AbsEncoder.get_prompt_name`) and ignores other names. Only texts of retrieval and reranking, and of a few asymmetric
tasks of other types, have a side. `encode_query` and `encode_document` of sentence-transformers use `query` and
`document`."""

from ..settings.evaluation import MTEB_TYPES, SEARCHED
from ..settings.model import Contract
from ..settings.mteb_tasks import task_type, tasks_with_prompts


def named_prompts(contract: Contract) -> dict[str, str]:
    """Return a contract's prompts by name: of both sides, of every type of mteb's text tasks that needs its own, and of
    its tasks that do.

    A type without a prompt has an empty one, where another would be found in its place.
    """
    named = {side: contract.prompt(side, "retrieval") for side in ("query", "document")}
    if not any(every_prompt(contract)):
        return named
    types = {}
    for task, names in MTEB_TYPES.items():
        for name in names:
            if task in SEARCHED:
                own = {side: contract.prompt(side, task) for side in named}
                types |= {f"{name}-{side}": text for side, text in own.items() if text != named[side]}
            else:
                types[name] = contract.prompt("query", task)
    return named | dict(sorted(types.items())) | dict(sorted(prompts_of_tasks(contract).items()))


def prompts_of_tasks(contract: Contract) -> dict[str, str]:
    """Return the prompts of those of mteb's tasks that do not get their type's."""
    prompts, tasks = {}, {name for named in contract.prompts.values() for name in named if task_type(name)}
    for task in tasks.union(tasks_with_prompts() if contract.task_prompts else ()):
        kind = task_type(task)
        for side in ("query", "document") if kind in SEARCHED else ("query",):
            text = contract.prompt(side, kind, task)
            if text != contract.prompt(side, kind):
                prompts[f"{task}-{side}" if kind in SEARCHED else task] = text
    return prompts


def every_prompt(contract: Contract) -> list[str]:
    """Return all prompts of a contract, as they stand before texts, each once: also paraphrases, and mteb's own."""
    return list(dict.fromkeys([*contract.every_prompt, *prompts_of_tasks(contract).values()]))
