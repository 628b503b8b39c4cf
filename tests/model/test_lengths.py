"""A length for queries and one for documents in training, mining and teachers; one in evaluation and in the folder."""

import numpy as np
import pytest
from mteb.types import PromptType
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer

from ascent.errors import AscentError
from ascent.evaluation.model import EvaluatedModel
from ascent.evaluation.tasks import local_metadata
from ascent.files import read_json
from ascent.model.contract import read_contract
from ascent.model.encoder import Encoder
from ascent.model.saving import save_new
from ascent.pairs.table import Pair, pair_frame, write_pairs
from ascent.settings.evaluation import TaskSettings
from ascent.settings.model import Backbone, Contract
from ascent.settings.validation import check
from ascent.tokens.table import TokenisedPairs
from ascent.tokens.tokenise import tokenise_pairs

LENGTHS = {"query": 8, "document": 24}
CONTRACT = Contract(max_tokens=LENGTHS, prompts={"query": {"default": "what "}})
SIDES = {
    "query": "open the file and read all of its lines " * 4,
    "document": "the lines of a file, closed at its end " * 4,
}


@pytest.fixture(scope="module")
def folder(tiny_resource, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lengths") / "model"
    folder.mkdir()
    save_new(tiny_resource, CONTRACT, {}, folder)
    return folder


def test_one_number_is_both(tmp_path):
    assert Contract(max_tokens=32).max_tokens == Contract(max_tokens={"query": 32, "document": 32}).max_tokens
    assert Contract(max_tokens=32).model_dump()["max_tokens"] == 32
    assert CONTRACT.model_dump()["max_tokens"] == LENGTHS
    assert check(Contract, CONTRACT.model_dump(mode="json"), "x") == CONTRACT


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (0, "x: 'max_tokens': 0 is neither a number of tokens, at least 1, nor {query: 64, document: 512}: write one."),
        ("64", "x: 'max_tokens': '64' is neither"),
        (True, "x: 'max_tokens': true is neither"),
        ({"query": 64}, "x: 'max_tokens.document' is missing; add it."),
        ({"query": 0, "document": 1}, "x: 'max_tokens.query' is 0, but it should be greater than or equal to 1."),
        ({"query": 64, "documents": 1}, "x: unknown key 'max_tokens.documents'; did you mean 'document'?"),
    ],
)
def test_other_lengths_are_refused(given, message):
    with pytest.raises(AscentError) as told:
        check(Contract, {"max_tokens": given}, "x")
    assert str(told.value).startswith(message)


@pytest.mark.parametrize(("task", "expected"), [("retrieval", LENGTHS), ("sts", {"query": 24, "document": 24})])
def test_training_and_mining_take_each_side_s_and_evaluation_the_folder_s(folder, tmp_path, task, expected):
    pairs = tmp_path / "pairs.parquet"
    write_pairs(pairs, pair_frame([Pair(*SIDES.values(), task=task, label=1.0)], "questions", "eng-Latn"))
    tokenise_pairs(folder, CONTRACT.tokenising(task), pairs, None, tmp_path / "tokens")
    table, tokenizer = TokenisedPairs(tmp_path / "tokens"), AutoTokenizer.from_pretrained(folder)
    assert table.meta["texts_cut"] == {"query": 1, "document": 1}
    encoder, plain = Encoder(folder, precision="float32"), SentenceTransformer(str(folder), device="cpu")
    assert plain.max_seq_length == 24
    metadata = local_metadata(TaskSettings(name="Toy", task={"type": task, "corpus": "toy"}), "none")
    for index, (side, text) in enumerate(SIDES.items()):
        prompt = CONTRACT.prompt(side, task)
        ids = tokenizer(prompt + text, truncation=True, max_length=expected[side])["input_ids"]
        assert table.text(index).tolist() == ids
        assert len(ids) == expected[side]
        plain.max_seq_length = expected[side]
        mined = plain.encode([text], prompt=prompt)
        np.testing.assert_allclose(encoder.encode([text], side=side, task=task), mined, rtol=0, atol=1e-6)
        plain.max_seq_length = 24
        released, options = (
            plain.encode([text], prompt=prompt),
            {"task_metadata": metadata, "hf_split": "", "hf_subset": ""},
        )
        given = PromptType(side) if task == "retrieval" else None
        evaluated = EvaluatedModel(encoder, "ascent/toy").encode([{"text": [text]}], **options, prompt_type=given)
        np.testing.assert_allclose(evaluated, released, rtol=0, atol=1e-6)
        assert (np.abs(released - mined).max() > 1e-3) == (expected[side] < 24)


def test_a_teacher_has_lengths_of_its_own(tiny_resource):
    teacher = Encoder.of_backbone(tiny_resource, Backbone(model="t", max_tokens=LENGTHS), "float32")
    short, long = (
        Encoder.of_backbone(tiny_resource, Backbone(model="t", max_tokens=length), "float32")
        for length in LENGTHS.values()
    )
    for side, other in (("query", short), ("document", long)):
        own, expected = (each.encode([SIDES[side]], side=side, task="retrieval") for each in (teacher, other))
        np.testing.assert_array_equal(own, expected)
    assert np.abs(teacher.encode([SIDES["query"]], side="document", task="retrieval") - expected).max() > 1e-3


def test_a_prompt_must_leave_room_on_its_own_side(tiny_resource, tmp_path):
    for side, prompt_length in (("query", 8), ("document", 24)):
        contract = Contract(max_tokens=LENGTHS, prompts={side: {"default": "open " * (prompt_length // 2)}})
        with pytest.raises(AscentError, match=f"of max_tokens: {prompt_length}, so"):
            Encoder.of_backbone(tiny_resource, Backbone(model="t", **contract.model_dump()))
    Encoder.of_backbone(
        tiny_resource, Backbone(model="t", max_tokens=LENGTHS, prompts={"document": {"default": "open " * 4}})
    )


def test_the_folder_states_both(folder):
    assert read_contract(folder)[0] == CONTRACT
    assert read_json(folder / "sentence_bert_config.json")["max_seq_length"] == 24
