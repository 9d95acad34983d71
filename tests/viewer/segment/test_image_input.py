"""Which image, which part of it, and what its axes are."""

from __future__ import annotations

import numpy as np
import pytest
from segment_steps import PANEL, finish, settle

from embedseg_napari.core.config import ModelConfig
from embedseg_napari.core.model import known_models
from embedseg_napari.core.model.known_models import bundled_path
from embedseg_napari.core.model.model_file import write_model_file
from embedseg_napari.core.networks.erfnet import BranchedERFNet
from embedseg_napari.viewer.layers import picture_of
from embedseg_napari.viewer.segment.regions import RECTANGLE, VIEW


def test_a_rectangle(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((60, 60)), name="cells", scale=(0.5, 0.5))
    panel.image.region.setCurrentText(RECTANGLE)
    assert not panel.run_button.isEnabled()
    assert "rectangle" in panel.status.text()
    viewer.add_shapes([[[10, 5], [10, 17], [22, 17], [22, 5]]])
    assert panel.run_button.isEnabled()
    panel.start()
    finish(qtbot, panel)
    labels = viewer.layers["cells labels"]
    assert labels.data.shape == (24, 24)
    assert tuple(labels.translate) == (10, 5)
    assert list(labels.features["centroid_y"]) == [24.5, 24.5]


def test_a_rectangle_on_a_frame_of_a_movie(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((3, 60, 60)), name="film", axis_labels=("t", "y", "x"))
    viewer.add_shapes([[[1, 10, 5], [1, 10, 29], [1, 34, 29], [1, 34, 5]]])
    panel.image.region.setCurrentText(RECTANGLE)
    panel.start()
    finish(qtbot, panel)
    assert fake.jobs[-1].array.shape == (1, 24, 24)
    labels = viewer.layers["film labels"]
    assert labels.data.shape == (1, 24, 24)
    assert tuple(labels.translate) == (1, 10, 5)


def test_nothing_in_view_is_said(viewer, panel, fake):
    if not hasattr(viewer, "canvas"):
        pytest.skip("before napari 0.9 a plugin cannot know how large the canvas is")
    viewer.add_image(np.zeros((60, 60)))
    panel.image.region.setCurrentText(VIEW)
    viewer.canvas.size, camera = (300, 200), viewer.scene.camera
    camera.center, camera.zoom = (0, 90, 30), 10
    panel.start()
    assert panel.current is None
    assert "Too little of the image is in view" in panel.status.text()
    camera.center = (0, 24.5, 29.5)
    selection = panel.image.selection()
    assert (selection.array.shape, selection.start) == ((30, 20), (10, 20))


def test_what_planes_are_is_asked_once(viewer, panel, open_panel):
    stack = viewer.add_image(np.zeros((51, 24, 24)), name="stack")
    question = panel.image.question
    assert not panel.run_button.isEnabled()
    assert "51 planes of stack" in question.sentence.text()
    assert "stack" in panel.status.text()
    texts = {letter: one.text() for letter, one in question.buttons.items() if not one.isHidden()}
    assert texts == {
        "Z": "Depth, segmented with nuclei-3d",
        "T": f"Time, segmented with {panel.model.path.stem}",
    }
    question.buttons["Z"].click()
    assert question.isHidden()
    assert (panel.image.axes.text(), panel.model.path.stem) == ("ZYX", "nuclei-3d")
    assert panel.run_button.isEnabled()
    # The layer remembers the answer, and the planes that are not asked about are chosen by it.
    viewer.add_image(np.zeros((24, 24)), name="flat")
    panel.image.layer_box.choose(viewer.layers["flat"])
    assert (panel.image.axes.text(), panel.model.config.ndim) == ("YX", 2)
    panel.image.layer_box.choose(stack)
    assert question.isHidden()
    assert panel.image.axes.text() == "ZYX"
    assert picture_of(stack).axes == "ZYX"
    # An answer of another panel, or the file's own, closes the question too.
    other = viewer.add_image(np.zeros((3, 24, 24)), name="other")
    panel.image.layer_box.choose(other)
    assert not question.buttons["C"].isHidden()
    other.axis_labels = ("t", "y", "x")
    assert question.isHidden()
    assert panel.image.axes.text() == "TYX"


def test_a_guess_of_the_axes_leaves_the_fields_their_width(viewer, panel):
    viewer.add_image(np.zeros((4, 24, 24)), name="stack")
    label = panel.image.form.labelForField(panel.image.axes)
    assert "guessed" in label.text()
    # A picture lays it out.
    panel.grab()
    assert panel.image.axes.x() < label.fontMetrics().horizontalAdvance("Axes (guessed)")


def test_an_answer_takes_the_model_that_its_button_names(viewer, panel):
    panel.model.choose_named("cells-phase-2d")
    viewer.add_image(np.zeros((51, 24, 24)), name="stack")
    panel.image.question.buttons["Z"].click()
    assert panel.model.path == bundled_path("nuclei-3d")
    assert panel.run_button.isEnabled()


def test_a_model_of_volumes_that_the_user_chose_answers_what_planes_are(viewer, panel):
    panel.model.choose(bundled_path("nuclei-3d"))
    viewer.add_image(np.zeros((51, 24, 24)), name="stack")
    assert panel.image.question.isHidden()
    assert panel.image.axes.text() == "ZYX"
    assert panel.run_button.isEnabled()


def test_axes_and_channels_can_be_corrected(viewer, panel, fake, qtbot, tiny_model_file):
    panel.model.choose(tiny_model_file)
    viewer.add_image(np.zeros((5, 24, 24)), name="stack")
    panel.image.axes.clear()
    qtbot.keyClicks(panel.image.axes, "zyx")
    assert panel.image.axes.text() == "ZYX"
    assert "2D" in panel.status.text()
    assert panel.image.axes.styleSheet()
    panel.image.axes.clear()
    qtbot.keyClicks(panel.image.axes, "cyx")
    assert not panel.image.axes.styleSheet()
    panel.image.channel.setCurrentIndex(2)
    panel.start()
    finish(qtbot, panel)
    assert fake.jobs[0].channel == 1
    assert viewer.layers["stack labels"].data.shape == (24, 24)


def test_channels_are_those_of_the_image_that_is_chosen(viewer, panel):
    box, channel = panel.image.layer_box, panel.image.channel
    names = {"a": ("DAPI", "GFP"), "b": ("GFP", "DAPI", "Cy5"), "c": ("DAPI",)}
    images = {
        name: viewer.add_image(
            np.zeros((len(of), 24, 24)), name=name, axis_labels=("c", "y", "x"), metadata={"channel_names": of}
        )
        for name, of in names.items()
    }
    box.choose(images["a"])
    channel.setCurrentIndex(channel.findText("DAPI"))
    box.choose(images["b"])
    assert [channel.itemText(i) for i in range(1, 4)] == ["GFP", "DAPI", "Cy5"]
    assert (channel.currentText(), panel.image.wanted_channel()) == ("DAPI", 1)
    channel.setCurrentIndex(channel.findText("Cy5"))
    box.choose(images["a"])
    assert (channel.currentText(), panel.image.wanted_channel()) == ("DAPI", 0)
    box.choose(images["c"])
    assert panel.image.wanted_channel() == "all"
    box.choose(images["a"])
    assert panel.image.wanted_channel() == 0
    images["a"].data = np.zeros((4, 24, 24))
    assert channel.findData(3) > 0


def test_an_image_in_colour_after_a_grey_one_is_segmented_by_its_brightness(viewer, panel, fake, qtbot):
    viewer.add_image(np.zeros((24, 24)), name="grey")
    viewer.add_image(np.zeros((24, 24, 3), np.uint8), name="colour", rgb=True)
    panel.image.layer_box.choose(viewer.layers["colour"])
    assert panel.image.channel.currentData() == "mean"
    assert panel.run_button.isEnabled()
    panel.image.channel.setCurrentIndex(0)
    assert "choose one here, or their mean" in panel.status.text()


def test_the_mean_of_colours_is_not_taken_for_the_channels_of_another_image(viewer, panel):
    box, channel = panel.image.layer_box, panel.image.channel
    colours = viewer.add_image(np.zeros((24, 24, 3), np.uint8), name="colours", rgb=True)
    dyes, names = np.zeros((2, 24, 24)), {"channel_names": ("DAPI", "GFP")}
    dyes = viewer.add_image(dyes, name="dyes", axis_labels=("c", "y", "x"), metadata=names)
    box.choose(colours)
    assert panel.image.wanted_channel() == "mean"
    box.choose(dyes)
    assert panel.image.wanted_channel() == 0
    channel.setCurrentIndex(channel.findText("GFP"))
    box.choose(colours)
    assert panel.image.wanted_channel() == "mean"
    box.choose(dyes)
    assert panel.image.wanted_channel() == 1
    panel.image.set_model(ModelConfig(n_channels=2))
    assert panel.image.wanted_channel() == "all"
    panel.image.set_model(ModelConfig())
    assert panel.image.wanted_channel() == 1
    panel.image.choose(None, 0)
    assert (panel.image.layer, panel.image.wanted_channel()) == (dyes, 0)


@pytest.mark.parametrize(
    ("n_channels", "words"),
    [
        (3, "all 3 channels of the image; choose all"),
        (2, "on 3 channels, the image has 2; choose another image or mod"),
        (4, "the image has 4; choose another image or model. If the fourth channel is alpha"),
    ],
)
def test_a_model_of_several_channels_says_how_many_the_image_has(viewer, panel, n_channels, words):
    panel.model.choose_named("nuclei-histology-2d")
    viewer.add_image(np.zeros((n_channels, 24, 24)), axis_labels=("c", "y", "x"))
    panel.image.channel.setCurrentIndex(panel.image.channel.findData(0))
    assert words in panel.status.text()
    panel.image.channel.setCurrentIndex(panel.image.channel.findData("all"))
    assert panel.run_button.isEnabled() == (n_channels == 3)


def test_a_time_lapse_of_volumes_is_not_asked_for_a_second_time_axis(viewer, panel, fake, tiny_model_file):
    panel.model.choose(tiny_model_file)
    viewer.add_image(np.zeros((2, 3, 24, 24)), name="film", axis_labels=("t", "z", "y", "x"))
    assert not panel.run_button.isEnabled()
    assert "write T" not in panel.status.text()
    assert "Split Stack" in panel.status.text()


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 1)])
def test_an_image_smaller_than_any_object(viewer, panel, fake, shape):
    viewer.add_image(np.zeros(shape), name="line")
    panel.start()
    assert panel.current is None
    assert "'line' is too small" in panel.status.text()
    assert "rectangle" not in panel.status.text()


@pytest.mark.parametrize(("axes", "shape"), [("TCZYX", (1, 1, 1)), ("ZYX", (1,)), ("TZYX", (3, 1)), ("ZCYX", (1, 2))])
def test_a_depth_of_one_plane_is_none_unless_a_model_of_volumes_is_chosen(viewer, panel, fake, qtbot, axes, shape):
    panel.model.propose(bundled_path("nuclei-2d"))
    panel.model.is_asked_for = False
    place = {"scale": (3.0,) * len(shape) + (0.5, 0.5), "units": ("pixel",) * len(shape) + ("um", "um")}
    image = viewer.add_image(np.zeros((*shape, 24, 24)), name="cells", axis_labels=axes.lower(), **place)
    assert panel.model.path.stem == "nuclei-2d"
    assert not panel.image.form.isRowVisible(panel.image.voxel)
    if "CY" in axes:
        panel.image.channel.setCurrentIndex(panel.image.channel.findData(0))
    for model in ("nuclei-2d", "nuclei-3d"):
        panel.model.choose(bundled_path(model))
        panel.thresholds.numbers["min_object_size"].setValue(0)
        panel.start()
        finish(qtbot, panel)
        job, labels = fake.jobs[-1], viewer.layers["cells labels"]
        assert job.axes == "".join(one for one in "TCZYX" if one in axes and (one != "Z" or model == "nuclei-3d"))
        assert len(job.spacing) == int(model[-2])
        # Beside each channel; those in front are no axis of results.
        channels = axes.find("C")
        assert labels.data.shape == tuple(1 if i == channels else n for i, n in enumerate(image.data.shape))
        np.testing.assert_allclose(labels.extent.world[:, -2:], image.extent.world[:, -2:])
        np.testing.assert_array_equal(np.asarray(labels.scale)[[0, -2, -1]], np.asarray(image.scale)[[0, -2, -1]])
        viewer.layers.selection.active = labels
        panel.thresholds.sliders["seed_threshold"].setValue(0.9)
        settle(qtbot, panel)
        assert len(np.unique(labels.data)) == 1 + len(image.data) ** ("T" in axes)
        labels.data[..., 0, 0] = 9
        assert panel.results.chosen.now().segmentation.labels[..., 0, 0].all()
        viewer.layers.remove(labels)
        panel.image.layer_box.choose(image)


def test_a_depth_of_one_plane_has_a_size_where_the_model_is_for_volumes(viewer, panel):
    viewer.add_image(np.zeros((1, 24, 24)), name="plane")
    image = panel.image
    image.axes.setText("ZYX")
    image.axes.textEdited.emit("ZYX")
    for ndim in (2, 3, 2):
        image.set_model(ModelConfig(ndim=ndim, grid_spacing=(0.01,) * ndim))
        assert image.voxel.isHidden() == (ndim == 2)


def test_a_volume_gets_a_model_of_volumes_until_one_is_asked_for(viewer, open_panel, monkeypatch, tmp_path):
    for ndim in (2, 3):
        config = ModelConfig(ndim=ndim, grid_spacing=(0.01,) * ndim)
        write_model_file(tmp_path / f"nuclei-{ndim}d", BranchedERFNet(ndim).state_dict(), config)
    write_model_file(tmp_path / "cells-2d", BranchedERFNet(2).state_dict(), ModelConfig())
    monkeypatch.setattr(known_models, "FOLDER", tmp_path)
    panel = open_panel(PANEL)
    assert panel.model.path.stem == "nuclei-2d"
    flat = viewer.add_image(np.zeros((24, 24)), name="flat")
    volume = viewer.add_image(np.zeros((8, 24, 24)), name="volume", axis_labels=("z", "y", "x"))
    panel.image.layer_box.choose(volume)
    assert panel.model.path.stem == "nuclei-3d"
    assert panel.run_button.isEnabled(), panel.status.text()
    panel.image.layer_box.choose(flat)
    assert panel.model.path.stem == "nuclei-2d"
    panel.model.box.setCurrentText("nuclei-3d (bundled)")
    assert panel.model.path.stem == "nuclei-3d", "a choice is not taken back"
    assert not panel.run_button.isEnabled()
    panel.model.choose(tmp_path / "cells-2d.embedseg")
    panel.image.layer_box.choose(volume)
    assert panel.model.path.stem == "cells-2d", "what was asked for stays"
    assert "Z" in panel.status.text()
