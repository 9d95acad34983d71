"""Time live re-clustering in the Segment panel: from the move of a slider to the updated Labels and Points layers.

    xvfb-run -a python benchmarks/reclustering.py        leave out xvfb-run where there is a screen

The panel is opened in a real viewer through the plugin's manifest; it holds the cached maps of a segmentation, as after
a run of the network, and its sliders are moved one after the other. Milliseconds are wall clock; those of the processor
beside them say how much of that was waiting, be it for other programs.

Maps: jittered disks (balls) whose pixels point at the centre, give or take half a pixel, with a noisy seed map and
margins that vary by a tenth.

- clustering: maps to objects, in the panel's thread
- layers: napari's update of Labels and Points, in the GUI's thread
- total: from the slider's move until both layers hold the new objects; what is left is the start of the thread and the
  way of the result to the GUI
- drawn: until the canvas has drawn them; with a virtual screen the processor draws
- processor: what clustering and layers took of it, each in its own thread
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import napari
import numpy as np
from clustering import perfect
from qtpy.QtCore import QCoreApplication, QEventLoop

from embedseg_napari.core.clustering.clustering import warm_up
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.maps import EmbeddingMaps

if TYPE_CHECKING:
    from collections.abc import Callable

MOVES = 20
SETTINGS = {"seed_threshold": 0.8, "foreground_threshold": 0.5, "faint_seeds": 0.0, "min_object_size": 0}
PLACES = {"seed_threshold": (0.7, 0.85), "foreground_threshold": (0.45, 0.6), "min_object_size": (3, 9)}
"""Where each slider is moved to and fro; sizes as square roots of pixels."""


@dataclass(frozen=True)
class Move:
    """Seconds that one move of a slider took."""

    total: float
    drawn: float
    clustering: float
    layers: float
    processor: float


def noisy(shape: tuple[int, ...], rng: np.random.Generator, cell: tuple[int, ...]) -> EmbeddingMaps:
    maps = perfect(shape, rng, cell)
    offsets = maps.offsets + 0.5 * rng.standard_normal(maps.offsets.shape, dtype=np.float32)
    margins = maps.margins * np.exp(0.1 * rng.standard_normal(maps.margins.shape, dtype=np.float32))
    seed_map = maps.seed_map + 0.02 * rng.standard_normal(shape, dtype=np.float32)
    return EmbeddingMaps(offsets, margins, np.clip(seed_map, 0, 1))


class Stopwatch:
    """Adds up the seconds spent in a function, and those of the processor in its thread."""

    def __init__(self, function: Any) -> None:
        self.function, self.seconds, self.processor = function, 0.0, 0.0

    def reset(self) -> None:
        self.seconds = self.processor = 0.0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        start, processor = time.perf_counter(), time.thread_time()
        try:
            return self.function(*args, **kwargs)
        finally:
            self.seconds += time.perf_counter() - start
            self.processor += time.thread_time() - processor


def wait_for(condition: Callable[[], bool]) -> None:
    """Let Qt work until something is so."""
    while not condition():
        QCoreApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)


def open_panel(viewer: napari.Viewer, maps: EmbeddingMaps) -> Any:
    """The Segment panel, as it is after a run that gave these maps."""
    _, panel = viewer.window.add_plugin_dock_widget("embedseg-napari", "EmbedSeg: Segment")
    viewer.add_image(maps.seed_map, name="image", axis_labels=tuple("zyx"[-maps.ndim :]))
    # The maps are at hand: no model has to fit the image.
    panel.image.set_model(None)
    panel.image.axes.setText("ZYX"[-maps.ndim :])
    panel.thresholds.set_values(SETTINGS)
    segmentation = Segmentation.collect(maps, PredictionConfig(**SETTINGS))
    panel.threshold_box.follow(panel.results.show(panel.image.selection(), segmentation, panel.model.path))
    return panel


def time_moves(viewer: napari.Viewer, panel: Any) -> list[Move]:
    canvas = viewer.window._qt_viewer.canvas._scene_canvas
    segmentation_class = type(panel.results.segmentation)
    recluster = Stopwatch(segmentation_class.recluster)
    update = Stopwatch(panel.results.update)
    panel.results.update = update
    times: dict[str, float] = {}
    shown: list[Segmentation] = []

    def note_update(result: object, segmentation: Segmentation) -> None:
        times["total"] = time.perf_counter()
        shown.append(segmentation)

    def note_draw(event: object = None) -> None:
        if "total" in times:
            times.setdefault("drawn", time.perf_counter())

    # After the panel's own slot: the layers are up to date then.
    panel.reclustering.ready.connect(note_update)
    canvas.events.draw.connect(note_draw, position="last")
    segmentation_class.recluster = lambda *args, **kwargs: recluster(*args, **kwargs)
    moves = []
    try:
        for number in range(MOVES + 3):
            name = list(PLACES)[number % 3]
            slider = panel.thresholds.sliders[name]
            low, high = PLACES[name]
            recluster.reset()
            update.reset()
            times.clear()
            start = time.perf_counter()
            slider.setValue(high if slider.value() != high else low)
            # The panel's last act after a move is to write the objects' table.
            wait_for(lambda: panel.is_settled)
            total = times["total"] - start
            drawn = times.get("drawn", np.nan) - start
            processor = recluster.processor + update.processor
            moves.append(Move(total, drawn, recluster.seconds, update.seconds, processor))
            labels, centers = viewer.layers["image labels"], viewer.layers["image centres"]
            assert np.array_equal(labels.data, shown[-1].labels)
            assert len(centers.data) == len(shown[-1].scores)
    finally:
        segmentation_class.recluster = recluster.function
    # The first move of each slider also meets what is done once.
    return moves[3:]


def main() -> None:
    parser = argparse.ArgumentParser(description="Time live re-clustering in the Segment panel.")
    parser.parse_args()
    warm_up(wait=True)
    print("| maps | objects | total: median | worst | drawn: median | worst | clustering | layers | rest | processor |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for shape, cell in (((1024, 1024), (32, 32)), ((32, 512, 512), (16, 32, 32))):
        viewer = napari.Viewer()
        panel = open_panel(viewer, noisy(shape, np.random.default_rng(0), cell))
        n = len(panel.results.segmentation.scores)
        moves = time_moves(viewer, panel)
        total, drawn, clustering, layers, processor = (
            1000 * np.array([getattr(move, name) for move in moves])
            for name in ("total", "drawn", "clustering", "layers", "processor")
        )
        parts = [np.median(100 * part / total) for part in (clustering, layers, total - clustering - layers)]
        times = [np.median(total), total.max(), np.nanmedian(drawn), np.nanmax(drawn)]
        cells = [f"{value:.0f} ms" for value in times] + [f"{part:.0f} %" for part in parts]
        cells.append(f"{np.median(processor):.0f} ms")
        print(f"| {' x '.join(map(str, shape))} | {n:,} | {' | '.join(cells)} |", flush=True)
        viewer.close()


if __name__ == "__main__":
    main()
