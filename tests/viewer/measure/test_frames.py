"""Objects in frames, and planes of which nothing says what they are."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Labels

pytest.importorskip("pyqtgraph")

from measure_steps import measure
from store_steps import write_store

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.lazy_image import LazyImage
from embedseg_napari.viewer.files.live import live_levels
from embedseg_napari.viewer.measure.layer_table import objects_of
from embedseg_napari.viewer.track.track_layers import movie_of


def test_what_has_one_number_in_many_frames_is_shown_as_it_is_in_the_frame_in_sight(panel, viewer, qtbot) -> None:
    movie = np.zeros((3, 20, 20), np.uint8)
    for t in range(3):
        movie[t, 1:5, 1 : 5 + 3 * t] = 1
    # Gone in the last frame.
    movie[:2, 10:16, 10:16] = 2
    labels = viewer.add_labels(movie, name="tracked", axis_labels=("t", "y", "x"), scale=(10, 1, 1))
    viewer.dims.set_point(0, 10)
    measure(panel, qtbot)
    panel.color.setCurrentText("area_px")
    shown = []
    for t in (1, 2, 0):
        viewer.dims.set_point(0, 10 * t)
        features = labels.features.dropna().set_index("index")
        assert features["area_px"].to_dict() == {1: 16 + 12 * t, 2: 36}
        assert features.loc[1, "frame"] == t
        shown.append(labels.get_color(1)[1])
    # 28, 40 and 16 pixels, on a scale that is the same in all frames.
    assert shown[2] < shown[0] < shown[1]
    labels.selected_label = 2
    labels.selected_label = 1
    assert panel.controls.status.text() == "Object 1 in frame 0: area_px 16."
    assert panel.table["area_px"].tolist() == [16, 36, 28, 36, 40]


def test_numbers_of_another_frame_are_not_left_in_the_status(panel, viewer, qtbot) -> None:
    movie = np.ones((2, 9, 9), np.uint8)
    movie[1, :, 4:] = 0
    labels = viewer.add_labels(movie, name="tracked", axis_labels=("t", "y", "x"))
    measure(panel, qtbot)
    told: list[float] = []
    viewer.cursor.events.position.connect(lambda _: told.append(labels.features["num_pixels"].max()))
    viewer.dims.set_point(0, 1)
    viewer.dims.set_point(0, 0)
    # Napari's thread looks when it is told, and may have done so before the numbers were given.
    assert told[-1] == 81


def test_planes_are_asked_about_where_nothing_says_what_they_are(panel, viewer, qtbot) -> None:
    masks = np.zeros((4, 12, 12), np.uint8)
    for plane in range(4):
        masks[plane, 2 + plane : 6 + plane, 2:9] = 1
    worms = viewer.add_labels(masks, name="worms")
    assert "4 planes of worms" in panel.question.sentence.text()
    assert not panel.controls.run_button.isEnabled()
    panel.pixel_size.returnPressed.emit()
    assert panel.controls.current is None
    panel.question.buttons["T"].click()
    assert panel.controls.run_button.isEnabled()
    measure(panel, qtbot)
    # Not one object of four slices.
    assert panel.table["frame"].tolist() == [0, 1, 2, 3]
    assert tuple(worms.axis_labels) == ("t", "y", "x")


@pytest.mark.parametrize("shape", [(1, 12, 12), (12, 12)])
def test_a_plane_of_labels_is_not_measured_in_the_first_plane_of_a_volume(shape) -> None:
    volume = Image(np.zeros((5, 12, 12)), axis_labels=("z", "y", "x"))
    objects = objects_of(Labels(np.ones(shape, int), axis_labels=("z", "y", "x")[-len(shape) :]), volume)
    assert objects.labels.shape == shape
    assert objects.image.shape == (5, 12, 12), "measuring says that these do not fit"


def test_a_depth_of_one_plane_is_left_out_of_labels_and_image() -> None:
    names = ("z", "y", "x")
    objects = objects_of(
        Labels(np.ones((1, 12, 12), int), axis_labels=names), Image(np.zeros((1, 12, 12)), axis_labels=names)
    )
    assert (objects.axes, objects.labels.shape, objects.image.shape) == ("YX", (12, 12), (12, 12))


def test_labels_in_a_store_are_looked_at_without_being_read(tmp_path, monkeypatch) -> None:
    path = write_store(tmp_path / "labels.zarr", np.ones((2, 1, 40, 50), np.uint8), "tcyx", levels=2, chunk=20)
    names = ("t", "c", "y", "x")
    labels = Labels(live_levels(path, "TCYX"), multiscale=True, axis_labels=names)

    def reads(*_):
        raise AssertionError("a pixel is read")

    monkeypatch.setattr(LazyImage, "__getitem__", reads)
    image = Image(np.zeros((2, 3, 40, 50)), axis_labels=names)
    for objects in (objects_of(labels, None), objects_of(labels, image)):
        assert (objects.axes, tuple(objects.labels.shape)) == ("TYX", (2, 40, 50))
    with pytest.raises(DataError, match="tracked by embedseg track"):
        movie_of(labels, image)


def test_objects_in_a_single_plane_are_gone_to(panel, viewer, qtbot, monkeypatch) -> None:
    gone = []
    monkeypatch.setattr("embedseg_napari.viewer.measure.widget.go_to", lambda *places: gone.append(places[2].tolist()))
    objects = np.zeros((1, 30, 30), np.uint8)
    objects[0, 10:13, 20:25] = 1
    viewer.add_image(np.zeros(objects.shape), name="plane")
    viewer.add_labels(objects, name="cells")
    measure(panel, qtbot)
    panel._take_selection([0])
    assert gone == [[0, 11, 22]]


def test_an_object_painted_on_a_few_planes_is_gone_to_on_one_of_them(panel, viewer, qtbot) -> None:
    objects = np.zeros((9, 30, 30), np.uint8)
    objects[[2, 6], 10:13, 20:25] = 1
    viewer.add_labels(objects, name="cells", axis_labels=("z", "y", "x"), scale=(2, 1, 1))
    measure(panel, qtbot)
    panel._take_selection([0])
    assert viewer.dims.point[0] in (4, 12)


def test_planes_are_not_asked_about_where_their_image_says_it(panel, viewer) -> None:
    viewer.add_image(np.zeros((4, 12, 12)), name="movie", axis_labels=("t", "y", "x"))
    viewer.add_labels(np.ones((4, 12, 12), int), name="cells")
    assert panel.image.layer().name == "movie"
    assert panel.question.isHidden()
    assert panel.controls.run_button.isEnabled()
