"""RetroMAE: in addition to masked tokens, a decoder predicts the whole text from its embedding (Xiao et al. 2022, arXiv
2205.12035, section 3)."""

import numpy as np
import torch
from torch.nn.functional import gelu, scaled_dot_product_attention

from ...model.backbone import first_position, position_table
from ...model.embedding_model import EmbeddingModel
from ..masking import Masking
from ..pretraining_model import SPREAD, initialise
from . import MaskedPrediction


class Retromae(MaskedPrediction):
    """Predicts masked tokens, and the text from its embedding and samples of its tokens."""

    parts = ("encoder", "decoder")

    def choose_masking(self, *, mask_id: int, special: np.ndarray, vocabulary: int) -> Masking:
        # The paper hides every chosen token (section 3.2).
        return Masking(share=self.settings.encoder_mask, mask_id=mask_id, special=special)

    def make_decoder(self, model: EmbeddingModel) -> torch.nn.Module:
        config = model.backbone.config
        width, eps = model.backbone.get_input_embeddings().embedding_dim, getattr(config, "layer_norm_eps", 1e-5)
        return EnhancedDecoder(width, config.num_attention_heads, first_positions(model), eps)

    def predictions(self, predictable: list[int]) -> list[int]:
        return [*super().predictions(predictable), sum(predictable)]

    def decoder_inputs(self, texts: list[np.ndarray], draws: list[np.random.Generator]) -> tuple[torch.Tensor, ...]:
        width = max(map(len, texts))
        tokens = np.zeros((len(texts), width), dtype=np.int64)
        predicted = np.zeros((len(texts), width), dtype=bool)
        seen = np.zeros((len(texts), width, width), dtype=bool)
        for row, (text, draw) in enumerate(zip(texts, draws, strict=True)):
            tokens[row, : len(text)] = text
            predicted[row, self.masking.predictable(text)] = True
            seen[row, : len(text), : len(text)] = visible(len(text), self.settings.decoder_mask, draw)
        return torch.from_numpy(tokens), torch.from_numpy(predicted), torch.from_numpy(seen)


def first_positions(model: EmbeddingModel) -> torch.Tensor:
    """Return positions to start from, (longest text, width): the backbone's, or random ones where it learns none."""
    most, table = model.contract.max_tokens.longest, position_table(model.backbone)
    if table is None:
        return torch.randn(most, model.backbone.config.hidden_size) * SPREAD
    first = first_position(model.backbone)
    return table.weight.detach()[first : first + most]


class EnhancedDecoder(torch.nn.Module):
    """The decoder of section 3.3: one transformer layer in which each token is predicted from the text's
    embedding and a sample of the other tokens.

    With the embedding h, the words' embeddings e_i, positions p_i, and a norm before the layer, as BERT has one:
    queries norm(h + p_i); keys and values h and norm(e_1 + p_1), ..., norm(e_n + p_n).
    """

    def __init__(self, width: int, heads: int, positions: torch.Tensor, eps: float):
        """positions: (longest text, width), the first values of the decoder's own. eps: of its norms."""
        super().__init__()
        self.heads = heads
        self.positions = torch.nn.Embedding.from_pretrained(positions.clone(), freeze=False)
        self.query, self.key, self.value, self.output = (torch.nn.Linear(width, width) for _ in range(4))
        self.up, self.down = torch.nn.Linear(width, 4 * width), torch.nn.Linear(4 * width, width)
        self.norm, self.norm_attended, self.norm_output = (torch.nn.LayerNorm(width, eps) for _ in range(3))
        initialise(self.query, self.key, self.value, self.output, self.up, self.down)

    def forward(self, embeddings: torch.Tensor, words: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """Return the decoder's states (texts, longest, width) of embeddings (texts, width) and words (texts, longest,
        width).

        seen: bool (texts, longest, longest), which words each row sees in addition to the embedding.
        """
        embeddings = embeddings[:, None]
        positions = self.positions(torch.arange(words.shape[1], device=words.device))
        queries = self.norm(embeddings + positions)
        context = torch.cat([embeddings, self.norm(words + positions)], 1)
        seen = torch.cat([seen.new_ones(len(seen), seen.shape[1], 1), seen], 2)[:, None]
        q, k, v = self.query(queries), self.key(context), self.value(context)
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (q, k, v))
        attended = scaled_dot_product_attention(q, k, v, attn_mask=seen).transpose(1, 2).flatten(2)
        states = self.norm_attended(queries + self.output(attended))
        return self.norm_output(states + self.down(gelu(self.up(states))))


def visible(length: int, masked: float, draw: np.random.Generator) -> np.ndarray:
    """Return which tokens the decoder sees when it predicts each token: bool (length, length), one row per prediction.

    A token never sees itself, and sees each other token with probability 1 - `masked`, drawn per row (RetroMAE, arXiv
    2205.12035, equation 6, without the first column: the embedding, which all rows see).
    """
    seen = draw.random((length, length)) >= masked
    np.fill_diagonal(seen, False)
    return seen
