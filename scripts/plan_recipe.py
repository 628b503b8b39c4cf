"""Print what a recipe will cost: tokens, FLOPs, memory and GPU-hours of each GPU job."""

import argparse
import sys
from pathlib import Path
from typing import Any

from ascent.errors import reports_errors
from ascent.planning.gpus import GPUS, Machine, amount
from ascent.planning.plan import Plan, make_plan
from ascent.planning.token_counts import SAMPLE
from ascent.recipes.loading import load_recipes, merged, read_files


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configfile", type=Path, nargs="*", default=[], help="files laid over the configuration")
    parser.add_argument("--recipe", default="demo", help="the recipe's name")
    parser.add_argument(
        "--trial", type=parsed, help="plan the recipe as this trial makes it: '{rows: 200, model: tiny}'"
    )
    parser.add_argument("--gpu", default="h100", help=", ".join(GPUS))
    parser.add_argument("--gpus", type=int, default=8, help="GPUs per node")
    parser.add_argument("--nodes", type=int, default=1, help="nodes per training job")
    parser.add_argument(
        "--utilisation", type=float, default=0.4, help="share of the GPU's peak that steps are assumed to reach"
    )
    options = parser.parse_args()
    machine = Machine(name=options.gpu, gpus=options.gpus, nodes=options.nodes, utilisation=options.utilisation)
    files = read_files(*options.configfile)
    config = merged(files) | {"recipes": [options.recipe]}
    config |= {"trial": options.trial} if options.trial else {}
    given = {"--recipe": {"recipes": [options.recipe]}, "--trial": {"trial": options.trial} if options.trial else {}}
    recipes = load_recipes(config, files, given)
    (name,) = recipes.recipes
    sys.stdout.write(text_of(make_plan(recipes, name, machine), name, machine))


def parsed(text: str) -> Any:
    """Return what YAML reads in a text."""
    import yaml  # not before Ascent's own modules, which say what to do if it is missing

    return yaml.safe_load(text)


def text_of(plan: Plan, recipe: str, machine: Machine) -> str:
    """Return the plan as text of at most 130 columns."""
    memory, peak = amount(machine.gpu.memory, "B"), amount(machine.gpu.bfloat16, "FLOP/s")
    lines = [
        f"Recipe {recipe} on {machine.processes} x {machine.name} (nodes: {machine.nodes}): {memory} and {peak} in"
        f" bfloat16 each, {machine.utilisation:.0%} of it assumed."
    ]
    for model, shape in plan.shapes.items():
        lines.append(
            f"Model {model}: {amount(shape.parameters)} parameters, {amount(shape.matrices)} of them in the layers'"
            " matrices."
        )

    rows = [["job", "", "jobs", "texts", "tokens", "FLOPs", "GPU-hours", "memory per GPU"]]
    for job in plan.jobs:
        numbers = [amount(job.count.texts), amount(job.count.tokens), amount(job.flops, "FLOP"), hours(job.hours)]
        rows.append([job.rule, job.what, str(job.runs), *numbers, amount(job.memory.total, "B")])
    total = [sum(getattr(job, name) for job in plan.jobs) for name in ("runs", "flops", "hours")]
    tokens = sum(job.count.tokens for job in plan.jobs)
    rows.append(["total", "", str(total[0]), "", amount(tokens), amount(total[1], "FLOP"), hours(total[2]), ""])
    lines += ["", *aligned(rows, left=2)]

    rows = [["memory per GPU", *(f"zero: {zero} " for zero in range(4))]]
    held = ("weights", "gradients", "optimizer", "buffers", "activations", "batch", "allowance")
    parts = [["* in the recipe, split into", *held]]
    for stage, memory in plan.memory.items():
        rows.append(
            [stage, *(amount(m.total, "B") + ("*" if zero == plan.zero[stage] else " ") for zero, m in memory.items())]
        )
        chosen = memory[plan.zero[stage]]
        parts.append([stage, *(amount(getattr(chosen, part), "B") for part in held)])
    if plan.memory:
        lines += ["", *aligned(rows), "", *aligned(parts)]

    if plan.written:
        rows = [["written by", "", "requests", "tokens of requests", "tokens of answers", "price"]]
        for corpus in plan.written:
            tokens = "unknown" if corpus.input_tokens is None else amount(corpus.input_tokens)
            price = "unknown" if corpus.price is None else f"{corpus.price:,.2f}"
            rows.append(
                [corpus.generator, corpus.corpus, f"{corpus.requests:,}", tokens, amount(corpus.output_tokens), price]
            )
        lines += [
            "",
            *aligned(rows, left=2),
            "Answers that are asked for again are not counted, nor those that are kept already.",
        ]

    lines += [
        "",
        f"Token counts are estimated from {SAMPLE:,} texts of each kind, drawn with a fixed seed.",
        "train_* jobs use all GPUs, other jobs one each. Job start, reading and writing are not counted.",
    ]
    lines += [*plan.notes, *(f"warning: {warning}" for warning in plan.warnings)]
    return "\n".join(lines) + "\n"


def aligned(rows: list[list[str]], left: int = 1) -> list[str]:
    """Return a table's lines: the first `left` columns flush left, the others right, a rule below the header."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rows = [rows[0], ["-" * width for width in widths], *rows[1:]]
    return [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def hours(value: float) -> str:
    """Return GPU-hours with two decimals, or none from ten on."""
    return "< 0.01" if value < 0.005 else f"{value:,.2f}" if value < 10 else f"{value:,.0f}"


if __name__ == "__main__":
    raise SystemExit(main())
