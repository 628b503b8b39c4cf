"""The report's figures: training curves and the radar of scores.

Same numbers, same bytes: the SVG's ids come from a fixed salt, and no date is written.
"""

import json
import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from ..errors import AscentError
from ..evaluation.mteb_names import metric_name
from ..files import write_atomically

# Okabe and Ito's palette, which colour-blind readers can distinguish. Grey is the baseline's.
BASELINE = "#8a8a8a"
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
STYLE = {
    "svg.hashsalt": "ascent",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9a9a9a",
    "axes.labelcolor": "#333333",
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "legend.frameon": False,
}
# The radar has no more spokes than this: mteb's largest benchmark has as many task types.
SPOKES = 9
# Curves drawn from metrics.jsonl: key, axis label.
CURVES = (
    ("loss", "loss (nats)"),
    ("learning_rate", "learning rate"),
    ("gradient_norm", "gradient norm"),
    ("development", "development score"),  # of stages that have one
)


def stage_colours(stages: list[str], baseline: str = "base") -> dict[str, str]:
    """Return a colour per stage, the same in every figure. Colours repeat after six stages."""
    trained = dict.fromkeys(stage for stage in stages if stage != baseline)
    return {baseline: BASELINE} | {stage: PALETTE[i % len(PALETTE)] for i, stage in enumerate(trained)}


def draw_curves(metrics: dict[str, Path], outputs: list[Path]) -> None:
    """Draw loss, learning rate, gradient norm and development score over the steps, one column per stage.

    `metrics`: metrics.jsonl by stage, in the order of training. Raises AscentError for a file without steps.
    """
    stages = {stage: _read_metrics(path) for stage, path in metrics.items()}
    colours = stage_colours(list(stages))
    curves = [(key, label) for key, label in CURVES if any(key in step for steps in stages.values() for step in steps)]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            *(len(curves), len(stages)),
            figsize=(1.2 + 3.9 * len(stages), 2.2 * len(curves)),
            sharex="col",
            squeeze=False,
            layout="constrained",
        )
        for column, (stage, steps) in enumerate(stages.items()):
            axes[0, column].set_title(stage)
            axes[-1, column].set_xlabel("step")
            for row, (key, label) in enumerate(curves):
                axis = axes[row, column]
                points = [(step["step"], step[key]) for step in steps if step.get(key) is not None]
                if not points:
                    axis.set_axis_off()
                    continue
                marker = "o" if len(points) < 3 else None
                axis.plot(
                    *zip(*points, strict=True),
                    color=colours[stage],
                    linewidth=1.6,
                    marker=marker,
                    markersize=4,
                )
                axis.set_ylim(bottom=0)
                axis.xaxis.get_major_locator().set_params(integer=True)
                axis.ticklabel_format(axis="y", style="sci", scilimits=(-3, 4), useMathText=True)
                if not any(drawn.get_ylabel() for drawn in axes[row]):  # the first stage that has this curve
                    axis.set_ylabel(label)
        figure.align_ylabels()
        _save(figure, outputs)


def draw_radar(rows: list[dict], outputs: list[Path]) -> None:
    """Draw the scores of each stage by task type: the mean over a type's tasks, of those that all stages have.

    Where the tasks are of one or two types, each task is drawn, if these are few. Bars are drawn for what a radar
    cannot show. `rows`: those of scores.tsv."""
    spokes = spokes_of(rows)
    scores = {stage: [spoke.scores[stage] for spoke in spokes] for stage in dict.fromkeys(row["stage"] for row in rows)}
    labels = [f"{spoke.name}\n{spoke.what}" for spoke in spokes]
    with plt.rc_context(STYLE):
        _save((_draw_bars if len(spokes) < 3 else _draw_spokes)(labels, scores), outputs)


@dataclass(frozen=True)
class Spoke:
    """A spoke of the radar: its name, what is drawn along it, and each stage's score, NaN where it has none."""

    name: str
    what: str
    scores: dict[str, float]


def spokes_of(rows: list[dict]) -> list[Spoke]:
    """Return at most SPOKES spokes: task types, the rarest together if there are more; tasks where types are one or
    two."""
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    tasks: dict[str, dict[str, dict]] = defaultdict(dict)
    for row in rows:
        tasks[row["task"]][row["stage"]] = row
    names = {task: next(iter(cells.values()))["type"] for task, cells in tasks.items()}
    counts = Counter(names.values())
    if len(counts) < 3 and len(tasks) <= SPOKES:
        names = {task: task for task in tasks}
    elif len(counts) > SPOKES:
        kept = {name for name, _ in counts.most_common(SPOKES - 1)}
        names = {task: name if name in kept else "Other types" for task, name in names.items()}
    members = defaultdict(list)
    for task, name in names.items():
        members[name].append(tasks[task])
    spokes = []
    for name, of_type in members.items():
        common = [cells for cells in of_type if len(cells) == len(stages)] or of_type
        metrics = {metric_name(row["metric"]) for cells in common for row in cells.values()}
        what = metrics.pop() if len(metrics) == 1 else "main scores"
        means = {stage: [cells[stage]["score"] for cells in common if stage in cells] for stage in stages}
        spokes.append(
            Spoke(
                name=name,
                what=what if name in tasks else f"{what}, {len(common)} task{'s' if len(common) > 1 else ''}",
                scores={stage: sum(values) / len(values) if values else math.nan for stage, values in means.items()},
            )
        )
    return spokes


def _draw_spokes(labels: list[str], scores: dict[str, list[float]]):
    angles = np.linspace(0, 2 * np.pi, len(labels), endpoint=False)
    lowest, highest = np.nanmin(list(scores.values())), np.nanmax(list(scores.values()))
    step = 0.1 if highest - lowest < 0.4 else 0.2
    # The centre is one ring below the lowest score, and below zero only if a correlation is negative.
    low = step * (math.floor(lowest / step + 1e-9) - 1)
    low = max(low, 0.0) if lowest >= 0 else low
    high = step * math.ceil(highest / step - 1e-9)
    figure = plt.figure(figsize=(8.2, 6.6))
    axis = figure.add_axes((0.2, 0.16, 0.6, 0.72), projection="polar")
    axis.spines["polar"].set_visible(False)
    axis.set_theta_offset(np.pi / 2)
    axis.set_theta_direction(-1)
    colours = stage_colours(list(scores))
    for stage, values in scores.items():
        dashes = "--" if colours[stage] == BASELINE else "-"
        style = {"color": colours[stage], "linewidth": 1.8, "marker": "o", "markersize": 3.5}
        axis.plot([*angles, angles[0]], [*values, values[0]], dashes, label=stage, **style)
    axis.set_ylim(low, high)
    rings = np.arange(low + step, high + step / 2, step)
    # Between the first two spokes, away from the points.
    place = {"angle": np.degrees(angles[1]) / 2, "fontsize": 8, "color": "#777777"}
    place["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8}
    axis.set_rgrids(rings, labels=[f"{ring:.1f}" for ring in rings], **place)
    axis.set_xticks(angles, labels=[])
    axis.plot(0, low, marker="o", markersize=2.5, color="#777777", clip_on=False)
    axis.annotate(f"{low + 0.0:.1f}", (0, low), (3, -9), textcoords="offset points", fontsize=8, color="#777777")
    for angle, label in zip(angles, labels, strict=True):
        across, up = np.sin(angle), np.cos(angle)
        side = "center" if abs(across) < 0.15 else ("left" if across > 0 else "right")
        upright = "bottom" if up > 0.85 else ("top" if up < -0.85 else "center")
        style = {"fontsize": 9, "linespacing": 1.4, "color": "#333333"}
        axis.text(angle, low + (high - low) * 1.06, label, ha=side, va=upright, **style)
    figure.legend(
        *axis.get_legend_handles_labels(), loc="lower center", ncols=min(6, len(scores)), bbox_to_anchor=(0.5, 0.03)
    )
    scale = f"The centre is {low + 0.0:.1f}, the rings are {step:.1f} apart, the outermost is {high:.1f}."
    figure.text(0.5, 0.02, scale, ha="center", fontsize=8.5, color="#555555")
    return figure


def _draw_bars(labels: list[str], scores: dict[str, list[float]]):
    # One or two spokes span no area.
    figure, axis = plt.subplots(figsize=(2.5 + 2.5 * len(labels), 4.6), layout="constrained")
    colours, width = stage_colours(list(scores)), 0.8 / len(scores)
    for i, (stage, values) in enumerate(scores.items()):
        places = np.arange(len(labels)) + (i - (len(scores) - 1) / 2) * width
        axis.bar(places, values, width * 0.9, color=colours[stage], label=stage)
    axis.set_xticks(range(len(labels)), labels)
    axis.set_ylabel("score")
    axis.grid(axis="x", visible=False)
    figure.legend(loc="outside lower center", ncols=min(4, len(scores)))
    return figure


def _read_metrics(path: Path) -> list[dict]:
    try:
        steps = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise AscentError(f"{path}: cannot be read ({error}); train the stage again.") from None
    if not steps:
        raise AscentError(f"{path}: has no steps; train the stage again.")
    return steps


def _save(figure, outputs: list[Path]) -> None:
    for output in outputs:
        dateless = {"Date": None} if output.suffix == ".svg" else {"Software": None}
        with write_atomically(output) as temporary:
            figure.savefig(
                temporary, metadata=dateless, dpi=160, facecolor="white", bbox_inches="tight", pad_inches=0.15
            )
    plt.close(figure)
