"""How fast the viewer answers while a model trains in it: delays of Qt's event loop, beside those without a training.

A timer of 10 ms stands for the user's clicks: what it comes late by, a click would wait. A 1024 x 1024 image with its
labels, both put together from a data-set folder, is panned 30 times a second; the Train panel trains its defaults on
the two layers, with plot, live preview and embeddings.

    python benchmarks/responsiveness.py DATASET [--seconds 60]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

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

    def __init__(self, viewer) -> None:
        from qtpy.QtCore import QTimer

        self.viewer = viewer
        self.timer = QTimer()
        self.timer.setInterval(int(1000 * PAN))
        self.timer.timeout.connect(self._move)
        self.angle = 0.0

    def _move(self) -> None:
        self.angle += 0.05
        self.viewer.scene.camera.center = (0, 512 + 200 * np.sin(self.angle), 512 + 200 * np.cos(self.angle))


def mosaic(dataset: Path, side: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    """An image of the wanted size with its labels, from the first images of the data set."""
    from skimage.measure import label

    from embedseg_napari.core.data.pairs import find_dataset, load_folder

    n = side // 256
    image, labels = np.zeros((side, side), np.float32), np.zeros((side, side), np.int32)
    examples = load_folder(find_dataset(dataset)[0])[: n * n]
    for index, example in enumerate(examples):
        pixels, objects = example.image[0][:256, :256], example.instances[:256, :256]
        top, left = 256 * (index // n), 256 * (index % n)
        inside = np.s_[top : top + pixels.shape[0], left : left + pixels.shape[1]]
        image[inside] = pixels
        labels[inside] = np.where(objects > 0, objects + labels.max(), 0)
    return image, label(labels, connectivity=1).astype(np.int32)


def row(name: str, delays: np.ndarray) -> str:
    p50, p95, worst = np.percentile(delays, 50), np.percentile(delays, 95), delays.max()
    over = 100 * float(np.mean(delays > 50))
    return f"| {name} | {p50:.0f} | {p95:.0f} | {worst:.0f} | {over:.1f} % | {len(delays)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path, help="folder with train/images and train/masks, or images/ and masks/")
    parser.add_argument("--seconds", type=float, default=60, help="how long to watch the training")
    options = parser.parse_args()
    work = tempfile.TemporaryDirectory()
    os.environ["XDG_DATA_HOME"] = os.environ["XDG_CONFIG_HOME"] = work.name

    import napari
    from qtpy.QtTest import QTest

    image, labels = mosaic(options.dataset)
    viewer = napari.Viewer()
    viewer.window.resize(1400, 900)
    viewer.add_image(image, name="panned")
    viewer.add_labels(labels, name="truth")
    _, panel = viewer.window.add_plugin_dock_widget("embedseg-napari", "EmbedSeg: Train")
    panel.settings.form.set_values({"minutes": 60.0})
    deadline = time.monotonic() + 120
    while not panel.train.isEnabled() and time.monotonic() < deadline:
        QTest.qWait(100)
    if not panel.train.isEnabled():
        raise SystemExit(f"The panel does not train: {panel.reason.text()}")
    probe, panning = Probe(), Panning(viewer)
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
