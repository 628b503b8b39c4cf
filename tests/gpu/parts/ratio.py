"""Pairs/s beside sentence-transformers' cached loss: one model, one batch, tokenised before the clock, in bfloat16."""

import tempfile
import time
import warnings

import torch

from ascent.model.batching import pad
from ascent.training.stages.contrastive import train_step
from rig import SHAPES, Rig

STEPS = 4


def ratio(rig: Rig) -> None:
    name, rows, rows_at_once = ("toy-bert", 16, 4) if rig.tiny else ("bert-large", 1024, 64)
    batch = rig.batch(name, rows, 0, mean=130, spread=60, longest=256)
    ours = fastest(rig, own_step(rig, name, batch))
    with tempfile.TemporaryDirectory() as folder:
        theirs = fastest(rig, other_step(rig, name, batch, folder, rows_at_once))
    value = f"{rows / ours:.0f}, {rows / theirs:.0f}, {theirs / ours:.2f}"
    rig.tell(f"{name}, {rows:,} pairs: pairs/s of Ascent, of sentence-transformers, their ratio", value)


def fastest(rig: Rig, step) -> float:
    """Return the seconds of the fastest of a few steps."""
    seconds = []
    for index in range(STEPS):
        rig.wait()
        began = time.perf_counter()
        step(index)
        rig.wait()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def own_step(rig: Rig, name: str, batch):
    """Return the step of Ascent."""
    engine, stage, objective = rig.engine(name, mini_batch_tokens=16384)
    return lambda step: train_step(engine, batch, objective, stage, step, 0)


def other_step(rig: Rig, name: str, batch, folder: str, rows_at_once: int):
    """Return the step of sentence-transformers: its cached loss, clipping as here, the same optimizer."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.losses import CachedMultipleNegativesRankingLoss
    from sentence_transformers.models import Pooling, Transformer
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    rig.backbone(name, attention="sdpa").save_pretrained(folder)
    words = Tokenizer(
        models.WordLevel({str(index): index for index in range(SHAPES[name]["vocab_size"])}, unk_token="0")
    )
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="0", unk_token="0").save_pretrained(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names that the next version changes
        body = Transformer(folder)
        model = SentenceTransformer(
            modules=[body, Pooling(body.get_word_embedding_dimension())], device=rig.device.type
        )
        loss = CachedMultipleNegativesRankingLoss(model, scale=20, mini_batch_size=rows_at_once)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, fused=True)
    sides = [pad(part, 0, rig.device) for part in (batch.tokens[: batch.rows], batch.tokens[batch.rows :])]
    model.train()

    def step(_: int) -> None:
        with torch.autocast(rig.device.type, torch.bfloat16):
            value = loss([dict(side) for side in sides], None)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step
