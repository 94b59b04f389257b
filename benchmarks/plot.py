"""Plot of the results for the documentation: CPU of a call and of a durable image, as ratios."""

from __future__ import annotations

import json
from pathlib import Path

from harness import RESULTS, Figures
from matplotlib.axes import Axes
from matplotlib.figure import Figure

TARGET = Path(__file__).parents[1] / "docs" / "benchmarks.svg"
OUR_COLOR, OTHER_COLOR = "#c2410c", "#94a3b8"


def draw_bars(axes: Axes, figures: dict[str, Figures], key: str, base: str, title: str) -> None:
    """Draw a bar for each contender, as a multiple of the bare loop."""
    names = sorted(figures, key=lambda name: figures[name][key])
    ratios = [figures[name][key] / figures[base][key] for name in names]
    colors = [OUR_COLOR if name.startswith("ideogram_async") else OTHER_COLOR for name in names]
    bars = axes.barh(names, ratios, color=colors)
    axes.bar_label(bars, [f" {ratio:.2f}" for ratio in ratios], fontsize=8)
    axes.set_title(title, fontsize=10, loc="left")
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.tick_params(labelsize=8, length=0)
    axes.spines[["top", "right", "bottom", "left"]].set_visible(False)
    axes.set_xticks([])
    axes.axvline(1.0, color="black", linewidth=0.5)


def main() -> None:
    """Draw the plot, and write it to the documentation."""
    results = json.loads(RESULTS.read_text())
    figure = Figure(figsize=(10, 3.2))
    left, right = figure.subplots(1, 2)
    draw_bars(left, results["calls"]["10"], "cpu", "aiohttp", "CPU per call; bare aiohttp loop = 1")
    draw_bars(
        right, results["durable"], "cpu", "aiohttp, stores nothing", "CPU per image of 1.5 MB; bare aiohttp loop = 1"
    )
    figure.tight_layout()
    figure.savefig(TARGET, metadata={"Date": None})
    print(f"wrote {TARGET}")


if __name__ == "__main__":
    main()
