"""Instructions: the same texts have the same embeddings along all roads, from training's tokens to the released
folder."""

import mteb
import numpy as np
import pytest
import torch
from datasets import Dataset as Texts
from mteb.models import SentenceTransformerEncoderWrapper
from mteb.models.abs_encoder import get_prompt_name
from mteb.models.instruct_wrapper import InstructSentenceTransformerModel
from mteb.types import PromptType
from sentence_transformers import SentenceTransformer
from torch.utils.data import DataLoader

from ascent.evaluation.model import EvaluatedModel, prompt_of
from ascent.model.encoder import Encoder
from ascent.model.prompts import named_prompts
from ascent.model.saving import save_new
from ascent.negatives.shards import encode_shard, open_shards
from ascent.pairs.table import Pair, pair_frame, write_pairs
from ascent.pairs.text import text_id
from ascent.settings.model import Contract
from ascent.settings.mteb_tasks import tasks_with_prompts
from ascent.settings.prompts import DatasetPrompts
from ascent.tokens.table import TokenisedPairs
from ascent.tokens.tokenise import tokenise_pairs

TEMPLATE = "To: {instruction}\nis: {text}"
OWN = "Retrieve the answer to the question."
TEXTS = {
    "query": ["open it", "read all lines?", "what"],
    "document": ["a text file", "it is closed, whatever happens", "so on"],
}
# The contract, what a data set says so that it is trained with the prompts of the task ARCChallenge, and what these
# are.
CASES = {
    "type": (
        {"prompts": {"query": {"retrieval": "find: "}, "document": {"default": "found: "}}},
        {},
        ("find: ", "found: "),
    ),
    "name": (
        {
            "prompts": {
                "query": {"retrieval": "find: ", "ARCChallenge": "claim: "},
                "document": {"ARCChallenge": "paper: "},
            }
        },
        {"query": "claim: ", "document": "paper: "},
        ("claim: ", "paper: "),
    ),
    "template": (
        {
            "templates": {"query": TEMPLATE},
            "prompts": {"query": {"retrieval": "Find it"}, "document": {"default": "found: "}},
        },
        {},
        ("To: Find it\nis: ", "found: "),
    ),
    "both templates": (
        {
            "templates": {"query": TEMPLATE, "document": "{instruction}: {text}"},
            "prompts": {"document": {"ARCChallenge": "A paper"}},
        },
        {"query": "", "document": "A paper"},
        ("", "A paper: "),
    ),
    "mteb": (
        {"templates": {"query": TEMPLATE}, "task_prompts": "mteb", "prompts": {"query": {"retrieval": "Find it"}}},
        {"query": OWN},
        (f"To: {OWN}\nis: ", ""),
    ),
    "mteb, but named": (
        {
            "templates": {"query": TEMPLATE},
            "task_prompts": "mteb",
            "prompts": {"query": {"ARCChallenge": ["Check it", "Prove it"]}},
        },
        {"query": "Check it"},
        ("To: Check it\nis: ", ""),
    ),
}


def folder_with(resource, folder, **settings) -> tuple[Contract, Encoder]:
    contract = Contract(max_tokens=64, **settings)
    folder.mkdir()
    save_new(resource, contract, {}, folder)
    return contract, Encoder(folder, precision="float32")


def write(pairs: list[Pair], folder):
    write_pairs(folder / "pairs.parquet", pair_frame(pairs, "questions", "eng-Latn"))
    return folder / "pairs.parquet"


def in_training(folder, encoder, tokenising, pairs, output) -> dict[str, np.ndarray]:
    tokenise_pairs(folder, tokenising, pairs, None, output)
    table, found = TokenisedPairs(output), {}
    for side, places in (("query", table.queries), ("document", table.documents[table.document_offsets[:-1]])):
        rows, skipped = [table.text(place) for place in places], [table.prompt_length(place) for place in places]
        with torch.inference_mode():
            found[side] = encoder.model.embed(**encoder.model.inputs(rows, 0, "cpu", skipped)).numpy()
    return found


def in_mining(encoder, tokenising, pairs, texts, folder) -> dict[str, np.ndarray]:
    encode_shard(encoder, pairs, tokenising, 0, 1, folder)
    shards, found = open_shards(folder, 1), {}
    for side, name in (("query", "queries"), ("document", "documents")):
        ((ids, rows),) = shards.parts(name)
        places = {each.decode(): place for place, each in enumerate(ids)}
        found[side] = rows[[places[text_id(text)] for text in texts[side]]]
    return found


@pytest.mark.parametrize("case", CASES)
def test_all_roads_embed_a_text_alike(tiny_resource, tmp_path, case):
    settings, own, expected = CASES[case]
    pool_prompt = case not in ("name", "template", "mteb")
    folder = tmp_path / "model"
    contract, encoder = folder_with(tiny_resource, folder, pool_prompt=pool_prompt, **settings)
    pairs = write([Pair(*texts) for texts in zip(*TEXTS.values(), strict=True)], tmp_path)
    tokenising = contract.tokenising("retrieval", DatasetPrompts(**own))
    plain, wrapper = (
        SentenceTransformer(str(folder), device="cpu"),
        SentenceTransformerEncoderWrapper(str(folder), device="cpu"),
    )
    trained = in_training(folder, encoder, tokenising, pairs, tmp_path / "tokens")
    mined = in_mining(encoder, tokenising, pairs, TEXTS, tmp_path / "shards")
    options = {"task_metadata": mteb.get_task("ARCChallenge").metadata, "hf_split": "test", "hf_subset": "default"}
    for (side, texts), prompt in zip(TEXTS.items(), expected, strict=True):
        released = plain.encode(texts, prompt=prompt)  # the judge: the prompt written out
        given = options | {"prompt_type": PromptType(side)}
        roads = [trained[side], mined[side], EvaluatedModel(encoder, "a/b").encode([{"text": texts}], **given)]
        loader = DataLoader(Texts.from_dict({"text": texts}), batch_size=len(texts))
        roads.append(wrapper.encode(loader, **given, show_progress_bar=False))
        name = next(name for name in (f"ARCChallenge-{side}", f"Retrieval-{side}", side) if name in plain.prompts)
        roads.append(plain.encode(texts, prompt_name=name))
        for road in roads:
            np.testing.assert_allclose(road, released, rtol=0, atol=1e-5)
        if prompt:
            assert np.abs(plain.encode(texts, prompt="") - released).max() > 1e-3


@pytest.mark.parametrize("pool_prompt", [True, False])
@pytest.mark.parametrize("task", ["retrieval", "sts"])
def test_rows_have_prompts_of_their_own(tiny_resource, tmp_path, task, pool_prompt):
    """The second row has its own instruction, the third its own of both sides, which texts of sts do not have."""
    template = {"query": TEMPLATE, "document": "{instruction} | {text}"}
    folder = tmp_path / "model"
    contract, encoder = folder_with(tiny_resource, folder, pool_prompt=pool_prompt, templates=template)
    queries, documents = TEXTS.values()
    prompts = [(None, None), ("open the file now, and then", None), ("close", "a file")]
    rows = [
        Pair(*texts, (), 1.0, task, "train", None, *own)
        for *texts, own in zip(queries, documents, prompts, strict=True)
    ]
    # A document of another row, which has another prompt there.
    rows.append(Pair("last", documents[2], (documents[0],), 1.0, task, "train", None, None, "some text"))
    pairs = write(rows, tmp_path)
    own = DatasetPrompts(query="find") if task == "sts" else DatasetPrompts(query="find", document="found")
    found = in_training(folder, encoder, contract.tokenising(task, own), pairs, tmp_path / "tokens")
    asked = [f"To: {text}\nis: " for text in ("find", prompts[1][0], prompts[2][0], "find")]
    answered = ["found | ", "found | ", "a file | ", "some text | "] if task == "retrieval" else asked
    plain = SentenceTransformer(str(folder), device="cpu")
    for side, before in (("query", asked), ("document", answered)):
        texts = [row.query if side == "query" else row.positive for row in rows]
        expected = np.concatenate(
            [plain.encode([text], prompt=prompt) for text, prompt in zip(texts, before, strict=True)]
        )
        np.testing.assert_allclose(found[side], expected, rtol=0, atol=1e-5)
        mined = in_mining(
            encoder, contract.tokenising(task, own), pairs, {**TEXTS, side: texts[:3]}, tmp_path / "shards"
        )
        np.testing.assert_allclose(mined[side], expected[:3], rtol=0, atol=1e-5)
    table = TokenisedPairs(tmp_path / "tokens")
    assert table.meta["texts"] == {"query": 4, "document": 5 if task == "retrieval" else 4}
    assert len(set(table.text_ids[table.documents].tolist())) == 3


@pytest.mark.slow
def test_mteb_s_own_prompts_are_those_that_it_gives_instructed_models():
    contract = Contract(
        templates={"query": TEMPLATE},
        task_prompts="mteb",
        prompts={"query": {"default": "Read it", "ARCChallenge": ""}},
    )
    judge = InstructSentenceTransformerModel.__new__(InstructSentenceTransformerModel)
    judge.instruction_template, named = "To: {instruction}\nis: ", named_prompts(contract)
    tasks = mteb.get_tasks(tasks=tasks_with_prompts(), exclude_superseded=False)
    assert len(tasks) > 300
    for metadata in (task.metadata for task in tasks):
        side = PromptType.query if metadata.type in ("Retrieval", "Reranking", "InstructionReranking") else None
        given = (
            PromptType.query if isinstance(metadata.prompt, dict) else side
        )  # without a side it would print the dict
        theirs = "" if metadata.name == "ARCChallenge" else judge.get_task_instruction(metadata, given)
        assert prompt_of(contract, metadata, side) == named.get(get_prompt_name(named, metadata, side), "") == theirs
        assert prompt_of(contract, metadata, PromptType.document) == ("" if side else theirs)
    assert prompt_of(contract, mteb.get_task("STSBenchmark").metadata, None) == "To: Read it\nis: "


def test_paraphrases_are_drawn_per_row_by_the_seed(tiny_resource, tmp_path):
    folder, texts = tmp_path / "model", [f"text {number}" for number in range(200)]
    contract, encoder = folder_with(tiny_resource, folder, templates={"query": TEMPLATE})
    own = DatasetPrompts(query=["find", "search", "look"], document="found: ")
    pairs = write([Pair(text, f"the {text}") for text in texts], tmp_path)

    def drawn(seed, number) -> list[str]:
        tokenise_pairs(folder, contract.tokenising("retrieval", own, seed), pairs, None, tmp_path / f"tokens-{number}")
        table = TokenisedPairs(tmp_path / f"tokens-{number}")
        return [encoder.tokenizer.decode(table.text(place)).split()[3] for place in table.queries]

    first, again, other, none = (drawn(seed, number) for number, seed in enumerate((1, 1, 2, None)))
    assert first == again != other
    assert set(none) == {"find"}
    for words in (first, other):  # within five standard deviations of equal shares
        assert all(abs(words.count(word) - 200 / 3) < 5 * (200 * 2 / 9) ** 0.5 for word in own.query)
    assert contract.tokenising("retrieval", DatasetPrompts(query="find"), 1).seed is None
