"""The whole story on real images, through the manifest.

Open, train from layers, segment, move a slider, evaluate, save, open again in a new viewer, and segment the same from
the command line.

EMBEDSEG_STORY_MINUTES sets how long it trains (default 0.5); two minutes are a person's.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from embedseg_napari.cli import main
from embedseg_napari.core.evaluation.matching import match
from embedseg_napari.core.files.tiff import list_images, read_image
from embedseg_napari.viewer.preview.preview import LABELS, SEED_MAP, SEEDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

MINUTES = float(os.environ.get("EMBEDSEG_STORY_MINUTES", "0.5"))
WAIT = 120_000
LOW = 0.2
"""Thresholds at which a network of less than a minute finds objects, good or bad."""
SETS = {"dsb2018": ((256, 256), (1.0, 1.0)), "bbbc050": (None, (2.18, 1.0, 1.0))}
"""Shape of the images that are taken (all where None), and their pixel size."""


def panel_of(viewer, name: str):
    title = f"EmbedSeg: {name} (EmbedSeg)"
    if title in viewer.window.dock_widgets:
        return viewer.window.dock_widgets[title]
    return viewer.window.add_plugin_dock_widget("embedseg-napari", f"EmbedSeg: {name}")[1]


def open_image(viewer, path: Path, spacing: tuple[float, ...]):
    (layer,) = viewer.open(path, plugin="napari")
    layer.scale, layer.units = spacing, ("um",) * len(spacing)
    # The files do not say what their planes are.
    layer.axis_labels = "zyx"[-len(spacing) :]
    return layer


def segment(panel, layer, qtbot):
    """Press Segment and return the new labels."""
    panel.image.layer_box.choose(layer)
    assert panel.run_button.isEnabled(), panel.status.text()
    panel.run_button.click()
    qtbot.waitUntil(lambda: panel.current is None, timeout=WAIT)
    assert panel.results.labels is not None, panel.status.text()
    return panel.results.labels.data.copy()


@pytest.mark.parametrize("name", ["dsb2018", pytest.param("bbbc050", marks=pytest.mark.thorough)])
def test_from_a_dropped_image_to_the_same_labels_on_the_command_line(
    make_napari_viewer_proxy, qtbot, shared_data: Callable[[str], Path], name: str, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    shape, spacing = SETS[name]
    folder = shared_data(name) / "train"
    files = [path for path in list_images(folder / "images") if shape in (None, read_image(path).array.shape)][:4]
    *known, new = files
    viewer = make_napari_viewer_proxy()

    # Images are dropped, their labels opened; the Train panel pairs them.
    train = panel_of(viewer, "Train")
    for number, path in enumerate(known):
        image = open_image(viewer, path, spacing)
        (labels,) = viewer.open(folder / "masks" / path.name, layer_type="labels", plugin="napari")
        labels.scale, labels.units, labels.name = spacing, image.units, f"masks {number}"
        if number:
            train.pairs.add_button.click()
        row = train.pairs.rows[number]
        row.image.choose(image)
        row.labels.choose(labels)
    train.settings.form.set_values({"minutes": MINUTES})
    train.settings.form.changed.emit()
    qtbot.waitUntil(lambda: train.train.isEnabled(), timeout=WAIT)
    train.train.click()
    qtbot.waitUntil(lambda: {LABELS, SEED_MAP, SEEDS} <= {layer.name for layer in viewer.layers}, timeout=WAIT)
    preview = viewer.layers[SEED_MAP].data.copy()
    qtbot.waitUntil(lambda: bool((viewer.layers[SEED_MAP].data != preview).any()), timeout=WAIT)
    with qtbot.waitSignal(train.background.finished, timeout=int(60_000 * MINUTES) + WAIT):
        pass
    model = train.saved.path
    assert model.exists()
    losses = train.progress.plot.losses
    assert np.mean(losses[-5:]) < np.mean(losses[:5])

    # Another image, with the model that was just trained; a slider moves the objects without the network.
    layer = open_image(viewer, new, spacing)
    train.progress.segment.click()
    panel = panel_of(viewer, "Segment")
    assert panel.model.path == model
    learned = train.pairs.rows[0].image.layer()
    assert panel.image.layer == learned
    # It is segmented at once.
    qtbot.waitUntil(lambda: panel.current is None and panel.results.of_image(learned) is not None, timeout=WAIT)
    labels = segment(panel, layer, qtbot)
    np.testing.assert_allclose(panel.results.labels.scale, spacing)
    low = {"seed_threshold": LOW, "foreground_threshold": LOW}
    for setting, value in low.items():
        panel.thresholds.sliders[setting].setValue(value)
    qtbot.waitUntil(lambda: not panel.reclustering.is_busy and panel.is_settled, timeout=WAIT)
    moved = panel.results.labels.data
    np.testing.assert_array_equal(moved, panel.results.segmentation.recluster(**low).labels)
    assert moved.max() >= max(1, labels.max())

    # Scores against the truth.
    (truth,) = viewer.open(folder / "masks" / new.name, layer_type="labels", plugin="napari")
    truth.scale, truth.name = spacing, "true masks"
    evaluate = panel_of(viewer, "Evaluate")
    evaluate.source.truth.choose(truth)
    evaluate.source.predicted.choose(panel.results.labels)
    evaluate.evaluate.click()
    qtbot.waitUntil(lambda: evaluate.scores is not None and not evaluate.run.is_active, timeout=WAIT)
    assert evaluate.scores.rows[0].ap == match(truth.data, moved)[0].ap
    saved = panel.results.labels.save(str(tmp_path / "labels.tif"), plugin="embedseg-napari")
    np.testing.assert_array_equal(read_image(saved[0]).array, moved)

    # A new viewer knows the model; it and the command line make the same labels as the first.
    again = make_napari_viewer_proxy()
    layer = open_image(again, new, spacing)
    other = panel_of(again, "Segment")
    other.model.box.setCurrentText(model.stem)
    assert other.model.path == model
    # The thresholds that were used last are remembered; the command line takes those of the model.
    other.threshold_box.back_button.click()
    repeated = segment(other, layer, qtbot)
    np.testing.assert_array_equal(repeated, labels)
    arguments = ["predict", str(model), str(new), "--output", str(tmp_path / "out"), "--axes", "ZYX"[-len(spacing) :]]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--spacing", ",".join(map(str, spacing)), "--no-progress"])
    assert ended.value.code == 0
    np.testing.assert_array_equal(read_image(tmp_path / "out" / new.name).array, labels)
