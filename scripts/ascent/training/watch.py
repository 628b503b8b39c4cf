"""Whether a run learns anything: a loss of zero ends it, a loss at chance level is reported."""

from ..errors import AscentError
from .engine import StepResult

# A run ends if this many first steps have neither a loss nor a gradient.
EMPTY_STEPS = 10
# The loss is compared with chance ten times in a run, after the first fifth of it (warm-up is a tenth by default).
CHECKS, UNWATCHED = 10, 0.2
# It is at chance level above this share of it; that is reported after this many times in a row.
SHARE, TIMES = 0.95, 3


class Watch:
    """Watches the losses of a run of `steps` steps, beginning after step `start`. where: names the stage."""

    def __init__(self, where: str, start: int, steps: int):
        self._where, self._steps = where, steps
        self._empty = start == 0
        self._at_chance: list[int] = []

    def saw(self, step: int, result: StepResult) -> None:
        """Raise AscentError if the loss and its gradient were zero in all steps so far: nothing can be learned."""
        self._empty = self._empty and result.loss == 0 and result.gradient_norm == 0
        if self._empty and step >= min(EMPTY_STEPS, self._steps):
            raise AscentError(
                f"{self._where}: the loss and its gradient were 0 in each of the first {step} steps, so nothing is"
                " learned: the rows have no negatives (in_batch: false, and none of their own; or all texts equal), or"
                " nothing to predict, or the loss's margin is kept from the start; give the rows negatives, or use"
                " another objective."
            )

    def due(self, step: int) -> bool:
        """Return whether the loss of a step is to be compared with chance."""
        return step % max(1, self._steps // CHECKS) == 0 and step > UNWATCHED * self._steps

    def compare(self, step: int, loss: float, chance: float | None) -> str | None:
        """Return a warning when the loss was at chance several times in a row, once. chance: what it is while the model
        tells nothing apart, if that is known."""
        if not chance or loss < SHARE * chance:
            self._at_chance.clear()
            return None
        self._at_chance.append(step)
        if len(self._at_chance) != TIMES:
            return None
        steps = f"{', '.join(map(str, self._at_chance[:-1]))} and {step}"
        return (
            f"warning: {self._where}: the loss of steps {steps} was at chance, {chance:.2f}, the logarithm of the"
            " number of candidates: the model does not tell answers from other texts; check the pairs, learning rate"
            " and temperature."
        )
