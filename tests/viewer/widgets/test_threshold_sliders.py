"""Sizes, ticks and sliders: what is shown, what is announced."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.viewer.widgets.threshold_sliders import ThresholdSliders


@pytest.fixture
def sliders(qtbot):
    widget = ThresholdSliders()
    qtbot.addWidget(widget)
    return widget


def test_they_show_what_is_stored_with_a_model(sliders):
    assert sliders.values() == PredictionConfig().clustering
    stored = PredictionConfig(
        seed_threshold=0.7, min_object_size=90, max_object_size=400, drop_border_objects=True, fill_holes=True
    )
    sliders.set_values(stored.model_dump())
    assert sliders.values() == stored.clustering
    sliders.set_values({"seed_threshold": 0.5})
    assert sliders.values() == stored.clustering | {"seed_threshold": 0.5}
    sliders.set_values(PredictionConfig().model_dump())
    assert sliders.values() == PredictionConfig().clustering


def test_each_control_announces_itself_once(sliders, qtbot):
    for act in (
        lambda: sliders.largest.setValue(300),
        lambda: sliders.ticks["fill_holes"].click(),
        lambda: sliders.ticks["drop_border_objects"].click(),
        lambda: sliders.numbers["min_object_size"].setValue(20),
        lambda: sliders.seeds.setCurrentIndex(1),
    ):
        heard = []
        sliders.changed.connect(lambda heard=heard: heard.append(sliders.values()))
        act()
        assert len(heard) == 1
        PredictionConfig.parse(heard[0])


@pytest.mark.parametrize("first", ["least", "most"])
def test_the_largest_size_stays_above_the_smallest(sliders, first):
    least, most = sliders.numbers["min_object_size"], sliders.largest
    heard = []
    sliders.changed.connect(lambda: heard.append(PredictionConfig.parse(sliders.values())))
    if first == "least":
        most.setValue(100)
        least.setValue(150)
        assert (least.value(), most.value()) == (150, 151)
        assert "raised to 151 px" in sliders.note.text()
    else:
        least.setValue(150)
        most.setValue(100)
        assert (least.value(), most.value()) == (99, 100)
        assert sliders.sliders["min_object_size"].value() == pytest.approx(99**0.5)
        assert "lowered to 99 px" in sliders.note.text()
    assert len(heard) == 2
    assert heard[-1].clustering == sliders.values()
    # It is said once, not for ever.
    most.setValue(500)
    assert sliders.note.isHidden()


@pytest.mark.parametrize(
    ("key", "seed", "size"), [("Left", 0.49, 81), ("Up", 0.51, 121), ("PageUp", 0.6, 400), ("PageDown", 0.4, 0)]
)
def test_keys_move_a_slider(sliders, qtbot, key, seed, size):
    sliders.set_values({"seed_threshold": 0.5, "min_object_size": 100})
    for name, expected in (("seed_threshold", seed), ("min_object_size", size)):
        with qtbot.waitSignal(sliders.changed):
            qtbot.keyClick(sliders.sliders[name], getattr(Qt.Key, f"Key_{key}"))
        assert sliders.numbers[name].value() == pytest.approx(expected)
