"""Shapes of models, read from their files, and the FLOPs that follow from them. Nothing here imports torch."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import AscentError
from ..settings.adapters import Adapter
from ..settings.corpora import BackboneShape
from ..settings.training import Training
from .adoption.intact import check_files, tensor_shapes, weight_files

# ---------------------------------------------------------------- the model


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The dimensions of a backbone that determine its costs."""

    parameters: int
    """All weights of the backbone, without heads for other tasks, which are not loaded."""
    matrices: int
    """Weights in the matrices of its layers."""
    layers: int
    width: int
    """Dimension of the states, which is the embedding's."""
    queries: int
    """Heads times the dimension of a head."""
    keys: int
    """The same of the keys; smaller than `queries` where heads share keys."""
    inner: int
    """Dimension inside the feed-forward part."""
    gated: bool
    """Whether that part multiplies two projections (GeGLU, SwiGLU)."""
    rms: bool
    """Whether norms are RMSNorm, written in plain torch."""
    normed_heads: bool
    """Whether queries and keys have norms of their own."""


# Architectures whose feed-forward part multiplies two projections, whose norms are RMSNorm, whose queries and keys have
# norms.
_RMS = {"llama", "mistral", "qwen2", "qwen3", "gemma3_text"}
_GATED = _RMS | {"modernbert"}
_NORMED_HEADS = {"qwen3", "gemma3_text"}
# Names of the same dimension in the families of BERT (and most others), DistilBERT, T5 and GPT-2.
_KEYS = {
    "layers": ("num_hidden_layers", "n_layers", "num_layers", "n_layer"),
    "width": ("hidden_size", "dim", "d_model", "n_embd"),
    "heads": ("num_attention_heads", "n_heads", "num_heads", "n_head"),
    "inner": ("intermediate_size", "hidden_dim", "d_ff", "n_inner"),
}
_TABLES = ("word_embeddings.weight", "embed_tokens.weight", "tok_embeddings.weight", "wte.weight")


def read_shape(folder: Path) -> Shape:
    """Return the shape of a model folder, from config.json and the headers of its safetensors files.

    Raises AscentError if a file is missing or damaged, config.json lacks a dimension, or layers share their weights.
    """
    config = check_files(folder)

    def dimension(name: str) -> int:
        for key in _KEYS[name]:
            if config.get(key):
                return config[key]
        raise AscentError(
            f"{folder / 'config.json'}: has none of {', '.join(_KEYS[name])}, so it cannot be planned; add it."
        )

    layers, width, heads, inner = (dimension(name) for name in ("layers", "width", "heads", "inner"))
    of_head = config.get("head_dim") or config.get("d_kv") or width // heads
    queries, keys = heads * of_head, (config.get("num_key_value_heads") or heads) * of_head
    tensors = _backbone(_tensors(folder))
    # Only layers have numbers in their names: encoder.layer.0.output.dense.weight.
    in_layers = {name: shape for name, shape in tensors.items() if any(part.isdigit() for part in name.split("."))}
    stored = {next(part for part in name.split(".") if part.isdigit()) for name in in_layers}
    if len(stored) != layers:
        raise AscentError(
            f"{folder}: has weights of {len(stored)} layers, but config.json says {layers}; choose a model whose "
            "layers do not share their weights."
        )
    matrices = sum(_size(shape) for shape in in_layers.values() if len(shape) == 2)
    feed_forward = matrices / layers - width * (queries + 2 * keys) - queries * width
    return Shape(
        parameters=sum(map(_size, tensors.values())),
        matrices=matrices,
        layers=layers,
        width=width,
        queries=queries,
        keys=keys,
        inner=inner,
        gated=round(feed_forward / (width * inner)) == 3,
        rms="rms_norm_eps" in config,
        normed_heads=any(".q_norm." in name for name in in_layers),
    )


def described_shape(described: BackboneShape) -> Shape:
    """Return the shape that the catalogue gives of a model: that of its files but for biases, norms and tables of
    positions."""
    tensors = _described(described)
    total, kind = sum(map(_size, tensors.values())), described.architecture
    head = described.head_dimension or described.width // described.heads
    return Shape(
        parameters=total,
        matrices=total - described.vocabulary * described.width,
        layers=described.layers,
        width=described.width,
        queries=described.heads * head,
        keys=(described.key_heads or described.heads) * head,
        inner=described.inner,
        gated=kind in _GATED,
        rms=kind in _RMS,
        normed_heads=kind in _NORMED_HEADS,
    )


def _described(described: BackboneShape) -> dict[str, list[int]]:
    """Return the shapes of the matrices of a model that the catalogue describes, by Llama's names."""
    width, inner = described.width, described.inner
    head = described.head_dimension or width // described.heads
    queries, keys = described.heads * head, (described.key_heads or described.heads) * head
    layer = {"q_proj": [queries, width], "k_proj": [keys, width], "v_proj": [keys, width], "o_proj": [width, queries]}
    layer |= {"up_proj": [inner, width], "down_proj": [width, inner]}
    layer |= {"gate_proj": [inner, width]} if described.architecture in _GATED else {}
    tensors = {f"layers.{i}.{name}.weight": shape for i in range(described.layers) for name, shape in layer.items()}
    return tensors | {"embed_tokens.weight": [described.vocabulary, width]}


def trained_weights(model: Path | BackboneShape, adapter: Adapter, soft_tokens: int) -> int:
    """Return how many weights an adapter of a model trains: of its folder, or as the catalogue describes it.
    soft_tokens: those of the recipe's base."""
    tensors = _described(model) if isinstance(model, BackboneShape) else _backbone(_tensors(model))
    width = next(shape[1] for name, shape in tensors.items() if name.endswith((*_TABLES, "shared.weight")))
    return adapter.trained(tensors, width, soft_tokens)


def _tensors(folder: Path) -> dict[str, list[int]]:
    return {name: shape for path in weight_files(folder) for name, shape in tensor_shapes(path).items()}


def _backbone(tensors: dict[str, list[int]]) -> dict[str, list[int]]:
    """Leave out the heads of a model that was saved with one: its backbone's tensors share a first name, `bert` or
    `model`."""
    in_layers = {name.split(".")[0] for name in tensors if any(part.isdigit() for part in name.split("."))}
    tables = {name.split(".")[0] for name in tensors if name.endswith(_TABLES)}
    prefix = in_layers & tables
    own = {name: shape for name, shape in tensors.items() if not prefix or name.split(".")[0] in prefix}
    # Numbers that are not weights: position_ids of older files.
    return {name: shape for name, shape in own.items() if not name.endswith("position_ids")}


def _size(shape: list[int]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


# ---------------------------------------------------------------- FLOPs


def forward_flops(shape: Shape, tokens: float, squares: float) -> float:
    """Return the FLOPs of a forward pass over texts with this many tokens; squares: the sum of the squares of their
    lengths."""
    return 2 * shape.matrices * tokens + 4 * shape.layers * shape.queries * squares


def step_flops(shape: Shape, stage: Training, tokens: float, squares: float) -> float:
    """Return the FLOPs of training on texts: a forward pass, and twice that backward. A stage with an adapter computes
    no gradients of its frozen matrices; the adapter's own FLOPs are not counted."""
    frozen = 2 * shape.matrices * tokens if stage.adapter else 0
    return 3 * forward_flops(shape, tokens, squares) - frozen
