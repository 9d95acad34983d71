"""What a layer shows is decided by one rule: every panel reads the same axes, pixel size and unit off it."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.units import in_micrometres
from embedseg_napari.viewer.evaluate.source import EvaluationSource
from embedseg_napari.viewer.label.candidates import candidates
from embedseg_napari.viewer.label.drawing.annotation_layers import AnnotationLayers
from embedseg_napari.viewer.labelled_images import pair_from_layers
from embedseg_napari.viewer.layers import picture_of
from embedseg_napari.viewer.result_layers import spatial_frame
from embedseg_napari.viewer.segment.image_input import ImageInput
from embedseg_napari.viewer.train.pair_list import PairRow

SHAPES = [
    # shape, options of the layer, axes
    ((40, 16, 24), {"axis_labels": ("time", "y", "x")}, "TYX"),
    ((40, 16, 24), {"axis_labels": ("t", "y", "x")}, "TYX"),
    ((40, 16, 24), {}, "ZYX"),
    ((4, 10, 16, 24), {}, "TZYX"),
    ((3, 16, 24), {"axis_labels": ("c", "y", "x")}, "CYX"),
    ((2, 5, 16, 24), {"axis_labels": ("channel", "z", "y", "x")}, "CZYX"),
    ((16, 24, 3), {"rgb": True}, "YXC"),
    ((5, 16, 24, 3), {"rgb": True}, "ZYXC"),
    ((2, 5, 16, 24, 3), {"rgb": True}, "TZYXC"),
    ((24, 16), {"axis_labels": ("x", "y")}, "XY"),
    ((24, 16, 5), {"axis_labels": ("x", "y", "z")}, "XYZ"),
    ((5, 3, 16, 24), {"axis_labels": ("z", "t", "y", "x")}, "ZTYX"),
]
SIZES = [
    # scale, units, what is known of a pixel (z, y, x)
    ((1, 1, 1), "pixel", (None, None)),
    ((2, 1, 1), "pixel", ((2, 1, 1), None)),
    ((2, 0.5, 0.5), "um", ((2, 0.5, 0.5), "um")),
    ((0.5, 0.25, 0.25), "mm", ((0.5, 0.25, 0.25), "mm")),
    ((500, 0.25, 0.25), ("nm", "um", "um"), ((0.5, 0.25, 0.25), "um")),
    ((2, -0.5, 0.5), "um", ((2, 0.5, 0.5), "um")),
    # Seconds say nothing of the distance of slices.
    ((30, 0.5, 0.25), ("s", "um", "um"), ((0.25, 0.5, 0.25), "um")),
]


@pytest.fixture
def part_of(layer_viewer, qtbot):
    """Make the part of a panel that reads layers, without a window."""

    def make(part):
        made = part(layer_viewer)
        qtbot.addWidget(made)
        return made

    return make


def labels_like(viewer, layer):
    shape = [n for n, letter in zip(layer.data.shape, picture_of(layer).axes, strict=True) if letter != "C"]
    return viewer.add_labels(np.ones(shape, int), axis_labels=None, name="labels")


@pytest.mark.parametrize(("shape", "options", "axes"), SHAPES)
def test_axes_are_the_same_in_every_panel(layer_viewer, part_of, shape, options, axes):
    layer = layer_viewer.add_image(np.zeros(shape, np.float32), name="image", **options)
    labels = labels_like(layer_viewer, layer)
    segment, train, evaluate = part_of(ImageInput), part_of(PairRow), part_of(EvaluationSource)

    assert picture_of(layer).axes == axes
    pair = pair_from_layers(layer, labels)
    assert sorted(pair.axes) == sorted(axes)
    assert train.reading()[0] == axes
    segment.layer_box.choose(layer)
    segment.set_model(None)
    assert segment.axes.text() == axes
    annotation = AnnotationLayers(layer_viewer)
    if "T" in axes:
        with pytest.raises(DataError, match="time points"):
            annotation.watch(layer)
    else:
        annotation.watch(layer)
        assert annotation.axes == axes
    labels.axis_labels = [letter for letter in layer.axis_labels if letter not in ("c", "channel")]
    truth = layer_viewer.add_labels(labels.data, name="truth")
    for box in (evaluate.truth, evaluate.predicted):
        box.reset_choices()
    evaluate.choose(truth, labels)
    assert evaluate.has_frames() == ("T" in axes)
    annotation.disconnect_viewer()


@pytest.mark.parametrize(
    ("shape", "is_rgb", "sentence"),
    [
        ((2,) * 4 + (16, 24), False, "image has 6 axes, and at most 5 can be used"),
        ((2,) * 5 + (16, 24), False, "image has 7 axes, and at most 5 can be used"),
        ((2,) * 3 + (16, 24, 3), True, "image has 5 axes beside its colours, and at most 4 can be used"),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_a_layer_that_no_panel_can_use_is_refused_in_words_and_stops_none(
    viewer, open_panel, shape, is_rgb, sentence, is_first
):
    image = np.zeros(shape, np.float32)
    if is_first:
        viewer.add_image(image, rgb=is_rgb, name="image")
        viewer.add_labels(np.ones(shape[:-1] if is_rgb else shape, int), name="labels")
    panels = {name: open_panel(f"EmbedSeg: {name}") for name in ("Segment", "Train", "Label & Train", "Evaluate")}
    if not is_first:
        viewer.add_image(image, rgb=is_rgb, name="image")
        viewer.add_labels(np.ones(shape[:-1] if is_rgb else shape, int), name="labels")
    train, label, evaluate = panels["Train"], panels["Label & Train"], panels["Evaluate"]

    assert sentence in train.reason.text()
    assert sentence in train.train.toolTip()
    train.preview.image.choose(viewer.layers["image"])
    assert sentence in train.preview.hint.text()
    assert sentence in label.annotation.fault
    assert not label.annotation.annotate.isEnabled()
    assert candidates(label.navigator) == []
    assert panels["Segment"].image.axes.text() == ""

    viewer.add_labels(np.ones(shape, int), name="other")
    fault = evaluate.source.fault()
    assert "axes" in fault or "pixels" in fault
    # What can be used is offered again as soon as it is there.
    viewer.add_image(np.zeros((16, 24), np.float32), name="plane")
    label.annotation.image.choose(viewer.layers["plane"])
    assert not label.annotation.fault


def test_labels_of_more_axes_than_their_image_stop_no_panel(viewer, open_panel):
    viewer.add_image(np.zeros((16, 24), np.float32), name="image")
    viewer.add_labels(np.ones((5, 16, 24), int), name="labels")
    train = open_panel("EmbedSeg: Train")
    # Planes of one object each.
    assert train.pairs.pairs()[0].labels.shape == (5, 16, 24)
    viewer.add_labels(np.ones((5, 2, 16, 24), int), name="more")
    train.pairs.rows[0].labels.choose(viewer.layers["more"])
    assert "choose the labels that were drawn on this image" in train.reason.text()


@pytest.mark.parametrize(("scale", "units", "known"), SIZES)
def test_pixel_size_is_the_same_in_every_panel(layer_viewer, part_of, scale, units, known):
    units = (units,) * 3 if isinstance(units, str) else units
    layer = layer_viewer.add_image(np.zeros((10, 16, 24), np.float32), scale=scale, units=units, name="image")
    labels = layer_viewer.add_labels(np.ones((10, 16, 24), int), name="labels")
    picture = picture_of(layer)
    assert (picture.spacing, picture.unit) == (known[0] and pytest.approx(known[0]), known[1])
    pair = pair_from_layers(layer, labels)
    assert (pair.spacing, pair.unit) == (picture.spacing, picture.unit)
    annotation = AnnotationLayers(layer_viewer)
    annotation.watch(layer)
    assert (annotation.picture.spacing, annotation.picture.unit) == (picture.spacing, picture.unit)
    annotation.disconnect_viewer()
    segment = part_of(ImageInput)
    segment.layer_box.choose(layer)
    segment.question.answer("Z")
    segment.set_model(None)
    # Only a physical size is compared with that of the model, in micrometres.
    in_um = in_micrometres(picture.spacing, picture.unit)[0] if picture.unit else None
    assert segment.selection().spacing == in_um


@pytest.mark.parametrize("n_planes", [2, 40])
def test_labels_with_fewer_axes_make_no_movie_a_stack_of_channels(layer_viewer, n_planes):
    image = layer_viewer.add_image(np.zeros((n_planes, 16, 24)), name="image")
    labels = layer_viewer.add_labels(np.ones((16, 24), int), name="labels")
    if n_planes == 2:
        # What a 2D model is told of such an image as well.
        assert pair_from_layers(image, labels).axes == picture_of(image, 2).axes == "CYX"
    else:
        with pytest.raises(DataError, match="name that axis c"):
            pair_from_layers(image, labels)


def turned(angle=0.5):
    c, s = np.cos(angle), np.sin(angle)
    flat = np.array([[c, -s, 30], [s, c, 10], [0, 0, 1]])
    deep = np.eye(4)
    deep[1:, 1:] = flat
    return flat, deep


def about_the_channels():
    matrix = np.eye(3)
    matrix[1:, 1:] = turned()[0][:2, :2]
    return matrix


@pytest.mark.parametrize(
    ("shape", "axes", "options"),
    [
        ((16, 24), "YX", {"affine": turned()[0]}),
        ((2, 16, 24), "CYX", {"affine": turned()[1]}),
        ((2, 16, 24), "CYX", {"rotate": about_the_channels()}),
        ((16, 24, 3), "YXC", {"rgb": True, "rotate": 30, "shear": [0.2]}),
        ((24, 16), "XY", {"rotate": 30}),
        ((16, 24), "YX", {"shear": np.array([[1, 0], [0.5, 1]])}),
        ((5, 2, 16, 24), "ZCYX", {"scale": (2, 1, 0.5, 0.5), "translate": (1, 2, 3, 4)}),
    ],
)  # fmt: skip
def test_results_get_the_transform_of_their_image(layer_viewer, shape, axes, options):
    layer = layer_viewer.add_image(np.zeros(shape), **options)
    frame = spatial_frame(layer, axes)
    pixel = {"Z": 3, "Y": 5, "X": 7, "C": 0}
    letters = axes[:-1] if layer.rgb else axes
    world = layer.data_to_world([pixel[letter] for letter in letters])
    space = [letter for letter in "ZYX" if letter in axes]
    for part in (frame, frame.at([2] * len(space))):
        start = 0 if part is frame else 2
        empty = part.array(np.zeros([4] * len(space), int))
        labels = layer_viewer.add_labels(empty, **part.options())
        point = part.coordinates(np.array([[pixel[letter] - start for letter in space]], float))[0]
        np.testing.assert_allclose(labels.data_to_world(point)[-2:], world[-2:], atol=1e-6)


@pytest.mark.parametrize("axes", ["XY", "XYZ", "ZTYX", "YX"])
def test_layers_in_another_order_are_turned_there_and_back(layer_viewer, axes):
    sizes = {"T": 2, "Z": 5, "Y": 16, "X": 24}
    layer = layer_viewer.add_image(np.zeros([sizes[letter] for letter in axes]), axis_labels=tuple(axes.lower()))
    truth = np.arange(layer.data.size).reshape(layer.data.shape)
    frame = spatial_frame(layer, axes)
    inside = frame.result(truth)
    assert inside.shape == tuple(sizes[letter] for letter in "TZYX" if letter in axes)
    np.testing.assert_array_equal(frame.array(inside), truth)
    at = np.argwhere(inside == 17)
    assert truth[tuple(frame.coordinates(at)[0])] == 17
    # A pair for training is turned as a whole.
    layer.data = np.where(truth % 7 == 0, 5.0, 1.0)
    pair = pair_from_layers(layer, layer_viewer.add_labels((truth % 7 == 0).astype(int)))
    for example in pair.examples():
        np.testing.assert_array_equal(example.image[0] > 2, example.instances > 0)


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
@pytest.mark.parametrize("options", [{"rotate": 30.0}, {"shear": [0.2, 0.1, 0.3]}, {"rotate": (10, 20, 30)}, {}])
def test_one_thick_channel_lies_in_the_middle_of_all_however_the_image_is_turned(options):
    from napari.layers import Image, Labels

    layer = Image(np.zeros((40, 3, 50)), scale=(0.5, 3, 0.2), **options)
    labels = Labels(np.zeros((40, 1, 50), int), **spatial_frame(layer, "YCX").options())
    np.testing.assert_allclose(layer.world_to_data(labels.data_to_world((10, 0, 20))), (10, 1, 20), atol=1e-6)


def square(n=20):
    """An image, and its labels: squares that are not their own mirror image."""
    labels = np.zeros((n, n), int)
    labels[1:6, 9:18], labels[10:18, 2:6] = 1, 2
    return labels * 100.0, labels


@pytest.mark.parametrize("image_axes", ["xy", "yx", None])
@pytest.mark.parametrize("label_axes", ["xy", "yx", None])
def test_labels_that_name_their_axes_are_turned_onto_their_image(layer_viewer, part_of, image_axes, label_axes):
    image, labels = square()
    # What is named x, y holds the transposed array; what names nothing lies as the other does.
    is_turned = [(image_axes or label_axes) == "xy", (label_axes or image_axes) == "xy"]
    image, truth = (array.T if turn else array for array, turn in zip((image, labels), is_turned, strict=True))
    layer = layer_viewer.add_image(image, axis_labels=image_axes and tuple(image_axes), name="image")
    true = layer_viewer.add_labels(truth, axis_labels=label_axes and tuple(label_axes), name="truth")
    (example,) = pair_from_layers(layer, true).examples()
    np.testing.assert_array_equal(example.image[0], 100.0 * example.instances)
    predicted = layer_viewer.add_labels(
        image.astype(int) // 100, axis_labels=image_axes and tuple(image_axes), name="found"
    )
    evaluate = part_of(EvaluationSource)
    evaluate.choose(true, predicted)
    np.testing.assert_array_equal(*evaluate.arrays())
    assert evaluate.fault() == ""


def test_labels_of_other_axes_are_refused(viewer, open_panel):
    layer = viewer.add_image(np.zeros((4, 9, 16, 16)), axis_labels=("t", "z", "y", "x"), name="image")
    labels = viewer.add_labels(np.ones((4, 9, 16, 16), int), axis_labels=("c", "z", "y", "x"), name="labels")
    with pytest.raises(DataError, match="axes of labels are c, z, y, x, those of image t, z, y, x"):
        pair_from_layers(layer, labels)
    found = viewer.add_labels(np.ones((4, 9, 16, 16), int), axis_labels=("t", "z", "y", "x"), name="found")
    evaluate = open_panel("EmbedSeg: Evaluate")
    evaluate.source.choose(labels, found)
    assert "those of found t, z, y, x" in evaluate.source.fault()
    assert not evaluate.evaluate.isEnabled()


def test_labels_of_channels_between_other_axes_are_trained_on(layer_viewer):
    layer = layer_viewer.add_image(np.zeros((5, 2, 16, 24)), axis_labels=("z", "c", "y", "x"), name="image")
    frame = spatial_frame(layer, "ZCYX")
    labels = layer_viewer.add_labels(frame.array(np.ones((5, 16, 24), int)), **frame.options())
    (example,) = pair_from_layers(layer, labels).examples()
    assert (example.image.shape, example.instances.shape) == ((2, 5, 16, 24), (5, 16, 24))
