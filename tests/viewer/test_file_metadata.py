"""Layers that napari's own reader made from TIFFs, completed from the files' metadata."""

from __future__ import annotations

import errno
import gc
import os
import weakref

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from napari.layers._layer_actions import _convert_to_image
from napari.utils._proxies import PublicOnlyProxy
from PIL import Image

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.plane_stack import write_planes
from embedseg_napari.core.files.tiff import MADE_BY, read_image, write_image, write_labels
from embedseg_napari.viewer import file_metadata
from embedseg_napari.viewer.file_metadata import axis_units, on_activate, read_header, watch_layers
from embedseg_napari.viewer.files.writers import save_labels
from embedseg_napari.viewer.layers import file_of

CASES = {
    "yx": ((40, 50), (0.2, 0.3)),
    "zyx": ((6, 40, 50), (1.0, 0.2, 0.3)),
    "cyx": ((3, 40, 50), (0.2, 0.3)),
    "zcyx": ((5, 2, 40, 50), (1.0, 0.2, 0.3)),
    "tzcyx": ((2, 4, 3, 20, 30), (1.5, 0.2, 0.3)),
}
NAMES = ["nuclei", "membrane", "actin"]


@pytest.mark.parametrize("axes", CASES)
@pytest.mark.parametrize("dtype", ["uint16", "float64"])  # ImageJ and OME flavour
def test_a_dropped_tiff_gets_scale_units_axes_and_channel_names(layer_viewer, tmp_path, axes, dtype):
    shape, spacing = CASES[axes]
    names = NAMES[: shape[axes.index("c")]] if "c" in axes else []
    path = tmp_path / "image.tif"
    write_image(path, np.ones(shape, dtype), axes.upper(), spacing, "um", channel_names=names)
    watch_layers(layer_viewer)
    (layer,) = layer_viewer.open(str(path), plugin="napari")
    sizes = dict(zip("zyx"[-len(spacing) :], spacing, strict=True))
    assert tuple(layer.axis_labels) == tuple(axes)
    np.testing.assert_allclose(layer.scale, [sizes.get(letter, 1) for letter in axes], rtol=1e-6)
    assert [str(unit) for unit in layer.units] == ["micrometer" if letter in "zyx" else "pixel" for letter in axes]
    assert layer.metadata.get("channel_names", []) == names


@pytest.mark.parametrize("alpha", ["opaque", "of a glass", "of a hole"])
@pytest.mark.parametrize(("is_first", "name"), [(True, "a.png"), (False, "a.png"), (True, "a.tif"), (False, "a.tif")])
def test_an_opaque_picture_has_the_colours_that_reading_its_file_gives(
    layer_viewer, tmp_path, rng, alpha, is_first, name
):
    colours = rng.integers(0, 256, (40, 50, 4)).astype(np.uint8)
    colours[..., 3] = 128 if alpha == "of a glass" else 255
    if alpha == "of a hole":
        colours[3, 4, 3] = 0
    if name == "a.png":
        Image.fromarray(colours).save(tmp_path / name)
    else:
        tifffile.imwrite(
            tmp_path / name, colours, photometric="rgb", resolution=(2e4, 2e4), resolutionunit="centimeter"
        )
    if is_first:
        watch_layers(layer_viewer)
    (layer,) = layer_viewer.open(str(tmp_path / name), plugin="napari")
    seen = layer.thumbnail.copy() if not is_first else None
    watch_layers(layer_viewer)
    np.testing.assert_array_equal(layer.data, colours[..., : 3 if alpha == "opaque" else 4])
    assert layer.rgb
    if alpha == "opaque":
        np.testing.assert_array_equal(layer.data, read_image(tmp_path / name).array)
    if name == "a.tif":
        assert tuple(layer.scale) == (0.5, 0.5)
    if seen is not None:
        np.testing.assert_array_equal(layer.thumbnail, seen)


def test_a_window_shows_the_completed_layer_whole(viewer, tmp_path):
    path = tmp_path / "image.tif"
    write_image(path, np.ones((40, 50), "uint8"), "YX", (2.0, 2.0), "um")
    on_activate(None)  # what napari does when the plugin is used for the first time
    viewer.open(str(path), plugin="napari")
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], (39, 49))


def test_layers_that_were_there_before_are_completed_and_seen_whole(layer_viewer, tmp_path):
    path = tmp_path / "image.tif"
    write_image(path, np.ones((40, 50), "uint8"), "YX", (2.0, 2.0), "um")
    (layer,) = layer_viewer.open(str(path), plugin="napari")
    watch_layers(layer_viewer)
    np.testing.assert_allclose(layer.scale, (2, 2))
    np.testing.assert_allclose(layer_viewer.scene.camera.center[-2:], (39, 49))


@pytest.mark.parametrize("is_first", [True, False])
def test_the_plane_that_is_looked_at_stays(viewer, tmp_path, is_first):
    path = tmp_path / "image.tif"
    write_image(path, np.ones((20, 8, 9), "uint8"), "ZYX", (2.0, 0.5, 0.5), "um")
    if is_first:
        watch_layers(viewer)
    (layer,) = viewer.open(str(path), plugin="napari")
    if not is_first:
        viewer.dims.set_current_step(0, 13)
        watch_layers(viewer)
    assert layer.scale[0] == 2
    assert viewer.dims.current_step[0] == (9 if is_first else 13)


def test_the_plane_stays_where_a_second_volume_is_opened(viewer, tmp_path):
    watch_layers(viewer)
    for name in ("one", "two"):
        write_image(tmp_path / f"{name}.tif", np.ones((51, 20, 20), np.uint8), "ZYX", (2.18, 1, 1), "um")
    viewer.open(str(tmp_path / "one.tif"), plugin="napari")
    viewer.dims.set_current_step(0, 25)
    viewer.open(str(tmp_path / "two.tif"), plugin="napari")
    assert viewer.dims.current_step[0] == 25


@pytest.mark.parametrize("with_size", [True, False])
def test_napari_meets_no_layer_before_it_has_the_units_of_the_others(layer_viewer, tmp_path, with_size):
    """It draws a new layer at once, and would say that units are inconsistent."""
    watch_layers(layer_viewer)
    write_image(tmp_path / "movie.tif", np.ones((3, 40, 50), np.uint8), "TYX", (0.5, 0.5), "um")
    write_labels(tmp_path / "mask.tif", np.ones((3, 40, 50), np.uint16), "TYX", (0.5, 0.5) if with_size else None, "um")
    seen = []
    layer_viewer.dims.events.range.connect(lambda: seen.append(layer_viewer.layers.extent.units))
    layer_viewer.open(str(tmp_path / "movie.tif"), plugin="napari")
    layer_viewer.open(str(tmp_path / "mask.tif"), plugin="napari", layer_type="labels")
    assert layer_viewer.layers["mask"].units == layer_viewer.layers["movie"].units
    assert seen
    assert all(units is not None and str(units[-1]) == "micrometer" for units in seen)


@pytest.mark.parametrize("panel", ["EmbedSeg: Segment", "EmbedSeg: Train", "EmbedSeg: Evaluate"])
def test_every_viewer_with_a_panel_is_watched(make_napari_viewer_proxy, tmp_path, panel):
    path = tmp_path / "image.tif"
    write_image(path, np.ones((40, 50), "uint8"), "YX", (2.0, 2.0), "um")
    for _ in range(2):
        viewer = make_napari_viewer_proxy()
        # Dropped before any panel was opened.
        (before,) = viewer.open(str(path), plugin="napari")
        viewer.window.add_plugin_dock_widget("embedseg-napari", panel)
        np.testing.assert_allclose(before.scale, (2, 2))
        np.testing.assert_allclose(viewer.scene.camera.center[-2:], (39, 49))
        (after,) = viewer.open(str(path), plugin="napari")
        np.testing.assert_allclose(after.scale, (2, 2))


def test_what_was_dropped_before_is_completed_on_activation(viewer, tmp_path):
    path = tmp_path / "image.tif"
    write_image(path, np.ones((40, 50), "uint8"), "YX", (2.0, 2.0), "um")
    (layer,) = viewer.open(str(path), plugin="napari")
    on_activate(None)
    np.testing.assert_allclose(layer.scale, (2, 2))
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], (39, 49))


def test_a_viewer_is_watched_once(layer_viewer, tmp_path, monkeypatch):
    completed = []
    monkeypatch.setattr(file_metadata, "complete", lambda layer: bool(completed.append(layer)))
    for _ in range(3):
        watch_layers(PublicOnlyProxy(layer_viewer))
    watch_layers(layer_viewer)
    layer = layer_viewer.add_image(np.ones((8, 9)))
    assert completed == [layer]


def test_a_viewer_that_nobody_needs_is_let_go():
    gone = ViewerModel()
    watch_layers(gone)
    # Looking for a name among the caller's variables, napari would keep them.
    gone.add_image(np.ones((8, 9)), name="image")
    reference = weakref.ref(gone)
    del gone
    gc.collect()
    assert reference() is None


def test_labels_opened_from_tiff_are_completed(layer_viewer, tmp_path):
    path = tmp_path / "labels.tif"
    write_labels(path, np.ones((8, 9), int), "YX", (0.5, 0.5), "nm")
    watch_layers(layer_viewer)
    (layer,) = layer_viewer.open(str(path), plugin="napari", layer_type="labels")
    np.testing.assert_allclose(layer.scale, (0.5, 0.5))
    assert str(layer.units[0]) == "nanometer"


@pytest.mark.parametrize("order", [("image", "mask"), ("mask", "image")])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_mask_without_pixel_size_lies_over_the_image_of_its_shape(layer_viewer, tmp_path, order, is_first):
    write_image(tmp_path / "image.tif", np.ones((2, 9, 10), "uint8"), "CYX", (0.5, 0.5), "um")
    tifffile.imwrite(tmp_path / "mask.tif", np.ones((9, 10), "int32"))
    if is_first:
        watch_layers(layer_viewer)
    for name in order:
        layer_viewer.open(str(tmp_path / f"{name}.tif"), plugin="napari")
    if not is_first:
        watch_layers(layer_viewer)
    mask = layer_viewer.layers["mask"]
    assert tuple(mask.scale) == (0.5, 0.5)
    assert {str(unit) for unit in mask.units} == {"micrometer"}


def test_a_mask_keeps_its_place_where_images_of_its_shape_do_not_agree(layer_viewer, tmp_path):
    watch_layers(layer_viewer)
    tifffile.imwrite(tmp_path / "mask.tif", np.ones((9, 10), "int32"))
    layer_viewer.add_image(np.zeros((9, 10)), scale=(2, 2))
    layer_viewer.add_image(np.zeros((9, 10)), scale=(3, 3))
    (mask,) = layer_viewer.open(str(tmp_path / "mask.tif"), plugin="napari")
    assert tuple(mask.scale) == (1, 1)
    # One that was made by a program says where it lies.
    layer_viewer.layers.pop(0)
    assert tuple(layer_viewer.add_labels(np.ones((9, 10), int)).scale) == (1, 1)


def test_what_the_user_set_stays(layer_viewer, tmp_path):
    path = tmp_path / "image.tif"
    write_image(path, np.ones((8, 9), "uint8"), "YX", (0.5, 0.5), "um")
    watch_layers(layer_viewer)
    (given,) = layer_viewer.open(str(path), plugin="napari", scale=(3, 3))
    np.testing.assert_allclose(given.scale, (3, 3))
    (layer,) = layer_viewer.open(str(path), plugin="napari")
    layer.scale = (1, 1)
    layer.units = ("pixel", "pixel")
    watch_layers(layer_viewer)
    np.testing.assert_allclose(layer.scale, (1, 1))


def test_a_file_without_metadata_changes_nothing(layer_viewer, tmp_path):
    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, np.ones((5, 30, 40), "uint8"), metadata=None)
    watch_layers(layer_viewer)
    (layer,) = layer_viewer.open(str(path), plugin="napari")
    np.testing.assert_allclose(layer.scale, 1)
    assert not set(layer.axis_labels) & set("tczyx")


def test_layers_made_of_arrays_are_left_alone(layer_viewer):
    watch_layers(layer_viewer)
    layer = layer_viewer.add_image(np.ones((8, 9)))
    np.testing.assert_allclose(layer.scale, 1)


def test_colour_images_keep_two_axes(layer_viewer, tmp_path):
    path = tmp_path / "colour.tif"
    tifffile.imwrite(path, np.ones((40, 50, 3), "uint8"), photometric="rgb")
    watch_layers(layer_viewer)
    (layer,) = layer_viewer.open(str(path), plugin="napari")
    assert layer.rgb
    assert tuple(layer.axis_labels) == ("y", "x")


def test_a_damaged_file_is_a_sentence(tmp_path):
    path = tmp_path / "broken.tif"
    path.write_bytes(b"II*\0")
    with pytest.raises(DataError, match=r"broken\.tif: its metadata cannot be read"):
        read_header(path)


def test_units_napari_does_not_know_become_pixels():
    assert axis_units("ZYX", "um") == ("um", "um", "um")
    assert axis_units("TYX", "fathom-ish") == ("pixel", "pixel", "pixel")
    assert axis_units("YX", "second") == ("pixel", "pixel")
    assert axis_units("YX", None) == ("pixel", "pixel")


@pytest.mark.parametrize("levels", [1, 2])
def test_a_dropped_ome_zarr_gets_scale_units_axes_and_channel_names(layer_viewer, tmp_path, levels):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(tmp_path / "im.zarr", mode="w", zarr_format=2)
    for level in range(levels):
        group.create_array(str(level), data=np.ones((2, 5, 40 >> level, 50 >> level), "uint16"))
    scales = [[1, 1.5, 0.25 * 2**level, 0.2 * 2**level] for level in range(levels)]
    group.attrs["multiscales"] = [
        {
            "axes": [{"name": "c"}, *({"name": letter, "unit": "micrometer"} for letter in "zyx")],
            "datasets": [
                {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
                for level, scale in enumerate(scales)
            ],
        }
    ]
    group.attrs["omero"] = {"channels": [{"label": name} for name in NAMES[:2]]}
    watch_layers(layer_viewer)
    (layer,) = layer_viewer.open(str(tmp_path / "im.zarr"), plugin="napari")
    assert tuple(layer.axis_labels) == tuple("czyx")
    np.testing.assert_allclose(layer.scale, [1, 1.5, 0.25, 0.2])
    assert [str(unit) for unit in layer.units] == ["pixel", *["micrometer"] * 3]
    assert layer.metadata["channel_names"] == NAMES[:2]


def test_an_image_whose_disk_is_gone_keeps_no_panel_from_opening(layer_viewer, tmp_path, monkeypatch):
    path = tmp_path / "image.tif"
    write_image(path, np.ones((40, 50)), "YX", (0.2, 0.3), "um")
    (layer,) = layer_viewer.open(str(path), plugin="napari")
    stat = os.stat

    def fails(one, *args, **options):
        if isinstance(one, (str, os.PathLike)) and os.fspath(one) == str(path):
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return stat(one, *args, **options)

    monkeypatch.setattr(os, "stat", fails)
    watch_layers(layer_viewer)
    assert tuple(layer.scale) == (1, 1)
    with pytest.raises(DataError, match="Save image first"):
        file_of(layer)


def opened(viewer, path, qtbot):
    """The layer of a file, once Qt had its turn."""
    viewer.open(str(path), plugin="napari")
    qtbot.wait(1)
    return viewer.layers[path.stem]


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("way", ["layer", "labels", "planes"])
def test_labels_that_were_written_here_open_as_labels(viewer, tmp_path, qtbot, way, is_first):
    labels = np.zeros((3, 20, 30), int)
    labels[1, 2:9, 2:9], labels[1, 12:19, 2:9] = 1, 2
    path = tmp_path / "cells labels.tif"
    if way == "layer":
        save_labels(Labels(labels, axis_labels=("z", "y", "x"), scale=(2, 0.5, 0.5), units="um"), path)
    elif way == "planes":
        write_planes(path, [labels[1] == 1, labels[1] == 2], 2, (20, 30), "YX", (0.5, 0.5), "um")
    else:
        write_labels(path, labels, "ZYX", (2, 0.5, 0.5), "um")
    image = viewer.add_image(np.zeros((3, 20, 30)), name="cells", scale=(2, 0.5, 0.5), units="um")
    if is_first:
        watch_layers(viewer)
    layer = opened(viewer, path, qtbot)
    if not is_first:
        assert isinstance(layer, ImageLayer)
        viewer.layers.selection.active = image
        watch_layers(viewer)
        qtbot.wait(1)
        assert viewer.layers.selection.active == image
        layer = viewer.layers[path.stem]
    assert isinstance(layer, Labels)
    assert [one.name for one in viewer.layers] == ["cells", "cells labels"]
    assert [str(name) for name in layer.axis_labels] == ["n" if way == "planes" else "z", "y", "x"]
    assert tuple(layer.scale)[1:] == (0.5, 0.5)
    assert file_of(layer) == path
    if way != "planes":
        np.testing.assert_array_equal(layer.data, labels)
    # Who wants to see it as an image has it so.
    viewer.layers.selection.active = layer
    _convert_to_image(viewer.layers)
    watch_layers(viewer)
    qtbot.wait(1)
    assert isinstance(viewer.layers[path.stem], ImageLayer)


@pytest.mark.parametrize("kind", ["of others", "image", "maps"])
def test_files_that_do_not_say_that_they_are_labels_stay_images(viewer, tmp_path, qtbot, kind):
    labels = np.zeros((20, 30), np.uint16)
    labels[2:9, 2:9] = 1
    path = tmp_path / "labels.tif"
    if kind == "of others":
        tifffile.imwrite(path, labels, compression="zlib")
    elif kind == "image":
        write_image(path, labels, "YX")
    else:
        write_image(path, labels.astype(np.float32), "YX", software=f"{MADE_BY}, model and settings 1")
    watch_layers(viewer)
    assert isinstance(opened(viewer, path, qtbot), ImageLayer)
