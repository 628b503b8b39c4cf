"""Adapters train what they should and nothing else, and the folder that a stage makes is a plain one that embeds as
they did."""

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing as multiprocessing
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoModelForTextEncoding, AutoTokenizer

import import_base
from ascent.errors import AscentError
from ascent.losses import Embedded
from ascent.losses.infonce import infonce
from ascent.model import adapters
from ascent.model.adapters import adapt, save_merged
from ascent.model.backbone import load_backbone
from ascent.model.batching import pad
from ascent.model.contract import read_contract
from ascent.model.embedding_model import EmbeddingModel
from ascent.model.encoder import Encoder
from ascent.model.saving import save_new
from ascent.model.soft_tokens import add_soft_tokens, soft_token_ids
from ascent.settings.contrastive import Contrastive
from ascent.settings.model import Adoption, Contract
from ascent.settings.stages import StageSettings
from ascent.settings.training import Running
from ascent.settings.validation import dump, load
from ascent.training.engine import rate
from support.tiny_models import make_architecture

NAMES = ("bert", "xlm-roberta", "modernbert", "t5", "llama", "qwen2", "qwen3", "mistral", "gemma3_text")
LORA = {"type": "lora", "rank": 4, "alpha": 8}
SOFT = "".join(f"<soft{index}>" for index in range(4))
SAVING = {"zero": 3, "offload_optimizer": "cpu", "offload_weights": "cpu", "activation_checkpointing": True}
STEPS, ROWS = 10, 12


@pytest.fixture(scope="module")
def parents(tiny_resource, training_contract, tmp_path_factory):
    """A stage's model folder of each architecture; with four soft tokens where `soft` is set."""
    made = {}

    def _parents(name: str, *, soft: bool = False) -> Path:
        if (name, soft) not in made:
            folder = tmp_path_factory.mktemp(name)
            resource, contract = make_architecture(folder / "resource", name, tiny_resource), training_contract
            if soft:
                contract = contract.model_copy(update={"prompts": {"query": {"retrieval": [SOFT]}}})
                backbone, tokenizer = load_backbone(resource, contract)
                add_soft_tokens(backbone, tokenizer, 4)
                backbone.save_pretrained(resource)
                tokenizer.save_pretrained(resource)
            (folder / "model").mkdir()
            save_new(resource, contract, {}, folder / "model")
            made[name, soft] = folder / "model"
        return made[name, soft]

    return _parents


def plain_backbone(folder: Path):
    """The folder's backbone as transformers loads it."""
    kind = AutoModelForTextEncoding if "t5" in (folder / "config.json").read_text() else AutoModel
    return kind.from_pretrained(folder, attn_implementation="eager").eval()


def embed(backbone, rows: list[np.ndarray]) -> np.ndarray:
    """Mean-pooled states of length 1, row by row, with nothing of ours."""
    with torch.no_grad():
        states = [backbone(input_ids=torch.tensor(row[None]).long()).last_hidden_state[0].mean(0) for row in rows]
    return np.stack([torch.nn.functional.normalize(state, dim=0).numpy() for state in states])


# ---------------------------------------------------------------- merging


def drawn(backbone, seed: int = 0) -> dict[str, torch.Tensor]:
    """Give the weights that train other values; return them by name."""
    draw = torch.Generator().manual_seed(seed)
    for parameter in backbone.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=draw)
    return {name: p.detach().clone() for name, p in backbone.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("name", NAMES)
def test_a_merged_folder_embeds_as_peft_s_own_model(name, parents, corpus_rows, tmp_path):
    parent = parents(name)
    contract, _ = read_contract(parent)
    texts = [row["positive"] for row in corpus_rows[:6]]
    rows = [
        np.array(ids)
        for ids in AutoTokenizer.from_pretrained(parent)(texts, truncation=True, max_length=32)["input_ids"]
    ]
    backbone = plain_backbone(parent)
    linear = [n for n, m in backbone.named_modules() if isinstance(m, torch.nn.Linear) and "pooler" not in n]
    reference = get_peft_model(backbone, LoraConfig(r=4, lora_alpha=8, target_modules=linear)).eval()
    trained = drawn(backbone)
    (tmp_path / "model").mkdir()
    adapter = Contrastive(objective="infonce", data=["x"], adapter=LORA).adapter
    save_merged(parent, adapter, trained, rows, contract, {}, tmp_path / "model", "here")
    expected = embed(reference, rows)
    found = SentenceTransformer(str(tmp_path / "model"), device="cpu").encode(texts)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert np.abs(found - embed(plain_backbone(parent), rows)).max() > 1e-2
    assert load_file(tmp_path / "model" / "model.safetensors").keys() == plain_backbone(parent).state_dict().keys()


def test_a_merge_that_disagrees_is_an_error(parents, tmp_path, monkeypatch):
    """As it would be if a library merged wrongly."""
    from peft.tuners.lora import Linear

    parent = parents("bert")
    contract, _ = read_contract(parent)
    adapter = Contrastive(objective="infonce", data=["x"], adapter=LORA).adapter
    backbone, tokenizer = load_backbone(parent, contract)
    adapt(backbone, adapter, tokenizer, "here")
    trained = {name: p.detach().clone() for name, p in backbone.named_parameters() if p.requires_grad}
    rows = [np.array([2, 5, 6, 3])]
    for folder in ("idle", "wrong"):
        (tmp_path / folder).mkdir()
    with pytest.raises(AscentError, match="here: training changed no embedding of its data; train longer, or raise"):
        save_merged(parent, adapter, trained, rows, contract, {}, tmp_path / "idle", "here")
    right = Linear.get_delta_weight
    monkeypatch.setattr(Linear, "get_delta_weight", lambda self, name: 1.01 * right(self, name))
    with pytest.raises(AscentError, match=r"here: the merged weights' embeddings differ by \S+ from the adapter's"):
        save_merged(parent, adapter, drawn(backbone), rows, contract, {}, tmp_path / "wrong", "here")


# ---------------------------------------------------------------- what trains, and what is refused


@pytest.mark.parametrize(
    ("adapter", "trains"),
    [
        (LORA, r"encoder\.layer\.\d\..*\.(lora_A|lora_B)\.default\.weight"),
        (LORA | {"targets": ["query", "value"]}, r".*\.(query|value)\.(lora_A|lora_B)\.default\.weight"),
        ({"type": "bitfit"}, r".*\.bias"),
        ({"type": "soft_prompt"}, r"embeddings\.word_embeddings\.trainable_tokens_delta\.default"),
    ],
)
def test_what_trains(adapter, trains, parents):
    parent = parents("bert", soft=True)
    backbone, tokenizer = load_backbone(parent, read_contract(parent)[0])
    names = {name for name, _ in backbone.named_parameters()}
    adapter = Contrastive(objective="infonce", data=["x"], adapter=adapter).adapter
    adapt(backbone, adapter, tokenizer, "here")
    after = {name: p.requires_grad for name, p in backbone.named_parameters()}
    assert {name for name, trained in after.items() if trained} == {
        name for name in after if re.fullmatch(trains, name)
    }
    if adapter.type != "bitfit":
        assert {name.replace(".base_layer", "") for name, trained in after.items() if not trained} == names


@pytest.mark.parametrize(
    ("name", "adapter", "sentence"),
    [
        ("llama", {"type": "bitfit"}, "here: a 'llama' backbone has no biases to train; use lora."),
        ("t5", {"type": "bitfit"}, "here: a 't5' backbone has no biases to train; use lora."),
        ("bert", {"type": "soft_prompt"}, "here: the base has no soft tokens to train; set base.soft_tokens."),
        (
            "bert",
            LORA | {"targets": ["querry"]},
            "here.targets: the backbone has no linear layer 'querry'; did you mean 'query'?",
        ),
        ("bert", {"type": "qlora"}, "here: qlora needs a GPU, but this machine has none; use lora."),
    ],
)
def test_what_an_adapter_lacks_is_one_sentence(name, adapter, sentence, parents, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    backbone, tokenizer = load_backbone(parents(name), Contract(max_tokens=32))
    with pytest.raises(AscentError, match=f"^{re.escape(sentence)}$"):
        adapt(backbone, Contrastive(objective="infonce", data=["x"], adapter=adapter).adapter, tokenizer, "here")


def test_the_learning_scale(parents):
    """alpha / rank, or with rslora alpha / sqrt(rank)."""
    for more, scale in (({}, 2.0), ({"rslora": True}, 4.0)):
        backbone, tokenizer = load_backbone(parents("bert"), Contract(max_tokens=32))
        adapt(backbone, Contrastive(objective="infonce", data=["x"], adapter=LORA | more).adapter, tokenizer, "here")
        assert backbone.encoder.layer[0].output.dense.scaling == {"default": scale}


# ---------------------------------------------------------------- soft tokens


@pytest.mark.parametrize("name", ["bert", "t5", "qwen3"])
def test_adopted_with_soft_tokens_a_model_is_the_same_but_for_them(
    name, tiny_resource, corpus_rows, tmp_path, monkeypatch
):
    resource = make_architecture(tmp_path / "resource", name, tiny_resource)
    contract = Contract(max_tokens=64, prompts={"query": {"retrieval": SOFT}})
    for folder, number in (("plain", 0), ("soft", 4), ("again", 4)):
        (tmp_path / f"{folder}.yaml").write_text(dump(Adoption(**contract.model_dump(), soft_tokens=number)))
        words = ["--settings", tmp_path / f"{folder}.yaml", "--resource", resource, "--output", tmp_path / folder]
        monkeypatch.setattr(sys, "argv", ["import_base.py", *map(str, words)])
        assert import_base.main() == 0
    texts = [row["positive"] for row in corpus_rows[:5]]
    plain, soft = (Encoder(tmp_path / folder, expected=contract, precision="float32") for folder in ("plain", "soft"))
    documents = {"side": "document", "task": "retrieval"}
    np.testing.assert_allclose(soft.encode(texts, **documents), plain.encode(texts, **documents), rtol=0, atol=1e-6)
    ids = soft_token_ids(soft.tokenizer)
    table = soft.model.backbone.get_input_embeddings().weight
    assert ids == list(range(len(soft.tokenizer) - 4, len(soft.tokenizer)))
    assert len(torch.unique(table[ids], dim=0)) == 4
    assert (tmp_path / "soft" / "model.safetensors").read_bytes() == (
        tmp_path / "again" / "model.safetensors"
    ).read_bytes()
    assert read_contract(tmp_path / "soft")[1]["history"] == read_contract(tmp_path / "plain")[1]["history"]


# ---------------------------------------------------------------- training


def train_all(rank: int, folders: list[tuple[Path, Path, Path]]) -> None:
    """In a process of its own: train the stage of each folder, from a parent, on tokens."""
    from ascent.training import throughput
    from ascent.training.job.preemption import StopRequest
    from ascent.training.loop import Task, train

    torch.set_num_threads(1)
    throughput.CPU_SIZE = 64  # how fast this machine is takes a second each time
    for folder, parent, tokens in folders:
        os.environ.pop("RANK", None)
        settings = load(StageSettings, folder / "stage.yaml")
        names = {"model": folder / "model", "metrics": folder / "metrics.jsonl", "deepspeed": folder / "deepspeed.json"}
        tokens = dict.fromkeys(settings.tasks, tokens)
        train(
            Task(settings=settings, running=Running(), parent=parent, tokens=tokens, revision=1, **names), StopRequest()
        )


@pytest.fixture(scope="module")
def trained(parents, training_rows, warm_spawn, tmp_path_factory):
    """Train stages of ten steps over one batch, in one process; return the folders of each by its name."""
    from ascent.pairs.table import pair_frame, write_pairs
    from ascent.tokens.tokenise import tokenise_pairs

    pairs = tmp_path_factory.mktemp("pairs") / "pairs.parquet"
    write_pairs(pairs, pair_frame(training_rows[:ROWS], "x", "eng-Latn"))

    def _trained(cases: list[tuple[str, dict, dict]]) -> dict[str, tuple[Path, Path, Path]]:
        made = {}
        for name, adapter, more in cases:
            parent = parents(name, soft=adapter["type"] == "soft_prompt")
            contract, _ = read_contract(parent)
            folder = tmp_path_factory.mktemp("stage")
            tokenise_pairs(parent, contract.tokenising("retrieval"), pairs, None, folder / "tokens")
            settings = {"learning_rate": 3e-3, "precision": "float32", "mini_batch_tokens": 512, "dropout": 0} | more
            stage = Contrastive(
                objective="infonce", data=["x"], batch_size=ROWS, epochs=STEPS, adapter=adapter, **settings
            )
            settings = StageSettings(recipe="r", name="s", stage=stage, contract=contract, tasks={"x": "retrieval"})
            (folder / "stage.yaml").write_text(dump(settings))
            made[f"{name}-{adapter['type']}"] = (folder, parent, folder / "tokens")
        multiprocessing.start_processes(train_all, (list(made.values()),), nprocs=1, start_method="spawn")
        return made

    return _trained


# By one of each kind, what saves memory is tried, too.
OF_EACH_KIND = [
    ("qwen3", LORA, {}),
    ("bert", {"type": "bitfit"}, {"learning_rate": 1e-2}),
    ("gemma3_text", {"type": "soft_prompt"}, {"learning_rate": 3e-2}),
]


@pytest.fixture(scope="module")
def stages(trained):
    """Every architecture by LoRA, the other adapters on two each."""
    cases = [(name, LORA, {}) for name in NAMES if name not in ("bert", "qwen3")] + OF_EACH_KIND
    cases += [
        ("qwen2", {"type": "bitfit"}, {"learning_rate": 1e-2}),
        ("t5", {"type": "soft_prompt"}, {"learning_rate": 3e-2}),
    ]
    cases += [("bert", LORA, {"weights": "bfloat16", "zero": 1, "precision": "bfloat16"})]
    return trained(cases)


def test_ten_steps_lower_the_loss_and_give_a_plain_folder(stages):
    """That its embeddings are the adapter's, training itself has checked."""
    moves = {
        "lora": r".*\d\..*(?<!norm)\.weight",
        "bitfit": r".*\.bias",
        "soft_prompt": r".*(word_embeddings|shared|embed_tokens)\.weight",
    }
    for case, (folder, parent, _) in stages.items():
        losses = [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert len(losses) == STEPS
        assert losses[-1] < losses[0] - 0.1, (case, losses)
        new, old = load_file(folder / "model" / "model.safetensors"), plain_backbone(parent).state_dict()
        assert new.keys() == old.keys(), case
        kind = case.split("-")[-1]
        moved = {name for name, tensor in old.items() if not torch.equal(tensor, new[name])}
        assert moved, case
        assert all(re.fullmatch(moves[kind], name) for name in moved), (case, moved)
        if kind == "soft_prompt":
            ids = soft_token_ids(AutoTokenizer.from_pretrained(folder / "model"))
            for name in moved:
                assert set((old[name] != new[name]).any(1).nonzero().flatten().tolist()) == set(ids), case


@pytest.mark.nightly  # DeepSpeed compiles its AdamW for it, which takes two minutes
def test_words_that_save_memory_train_an_adapter_alike(stages, trained):
    """With the adapter's own dropout, which is drawn alike."""

    def losses(folder):
        return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]

    saving = trained([(name, adapter, SAVING | more) for name, adapter, more in OF_EACH_KIND])
    for case, (folder, _, _) in saving.items():
        assert losses(folder) == pytest.approx(losses(stages[case][0]), abs=1e-4), case
        config = json.loads((folder / "deepspeed.json").read_text())["zero_optimization"]
        assert config["offload_optimizer"]["device"] == config["offload_param"]["device"] == "cpu"


def test_soft_tokens_behind_a_long_text_are_checked_too(parents, train_here, tokens_of, training_rows, monkeypatch):
    """Of other adapters only a text's first tokens are looked at."""
    monkeypatch.setattr(adapters, "CHECKED_TOKENS", 1)
    parent = parents("bert", soft=True)
    contract, _ = read_contract(parent)
    tokens = tokens_of(training_rows, model=parent, contract=contract)
    for adapter in ({"type": "soft_prompt"}, LORA):
        train_here(parent, contract, tokens=tokens, adapter=adapter, learning_rate=3e-2)


def test_soft_tokens_are_the_prompt_s_tokens_in_sentence_transformers_too(stages, corpus_rows):
    folder = next(folder for case, (folder, _, _) in stages.items() if case.endswith("soft_prompt"))
    text = corpus_rows[0]["query"]
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    assert tokenizer(SOFT + text, add_special_tokens=False)["input_ids"][:4] == soft_token_ids(tokenizer)
    found = SentenceTransformer(str(folder / "model"), device="cpu").encode_query([text])
    ours = Encoder(folder / "model", precision="float32").encode([text], side="query", task="retrieval")
    np.testing.assert_allclose(found, ours, rtol=0, atol=1e-5)


def test_training_is_that_of_peft_and_plain_torch(
    train_here, tiny_model, training_tokens, training_contract, data_of, tmp_path
):
    adapter = LORA | {"dropout": 0}
    train_here(tiny_model, training_contract, adapter=adapter, dropout=0, precision="float32", learning_rate=1e-3)
    torch.manual_seed(0)
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    backbone = AutoModel.from_pretrained(tiny_model, attn_implementation="eager", **dropout)
    linear = [n for n, m in backbone.named_modules() if isinstance(m, torch.nn.Linear) and "pooler" not in n]
    peft_model = get_peft_model(backbone, LoraConfig(r=4, lora_alpha=8, target_modules=linear)).train()
    model = EmbeddingModel(peft_model, training_contract)
    data = data_of({"questions": training_tokens}, batch_size=11)
    stage = Contrastive(objective="infonce", data=["questions"])
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], weight_decay=stage.weight_decay)
    schedule = data.schedule()
    for step in range(len(schedule)):
        batch = data.batch(schedule[step], rank=0, world=1)
        rows = model.embed(**pad(batch.tokens, 0))
        embedded = Embedded(queries=rows[: batch.rows], documents=rows[batch.rows :], **batch.tensors())
        loss = infonce(embedded, temperature=0.05, symmetric=False)
        optimizer.param_groups[0]["lr"] = 1e-3 * rate(step, len(schedule), stage.warmup, stage.schedule)
        optimizer.zero_grad()
        loss.mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), stage.gradient_clipping)
        optimizer.step()
    expected = peft_model.merge_and_unload().state_dict()
    found, start = (load_file(folder / "model.safetensors") for folder in (tmp_path / "run" / "model", tiny_model))
    moved = max(float((expected[name] - tensor).abs().max()) for name, tensor in start.items())
    error = max(float((expected[name] - tensor).abs().max()) for name, tensor in found.items())
    print(f"moved {moved:.1e}, error {error:.1e}")
    assert moved > 1e-4
    assert error < moved / 100
