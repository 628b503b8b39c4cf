"""What others compute with the released folder, compared with what was evaluated: sentence-transformers, and mteb's
wrapper."""

from pathlib import Path

import mteb
import numpy as np
import torch
from datasets import Dataset
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import SentenceTransformerEncoderWrapper
from mteb.types import PromptType
from torch.utils.data import DataLoader

from ..errors import AscentError
from ..evaluation.model import EvaluatedModel, prompt_of
from ..evaluation.tasks import local_metadata
from ..model.encoder import Encoder
from ..model.prompts import named_prompts, prompts_of_tasks
from ..settings.evaluation import Evaluate, TaskSettings

# Largest difference between the released folder's outputs and the evaluated ones, relative to the largest number or to
# 1.
TOLERANCE = 1e-5
PROBES = (
    "short",
    "What does a term life policy cover?",
    "A longer text, cut at the end if it must be. " * 60,
)
SIDES = (None, *PromptType)


def open_as_mteb(folder: Path, encoder: Encoder) -> SentenceTransformerEncoderWrapper:
    """Return mteb's wrapper of a model folder, which loads it by plain sentence-transformers."""
    # Any code in the folder is our own, from write_code.
    trusted = encoder.contract.heads.need_code
    return SentenceTransformerEncoderWrapper(str(folder), device=str(encoder.device), trust_remote_code=trusted)


def descriptions(evaluated: Evaluate, names: list[str]) -> list[TaskMetadata]:
    """Return mteb's descriptions of a recipe's tasks, in place of an aggregate those of its parts."""
    found = []
    for name in names:
        if name in evaluated.tasks:
            found.append(local_metadata(TaskSettings(name=name, task=evaluated.tasks[name]), "none"))
        else:
            task = mteb.get_task(name)
            found += [part.metadata for part in task.metadata.tasks] if task.is_aggregate else [task.metadata]
    return found


def largest_difference(
    folder: Path, encoder: Encoder, wrapper: SentenceTransformerEncoderWrapper, tasks: list[TaskMetadata]
) -> float:
    """Return the largest difference between the embeddings that mteb's wrapper gives and those that were evaluated,
    over probes, every task and every side that mteb may give a text.

    Raises AscentError if one is above the tolerance.
    """
    ours, largest, seen = EvaluatedModel(encoder, "ascent/released"), 0.0, set()
    inputs = DataLoader(Dataset.from_dict({"text": list(PROBES)}), batch_size=len(PROBES))
    for task in tasks:
        for side in SIDES:
            theirs = (wrapper.model_prompts or {}).get(wrapper.get_prompt_name(task, side))
            prompts = prompt_of(encoder.contract, task, side), theirs, side
            if prompts in seen:
                continue
            seen.add(prompts)
            options = {"task_metadata": task, "hf_split": "test", "hf_subset": "default", "prompt_type": side}
            mine, other = (np.asarray(model.encode(inputs, **options)) for model in (ours, wrapper))
            what = f"{task.name}, {f'side {side.value}' if side else 'no side'}"
            largest = max(largest, _difference(folder, f"embeddings by mteb ({what})", mine, other))
    return largest


def check_outputs(folder: Path, encoder: Encoder, plain) -> None:
    """Raise AscentError unless SentenceTransformer(folder) has every prompt by name, and gives the encoder's outputs by
    each of a side or a task type, token-level ones included."""
    heads, special = encoder.contract.heads.per_token, torch.tensor(encoder.tokenizer.all_special_ids)
    # Of some hundred prompts by task, those of evaluated tasks are embedded by mteb's wrapper.
    of_tasks = prompts_of_tasks(encoder.contract)
    if different := [name for name, prompt in of_tasks.items() if plain.prompts.get(name) != prompt]:
        raise AscentError(
            f"{folder}: the prompt '{different[0]}' is not the one that ascent.json says; build the model again."
        )
    named = {name: prompt for name, prompt in sorted(named_prompts(encoder.contract).items()) if name not in of_tasks}
    names = {(prompt, plain.prompts.get(name)): name for name, prompt in named.items()}
    for (prompt, _), name in names.items():
        ours = encoder.encode_tokens(PROBES, heads, prompt=prompt)
        theirs = plain.encode(list(PROBES), prompt_name=name, output_value=None)
        parts = [torch.stack([text["sentence_embedding"] for text in theirs])]
        for head in heads:
            key, per_text = encoder.model.heads[head].module_output_name, []
            for text, length in zip(theirs, ours.tokens.lengths.tolist(), strict=True):
                tokens = text["attention_mask"].bool() & ~torch.isin(text["input_ids"], special.to(text["input_ids"]))
                per_text.append(text[key][tokens][int(tokens.sum()) - length :])  # without a prompt that is not pooled
            parts.append(torch.cat(per_text))
        for what, mine, other in zip(("embeddings", *heads), ours.parts, parts, strict=True):
            _difference(folder, f"{what} ({name})", mine.cpu().numpy(), other.cpu().numpy())


def _difference(folder: Path, what: str, mine: np.ndarray, other: np.ndarray) -> float:
    difference = float(np.abs(mine - other).max())
    if not difference <= TOLERANCE * max(1.0, float(np.abs(mine).max())):
        raise AscentError(
            f"{folder}: sentence-transformers' {what} differ by {difference:.1e} from the evaluated ones, because its"
            " modules, prompts or precision disagree with ascent.json; build the model again."
        )
    return difference
