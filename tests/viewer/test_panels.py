"""What holds for every panel: whatever can be worked says what it does, is reached by keyboard, and fits its place."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollBar,
    QTabBar,
)

PANELS = ["EmbedSeg: Segment", "EmbedSeg: Label & Train", "EmbedSeg: Train", "EmbedSeg: Evaluate", "EmbedSeg: Estimate"]
KINDS = (QAbstractButton, QAbstractSlider, QAbstractSpinBox, QComboBox, QLineEdit)


def controls(panel):
    """Everything a user works with; the inner parts of a control are the control's own."""
    found = []
    for kind in KINDS:
        for one in panel.findChildren(kind):
            parent = one.parent()
            inner = isinstance(parent, (*KINDS, QTabBar)) or one.objectName().startswith("qt_")
            if not inner and one.isEnabledTo(parent) and not isinstance(one, QScrollBar):
                found.append(one)
    return found


def describe(one) -> str:
    text = one.text() if hasattr(one, "text") else ""
    return f"{type(one).__name__} {text!r} in {type(one.parent()).__name__}"


@pytest.mark.parametrize("name", PANELS)
def test_every_control_says_what_it_does_and_is_reached_by_keyboard_and_leaves_room(open_panel, name):
    panel = open_panel(name)
    assert [describe(one) for one in controls(panel) if not one.toolTip()] == []
    out = [describe(one) for one in controls(panel) if not one.focusPolicy() & Qt.FocusPolicy.TabFocus]
    assert out == []
    assert panel.minimumSizeHint().width() <= 420


@pytest.mark.parametrize("comes_first", [True, False])
def test_a_layer_of_too_many_axes_is_refused_in_a_sentence(viewer, open_panel, comes_first, qtbot):
    def add():
        many = np.zeros((1, 2, 1, 2, 9, 8), np.uint8)
        viewer.add_image(many, name="six")
        viewer.add_labels(many, name="six labels")
        viewer.add_labels(many, name="six more")

    if comes_first:
        add()
    panels = {name: open_panel(name) for name in PANELS}
    if not comes_first:
        add()
    for name, panel in panels.items():
        sentences = [label.text() for label in panel.findChildren(QLabel) if not label.isHidden()]
        sentences += [button.toolTip() for button in panel.findChildren(QPushButton)]
        assert any("has 6 axes" in sentence and "six" in sentence for sentence in sentences), name
