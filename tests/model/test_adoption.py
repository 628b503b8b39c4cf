"""A folder that is not the model it seems to be is refused in one sentence, or the difference is told: nothing random,
lost or half-loaded ever embeds a text."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from tokenizers import ByteLevelBPETokenizer
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoTokenizer, PreTrainedTokenizerFast

import import_base
from ascent.errors import AscentError
from ascent.files import read_json
from ascent.model.adoption.loading import load_tokenizer, set_padding
from ascent.model.backbone import load_backbone
from ascent.model.contract import read_contract
from ascent.model.encoder import Encoder
from ascent.settings.model import Adoption, Backbone, Contract
from ascent.settings.validation import dump
from ascent.teachers.cross_encoder import CrossEncoder
from support.small_recipe import make_model

CONTRACT = Contract(max_tokens=32)
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


@pytest.fixture
def folder(tiny_resource, tmp_path):
    """A retrieved model that a test may spoil."""
    return shutil.copytree(tiny_resource, tmp_path / "retrieved")


@pytest.fixture
def adopt(tmp_path, monkeypatch):
    """Run import_base; return its status and the folder made."""

    def _adopt(resource, name="model", **contract) -> tuple[int, object]:
        (tmp_path / "stage.yaml").write_text(dump(Adoption(**{"max_tokens": 32, "soft_tokens": 0} | contract)))
        words = ["--settings", tmp_path / "stage.yaml", "--resource", resource, "--output", tmp_path / name]
        monkeypatch.setattr("sys.argv", ["import_base.py", *map(str, words)])
        return import_base.main(), tmp_path / name

    return _adopt


def change_weights(folder, change) -> None:
    save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS, {"format": "pt"})


def change_json(path, **values) -> None:
    path.write_text(json.dumps(read_json(path) | values))


def renamed(prefix):
    return lambda folder: change_weights(
        folder, lambda state: {prefix + name: tensor for name, tensor in state.items()}
    )


def without(part):
    return lambda folder: change_weights(folder, lambda state: {n: t for n, t in state.items() if part not in n})


def configured(**values):
    return lambda folder: change_json(folder / "config.json", **values)


def jina(folder) -> None:
    """Positions by the folder's own code (ALiBi) under the name of a known architecture."""
    without("position_embeddings")(folder)
    configured(auto_map={"AutoModel": "modeling_bert.JinaBertModel"})(folder)


def pointer(name):
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 90868376\n"
    return lambda folder: (folder / name).write_text(text)


def cut(name, share):
    def spoil(folder) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * share)])

    return spoil


def sharded(folder, *, of_index=None, lost=()) -> None:
    """Two parts and their index. lost: weights that the second part lacks; of_index: parts not written."""
    state = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    parts = [f"model-0000{index}-of-00002.safetensors" for index in (1, 2)]
    places = {name: parts[index % 2] for index, name in enumerate(sorted(state))}
    for part in parts:
        tensors = {name: state[name] for name, place in places.items() if place == part and name not in lost}
        if part != of_index:
            save_file(tensors, folder / part, {"format": "pt"})
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))


def adapter(folder) -> None:
    (folder / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": "an/other", "peft_type": "LORA"})
    )


def no_words(folder) -> None:
    for file in [*folder.glob("*token*"), *folder.glob("vocab*")]:
        file.unlink()


def more_tokens(folder) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"thing{index}" for index in range(2001 - len(tokenizer))])
    tokenizer.save_pretrained(folder)


def module_of_code(folder) -> None:
    modules = [{"idx": 0, "name": "transformer", "path": "", "type": "custom_st.Transformer"}]
    (folder / "modules.json").write_text(json.dumps(modules))


RANDOM = r"retrieved: has no weights for {} and \d+ more of transformers' BertModel, which would stay random"
LOST = ", and has weights that no layer of transformers' BertModel takes: "
SPOILED = {
    "wrapped": (renamed("module."), RANDOM.format(r"embeddings\.LayerNorm\.bias") + LOST + r"module\.embeddings"),
    "adapter's names": (renamed("base_model.model."), RANDOM.format(r"embeddings\.LayerNorm\.bias")),
    "layer missing": (without("layer.1."), RANDOM.format(r"encoder\.layer\.1\.attention\.output\.LayerNorm\.bias")),
    "layer too many": (
        configured(num_hidden_layers=1),
        r"retrieved: has weights that no layer of transformers' BertModel takes: encoder\.layer\.1\..* and 15 more;",
    ),
    "another shape": (
        configured(intermediate_size=48),
        r"retrieved: encoder.layer.0.intermediate.dense.bias has the shape \(64,\), but by config.json \(48,\); use",
    ),
    "half a model of its own code": (jina, r"no weights for embeddings\.position_embeddings\.weight of transformers'"),
    "unknown code": (
        configured(model_type="mybert", auto_map={"AutoModel": "modeling_x.XModel"}),
        r"config\.json: model_type 'mybert' needs the folder's own code \(auto_map: modeling_x\.XModel\), which is",
    ),
    "unknown architecture": (
        configured(model_type="mybert"),
        r"config\.json: transformers [\d.]+ does not know model_type 'mybert'; choose another model, or another",
    ),
    "code of a module": (
        module_of_code,
        r"modules\.json: the model has a layer \(custom_st\.Transformer\) that the recipe's heads do not name, which",
    ),
    "no words": (no_words, r"retrieved: has no tokenizer that knows words, since its vocabulary \(.*\) is missing or"),
    "more tokens": (more_tokens, r"retrieved: the tokenizer has 2,001 tokens, but the model 2,000 embeddings; use the"),
    "pointer": (pointer(WEIGHTS), r"model\.safetensors: is a pointer of Git LFS and not the file itself; run `git lfs"),
    "pointer to words": (pointer("tokenizer.json"), r"tokenizer\.json: is a pointer of Git LFS and not the file"),
    "cut": (cut(WEIGHTS, 0.5), r"model\.safetensors: not a whole safetensors file \(.*\); remove its folder and"),
    "header cut": (cut(WEIGHTS, 0.001), r"model\.safetensors: not a whole safetensors file"),
    "words cut": (cut("tokenizer.json", 0.5), r"tokenizer\.json: not valid JSON \(.*\); fix the file"),
    "configuration cut": (cut("config.json", 0.5), r"config\.json: not valid JSON"),
    "part missing": (
        lambda folder: sharded(folder, of_index="model-00002-of-00002.safetensors"),
        r"model-00002-of-00002\.safetensors: is missing, but model\.safetensors\.index\.json names it; retrieve it,",
    ),
    "part incomplete": (
        lambda folder: sharded(folder, lost=["embeddings.token_type_embeddings.weight"]),
        r"model-0000\d-of-00002\.safetensors: lacks embeddings\.token_type_embeddings\.weight, which",
    ),
    "another name": (
        lambda folder: (folder / WEIGHTS).rename(folder / "weights.safetensors"),
        r"weights\.safetensors: is not model\.safetensors, and no model\.safetensors\.index\.json names it as a part;",
    ),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), "retrieved: has no safetensors weights, and pickled"),
    "adapter beside": (adapter, r"adapter_config\.json: is an adapter of 'an/other', which would not be loaded; .*"),
    "no model": (lambda folder: (folder / "config.json").unlink(), r"retrieved: holds no config\.json, so it is not"),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOILED)
def test_a_folder_that_is_not_what_it_seems_is_refused(case, folder, adopt, capsys):
    spoil, message = SPOILED[case]
    spoil(folder)
    status, made = adopt(folder)
    told = capsys.readouterr().err
    assert status == 1
    assert not made.exists()
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    with pytest.raises(AscentError, match=message):
        raise AscentError(told)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (
            "wrapped",
            (
                r"retrieved: has no weights for .* of transformers' Bert\w+, which would stay random, and has weights"
                r" that no"
            ),
        ),
        (
            "half a model of its own code",
            r"no weights for (bert\.)?embeddings\.position_embeddings\.weight of transformers'",
        ),
        ("no words", "retrieved: has no tokenizer that knows words"),
        ("more tokens", "retrieved: the tokenizer has 2,001 tokens, but the model 2,000 embeddings"),
        ("pointer", r"model\.safetensors: is a pointer of Git LFS"),
        ("adapter beside", r"adapter_config\.json: is an adapter of 'an/other', which would not be loaded"),
    ],
)
def test_a_teacher_is_checked_as_a_base_is(case, message, folder, tmp_path):
    judge = make_model(tmp_path / "judge" / "retrieved", labels=1)
    for each in (folder, judge):
        SPOILED[case][0](each)
    with pytest.raises(AscentError, match=message):
        Encoder.of_backbone(folder, Backbone(model="t", max_tokens=32))
    with pytest.raises(AscentError, match=message):
        CrossEncoder(judge, max_tokens=32)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "xlm-roberta", "t5", "gpt2", "qwen3"])
def test_a_tokenizer_that_transformers_makes_of_nothing_is_refused(kind, tmp_path):
    AutoConfig.for_model(kind).save_pretrained(tmp_path)
    with pytest.raises(AscentError, match=r"has no tokenizer that knows words|its tokenizer cannot be read"):
        load_tokenizer(tmp_path, 50_000)


def test_parts_are_a_model_like_one_file(folder, tiny_resource):
    sharded(folder)
    one, two = (load_backbone(path, CONTRACT)[0].state_dict() for path in (tiny_resource, folder))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_missing_pooler_is_no_loss_and_the_same_each_time(folder, adopt, capsys):
    without("pooler")(folder)
    one, two = (adopt(folder, name)[1] for name in ("one", "two"))
    assert read_contract(one)[1]["weights_digest"] == read_contract(two)[1]["weights_digest"]
    assert "random" not in capsys.readouterr().out


def test_weights_for_another_task_and_code_that_is_not_run_are_told(tiny_resource, tmp_path, adopt, capsys):
    folder = shutil.copytree(
        tiny_resource, tmp_path / "retrieved", ignore=shutil.ignore_patterns("config.json", "*.safetensors")
    )
    torch.manual_seed(0)
    language_model = AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(tiny_resource))
    language_model.save_pretrained(folder)
    configured(auto_map={"AutoModel": "modeling_x.XModel", "AutoTokenizer": ["tokenization_x.X", None]})(folder)
    status, made = adopt(folder)
    told = capsys.readouterr().out.splitlines()
    assert status == 0
    assert any(r"retrieved: weights of no layer of BertModel are left out: cls.predictions." in line for line in told)
    assert any(
        "(auto_map: modeling_x.XModel, tokenization_x.X) is not run; the weights fit transformers' own" in line
        for line in told
    )
    state, own = language_model.bert.state_dict(), AutoModel.from_pretrained(made).state_dict()
    assert all(torch.equal(state[name], own[name]) for name in state)


# ---------------------------------------------------------------- padding


@pytest.fixture
def unpadded(tmp_path):
    """A decoder whose tokenizer has a token for the end and none for padding."""
    folder = tmp_path / "retrieved"
    folder.mkdir()
    words = ByteLevelBPETokenizer()
    words.train_from_iterator(
        ["what is this thing, a kind of object"] * 9, vocab_size=300, special_tokens=["<end>"], show_progress=False
    )
    PreTrainedTokenizerFast(tokenizer_object=words._tokenizer, bos_token="<end>", eos_token="<end>").save_pretrained(
        folder
    )
    shape = {
        "vocab_size": 300,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
    }
    torch.manual_seed(0)
    AutoModel.from_config(AutoConfig.for_model("llama", bos_token_id=0, eos_token_id=0, **shape)).save_pretrained(
        folder
    )
    return folder


def test_a_tokenizer_without_padding_is_given_its_end_token_and_says_so(unpadded, adopt, capsys):
    status, made = adopt(unpadded, attention="causal", pooling="last")
    assert status == 0
    assert "retrieved: its tokenizer has no padding token; '<end>' is set as one" in capsys.readouterr().out
    texts = ["what is this", "a thing", "what kind of object is this thing"]
    theirs = SentenceTransformer(str(made), device="cpu").encode(texts, normalize_embeddings=True)
    ours = Encoder(made, precision="float32").encode(texts, side="query", task="sts")
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    assert np.linalg.norm(ours[0] - ours[1]) > 1e-3


def test_without_an_end_token_padding_is_the_unknown_one(unpadded):
    tokenizer = AutoTokenizer.from_pretrained(unpadded)
    tokenizer.eos_token = None
    with pytest.raises(
        AscentError, match=r"^m: its tokenizer has no padding, end or unknown token; set pad_token in its"
    ):
        set_padding(tokenizer, "m")
    tokenizer.unk_token = "<end>"
    assert set_padding(tokenizer, "m")
    assert tokenizer.pad_token == "<end>"
    assert not set_padding(tokenizer, "m")


# ---------------------------------------------------------------- what the folder says itself


def test_what_the_folder_says_otherwise_is_told_with_both_values(tiny_resource, tmp_path, adopt, capsys):
    prompts = {"query": {"retrieval": "query: "}, "document": {"retrieval": "passage: "}}
    asked = {"pooling": "cls", "max_tokens": 48, "prompts": prompts, "similarity": "cosine"}
    _, made = adopt(tiny_resource, "theirs", **asked)
    capsys.readouterr()
    adopt(made, "same", **asked)
    assert "warning" not in capsys.readouterr().out
    settings = made / "config_sentence_transformers.json"
    own = read_json(settings)["prompts"] | {"query": "ask: ", "summary": "sum up: "}
    change_json(settings, similarity_fn_name="dot", prompts=own)
    change_json(made / "tokenizer_config.json", padding_side="left")
    adopt(made, "other", prompts=prompts)
    told = [
        line.removeprefix("warning: ") for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")
    ]
    where = "model 'theirs': "
    assert sorted(told) == sorted(
        [
            f"{where}1_Pooling/config.json says pooling: 'cls', but the recipe has 'mean'.",
            f"{where}config_sentence_transformers.json says similarity: 'dot', but the recipe has 'cosine'.",
            f"{where}config_sentence_transformers.json says the prompt 'query': 'ask: ', but the recipe has 'query: '.",
            f"{where}config_sentence_transformers.json says the prompt 'summary': 'sum up: ', but the recipe has None.",
            f"{where}sentence_bert_config.json says max_tokens: 48, but the recipe has 32.",
            (
                f"{where}tokenizer_config.json says padding_side: 'left', but is saved with 'right', because its"
                " positions are learned and padding on the left would shift them."
            ),
        ]
    )
    assert AutoTokenizer.from_pretrained(tmp_path / "other").padding_side == "right"


def test_a_prompt_that_fills_most_of_the_length_is_refused(tiny_resource, adopt, capsys):
    prompt = "what does the file in the name of the list do to open a string: "
    tokens = len(AutoTokenizer.from_pretrained(tiny_resource)(prompt)["input_ids"])
    asked = {"prompts": {"query": {"retrieval": prompt}}}
    assert adopt(tiny_resource, max_tokens=2 * tokens, **asked)[0] == 0
    assert adopt(tiny_resource, max_tokens=2 * tokens - 1, **asked)[0] == 1
    told = capsys.readouterr().err
    assert f"alone has {tokens} tokens, {tokens / (2 * tokens - 1):.0%} of max_tokens: {2 * tokens - 1}, so" in told
    assert "shorten it in `prompts`, or raise max_tokens" in told
