"""Pre-training: masks, losses against transformers' and loops in float64, one gradient at any number of processes."""

import json
import shutil
from itertools import product

import numpy as np
import pytest
import torch
import torch.multiprocessing as multiprocessing
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, BertForMaskedLM

from ascent.errors import AscentError
from ascent.model.batching import Texts
from ascent.training.data import open_table
from ascent.training.masking import Masking, draw_of
from ascent.training.pretraining_objectives import mask_id
from ascent.training.pretraining_objectives.retromae import EnhancedDecoder, visible
from ascent.training.schedule import dealt
from ascent.training.stages.pretraining import TextBatch, TextData
from support.float64_process import float64_process
from support.pretraining_cases import (
    CLS,
    CONTRACT,
    MASK,
    OBJECTIVES,
    SEP,
    decoded_by_loops,
    method_of,
    reference,
    settings_of,
    texts,
)
from support.tiny_models import make_architecture

LIMIT, RATE = 1e-6, 2.0**20


# ---------------------------------------------------------------- masks


MASKING = Masking(share=0.3, mask_id=MASK, special=np.array([0, 1, CLS, SEP, MASK]))


def test_masks_hide_the_share_and_never_a_special_token():
    text = np.array([CLS, *range(10, 30), SEP], dtype=np.int32)
    masked, places = MASKING(text, draw_of(0, 0, 0))
    assert len(places) == 6
    assert set(places) <= set(range(1, 21))
    assert (masked[places] == MASK).all()
    assert (np.delete(masked, places) == np.delete(text, places)).all()
    assert text[places[0]] != MASK  # the text itself is left alone
    one, at = MASKING(np.array([CLS, 10, SEP], dtype=np.int32), draw_of(0, 0, 0))
    assert (one.tolist(), at.tolist()) == ([CLS, MASK, SEP], [1])
    none, at = MASKING(np.array([CLS, SEP], dtype=np.int32), draw_of(0, 0, 0))
    assert (none.tolist(), at.tolist()) == ([CLS, SEP], [])


def test_masks_follow_from_seed_step_and_place():
    text = np.arange(10, 110, dtype=np.int32)
    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    found = [tuple(MASKING(text, draw_of(*key))[1]) for key in keys]
    assert len(set(found)) == 4
    assert found == [tuple(MASKING(text, draw_of(*key))[1]) for key in keys]


def test_a_tenth_is_replaced_and_a_tenth_kept():
    text = np.full(200_000, 10, dtype=np.int32)
    masked, places = Masking(share=0.5, mask_id=MASK, special=np.array([]), vocabulary=2000)(text, draw_of(0, 0, 0))
    shares = [(masked[places] == MASK).mean(), (masked[places] == 10).mean()]
    assert shares == pytest.approx([0.8, 0.1], abs=0.005)  # of 100,000, of which a two thousandth is redrawn as it was
    others = masked[places][(masked[places] != MASK) & (masked[places] != 10)]
    assert others.min() < 20
    assert others.max() > 1980


def test_the_decoder_s_rows_see_samples_of_their_own_and_never_themselves():
    seen = visible(400, 0.3, draw_of(0, 0, 0))
    assert not seen.diagonal().any()
    assert seen.sum() / (400 * 399) == pytest.approx(0.7, abs=0.01)
    assert len({row.tobytes() for row in seen}) == 400
    assert not visible(3, 1.0, draw_of(0, 0, 0)).any()
    assert visible(3, 0.0, draw_of(0, 0, 0)).tolist() == [[False, True, True], [True, False, True], [True, True, False]]


# ---------------------------------------------------------------- losses


def test_mlm_is_the_loss_of_transformers(tiny_resource):
    torch.manual_seed(1)
    config = AutoConfig.from_pretrained(tiny_resource, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    theirs = BertForMaskedLM(config).double()
    torch.nn.init.normal_(theirs.cls.predictions.bias)
    method = method_of(tiny_resource, "mlm")
    missing = method.module.backbone.load_state_dict(theirs.bert.state_dict(), strict=False).missing_keys
    assert all(key.startswith("pooler") for key in missing)
    ours, head = method.module.head, theirs.cls.predictions
    ours.dense.load_state_dict(head.transform.dense.state_dict())
    ours.norm.load_state_dict(head.transform.LayerNorm.state_dict())
    ours.bias.data = head.bias.data

    batch = TextBatch(tokens=Texts.of(texts()[:5]), numbers=np.arange(5), global_rows=5)
    inputs = method.inputs(batch, np.arange(5), 0, "cpu")
    losses, count = [], 0
    for number, text in enumerate(batch.tokens):
        masked, places = method.objective.masking(text, draw_of(0, 0, number))
        labels = torch.full((1, len(text)), -100)
        labels[0, places] = torch.from_numpy(text[places]).long()
        losses.append(theirs(input_ids=torch.from_numpy(masked).long()[None], labels=labels).loss * len(places))
        count += len(places)
    assert len(inputs["places"]) == count
    assert method.module(**inputs)[0].item() == pytest.approx(sum(losses).item(), rel=1e-9)


def test_mntp_predicts_from_the_state_before(decoder_resource):
    """Against transformers' own causal model, made bidirectional, token by token."""
    method = method_of(decoder_resource, "mntp")
    theirs = AutoModelForCausalLM.from_pretrained(decoder_resource, attn_implementation="eager").double().eval()
    theirs.config.is_causal = False
    batch = TextBatch(tokens=Texts.of(texts()[:5]), numbers=np.arange(5), global_rows=5)
    expected = 0.0
    for number, text in enumerate(batch.tokens):
        masked, places = method.objective.masking(text, draw_of(0, 0, number))
        assert places.min() > 0
        logits = theirs(input_ids=torch.from_numpy(masked).long()[None]).logits[0]
        expected -= sum(logits[place - 1].log_softmax(0)[text[place]].item() for place in places)
    assert method.module(**method.inputs(batch, np.arange(5), 0, "cpu"))[0].item() == pytest.approx(expected, rel=1e-9)


def test_the_enhanced_decoder_is_the_paper_s():
    """A hand-made case of two texts, the second shorter: row 0 of the first sees the embedding only."""
    torch.manual_seed(0)
    decoder = EnhancedDecoder(8, 2, torch.randn(4, 8), 1e-5).double()
    for layer in (decoder.query, decoder.key, decoder.value, decoder.output, decoder.up, decoder.down):
        torch.nn.init.normal_(layer.weight, std=0.5)  # large enough that what a row sees matters
        torch.nn.init.normal_(layer.bias)
    embeddings, words = torch.randn(2, 8).double(), torch.randn(2, 3, 8).double()
    seen = np.array([[[0, 0, 0], [1, 0, 1], [0, 1, 0]], [[0, 1, 0], [0, 0, 0], [0, 0, 0]]], dtype=bool)
    found = decoder(embeddings, words, torch.from_numpy(seen))
    for text, length in ((0, 3), (1, 2)):
        expected = decoded_by_loops(decoder, embeddings[text], words[text, :length], seen[text])
        torch.testing.assert_close(found[text, :length], expected, rtol=1e-10, atol=1e-12)
    # What a row does not see does not change it: the last word, which rows 0 and 2 of the first text do not see.
    changed = words.clone()
    changed[0, 2] = torch.randn(8)
    other = decoder(embeddings, changed, torch.from_numpy(seen))
    assert (other[0, [0, 2]] == found[0, [0, 2]]).all()
    assert (other[0, 1] != found[0, 1]).any()


# ---------------------------------------------------------------- one gradient


def measure(rank: int, world: int, store: str, folders: dict, cases: list[tuple], output: str) -> None:
    """In a process of its own: the gradient by which DeepSpeed's step moves the weights, for each case."""
    import deepspeed
    from deepspeed.utils import safe_get_full_fp32_param

    from ascent.training.engine import deepspeed_config

    with float64_process(rank, world, store):
        table, found = texts(), {}
        numbers = dealt(np.array([len(text) for text in table]), rank, world)
        batch = TextBatch(
            tokens=Texts.of([table[number] for number in numbers]), numbers=numbers, global_rows=len(table)
        )
        for objective, zero, tokens in cases:
            method = method_of(folders[objective], objective, zero=zero, mini_batch_tokens=tokens)
            # See tests/training/test_gradients.py: so long a step leaves nothing but the gradient in the weights'
            # digits.
            before = {name: p.detach().clone() for name, p in method.module.named_parameters()}
            optimizer = torch.optim.SGD(method.module.parameters(), lr=RATE)
            config = deepspeed_config(method.stage)
            engine, *_ = deepspeed.initialize(
                model=method.module, optimizer=optimizer, config=config, dist_init_required=False
            )
            engine.train()
            losses = method.backward(engine, batch, 0)
            engine.step()
            weights = dict(engine.module.named_parameters())
            after = {name: safe_get_full_fp32_param(p) if zero else p.detach() for name, p in weights.items()}
            moved = {name: (before[name] - after[name].double()) / RATE for name in before}
            found[objective, zero, tokens] = (moved, losses)
            engine.destroy()
        if rank == 0:
            torch.save(list(found.values()), output)


def gradients(folders: dict, world: int, cases: list[tuple], tmp_path) -> list:
    output = str(tmp_path / f"gradients-{world}.pt")
    arguments = (world, str(tmp_path / f"store-{world}"), folders, cases, output)
    multiprocessing.start_processes(measure, arguments, nprocs=world, start_method="spawn")
    return torch.load(output, weights_only=True)


# Mini-batches of 24 tokens: two processes take different numbers of them.
MATRIX = list(product(OBJECTIVES, range(4), (24, 10**6)))
COVERING = [("mlm", 0, 24), ("retromae", 1, 24), ("mntp", 2, 24), ("retromae", 3, 24)]


@pytest.mark.usefixtures("warm_spawn")
@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize(
    "cases", [COVERING, pytest.param(MATRIX, marks=pytest.mark.nightly)], ids=["covering", "matrix"]
)
def test_gradient_is_that_of_one_process_with_the_whole_batch(world, cases, tiny_resource, decoder_resource, tmp_path):
    folders = {"mlm": str(tiny_resource), "retromae": str(tiny_resource), "mntp": str(decoder_resource)}
    expected = {
        objective: reference(folders[objective], objective) for objective in dict.fromkeys(case[0] for case in cases)
    }
    worst = 0.0
    for case, (found, losses) in zip(cases, gradients(folders, world, cases, tmp_path), strict=True):
        wanted, loss = expected[case[0]]
        assert losses.tolist() == pytest.approx(loss, rel=1e-6)
        assert found.keys() >= wanted.keys()
        difference = sum(float((found[name] - gradient).pow(2).sum()) for name, gradient in wanted.items())
        error = (difference / sum(float(gradient.pow(2).sum()) for gradient in wanted.values())) ** 0.5
        print(f"{world} processes  {case}  {error:.1e}")
        worst = max(worst, error)
    assert worst < LIMIT


# ---------------------------------------------------------------- models, tokenizers and documents


@pytest.mark.parametrize(
    ("folder", "objective", "message"),
    [
        (
            "tiny_resource",
            "mntp",
            "mntp is for a causal backbone made bidirectional, but this one is an encoder; use mlm",
        ),
        ("untied", "mntp", "this backbone has separate output embeddings"),
    ],
)
def test_a_backbone_without_the_head_is_refused(folder, objective, message, request, decoder_resource, tmp_path):
    if folder == "untied":
        path = shutil.copytree(decoder_resource, tmp_path / "untied")
        config = json.loads((path / "config.json").read_text()) | {"tie_word_embeddings": False}
        (path / "config.json").write_text(json.dumps(config))
    else:
        path = request.getfixturevalue(folder)
    with pytest.raises(AscentError, match=message):
        method_of(path, objective)


@pytest.mark.parametrize("objective", ["mlm", "retromae"])
def test_a_backbone_whose_input_embeddings_are_of_another_width_is_refused(objective, tiny_resource, tmp_path):
    folder = make_architecture(tmp_path / "electra", "electra", tiny_resource)
    with pytest.raises(
        AscentError, match=f"'{objective}' predicts by the input embeddings, which have 128 dimensions, but"
    ):
        method_of(folder, objective)


@pytest.mark.parametrize(("words", "expected"), [({"_": 7, "a": 8}, 7), ({"a": 8}, None)])
def test_the_underscore_stands_for_what_is_hidden_where_there_is_no_mask_token(words, expected):
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel(words, unk_token="a")))
    if expected is None:
        with pytest.raises(AscentError, match="has neither a mask token nor '_'"):
            mask_id(tokenizer, "recipe r, stages.s.objective")
    else:
        assert mask_id(tokenizer, "recipe r, stages.s.objective") == expected


def test_documents_are_learned_from_once_and_without_prompts(training_pairs, training_rows, tokens_of, tiny_model):
    settings = settings_of("mlm", batch_size=9)
    tokens = tokens_of(training_pairs, contract=CONTRACT, stage=settings.stage)
    digest = json.loads((tiny_model / "ascent.json").read_text())["tokenizer_digest"]
    data = TextData({"texts": open_table(tokens, settings, "texts", digest)}, settings)
    tokenizer = Tokenizer.from_file(str(tiny_model / "tokenizer.json"))
    tokenizer.enable_truncation(32)
    documents = {text for row in training_rows for text in (row.positive, *row.negatives)}
    whole = data.batch(np.arange(len(data)), rank=0, world=1)
    assert sorted(map(bytes, whole.tokens)) == sorted(
        np.array(tokenizer.encode(text).ids, dtype=np.int32).tobytes() for text in documents
    )
    shares = [data.batch(np.arange(7), rank=rank, world=2) for rank in range(2)]
    for share in shares:
        for number, text in zip(share.numbers, share.tokens, strict=True):
            assert (text == whole.tokens[number]).all()
    assert sorted(number for share in shares for number in share.numbers) == list(range(7))
    with pytest.raises(
        AscentError, match=r"tokens made with document_prompts = \['passage: '\], but the stage has \[''\]"
    ):
        open_table(tokens_of(training_pairs, contract=CONTRACT), settings, "texts", digest)
