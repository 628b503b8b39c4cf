"""Draw the training curves of a recipe's stages."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.report.figures import draw_curves


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stages", nargs="+", required=True, help="the stages, in the order of training")
    parser.add_argument("--metrics", type=Path, nargs="+", required=True, help="metrics.jsonl of each")
    parser.add_argument("--output", type=Path, nargs="+", required=True, help="images to write, .svg or .png")
    options = parser.parse_args()
    draw_curves(dict(zip(options.stages, options.metrics, strict=True)), options.output)


if __name__ == "__main__":
    raise SystemExit(main())
