"""From what was found to its numbers, its tracks and its file."""

from __future__ import annotations

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from segment_steps import finish

import embedseg_napari as es
from embedseg_napari.core.files.tiff import read_image, write_image
from embedseg_napari.core.model.known_models import bundled_path
from embedseg_napari.viewer.large.source import source_of
from embedseg_napari.viewer.layers import TIME_POINT
from embedseg_napari.viewer.segment.regions import RECTANGLE, VIEW


def test_the_objects_are_measured_in_their_panel(viewer, panel, fake, qtbot) -> None:
    pytest.importorskip("pyqtgraph")
    assert panel.next.isHidden()
    image = viewer.add_image(np.random.default_rng(0).random((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    assert not panel.next.isHidden()
    assert panel.next.track.isHidden()
    panel.results.labels.visible = False
    panel.next.measure.click()
    opened = panel.open_beside("EmbedSeg: Measure")
    qtbot.waitUntil(lambda: opened.table is not None, timeout=20_000)
    assert opened.image.layer() == image
    assert panel.results.labels.visible
    assert len(opened.table["label"]) == 2
    assert "intensity_mean_0" in panel.results.labels.features


def test_a_movie_is_tracked_in_its_panel_and_saved_with_its_axes(viewer, panel, fake, qtbot, tmp_path) -> None:
    image = viewer.add_image(
        np.random.default_rng(0).random((4, 24, 24)), name="movie", scale=(1, 0.5, 0.5), axis_labels=("t", "y", "x"),
        units=("s", "um", "um"),
    )  # fmt: skip
    panel.start()
    finish(qtbot, panel)
    assert not panel.next.track.isHidden()
    panel.next.write(tmp_path / "movie labels")
    saved = read_image(tmp_path / "movie labels.tif")
    assert (saved.axes, saved.spacing, saved.unit) == ("TYX", (0.5, 0.5), "um")
    np.testing.assert_array_equal(saved.array, panel.results.labels.data)
    panel.next.track.click()
    opened = panel.open_beside("EmbedSeg: Track")
    qtbot.waitUntil(lambda: opened.controls.current is None, timeout=20_000)
    assert opened.layers.source == panel.results.labels
    assert opened.image.layer() == image
    found, tracked, lines = panel.results.labels, opened.layers.labels, opened.layers.lines
    panel.show_scene()
    assert (found.visible, tracked.visible, lines.visible) == (True, False, False)
    # On one of its frames, in which nothing was found yet, they would be taken for what is there.
    frame = viewer.add_image(image.data[0], name="a frame", metadata={TIME_POINT: f"{image.unique_id} 0"})
    panel.image.layer_box.choose(frame)
    panel.show_scene()
    assert not any(layer.visible for layer in (found, tracked, lines))


def test_a_movie_of_one_frame_has_nothing_to_track(viewer, panel, fake, qtbot) -> None:
    viewer.add_image(np.random.default_rng(0).random((1, 24, 24)), name="movie", axis_labels="tyx")
    panel.start()
    finish(qtbot, panel)
    assert panel.next.track.isHidden()
    assert "2 objects in" in panel.status.text()
    assert "frame" not in panel.status.text()


@pytest.mark.parametrize("axes", ["YX", "CYX", "TYX", "TCYX", "ZYX"])
def test_a_part_is_measured_and_tracked_on_its_part_of_the_image(
    viewer, panel, fake, qtbot, monkeypatch, tmp_path, axes
) -> None:
    pytest.importorskip("pyqtgraph")
    shape = [{"T": 3, "C": 2, "Z": 4, "Y": 60, "X": 80}[letter] for letter in axes]
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    scale = [1.0] * (len(axes) - 2) + [0.3, 0.3]
    image = viewer.add_image(
        values, name="cells", axis_labels=axes.lower(), scale=scale, translate=np.multiply(scale, 7)
    )
    if "Z" in axes:
        panel.model.choose(bundled_path("nuclei-3d"))
    if "C" in axes:
        panel.image.channel.setCurrentIndex(panel.image.channel.findData(1))
    corners = np.array([[20, 30], [20, 58], [46, 58], [46, 30]])
    viewer.add_shapes([corners], scale=image.scale[-2:], translate=image.translate[-2:])
    panel.image.region.setCurrentText(RECTANGLE)
    panel.start()
    finish(qtbot, panel)
    labels = panel.results.labels
    assert labels.data.shape[-2:] == (26, 28)
    panel.next.measure.click()
    measure = panel.open_beside("EmbedSeg: Measure")
    qtbot.waitUntil(lambda: measure.controls.current is None, timeout=20_000)
    assert measure.image.layer() == image
    part = np.moveaxis(values, axes.index("C"), 0) if "C" in axes else values[None]
    part = part[..., 20:46, 30:58]
    objects = labels.data[:, 0] if axes == "TCYX" else labels.data
    for channel, pixels in enumerate(part):
        wanted = [pixels[objects == label].mean() for label in measure.table["label"]]
        np.testing.assert_allclose(measure.table[f"intensity_mean_{channel}"], wanted, rtol=1e-5)
    gone: list[list[float]] = []
    monkeypatch.setattr("embedseg_napari.viewer.measure.widget.go_to", lambda *places: gone.append(places[2].tolist()))
    for chosen in (image, None):
        measure.image.choose(chosen)
        measure.start()
        qtbot.waitUntil(lambda: measure.controls.current is None, timeout=20_000)
        assert ("intensity_mean_0" in measure.table) is (chosen is not None)
        # Places are those in the image, with or without it.
        assert set(measure.table["bbox_min_y_px"]) == {22}
        assert set(measure.table["bbox_max_x_px"]) == {38, 50}
        assert set(measure.table["centroid_y_px"]) == {24.5}
        measure._take_selection([0])
        # A pixel of the object, of the layer.
        assert np.abs(np.subtract(gone[-1][-2:], 4.5)).max() <= 0.5
    measure.files.write_objects(tmp_path / "a.geojson", "geojson")
    qtbot.waitUntil(lambda: not measure.files.run.is_active, timeout=20_000)
    own = axes.replace("C", "")
    sizes = [shape[axes.index(letter)] for letter in own]
    whole = np.zeros(sizes, int)
    whole[..., 20:46, 30:58] = objects
    np.testing.assert_array_equal(es.import_labels(tmp_path / "a.geojson", sizes, own), whole)
    if "T" in axes:
        panel.next.track.click()
        track = panel.open_beside("EmbedSeg: Track")
        qtbot.waitUntil(lambda: track.controls.current is None, timeout=20_000)
        assert (track.layers.source, track.image.layer()) == (labels, image), track.controls.status.text()
        assert len(track.correct.corrected.tracks.rows()) == 2


def test_frames_of_a_part_keep_their_numbers(viewer, panel, fake, qtbot, tmp_path) -> None:
    pytest.importorskip("pyqtgraph")
    viewer.add_image(np.random.default_rng(0).random((12, 24, 24)), name="movie", axis_labels="tyx")
    panel.image.region.setCurrentText(VIEW)
    for t in (3, 10):
        viewer.dims.set_point(0, t)
        panel.start()
        finish(qtbot, panel)
    labels = panel.results.labels
    assert labels.data.shape == (8, 24, 24)
    assert set(labels.features["frame"]) == {3, 10}
    panel.next.write(tmp_path / "labels.tif")
    assert "It begins at frame 3, y 0, x 0 of the image." in notification_manager.records[-1].message
    panel.next.measure.click()
    measure = panel.open_beside("EmbedSeg: Measure")
    qtbot.waitUntil(lambda: measure.controls.current is None, timeout=20_000)
    assert set(labels.features["frame"].dropna()) == {3, 10}
    for row, t in enumerate(measure.table["frame"]):
        measure._take_selection([row])
        assert viewer.dims.current_step[0] == t
        assert measure._frame() == t
    measure.files.write_objects(tmp_path / "a.zip", "imagej")
    qtbot.waitUntil(lambda: not measure.files.run.is_active, timeout=20_000)
    there = es.import_labels(tmp_path / "a.zip", (12, 24, 24), "TYX")
    np.testing.assert_array_equal(there[3:11], labels.data)
    measure.files.recipe.copy_command()
    assert "is of a part of movie" in measure.files.recipe.line.text()
    panel.next.track.click()
    track = panel.open_beside("EmbedSeg: Track")
    qtbot.waitUntil(lambda: track.controls.current is None, timeout=20_000)
    track.correct.choose([0])
    assert "in frame 3" in track.correct.line.text()
    track.write(tmp_path / "tracks", "ctc")
    qtbot.waitUntil(lambda: track.controls.current is None, timeout=20_000)
    assert "begin at frame 3" in track.controls.status.text()
    assert {row.split()[1] for row in (tmp_path / "tracks/res_track.txt").read_text().splitlines()} == {"3", "10"}
    assert (tmp_path / "tracks/mask010.tif").is_file()
    rows = np.genfromtxt(tmp_path / "tracks/tracks.csv", delimiter=",", names=True)
    assert set(rows["frame"]) == {3, 10}
    np.testing.assert_allclose(rows["centroid_y_px"], 4.5)


def test_the_seconds_between_frames_outlast_the_viewer(viewer, panel, fake, qtbot, tmp_path) -> None:
    values = np.random.default_rng(0).random((4, 24, 24)).astype(np.float32)
    write_image(tmp_path / "movie.tif", values, "TYX", (0.5, 0.5), "um", interval=30)
    (image,) = viewer.open(str(tmp_path / "movie.tif"), plugin="napari")
    panel.start()
    finish(qtbot, panel)
    panel.next.write(tmp_path / "labels.tif")
    panel.next.track.click()
    track = panel.open_beside("EmbedSeg: Track")
    qtbot.waitUntil(lambda: track.controls.current is None, timeout=20_000)
    track.layers.labels.save(str(tmp_path / "tracked.tif"), plugin="embedseg-napari")
    for name in ("labels", "tracked"):
        assert read_image(tmp_path / f"{name}.tif").interval == 30
    assert tuple(image.scale) == (1, 0.5, 0.5)
    # Segmented in blocks, they are written into a store.
    assert source_of(image, "TYX").image().interval == 30


@pytest.mark.parametrize("axes", ["TZYX", "TCYX"])
def test_numbers_are_of_the_axes_that_objects_have(viewer, panel, fake, qtbot, axes) -> None:
    pytest.importorskip("pyqtgraph")
    viewer.add_image(np.random.default_rng(0).random((3, 1, 24, 24)), name="movie", axis_labels=axes.lower())
    panel.start()
    finish(qtbot, panel)
    panel.next.measure.click()
    measure = panel.open_beside("EmbedSeg: Measure")
    qtbot.waitUntil(lambda: measure.table is not None, timeout=20_000)
    assert {"area_px", "score", "intensity_mean_0"} <= set(measure.table)
    # An object that is chosen in the plot is gone to.
    measure._take_selection([3])
    assert viewer.dims.point[0] == 1


@pytest.mark.parametrize("is_named", [True, False])
@pytest.mark.parametrize("axes", ["TCYX", "TCZYX"])
def test_a_movie_of_channels_leads_on_whether_or_not_its_axes_are_named(
    viewer, panel, fake, qtbot, tmp_path, axes, is_named
) -> None:
    pytest.importorskip("pyqtgraph")
    shape = [{"T": 3, "C": 2, "Z": 4}.get(letter, 24) for letter in axes]
    names = {"axis_labels": axes.lower()} if is_named else {}
    image = viewer.add_image(np.random.default_rng(0).random(shape), name="movie", **names)
    panel.model.choose(bundled_path("nuclei-3d" if "Z" in axes else "nuclei-2d"))
    panel.image.channel.setCurrentIndex(panel.image.channel.findData(0))
    panel.start()
    finish(qtbot, panel)
    labels = panel.results.labels
    panel.next.write(tmp_path / "labels.tif")
    saved = read_image(tmp_path / "labels.tif")
    assert saved.axes == axes.replace("C", "")
    np.testing.assert_array_equal(saved.array, labels.data[:, 0])
    panel.next.measure.click()
    measure = panel.open_beside("EmbedSeg: Measure")
    for with_brightness in (True, False):
        qtbot.waitUntil(lambda: measure.controls.current is None, timeout=20_000)
        assert len(measure.table["label"]) == 6
        assert ("intensity_mean_0" in measure.table) is with_brightness
        measure.image.choose(None)
        measure.start()
    panel.next.track.click()
    track = panel.open_beside("EmbedSeg: Track")
    qtbot.waitUntil(lambda: track.controls.current is None, timeout=20_000)
    assert (track.layers.source, track.image.layer()) == (labels, image)
    tracks, tracked = track.correct.corrected.tracks, track.layers.labels
    assert len(tracks.rows()) == 2
    assert tracked.data.shape == labels.data.shape
    np.testing.assert_array_equal(tracked.extent.world, labels.extent.world)
    track.correct.choose([tracks.row_in_track(1, 2)])
    track.layers.go_to(track.correct.chosen[0])
    assert viewer.dims.point[0] == 1
    track.correct.cut()
    assert len(np.unique(tracked.data)) == 4, "two tracks, one of them in two parts, and the background"
    lines = track.layers.lines
    # Napari draws none of five axes.
    assert (lines is None) is (len(axes) > 4)
    if lines is not None:
        np.testing.assert_array_equal(lines.scale, tracked.scale)
    track.write(tmp_path / "tracks", "ctc")
    qtbot.waitUntil(lambda: track.controls.current is None, timeout=20_000)
    assert (tmp_path / "tracks").is_dir(), track.controls.status.text()


def test_a_file_that_the_dialog_did_not_ask_about_stays(viewer, panel, fake, qtbot, tmp_path) -> None:
    viewer.add_image(np.random.default_rng(0).random((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    (tmp_path / "cells.tif").write_bytes(b"the image itself")
    panel.next.write(tmp_path / "cells")
    assert (tmp_path / "cells.tif").read_bytes() == b"the image itself"
    assert "exists already" in notification_manager.records[-1].message
    # The file of this very name was asked about.
    panel.next.write(tmp_path / "cells.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "cells.tif").array, panel.results.labels.data)


def test_labels_that_cannot_be_written_are_told(viewer, panel, fake, qtbot, tmp_path) -> None:
    viewer.add_image(np.random.default_rng(0).random((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    (tmp_path / "folder.tif").mkdir()
    panel.next.write(tmp_path / "folder.tif")
    assert "folder.tif" in notification_manager.records[-1].message
