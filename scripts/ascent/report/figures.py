"""The report's figures: training curves and the radar of scores.

Same numbers, same bytes: the SVG's ids come from a fixed salt, and no date is written.
"""

import json
import math
from collections import defaultdict
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
    """Draw the scores of each stage on each task, one spoke per task. `rows`: those of scores.tsv.

    The rings do not start at 0 if all scores are high; their labels give their values.
    """
    scores = defaultdict(dict)
    for row in rows:
        scores[row["stage"]][row["task"], row["metric"]] = row["score"]
    spokes = list(dict.fromkeys((row["task"], row["metric"]) for row in rows))
    with plt.rc_context(STYLE):
        figure = _draw_bars(spokes, scores) if len(spokes) < 3 else _draw_spokes(spokes, scores)
        _save(figure, outputs)


def _draw_spokes(spokes: list[tuple[str, str]], scores: dict[str, dict]):
    angles = np.linspace(0, 2 * np.pi, len(spokes), endpoint=False)
    lowest, highest = (limit(value for stage in scores.values() for value in stage.values()) for limit in (min, max))
    step = 0.1 if highest - lowest < 0.4 else 0.2
    # The centre is one ring below the lowest score, and below zero only if a correlation is negative.
    low = step * (math.floor(lowest / step) - 1)
    low = max(low, 0.0) if lowest >= 0 else low
    high = step * math.ceil(highest / step)
    figure = plt.figure(figsize=(8.2, 6.2))
    axis = figure.add_axes((0.2, 0.12, 0.6, 0.76), projection="polar")
    axis.spines["polar"].set_visible(False)
    axis.set_theta_offset(np.pi / 2)
    axis.set_theta_direction(-1)
    colours = stage_colours(list(scores))
    for stage, values in scores.items():
        line = [values.get(spoke, np.nan) for spoke in spokes]
        dashes = "--" if colours[stage] == BASELINE else "-"
        style = {"color": colours[stage], "linewidth": 1.8, "marker": "o", "markersize": 3.5}
        axis.plot([*angles, angles[0]], [*line, line[0]], dashes, label=stage, **style)
    axis.set_ylim(low, high)
    rings = np.arange(low, high + step / 2, step)
    # Between the first two spokes, away from the points.
    axis.set_rgrids(
        rings,
        labels=[f"{ring:.1f}" for ring in rings],
        angle=np.degrees(angles[1]) / 2,
        fontsize=8,
        color="#777777",
    )
    axis.set_xticks(angles, labels=[])
    for angle, (task, metric) in zip(angles, spokes, strict=True):
        across, up = np.sin(angle), np.cos(angle)
        side = "center" if abs(across) < 0.15 else ("left" if across > 0 else "right")
        upright = "bottom" if up > 0.85 else ("top" if up < -0.85 else "center")
        text = f"{task}\n{metric_name(metric)}"
        axis.text(
            angle,
            low + (high - low) * 1.06,
            text,
            ha=side,
            va=upright,
            fontsize=9,
            linespacing=1.4,
            color="#333333",
        )
    figure.legend(*axis.get_legend_handles_labels(), loc="lower center", ncols=min(6, len(scores)))
    return figure


def _draw_bars(spokes: list[tuple[str, str]], scores: dict[str, dict]):
    # One or two spokes span no area.
    figure, axis = plt.subplots(figsize=(2.5 + 2.5 * len(spokes), 4.6), layout="constrained")
    colours, width = stage_colours(list(scores)), 0.8 / len(scores)
    for i, (stage, values) in enumerate(scores.items()):
        places = np.arange(len(spokes)) + (i - (len(scores) - 1) / 2) * width
        axis.bar(
            places,
            [values.get(spoke, np.nan) for spoke in spokes],
            width * 0.9,
            color=colours[stage],
            label=stage,
        )
    axis.set_xticks(range(len(spokes)), [f"{task}\n{metric_name(metric)}" for task, metric in spokes])
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
            figure.savefig(temporary, metadata=dateless, dpi=160, facecolor="white", bbox_inches="tight", pad_inches=0.15)
    plt.close(figure)
