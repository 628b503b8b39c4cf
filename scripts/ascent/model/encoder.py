"""Texts to embeddings with a model folder, by its contract."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from ..errors import AscentError
from ..progress import PATIENCE, Progress
from ..settings.model import Backbone, Contract
from .adoption.own_contract import told
from .adoption.statements import own_pooling
from .backbone import load_backbone
from .batching import prompt_length, tokenise
from .contract import read_contract, refuse_difference
from .costs import ENCODER_TOKENS, encoder_tokens
from .device import find_device
from .embedding_model import EmbeddingModel
from .heads import load_heads, refuse_others
from .precision import precision_dtype
from .prompt_checks import refuse_prompts
from .saving import check_tokenizer
from .shape import read_shape
from .token_scores import Encoded, TokenOutputs

Side = Literal["query", "document"]
# On a CPU small batches stay in cache.
CPU_TOKENS = 2048
# Texts whose tokens are in memory together.
CHUNK_TEXTS = 100_000


def tokens_at_once(folder: Path, device: torch.device, precision: str) -> int:
    """Return how many tokens of texts a folder's model embeds at a time on a device: on a GPU as many as there is room
    for, see costs.encoder_tokens."""
    if device.type == "cpu":
        return CPU_TOKENS
    with suppress(AscentError):  # of a model of unknown shape the memory is not known
        return encoder_tokens(
            read_shape(folder), precision, float(torch.cuda.get_device_properties(device).total_memory)
        )
    return ENCODER_TOKENS


class Encoder:
    """A model folder, ready to embed. `contract` is how it was trained; `digest` identifies its weights.

    `expected`: the contract of the recipe; a folder with another one is rejected.
    `precision`: see Contrastive.precision. `tokens_per_batch`: tokens that are embedded at a time.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        expected: Contract | None = None,
        precision: Literal["auto", "float32", "bfloat16"] = "auto",
        tokens_per_batch: int | None = None,
    ):
        contract, document = read_contract(folder)
        if expected is not None:
            refuse_difference(contract, expected, folder)
        backbone, tokenizer = load_backbone(folder, contract)
        check_tokenizer(tokenizer, document["tokenizer_digest"], folder)
        self._set(backbone, tokenizer, contract, document["weights_digest"], folder, precision, tokens_per_batch)

    @classmethod
    def of_backbone(cls, folder: str | Path, backbone: Backbone, precision: str = "auto") -> "Encoder":
        """Return an encoder for a retrieved folder, used as the recipe says: a teacher.

        Raises AscentError if the folder has a layer that the recipe lacks, or another pooling.
        """
        self, pooling = cls.__new__(cls), own_pooling(folder)
        refuse_others(folder, backbone)
        if pooling not in (None, backbone.pooling):
            raise AscentError(
                f"{folder}: pools by {pooling}, but the recipe's teacher by {backbone.pooling}; set its pooling."
            )
        contract = Contract(**backbone.model_dump(include=set(Contract.model_fields)))
        loaded, tokenizer = load_backbone(folder, contract)
        for difference in told(folder, backbone, tokenizer.backend_tokenizer):
            print(f"warning: {difference}")
        refuse_prompts(contract, tokenizer.backend_tokenizer, folder)
        self._set(loaded, tokenizer, contract, "", folder, precision, None)
        return self

    def _set(self, backbone, tokenizer, contract, digest, folder, precision, tokens_per_batch) -> None:
        self.device = find_device()
        self.tokens_per_batch = tokens_per_batch or tokens_at_once(Path(folder), self.device, precision)
        dtype = precision_dtype(precision, self.device)
        heads = load_heads(folder, contract, backbone.config.hidden_size)
        self.model = EmbeddingModel(backbone, contract, dtype, heads, tokenizer.all_special_ids).to(self.device).eval()
        self.tokenizer, self.contract, self.digest, self.folder = tokenizer, contract, digest, folder

    def encode(
        self, texts: Sequence[str], *, side: Side, task: str, progress: str | Progress | None = None
    ) -> np.ndarray:
        """Return float32 embeddings of shape (texts, dimension), with the contract's prompt and length for the side and
        the task, as `encode_with`: what training makes of the texts."""
        longest = getattr(self.contract.lengths(task), side)
        return self.encode_with(self.contract.prompt(side, task), texts, longest=longest, progress=progress)

    @torch.inference_mode()
    def encode_with(
        self,
        prompt: str | Sequence[str],
        texts: Sequence[str],
        *,
        longest: int | None = None,
        progress: str | Progress | None = None,
    ) -> np.ndarray:
        """Return float32 embeddings of shape (texts, dimension), with a prompt, or with one for each text, of at most
        `longest` tokens; by default the contract's larger length, to which the folder truncates elsewhere.

        Texts are embedded longest first, in batches of neighbours in length, so that little is padded; of many texts
        one chunk after another, while the next one is tokenised. progress: what they are, for a bar in the terminal or
        lines in a log; or one that counts the texts of several calls. Raises AscentError if an embedding is not
        finite."""
        # A repeated text is embedded once: mteb passes an STS set of 50 texts as 2,450.
        prompted = list(zip([prompt] * len(texts) if isinstance(prompt, str) else prompt, texts, strict=True))
        place = {text: index for index, text in enumerate(dict.fromkeys(prompted))}
        places = np.array([place[text] for text in prompted], dtype=np.int64)
        times = np.bincount(places, minlength=len(place))
        distinct = np.zeros((len(place), self.model.dimension), dtype=np.float32)
        named = isinstance(progress, str)
        with Progress(progress, len(texts), "text", patience=PATIENCE) if named else nullcontext(progress) as shown:
            for start, rows, skipped in self._chunks(list(place), longest):
                for batch, outputs in self._batches(rows, skipped):
                    distinct[start + batch] = outputs[0].float().cpu().numpy()
                    if shown:
                        shown.advance(int(times[start + batch].sum()))
        embeddings = distinct[places]
        self._refuse_infinite(np.isfinite(embeddings).all(axis=1), texts)
        return embeddings

    @torch.inference_mode()
    def encode_tokens(self, texts: Sequence[str], heads: Sequence[str], *, prompt: str) -> Encoded:
        """Return the embeddings, as `encode_with`, and the outputs of these token-level heads, on this encoder's
        device."""
        rows, skipped = self._rows([(prompt, text) for text in texts])
        counted = [torch.from_numpy(mask).to(self.device) for mask in self.model.counted(rows, skipped)]
        by_text: dict[int, list[torch.Tensor]] = {}
        for batch, (embeddings, *per_token) in self._batches(rows, skipped):
            by_head = dict(zip(self.contract.heads.per_token, per_token, strict=True))
            rows_by_head = [by_head[head].split([len(rows[index]) for index in batch]) for head in heads]
            for place, index in enumerate(batch):
                by_text[index] = [embeddings[place, None], *(parts[place][counted[index]] for parts in rows_by_head)]
        parts = zip(*(by_text[index] for index in range(len(rows))), strict=True)
        embeddings, *outputs = (torch.cat(part) for part in parts)
        ids = np.concatenate([row[mask.cpu().numpy()] for row, mask in zip(rows, counted, strict=True)])
        tokens = TokenOutputs(
            lengths=torch.stack([mask.sum() for mask in counted]),
            ids=torch.from_numpy(ids).long().to(self.device),
            outputs=dict(zip(heads, outputs, strict=True)),
        )
        sums = torch.stack([sum(part.sum() for part in by_text[index]) for index in range(len(rows))])
        self._refuse_infinite(sums.isfinite().cpu().numpy(), texts)
        return Encoded(embeddings=embeddings, tokens=tokens)

    def _refuse_infinite(self, finite: np.ndarray, texts: Sequence[str]) -> None:
        if not finite.all():
            text = texts[int(np.flatnonzero(~finite)[0])]
            raise AscentError(
                f"{self.folder}: the embedding of {text[:60]!r} is not finite; train it again in float32."
            )

    def _chunks(
        self, texts: Sequence[tuple[str, str]], longest: int | None
    ) -> Iterator[tuple[int, list[np.ndarray], list[int]]]:
        """Yield where a chunk of the (prompt, text) begins, and what _rows returns for it; the next one is already
        being made."""
        starts = range(0, len(texts), CHUNK_TEXTS)
        with ThreadPoolExecutor(1) as pool:
            made = (pool.submit(self._rows, texts[start : start + CHUNK_TEXTS], longest) for start in starts)
            coming = next(made, None)
            for start in starts:
                rows = coming.result()
                coming = next(made, None)
                yield start, *rows

    def _rows(self, texts: Sequence[tuple[str, str]], longest: int | None = None) -> tuple[list[np.ndarray], list[int]]:
        """Return the tokens of each (prompt, text), and how many of them at the beginning are not pooled."""
        longest = longest or self.contract.max_tokens.longest
        prompts, pooled = [prompt for prompt, _ in texts], self.contract.pool_prompt
        skipped = {
            prompt: 0 if pooled else prompt_length(self.tokenizer, prompt, longest) for prompt in dict.fromkeys(prompts)
        }
        prompted = [prompt + text for prompt, text in texts]
        return tokenise(self.tokenizer, prompted, "", longest), [skipped[prompt] for prompt in prompts]

    def _batches(
        self, rows: list[np.ndarray], skipped: list[int]
    ) -> Iterator[tuple[np.ndarray, tuple[torch.Tensor, ...]]]:
        """Yield rows' indexes and the model's outputs for them."""
        pad_id = self.tokenizer.pad_token_id or 0
        for batch in self.model.mini_batches([len(row) for row in rows], self.tokens_per_batch):
            tokens, left_out = ([values[index] for index in batch] for values in (rows, skipped))
            yield batch, self.model(**self.model.inputs(tokens, pad_id, self.device, left_out))
