"""How fast the viewer answers while a model trains in it: delays of Qt's event loop, beside those without a training.

A timer of 10 ms stands for the user's clicks: what it comes late by, a click would wait. An image with its labels,
both put together from a data-set folder (1024 x 1024 pixels, or a volume as deep as its images and 256 x 256 wide), is
panned 30 times a second; the Train panel trains its defaults on the two layers, with plot, live preview and
embeddings. Then Label & Train goes through the same objects three times a second, accepting every other one.

    python benchmarks/responsiveness.py DATASET [--seconds 60] [--axes ZYX --spacing 2.18,1,1]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

SIDE = {2: 1024, 3: 256}
"""Of the image, in pixels along y and x, by its number of dimensions."""
TILE = {2: 256, 3: 128}
"""The same of what is taken from each image of the data set."""
STEP_MILLISECONDS = 330
"""Between two objects that are gone to."""
INTERVAL = 0.010
PAN = 0.033


class Probe:
    """Delays of a timer, in milliseconds, while it is on."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.delays: list[float] = []
        self.timer = QTimer()
        self.timer.setTimerType(Qt.TimerType.PreciseTimer)
        self.timer.setInterval(int(1000 * INTERVAL))
        self.timer.timeout.connect(self._tick)
        self.last = 0.0

    def _tick(self) -> None:
        now = time.perf_counter()
        self.delays.append(1000 * max(0.0, now - self.last - INTERVAL))
        self.last = now

    def measure(self, seconds: float) -> np.ndarray:
        """Watch the event loop for a while."""
        from qtpy.QtTest import QTest

        self.delays, self.last = [], time.perf_counter()
        self.timer.start()
        QTest.qWait(int(1000 * seconds))
        self.timer.stop()
        return np.array(self.delays)


class Panning:
    """Moves the camera in a circle, as a hand on the mouse would."""

    def __init__(self, viewer, side: int) -> None:
        from qtpy.QtCore import QTimer

        self.viewer, self.middle, self.reach = viewer, side / 2, side / 5
        self.timer = QTimer()
        self.timer.setInterval(int(1000 * PAN))
        self.timer.timeout.connect(self._move)
        self.angle = 0.0

    def _move(self) -> None:
        self.angle += 0.05
        y, x = self.middle + self.reach * np.array([np.sin(self.angle), np.cos(self.angle)])
        self.viewer.scene.camera.center = (0, y, x)


def mosaic(dataset: Path, axes: str) -> tuple[np.ndarray, np.ndarray]:
    """An image of the wanted size with its labels, from the first images of the data set."""
    from skimage.measure import label

    from embedseg_napari.core.data.pairs import find_dataset, load_folder

    ndim = len(axes)
    side, tile = SIDE[ndim], TILE[ndim]
    n = side // tile
    examples = load_folder(find_dataset(dataset)[0], axes=axes)[: n * n]
    shape = (*[max(one.instances.shape[0] for one in examples)] * (ndim - 2), side, side)
    image, labels = np.zeros(shape, np.float32), np.zeros(shape, np.int32)
    for index, example in enumerate(examples):
        pixels, objects = (one[..., :tile, :tile] for one in (example.image[0], example.instances))
        top, left = tile * (index // n), tile * (index % n)
        depth = tuple(slice(n) for n in pixels.shape[:-2])
        inside = (*depth, slice(top, top + pixels.shape[-2]), slice(left, left + pixels.shape[-1]))
        image[inside] = pixels
        labels[inside] = np.where(objects > 0, objects + labels.max(), 0)
    return image, label(labels, connectivity=1).astype(np.int32)


def review(viewer, image: np.ndarray, labels: np.ndarray, probe: Probe, seconds: float) -> list[str]:
    """Go through the true objects in Label & Train, and in a volume once more in the 3D view."""
    from qtpy.QtCore import QTimer
    from qtpy.QtTest import QTest

    from embedseg_napari.core.config import PredictionConfig
    from embedseg_napari.core.inference.segmentation import Segmentation
    from embedseg_napari.core.maps import EmbeddingMaps
    from embedseg_napari.core.review.drafts import draft_queue
    from embedseg_napari.core.review.queue import ReviewQueue

    _, panel = viewer.window.add_plugin_dock_widget("embedseg-napari", "EmbedSeg: Label & Train")
    panel.annotation.image.choose(viewer.layers["panned"])
    panel.annotation.annotate.click()
    drafts = draft_queue(labels, np.zeros_like(labels))
    zeros = np.zeros((labels.ndim, *labels.shape), np.float32)
    maps, drawn = EmbeddingMaps(zeros, zeros, np.asarray(labels > 0, np.float32)), drafts.segmentation
    found = Segmentation(labels, drawn.centers, drawn.scores, PredictionConfig(), kept_maps=maps)
    panel.review.begin(ReviewQueue(found, drafts.doubts))
    QTest.qWait(2000)
    steps, timer = [], QTimer()

    def step() -> None:
        began = time.perf_counter()
        (panel.review.accept if len(steps) % 2 else panel.review.next).click()
        steps.append(1000 * (time.perf_counter() - began))

    timer.setInterval(STEP_MILLISECONDS)
    timer.timeout.connect(step)
    timer.start()
    rows = [row("going through objects", probe.measure(seconds))]
    if labels.ndim == 3:
        panel.review.slices.button.click()
        rows.append(row("the same, slices folded", probe.measure(seconds)))
        panel.review.slices.button.click()
        timer.stop()
        viewer.dims.ndisplay = 3
        QTest.qWait(5000)
        timer.start()
        rows.append(row("the same, in 3D", probe.measure(seconds)))
    timer.stop()
    print(f"{len(steps)} steps from object to object, each {np.median(steps):.0f} ms, at worst {max(steps):.0f} ms")
    return rows


def row(name: str, delays: np.ndarray) -> str:
    p50, p95, worst = np.percentile(delays, 50), np.percentile(delays, 95), delays.max()
    over = 100 * float(np.mean(delays > 50))
    return f"| {name} | {p50:.0f} | {p95:.0f} | {worst:.0f} | {over:.1f} % | {len(delays)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path, help="folder with train/images and train/masks, or images/ and masks/")
    parser.add_argument("--seconds", type=float, default=60, help="how long to watch the training")
    parser.add_argument("--axes", choices=("YX", "ZYX"), default="YX", help="of the images of the data set")
    parser.add_argument("--spacing", help="pixel size z,y,x of a volume")
    options = parser.parse_args()
    ndim = len(options.axes)
    scale = [float(one) for one in options.spacing.split(",")] if options.spacing else [1.0] * ndim
    work = tempfile.TemporaryDirectory()
    os.environ["XDG_DATA_HOME"] = os.environ["XDG_CONFIG_HOME"] = work.name

    import napari
    from qtpy.QtTest import QTest

    image, labels = mosaic(options.dataset, options.axes)
    viewer = napari.Viewer()
    viewer.window.resize(1400, 900)
    place = {"scale": scale, "axis_labels": options.axes.lower()}
    viewer.add_image(image, name="panned", **place)
    viewer.add_labels(labels, name="truth", **place)
    _, panel = viewer.window.add_plugin_dock_widget("embedseg-napari", "EmbedSeg: Train")
    panel.settings.form.set_values({"minutes": 60.0})
    deadline = time.monotonic() + 120
    while not panel.train.isEnabled() and time.monotonic() < deadline:
        QTest.qWait(100)
    if not panel.train.isEnabled():
        raise SystemExit(f"The panel does not train: {panel.reason.text()}")
    probe, panning = Probe(), Panning(viewer, SIDE[ndim])
    QTest.qWait(2000)
    rows = [row("nothing happens", probe.measure(10))]
    panning.timer.start()
    rows.append(row("panning", probe.measure(20)))
    panning.timer.stop()

    panel.preview.embeddings_on.setChecked(True)
    seen = []
    steps_of = panel.preview.view.steps
    panel.preview.view.steps = lambda event: (seen.append(event.step), steps_of(event))[1]
    panel.start()
    steps = []
    add = panel.progress.plot.add_step
    panel.progress.plot.add_step = lambda event: (steps.append(event.step), add(event))
    starting = []
    while not steps and panel.background.is_active:
        starting.append(probe.measure(0.5))
    if not steps:
        raise SystemExit(f"The training ended at once: {panel.progress.status.text()}")
    rows.append(row("training begins (imports, reading)", np.concatenate(starting)))
    first = []
    while len(first) < 20 or (not seen and len(first) < 240):
        first.append(probe.measure(0.5))
    rows.append(row("first preview (layers appear)", np.concatenate(first)))
    rates = []
    for name, seconds in (
        ("training, previews, embeddings", options.seconds / 2),
        ("training, previews, embeddings, panning", options.seconds),
    ):
        if "panning" in name:
            panning.timer.start()
        first, began = steps[-1], time.monotonic()
        rows.append(row(name, probe.measure(seconds)))
        rates.append((steps[-1] - first) / (time.monotonic() - began))
    panning.timer.stop()
    panel.stop.click()
    ending = []
    while panel.background.is_active:
        ending.append(probe.measure(0.5))
    rows.append(row("training ends", np.concatenate(ending or [probe.measure(0.5)])))
    rows += review(viewer, image, labels, probe, options.seconds / 2)
    viewer.close()
    print("| | median ms | 95th percentile ms | worst ms | over 50 ms | samples |\n|---|---|---|---|---|---|")
    print("\n".join(rows))
    print(
        f"{len(seen)} previews; {rates[0]:.2f} steps a second, {rates[1]:.2f} while panning; "
        f"load {os.getloadavg()[0]:.1f}"
    )
    work.cleanup()


if __name__ == "__main__":
    main()
