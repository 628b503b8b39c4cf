"""An Ascent model as an encoder of mteb: prompts from the contract, with a name and a revision."""

import numpy as np
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models.abs_encoder import AbsEncoder, get_prompt_name
from mteb.models.model_meta import ModelMeta, ScoringFunction
from mteb.types import OutputDType, PromptType

from ..model.encoder import Encoder
from ..model.prompts import named_prompts
from ..settings.model import Contract


def model_meta(encoder: Encoder, name: str, **further) -> ModelMeta:
    """Return mteb's description of a model. Its revision is the digest of its weights, truncated to a commit's length.

    `further`: other fields of mteb's ModelMeta (license, languages, adapted_from, ...).
    """
    similarity = ScoringFunction.COSINE if encoder.contract.similarity == "cosine" else ScoringFunction.DOT_PRODUCT
    fields = {
        "name": name,
        "revision": encoder.digest[:40],
        "embed_dim": encoder.model.dimension,
        "n_parameters": sum(weight.numel() for weight in encoder.model.parameters()),
        "max_tokens": encoder.contract.max_tokens.longest,
        "similarity_fn_name": similarity,
        "use_instructions": any(named_prompts(encoder.contract).values()),
        "framework": ["Sentence Transformers", "PyTorch", "Transformers", "safetensors"],
        "open_weights": True,
        "output_dtypes": OutputDType.FLOAT32,
    }
    return ModelMeta.create_empty(fields | further)


def prompt_of(contract: Contract, task: TaskMetadata, side: PromptType | None) -> str:
    """Return the prompt of a text of a task of mteb: what mteb's own wrapper of the model's folder finds there."""
    prompts = named_prompts(contract)
    return prompts.get(get_prompt_name(prompts, task, side), "")


def prompt_used(task: TaskMetadata, texts: str, prompt: str) -> str:
    """Return the line of a log that says which prompt some texts of a task have."""
    return f"{task.name}, {texts}: {f'the prompt {prompt!r}' if prompt else 'no prompt'}"


class EvaluatedModel(AbsEncoder):
    """mteb's encoder protocol for an Encoder. mteb computes similarities, by the contract's similarity function."""

    def __init__(self, encoder: Encoder, name: str) -> None:
        self.encoder = encoder
        self.mteb_model_meta = model_meta(encoder, name)
        self._told: set[str] = set()

    def encode(
        self,
        inputs,
        *,
        task_metadata: TaskMetadata,
        hf_split,
        hf_subset,
        prompt_type: PromptType | None = None,
        **options,
    ) -> np.ndarray:
        """Return the embeddings of a data loader's texts, float32 (texts, dimension)."""
        texts = [text for batch in inputs for text in batch["text"]]
        kind = {PromptType.query: "queries", PromptType.document: "documents"}.get(prompt_type, "texts")
        prompt = prompt_of(self.encoder.contract, task_metadata, prompt_type)
        if (told := prompt_used(task_metadata, kind, prompt)) not in self._told:
            self._told.add(told)
            print(told)
        return self.encoder.encode_with(prompt, texts, progress=f"{task_metadata.name}, {kind}")
