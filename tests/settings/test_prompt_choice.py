"""Which prompt a text gets: the nearest that a contract and a data set give it."""

from ascent.settings.contrastive import Contrastive
from ascent.settings.model import Contract
from ascent.settings.prompts import DatasetPrompts


def test_prompts_are_chosen_by_task():
    contract = Contract(prompts={"query": {"retrieval": "search: ", "default": "text: "}})
    assert contract.prompt("query", "retrieval") == "search: "
    assert contract.prompt("query", "reranking") == "search: "
    assert contract.prompt("query", "sts") == "text: "
    assert contract.prompt("document", "retrieval") == ""


def test_the_nearest_prompt_counts():
    """A data set's own, then the task's by name, then mteb's, then the type's, then the default; in the side's
    template."""
    template = {"query": "To: {instruction}\n{text}"}
    prompts = {
        "query": {"SciFact": "Check", "retrieval": ["Find", "Search"], "default": "Read"},
        "document": {"SciFact": "a: "},
    }
    contract = Contract(prompts=prompts, templates=template, task_prompts="mteb")
    assert contract.prompt("query", "retrieval", "SciFact") == "To: Check\n"
    assert contract.prompt("query", "retrieval", "ARCChallenge") == "To: Retrieve the answer to the question.\n"
    assert contract.prompt("query", "reranking") == contract.prompt("query", "retrieval", "NoSuchTask") == "To: Find\n"
    assert contract.prompt("document", "sts") == contract.prompt("query", "sts") == "To: Read\n"
    assert [contract.prompt("document", "retrieval", name) for name in ("SciFact", "ARCChallenge")] == ["a: ", ""]
    plain = Contract(prompts=prompts, templates=template)
    assert plain.prompt("query", "retrieval", "ARCChallenge") == "To: Find\n"
    own = DatasetPrompts(query=["Ask", "Look"])
    assert contract.tokenising("retrieval", own, 7).query_prompts == ["To: Ask\n", "To: Look\n"]
    assert contract.tokenising("retrieval", own).query_prompts == ["To: Ask\n"]
    assert contract.tokenising("retrieval", DatasetPrompts(query=""), 7).query_prompts == [""]
    assert contract.tokenising("sts", own, 7).document_prompts == ["To: Ask\n", "To: Look\n"]
    assert (contract.tokenising("retrieval", seed=7).seed, contract.tokenising("retrieval").seed) == (7, None)
    # Stages of several seeds have tokens, and so draws, in common.
    seeds = Contrastive(objective="infonce", data=["a", "b"], seeds=[3, 4]).members("s").values()
    assert [each.tokenising(contract, "a", "retrieval").seed for each in seeds] == [0, 0]
    stage = Contrastive(objective="infonce", data=["a"], seed=3, development={"data": "b"})
    assert [stage.tokenising(contract, name, "retrieval").seed for name in "ab"] == [3, None]
