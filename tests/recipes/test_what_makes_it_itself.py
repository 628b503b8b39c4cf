"""What makes a recipe of the field itself, on a tiny model of its architecture."""

import functools
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoModel

from ascent.model.backbone import load_backbone
from ascent.model.encoder import Encoder
from ascent.model.saving import save_new
from ascent.recipes.loading import load_recipes, read_config
from ascent.recipes.recipes import Recipes
from ascent.settings.model import Contract
from ascent.settings.teachers import Teaching
from ascent.teachers.scoring import embed_with_teacher
from ascent.tokens.table import TokenisedPairs
from ascent.tokens.tokenise import tokenise_pairs
from ascent.training.stages import linear, slerp
from support.field import ARCHITECTURES, make_field, trial_of
from support.small_recipe import ROOT

CAUSAL = {"e5-mistral": "mistral", "linq-embed-mistral": "mistral", "qwen3-embedding": "qwen3", "openai-cpt": "qwen3"}
BOTH_WAYS = {"gte-qwen2": "qwen2", "nv-embed": "mistral", "llm2vec": "qwen3", "kalm": "qwen2"}
BOTH_WAYS |= {"gemini-embedding": "gemma3_text"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The corpora and models of trials."""
    made = tmp_path_factory.mktemp("field")
    make_field(made, *ARCHITECTURES)
    return made


@pytest.fixture(scope="module")
def shrunk(folder):
    """Load a recipe as a trial makes it; its tiny model's folder lies beside."""

    @functools.cache
    def _shrunk(name: str, architecture: str) -> Recipes:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(ROOT)
            return load_recipes(
                read_config(folder / "config.yaml") | {"recipes": [name], "trial": trial_of(architecture)}
            )

    return _shrunk


@pytest.fixture
def base(folder, shrunk, tmp_path):
    """Make a recipe's model before training: (the recipes, the recipe's name, the folder)."""

    def _base(name: str, architecture: str) -> tuple[Recipes, str, Path]:
        recipes, made = shrunk(name, architecture), tmp_path / f"{name}-base"
        made.mkdir()
        save_new(folder / architecture, recipes.contract(f"{name}-trial", "base"), {}, made)
        return recipes, f"{name}-trial", made

    return _base


@pytest.mark.slow
@pytest.mark.parametrize("name", CAUSAL | BOTH_WAYS)
def test_a_later_token_changes_an_earlier_state_where_attention_is_bidirectional_only(folder, shrunk, tmp_path, name):
    architecture = (CAUSAL | BOTH_WAYS)[name]
    first = {"pooling": "cls", "heads": {}, "pool_prompt": True}
    contract = shrunk(name, architecture).contract(f"{name}-trial", "base")
    save_new(folder / architecture, Contract(**contract.model_dump() | first), {}, tmp_path)
    texts = ["open a file", "open a module"]
    one, other = Encoder(tmp_path, precision="float32").encode(texts, side="document", task="classification")
    assert np.allclose(one, other, atol=1e-6) == (name in CAUSAL)


@pytest.mark.parametrize("name", CAUSAL)
def test_the_end_token_is_what_is_pooled(base, name):
    """By transformers: the state of the last of the tokens, which is the tokenizer's end token, scaled to length 1."""
    *_, made = base(name, CAUSAL[name])
    encoder = Encoder(made, precision="float32")
    text = "open a file"
    found = encoder.encode([text], side="document", task="classification")[0]
    tokenizer = encoder.tokenizer
    ids = tokenizer(text)["input_ids"]
    assert ids[-1] == tokenizer.eos_token_id
    with torch.no_grad():
        state = AutoModel.from_pretrained(made, dtype=torch.float32)(input_ids=torch.tensor([ids])).last_hidden_state[
            0, -1
        ]
    width = len(found)
    expected = torch.nn.functional.normalize(state[:width], dim=-1)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "architecture", "stage", "dataset", "on_documents"),
    [
        ("e5-mistral", "mistral", "finetune", "mixture", False),
        ("gte-qwen2", "qwen2", "pretrain", "wikipedia", False),
        ("qwen3-embedding", "qwen3", "pretrain", "wikipedia", False),
        ("instructor", "t5", "finetune", "questions", True),
    ],
)
def test_the_instruction_stands_before_the_query_and_not_before_the_document(
    base, tmp_path, training_pairs, name, architecture, stage, dataset, on_documents
):
    """In the tokens that the stage trains on. INSTRUCTOR has one on both sides."""
    recipes, recipe, made = base(name, architecture)
    dataset_settings, settings = recipes.dataset(recipe, dataset), recipes.recipes[recipe].stages[stage]
    contract = recipes.contract(recipe, stage)
    tokenising = settings.tokenising(contract, dataset, dataset_settings.task, dataset_settings.prompts)
    tokenise_pairs(made, tokenising, training_pairs, None, tmp_path / "tokens")
    table, tokenizer = TokenisedPairs(tmp_path / "tokens"), load_backbone(made, contract)[1]
    query = tokenizer.decode(table.text(int(table.queries[0]))).lower()
    document = table.text(table.documents_of(0)[0]).tolist()
    word = "represent" if on_documents else "instruct"
    assert word in query.replace(" ", "")
    assert (word in tokenizer.decode(document).lower().replace(" ", "")) == on_documents
    positive = pl.read_parquet(training_pairs)["positive"][0]
    alone = tokenizer(positive, truncation=True, max_length=contract.max_tokens.document)["input_ids"]
    assert (document == alone) != on_documents


def test_in_batch_negatives_are_off_in_nv_embed_s_second_stage(shrunk):
    recipe = shrunk("nv-embed", "mistral").recipes["nv-embed-trial"]

    def used(stage: str) -> set[bool]:
        uses = recipe.stages[stage].data
        return {use.uses_in_batch_negatives(recipe.data[name].task) for name, use in uses.items()}

    assert used("retrieval") == {True}
    assert used("all") == {False}


def test_nv_embed_s_latent_head_exists_and_trains(base, train_here, training_pairs, tmp_path):
    recipes, recipe, made = base("nv-embed", "mistral")
    stage, contract = recipes.recipes[recipe].stages["retrieval"], recipes.contract(recipe, "retrieval")
    stage = stage.model_copy(update={"data": {"nq": stage.data["nq"]}, "learning_rate": 1e-2})
    tokenise_pairs(made, contract.tokenising("retrieval"), training_pairs, None, tmp_path / "tokens")
    train_here(made, contract, tokens=tmp_path / "tokens", stage=stage)
    before, after = (head_of(path) for path in (made, tmp_path / "run" / "model"))
    assert before.keys() == after.keys()
    assert all(
        not torch.equal(before[key], after[key]) for key in ("array", "query.weight", "key_value.weight", "out.weight")
    )


def head_of(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a model folder's head."""
    (file,) = folder.glob("*_*/model.safetensors")
    return load_file(file)


def test_bge_s_pre_training_leaves_no_decoder(base, train_here, training_pairs, tmp_path):
    recipes, recipe, made = base("bge", "bert")
    stage, contract = recipes.recipes[recipe].stages["pretrain"], recipes.contract(recipe, "pretrain")
    tokenise_pairs(made, stage.tokenising(contract, "texts", "retrieval"), training_pairs, None, tmp_path / "tokens")
    lines = train_here(made, contract, tokens=tmp_path / "tokens", stage=stage)
    assert stage.objective.type == "retromae" and lines
    before, after = (names_of(path / "model.safetensors") for path in (made, tmp_path / "run" / "model"))
    assert before == after


def names_of(file: Path) -> set[str]:
    """The names of the tensors in a file."""
    with safe_open(file, framework="pt") as opened:
        return set(opened.keys())


def test_conan_s_graded_rows_are_for_cosent_and_what_is_replaced_is_counted(shrunk):
    recipes = shrunk("conan", "bert")
    recipe = recipes.recipes["conan-trial"]
    stage = recipe.stages["finetune"]
    losses = {name: [*stage.objective_of(name).chosen] for name in stage.data}
    assert losses == {name: ["cosent" if recipe.data[name].task == "sts" else "infonce"] for name in stage.data}
    assert [name for name in stage.data if stage.mines_for(name)] == ["t2ranking", "dureader", "medical"]
    assert "results/conan-trial/finetune/replacements.json" in recipes.audits("conan-trial")


def test_qwen3_s_slerp_is_not_the_mean(shrunk):
    stage = shrunk("qwen3-embedding", "qwen3").recipes["qwen3-embedding-trial"].stages["merge"]
    draw = torch.Generator().manual_seed(0)
    tensors = [torch.randn(8, 4, generator=draw, dtype=torch.float64) for _ in stage.parents]
    found = slerp.slerp(tensors, stage.shares, stage)
    mean = linear.linear(tensors, stage.shares, stage)
    torch.testing.assert_close(mean, sum(tensors) / 2)
    assert (found - mean).norm() > 0.1 * mean.norm()


def test_distil_s_student_beats_its_untrained_self(base, folder, train_here, training_pairs, tmp_path):
    """Nearer to its teacher than before, on texts that it learnt from; the teacher is of another architecture."""
    recipes, recipe, made = base("distil", "bert")
    stage, contract = recipes.recipes[recipe].stages["imitate"], recipes.contract(recipe, "imitate")
    teaching = Teaching(teacher=stage.teacher, task="retrieval")
    embed_with_teacher(teaching, folder / "modernbert", training_pairs, None, tmp_path / "embeddings")
    tokens = tmp_path / "tokens"
    tokenise_pairs(
        made, contract.tokenising("retrieval"), training_pairs, None, tokens, embeddings=tmp_path / "embeddings"
    )
    changes = {
        "data": {"nli": stage.data["nli"]},
        "learning_rate": 1e-2,
        "max_steps": 15,
        "epochs": 15,
        "batch_size": 44,
    }
    lines = train_here(made, contract, tokens=tokens, stage=stage.model_copy(update=changes))
    assert lines[-1]["loss"] < 0.8 * lines[0]["loss"]
