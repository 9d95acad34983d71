"""Objects that cross are offered whole, follow the sliders, and are taken away where none is left."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from segment_steps import WAIT, finish, settle

from embedseg_napari.core.events import Advice
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.viewer.layers import EDITED, WHOLE_OF
from embedseg_napari.viewer.segment.image_input import RECTANGLE


def crossing_maps(shape):
    """Two bars that cross, with seeds of 0.99 and 0.8, and a small object beside, of 0.7."""
    seed_map = np.zeros(shape, np.float32)
    seed_map[..., 10:14, 2:22], seed_map[..., 2:22, 10:14], seed_map[..., 3:6, 3:6] = 0.4, 0.4, 0.4
    first, second, third = ((*(0,) * (len(shape) - 2), *at) for at in ((12, 4), (4, 12), (4, 4)))
    seed_map[first], seed_map[second], seed_map[third] = 0.99, 0.8, 0.7
    margins = np.zeros((len(shape), *shape), np.float32)
    for seed, sides in ((first, (2.5, 40)), (second, (40, 2.5)), (third, (2.5, 2.5))):
        margins[(slice(None), *seed)] = (*(9,) * (len(shape) - 2), *sides)
    return EmbeddingMaps(np.zeros_like(margins), margins, seed_map)


@pytest.fixture
def crossing(fake, monkeypatch):
    """A network that finds what crosses."""
    monkeypatch.setattr("segment_steps.perfect_maps", lambda labels: crossing_maps(labels.shape))
    return fake


def rest(qtbot, panel):
    settle(qtbot, panel)
    qtbot.waitUntil(lambda: not panel.crossing.is_busy, timeout=WAIT)


@pytest.fixture
def shown(viewer, panel, crossing, qtbot):
    """The panel with whole objects of an image."""
    viewer.add_image(np.zeros((60, 60)), name="worms", scale=(0.5, 0.5), translate=(3, 4), units=("um", "um"))
    panel.start()
    finish(qtbot, panel)
    rest(qtbot, panel)
    panel.crossing.button.click()
    rest(qtbot, panel)
    return panel


def whole_names(viewer):
    return [layer.name for layer in viewer.layers if "whole" in layer.name]


def test_nothing_is_offered_where_no_objects_cross(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    rest(qtbot, panel)
    assert panel.crossing.isHidden()


@pytest.mark.usefixtures("whole_window")
def test_objects_that_cross_are_shown_whole_on_request(viewer, panel, crossing, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="worms", scale=(0.5, 0.5), translate=(3, 4), units=("um", "um"))
    panel.start()
    finish(qtbot, panel)
    rest(qtbot, panel)
    # Not before advice was looked for.
    qtbot.waitUntil(lambda: not panel.crossing.isHidden(), timeout=WAIT)
    assert panel.crossing.button.text() == "2 objects cross others: show them whole"
    assert whole_names(viewer) == []
    panel.crossing.button.click()
    rest(qtbot, panel)
    assert whole_names(viewer) == ["worms whole objects 1", "worms whole objects 2"]
    first, second = (viewer.layers[name] for name in whole_names(viewer))
    planes = panel.results.segmentation.planes
    for layer in (first, second):
        for label in np.unique(layer.data)[1:]:
            np.testing.assert_array_equal(layer.data == label, planes[label - 1])
        assert (tuple(layer.scale), tuple(layer.translate)) == ((0.5, 0.5), (3, 4))
        assert layer.metadata[WHOLE_OF] == str(viewer.layers["worms labels"].unique_id)
    assert (len(np.unique(first.data)), len(np.unique(second.data))) == (3, 2)
    assert not viewer.layers["worms labels"].visible
    assert "3 objects in 2 layers" in panel.crossing.said.text()
    assert panel.crossing.button.isHidden()
    viewer.layers.selection.active = second
    assert panel.results.chosen is not None
    assert panel.image.layer == viewer.layers["worms"]


def test_whoever_saves_the_labels_while_whole_objects_are_seen_is_told_that_they_are_cut(viewer, shown, tmp_path):
    shown.next.write(tmp_path / "worms.tif")
    told = notification_manager.records[-1].message
    assert told.startswith("Saved worms.tif. Objects are cut where they cross; Export… in Measure")
    for name in whole_names(viewer):
        viewer.layers.remove(name)
    shown.next.write(tmp_path / "worms.tif")
    assert notification_manager.records[-1].message == "Saved worms.tif."


def test_nothing_is_offered_of_what_is_hardly_objects(viewer, panel, crossing, advised, qtbot, monkeypatch):
    """Pieces of what a model does not know cross, too; a model of one's own may be unsure."""
    viewer.add_image(np.zeros((24, 24)), name="bacteria")
    for said, is_bundled, is_offered in (
        (Advice("", model="nuclei-2d"), False, False),
        (Advice("", changes={"scale": 2.0}), False, False),
        (Advice("", labels=True), True, False),
        (Advice("", labels=True), False, True),
        (Advice("small objects"), True, True),
    ):
        monkeypatch.setattr(
            "embedseg_napari.viewer.segment.runs.model_at",
            lambda _, is_bundled=is_bundled: SimpleNamespace(is_bundled=is_bundled),
        )
        advised.said[:] = [said]
        advised.gate.clear()
        panel.start()
        finish(qtbot, panel)
        rest(qtbot, panel)
        assert panel.crossing.isHidden(), "it is still being checked"
        advised.gate.set()
        qtbot.waitUntil(lambda: not panel.advice.is_looking, timeout=WAIT)
        assert panel.crossing.isHidden() is not is_offered, said
        # As where another model is chosen.
        panel.advice.clear()
        assert panel.crossing.isHidden() is not is_offered, said


def test_they_follow_the_sliders_and_go_where_nothing_is_shared_any_more(viewer, shown, qtbot):
    sliders = shown.thresholds.sliders
    before = [viewer.layers[name] for name in whole_names(viewer)]
    sliders["foreground_threshold"].setValue(0.5)
    rest(qtbot, shown)
    assert whole_names(viewer) == []
    assert shown.crossing.said.text() == "There are no objects now."
    assert viewer.layers["worms labels"].visible
    sliders["foreground_threshold"].setValue(0.3)
    rest(qtbot, shown)
    assert not shown.crossing.button.isHidden(), "they are offered anew"
    shown.crossing.button.click()
    rest(qtbot, shown)
    assert len(whole_names(viewer)) == 2
    assert before[0] not in viewer.layers
    layer = viewer.layers["worms whole objects 1"]
    sliders["seed_threshold"].setValue(0.75)
    rest(qtbot, shown)
    assert layer in viewer.layers
    assert layer.visible
    assert len(np.unique(layer.data)) == 2, "the small one is left out"


def test_a_layer_that_was_painted_on_is_left_alone(viewer, shown, qtbot):
    mine = viewer.layers["worms whole objects 2"]
    mine.paint((20, 20), 9)
    shown.thresholds.sliders["seed_threshold"].setValue(0.75)
    rest(qtbot, shown)
    assert (mine.data == 9).any()
    assert mine.metadata[EDITED]
    assert WHOLE_OF not in mine.metadata
    assert not mine.visible
    assert len(whole_names(viewer)) == 3


def test_a_new_run_shows_them_in_the_same_layers(viewer, shown, qtbot):
    before = [viewer.layers[name] for name in whole_names(viewer)]
    shown.start()
    finish(qtbot, shown)
    rest(qtbot, shown)
    assert [viewer.layers[name] for name in whole_names(viewer)] == before


def test_a_region_that_is_added_has_none(viewer, shown, qtbot):
    """What was found before has no maps any more, so layers of whole objects would miss it."""
    image = viewer.layers["worms"]
    shown.image.region.setCurrentText(RECTANGLE)
    place = {"scale": image.scale, "translate": image.translate, "units": image.units}
    viewer.add_shapes([[[30, 30], [30, 54], [54, 54], [54, 30]]], **place)
    shown.image.layer_box.choose(image)
    shown.start()
    finish(qtbot, shown)
    rest(qtbot, shown)
    assert shown.results.chosen.before is not None
    assert whole_names(viewer) == []
    assert "gone" in shown.crossing.said.text()
    assert viewer.layers["worms labels"].visible


def test_layers_that_are_removed_are_offered_again(viewer, shown):
    for name in whole_names(viewer):
        viewer.layers.remove(name)
    assert not shown.crossing.button.isHidden()


def test_time_lapses_are_left_out(viewer, panel, crossing, qtbot):
    viewer.add_image(np.zeros((2, 24, 24)), name="film", axis_labels=("t", "y", "x"))
    panel.start()
    finish(qtbot, panel)
    rest(qtbot, panel)
    assert panel.crossing.isHidden()


def test_large_images_are_looked_at_on_request_alone(viewer, panel, crossing, qtbot, monkeypatch):
    monkeypatch.setattr("embedseg_napari.viewer.segment.crossing_box.UNASKED", 100)
    viewer.add_image(np.zeros((24, 24)), name="worms")
    panel.start()
    finish(qtbot, panel)
    assert not panel.crossing.is_busy
    assert panel.crossing.button.text() == "Show objects that cross whole"
    panel.crossing.button.click()
    rest(qtbot, panel)
    assert len(whole_names(viewer)) == 2
