"""Large images from the Segment panel: into a store, block by block, stopped, gone on with, and never overwritten."""

from __future__ import annotations

import runpy
import shlex
import shutil

import dask.array
import numpy as np
import pytest
import tifffile
from big_steps import IMAGE, SHAPE, in_one_go, labels_in, open_cells, small_blocks
from large_steps import blobs
from qtpy.QtWidgets import QApplication
from segment_steps import PANEL, WAIT, finish
from store_steps import write_store

from embedseg_napari.cli import main
from embedseg_napari.core.files.in_parts import open_image
from embedseg_napari.core.files.ngff import add_notes
from embedseg_napari.core.runs import drain, never
from embedseg_napari.core.stores.labels import create_labels
from embedseg_napari.jobs.large.plan import LargeJob
from embedseg_napari.jobs.large.run import predict_large
from embedseg_napari.viewer.files.dataset_folder import open_dataset_folder
from embedseg_napari.viewer.files.live import store_of
from embedseg_napari.viewer.large.place_box import MEMORY, NEW, STORE


@pytest.fixture
def panel(viewer, open_panel, monkeypatch):
    small_blocks(monkeypatch)
    panel = open_panel(PANEL)
    panel.device.setCurrentText("cpu")
    return panel


def test_a_store_gets_its_labels_as_on_the_command_line(viewer, panel, tmp_path, qtbot):
    path, image = open_cells(viewer, tmp_path)
    place = panel.large.place
    assert (place.isHidden(), place.kind.currentText(), panel.large.in_blocks) == (False, STORE, True)
    panel.run_button.click()
    finish(qtbot, panel)
    labels = viewer.layers["cells embedseg"]
    assert (labels.multiscale, len(labels.data), store_of(labels).folder) == (True, 3, path / "labels" / "embedseg")
    wanted, done = in_one_go(path, panel)
    np.testing.assert_array_equal(labels_in(path), wanted)
    np.testing.assert_array_equal(np.asarray(labels.data[0]), wanted)
    np.testing.assert_array_equal(labels.extent.world, image.extent.world)
    assert labels.features["index"].tolist() == list(range(1, done.n_objects + 1))
    assert f"{done.n_objects} objects" in panel.status.text()
    assert "both sides agree on every pixel" in panel.advice.notes.text()
    assert "cells.embedseg.csv" in panel.advice.notes.text()
    assert viewer.layers.selection.active == labels
    assert f"{done.n_objects} objects" in place.state.text()
    # Once more: nothing is done twice, nothing is overwritten.
    panel.image.layer_box.choose(image)
    panel.start()
    finish(qtbot, panel)
    assert "complete already" in panel.advice.notes.text()
    assert len(viewer.layers) == 2


@pytest.mark.parametrize("where", ["elsewhere", "gone"])
def test_complete_labels_are_shown_wherever_their_table_is(viewer, panel, tmp_path, qtbot, where):
    path, _ = open_cells(viewer, tmp_path)
    job = LargeJob(path, "nuclei-2d", "cpu", panel.settings.changes(), table=tmp_path / "elsewhere.csv")
    n = drain(predict_large(job, never)).n_objects
    if where == "gone":
        job.table.unlink()
    panel.run_button.click()
    finish(qtbot, panel)
    assert panel.large.place.answers.isHidden()
    assert len(viewer.layers["cells embedseg"].features) == (n if where == "elsewhere" else 0)
    notes = panel.advice.notes.text()
    assert ("elsewhere.csv" in notes, "no longer there" in notes) == (where == "elsewhere", where == "gone")


def test_cancel_keeps_what_is_done_and_segment_goes_on(viewer, panel, tmp_path, qtbot):
    path, _ = open_cells(viewer, tmp_path)
    panel.run_button.click()
    qtbot.waitUntil(lambda: "left" in panel.progress.format(), timeout=WAIT)
    panel.cancel_button.click()
    finish(qtbot, panel)
    assert "what is done stays" in panel.status.text()
    assert "Segment goes on" in panel.large.place.state.text()
    layer = viewer.layers["cells embedseg"]
    shown = np.asarray(layer.data[0])
    assert shown.any()
    np.testing.assert_array_equal(np.asarray(layer.data[1]), shown[::2, ::2])
    panel.run_button.click()
    qtbot.waitUntil(lambda: "done before" in panel.status.text(), timeout=WAIT)
    finish(qtbot, panel)
    np.testing.assert_array_equal(np.asarray(layer.data[0]), in_one_go(path, panel)[0])
    assert len(viewer.layers) == 2


def test_labels_that_are_there_are_asked_about(viewer, panel, tmp_path, qtbot):
    path, _ = open_cells(viewer, tmp_path)
    before, _ = in_one_go(path, panel, "embedseg")
    panel.thresholds.set_values({**panel.thresholds.values(), "min_object_size": 120})
    panel.start()
    finish(qtbot, panel)
    place = panel.large.place
    assert "another model or other settings" in place.question.text()
    assert not place.answers.isHidden()
    np.testing.assert_array_equal(labels_in(path), before)
    place.rename.click()
    assert place.name.text() == "embedseg-2"
    finish(qtbot, panel)
    assert place.answers.isHidden()
    np.testing.assert_array_equal(labels_in(path), before)
    fewer = labels_in(path, "embedseg-2")
    assert 0 < len(np.unique(fewer)) < len(np.unique(before))
    place.name.setText("embedseg")
    panel.start()
    finish(qtbot, panel)
    place.replace.click()
    finish(qtbot, panel)
    np.testing.assert_array_equal(labels_in(path), fewer)


def test_labels_that_were_opened_with_their_image_are_those_of_the_run(viewer, panel, tmp_path, qtbot):
    path, _ = open_cells(viewer, tmp_path)
    in_one_go(path, panel, "embedseg")
    viewer.layers.clear()
    image, labels = open_dataset_folder(viewer, path)
    panel.image.layer_box.choose(image)
    panel.run_button.click()
    finish(qtbot, panel)
    assert list(viewer.layers) == [image, labels]
    panel.take_front(is_front=True)
    assert panel.scene().image == image
    # Also after the image was opened once more.
    viewer.layers.remove(image)
    again = open_image_of(viewer, path)
    panel.image.layer_box.choose(again)
    panel.run_button.click()
    finish(qtbot, panel)
    assert panel.scene().image == again


def open_image_of(viewer, path):
    """The image of a store, without its labels."""
    image, *labels = open_dataset_folder(viewer, path)
    for layer in labels:
        viewer.layers.remove(layer)
    return image


@pytest.mark.thorough
def test_an_array_asks_for_a_place(viewer, panel, tmp_path, qtbot):
    n_read = []

    def look(part):
        n_read.append(part.size)
        return part

    array = dask.array.from_array(IMAGE, chunks=100).map_blocks(look, dtype=IMAGE.dtype, meta=np.empty((0, 0)))
    viewer.add_image(array, name="cells", scale=(0.5, 0.5), units="um", contrast_limits=(0, 900))
    place = panel.large.place
    assert place.kind.currentText() == NEW
    assert not panel.run_button.isEnabled()
    assert "Choose where the labels go" in panel.status.text()
    place.place.setText(str(tmp_path / "out"))
    assert "ends in .ome.zarr" in panel.status.text()
    place.place.setText(str(tmp_path / "out.ome.zarr"))
    panel.run_button.click()
    finish(qtbot, panel)
    labels = viewer.layers["cells labels"]
    assert store_of(labels).folder == tmp_path / "out.ome.zarr"
    path, _ = open_cells(viewer, tmp_path)
    np.testing.assert_array_equal(np.asarray(labels.data[0]), in_one_go(path, panel)[0])
    np.testing.assert_array_equal(labels.scale, (0.5, 0.5))


@pytest.mark.thorough
def test_a_store_that_napari_itself_opened_holds_its_labels(viewer, panel, tmp_path, qtbot):
    path = write_store(tmp_path / "cells.ome.zarr", IMAGE, "yx", levels=2)
    viewer.open(str(path), plugin="napari")
    assert (panel.large.place.kind.currentText(), panel.image.axes.text()) == (STORE, "YX")
    panel.run_button.click()
    finish(qtbot, panel)
    np.testing.assert_array_equal(labels_in(path), in_one_go(path, panel)[0])


@pytest.mark.thorough
def test_a_layer_that_shows_other_pixels_than_its_file_is_segmented_as_it_is_seen(viewer, panel, tmp_path, qtbot):
    path, image = open_cells(viewer, tmp_path)
    image.data = [level[::-1] for level in image.data]
    panel.run_button.click()
    finish(qtbot, panel)
    upright, _ = in_one_go(path, panel)
    found = labels_in(path)
    assert np.mean((found[::-1] > 0) != (upright > 0)) < 0.001
    assert np.mean((found > 0) != (upright > 0)) > 0.05


def test_a_tiff_has_its_labels_beside_it(viewer, panel, tmp_path, qtbot):
    file = tmp_path / "slide.tif"
    tifffile.imwrite(file, IMAGE, tile=(256, 256))
    viewer.add_image(dask.array.from_array(IMAGE, chunks=100), name="slide", metadata={"path": str(file)})
    place = panel.large.place
    assert (place.kind.currentText(), place.place.text()) == (NEW, str(tmp_path / "slide-labels.ome.zarr"))
    # That of labels in a store, which is not asked for here.
    place.name.setText("left over")
    panel.run_button.click()
    finish(qtbot, panel)
    # The same run as that of the command line on the file.
    again = LargeJob(file, "nuclei-2d", "cpu", panel.settings.changes(), output=tmp_path / "slide-labels.ome.zarr")
    events = []
    drain(predict_large(again, never), events.append)
    assert any("complete already" in getattr(event, "text", "") for event in events)


def test_a_damaged_piece_is_named_and_the_rest_is_kept(viewer, panel, tmp_path, qtbot):
    path, _ = open_cells(viewer, tmp_path)
    (path / "0" / "c" / "4" / "5").write_bytes(b"no chunk")
    panel.run_button.click()
    finish(qtbot, panel)
    assert "may be damaged" in panel.status.text()
    assert panel.run_button.isEnabled()


def test_small_or_chosen_images_stay_in_memory(viewer, panel, tmp_path, qtbot):
    open_cells(viewer, tmp_path)
    panel.large.place.kind.setCurrentText(MEMORY)
    panel.run_button.click()
    finish(qtbot, panel)
    assert viewer.layers["cells labels"].data.shape == SHAPE
    assert not (tmp_path / "cells.ome.zarr" / "labels").exists()
    panel.recipe.copy_command()
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(QApplication.clipboard().text())[1:])
    assert not ended.value.code
    (made,) = (tmp_path / "labels").glob("*.tif")
    assert tifffile.imread(made).shape == SHAPE
    viewer.add_image(IMAGE[:100], name="small")
    assert panel.large.place.isHidden()
    viewer.add_image(dask.array.from_array(IMAGE[:200, :300]), name="lazy")
    assert panel.large.place.kind.currentText() == MEMORY


@pytest.mark.thorough
def test_a_movie_with_channels(viewer, panel, tmp_path, qtbot):
    movie = np.stack([np.stack([IMAGE[:300, :400], IMAGE[300:, :400]])] * 2)
    movie[1, 1] = movie[1, 1, ::-1]
    path, image = open_cells(viewer, tmp_path, movie, "tcyx")
    panel.image.channel.setCurrentIndex(panel.image.channel.findData(1))
    panel.large.place.kind.setCurrentText(STORE)
    panel.run_button.click()
    finish(qtbot, panel)
    labels = viewer.layers["cells embedseg"]
    found = labels_in(path)
    assert found.shape == (2, 300, 400)
    assert labels.data[0].shape == (2, 1, 300, 400)
    np.testing.assert_array_equal(np.asarray(labels.data[0])[:, 0], found)
    assert found[1].any()
    np.testing.assert_array_equal(labels.extent.world[:, [0, 2, 3]], image.extent.world[:, [0, 2, 3]])
    assert (labels.features["frame"] == 1).any()
    # The frame that is shown is tried out and corrected.
    viewer.dims.set_point(0, 1)
    panel.image.layer_box.choose(image)
    panel.large.view_button.click()
    finish(qtbot, panel)
    seen = viewer.layers["cells view labels"].data[0]
    np.testing.assert_array_equal(seen > 0, found[1][: seen.shape[0], : seen.shape[1]] > 0)
    viewer.layers.selection.active = labels
    panel.correct.open_button.click()
    qtbot.waitUntil(lambda: not panel.correct.is_busy)
    part = panel.correct.part
    assert part.layer.data.shape[:2] == (1, 1)
    part.layer.data = np.zeros_like(part.layer.data)
    panel.correct.write_button.click()
    qtbot.waitUntil(lambda: not panel.correct.is_busy)
    now = labels_in(path)
    np.testing.assert_array_equal(now[0], found[0])
    assert not now[1][part.place.key[2:]].any()


def test_a_model_of_another_scale_is_refused(viewer, panel, tmp_path, qtbot):
    path, _ = open_cells(viewer, tmp_path)
    panel.scale.setValue(0.5)
    panel.run_button.click()
    finish(qtbot, panel)
    assert "which is not done in blocks; choose a --level" in panel.status.text()
    assert not (path / "labels").exists()


@pytest.mark.thorough
def test_a_level(viewer, panel, tmp_path, qtbot):
    path, image = open_cells(viewer, tmp_path, np.kron(IMAGE, np.ones((2, 2), np.uint16)))
    panel.large.place.level.setCurrentIndex(1)
    panel.run_button.click()
    finish(qtbot, panel)
    labels = viewer.layers["cells embedseg"]
    assert labels.data[0].shape == SHAPE
    np.testing.assert_array_equal(labels.scale, np.asarray(image.scale) * 2)
    assert labels_in(path).any()


def test_closing_the_panel_while_it_runs_keeps_blocks(viewer, panel, tmp_path, qtbot):
    path, _ = open_cells(viewer, tmp_path)
    panel.run_button.click()
    qtbot.waitUntil(lambda: "left" in panel.progress.format(), timeout=WAIT)
    run = panel.current
    with qtbot.waitSignal(run.finished, timeout=WAIT):
        viewer.window.remove_dock_widget(panel)
    assert list((path / "labels" / ".embedseg.run" / "blocks").rglob("*.npz"))
    wanted, _ = in_one_go(path, panel, "embedseg")
    np.testing.assert_array_equal(wanted, in_one_go(path, panel)[0])


def test_a_volume_is_segmented_tried_out_and_corrected(viewer, open_panel, monkeypatch, tmp_path, qtbot):
    small_blocks(monkeypatch, 3)
    monkeypatch.setattr("embedseg_napari.viewer.large.part.MOST", {3: (8, 64, 64)})
    panel = open_panel(PANEL)
    panel.device.setCurrentText("cpu")
    path, image = open_cells(viewer, tmp_path, blobs((20, 120, 130), 30, radius=(4.0, 6.0)), "zyx")
    assert panel.model.config.ndim == 3
    panel.large.view_button.click()
    finish(qtbot, panel)
    assert viewer.layers["cells view labels"].data.ndim == 3
    panel.run_button.click()
    finish(qtbot, panel)
    labels = viewer.layers["cells embedseg"]
    wanted, _ = in_one_go(path, panel)
    np.testing.assert_array_equal(np.asarray(labels.data[0]), wanted)
    np.testing.assert_array_equal(labels.extent.world, image.extent.world)
    viewer.layers.selection.active = labels
    viewer.dims.set_point(0, 10)
    panel.correct.open_button.click()
    qtbot.waitUntil(lambda: not panel.correct.is_busy)
    part = panel.correct.part
    assert part.layer.data.shape == (8, 64, 64)
    part.layer.data = np.zeros_like(part.layer.data)
    panel.correct.write_button.click()
    qtbot.waitUntil(lambda: not panel.correct.is_busy)
    assert not labels_in(path)[part.place.key].any()


@pytest.fixture
def embedseg(capfd):
    """What a command says, which must not fail."""

    def run(*words):
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        assert not ended.value.code
        return " ".join("".join(capfd.readouterr()).split())

    return run


@pytest.mark.thorough
def test_a_run_is_copied_as_a_command_that_finds_the_same(viewer, panel, tmp_path, qtbot, embedseg):
    path, _ = open_cells(viewer, tmp_path)
    assert panel.recipe.isHidden()
    panel.thresholds.set_values({**panel.thresholds.values(), "min_object_size": 120})
    panel.run_button.click()
    finish(qtbot, panel)
    assert not panel.recipe.isHidden()
    panel.recipe.copy_command()
    command = QApplication.clipboard().text()
    assert command.startswith(f"embedseg predict nuclei-2d {path} --device cpu")
    assert command.endswith("--min-object-size 120")
    wanted = labels_in(path)
    # As it is, it finds that all is done; beside it, the same labels.
    assert "complete already" in embedseg(*shlex.split(command)[1:])
    embedseg(*shlex.split(command)[1:], "--name", "again")
    np.testing.assert_array_equal(labels_in(path, "again"), wanted)
    script = tmp_path / "script.py"
    panel.recipe.save_script(script)
    shutil.rmtree(path / "labels" / "embedseg")
    path.with_name("cells.embedseg.csv").unlink()
    runpy.run_path(str(script), run_name="__main__")
    np.testing.assert_array_equal(labels_in(path), wanted)
    told = embedseg("info", path / "labels" / "embedseg")
    assert "objects of more than 120 pixels" in told
    assert "changed" not in told
    add_notes(path / "labels" / "embedseg", changed="2026-01-01")
    assert "the label image was changed" in embedseg("info", path / "labels" / "embedseg")


def test_labels_that_no_run_made_have_no_command(viewer, panel, tmp_path, qtbot):
    path, _ = open_cells(viewer, tmp_path)
    create_labels(path, open_image(path), name="truth", block=(128, 128))
    viewer.layers.clear()
    open_dataset_folder(viewer, path)
    panel.recipe.copy_command()
    assert "no run has noted" in panel.recipe.line.text()
