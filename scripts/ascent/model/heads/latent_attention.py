"""Latent attention (NV-Embed, Lee et al. 2024, arXiv 2405.17428, section 3.1), as a module of sentence-transformers.

Model folders that have it hold a copy of this file, so it imports nothing of Ascent.
"""

import torch

try:
    from sentence_transformers.base.modules import Module
except ImportError:  # before 5.4
    from sentence_transformers.models import Module


class LatentAttention(Module):
    """Token states attend to learned latents, and an MLP follows. With a token's state h and the array of latents L,

        h' = h + MultiHead(Q = norm(h), K = V = norm(L))
        out = h' + W2 gelu(W1 norm(h'))

    The residual sums and norms are those of Perceiver (arXiv 2103.03206); the paper's equation has neither. The last
    matrix of either sum is zero at first, so a new head leaves states as they are.
    """

    config_keys = ["width", "latents", "heads"]
    module_input_name = "token_embeddings"

    def __init__(self, width: int, latents: int = 512, heads: int = 8):
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads do not divide the backbone's {width} dimensions; give a divisor")
        self.width, self.latents, self.heads = width, latents, heads
        self.array = torch.nn.Parameter(torch.nn.init.normal_(torch.empty(latents, width), std=0.02))
        self.token_norm, self.latent_norm = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
        self.query = torch.nn.Linear(width, width, bias=False)
        self.key_value = torch.nn.Linear(width, 2 * width, bias=False)
        self.out = torch.nn.Linear(width, width, bias=False)
        self.mlp = torch.nn.Sequential(
            torch.nn.LayerNorm(width),
            torch.nn.Linear(width, 4 * width),
            torch.nn.GELU(),
            torch.nn.Linear(4 * width, width),
        )
        for tensor in (self.out.weight, self.mlp[-1].weight, self.mlp[-1].bias):
            torch.nn.init.zeros_(tensor)

    def forward(self, features: dict, **_) -> dict:
        """Replace features["token_embeddings"], (..., width)."""
        states = features["token_embeddings"]
        tokens = states.flatten(0, -2)  # each alone: a row's tokens meet in the pooling
        query, pairs = self.query(self.token_norm(tokens)), self.key_value(self.latent_norm(self.array))
        # To (1, heads, tokens or latents, dimension of a head), which the fused kernels take.
        split = (x.unflatten(-1, (self.heads, -1)).transpose(0, 1)[None] for x in (query, *pairs.chunk(2, -1)))
        attended = torch.nn.functional.scaled_dot_product_attention(*split)
        tokens = tokens + self.out(attended[0].transpose(0, 1).flatten(1))
        features["token_embeddings"] = (tokens + self.mlp(tokens)).view_as(states)
        return features

    def get_embedding_dimension(self) -> int:
        return self.width

    def save(self, output_path: str, *_, safe_serialization: bool = True, **__) -> None:
        self.save_config(output_path)
        self.save_torch_weights(output_path, safe_serialization=safe_serialization)

    @classmethod
    def load(cls, model_name_or_path: str, **options) -> "LatentAttention":
        names = ("subfolder", "token", "cache_folder", "revision", "local_files_only")
        where = {name: options[name] for name in names if name in options}
        model = cls(**cls.load_config(model_name_or_path, **where))
        return cls.load_torch_weights(model_name_or_path, model=model, **where)


def latent_attention(width: int, *, latents: int, heads: int) -> LatentAttention:
    return LatentAttention(width, latents, heads)
