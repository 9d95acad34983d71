"""Take pictures of every panel in every state, with a real viewer: the docs use some, people look at the others.

    python docs/screenshots.py FOLDER [--seconds 45] [--data DATASET] [--only train]

Without --data the plugin's own generated samples are shown. It needs a screen, or on Linux
``xvfb-run -a -s "-screen 0 1600x1000x24"`` in front.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = (1360, 860)


class Studio:
    """A viewer, its panels, and a camera.

    Parameters
    ----------
    folder : Path
        Where pictures go.
    data : Path, optional
        Data-set folder; its first image is shown instead of a generated one.
    seconds : float
        How long the trainings last.
    """

    def __init__(self, folder: Path, data: Path | None, seconds: float) -> None:
        self.folder, self.data, self.seconds = folder, data, seconds
        self.viewer = None
        self.open()

    def open(self) -> None:
        """Begin with an empty viewer."""
        import napari

        if self.viewer is not None:
            self.viewer.close()
            self.wait(0.3)
        self.viewer = napari.Viewer()
        self.viewer.window.resize(*SIZE)
        self.wait(0.5)

    def panel(self, name: str):
        """Open a panel as the menu does."""
        from qtpy.QtCore import Qt

        dock, widget = self.viewer.window.add_plugin_dock_widget("embedseg-napari", f"EmbedSeg: {name}")
        self.viewer.window._qt_window.resizeDocks([dock], [430], Qt.Orientation.Horizontal)
        return widget

    def show_data(self, ndim: int = 2) -> tuple:
        """Open an image and its true labels."""
        if self.data is not None:
            from embedseg_napari.viewer.files.dataset_folder import open_dataset_folder

            layers = open_dataset_folder(self.viewer, self.data)
            image, truth = layers[0], layers[1]
            for layer in layers[2:]:
                self.viewer.layers.remove(layer)
        else:
            self.viewer.open_sample("embedseg-napari", f"nuclei_{ndim}d")
            image, truth = self.viewer.layers[-2], self.viewer.layers[-1]
        self.viewer.reset_view()
        return image, truth

    def wait(self, seconds: float) -> None:
        """Let the viewer work."""
        from qtpy.QtTest import QTest

        QTest.qWait(int(1000 * seconds))

    def until(self, condition: Callable[[], bool], seconds: float = 240) -> None:
        """Let the viewer work until something is so."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise SystemExit("A state did not come about in time.")
            self.wait(0.1)

    def take(self, name: str) -> None:
        """Take the picture of the whole window."""
        self.wait(0.8)
        self.viewer.screenshot(str(self.folder / f"{name}.png"), canvas_only=False, flash=False)
        print(name, flush=True)


def segment(studio: Studio) -> None:
    from embedseg_napari.viewer.widgets.scroll import FittingScroll

    panel = studio.panel("Segment")
    studio.take("segment-empty")
    _, truth = studio.show_data()
    truth.visible = False
    studio.take("segment-ready")
    panel.run_button.click()
    studio.until(lambda: panel.current is None or panel.progress.maximum() > 0)
    studio.take("segment-running")
    studio.until(lambda: panel.current is None)
    # Once more, for the first run loads the model and takes a picture meanwhile.
    panel.run_button.click()
    studio.until(lambda: panel.current is None)
    panel.results.labels.contour = 2
    studio.take("segment-finished")
    panel.embedding.parentWidget().unfold()
    panel.embedding.arrows_box.setChecked(True)
    panel.embedding.click_box.setChecked(True)
    number = len(panel.results.segmentation.scores) // 2
    panel.embedding.show_object(number)
    camera = getattr(studio.viewer, "scene", studio.viewer).camera
    center = panel.results.labels.data_to_world(panel.results.segmentation.centers[number - 1])
    camera.center = (0, *center[-2:])
    camera.zoom *= 6
    studio.wait(0.5)
    scroll = panel.findChild(FittingScroll)
    scroll.verticalScrollBar().setValue(scroll.verticalScrollBar().maximum())
    studio.take("segment-network")
    studio.viewer.reset_view()
    studio.viewer.theme = "light"
    studio.take("segment-light")
    studio.viewer.theme = "dark"
    broken = Path(tempfile.mkdtemp()) / "broken.embedseg"
    broken.write_bytes(b"no model")
    panel.model.choose(broken)
    studio.take("segment-failed")


def segment_3d(studio: Studio) -> None:
    panel = studio.panel("Segment")
    studio.show_data(3)
    studio.take("segment-3d-ready")
    panel.run_button.click()
    studio.until(lambda: panel.current is None)
    studio.take("segment-3d-wrong-model")


def segment_large(studio: Studio) -> None:
    import zarr

    from embedseg_napari.core.data.synthetic import Look, nuclei
    from embedseg_napari.viewer.files.dataset_folder import open_dataset_folder

    panel = studio.panel("Segment")
    parts = [nuclei((1024, 1024), diameter=28, coverage=0.22, look=Look(clump=1.8), seed=n).image for n in range(3)]
    image = np.block([[parts[(3 * y + x) % 3] for x in range(6)] for y in range(5)])
    store = Path(tempfile.mkdtemp()) / "slide.ome.zarr"
    group, datasets = zarr.open_group(str(store), mode="w", zarr_format=3), []
    for level in range(4):
        part = image[:: 2**level, :: 2**level]
        group.create_array(str(level), shape=part.shape, dtype=part.dtype, chunks=(256, 256))[...] = part
        scale = {"type": "scale", "scale": [0.5 * 2**level] * 2}
        datasets.append({"path": str(level), "coordinateTransformations": [scale]})
    axes = [{"name": letter, "type": "space", "unit": "micrometer"} for letter in "yx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    layers = open_dataset_folder(studio.viewer, store)
    studio.until(lambda: panel.large.in_blocks)
    camera = getattr(studio.viewer, "scene", studio.viewer).camera
    camera.center = (0, *(np.array(layers[0].extent.world[1]) * (0.4, 0.6)))
    panel.run_button.click()
    studio.until(lambda: panel.progress.value() >= 3)
    studio.wait(1.5)
    studio.take("segment-large")
    panel.cancel_button.click()
    studio.until(lambda: panel.current is None)
    studio.take("segment-large-stopped")


def train(studio: Studio, ndim: int = 2) -> None:
    from embedseg_napari.core.errors import ComputeError
    from embedseg_napari.jobs.train import TrainingRequest

    name = "train" if ndim == 2 else "train-3d"
    panel = studio.panel("Train")
    if ndim == 2:
        studio.take(f"{name}-empty")
    studio.show_data(ndim)
    panel.settings.form.set_values({"minutes": studio.seconds / 60})
    panel.settings.form.changed.emit()
    studio.until(lambda: panel.train.isEnabled())
    studio.take(f"{name}-ready")
    panel.train.click()
    studio.until(lambda: bool(panel.progress.plot.losses))
    panel.preview.embeddings_on.setChecked(True)
    studio.until(lambda: "preview: embeddings" in studio.viewer.layers)
    studio.wait(studio.seconds * 0.2)
    studio.take(f"{name}-running")
    if ndim == 2:
        panel.pause.click()
        studio.until(lambda: panel.is_paused)
        studio.take(f"{name}-paused")
        panel.pause.click()
    studio.until(lambda: not panel.background.is_active)
    studio.take(f"{name}-finished")
    if ndim == 2:
        studio.viewer.theme = "light"
        studio.take(f"{name}-light")
        studio.viewer.theme = "dark"
        studio.until(lambda: panel.train.isEnabled())

        def fail(*_: object, **__: object) -> None:
            raise ComputeError("The device ran out of memory; take a smaller crop or batch.")

        read, TrainingRequest.read = TrainingRequest.read, fail
        panel.train.click()
        studio.until(lambda: not panel.background.is_active)
        TrainingRequest.read = read
        studio.take(f"{name}-failed")


def label(studio: Studio) -> None:
    """Annotate an area fully, as the panel advises, and train on it from the model that is suggested."""
    panel = studio.panel("Label & Train")
    studio.take("label-empty")
    _, truth = studio.show_data()
    true = np.asarray(truth.data)
    studio.viewer.layers.remove(truth)
    panel.annotation.annotate.click()
    studio.take("label-ready")
    layer = panel.annotation.layers.labels
    middle = (slice(150, 320), slice(150, 320))
    for identity in np.unique(true[middle])[1:]:
        panel.annotation.new.click()
        layer.data_setitem(np.nonzero(true == identity), layer.selected_label)
    area = np.zeros(true.shape, bool)
    area[middle] = True
    panel.annotation.layers.regions.show(area)
    panel.annotation.new.click()
    panel.annotation.count()
    panel.settings.form.set_values({"minutes": studio.seconds / 60})
    panel.settings.form.changed.emit()
    studio.until(lambda: panel.train.isEnabled())
    studio.take("label-painted")
    panel.train.click()
    studio.until(lambda: "preview: seeds" in studio.viewer.layers)
    studio.wait(studio.seconds * 0.2)
    studio.take("label-running")
    studio.until(lambda: not panel.background.is_active)
    studio.wait(4)
    studio.take("label-finished")


def evaluate(studio: Studio) -> None:
    panel = studio.panel("Evaluate")
    studio.take("evaluate-empty")
    segmenting = studio.panel("Segment")
    _, truth = studio.show_data()
    truth.visible = False
    studio.viewer.window.remove_dock_widget(panel)
    segmenting.run_button.click()
    studio.until(lambda: segmenting.current is None)
    studio.viewer.window.remove_dock_widget(segmenting)
    panel = studio.panel("Evaluate")
    labels = next(layer for layer in studio.viewer.layers if layer.name.endswith(" labels"))
    panel.source.truth.choose(truth)
    panel.source.predicted.choose(labels)
    studio.take("evaluate-ready")
    panel.evaluate.click()
    studio.until(lambda: panel.scores is not None and not panel.run.is_active)
    studio.take("evaluate-finished")
    panel.tabs.setCurrentIndex(1)
    studio.take("evaluate-mistakes")
    panel.tabs.setCurrentIndex(3)
    studio.take("evaluate-thresholds")
    studio.viewer.theme = "light"
    panel.tabs.setCurrentIndex(0)
    studio.take("evaluate-light")
    studio.viewer.theme = "dark"
    panel.source.predicted.choose(studio.viewer.add_labels(np.ones((9, 8), int), name="of another shape"))
    studio.take("evaluate-failed")


def measure(studio: Studio) -> None:
    """Colour the objects by their size, one of them selected."""
    segmenting = studio.panel("Segment")
    _, truth = studio.show_data()
    truth.visible = False
    segmenting.run_button.click()
    studio.until(lambda: segmenting.current is None)
    labels = segmenting.results.labels
    studio.viewer.window.remove_dock_widget(segmenting)
    panel = studio.panel("Measure")
    panel.take_over(labels, None)
    studio.until(lambda: panel.table is not None)
    panel.color.setCurrentText(next(name for name in panel.table if name.startswith("area_")))
    studio.take("measure-finished")


def estimate(studio: Studio) -> None:
    """Judge some of a sample, up to an area in which an object is missed."""
    from embedseg_napari.core.estimate.sample import SampledObject

    segmenting = studio.panel("Segment")
    _, truth = studio.show_data()
    truth.visible = False
    segmenting.run_button.click()
    studio.until(lambda: segmenting.current is None)
    labels = segmenting.results.labels
    for layer in list(studio.viewer.layers)[2:]:
        layer.visible = layer == labels
    studio.viewer.window.remove_dock_widget(segmenting)
    panel = studio.panel("Estimate")
    panel.labels.choose(labels)
    panel.seed.setValue(1)
    panel.start()
    studio.until(lambda: panel.controls.current is None)
    for _ in range(13):
        if isinstance(panel.judgement.current, SampledObject):
            panel.judge.say_right()
        else:
            panel.judge.go_on()
    area = panel.judgement.current
    panel.judge.mark(labels.data_to_world([(a + b) / 2 for a, b in zip(area.lower, area.upper, strict=True)]))
    studio.take("estimate-judging")


def track(studio: Studio) -> None:
    """Link a time-lapse, and set a division by hand."""
    studio.viewer.open_sample("embedseg-napari", "dividing_cells")
    panel = studio.panel("Track")
    panel.image.choose(studio.viewer.layers[0])
    panel.start()
    studio.until(lambda: panel.controls.current is None)
    tracks = panel.correct.corrected.tracks
    mother = int(np.flatnonzero(np.bincount(tracks.parents[tracks.parents >= 0]) > 1)[5])
    daughter = int(np.flatnonzero(tracks.parents == mother)[1])
    panel.correct.choose([daughter])
    panel.correct.cut()
    studio.viewer.dims.set_point(0, int(tracks.frame[daughter]))
    panel.correct.choose([mother, daughter])
    studio.take("track-corrected")


STORIES: dict[str, Callable[[Studio], None]] = {
    "segment": segment,
    "segment-3d": segment_3d,
    "segment-large": segment_large,
    "train": train,
    "train-3d": lambda studio: train(studio, 3),
    "label": label,
    "evaluate": evaluate,
    "estimate": estimate,
    "measure": measure,
    "track": track,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, help="folder with images/ and masks/ to show")
    parser.add_argument("--seconds", type=float, default=45, help="how long trainings last")
    parser.add_argument("--only", choices=STORIES, action="append")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        os.environ["XDG_DATA_HOME"] = os.environ["XDG_CONFIG_HOME"] = work
        studio = Studio(options.folder, options.data, options.seconds)
        for name in options.only or STORIES:
            STORIES[name](studio)
            studio.open()
        studio.viewer.close()


if __name__ == "__main__":
    main()
