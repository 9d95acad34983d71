"""Images and annotations of a session that is opened, in the Label & Train panel."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from label_steps import annotate, choose_in_list, paint, stored
from napari.utils.notifications import notification_manager

from embedseg_napari.core.files.picture import Picture
from embedseg_napari.core.files.tiff import write_image
from embedseg_napari.core.session.session import AnnotationSession

pytestmark = pytest.mark.usefixtures("own_data")


@pytest.fixture
def panel(endless_panel):
    return endless_panel


@pytest.fixture
def left_file(viewer, panel, blobs, tmp_path):
    """A file `a.tif` whose image was annotated in a session that is closed, and its pixels."""
    image, path = blobs(2)[0], tmp_path / "a.tif"
    write_image(path, image, "YX")
    annotate(panel, open_file(viewer, path))
    paint(panel, 2)
    panel.autosave.save_now()
    panel.sessions.refresh()
    panel.sessions.new.click()
    viewer.layers.clear()
    notification_manager.records.clear()
    return path, image


def open_file(viewer, path):
    (layer,) = viewer.open(str(path), plugin="napari")
    return layer


def resume(panel, layer):
    """Choose an image, and take the session that is offered for it."""
    panel.annotation.image.choose(layer)
    assert panel.sessions.found is not None
    panel.sessions.again.click()


def was_said(words):
    return any(words in record.message for record in notification_manager.records)


def test_no_annotation_is_laid_on_an_image_whose_file_was_changed(viewer, panel, left_file):
    path, image = left_file
    write_image(path, image + 1, "YX", overwrite=True)
    layer = open_file(viewer, path)
    resume(panel, layer)
    assert was_said("was changed since")
    assert list(viewer.layers) == [layer]


@pytest.mark.parametrize("is_same", [True, False])
def test_a_file_that_was_moved_is_known_by_its_content(viewer, panel, left_file, tmp_path, is_same):
    path, image = left_file
    moved = tmp_path / "moved" / path.name
    moved.parent.mkdir()
    path.rename(moved)
    if not is_same:
        write_image(moved, image + 1, "YX", overwrite=True)
    layer = open_file(viewer, moved)
    resume(panel, layer)
    assert was_said("is missing") != is_same
    if is_same:
        assert panel.annotation.layers.image == layer
        assert panel.annotation.counts.n_objects == 2
    else:
        assert list(viewer.layers) == [layer]


def test_selecting_the_areas_of_an_image_brings_it_to_the_front(viewer, panel, add_image, qtbot):
    annotate(panel, add_image("one"))
    paint(panel, 2)
    panel.annotation.region.click()
    areas = panel.annotation.layers.regions.layer
    annotate(panel, add_image("two", shift=9))
    viewer.layers.selection.active = areas
    qtbot.waitUntil(lambda: panel.annotation.image.layer().name == "one", timeout=5000)
    assert viewer.layers.selection.active == areas
    areas.add_rectangles(np.array([[10, 10], [10, 19], [19, 19], [19, 10]], float))
    panel.annotation.count()
    assert "1 region" in panel.annotation.line.text()


def test_a_session_with_a_damaged_annotation_opens_and_goes_back_to_a_round(viewer, panel, add_image, qtbot):
    for name, shift in (("one", 0), ("two", 9)):
        annotate(panel, add_image(name, shift=shift))
        paint(panel, 2)
    panel.train.click()
    qtbot.waitUntil(lambda: bool(panel.progress.plot.losses), timeout=20000)
    panel.stop.click()
    with qtbot.waitSignal(panel.background.finished, timeout=20000):
        pass
    folder = panel.autosave.session.folder
    panel.sessions.new.click()
    viewer.layers.clear()
    file = next(folder.glob("annotations/*/*-one.npz"))
    # The round has a link to the same file.
    file.unlink()
    file.write_bytes(b"damaged")
    notification_manager.records.clear()
    panel.sessions.resume_wanted.emit(folder)
    assert was_said("one.npz: this annotation is damaged")
    assert panel.annotation.layers.image.name == "two"
    assert panel.annotation.counts.n_objects == 2
    notification_manager.records.clear()
    choose_in_list(panel, "one")
    panel.annotation.annotate.click()
    assert was_said("one.npz: this annotation is damaged")
    assert panel.annotation.layers.labels is None
    panel.sessions.rounds_menu.actions()[0].trigger()
    assert panel.annotation.layers.image.name == "one"
    assert panel.annotation.counts.n_objects == 2
    panel.autosave.close()
    assert stored(folder) == {"one": 2, "two": 2}
    assert file.read_bytes() == b"damaged"


def test_an_image_of_a_unit_that_is_none_is_opened(viewer, label_panel, tmp_path):
    """As "voxel", which ImageJ writes where nobody told it better."""
    with AnnotationSession(tmp_path / "session") as session:
        session.add_image("stack", Picture(np.zeros((2, 4, 30, 30)), "CZYX", (2.0, 0.5, 0.25), "voxel"))
    label_panel.sessions.resume_wanted.emit(tmp_path / "session")
    layer = viewer.layers["stack"]
    assert tuple(layer.scale) == (1, 2, 0.5, 0.25)
    assert {str(unit) for unit in layer.units} == {"pixel"}
    assert tuple(layer.axis_labels) == ("c", "z", "y", "x")


@pytest.mark.parametrize("n_colours", [3, 4])
@pytest.mark.parametrize("is_new", [True, False])
def test_an_image_in_colour_comes_back_in_its_colours(viewer, label_panel, rng, n_colours, is_new):
    colours = rng.integers(0, 256, (40, 50, n_colours)).astype(np.uint8)
    panel = label_panel
    annotate(panel, viewer.add_image(colours, name="tissue", rgb=True, scale=(0.5, 0.25), units=("um", "um")))
    painted = paint(panel, 2).data.copy()
    assert panel.autosave.save_now()
    folder = panel.autosave.session.folder
    viewer.layers.clear()
    panel.sessions.new.click()
    if not is_new:
        # A session of an older version.
        state = json.loads((folder / "session.json").read_text())
        del state["images"][0]["is_colour"]
        (folder / "session.json").write_text(json.dumps(state))
    panel.sessions.resume_wanted.emit(folder)
    layer = viewer.layers["tissue"]
    assert layer.rgb == is_new
    np.testing.assert_array_equal(layer.data, colours if is_new else np.moveaxis(colours, -1, 0))
    np.testing.assert_allclose(layer.scale[-2:], (0.5, 0.25))
    assert tuple(layer.axis_labels) == (("y", "x") if is_new else ("c", "y", "x"))
    np.testing.assert_array_equal(np.squeeze(panel.annotation.layers.labels.data), painted)
    assert panel.autosave.is_kept()


def test_an_image_is_not_annotated_anew_while_the_session_is_away(viewer, panel, add_image, tmp_path):
    annotate(panel, add_image("one"))
    paint(panel, 2)
    annotate(panel, add_image("two", shift=9))
    paint(panel, 1)
    assert panel.autosave.save_now()
    for name in ("one annotation", "one"):
        del viewer.layers[name]
    folder = panel.autosave.session.folder
    folder.rename(tmp_path / "aside")
    choose_in_list(panel, "one")
    assert was_said("was moved or deleted while it was open; put it back")
    assert panel.annotation.layers.labels is None
    (tmp_path / "aside").rename(folder)
    choose_in_list(panel, "one")
    assert panel.annotation.counts.n_objects == 2
