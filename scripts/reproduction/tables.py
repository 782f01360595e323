"""The table of a reproduction: ours and the paper's figures side by side, as Markdown, CSV and LaTeX."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from bundle.writers.files import atomic_file
from reproduction.cells import Plan, Row
from reproduction.dataset import ReproductionData
from reproduction.paper_figures import TABLE_1_OTHERS, PaperFigure

#: What a missing figure looks like.
NONE = "-"


def write_table(
    stem: Path,
    plan: Plan,
    found: Mapping[str, Mapping[str, Any]],
    data: ReproductionData,
    training: str,
    spent: Mapping[str, Mapping[str, float]],
) -> list[Path]:
    """Write the table.

    Args:
        stem: the files without their ending.
        plan: the rows.
        found: the ``metrics.json`` of each cell by its name.
        data: what was measured on.
        training: the length of the training, in words.
        spent: seconds of each step, as :class:`reproduction.running.Runner` has them.

    Returns:
        the files: Markdown, CSV, LaTeX.

    Raises:
        BundleError: when a file cannot be written.
    """
    radii = list(next(iter(found.values()))["sdr"]) if found else ["2.0", "4.0"]
    header = ["row", "data", "seeds", "MRE mm", *(f"SDR {float(radius):g} mm %" for radius in radii)]
    lines = [header]
    for row in plan.rows:
        lines.append([row.title, data.name, *_ours(row, [found[cell.name] for cell in row.cells], radii)])
        if row.paper is not None:
            figure, where = row.paper
            lines.append([f"{row.title} (paper)", where, NONE, *_figures(figure, radii)])
    if plan.title == "Table 1":
        lines += [
            [f"{name} (paper, {labels} labelled/unlabelled)", where, NONE, *_figures(figure, radii)]
            for (name, labels, where), figure in TABLE_1_OTHERS.items()
            if where == data.overlay
        ]
    paths = [stem.with_suffix(suffix) for suffix in (".md", ".csv", ".tex")]
    with atomic_file(paths[0]) as file:
        file.write(_markdown(plan, lines, _notes(plan, found, data, training, spent)))
    with atomic_file(paths[1]) as file:
        csv.writer(file, lineterminator="\n").writerows(lines)
    with atomic_file(paths[2]) as file:
        file.write(_latex(lines))
    return paths


def _ours(row: Row, metrics: Sequence[Mapping[str, Any]], radii: Sequence[str]) -> list[str]:
    if row.not_run:
        return [row.not_run, NONE, *(NONE for _ in radii)]
    seeds = ", ".join(str(cell.seed) for cell in row.cells if cell.seed is not None) or "nothing random"
    values = [[metric["mre_mm"] for metric in metrics], *([m["sdr"][radius] for m in metrics] for radius in radii)]
    return [seeds, *(_mean_and_deviation(column, 2 if index == 0 else 1) for index, column in enumerate(values))]


def _mean_and_deviation(values: Sequence[float | None], decimals: int) -> str:
    """Mean over the seeds, with the deviation of several (divided by their number less one)."""
    known = [value for value in values if value is not None]
    if len(known) < len(values) or not known:
        return NONE
    text = f"{mean(known):.{decimals}f}"
    return f"{text} ± {stdev(known):.{decimals}f}" if len(known) > 1 else text


def _figures(figure: PaperFigure, radii: Sequence[str]) -> list[str]:
    rates = [f"{figure.sdr[radius]:.2f}" if radius in figure.sdr else NONE for radius in radii]
    return [NONE if figure.mre_mm is None else f"{figure.mre_mm:.2f}", *rates]


def _notes(
    plan: Plan,
    found: Mapping[str, Mapping[str, Any]],
    data: ReproductionData,
    training: str,
    spent: Mapping[str, Mapping[str, float]],
) -> list[str]:
    images = next(iter(found.values()))["images"] if found else len(data.entries)
    notes = [
        f"Measured on the split {data.split} of {data.name}: {images} images beside the template {data.template.stem}.",
        "Nothing was selected by this run: the decoders are those of the last step.",
    ]
    if any(name.startswith("xfeat-") for name in found):
        notes.append("XFeat's working size was chosen before, on 40 images of the split training of isbi2015.")
    if any(cell.training is not None for row in plan.rows for cell in row.cells):
        notes.append(f"Training: {training}. Mean ± deviation over the seeds.")
    if any(row.paper is not None and row.paper[1] != data.overlay for row in plan.rows):
        notes.append("The paper's figures are of another data set (hand): compare the steps, not the numbers.")
    if spent:
        minutes = {clock: sum(step[clock] for step in spent.values()) / 60 for clock in ("processor", "wall")}
        notes.append(
            f"All steps together took {minutes['processor']:.0f} minutes of CPU time, {minutes['wall']:.0f} "
            "minutes by the clock, a step that was interrupted counting from its last start."
        )
    return notes


def _markdown(plan: Plan, lines: Sequence[Sequence[str]], notes: Sequence[str]) -> str:
    header, *rows = ("| " + " | ".join(line) + " |" for line in lines)
    rule = "|" + " --- |" * len(lines[0])
    return "\n".join([f"## {plan.title}", "", header, rule, *rows, "", *notes]) + "\n"


def _latex(lines: Sequence[Sequence[str]]) -> str:
    """A ``tabular`` for the package booktabs."""
    escape = str.maketrans({**{character: f"\\{character}" for character in "&%_#"}, "±": r"$\pm$"})
    header, *rows = (" & ".join(cell.translate(escape) for cell in line) + r" \\" for line in lines)
    begin = rf"\begin{{tabular}}{{{'lll' + 'r' * (len(lines[0]) - 3)}}}"
    body = [begin, r"\toprule", header, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}"]
    return "\n".join(body) + "\n"
