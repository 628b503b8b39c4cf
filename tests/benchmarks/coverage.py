"""How often intervals hold the truth, and how often equal models differ, where texts recur among the pairs of an STS
task.

    python tests/benchmarks/coverage.py --shape complete --texts 50 --runs 1000

Intervals of 95 % should hold the truth in 95 % of the runs, and p be below .05 in 5 % of them. Printed for resampling
and exchanging texts, as Ascent does, and for pairs, as if no two shared a text."""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[2] / "scripts"), str(Path(__file__).parents[1])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--shape", choices=["complete", "sparse", "star", "apart"], default="complete", help="see support"
    )
    parser.add_argument("--texts", type=int, default=50)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--resamples", type=int, default=2000)
    options = parser.parse_args()

    from ascent.evaluation import statistics
    from ascent.evaluation.permutation import compare
    from support.recurring_texts import task, truth

    statistics.RESAMPLES = options.resamples
    expected = truth(options.shape)
    print(
        f"{options.shape}, {options.texts} texts, {options.runs} runs, {options.resamples} resamples; truth"
        f" {expected:.4f}"
    )
    for by in ("text", "pair"):
        held, held_difference, differ = 0, 0, 0
        for run in range(options.runs):
            models = task(options.shape, options.texts, np.random.default_rng([7, run]), by)
            own, differences = statistics.intervals(models)
            held += own[0][0] <= expected <= own[0][1]
            held_difference += differences[1][0] <= 0 <= differences[1][1]
            differ += compare(models)[0].p_value < 0.05
        shares = [count / options.runs for count in (held, held_difference, differ)]
        print(
            "by {}: the score's interval holds {:.3f}, the difference's {:.3f}; p < .05 in {:.3f}".format(by, *shares),
            flush=True,
        )


if __name__ == "__main__":
    main()
