"""What the parts of the acceptance share: models of random weights, batches of random tokens, engines, findings."""

import math
import time
from dataclasses import dataclass, field
from typing import Any

import deepspeed
import numpy as np
import torch
from transformers import AutoConfig, AutoModel

from ascent.model.adapters import adapt
from ascent.model.batching import Texts
from ascent.model.embedding_model import EmbeddingModel
from ascent.model.packing import NAME, is_to_pack
from ascent.model.precision import prepare_backbone, token_multiple
from ascent.settings.contrastive import Contrastive
from ascent.settings.model import Contract
from ascent.training.data import Batch
from ascent.training.engine import deepspeed_config, start_engine
from ascent.training.objective import load_objectives
from ascent.training.stages.contrastive import backward

CONTRACT = Contract(max_tokens=512)
BERT = {"model_type": "bert", "max_position_embeddings": 512}
QWEN3 = {
    "model_type": "qwen3",
    "vocab_size": 151669,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 4096,
}
TOY = {
    "vocab_size": 2000,
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "intermediate_size": 256,
    "num_attention_heads": 4,
}
GROUPED = TOY | {"num_key_value_heads": 2, "head_dim": 64, "pad_token_id": 0}
LARGE = {
    "vocab_size": 30522,
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
}
SMALL = {"hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16, "intermediate_size": 3072}
EIGHT = {"hidden_size": 4096, "num_hidden_layers": 36, "num_attention_heads": 32, "intermediate_size": 12288}
SHAPES = {
    "bert-large": BERT | LARGE,
    "qwen3-0.6b": QWEN3 | SMALL,
    "qwen3-8b": QWEN3 | EIGHT,
    "toy-bert": BERT | TOY,
    "toy-modernbert": TOY | {"model_type": "modernbert", "local_attention": 32, "pad_token_id": 0},
    "toy-qwen3": GROUPED | {"model_type": "qwen3"},
    "toy-mistral": GROUPED | {"model_type": "mistral", "sliding_window": 32},
}
DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "attention_dropout")


@dataclass
class Rig:
    """One device, and what was found on it.

    tiny: toy shapes, which a CPU manages. seconds: how long all parts may take together.
    """

    device: torch.device
    tiny: bool
    seconds: float
    findings: list[dict[str, Any]] = field(default_factory=list)
    part: str = ""
    began: float = field(default_factory=time.monotonic)

    @property
    def gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.type == "cuda"

    def tell(self, what: str, value: str, right: bool | None = None) -> None:
        """Record a finding. right: whether it is as it must be; None for a measurement."""
        self.findings.append({"part": self.part, "what": what, "value": value, "right": right})
        print(line_of(self.findings[-1]), flush=True)

    def time_left(self) -> float:
        """Return the seconds in which another part may begin."""
        return self.seconds - (time.monotonic() - self.began)

    def wait(self) -> None:
        """Wait for the GPU."""
        if self.gpu:
            torch.cuda.synchronize()

    def peak_gb(self) -> float:
        """Return the GPU memory that tensors took at most since it was last reset."""
        return torch.cuda.max_memory_allocated() / 1e9 if self.gpu else 0.0

    # ------------------------------------------------------------ models and batches

    def backbone(self, name: str, *, dropout: float = 0.0, attention: str | None = None) -> torch.nn.Module:
        """Return a bidirectional backbone of random weights, always the same, on the device.

        attention: transformers' name of it; by default the packed one, or SDPA where this machine packs nothing.
        """
        config = AutoConfig.for_model(**SHAPES[name])
        for key in DROPOUTS:
            if hasattr(config, key):
                setattr(config, key, dropout)
        config.is_causal, config.use_cache = False, False
        attention = attention or (NAME if is_to_pack(config.model_type) else "sdpa")
        torch.manual_seed(0)
        with self.device:
            return AutoModel.from_config(config, attn_implementation=attention)

    def engine(self, name: str, *, dropout: float = 0.0, universal: bool = False, **settings):
        """Return a DeepSpeed engine of a model, the stage's settings and its objective. settings: those of a stage."""
        defaults = {"objective": {"infonce": {"temperature": 0.05}}, "data": ["rows"], "precision": "bfloat16"}
        stage = Contrastive(**defaults | settings)
        backbone = self.backbone(name, dropout=dropout)
        dtype = None if stage.precision == "float32" else torch.bfloat16
        if stage.adapter:
            adapt(backbone, stage.adapter, None, "acceptance", dtype)
        model = EmbeddingModel(backbone, CONTRACT, dtype, multiple=token_multiple(stage.precision)).to(self.device)
        prepare_backbone(backbone, stage)
        engine = start_engine(model, stage, 100, deepspeed_config(stage, universal=universal), self.device)
        return engine, stage, load_objectives(stage, CONTRACT)

    def batch(
        self, name: str, rows: int, negatives: int, *, mean: float = 40, spread: float = 20, longest: int = 96
    ) -> Batch:
        """Return a batch of random tokens, always the same: queries of about 12 tokens, documents of `mean` ones."""
        draw = np.random.default_rng(0)
        queries, documents = draw.normal(12, 4, rows), draw.normal(mean, spread, rows * (1 + negatives))
        lengths = np.clip(np.concatenate([queries, documents]).round().astype(int), 4, longest)
        tokens = [draw.integers(5, SHAPES[name]["vocab_size"], length).astype(np.int32) for length in lengths]
        numbers, zeros = torch.arange(rows), torch.zeros(rows, dtype=torch.long)
        return Batch(
            tokens=Texts.of(tokens),
            prompt_lengths=[0] * len(tokens),
            rows=rows,
            global_rows=rows,
            row_of_document=torch.cat([numbers, numbers.repeat_interleave(negatives)]),
            document_ids=torch.arange(rows * (1 + negatives)),
            answers=numbers[:, None],
            groups=zeros,
            labels=torch.full((rows,), math.nan),
            dataset_index=zeros,
            numbers=numbers,
            weights=torch.ones(rows),
        )


def gradient(engine, batch: Batch, objective, stage: Contrastive) -> dict[str, torch.Tensor]:
    """Return the gradient of a batch's loss by weight: float32 on the CPU."""
    backward(engine, batch, objective, stage, 0, 0)
    found = {}
    for name, weight in engine.module.named_parameters():
        part = deepspeed.utils.safe_get_full_grad(weight) if stage.zero else weight.grad
        if part is not None:
            found[name] = part.detach().float().cpu().clone()
    return found


def apart(found: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> float:
    """Return the norm of the difference over the norm of what is right, of all tensors together."""
    assert found.keys() == right.keys()
    a, b = (torch.cat([side[name].flatten() for name in right]) for side in (found, right))
    return float((a - b).norm() / b.norm())


def line_of(finding: dict[str, Any]) -> str:
    """Return a finding in words."""
    verdict = {None: "", True: "ok", False: "NOT OK"}[finding["right"]]
    return f"{verdict:7}{finding['part']:14}{finding['what']}: {finding['value']}"


def short(error: Exception) -> str:
    """Return an error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
