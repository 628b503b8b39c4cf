"""Teachers: models that say how well documents answer a query, or what texts' embeddings are, for another model to learn."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch
from tqdm import tqdm
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from .batching import by_length
from .candidates import candidates
from .contract import weights_digest
from .contract_settings import BiEncoderTeacher
from .encoder import CPU_TOKENS, GPU_TOKENS, Encoder
from .errors import AscentError
from .model import longest_input, precision_dtype
from .settings import Teaching
from .tokenised import distinct_texts

# Pairs or texts that are tokenised, or whose embeddings are multiplied, at a time: 100,000 of 500 tokens are 400 MB.
CHUNK = 100_000


def score_candidates(teaching: Teaching, folder: Path, rows: pl.DataFrame) -> np.ndarray:
    """Return the teacher's score of each row's positive and negatives, one row after another: float32 (candidates,).

    folder: the teacher as it was retrieved. rows: see tokenised.training_rows.
    """
    pairs = candidates(rows)
    teacher = teaching.teacher
    if isinstance(teacher, BiEncoderTeacher):
        return _similarities(Encoder.of_backbone(folder, teacher), teaching.task, pairs)
    distinct = pairs.unique(maintain_order=True)  # a query with two answers asks twice of the same negatives
    scores = CrossEncoder(folder, max_tokens=teacher.max_tokens).score(distinct["query"], distinct["document"])
    scored = distinct.with_columns(score=pl.Series(scores))
    return pairs.join(scored, ["query", "document"], how="left", maintain_order="left")["score"].to_numpy()


def embed_texts(teaching: Teaching, folder: Path, rows: pl.DataFrame) -> np.ndarray:
    """Return the teacher's embeddings of the rows' distinct queries, then of their distinct documents, in the order in which they
    first come: float16 (texts, dimension). Only a bi-encoder has any.

    Raises AscentError when a number is too large for float16.
    """
    encoder = Encoder.of_backbone(folder, teaching.teacher)
    parts = []
    for side, texts in {"query": rows["query"], "document": candidates(rows)["document"]}.items():
        distinct, _ = distinct_texts(texts)
        for start in range(0, len(distinct), CHUNK):
            chunk = distinct[start : start + CHUNK].to_list()
            embeddings = encoder.encode(chunk, side=side, task=teaching.task, progress=True)
            if np.abs(embeddings).max() > np.finfo(np.float16).max:
                raise AscentError(f"{folder}: an embedding has a number above 65,504; set the teacher's normalise: true.")
            parts.append(embeddings.astype(np.float16))
    return np.concatenate(parts)


def _similarities(encoder: Encoder, task: str, pairs: pl.DataFrame) -> np.ndarray:
    """Return the inner product of each pair's embeddings."""
    embeddings, places = {}, {}
    for side in ("query", "document"):
        texts, places[side] = distinct_texts(pairs[side])
        embeddings[side] = encoder.encode(texts.to_list(), side=side, task=task, progress=True)
    scores = np.empty(len(pairs), dtype=np.float32)
    for start in range(0, len(pairs), CHUNK):
        part = slice(start, start + CHUNK)
        query, document = (embeddings[side][places[side][part]] for side in ("query", "document"))
        scores[part] = (query * document).sum(axis=1)
    return scores


class CrossEncoder:
    """A model for sequence classification with one label, which reads a query and a document together.

    Only safetensors are read, and no code of the folder is run. precision: see TrainStage.precision. tokens_per_batch: padded
    tokens that are read at a time. Raises AscentError when the folder holds another kind of model.
    """

    def __init__(self, folder: Path, *, max_tokens: int, precision: str = "auto", tokens_per_batch: int | None = None):
        if not (folder / "config.json").exists():
            raise AscentError(f"{folder}: holds no config.json, so it is no model folder; check the model's source.")
        weights_digest(folder)  # refuses a folder without safetensors
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.dtype = precision_dtype(precision, self.device)
        self.tokens_per_batch = tokens_per_batch or (CPU_TOKENS if self.device.type == "cpu" else GPU_TOKENS)
        self.folder, self.max_tokens = folder, max_tokens
        self.tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        model, loaded = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
        if loaded["missing_keys"]:
            raise AscentError(
                f"{folder}: has no weights for {min(loaded['missing_keys'])}, so it is no model for sequence classification; "
                "take a cross-encoder."
            )
        if model.config.num_labels != 1:
            raise AscentError(f"{folder}: gives {model.config.num_labels} logits, but a score is one; take another teacher.")
        longest = longest_input(model)
        if longest is not None and max_tokens > longest:
            raise AscentError(
                f"{folder}: takes at most {longest} tokens, but max_tokens is {max_tokens}; lower it in the recipe."
            )
        if model.config.pad_token_id is None:  # by which a decoder finds each row's last token
            model.config.pad_token_id = self.tokenizer.pad_token_id
        self.model = model.to(self.device).eval()

    @torch.inference_mode()
    def score(self, queries: Sequence[str], documents: Sequence[str]) -> np.ndarray:
        """Return the logit of each query with its document: float32 (pairs,).

        Raises AscentError when one is not finite.
        """
        scores = np.empty(len(queries), dtype=np.float32)
        with tqdm(total=len(queries), unit="pair", disable=None) as bar:
            for start in range(0, len(queries), CHUNK):
                texts = (list(side[start : start + CHUNK]) for side in (queries, documents))
                encoded = self.tokenizer(*texts, truncation=True, max_length=self.max_tokens)
                for batch in by_length([len(ids) for ids in encoded["input_ids"]], self.tokens_per_batch):
                    rows = {name: [values[i] for i in batch] for name, values in encoded.items()}
                    inputs = self.tokenizer.pad(rows, return_tensors="pt").to(self.device)
                    with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
                        logits = self.model(**inputs).logits
                    scores[start + batch] = logits[:, 0].float().cpu().numpy()
                    bar.update(len(batch))
        if not np.isfinite(scores).all():
            row = int(np.flatnonzero(~np.isfinite(scores))[0])
            raise AscentError(f"{self.folder}: the score of {documents[row][:60]!r} is not finite; take another teacher.")
        return scores
