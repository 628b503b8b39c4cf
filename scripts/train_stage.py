"""Train a stage on its data sets, with one process per GPU; each takes its share of every batch."""

import argparse
from pathlib import Path

from ascent.errors import AscentError, reports_errors
from ascent.settings.stages import StageSettings
from ascent.settings.training import Running
from ascent.settings.validation import load
from ascent.training.job.launch import launch
from ascent.training.job.preemption import StopRequest


@reports_errors
def main() -> int | None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="stage.yaml")
    parser.add_argument("--running", type=Path, required=True, help="running.yaml: loader, checkpoints and trackers")
    parser.add_argument("--parent", type=Path, required=True, help="model folder to start from")
    parser.add_argument("--tokens", type=Path, nargs="+", required=True, help="tokens of each data set")
    parser.add_argument("--output", type=Path, required=True, help="model folder to make")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics, one JSON line a step")
    parser.add_argument("--deepspeed", type=Path, required=True, help="DeepSpeed's configuration, as it was derived")
    parser.add_argument(
        "--revision", type=int, default=1, help="the rule's revision: another one ignores older checkpoints"
    )
    parser.add_argument("--nodes", type=int, default=1, help="nodes of this SLURM job; each is entered by srun")
    arguments = parser.parse_args()
    settings = load(StageSettings, arguments.settings)
    running = load(Running, arguments.running)
    names = list(settings.tasks)
    if len(arguments.tokens) != len(names):
        raise AscentError(f"{arguments.settings}: has {len(names)} data sets; give as many --tokens.")
    status = launch(arguments.nodes)
    if status is not None:
        return status
    stop = StopRequest()  # before the imports, which take seconds

    from ascent.training.loop import Task, train

    train(
        Task(
            settings=settings,
            running=running,
            parent=arguments.parent,
            tokens=dict(zip(names, arguments.tokens, strict=True)),
            model=arguments.output,
            metrics=arguments.metrics,
            deepspeed=arguments.deepspeed,
            revision=arguments.revision,
        ),
        stop,
    )
    return None


if __name__ == "__main__":
    raise SystemExit(main())
