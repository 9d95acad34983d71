"""What is compared where the truth is what a person annotates: objects, painted background, and areas."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from evaluate_steps import press
from scipy import ndimage

pytest.importorskip("pyqtgraph")

from embedseg_napari.core.annotation.states import BACKGROUND
from embedseg_napari.viewer.annotation_pixels import PENDING, PendingCopy
from embedseg_napari.viewer.label.drawing.annotation_layers import AnnotationLayers
from embedseg_napari.viewer.layers import ANNOTATION, FOUND, RESULT, SEGMENTED, TIME_POINT

UNLABELLED = (6, 7, 8)


@pytest.fixture(params=["yx", "zyx", "zcyx", "xy"])
def cells(request, viewer):
    """Five of eight cells annotated, with background around them, and all eight found; a rectangle around the last."""
    axes = request.param
    found = np.zeros((60, 100), np.int32)
    for number, (y, x) in enumerate(itertools.product((10, 40), (5, 27, 49, 71)), 1):
        found[y : y + 10, x : x + 10] = number
    true = np.where(np.isin(found, UNLABELLED), 0, found)
    annotated = np.where(ndimage.binary_dilation(true > 0, iterations=2) & (true == 0), BACKGROUND, true)
    if "z" in axes:
        found, annotated = (np.stack([one] * 3) for one in (found, annotated))
    sizes = {"z": 3, "c": 2, "y": 60, "x": 100}
    image = viewer.add_image(np.zeros([sizes[axis] for axis in axes]), name="cells", axis_labels=tuple(axes))
    layers = AnnotationLayers(viewer)
    layers.watch(image)
    layers.make()
    layers.labels.data = layers.frame.array(annotated)
    predicted = viewer.add_labels(
        layers.frame.array(found), name="cells labels", metadata={RESULT: FOUND}, axis_labels=layers.labels.axis_labels
    )
    around = np.zeros(layers.shape, bool)
    around[..., 38:52, 69:83] = True
    return layers, predicted, around


def counts(panel, qtbot):
    press(panel.evaluate, panel, qtbot)
    row = panel.scores.rows[0]
    return row.tp, row.fp, row.fn


def test_only_what_is_annotated_counts(panel, viewer, cells, qtbot) -> None:
    layers, predicted, around = cells
    assert (panel.source.truth.layer(), panel.source.predicted.layer()) == (layers.labels, predicted)
    assert not panel.source.part.isHidden()
    assert counts(panel, qtbot) == (5, 0, 0)
    overlay = viewer.layers["Mistakes"]
    np.testing.assert_array_equal(overlay.data > 0, (predicted.data > 0) & ~np.isin(predicted.data, UNLABELLED))
    # An area says that nothing else is there.
    layers.regions.show(around)
    assert counts(panel, qtbot) == (5, 1, 0)
    np.testing.assert_array_equal(overlay.data > 0, (predicted.data > 0) & ~np.isin(predicted.data, UNLABELLED[:2]))


def test_scores_are_old_once_another_area_is_fully_annotated(panel, cells, qtbot) -> None:
    layers, _, around = cells
    counts(panel, qtbot)
    for change in (
        lambda: layers.regions.show(around),
        lambda: setattr(layers.regions.layer, "data", layers.regions.layer.data[:1]),
        lambda: layers.regions.show(None),
    ):
        assert counts(panel, qtbot)
        assert "changed since" not in panel.status.text()
        change()
        assert "changed since" in panel.status.text()


def test_painted_background_is_no_object_that_was_found(panel, viewer, cells, qtbot) -> None:
    layers, whole, _ = cells
    panel.source.choose(whole, layers.labels)
    assert panel.source.part.isHidden()
    assert counts(panel, qtbot) == (5, 0, 3)


def test_a_copy_that_nobody_changed_is_no_object(panel, viewer, cells, qtbot) -> None:
    layers, predicted, around = cells
    layers.regions.show(around)
    data, found = layers.labels.data, predicted.data
    at = np.nonzero(found == UNLABELLED[-1])
    layers.labels.metadata[PENDING] = PendingCopy(9, at, at, data[at].copy())
    layers.labels.data_setitem(at, 9)
    assert counts(panel, qtbot) == (5, 1, 0)
    layers.labels.data_setitem(tuple(axis[:1] for axis in at), 0)
    assert counts(panel, qtbot) == (6, 0, 0)


def test_there_is_no_command_for_an_annotation(panel, cells) -> None:
    """Its file does not say what is unknown."""
    panel.recipe.copy_command()
    assert "counts only where it is annotated" in panel.recipe.line.text()


def test_two_frames_of_a_movie_are_not_compared(panel, viewer) -> None:
    for number in (0, 5):
        image = viewer.add_image(np.zeros((8, 8)), name=f"movie t={number}", metadata={TIME_POINT: f"m {number}"})
        metadata = {ANNOTATION: str(image.unique_id)} if number else {RESULT: FOUND, SEGMENTED: str(image.unique_id)}
        viewer.add_labels(np.ones((8, 8), int), name=f"t={number}", metadata=metadata)
    panel.source.choose(viewer.layers["t=5"], viewer.layers["t=0"])
    assert panel.source.complaint.text() == "t=5 and t=0 are of different frames: choose labels of one frame."
    assert not panel.evaluate.isEnabled()


def test_labels_of_axes_that_nobody_can_read_are_told_in_a_sentence(viewer, open_panel) -> None:
    for name in ("one", "two"):
        viewer.add_labels(np.zeros((1, 1, 3, 9, 9), int), name=name)
    panel = open_panel("EmbedSeg: Evaluate")
    assert "axes" in panel.source.fault()


@pytest.mark.parametrize("of", [1, 2])
def test_truth_of_one_object_a_plane_is_compared_with_what_was_found_in_its_image(viewer, open_panel, of) -> None:
    for number in (1, 2):
        image = viewer.add_image(np.zeros((8, 9)), name=f"worms{number}")
        viewer.add_labels(np.ones((3, 8, 9), int), name=f"worms{number} masks", axis_labels=("n", "y", "x"))
        if number == of:
            marks = {RESULT: FOUND, SEGMENTED: str(image.unique_id)}
            found = viewer.add_labels(np.ones((8, 9), int), name=f"worms{number} labels", metadata=marks)
    source = open_panel("EmbedSeg: Evaluate").source
    assert (source.truth.layer().name, source.predicted.layer()) == (f"worms{of} masks", found)


@pytest.mark.parametrize("space", ["yx", "zyx"])
@pytest.mark.parametrize("are_true_planes", [True, False])
def test_planes_of_one_object_each_are_compared_with_planes_and_with_labels(
    viewer, open_panel, qtbot, space, are_true_planes
) -> None:
    shape = (4, 20, 30)[-len(space) :]
    true = np.zeros((3, *shape), int)
    for number, start in enumerate((2, 12, 22)):
        true[number, ..., 4:16, start : start + 6] = number + 1
    viewer.add_image(np.zeros(shape), name="worms", axis_labels=tuple(space))
    names = ("n", *space)
    truth = viewer.add_labels(
        true if are_true_planes else true.max(0), name="worms truth", axis_labels=names[not are_true_planes :]
    )
    # Numbered otherwise, and one more, which crosses two of them.
    found = np.zeros((4, *shape), int)
    found[:3] = true[::-1] > 0
    found[3, ..., 4:16, 6:14] = 1
    predicted = viewer.add_labels(found, name="worms found", axis_labels=names, scale=(1,) + (0.5,) * len(space))
    truth.scale = predicted.scale[not are_true_planes :]
    viewer.layers["worms"].scale = predicted.scale[1:]
    panel = open_panel("EmbedSeg: Evaluate")
    assert panel.source.fault() == ""
    assert (panel.source.truth.layer(), panel.source.predicted.layer()) == (truth, predicted)
    assert not panel.source.form.isRowVisible(panel.source.stack)
    assert counts(panel, qtbot) == (3, 1, 0)
    overlay = viewer.layers["Mistakes"]
    assert overlay.data.shape == shape
    assert tuple(overlay.scale) == (0.5,) * len(space)


def test_planes_of_another_size_or_of_several_objects_are_told(viewer, open_panel, qtbot) -> None:
    viewer.add_labels(np.ones((2, 8, 9), int), name="truth", axis_labels=("n", "y", "x"))
    found = viewer.add_labels(np.ones((3, 8, 8), int), name="found", axis_labels=("n", "y", "x"))
    panel = open_panel("EmbedSeg: Evaluate")
    panel.source.choose(viewer.layers["truth"], found)
    assert "choose labels of the same image" in panel.source.fault()
    several = np.full((3, 8, 9), 2)
    several[1, 2:4] = 7
    panel.source.choose(viewer.layers["truth"], viewer.add_labels(several, axis_labels=("n", "y", "x")))
    assert panel.source.fault() == ""
    press(panel.evaluate, panel, qtbot)
    assert "plane 1 holds several numbers" in panel.status.text()
