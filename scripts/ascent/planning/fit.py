"""Whether jobs fit the GPUs, and which settings make them fit."""

from collections.abc import Callable

from ..model.costs import Memory
from ..recipes.memory import PER_DOCUMENT, PER_PAIR, numbers_of_mining
from ..settings.training import Training
from ..training.schedule import smallest_batch
from .gpus import Machine, amount

# A checkpoint from this size on is noted, in bytes.
LARGE_CHECKPOINT = 10e9
# What loading takes of a node's memory is, too; jobs of rules/training.smk ask for 64 GB.
LARGE_LOAD = 50e9
# Bytes that dynamic negatives hold for each negative and row in each process.
PER_NEGATIVE, PER_ROW = 13, 16
# What such numbers may take without a note.
LARGE_NUMBERS = 4e9


def stage_warning(
    name: str, stage: Training, machine: Machine, max_tokens: int, memory: Callable[..., Memory]
) -> str | None:
    """Return a warning with the cheapest remedy if a stage does not fit the GPU; None if it fits.

    `memory(stage, **changes)`: the stage's memory with some of its settings changed.
    """
    limit, needed = machine.gpu.memory, memory(stage).total
    if needed <= limit:
        return None
    problem = (
        f"stage '{name}' needs {amount(needed, 'B')} per GPU at zero: {stage.zero}, the {machine.name} has"
        f" {amount(limit, 'B')}; "
    )
    for changes in remedies(stage, max_tokens):
        needed = memory(stage, **changes).total
        if needed <= limit:
            changed = ", ".join(f"{key}: {str(value).lower()}" for key, value in changes.items())
            return f"{problem}set {changed} to need {amount(needed, 'B')}."
    return f"{problem}no setting makes it fit: use more GPUs, GPUs with more memory, or a smaller batch_size."


def remedies(stage: Training, max_tokens: int) -> list[dict]:
    """Return changes of a stage's settings that save GPU memory, the fastest to train with first."""
    highest = 2 if stage.queue_size else 3
    single = [{"zero": zero} for zero in range(stage.zero + 1, highest + 1)]
    tokens = stage.token_budget
    while tokens // 2 >= max_tokens:
        tokens //= 2
        single.append({"mini_batch_tokens": tokens})
    single.append({"activation_checkpointing": True})
    together = {"zero": highest, "activation_checkpointing": True}
    combined = [dict(together)]
    last = [("offload_weights", "cpu")] if highest == 3 else []
    for key, value in (("mini_batch_tokens", tokens), ("offload_optimizer", "cpu"), *last):
        together[key] = value
        combined.append(dict(together))
    changes = [
        {key: value for key, value in change.items() if getattr(stage, key) != value} for change in single + combined
    ]
    return [change for change in changes if change]


def batch_warning(name: str, stage: Training, uses: list[int], processes: int) -> str | None:
    """Return a warning if the last batch has fewer rows than there are processes. `uses`: rows per data set, with
    repeats."""
    if stage.batch_tokens is not None:  # its batches are known once the texts are tokenised
        return None
    parts = uses if stage.batching == "by_dataset" else [sum(uses)]
    rows, last = min(((part, smallest_batch(part, stage)) for part in parts if part), key=lambda x: x[1])
    if last >= processes:
        return None
    return (
        f"stage '{name}' ends with a batch of {last} rows ({rows:,} in batches of {stage.batch_size}), which"
        f" {processes} processes cannot share; change batch_size or use fewer GPUs."
    )


def job_warning(job: str, memory: Memory, machine: Machine) -> str | None:
    """Return a warning if a job that does not train needs more memory than the GPU has."""
    if memory.total <= machine.gpu.memory:
        return None
    return (
        f"{job} needs {amount(memory.total, 'B')}, the {machine.name} has {amount(machine.gpu.memory, 'B')}; "
        "use a GPU with more memory or a smaller model."
    )


def checkpoint_note(name: str, size: float) -> str | None:
    """Return a note on the disk that a stage's checkpoints of `size` bytes take, if it is much."""
    if size < LARGE_CHECKPOINT:
        return None
    return (
        f"Stage {name} writes checkpoints of {amount(size, 'B')}; {amount(3 * size, 'B')} of disk hold two and the one"
        f" that is being written, and {amount(size, 'B')} more a conversion for another number of GPUs."
    )


def reduction_note(name: str, stage: Training, machine: Machine, memory: Memory) -> str | None:
    """Return a note if a stage that shards gradients or weights fits without. memory: its own at zero: 1."""
    if stage.zero < 2 or memory.total > machine.gpu.memory:
        return None
    return (
        f"Stage {name} fits at zero: 1, too, where gradients are reduced once a step; at zero: {stage.zero}, where no"
        " process holds them whole, once a mini-batch."
    )


def loading_note(name: str, stage: Training, machine: Machine, parameters: int) -> str | None:
    """Return a note on a node's memory while a stage starts, if it is much."""
    size = 4 * parameters * machine.gpus
    if stage.zero == 3 or size < LARGE_LOAD:
        return None
    return (
        f"Stage {name} needs {amount(size, 'B')} of a node's memory to start, as each of its {machine.gpus} processes"
        " loads the model in float32; at zero: 3 one process loads it for all."
    )


def mining_note(name: str, dataset: str, documents: float, pairs: float) -> str | None:
    """Return a note on the memory in which mining for a stage keeps numbers of a data set, if it is much."""
    size = numbers_of_mining(documents, pairs)
    if size < LARGE_NUMBERS:
        return None
    return (
        f"Mining for {name}, {dataset} keeps {amount(size, 'B')} of numbers in memory, {PER_DOCUMENT} bytes for each of"
        f" {documents:,.0f} documents and {PER_PAIR} for each of {pairs:,.0f} pairs; its job asks for that much and"
        " more."
    )


def dynamic_note(name: str, rows: float, negatives: int, machine: Machine) -> str | None:
    """Return a note on a node's memory in which dynamic negatives keep scores, if it is much. negatives: of a row."""
    size = (PER_NEGATIVE * negatives + PER_ROW) * rows * machine.gpus
    if size < LARGE_NUMBERS:
        return None
    return (
        f"Stage {name} keeps {amount(size, 'B')} of numbers in a node's memory for mining.dynamic, {PER_NEGATIVE} bytes"
        f" for each negative and {PER_ROW} for each of {rows:,.0f} rows in each of its {machine.gpus} processes; give"
        " the stage more mem_mb than that in the profile's set-resources."
    )
