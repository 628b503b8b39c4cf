"""Our evaluation against mteb's own wrapper of the saved folder: the same prompt and embedding for every type of text
task."""

import warnings

import numpy as np
import pytest
from datasets import Dataset
from mteb.mocks import MOCK_TASK_TEST_GRID
from mteb.models import SentenceTransformerEncoderWrapper
from mteb.types import PromptType
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from torch.utils.data import DataLoader

from ascent.errors import AscentError
from ascent.evaluation.model import EvaluatedModel
from ascent.model.encoder import Encoder
from ascent.model.prompts import named_prompts
from ascent.model.saving import save_like
from ascent.release.parity import descriptions, largest_difference, open_as_mteb
from ascent.settings.evaluation import MTEB_TYPES, Evaluate
from ascent.settings.model import Contract
from ascent.settings.validation import check

QUERY, DOCUMENT = PromptType.query, PromptType.document
WITHOUT_SIDES = [name for task in MTEB_TYPES if task not in ("retrieval", "reranking") for name in MTEB_TYPES[task]]
PROMPTS = {
    "none": {},
    "retrieval only": {"query": {"retrieval": "find: "}},
    "E5": {"query": {"default": "query: "}, "document": {"default": "passage: "}},
    "each type": {
        "query": {
            "retrieval": "find: ",
            "reranking": "rank: ",
            "sts": "alike: ",
            "classification": "class: ",
            "default": "text: ",
        },
        "document": {"retrieval": "found: ", "classification": "label: "},
    },
}
# What texts of mteb's types must get, by type and side; elsewhere the two must agree.
EXPECTED = {
    "none": {("Retrieval", QUERY): "", ("STS", None): ""},
    "retrieval only": {
        ("Retrieval", QUERY): "find: ",
        ("Retrieval", DOCUMENT): "",
        ("InstructionReranking", QUERY): "find: ",
        ("STS", None): "",
        ("STS", QUERY): "",
        ("Classification", None): "",
    },
    "E5": {("Retrieval", DOCUMENT): "passage: "} | {(name, None): "query: " for name in WITHOUT_SIDES},
    "each type": {
        ("Reranking", QUERY): "rank: ",
        ("Reranking", DOCUMENT): "found: ",
        ("BitextMining", None): "alike: ",
        ("STS", DOCUMENT): "alike: ",
        ("MultilabelClassification", None): "class: ",
        ("Clustering", None): "text: ",
        ("PairClassification", None): "text: ",
        ("ZeroShotClassification", None): "text: ",
    },
}
INPUTS = DataLoader(
    Dataset.from_dict({"text": ["open it", "read all lines of a text file and close it " * 5]}), batch_size=2
)


def folder_with(prompts, tiny_model, folder):
    save_like(
        tiny_model, load_file(tiny_model / "model.safetensors"), Contract(max_tokens=32, prompts=prompts), {}, folder
    )
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("case", PROMPTS)
def test_parity_with_mteb_in_every_type_of_text_task(tiny_model, tmp_path, monkeypatch, case):
    folder, used = folder_with(PROMPTS[case], tiny_model, tmp_path), []

    def recording(encode, prompt_of_call):
        def wrapped(self, *arguments, **options):
            used.append(prompt_of_call(self, *arguments, **options))
            return encode(self, *arguments, **options)

        return wrapped

    def theirs_used(self, *_, prompt=None, prompt_name=None, **__):
        return self._resolve_prompt(prompt, prompt_name) or ""

    monkeypatch.setattr(SentenceTransformer, "encode", recording(SentenceTransformer.encode, theirs_used))
    monkeypatch.setattr(Encoder, "encode_with", recording(Encoder.encode_with, lambda self, prompt, *_, **__: prompt))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*(not in the expected format|is not valid)")
        theirs = SentenceTransformerEncoderWrapper(str(folder), device="cpu")
    ours = EvaluatedModel(Encoder(folder, precision="float32"), "ascent/toy")
    assert len(MOCK_TASK_TEST_GRID) == 29
    assert {task.metadata.type for task in MOCK_TASK_TEST_GRID} == {
        name for names in MTEB_TYPES.values() for name in names
    }
    for task in MOCK_TASK_TEST_GRID:
        for side in (None, QUERY, DOCUMENT):
            options = {"task_metadata": task.metadata, "hf_split": "test", "hf_subset": "default", "prompt_type": side}
            mine, other = ours.encode(INPUTS, **options), theirs.encode(INPUTS, **options, show_progress_bar=False)
            np.testing.assert_allclose(mine, other, rtol=0, atol=1e-5)
            my_prompt, other_prompt = used[-2:]
            assert my_prompt == other_prompt == EXPECTED[case].get((task.metadata.type, side), other_prompt)


def test_texts_without_a_side_are_trained_with_the_prompt_that_evaluates_them():
    contract = Contract(prompts=PROMPTS["E5"])
    for task in ("sts", "pair-classification"):
        tokenising = contract.tokenising(task)
        assert (tokenising.query_prompts, tokenising.document_prompts) == (["query: "], ["query: "])
        assert {named_prompts(contract)[name] for name in MTEB_TYPES[task]} == {"query: "}
    with pytest.raises(AscentError, match=r"prompts.document.sts is never used, .* prompts.query.sts: remove it"):
        check(Contract, {"prompts": {"document": {"sts": "like: "}}}, "recipe")


def test_the_release_is_compared_in_the_recipe_s_own_tasks(tiny_model, tmp_path):
    folder = folder_with(PROMPTS["each type"], tiny_model, tmp_path)
    encoder = Encoder(folder, precision="float32")
    evaluate = check(Evaluate, {"stages": [], "tasks": {"Alike": {"type": "sts", "corpus": "toy"}}}, "recipe")
    tasks = descriptions(evaluate, ["Alike", "SciFact", "STS22.v2"])
    assert [task.type for task in tasks] == ["STS", "Retrieval", "STS"]
    wrapper = open_as_mteb(folder, encoder)
    assert 0 < largest_difference(folder, encoder, wrapper, tasks) < 1e-5
    wrapper.model_prompts["STS"] = "another: "
    with pytest.raises(AscentError, match=r"embeddings by mteb \(Alike, no side\) differ by .* build the model again"):
        largest_difference(folder, encoder, wrapper, tasks)


def test_the_comparison_sees_another_precision(tiny_model, tmp_path):
    folder = folder_with({}, tiny_model, tmp_path)
    wrapper = open_as_mteb(folder, Encoder(folder, precision="float32"))
    tasks = descriptions(Evaluate(stages=[]), ["SciFact"])
    with pytest.raises(AscentError, match="prompts or precision disagree"):
        largest_difference(folder, Encoder(folder, precision="bfloat16"), wrapper, tasks)
