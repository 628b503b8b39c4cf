"""A base that is an embedding model already, adopted as its folder says: embeddings stay those of
sentence-transformers."""

import shutil

import numpy as np
import pytest
import torch
import yaml
from datasets import Dataset
from mteb.models import SentenceTransformerEncoderWrapper
from mteb.types import PromptType
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from tokenizers import Tokenizer
from torch.utils.data import DataLoader

import import_base
import print_contract
from ascent.errors import AscentError
from ascent.evaluation.model import EvaluatedModel
from ascent.evaluation.tasks import local_metadata
from ascent.files import read_json, write_json
from ascent.model.adoption.own_contract import overrides, own_contract, refuse_others, told
from ascent.model.encoder import Encoder
from ascent.model.ending import append_end
from ascent.settings.evaluation import TaskSettings
from ascent.settings.model import Adoption, Backbone, Contract
from ascent.settings.validation import dump
from support.tiny_models import make_architecture, make_tokenizer

TEXTS = [
    "open it",
    "read all lines of a text file and close it, whatever happens meanwhile, and so on, to its end",
    "a file",
]
INSTRUCT = "Instruct: find it\nQuery:"
# What sentence-transformers saves, and the contract that it is.
MODELS = {
    "cls": ({"pooling": "cls", "most": 24, "prompts": {"query": "query: ", "document": "passage: "}}, {
        "pooling": "cls", "max_tokens": 24,
        "prompts": {"query": {"retrieval": ["query: "]}, "document": {"retrieval": ["passage: "]}},
    }),
    "last": ({
        "name": "qwen3", "ends": True, "pooling": "lasttoken", "most": 40,
        "prompts": {"query": INSTRUCT, "document": ""},
    }, {
        "pooling": "last", "max_tokens": 40, "append_eos": True, "padding": "left", "attention": "causal",
        "prompts": {"query": {"retrieval": [INSTRUCT]}},
    }),
    "a linear layer": ({"pooling": "mean", "most": 24, "dense": 12}, {
        "pooling": "mean", "max_tokens": 24, "heads": {"projection": {"dimension": 12, "bias": True}},
    }),
    "not scaled": ({"pooling": "cls", "most": 24, "scaled": False, "similarity": "dot"}, {
        "pooling": "cls", "max_tokens": 24, "normalise": False, "similarity": "dot",
    }),
    "prompts of types": ({
        "pooling": "mean", "most": 24, "default": "STS",
        "prompts": {"query": "q: ", "STS": "alike: ", "Classification": "kind: "},
    }, {
        "pooling": "mean", "max_tokens": 24, "prompts": {
            "query": {"retrieval": ["q: "], "sts": ["alike: "], "classification": ["kind: "], "default": ["alike: "]},
            "document": {"retrieval": [""], "default": ["alike: "]},
        },
    }),
}  # fmt: skip


@pytest.fixture(scope="module")
def folders(tiny_resource, corpus_rows, tmp_path_factory):
    """The models, saved by plain sentence-transformers, in its newest form."""
    parent, texts = tmp_path_factory.mktemp("models"), [row["positive"] for row in corpus_rows]
    tokenizer = make_tokenizer(parent / "tokenizer", "qwen3", texts)
    sources = {"bert": tiny_resource, "qwen3": make_architecture(parent / "qwen3", "qwen3", tokenizer)}
    for name, (saved, _) in MODELS.items():
        transformer = Transformer(str(sources[saved.get("name", "bert")]), max_seq_length=saved["most"])
        if "ends" in saved:
            own = transformer.tokenizer
            own.padding_side = own.init_kwargs["padding_side"] = "left"
            append_end(own.backend_tokenizer, own.eos_token, "x")
        modules = [transformer, Pooling(32, saved["pooling"])]
        if "dense" in saved:
            torch.manual_seed(0)
            modules.append(Dense(32, saved["dense"], activation_function=torch.nn.Identity()))
        modules += [Normalize()] if saved.get("scaled", True) else []
        options = {"prompts": saved.get("prompts"), "default_prompt_name": saved.get("default")}
        model = SentenceTransformer(
            modules=modules, similarity_fn_name=saved.get("similarity"), device="cpu", **options
        )
        model.save(str(parent / name), create_model_card=False)
        write_json(
            parent / name / "sentence_bert_config.json", {"max_seq_length": saved["most"], "do_lower_case": False}
        )
    return {name: parent / name for name in MODELS}


@pytest.fixture
def adopt(tmp_path, monkeypatch, capsys):
    """Run import_base with a model's own contract and what a recipe sets besides; return its status, the folder, what
    it told."""

    def _adopt(resource, own: Contract, **besides):
        adoption = Adoption(**own.model_dump(exclude_unset=True) | besides, contract=own.model_dump(), soft_tokens=0)
        (tmp_path / "stage.yaml").write_text(dump(adoption))
        words = ["--settings", tmp_path / "stage.yaml", "--resource", resource, "--output", tmp_path / "adopted"]
        monkeypatch.setattr("sys.argv", ["import_base.py", *map(str, words)])
        return import_base.main(), tmp_path / "adopted", capsys.readouterr()

    return _adopt


@pytest.mark.parametrize("name", MODELS)
def test_it_embeds_as_before_in_every_task(folders, adopt, name):
    own = Contract(**own_contract(folders[name]))
    assert own == Contract(**MODELS[name][1])
    status, adopted, shown = adopt(folders[name], own)
    assert (status, "warning" in shown.out) == (0, False)
    inputs = DataLoader(Dataset.from_dict({"text": TEXTS}), batch_size=len(TEXTS))
    ours = EvaluatedModel(Encoder(adopted, precision="float32"), "ascent/adopted")
    theirs = SentenceTransformerEncoderWrapper(str(folders[name]), device="cpu")
    released = SentenceTransformerEncoderWrapper(str(adopted), device="cpu")
    for task in ("retrieval", "reranking", "sts", "classification", "clustering"):
        metadata = local_metadata(TaskSettings(name="Toy", task={"type": task, "corpus": "toy"}), "none")
        for side in PromptType if task in ("retrieval", "reranking") else (None,):
            options = {"task_metadata": metadata, "hf_split": "test", "hf_subset": "default", "prompt_type": side}
            found, again, expected = (np.asarray(model.encode(inputs, **options)) for model in (ours, released, theirs))
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
            np.testing.assert_allclose(again, expected, rtol=0, atol=1e-6)


def test_the_command_prints_what_the_catalogue_takes(folders, monkeypatch, capsys):
    for name, (_, expected) in MODELS.items():
        monkeypatch.setattr("sys.argv", ["print_contract.py", str(folders[name])])
        assert print_contract.main() == 0
        assert Contract(**yaml.safe_load(capsys.readouterr().out)["contract"]) == Contract(**expected)


def test_a_folder_made_here_has_the_contract_that_it_states(tiny_model):
    assert Contract(**own_contract(tiny_model)) == Contract(**read_json(tiny_model / "ascent.json")["contract"])


def test_what_the_recipe_sets_otherwise_is_told_once_with_both_values(folders, adopt):
    own = Contract(**MODELS["last"][1])
    _, _, shown = adopt(folders["last"], own, max_tokens=12, attention="bidirectional", prompts={})
    where = "warning: model 'last': its own contract has "
    assert [line for line in shown.out.splitlines() if "warning" in line] == [
        f"{where}max_tokens: 40, but the recipe 12.",
        f"{where}attention: 'causal', but the recipe 'bidirectional'.",
        f'{where}prompts: {{query: {{retrieval: ["Instruct: find it\\nQuery:"]}}}}, but the recipe {{}}.',
    ]
    assert overrides("last", own, own) == []


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        ("cls", {"pooling": "mean"}, r"cls/1_Pooling/config\.json: says pooling: 'cls', but its contract in the .*"),
        ("cls", {"max_tokens": 32}, r"sentence_bert_config\.json: says max_tokens: 24, but its contract in the .* has"),
        ("last", {"prompts": {}}, r"the prompt 'query': 'Instruct.*, but its contract in the .* has ''; write"),
        ("last", {"attention": "bidirectional"}, r"config\.json: says attention: 'causal', but its contract in the .*"),
        ("last", {"append_eos": False}, r"tokenizer\.json: says append_eos: true, but its contract in the .* has"),
        ("last", {"padding": "right"}, r"tokenizer_config\.json: says padding: 'left', but its contract in the .* has"),
        ("a linear layer", {"heads": {}}, r"says heads: \{projection: \{dimension: 12, bias: true\}\}, but its .* has"),
        ("cls", {"heads": {"projection": {"dimension": 12}}}, r"says heads: \{\}, but its contract in the .* has"),
        ("not scaled", {"similarity": "cosine", "normalise": True}, r"says similarity: 'dot', but its contract in the"),
    ],
)  # fmt: skip
def test_a_folder_that_says_otherwise_than_the_catalogue_is_refused(folders, name, changed, message):
    with pytest.raises(AscentError, match=message) as told:
        refuse_others(folders[name], Contract(**MODELS[name][1] | changed))
    pasted = yaml.safe_load(str(told.value).split(".contract: ", 1)[1])
    assert Contract(**pasted) == Contract(**MODELS[name][1])


def test_the_catalogue_says_what_the_folder_leaves_open(folders):
    refuse_others(
        folders["a linear layer"], Contract(**MODELS["a linear layer"][1], prompts={"query": {"default": "q: "}})
    )
    rendered = {
        "templates": {"query": "Instruct: {instruction}\nQuery:{text}"},
        "prompts": {"query": {"retrieval": "find it"}},
    }
    refuse_others(folders["last"], Contract(**MODELS["last"][1] | rendered | {"padding": None}))


def test_a_teacher_is_read_by_its_own_contract(folders):
    own = Contract(**MODELS["last"][1])
    teacher = Backbone(model="t", contract=own.model_dump(), **own.model_dump(exclude_unset=True))
    found = Encoder.of_backbone(folders["last"], teacher, "float32").encode(TEXTS, side="query", task="retrieval")
    expected = SentenceTransformer(str(folders["last"]), device="cpu").encode_query(TEXTS)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    other = Contract(**own.model_dump(exclude_unset=True) | {"max_tokens": 12})
    with pytest.raises(AscentError, match="says max_tokens: 40, but its contract in the .* has 12"):
        Encoder.of_backbone(folders["last"], teacher.model_copy(update={"contract": other}), "float32")


@pytest.mark.parametrize(("name", "lowers"), [("cls", True), ("last", False)])
def test_capitals_that_sentence_transformers_would_lower_are_told(folders, tmp_path, name, lowers):
    folder = shutil.copytree(folders[name], tmp_path / name)
    path = folder / "sentence_bert_config.json"
    write_json(path, read_json(path) | {"do_lower_case": True})
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    found = told(folder, Backbone(model="t", **MODELS[name][1]), tokenizer)
    assert any("do_lower_case: true, but its tokenizer tells capitals apart" in line for line in found) != lowers


def test_a_layer_that_is_no_projection_is_not_taken_for_one(folders, tmp_path):
    folder = shutil.copytree(folders["a linear layer"], tmp_path / "tanh")
    path = folder / "2_Dense" / "config.json"
    write_json(path, read_json(path) | {"activation_function": "torch.nn.modules.activation.Tanh"})
    with pytest.raises(AscentError, match="the model has a layer .* that the recipe's heads do not name"):
        Encoder.of_backbone(folder, Backbone(model="t", **MODELS["a linear layer"][1]))
    folder = shutil.copytree(folders["a linear layer"], tmp_path / "pickled")
    (folder / "2_Dense" / "model.safetensors").unlink()
    with pytest.raises(
        AscentError, match=r"2_Dense/model\.safetensors: is missing, and pickled weights are never loaded"
    ):
        Encoder.of_backbone(folder, Backbone(model="t", **MODELS["a linear layer"][1]))
