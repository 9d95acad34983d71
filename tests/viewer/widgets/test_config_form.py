"""Forms: editors follow the fields, values go through unchanged, faults are marked where they are."""

from __future__ import annotations

from typing import get_args

import pytest
from annotated_types import Ge, Gt, Le, Lt
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QAbstractSpinBox, QApplication

from embedseg_napari.core.config import AugmentationConfig, NormalizationConfig, PredictionConfig, TrainingConfig
from embedseg_napari.core.errors import SettingsError
from embedseg_napari.viewer.widgets.config_form import ConfigForm
from embedseg_napari.viewer.widgets.editors import AUTOMATIC, SMALLEST, control_of

MODELS = (TrainingConfig, AugmentationConfig, NormalizationConfig, PredictionConfig)
NUMBERS = [
    pytest.param(model, name, id=f"{model.__name__}-{name}")
    for model in MODELS
    for name, field in model.model_fields.items()
    if {int, float} & {field.annotation, *get_args(field.annotation)}
]
FIELDS = [pytest.param(model, name, id=f"{model.__name__}-{name}") for model in MODELS for name in model.model_fields]


@pytest.fixture
def form(qtbot):
    """Return the form of the settings of a training."""
    made = ConfigForm(TrainingConfig)
    qtbot.addWidget(made)
    return made


def wheel(widget) -> bool:
    """Turn the wheel over a widget; whether the widget took it, instead of the panel that scrolls."""
    middle = QPointF(widget.rect().center())
    event = QWheelEvent(
        middle, widget.mapToGlobal(middle), QPoint(0, 0), QPoint(0, 120), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(widget, event)
    return event.isAccepted()


def values_of(field) -> list:
    """Values that an editor has to show: default, choices, None, bounds and their neighbours by the smallest step."""
    kinds = [kind for kind in get_args(field.annotation) if isinstance(kind, type)] or [field.annotation]
    number = next((kind for kind in kinds if kind in (int, float)), None)
    found = [field.default]
    if field.annotation is bool:
        return [True, False]
    if type(None) in kinds:
        found.append(None)
    if any(isinstance(choice, str) for choice in get_args(field.annotation)):
        found += get_args(field.annotation)
    if number is None or "tuple" in str(field.annotation):
        return found
    step = 1 if number is int else SMALLEST
    for rule in field.metadata:
        match rule:
            case Ge(ge=low):
                found += [low, low + step]
            case Gt(gt=low):
                found += [low + step, low + 2 * step]
            case Le(le=high):
                found += [high, high - step]
            case Lt(lt=high):
                found += [high - step, high - 2 * step]
    return [value if value is None else number(value) for value in found]


@pytest.mark.parametrize("settings", MODELS)
def test_a_fresh_form_gives_the_defaults(qtbot, settings):
    form = ConfigForm(settings)
    qtbot.addWidget(form)
    assert form.config() == settings()


@pytest.mark.parametrize(("settings", "name"), FIELDS)
def test_every_field_shows_and_gives_back_what_it_may_hold(qtbot, settings, name):
    form = ConfigForm(settings)
    qtbot.addWidget(form)
    field, editor = settings.model_fields[name], form.editors[name]
    start = field.default.model_dump() if hasattr(field.default, "model_dump") else field.default
    assert editor.value == start
    for value in values_of(field):
        editor.value = value
        given = form.values()[name]
        expected = value.model_dump() if hasattr(value, "model_dump") else value
        assert given == (pytest.approx(expected, rel=1e-9) if isinstance(expected, float) else expected)
        assert isinstance(given, type(expected))


@pytest.mark.parametrize(("settings", "name"), NUMBERS)
def test_a_number_cannot_be_pushed_beyond_its_bounds(qtbot, settings, name):
    form = ConfigForm(settings)
    qtbot.addWidget(form)
    field, control = settings.model_fields[name], control_of(form.editors[name])
    for end in (control.minimum(), control.maximum()):
        control.setValue(end)
        # Epochs and minutes are each other's substitute.
        others = {"minutes": 1.0} if name == "epochs" else {"epochs": 1} if name == "minutes" else {}
        form.set_values(others)
        assert getattr(form.config(), name) == form.values()[name]
    assert field.description == form.editors[name].tooltip == control.toolTip()


@pytest.mark.parametrize("preset", ["fast", "few", "paper"])
def test_values_go_through_unchanged(form, preset):
    config = TrainingConfig.preset(preset, crop_size=(64, 128), batch_size=3)
    form.set_values(config.model_dump())
    assert form.config() == config


def test_small_numbers_are_written_short(form):
    shown = {name: control_of(form.editors[name]).text() for name in ("learning_rate", "weight_decay", "batch_size")}
    assert shown == {"learning_rate": "0.002", "weight_decay": "0.0001", "batch_size": AUTOMATIC}


def test_typing_exponents_works(form, qtbot):
    line = control_of(form.editors["learning_rate"]).lineEdit()
    line.selectAll()
    qtbot.keyClicks(line, "5e-4")
    assert form.values()["learning_rate"] == pytest.approx(5e-4)


@pytest.mark.parametrize(
    ("settings", "name"),
    [param for param in NUMBERS if type(None) in get_args(param.values[0].model_fields[param.values[1]].annotation)],
)
def test_clearing_an_optional_number_leaves_it_open_again(qtbot, settings, name):
    form = ConfigForm(settings)
    qtbot.addWidget(form)
    editor = form.editors[name]
    control = control_of(editor)
    if not isinstance(control, QAbstractSpinBox):
        pytest.skip("written as text")
    editor.value = None
    nothing = control.text()
    editor.value = control.maximum()
    number, largest = form.values()[name], control.cleanText()
    line = control.lineEdit()
    line.selectAll()
    qtbot.keyClick(line, Qt.Key.Key_Delete)
    # At once, so that no button can be pressed before it counts.
    assert form.values()[name] is None
    qtbot.keyClick(line, Qt.Key.Key_Return)
    assert (form.values()[name], control.text()) == (None, nothing)
    line.selectAll()
    qtbot.keyClicks(line, largest)
    assert form.values()[name] == number


@pytest.mark.parametrize("name", ["optimizer", "seed", "learning_rate", "batch_size"])
def test_the_wheel_is_left_to_the_panel_that_scrolls(form, name):
    before = form.values()
    assert not wheel(control_of(form.editors[name]))
    assert form.values() == before


@pytest.mark.parametrize("text", ["100, 100", "1, -8", "many"])
def test_a_fault_is_marked_at_its_field(form, text):
    line = control_of(form.editors["crop_size"])
    line.setText(text)
    with pytest.raises(SettingsError, match="Crop size"):
        form.config()
    complaint = form.complaints["crop_size"]
    assert "Crop size" in complaint.text()
    assert not complaint.isHidden()
    # The group that holds the fault opens.
    assert form.folds["crop_size"].button.isChecked()
    line.setText("64, 64")
    assert form.config().crop_size == (64, 64)
    assert complaint.isHidden()


def test_every_field_of_a_training_has_a_heading_but_the_two_that_stand_apart(form):
    assert set(TrainingConfig.model_fields) - set(form.folds) == {"minutes", "devices"}


def test_changes_are_told(form, qtbot):
    with qtbot.waitSignal(form.changed):
        form.editors["augmentation"].form.editors["flips"].native.click()
    assert form.values()["augmentation"]["flips"] is False
