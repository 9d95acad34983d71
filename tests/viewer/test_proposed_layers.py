"""Which layers the panels propose, and hand over to each other: the user's own before anything the plugin made."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from embedseg_napari.core.model.known_models import bundled_path
from embedseg_napari.viewer.layers import ANNOTATION, EDITED, FOUND, PREVIEW, RESULT, SEGMENTED
from embedseg_napari.viewer.widgets.layer_box import CHOOSE

IMAGE = np.zeros((32, 32), np.float32)
LABELS = np.zeros((32, 32), np.int32)


@pytest.fixture
def full(viewer):
    """A viewer with an image below everything that panels add to it."""
    viewer.add_image(IMAGE, name="cells")
    for role in (FOUND, PREVIEW, "mistakes"):
        viewer.add_image(IMAGE, name=f"{role} image", metadata={RESULT: role})
        viewer.add_labels(LABELS, name=f"{role} labels", metadata={RESULT: role})
        viewer.add_shapes(name=f"{role} shapes", metadata={RESULT: role})
    viewer.add_labels(LABELS, name="painted", metadata={ANNOTATION: "somewhere"})
    return viewer


def names(box):
    return [layer.name for layer in box.layers]


def test_images_are_the_users_own(full, open_panel):
    segment, train, label = (open_panel(f"EmbedSeg: {name}") for name in ("Segment", "Train", "Label & Train"))
    boxes = segment.image.layer_box, train.pairs.rows[0].image, train.preview.image, label.annotation.image
    assert [names(box) for box in boxes] == [["cells"]] * 4
    assert [box.layer().name for box in (boxes[0], boxes[1], boxes[3])] == ["cells"] * 3
    assert names(segment.image.shapes_box) == names(train.pairs.rows[0].region) == []


def test_what_a_network_found_is_learned_from_only_if_the_user_says_so(full, open_panel):
    train = open_panel("EmbedSeg: Train")
    labels = train.pairs.rows[0].labels
    assert labels.layer() is None
    assert labels.native.currentText() == CHOOSE
    assert not train.train.isEnabled()
    assert "Choose the labels" in train.reason.text()
    labels.choose(full.layers[f"{FOUND} labels"])
    assert labels.layer().name == f"{FOUND} labels"
    # Other layers come and go; what was chosen stays.
    full.add_labels(LABELS, name="truth")
    assert labels.layer().name == f"{FOUND} labels"
    assert names(labels) == ["truth", f"{FOUND} labels"]
    full.layers.remove(f"{FOUND} labels")
    assert labels.layer().name == "truth"


def test_segment_follows_the_image_that_is_opened_or_selected(viewer, open_panel):
    panel = open_panel("EmbedSeg: Segment")
    first, second = viewer.add_image(IMAGE, name="first"), viewer.add_image(IMAGE, name="second")
    assert panel.image.layer == second
    viewer.layers.selection.active = first
    assert panel.image.layer == first
    # Neither other layers nor results are images to segment.
    viewer.add_labels(LABELS, name="truth")
    viewer.add_image(IMAGE, name="seed map", metadata={RESULT: FOUND})
    assert panel.image.layer == first


def test_labels_that_are_opened_later_are_proposed(full, open_panel):
    labels = open_panel("EmbedSeg: Train").pairs.rows[0].labels
    full.add_labels(LABELS, name="truth")
    assert labels.layer().name == "truth"


def test_results_and_annotations_are_compared_previews_and_marks_are_not(full, open_panel):
    source = open_panel("EmbedSeg: Evaluate").source
    assert names(source.truth) == names(source.predicted) == ["painted", f"{FOUND} labels"]


def test_one_layer_is_not_compared_with_itself_and_what_was_corrected_is_judged(viewer, open_panel):
    source = open_panel("EmbedSeg: Evaluate").source
    edited = viewer.add_labels(LABELS, name="edited", metadata={RESULT: FOUND, EDITED: True})
    assert (source.truth.layer(), source.predicted.layer()) == (None, edited)
    assert not source.is_wrong()
    found = viewer.add_labels(LABELS, name="found", metadata={RESULT: FOUND})
    assert (source.truth.layer(), source.predicted.layer()) == (edited, found)
    viewer.layers.remove(found)
    truth = viewer.add_labels(LABELS, name="mask")
    viewer.add_labels(LABELS, name="found", metadata={RESULT: FOUND})
    assert (source.truth.layer(), source.predicted.layer()) == (truth, edited)
    viewer.layers.clear()
    truth = viewer.add_labels(LABELS, name="mask")
    assert (source.truth.layer(), source.predicted.layer()) == (truth, None)


def test_what_was_corrected_and_gave_way_to_a_new_result_is_not_judged(viewer, open_panel):
    truth = viewer.add_labels(LABELS, name="mask")
    viewer.add_labels(LABELS, name="edited", metadata={RESULT: FOUND, EDITED: True}, visible=False)
    found = viewer.add_labels(LABELS, name="found", metadata={RESULT: FOUND})
    source = open_panel("EmbedSeg: Evaluate").source
    assert (source.truth.layer(), source.predicted.layer()) == (truth, found)


def test_what_was_found_in_the_image_of_the_truth_is_judged(viewer, open_panel):
    first, second = (viewer.add_image(IMAGE, name=name) for name in ("first", "second"))
    truth = viewer.add_labels(LABELS, name="second truth")
    of = {image: {RESULT: FOUND, SEGMENTED: str(image.unique_id)} for image in (first, second)}
    viewer.add_image(IMAGE, name="second seed map", metadata=of[second])
    found = viewer.add_labels(LABELS, name="second labels", metadata=of[second])
    viewer.add_labels(LABELS, name="first labels", metadata={**of[first], EDITED: True})
    source = open_panel("EmbedSeg: Evaluate").source
    assert (source.truth.layer(), source.predicted.layer()) == (truth, found)


def test_what_is_opened_later_goes_together_where_there_are_images_of_two_sizes(viewer, open_panel):
    for size in (8, 9):
        viewer.add_image(np.zeros((size, size)), name=f"{size}")
        of = {SEGMENTED: str(viewer.layers[f"{size}"].unique_id)}
        viewer.add_labels(np.ones((size, size), int), name=f"{size} labels", metadata={RESULT: FOUND, **of})
    source, row = open_panel("EmbedSeg: Evaluate").source, open_panel("EmbedSeg: Train").pairs.rows[0]
    masks = viewer.add_labels(np.ones((8, 8), int), name="masks")
    assert (source.truth.layer(), source.predicted.layer()) == (masks, viewer.layers["8 labels"])
    assert (row.image.layer(), row.labels.layer()) == (viewer.layers["8"], masks)


def test_only_the_users_images_are_segmented_on_drop(viewer, open_panel, qtbot):
    panel = open_panel("EmbedSeg: Segment")
    started = []
    panel.start = lambda: started.append(panel.image.layer.name)
    panel.on_drop.setChecked(True)
    viewer.add_image(IMAGE, name="seed map of a preview", metadata={RESULT: PREVIEW})
    viewer.add_image(IMAGE, name="dropped")
    qtbot.waitUntil(lambda: bool(started))
    qtbot.wait(50)
    assert started == ["dropped"]


def test_segment_takes_over_the_model_and_the_image_it_learned_from(viewer, open_panel):
    panel = open_panel("EmbedSeg: Segment")
    other, learned = (viewer.add_image(IMAGE, name=name) for name in ("other", "learned from"))
    panel.image.layer_box.choose(other)
    model = bundled_path("cells-phase-2d")
    panel.take_over(model, learned)
    assert (panel.image.layer, panel.model.path) == (learned, model)
    viewer.layers.remove(learned)
    panel.take_over(model, learned)
    assert panel.image.layer == other


@pytest.fixture
def slides(viewer):
    """Two images of one size, what was found in each, and labels of each, listed as other panels leave them."""
    images = {name: viewer.add_image(IMAGE, name=name) for name in ("he1", "he2")}
    for name, image in images.items():
        viewer.add_labels(LABELS, name=f"{name} labels", metadata={RESULT: FOUND, SEGMENTED: str(image.unique_id)})
    for name in images:
        viewer.add_labels(LABELS + 1, name=f"{name}-truth")
    viewer.layers.move(viewer.layers.index(images["he2"]), 3)
    return viewer.layers


def test_labels_of_one_of_two_slides_go_with_that_slide(slides, open_panel):
    source, measure = open_panel("EmbedSeg: Evaluate").source, open_panel("EmbedSeg: Measure")
    assert (source.truth.layer(), source.predicted.layer()) == (slides["he1-truth"], slides["he1 labels"])
    for number in (2, 1):
        measure.labels.choose(slides[f"he{number}-truth"])
        assert measure.image.layer() == slides[f"he{number}"]


def test_the_slide_that_was_segmented_is_evaluated(slides, open_panel):
    slides.remove("he1 labels")
    source = open_panel("EmbedSeg: Evaluate").source
    assert (source.truth.layer(), source.predicted.layer()) == (slides["he2-truth"], slides["he2 labels"])


def test_each_pair_to_learn_from_is_of_one_slide(slides, open_panel):
    pairs = open_panel("EmbedSeg: Train").pairs
    first, second = pairs.rows[0], pairs.add_row()
    for row, name in ((first, "he2"), (second, "he1")):
        assert (row.image.layer(), row.labels.layer()) == (slides[name], slides[f"{name}-truth"])
    pairs.pairs()
    assert second.complaint.isHidden()
    first.labels.choose(slides["he1-truth"])
    assert first.image.layer() == slides["he1"]
    pairs.pairs()
    assert second.complaint.text() == "he1-truth stands in another pair, too."
    first.labels.choose(slides["he2-truth"])
    pairs.pairs()
    assert second.complaint.isHidden()


def test_the_slide_of_labels_may_come_after_them(viewer, open_panel):
    measure, row = open_panel("EmbedSeg: Measure"), open_panel("EmbedSeg: Train").pairs.rows[0]
    viewer.add_labels(LABELS + 1, name="he2-truth")
    for name in ("he1", "he2", "he3"):
        viewer.add_image(IMAGE, name=name)
    assert measure.image.layer() == row.image.layer() == viewer.layers["he2"]
