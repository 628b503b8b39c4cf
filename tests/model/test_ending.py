"""The end token that last-token pooling reads, and the side of the padding: as transformers has them, wherever texts
are read."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, processors
from transformers import AutoModel, AutoTokenizer

from ascent.errors import AscentError
from ascent.files import read_json
from ascent.model.adoption.statements import oddities
from ascent.model.backbone import load_backbone
from ascent.model.contract import tokenizer_digest
from ascent.model.encoder import Encoder
from ascent.model.ending import added_tokens, append_end
from ascent.model.saving import save_new
from ascent.planning.token_counts import TokenCounter
from ascent.settings.model import Backbone, Contract
from ascent.tokens import tokenise
from support.tiny_models import DECODERS, make_architecture, make_tokenizer

MOST = 12
TEXTS = ["open it", "", "read all lines of a text file and close it, whatever happens meanwhile, and so on", "a file"]


@pytest.fixture(scope="module")
def resources(tiny_resource, corpus_rows, tmp_path_factory):
    """Decoders with tokenizers of their own classes; a BERT."""
    parent, texts = tmp_path_factory.mktemp("decoders"), [row["positive"] for row in corpus_rows]
    made = {}
    for name in DECODERS:
        make_tokenizer(parent / f"{name}-tokenizer", name, texts)
        made[name] = make_architecture(parent / name, name, parent / f"{name}-tokenizer")
    return made | {"bert": tiny_resource}


def contract_of(**changes) -> Contract:
    return Contract(**{"max_tokens": MOST, "pooling": "last", "attention": "causal", "append_eos": True} | changes)


def as_transformers_appends(resource) -> AutoTokenizer:
    tokenizer = AutoTokenizer.from_pretrained(resource)
    tokenizer.add_bos_token = bool(added_tokens(tokenizer.backend_tokenizer)[0])
    tokenizer.add_eos_token = True  # rewrites the post-processor by transformers' own code
    return tokenizer


@pytest.mark.parametrize("name", DECODERS)
def test_every_text_ends_with_the_end_token_and_it_is_pooled(resources, tmp_path, name):
    expected = as_transformers_appends(resources[name])(TEXTS, truncation=True, max_length=MOST)["input_ids"]
    end = AutoTokenizer.from_pretrained(resources[name]).eos_token_id
    assert [ids[-1] for ids in expected] == [end] * len(TEXTS)
    assert max(map(len, expected)) == MOST  # a text is truncated
    found = []
    for side in ("left", "right"):
        folder = tmp_path / side
        folder.mkdir()
        save_new(resources[name], contract_of(padding=side), {}, folder)
        saved, plain = AutoTokenizer.from_pretrained(folder), SentenceTransformer(str(folder), device="cpu")
        assert saved.padding_side == plain.tokenizer.padding_side == side
        assert saved(TEXTS, truncation=True, max_length=MOST)["input_ids"] == expected
        own, _ = tokenise.load_tokenizer(folder, MOST)
        assert [encoded.ids for encoded in own.encode_batch(TEXTS)] == expected
        padded = plain.preprocess(TEXTS)
        kept = zip(padded["input_ids"], padded["attention_mask"].bool(), strict=True)
        assert [ids[mask].tolist() for ids, mask in kept] == expected
        encoder = Encoder(folder, precision="float32")
        assert encoder.model.packed
        found.append(encoder.encode(TEXTS, side="document", task="retrieval"))
        np.testing.assert_allclose(found[-1], plain.encode(TEXTS), rtol=0, atol=1e-6)
    np.testing.assert_allclose(*found, rtol=0, atol=1e-6)
    backbone = AutoModel.from_pretrained(folder).eval()
    for ids, embedding in zip(expected, found[0], strict=True):
        with torch.inference_mode():
            states = torch.nn.functional.normalize(backbone(input_ids=torch.tensor([ids])).last_hidden_state[0], dim=-1)
        np.testing.assert_allclose(embedding, states[-1].numpy(), rtol=0, atol=1e-5)
        if len(ids) > 1:
            assert np.abs(embedding - states[-2].numpy()).max() > 1e-2


def test_transformers_4_makes_the_special_tokens_of_its_own_from_the_configuration(resources, tmp_path):
    for name, begins in (("llama", True), ("qwen3", False)):
        folder = tmp_path / name
        folder.mkdir()
        save_new(resources[name], contract_of(), {}, folder)
        stated = read_json(folder / "tokenizer_config.json")
        assert (stated["add_bos_token"], stated["add_eos_token"]) == (begins, True)


def test_a_special_token_at_the_end_stays_the_only_one(resources):
    plain, asked = (
        load_backbone(resources["bert"], Contract(max_tokens=MOST, append_eos=end))[1] for end in (False, True)
    )
    assert tokenizer_digest(asked) == tokenizer_digest(plain)
    once = load_backbone(resources["llama"], contract_of())[1].backend_tokenizer
    before = once.to_str()
    append_end(once, "</s>", "x")
    assert once.to_str() == before


@pytest.mark.parametrize("kept", ["bytes", "as Llama 3", "none"])
def test_what_a_tokenizer_did_before_it_does_still(resources, kept):
    tokenizer = Tokenizer.from_file(str(resources["qwen3"] / "tokenizer.json"))
    start, end = "<|start|>", "<|endoftext|>"
    tokenizer.add_special_tokens([start])
    by_bytes = processors.ByteLevel(trim_offsets=True)
    template = processors.TemplateProcessing(
        single=f"{start} $A", special_tokens=[(start, tokenizer.token_to_id(start))]
    )
    tokenizer.post_processor = {
        "bytes": by_bytes,
        "as Llama 3": processors.Sequence([by_bytes, template]),
        "none": None,
    }[kept]
    plain = tokenizer.encode(TEXTS[2]).tokens
    append_end(tokenizer, end, "x")
    assert tokenizer.encode(TEXTS[2]).tokens == [*plain, end]
    assert (plain[0] == start) == (kept == "as Llama 3")
    tokenizer.enable_truncation(5)
    assert tokenizer.encode(TEXTS[2]).tokens == [*plain[:4], end]


def test_without_an_end_token_none_is_appended(resources):
    tokenizer = AutoTokenizer.from_pretrained(resources["llama"])
    for end in (None, "<nowhere>"):
        with pytest.raises(
            AscentError, match="^m: append_eos: true, but its tokenizer has no end token; set eos_token in"
        ):
            append_end(tokenizer.backend_tokenizer, end, "m")


@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_pooling_a_last_word_is_told(resources, capsys, name):
    teacher = {"model": "t", "pooling": "last", "attention": "causal", "max_tokens": MOST}
    Encoder.of_backbone(resources[name], Backbone(**teacher))
    told = (
        f"warning: model '{name}': pooling: last takes the state of a text's last token, and its tokenizer appends"
        " no end"
    )
    assert told in capsys.readouterr().out
    ending = Encoder.of_backbone(resources[name], Backbone(**teacher, append_eos=True), "float32")
    assert "end token" not in capsys.readouterr().out
    expected = as_transformers_appends(resources[name])(TEXTS, truncation=True, max_length=MOST)["input_ids"]
    assert ending.tokenizer(TEXTS, truncation=True, max_length=MOST)["input_ids"] == expected
    bert, tokenizer = resources["bert"], AutoTokenizer.from_pretrained(resources["bert"]).backend_tokenizer
    assert "end token" not in "".join(oddities(bert, Contract(pooling="last", max_tokens=64), tokenizer))


def test_the_plan_counts_the_end_token(resources):
    import polars as pl

    expected = sum(
        map(len, as_transformers_appends(resources["llama"])(TEXTS, truncation=True, max_length=MOST)["input_ids"])
    )
    assert TokenCounter(resources["llama"], MOST, append_eos=True).count(pl.Series(TEXTS), "").tokens == expected


def test_learned_positions_are_padded_on_the_right(resources, tmp_path):
    with pytest.raises(
        AscentError, match=r"padding: left would shift this backbone's positions, which are learned; set padding"
    ):
        save_new(resources["bert"], Contract(max_tokens=MOST, padding="left"), {}, tmp_path)
    save_new(resources["bert"], Contract(max_tokens=MOST, padding="right"), {}, tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path).padding_side == "right"
