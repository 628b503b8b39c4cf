"""How a stage that does not fit a GPU can be made to fit."""

from ..settings.training import Training


def mends(stage: Training, max_tokens: int) -> list[dict]:
    """Return changes of a stage's settings that take memory off the GPU, the cheapest in time first."""
    highest = 2 if stage.queue else 3
    single = [{"zero": zero} for zero in range(stage.zero + 1, highest + 1)]
    tokens = stage.mini_batch_tokens
    while tokens // 2 >= max_tokens:
        tokens //= 2
        single.append({"mini_batch_tokens": tokens})
    single.append({"activation_checkpointing": True})
    together = {"zero": highest, "activation_checkpointing": True}
    grown = [dict(together)]
    last = [("offload_weights", "cpu")] if highest == 3 else []
    for key, value in (("mini_batch_tokens", tokens), ("offload_optimizer", "cpu"), *last):
        together[key] = value
        grown.append(dict(together))
    changes = [{key: value for key, value in change.items() if getattr(stage, key) != value} for change in single + grown]
    return [change for change in changes if change]
