"""What the planes of a stack are is asked once, by whichever panel wants to know first."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from embedseg_napari.viewer.layers import picture_of
from embedseg_napari.viewer.widgets.axis_question import AxisQuestion


@pytest.fixture
def stack(viewer):
    image = viewer.add_image(np.zeros((5, 32, 32), np.float32), name="stack")
    viewer.add_labels(np.zeros((5, 32, 32), np.int32), name="truth")
    return image


@pytest.fixture
def questions(stack, open_panel):
    segment, train, label = (open_panel(f"EmbedSeg: {name}") for name in ("Segment", "Train", "Label & Train"))
    return segment.image.question, train.pairs.rows[0].question, label.annotation.question


@pytest.mark.parametrize("asking", [0, 1, 2])
def test_an_answer_in_one_panel_holds_in_all(viewer, stack, questions, asking):
    for letter in "ZTC":
        assert all("5 planes of stack" in question.sentence.text() for question in questions)
        questions[asking].buttons[letter].click()
        assert [question.isHidden() for question in questions] == [True] * 3
        assert picture_of(stack).axes == f"{letter}YX"
        # The next one is asked about anew.
        viewer.layers.remove(stack)
        stack = viewer.add_image(np.zeros((5, 32, 32), np.float32), name="stack")


def test_asking_takes_no_room_from_the_image(questions, open_panel):
    panel = open_panel("EmbedSeg: Segment")
    asking = panel.minimumSizeHint().width()
    questions[0].buttons["T"].click()
    assert asking <= panel.minimumSizeHint().width()


def test_nothing_can_be_begun_before(stack, questions, open_panel):
    train, label = open_panel("EmbedSeg: Train"), open_panel("EmbedSeg: Label & Train")
    assert "planes of stack" in train.reason.text()
    assert not label.annotation.annotate.isEnabled()
    questions[1].buttons["T"].click()
    # A movie is annotated frame by frame.
    assert label.annotation.annotate.isEnabled()
    assert "time points" in label.reason.text()
    assert train.pairs.rows[0].pair().axes == "TYX"
    # What was answered can be changed, and all panels follow.
    train.pairs.rows[0].stack.setCurrentIndex(0)
    assert picture_of(stack).axes == "ZYX"
    assert open_panel("EmbedSeg: Segment").image.axes.text() == "ZYX"


@pytest.mark.parametrize(
    ("shape", "options", "is_asked"),
    [
        ((32, 32), {}, False),
        ((5, 32, 32), {"axis_labels": ("z", "y", "x")}, False),
        ((5, 32, 32, 3), {"rgb": True}, True),
        ((32, 32, 3), {"rgb": True}, False),
        ((32, 32, 3), {"rgb": False}, False),
        ((2, 5, 32, 32), {}, False),
        # Two planes are taken for channels.
        ((2, 32, 32), {}, False),
        ((3, 32, 32), {}, True),
    ],
)
def test_only_stacks_without_names_are_asked_about(layer_viewer, qtbot, shape, options, is_asked):
    question = AxisQuestion()
    qtbot.addWidget(question)
    question.ask_about(layer_viewer.add_image(np.zeros(shape, np.uint8), **options))
    assert bool(question.problem()) == is_asked
