"""Curves of `annotator.py`: what a number of painted objects, of actions, and of minutes gives.

    python benchmarks/annotator_curves.py FILE... --output FOLDER

FILEs are what `annotator.py --json` wrote. Prints a Markdown table of the last rounds, and draws `annotator.png` into
FOLDER: AP at IoU 0.5 on other images over painted objects (after the last round), over actions and over minutes (after
every round), one colour for each kind of image, dashed where training started from another data set's model.
Needs matplotlib.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np

LABELS = {"painted": "objects painted", "actions": "actions", "minutes": "minutes of computing"}


def read(files: list[Path]) -> list[dict]:
    """All rows."""
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines() if line]


def kind_of(row: dict) -> str:
    """Name of a kind of images, and what is special about the session."""
    planes = f", {row['planes']} planes" if row.get("planes") else ""
    single = ", one round" if row.get("rounds") == 1 else ""
    return row["dataset"] + (f" {row['kind']}" if row["kind"] else "") + planes + single


def last_rounds(rows: list[dict]) -> list[dict]:
    """Of each session the last row."""
    last: dict[tuple, dict] = {}
    for row in rows:
        key = (kind_of(row), row["start"], row["goal"], row["seed"])
        if key not in last or row["round"] > last[key]["round"]:
            last[key] = row
    return list(last.values())


def table(rows: list[dict]) -> str:
    """Markdown: one line for each kind, start and number of painted objects, means over persons."""
    groups = defaultdict(list)
    for row in last_rounds(rows):
        groups[kind_of(row), Path(row["start"] or "scratch").stem, row["goal"]].append(row)
    lines = ["| images | start | goal | painted | actions | minutes | AP 0.5 |", "|---|---|---|---|---|---|---|"]
    for (kind, start, goal), some in sorted(groups.items()):
        mean = {name: np.mean([row[name] for row in some]) for name in ("painted", "actions", "minutes", "ap")}
        error = np.sqrt(np.mean([row["error"] ** 2 for row in some]))
        lines.append(
            f"| {kind} | {start} | {goal} | {mean['painted']:.0f} | {mean['actions']:.0f} | {mean['minutes']:.1f} | "
            f"{mean['ap']:.2f} ± {error:.2f} |"
        )
    return "\n".join(lines)


def draw(rows: list[dict], folder: Path) -> None:
    """Write `annotator.png`."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    kinds = sorted({kind_of(row) for row in rows})
    colors = dict(zip(kinds, plt.get_cmap("tab10").colors, strict=False))
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.6), sharey=True, layout="constrained")
    for axis, (name, label) in zip(axes, LABELS.items(), strict=True):
        lines = defaultdict(list)
        for row in last_rounds(rows) if name == "painted" else rows:
            line = (
                (kind_of(row), row["start"])
                if name == "painted"
                else (kind_of(row), row["start"], row["goal"], row["seed"])
            )
            lines[line].append((row[name], row["ap"]))
        for (kind, start, *_), points in lines.items():
            xs = sorted({x for x, _ in points}) if name == "painted" else [x for x, _ in points]
            ys = [np.mean([y for at, y in points if at == x]) for x in xs]
            axis.plot(
                xs, ys, "o", ls="--" if start else "-", color=colors[kind], ms=3, lw=1.5 if name == "painted" else 0.8,
                alpha=1 if name == "painted" else 0.6, label=f"{kind}{', from ' + Path(start).stem if start else ''}",
            )  # fmt: skip
        axis.set_xlabel(label)
        axis.grid(alpha=0.3)
        if name != "minutes":
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter("{x:g}")
            axis.xaxis.set_minor_formatter("")
            axis.set_xticks([5, 10, 20, 50] if name == "painted" else [5, 10, 20, 50, 100, 200])
    axes[0].set_ylim(0, 1)
    axes[0].set_ylabel("AP at IoU 0.5, other images")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, fontsize=8, loc="outside right upper")
    figure.savefig(folder / "annotator.png", dpi=110)


def main() -> None:
    """Print the table and draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    rows = read(options.files)
    print(table(rows))
    draw(rows, options.output)


if __name__ == "__main__":
    main()
