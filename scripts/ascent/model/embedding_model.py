"""The embedding model: a transformers backbone, heads and pooling, and its folder in sentence-transformers' layout."""

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..settings.model import Contract
from .backbone import first_position
from .batching import Texts, by_length, pack, pad
from .heads import through
from .packing import is_packed


def pool(
    states: torch.Tensor, cumulative: torch.Tensor, pooling: str, prompt_lengths: torch.Tensor | None = None
) -> torch.Tensor:
    """Reduce token states (tokens, dimension) to (rows, dimension), in float32 or float64.

    cumulative: where each row begins and the last one ends, (rows + 1,). prompt_lengths: how many tokens at each row's
    beginning a mean leaves out, (rows,); a row of no more than these is zero. The weighted mean is SGPT's (arXiv
    2202.08904, eq. 1): a row's i-th state, counted from 1, has the weight i, even if tokens are left out.
    """
    states = states.to(torch.promote_types(states.dtype, torch.float32))
    if pooling in ("cls", "last"):
        return states[cumulative[:-1] if pooling == "cls" else cumulative[1:] - 1]
    lengths = cumulative.diff().long()  # right by construction: checking them, as torch would, waits for the GPU
    if pooling == "mean" and prompt_lengths is None:
        return torch.segment_reduce(states, "mean", lengths=lengths, unsafe=True)

    def per_token(row_values: torch.Tensor) -> torch.Tensor:
        return torch.repeat_interleave(row_values, lengths, output_size=len(states))

    places = torch.arange(1, len(states) + 1, device=states.device) - per_token(cumulative[:-1])
    weights = places.to(states.dtype) if pooling == "weighted_mean" else states.new_ones(len(states))
    if prompt_lengths is not None:
        weights = weights * (places > per_token(prompt_lengths))
    sums = torch.segment_reduce(states * weights[:, None], "sum", lengths=lengths, unsafe=True)
    return sums / torch.segment_reduce(weights, "sum", lengths=lengths, unsafe=True).clamp(min=1)[:, None]


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
        multiple: int = 1,
    ):
        """dtype: of the backbone's matrix products; None for the float32 of its weights.

        heads: those that the contract names. special_ids: the tokenizer's special tokens, for token-level heads.
        multiple: of how many tokens a mini-batch is, padding included.
        """
        super().__init__()
        self.backbone = backbone
        self.heads = torch.nn.ModuleDict() if heads is None else heads
        assert list(self.heads) == list(contract.heads.chosen)
        self.contract = contract
        self.dtype = dtype
        self._special_ids = np.array(special_ids, dtype=np.int64)
        self._multiple, self._first_position = multiple, first_position(backbone)
        self._takes_positions = "position_ids" in inspect.signature(backbone.forward).parameters

    @property
    def per_token(self) -> list[str]:
        """The token-level heads that the model has."""
        return [name for name in self.contract.heads.per_token if name in self.heads]

    @property
    def dimension(self) -> int:
        """The dimension of the embeddings."""
        within = [head.get_embedding_dimension() for name, head in self.heads.items() if name not in self.per_token]
        return [self.backbone.config.hidden_size, *within][-1]

    @property
    def packed(self) -> bool:
        """Whether rows are packed, without padding between them."""
        return is_packed(self.backbone)

    def mini_batches(self, lengths: Sequence[int], tokens: int) -> list[np.ndarray]:
        """Split rows of these lengths into mini-batches that this model embeds within a budget of tokens, see
        by_length."""
        return by_length(lengths, tokens, packed=self.packed)

    def inputs(
        self,
        rows: Sequence[np.ndarray],
        pad_id: int,
        device: torch.device | str,
        prompt_lengths: Sequence[int] | torch.Tensor = (),
    ) -> dict[str, Any]:
        """Return the arguments of `forward` for rows of token ids: packed, or padded for a backbone that cannot be
        packed.

        prompt_lengths: how many tokens at each row's beginning pooling leaves out; none when empty. Of rows and prompt
        lengths that are on the device already, nothing is copied to it.
        """
        if self.packed:
            inputs = pack(rows, device, self._first_position, pad_id=pad_id, multiple=self._multiple)
        else:
            inputs = pad(rows, pad_id, device, multiple=self._multiple) | {"tokens": int(Texts.of(rows).lengths.sum())}
        if isinstance(prompt_lengths, torch.Tensor) or any(prompt_lengths):
            inputs["prompt_lengths"] = torch.as_tensor(prompt_lengths, device=device)
        return inputs

    def counted(self, rows: Sequence[np.ndarray], prompt_lengths: Sequence[int]) -> list[np.ndarray]:
        """Return the tokens of each row (a mask) whose outputs are compared: no special tokens, and none of a prompt
        that is not pooled."""
        texts = Texts.of(rows)  # row by row it would take seconds for a large batch
        masks = np.split(~np.isin(texts.ids.numpy(), self._special_ids), np.cumsum(texts.lengths[:-1]))
        for mask, length in zip(masks, prompt_lengths, strict=True):
            mask[:length] = False
        return masks

    def states(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        perturbation: torch.Tensor | None = None,
        spare: int = 0,
        tokens: int | None = None,
        **packed: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the states (tokens, dimension) of the real tokens of what `inputs` returns, and where rows begin, as
        pool takes them; input_ids (rows, tokens) with an attention_mask may also be padded on the left.

        perturbation: (rows, tokens, width), added to the outputs of the backbone's token embedding. spare: see pack.
        tokens: how many real tokens padded rows have; without it, a GPU is waited for to count them.
        """
        if attention_mask is not None and self.packed:
            rows = [ids[real].cpu().numpy() for ids, real in zip(input_ids, attention_mask.bool(), strict=True)]
            packed = pack(rows, input_ids.device, self._first_position, multiple=self._multiple)
            input_ids, attention_mask, spare = packed.pop("input_ids"), None, packed.pop("spare")
        elif attention_mask is not None and self._takes_positions:
            # By default a backbone would count positions from the padding on the left.
            packed["position_ids"] = (attention_mask.cumsum(1) - 1).clamp(min=0) + self._first_position
        # Autocast is here and not around the training step because DeepSpeed disables one that it did not configure.
        with torch.autocast(input_ids.device.type, self.dtype, enabled=self.dtype is not None):
            texts = {"input_ids": input_ids}
            if perturbation is not None:
                embedded = self.backbone.get_input_embeddings()(input_ids)
                texts = {"inputs_embeds": embedded + perturbation.to(embedded.dtype)}
            states = self.backbone(**texts, attention_mask=attention_mask, **packed).last_hidden_state
        if attention_mask is None:
            states, cumulative = states[0], packed["cumulative"]
            if spare:
                states, cumulative = states[:-spare], cumulative[:-1]
        else:
            tokens = int(attention_mask.sum()) if tokens is None else tokens
            states = states.flatten(0, 1)[torch.nonzero_static(attention_mask.flatten(), size=tokens)[:, 0]]
            cumulative = torch.nn.functional.pad(attention_mask.sum(1).cumsum(0), (1, 0))
        return states, cumulative

    def forward(self, prompt_lengths: torch.Tensor | None = None, **inputs: Any) -> tuple[torch.Tensor, ...]:
        """Embed what `inputs` returns: the embeddings (rows, dimension), then the output of each token-level head, in
        the contract's order, (tokens, its dimension)."""
        states, cumulative = self.states(**inputs)
        with torch.autocast(states.device.type, self.dtype, enabled=self.dtype is not None):
            features = through(self.heads, "token_embeddings", states)
        pooled = pool(features["token_embeddings"], cumulative, self.contract.pooling, prompt_lengths)
        embeddings = through(self.heads, "sentence_embedding", pooled)["sentence_embedding"]
        outputs = [embeddings, *(features[self.heads[name].module_output_name] for name in self.per_token)]
        embeddings, *per_token = (part.to(torch.promote_types(part.dtype, torch.float32)) for part in outputs)
        return torch.nn.functional.normalize(embeddings, dim=-1) if self.contract.normalise else embeddings, *per_token

    def embed(self, **inputs: Any) -> torch.Tensor:
        """Return the embeddings only."""
        return self(**inputs)[0]
