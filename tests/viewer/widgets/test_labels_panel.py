"""What the panels that look at the objects of a Labels layer have in common."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from embedseg_napari.core.data.dividing_cells import dividing_cells
from embedseg_napari.viewer.layers import FOUND, RESULT, SEGMENTED
from embedseg_napari.viewer.neighbours import image_under

NAMES = ["EmbedSeg: Measure", "EmbedSeg: Track", "EmbedSeg: Estimate"]
MOVIE = {"axis_labels": ("t", "y", "x")}


@pytest.fixture
def movie() -> np.ndarray:
    return dividing_cells(6, 4, 1, seed=2).labels


def during_a_run(panel, qtbot, do) -> None:
    """Start a run, and do something before its result is there."""
    panel.start()
    run = panel.controls.current
    run.pause()
    do()
    run.resume()
    qtbot.waitUntil(lambda: panel.controls.current is None, timeout=20_000)


@pytest.mark.parametrize("name", NAMES)
def test_labels_that_change_during_a_run_are_looked_at_again(viewer, open_panel, qtbot, movie, name) -> None:
    layer = viewer.add_labels(movie, name="cells", **MOVIE)
    panel = open_panel(name)
    during_a_run(panel, qtbot, lambda: layer.paint((0, 1, 1), movie[0].max()))
    title = panel.controls.run_button.text()
    assert panel.controls.status.text() == f"The labels changed in the meantime; press {title} again."
    assert panel.subject is None
    panel.controls.run_button.click()
    qtbot.waitUntil(lambda: panel.controls.current is None, timeout=20_000)
    assert panel.subject == layer
    layer.paint((0, 1, 1), 98)
    assert "changed since" in panel.controls.status.text()


@pytest.mark.parametrize("name", NAMES)
def test_labels_that_are_removed_during_a_run_have_no_result(viewer, open_panel, qtbot, movie, name) -> None:
    viewer.add_labels(movie, name="others", **MOVIE)
    layer = viewer.add_labels(movie, name="cells", **MOVIE)
    panel = open_panel(name)
    during_a_run(panel, qtbot, lambda: viewer.layers.remove(layer))
    assert "removed in the meantime" in panel.controls.status.text()
    assert panel.subject is None
    assert panel.labels.layer().name == "others"


@pytest.mark.parametrize("name", NAMES)
def test_why_nothing_can_be_done_is_said_until_it_can(viewer, open_panel, movie, name) -> None:
    panel = open_panel(name)
    assert panel.controls.status.text() == panel.no_labels
    assert not panel.controls.run_button.isEnabled()
    viewer.add_labels(np.zeros((1, 2, 1, 2, 9, 8), np.uint8), name="six")
    assert "six has 6 axes" in panel.controls.status.text()
    assert not panel.controls.run_button.isEnabled()
    layer = viewer.add_labels(movie, name="cells", **MOVIE)
    assert panel.labels.layer() == layer
    assert panel.controls.status.text() == ""
    assert panel.controls.run_button.isEnabled()


def test_the_image_below_lies_pixel_for_pixel(layer_viewer, movie) -> None:
    labels = layer_viewer.add_labels(movie, **MOVIE)
    images = [
        layer_viewer.add_image(np.zeros(shape), axis_labels=axes)
        for shape, axes in (
            (movie.shape[1:], ("y", "x")),
            ((4, 9, 9), ("t", "y", "x")),
            ((4, 2, *movie.shape[1:]), ("t", "c", "y", "x")),
            (movie.shape, ("t", "y", "x")),
        )
    ]
    assert image_under(labels, images) is images[2]
    assert image_under(labels, images[:2]) is None


def test_an_image_that_the_user_chose_stays_when_another_comes(viewer, open_panel) -> None:
    first, second = (viewer.add_image(np.zeros((8, 9)), name=name) for name in ("first", "second"))
    viewer.add_labels(np.ones((8, 9), int), metadata={SEGMENTED: str(second.unique_id), RESULT: FOUND})
    panel = open_panel("EmbedSeg: Measure")
    assert panel.image.layer() == second
    panel.image.choose(first)
    viewer.add_image(np.zeros((8, 9)), name="third")
    assert panel.image.layer() == first


def choose_by_hand(box, layer) -> None:
    """Choose a layer, or none, as a click in the list does."""
    box.choose(layer)
    box.native.activated.emit(box.native.currentIndex())


def test_a_chosen_image_gives_no_way_to_one_that_is_named_as_the_labels(viewer, open_panel) -> None:
    chosen = viewer.add_image(np.zeros((8, 9)), name="chosen")
    labels = viewer.add_labels(np.ones((8, 9), int), name="cells truth")
    boxes = [open_panel("EmbedSeg: Measure").image, open_panel("EmbedSeg: Train").pairs.rows[0].image]
    for box in boxes:
        choose_by_hand(box, chosen)
    cells = viewer.add_image(np.zeros((8, 9)), name="cells")
    labels.axis_labels = ("y", "x")
    assert [box.layer() for box in boxes] == [chosen, chosen]
    viewer.layers.remove(chosen)
    assert boxes[1].layer() == cells
    for box in boxes:
        choose_by_hand(box, cells)
    # Other labels are of another image.
    viewer.add_image(np.zeros((8, 9)), name="more")
    assert [box.layer() for box in boxes] == [cells, cells]
    more = viewer.add_labels(np.ones((8, 9), int), name="more truth")
    open_panel("EmbedSeg: Measure").labels.choose(more)
    open_panel("EmbedSeg: Train").pairs.rows[0].labels.choose(more)
    assert [box.layer().name for box in boxes] == ["more", "more"]


@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("is_part", [False, True])
def test_the_image_of_a_part_or_of_planes_stays_when_another_comes(viewer, open_panel, is_part, by_hand) -> None:
    viewer.add_image(np.zeros((40, 40)), name="other")
    image = viewer.add_image(np.zeros((40, 40)), name="image")
    if is_part:
        labels = viewer.add_labels(np.ones((20, 20), int), metadata={SEGMENTED: str(image.unique_id), RESULT: FOUND})
    else:
        labels = viewer.add_labels(np.ones((3, 40, 40), int), name="image masks", axis_labels=("n", "y", "x"))
    panel = open_panel("EmbedSeg: Measure")
    assert panel.image.layer() == image
    if by_hand:
        choose_by_hand(panel.image, image)
    viewer.add_image(np.zeros((40, 40)), name="third")
    labels.axis_labels = labels.axis_labels
    assert panel.image.layer() == image


def test_an_image_that_was_chosen_for_labels_on_none_stays_when_another_comes(viewer, open_panel) -> None:
    image = viewer.add_image(np.zeros((40, 40)), name="image")
    viewer.add_labels(np.ones((20, 20), int))
    panel = open_panel("EmbedSeg: Measure")
    panel.image.choose(image)
    viewer.add_image(np.zeros((40, 40)), name="other")
    assert panel.image.layer() == image


def test_no_image_is_measured_where_a_person_chose_none(viewer, open_panel) -> None:
    viewer.add_image(np.zeros((8, 9)), name="first")
    viewer.add_labels(np.ones((8, 9), int), name="cells truth")
    panel = open_panel("EmbedSeg: Measure")
    choose_by_hand(panel.image, None)
    viewer.add_image(np.zeros((8, 9)), name="cells")
    assert panel.image.layer() is None


@pytest.mark.parametrize("axes", ["nyx", "tnyx"])
@pytest.mark.parametrize("name", NAMES)
def test_planes_of_one_object_each_are_asked_about_in_no_panel(viewer, open_panel, name, axes) -> None:
    labels = viewer.add_labels(np.ones((2, 3, 8, 9)[-len(axes) :], int), name="worms", axis_labels=tuple(axes))
    panel = open_panel(name)
    panel.labels.choose(labels)
    assert panel.question.isHidden()
    assert panel.controls.run_button.isEnabled() == (axes == "nyx" and name != "EmbedSeg: Track")
    assert ("one object each" in panel.controls.status.text()) != panel.controls.run_button.isEnabled()
