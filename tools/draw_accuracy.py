"""Draw docs/images/accuracy.svg, error against the number of annotated images, from docs/images/accuracy.csv.

Example:
    python tools/draw_accuracy.py
"""

import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "images"

#: Errors in mm to compare with: name, value, where its text stands.
LINES = (
    ("junior against senior reader (test images) 2.02", 2.02),
    ("FM-OSD, one image (test images) 1.82", 1.82),
    ("half the distance between the readers 1.18", 1.18),
)
STYLES = {
    "averaged": {"color": "0.5", "linestyle": "--", "marker": "o"},
    "learned": {"color": "C0", "marker": "o"},
}
#: Series of single points.
POINT = {"linestyle": "none", "marker": "s"}


def draw(table: Path, picture: Path) -> None:
    """Draw the table, whose columns are series, images and mre_mm."""
    series: dict[str, list[tuple[float, float]]] = {}
    with table.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            series.setdefault(row["series"], []).append((float(row["images"]), float(row["mre_mm"])))
    matplotlib.rcParams["svg.hashsalt"] = "accuracy"  # the same file every time
    figure, axes = pyplot.subplots(figsize=(7, 4.8), layout="constrained")
    for name, value in LINES:
        axes.axhline(value, color="0.75", linewidth=0.8, zorder=0)
        axes.annotate(name, (26, value), xytext=(0, 3), textcoords="offset points", ha="right", fontsize=8, color="0.4")
    for name, points in series.items():
        axes.plot(*zip(*sorted(points)), label=name, **STYLES.get(name, POINT))
    axes.set_xscale("log")
    axes.set_xticks([1, 2, 3, 5, 10, 25], labels=["1", "2", "3", "5", "10", "25"])
    axes.minorticks_off()
    axes.set_xlabel("annotated images")
    axes.set_ylabel("mean radial error, mm")
    axes.set_ylim(0.9, 2.4)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    figure.savefig(picture, metadata={"Date": None})
    pyplot.close(figure)


if __name__ == "__main__":
    draw(FOLDER / "accuracy.csv", FOLDER / "accuracy.svg")
