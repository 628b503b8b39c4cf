"""The embedding model: a transformers backbone, heads and pooling, and its folder in sentence-transformers' layout."""

import inspect
import json
import shutil
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding, AutoTokenizer
from transformers.utils import logging as transformers_logging

from .batching import pad
from .contract import tokenizer_digest, weights_digest, write_contract
from .contract_settings import Contract
from .errors import AscentError
from .heads import adopt_heads, through, write_code, write_state
from .packing import NAME, PACKED, is_packed, is_to_pack, limit_position_bias, pack
from .stage_settings import Training

transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()

# Of these kinds, an encoder and a decoder in one, AutoModel would load both.
ENCODERS_OF_TWO = ("t5", "mt5", "umt5")
# What configurations call the shares that are dropped in training.
DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "attention_dropout", "dropout_rate", "dropout",
            "embedding_dropout", "mlp_dropout", "hidden_dropout", "embed_dropout", "resid_dropout",
            "embd_pdrop", "attn_pdrop", "resid_pdrop")  # fmt: skip


def pool(
    states: torch.Tensor, cumulative: torch.Tensor, pooling: str, prompt_lengths: torch.Tensor | None = None
) -> torch.Tensor:
    """Reduce token states (tokens, dimension) to (rows, dimension), in float32 or float64.

    cumulative: where each row begins and the last one ends, (rows + 1,). prompt_lengths: how many tokens at each row's beginning
    a mean leaves out, (rows,); a row of no more than these is zero. The weighted mean is SGPT's (arXiv 2202.08904, eq. 1): a
    row's i-th state, counted from 1, has the weight i, whatever is left out.
    """
    states = states.to(torch.promote_types(states.dtype, torch.float32))
    if pooling in ("cls", "last"):
        return states[cumulative[:-1] if pooling == "cls" else cumulative[1:] - 1]
    lengths = cumulative.diff().long()
    if pooling == "mean" and prompt_lengths is None:
        return torch.segment_reduce(states, "mean", lengths=lengths)

    def of_tokens(of_rows: torch.Tensor) -> torch.Tensor:
        return torch.repeat_interleave(of_rows, lengths, output_size=len(states))

    places = torch.arange(1, len(states) + 1, device=states.device) - of_tokens(cumulative[:-1])
    weights = places.to(states.dtype) if pooling == "weighted_mean" else states.new_ones(len(states))
    if prompt_lengths is not None:
        weights = weights * (places > of_tokens(prompt_lengths))
    sums = torch.segment_reduce(states * weights[:, None], "sum", lengths=lengths)
    return sums / torch.segment_reduce(weights, "sum", lengths=lengths).clamp(min=1)[:, None]


class EmbeddingModel(torch.nn.Module):
    """Rows of tokens in, embeddings (rows, dimension) out, of length 1 when the contract says so.

    Embeddings are float32, or float64 where the weights are.
    """

    def __init__(
        self,
        backbone: torch.nn.Module,
        contract: Contract,
        dtype: torch.dtype | None = None,
        heads: torch.nn.ModuleDict | None = None,
        special_ids: Sequence[int] = (),
    ):
        """`dtype`: what the backbone's matrix products are computed in; None for its weights' float32.

        `heads`: those that the contract names. `special_ids`: the tokenizer's special tokens, for heads beside the embedding.
        """
        super().__init__()
        self.backbone = backbone
        self.heads = torch.nn.ModuleDict() if heads is None else heads
        assert list(self.heads) == list(contract.heads.chosen)
        self.contract = contract
        self.dtype = dtype
        self._special_ids = np.array(special_ids, dtype=np.int64)
        self._takes_positions = "position_ids" in inspect.signature(backbone.forward).parameters

    @property
    def beside(self) -> list[str]:
        """The heads here that stand beside the embedding."""
        return [name for name in self.contract.heads.beside if name in self.heads]

    @property
    def dimension(self) -> int:
        """The dimension of the embeddings."""
        within = [head.get_embedding_dimension() for name, head in self.heads.items() if name not in self.beside]
        return [self.backbone.config.hidden_size, *within][-1]

    def inputs(
        self, rows: Sequence[np.ndarray], pad_id: int, device: torch.device | str, prompt_lengths: Sequence[int] = ()
    ) -> dict[str, Any]:
        """Return the arguments of `forward` for rows of token ids: packed, or padded for a backbone that cannot be packed.

        prompt_lengths: how many tokens at each row's beginning pooling leaves out; none when empty.
        """
        packed = pack(rows, device, first_position(self.backbone)) if is_packed(self.backbone) else pad(rows, pad_id, device)
        return packed | ({"prompt_lengths": torch.tensor(prompt_lengths, device=device)} if any(prompt_lengths) else {})

    def counted(self, rows: Sequence[np.ndarray], prompt_lengths: Sequence[int]) -> list[np.ndarray]:
        """Return of which tokens of each row (a mask) the outputs beside the embedding are compared: no special ones, and none of
        a prompt that is not pooled."""
        lengths = [len(row) for row in rows]  # row by row it would take seconds of a large batch
        masks = np.split(~np.isin(np.concatenate(rows), self._special_ids), np.cumsum(lengths[:-1]))
        for mask, length in zip(masks, prompt_lengths, strict=True):
            mask[:length] = False
        return masks

    def states(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        perturbation: torch.Tensor | None = None,
        **packed: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the states (tokens, dimension) of the real tokens of what `inputs` returns, and where rows begin, as pool takes
        them; input_ids (rows, tokens) with an attention_mask may also be padded on the left.

        perturbation: (rows, tokens, width), added to the outputs of the backbone's token embedding.
        """
        if attention_mask is not None and is_packed(self.backbone):
            rows = [ids[real].cpu().numpy() for ids, real in zip(input_ids, attention_mask.bool(), strict=True)]
            packed = pack(rows, input_ids.device, first_position(self.backbone))
            input_ids, attention_mask = packed.pop("input_ids"), None
        elif attention_mask is not None and self._takes_positions:
            # Left to itself, a backbone counts positions from the padding on the left.
            packed["position_ids"] = (attention_mask.cumsum(1) - 1).clamp(min=0) + first_position(self.backbone)
        # Autocast stands here and not round the training step because DeepSpeed switches off one that it did not configure.
        with torch.autocast(input_ids.device.type, self.dtype, enabled=self.dtype is not None):
            given = {"input_ids": input_ids}
            if perturbation is not None:
                embedded = self.backbone.get_input_embeddings()(input_ids)
                given = {"inputs_embeds": embedded + perturbation.to(embedded.dtype)}
            states = self.backbone(**given, attention_mask=attention_mask, **packed).last_hidden_state
        if attention_mask is None:
            states, cumulative = states[0], packed["cumulative"]
        else:
            states, cumulative = states[attention_mask.bool()], torch.nn.functional.pad(attention_mask.sum(1).cumsum(0), (1, 0))
        return states, cumulative

    def forward(self, prompt_lengths: torch.Tensor | None = None, **inputs: Any) -> tuple[torch.Tensor, ...]:
        """Embed what `inputs` returns: the embeddings (rows, dimension), then what each head beside them, in the contract's
        order, gives for each token, (tokens, its dimension)."""
        states, cumulative = self.states(**inputs)
        with torch.autocast(states.device.type, self.dtype, enabled=self.dtype is not None):
            features = through(self.heads, "token_embeddings", states)
        pooled = pool(features["token_embeddings"], cumulative, self.contract.pooling, prompt_lengths)
        embeddings = through(self.heads, "sentence_embedding", pooled)["sentence_embedding"]
        beside = [features[self.heads[name].module_output_name] for name in self.beside]
        embeddings, *beside = (part.to(torch.promote_types(part.dtype, torch.float32)) for part in (embeddings, *beside))
        return torch.nn.functional.normalize(embeddings, dim=-1) if self.contract.normalise else embeddings, *beside

    def embed(self, **inputs: Any) -> torch.Tensor:
        """Return the embeddings only."""
        return self(**inputs)[0]


def load_backbone(folder: str | Path, contract: Contract, *, dropout: float | None = None) -> tuple[torch.nn.Module, Any]:
    """Load a backbone (float32) and its tokenizer. Only safetensors are read, and no code of the folder is run.

    Its attention is the contract's; of an encoder-decoder (T5) only the encoder is loaded. dropout: replaces the backbone's own.
    """
    folder = Path(folder)
    if not (folder / "config.json").exists():
        raise AscentError(f"{folder}: holds no config.json, so it is no model folder; check the model's source.")
    config = json.loads((folder / "config.json").read_text())
    kind = config.get("model_type")
    options: dict[str, Any] = {}
    if is_to_pack(kind):
        options["attn_implementation"] = NAME
    elif not torch.cuda.is_available():
        # On a CPU torch's fused attention is slower than plain matrix products: by a fifth forward, by half backward.
        options["attn_implementation"] = "eager"
    if dropout is not None:
        words = AutoConfig.from_pretrained(folder, trust_remote_code=False).to_dict()  # those that config.json leaves out, too
        options |= {key: dropout for key in DROPOUTS if key in words}
        if dropout and not options.keys() & set(DROPOUTS):
            raise AscentError(f"{folder}: dropout is {dropout}, but this backbone has no word for it; leave it out of the stage.")
    weights_digest(folder)  # refuses a folder without safetensors
    automatic = AutoModelForTextEncoding if kind in ENCODERS_OF_TWO else AutoModel
    backbone = automatic.from_pretrained(folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, **options)
    backbone.config.use_cache = False  # nothing is generated, so keys and values need not be kept
    set_attention(backbone, contract.attention, folder)
    if is_packed(backbone):
        limit_position_bias(backbone, contract.max_tokens)
    longest = longest_input(backbone)
    if longest is not None and contract.max_tokens > longest:
        raise AscentError(
            f"{folder}: takes at most {longest} tokens, but max_tokens is {contract.max_tokens}; lower it in the recipe."
        )
    return backbone, AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def set_attention(backbone: torch.nn.Module, attention: str, folder: str | Path) -> None:
    """Make a backbone attend in the contract's direction. A causal one is made bidirectional by a word in its configuration.

    transformers reads `is_causal` there, for the mask as for every kind of attention, so a folder saved with it needs none
    of our code.
    """
    found = natural_attention(backbone)
    if attention == found:
        return
    if attention == "causal":
        raise AscentError(
            f"{folder}: this backbone attends bidirectionally, which cannot be changed; set attention: bidirectional."
        )
    if backbone.config.model_type not in PACKED:
        raise AscentError(
            f"{folder}: this backbone attends causally, and a '{backbone.config.model_type}' model is not known to become "
            "bidirectional; set attention: causal."
        )
    backbone.config.is_causal = False


def first_position(backbone: torch.nn.Module) -> int:
    """Return the number of a row's first position: RoBERTa's family counts from behind its padding's."""
    table = position_table(backbone)
    return 0 if table is None or table.padding_idx is None else table.padding_idx + 1


def prepare_backbone(backbone: torch.nn.Module, stage: Training) -> None:
    """Give a backbone that is on its device what a stage asks for: activation checkpointing, FP8, compilation.

    Raises AscentError when FP8 is asked for where it cannot be computed. On a CPU it is emulated, for tests.
    """
    if stage.activation_checkpointing:
        backbone.gradient_checkpointing_enable({"use_reentrant": False})
    if stage.precision == "float8":
        _use_float8(backbone)
    if stage.compile:
        backbone.compile(dynamic=True)


def _use_float8(backbone: torch.nn.Module) -> None:
    try:
        from torchao.float8 import Float8LinearConfig, convert_to_float8_training
    except ImportError:
        raise AscentError("precision: float8 needs torchao, which envs/gpu.txt has; install it, or take bfloat16.") from None
    gpu = next(backbone.parameters()).is_cuda
    if gpu and torch.cuda.get_device_capability() < (8, 9):
        raise AscentError(f"precision: float8 needs a GPU that has FP8; {torch.cuda.get_device_name()} has not; take bfloat16.")

    def fits(module: torch.nn.Module, _: str) -> bool:
        return module.in_features % 16 == 0 and module.out_features % 16 == 0  # what FP8's matrix products take

    convert_to_float8_training(backbone, module_filter_fn=fits, config=Float8LinearConfig(emulate=not gpu))


def has_dropout(backbone: torch.nn.Module) -> bool:
    """Return whether a backbone drops anything in training."""
    modules = (module.p for module in backbone.modules() if isinstance(module, torch.nn.Dropout))  # an adapter's, too
    return any(modules) or any(getattr(backbone.config, key, None) for key in DROPOUTS)


def longest_input(backbone: torch.nn.Module) -> int | None:
    """Return how many tokens a backbone has positions for; None where positions are computed and not learned."""
    table = position_table(backbone)
    return None if table is None else table.num_embeddings - first_position(backbone)


def position_table(backbone: torch.nn.Module) -> torch.nn.Embedding | None:
    """Return a backbone's learned positions."""
    for name, module in backbone.named_modules():
        if name.endswith(("position_embeddings", "wpe")) and isinstance(module, torch.nn.Embedding):
            return module
    return None


def natural_attention(backbone: torch.nn.Module) -> str:
    """Return 'causal' for decoders, 'bidirectional' for encoders and for decoders whose configuration makes them so."""
    for module in backbone.modules():
        if hasattr(module, "is_causal"):
            return "causal" if module.is_causal and getattr(backbone.config, "is_causal", True) else "bidirectional"
    return "bidirectional"


def precision_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """Return the dtype to autocast to, or None for float32. `auto` is bfloat16 where the processor computes in it."""
    if precision == "float32":
        return None
    if precision in ("bfloat16", "float8"):
        return torch.bfloat16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
    # torch 2.10, of the GPU environment, lacks `get_capabilities`. CPUs with AMX's bfloat16 have AVX-512's too.
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else None


def prompt_name(side: str, task: str) -> str:
    """Return the name of a prompt in sentence-transformers: retrieval's is what `encode_query` and `encode_document` use."""
    return side if task == "retrieval" else f"{side}-{task}"


def sentence_transformers_prompts(contract: Contract) -> dict[str, str]:
    """Return the contract's prompts by the names that sentence-transformers finds them by."""
    named = {(side, task) for side, tasks in contract.prompts.items() for task in tasks}
    wanted = sorted(named | {("query", "retrieval"), ("document", "retrieval")})
    return {prompt_name(side, task): contract.prompt(side, task) for side, task in wanted}


def save_new(resource: Path, contract: Contract, history: dict, folder: Path) -> None:
    """Write a model folder for a backbone as it was retrieved, by sentence-transformers' own modules.

    Raises AscentError when a head does not fit the backbone.
    """
    from sentence_transformers import SentenceTransformer  # 2 s of imports that only this step needs
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    transformer = Transformer(str(resource), max_seq_length=contract.max_tokens)
    set_attention(transformer.model, contract.attention, resource)
    if position_table(transformer.model) is not None:
        transformer.tokenizer.padding_side = "right"  # on the left, sentence-transformers would count padding as positions
    pooling = {"last": "lasttoken", "weighted_mean": "weightedmean"}.get(contract.pooling, contract.pooling)
    width = transformer.get_embedding_dimension()
    heads = adopt_heads(resource, contract, width)
    before, behind = (
        [(name, head) for name, head in heads.items() if head.module_input_name == place]
        for place in ("token_embeddings", "sentence_embedding")
    )
    modules = [(None, transformer), *before, (None, Pooling(width, pooling, contract.pool_prompt)), *behind]
    if contract.normalise:
        modules.append((None, Normalize()))
    model = SentenceTransformer(
        modules=OrderedDict((name or str(index), module) for index, (name, module) in enumerate(modules)),
        prompts=sentence_transformers_prompts(contract),
        similarity_fn_name=contract.similarity,
        device="cpu",
    )
    model.save(str(folder), create_model_card=False)
    write_code(folder, contract)
    write_contract(folder, contract, AutoTokenizer.from_pretrained(folder), history)


def save_like(parent: Path, state: dict[str, torch.Tensor], contract: Contract, history: dict, folder: Path) -> None:
    """Write a model folder with new weights: the parent's files, `state` as its weights, the contract's prompts.

    `state` holds all tensors by name (see heads), float32.
    """
    shutil.copytree(parent, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.safetensors*", "ascent.json"))
    write_state(folder, state, contract)
    write_code(folder, contract)
    path = folder / "config_sentence_transformers.json"
    settings = json.loads(path.read_text())
    settings["prompts"] = sentence_transformers_prompts(contract)
    path.write_text(json.dumps(settings, indent=2, sort_keys=True))
    write_contract(folder, contract, AutoTokenizer.from_pretrained(folder), history)


def check_tokenizer(tokenizer, expected_digest: str, folder: str | Path) -> None:
    """Refuse a tokenizer that is not the one that a model was trained with."""
    if tokenizer_digest(tokenizer) != expected_digest:
        raise AscentError(f"{folder}: the tokenizer is not the one that ascent.json was written for; rebuild the model.")
