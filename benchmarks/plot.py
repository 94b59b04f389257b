"""Draws the kept figures for the documentation: what a call and what a durable image cost, as ratios."""

from __future__ import annotations

import json
from pathlib import Path

from harness import RESULTS, Figures
from matplotlib.axes import Axes
from matplotlib.figure import Figure

TARGET = Path(__file__).parents[1] / "docs" / "benchmarks.svg"
OURS, OTHERS = "#c2410c", "#94a3b8"


def bars(axes: Axes, figures: dict[str, Figures], key: str, base: str, title: str) -> None:
    """Draw a bar for each contender, as a multiple of the bare loop's."""
    names = sorted(figures, key=lambda name: figures[name][key])
    ratios = [figures[name][key] / figures[base][key] for name in names]
    colours = [OURS if name.startswith("ideogram_async") else OTHERS for name in names]
    drawn = axes.barh(names, ratios, color=colours)
    axes.bar_label(drawn, [f" {ratio:.2f}" for ratio in ratios], fontsize=8)
    axes.set_title(title, fontsize=10, loc="left")
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.tick_params(labelsize=8, length=0)
    axes.spines[["top", "right", "bottom", "left"]].set_visible(False)
    axes.set_xticks([])
    axes.axvline(1.0, color="black", linewidth=0.5)


def main() -> None:
    """Draw them."""
    kept = json.loads(RESULTS.read_text())
    figure = Figure(figsize=(10, 3.2))
    left, right = figure.subplots(1, 2)
    bars(left, kept["calls"]["10"], "cpu", "aiohttp", "CPU per call; bare aiohttp loop = 1")
    bars(right, kept["durable"], "cpu", "aiohttp, keeps nothing", "CPU per image of 1.5 MB; bare aiohttp loop = 1")
    figure.tight_layout()
    figure.savefig(TARGET, metadata={"Date": None})
    print(f"drawn: {TARGET.relative_to(Path.cwd()) if TARGET.is_relative_to(Path.cwd()) else TARGET}")


if __name__ == "__main__":
    main()
