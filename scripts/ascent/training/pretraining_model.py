"""What pre-training adds to a backbone and discards afterwards: heads that predict tokens."""

from typing import Any

import torch
from torch.nn.functional import cross_entropy, gelu, linear

from ..model.embedding_model import EmbeddingModel, pool

# Standard deviation of the first weights outside the backbone: BERT's initializer_range.
SPREAD = 0.02


def token_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the sum of the cross-entropies of logits (tokens, vocabulary) against int64 labels (tokens,): a scalar in
    float32 or float64, 0 if there are no tokens."""
    return cross_entropy(logits.to(torch.promote_types(logits.dtype, torch.float32)), labels, reduction="sum")


class TransformedHead(torch.nn.Module):
    """BERT's head for masked tokens: dense, GELU, norm, then the input embeddings as the output's, and a bias.

    The input embeddings are a parameter of this module as well, so that ZeRO 3 gathers them for it.
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
    """A language model's own head: its output embeddings, which are its input embeddings."""

    def __init__(self, words: torch.nn.Parameter):
        super().__init__()
        self.words = words

    def forward(self, states: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the sum of the losses of states (tokens, dimension), see token_losses."""
        return token_losses(linear(states, self.words), labels)


def initialise(*layers: torch.nn.Linear) -> None:
    """Initialise layers as BERT does."""
    for layer in layers:
        torch.nn.init.normal_(layer.weight, std=SPREAD)
        torch.nn.init.zeros_(layer.bias)


class PretrainingModel(torch.nn.Module):
    """A backbone with a head that predicts tokens, and optionally a decoder: masked rows of tokens in, summed losses
    out."""

    def __init__(self, embedder: EmbeddingModel, head: torch.nn.Module, decoder: torch.nn.Module | None = None):
        super().__init__()
        self.embedder, self.head, self.decoder = embedder, head, decoder
        self.heads.requires_grad_(False)

    @property
    def backbone(self) -> torch.nn.Module:
        """The part that is trained and kept."""
        return self.embedder.backbone

    @property
    def heads(self) -> torch.nn.ModuleDict:
        """What the model has between backbone and embedding: kept unchanged."""
        return self.embedder.heads

    def forward(
        self,
        places: torch.Tensor,
        labels: torch.Tensor,
        decoding: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None,
        **inputs: Any,
    ) -> torch.Tensor:
        """Return the sums of the losses of the head's predictions and, with a decoder, of the decoder's: (parts,).

        inputs: the masked texts, see EmbeddingModel.inputs. places: int64 (predictions,), the states that tokens are
        predicted from, counted over the tokens of all texts; labels: int64 (predictions,), these tokens. decoding: the
        unmasked texts' tokens, int64 (texts, longest), which of them the decoder predicts, bool, and which words each
        row sees, bool (texts, longest, longest).
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
