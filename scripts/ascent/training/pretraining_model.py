"""What pre-training puts on a backbone and throws away afterwards: heads that predict tokens, and RetroMAE's decoder."""

from typing import Any

import torch
from torch.nn.functional import cross_entropy, gelu, linear, scaled_dot_product_attention

from ..model.backbone import first_position, position_table
from ..model.embedding_model import EmbeddingModel, pool

# Of what is not the backbone's; BERT's initializer_range.
SPREAD = 0.02


def token_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the sum of the cross-entropies of logits (tokens, vocabulary) against int64 labels (tokens,): a scalar in float32 or
    float64, 0 of no tokens."""
    return cross_entropy(logits.to(torch.promote_types(logits.dtype, torch.float32)), labels, reduction="sum")


class TransformedHead(torch.nn.Module):
    """BERT's head for masked tokens: dense, GELU, norm, then the input embeddings as the output's, and a bias.

    The input embeddings are a parameter of this module, too, so that ZeRO 3 gathers them for it.
    """

    def __init__(self, words: torch.nn.Parameter, eps: float):
        super().__init__()
        width = words.shape[1]
        self.dense, self.norm, self.words = torch.nn.Linear(width, width), torch.nn.LayerNorm(width, eps), words
        self.bias = torch.nn.Parameter(torch.zeros(len(words)))
        initialise(self.dense)

    def forward(self, states: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the sum of the losses of states (tokens, dimension), see token_losses."""
        return token_losses(linear(self.norm(gelu(self.dense(states))), self.words, self.bias), labels)


class OutputHead(torch.nn.Module):
    """A decoder's own head: its output embeddings, which are its input embeddings."""

    def __init__(self, words: torch.nn.Parameter):
        super().__init__()
        self.words = words

    def forward(self, states: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the sum of the losses of states (tokens, dimension), see token_losses."""
        return token_losses(linear(states, self.words), labels)


class EnhancedDecoder(torch.nn.Module):
    """RetroMAE's decoder (arXiv 2205.12035, section 3.3): one transformer layer in which each token is predicted from the text's
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
        """Return the decoder's states (texts, longest, width) of embeddings (texts, width) and words (texts, longest, width).

        seen: bool (texts, longest, longest), which words each row sees besides the embedding.
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


def initialise(*layers: torch.nn.Linear) -> None:
    """Give layers BERT's first weights."""
    for layer in layers:
        torch.nn.init.normal_(layer.weight, std=SPREAD)
        torch.nn.init.zeros_(layer.bias)


class PretrainingModel(torch.nn.Module):
    """A backbone with a head, and RetroMAE's decoder or none: rows of masked tokens in, the summed losses of tokens out."""

    def __init__(self, embedder: EmbeddingModel, *, transformed: bool, decoder: bool):
        super().__init__()
        self.embedder = embedder
        self.heads.requires_grad_(False)
        words = self.backbone.get_input_embeddings().weight
        eps = getattr(self.backbone.config, "layer_norm_eps", 1e-5)  # transformers' word for it, and torch's number
        self.head = TransformedHead(words, eps) if transformed else OutputHead(words)
        self.decoder = None
        if decoder:
            heads, positions = self.backbone.config.num_attention_heads, self._first_positions()
            self.decoder = EnhancedDecoder(words.shape[1], heads, positions, eps)

    @property
    def backbone(self) -> torch.nn.Module:
        """The part that is trained and kept."""
        return self.embedder.backbone

    @property
    def heads(self) -> torch.nn.ModuleDict:
        """What the model has between backbone and embedding: kept as it is."""
        return self.embedder.heads

    def _first_positions(self) -> torch.Tensor:
        """Return positions to start from, (longest text, width): the backbone's, or random ones where it has none to learn."""
        most, table = self.embedder.contract.max_tokens, position_table(self.backbone)
        if table is None:
            return torch.randn(most, self.backbone.config.hidden_size) * SPREAD
        first = first_position(self.backbone)
        return table.weight.detach()[first : first + most]

    def forward(
        self,
        places: torch.Tensor,
        labels: torch.Tensor,
        decoding: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None,
        **inputs: Any,
    ) -> torch.Tensor:
        """Return the sums of the losses of the head's predictions and, with a decoder, of the decoder's: (parts,).

        inputs: the masked texts, see EmbeddingModel.inputs. places: int64 (predictions,), the states that tokens are predicted
        from, counted over the tokens of all texts; labels: int64 (predictions,), these tokens. decoding: the unmasked texts'
        tokens, int64 (texts, longest), which of them the decoder predicts, and `seen` of EnhancedDecoder.
        """
        states, cumulative = self.embedder.states(**inputs)
        dtype = self.embedder.dtype
        with torch.autocast(states.device.type, dtype, enabled=dtype is not None):
            losses = [self.head(states[places], labels)]
            if self.decoder is not None:
                tokens, predicted, seen = decoding
                embeddings = pool(states, cumulative, self.embedder.contract.pooling)
                decoded = self.decoder(embeddings, self.backbone.get_input_embeddings()(tokens), seen)
                losses.append(self.head(decoded[predicted], tokens[predicted]))
        return torch.stack(losses)
