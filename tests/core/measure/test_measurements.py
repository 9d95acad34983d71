"""Tables of objects agree with scikit-image, in two and three dimensions, with and without a pixel size."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import regionprops_table
from skimage.segmentation import watershed

import embedseg_napari as es
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.errors import DataError, SettingsError, Stopped
from embedseg_napari.core.maps import EmbeddingMaps

SHAPE = ("area", "axis_major_length", "axis_minor_length", "equivalent_diameter_area")


def cells(shape: tuple[int, ...], n: int, ids: np.ndarray | None = None, seed: int = 0) -> np.ndarray:
    """Touching cells of all shapes, some at the border, some of few pixels; ids with gaps."""
    rng = np.random.default_rng(seed)
    seeds = np.zeros(shape, np.int64)
    seeds.flat[rng.choice(seeds.size, n, replace=False)] = (
        rng.choice(90_000, n, replace=False) + 1 if ids is None else ids
    )
    return watershed(rng.random(shape), seeds, mask=rng.random(shape) < 0.9)


@pytest.mark.parametrize(("shape", "spacing"), [((90, 120), (0.35, 0.2)), ((14, 40, 50), (2.0, 0.3, 0.4))])
@pytest.mark.parametrize("has_size", [True, False])
def test_everything_is_as_scikit_image_says(shape, spacing, has_size) -> None:
    labels, axes = cells(shape, 40), "zyx"[-len(shape) :]
    image = np.random.default_rng(1).normal(1000, 300, (2, *shape))
    table = es.measure(labels, image, spacing=spacing if has_size else None)
    names = [*SHAPE, "label", "num_pixels", "centroid", "bbox", "intensity_mean", "intensity_max"]
    if len(shape) == 2:
        names.append("eccentricity")
    wanted = regionprops_table(
        labels, np.moveaxis(image, 0, -1), properties=names, spacing=spacing if has_size else None
    )
    length = "um" if has_size else "px"
    size = (
        ("area_{}2" if len(shape) == 2 else "volume_{}3").format(length)
        if has_size
        else ("area_px", "volume_px")[len(shape) - 2]
    )
    ours = {size: "area", "label": "label", "num_pixels": "num_pixels"}
    ours |= {f"{name}_{length}": name for name in SHAPE[1:]}
    for i, axis in enumerate(axes):
        ours[f"centroid_{axis}_{length}"] = f"centroid-{i}"
        ours[f"bbox_min_{axis}_px"], ours[f"bbox_max_{axis}_px"] = f"bbox-{i}", f"bbox-{i + len(shape)}"
    for channel in range(2):
        ours |= {f"intensity_{kind}_{channel}": f"intensity_{kind}-{channel}" for kind in ("mean", "max")}
    if len(shape) == 2:
        ours["eccentricity"] = "eccentricity"
    for name, theirs in ours.items():
        np.testing.assert_allclose(table[name], wanted[theirs], rtol=1e-9, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(table["intensity_integrated_1"], wanted["intensity_mean-1"] * table["num_pixels"])


def test_neighbours_are_those_that_share_an_edge() -> None:
    labels = np.array([[1, 1, 0, 5], [2, 3, 3, 0], [2, 0, 4, 4]], np.uint16)
    table = es.measure(labels)
    assert dict(zip(table["label"].tolist(), table["touching_neighbours"].tolist(), strict=True)) == {
        1: 2,
        2: 2,
        3: 3,
        4: 1,
        5: 0,
    }
    assert table["touches_border"].tolist() == [True, True, False, True, True]
    # The one plane of a volume is no border.
    assert es.measure(labels[None])["touches_border"].tolist() == [True, True, False, True, True]


def test_neighbours_in_a_large_volume_are_those_of_each_pair_of_voxels() -> None:
    labels = cells((3, 1000, 900), 300)
    pairs = set()
    for axis in range(3):
        ahead = np.moveaxis(labels, axis, 0)
        meets = (ahead[1:] != ahead[:-1]) & (ahead[1:] > 0) & (ahead[:-1] > 0)
        pairs |= set(zip(ahead[1:][meets].tolist(), ahead[:-1][meets].tolist(), strict=True))
    wanted = [len({b for a, b in pairs if a == i} | {a for a, b in pairs if b == i}) for i in np.unique(labels)[1:]]
    assert es.measure(labels)["touching_neighbours"].tolist() == wanted


def test_ids_of_billions_and_of_every_type() -> None:
    labels = np.zeros((5, 6), np.uint32)
    labels[1:3, 1:3], labels[4, 4:] = 4_000_000_000, 7
    for kind in (np.uint32, np.uint64, np.int64):
        table = es.measure(labels.astype(kind), np.ones((5, 6)))
        assert table["label"].tolist() == [7, 4_000_000_000]
        assert table["intensity_integrated_0"].tolist() == [2, 4]
    assert es.measure(labels > 0)["num_pixels"].tolist() == [6]


def test_ids_that_no_fraction_tells_apart() -> None:
    labels = np.zeros((8, 8), np.uint64)
    labels[1:3, 1:3], labels[5, 5] = 2**53 + 1, 2**53
    table = es.measure(labels)
    assert table["label"].tolist() == [2**53, 2**53 + 1]
    assert table["num_pixels"].tolist() == [1, 4]


def test_frames_are_measured_one_by_one() -> None:
    film = np.stack([cells((30, 40), 5, np.arange(1, 6), seed) for seed in range(3)])
    image = np.random.default_rng(0).random((3, 2, 30, 40))
    table = es.measure(film, image, "TYX", image_axes="TCYX", spacing=(0.5, 0.5))
    for t in range(3):
        alone = es.measure(film[t], image[t], spacing=(0.5, 0.5))
        for name, values in alone.items():
            np.testing.assert_array_equal(table[name][table["frame"] == t], values)


def test_other_orders_of_axes_are_the_same_objects() -> None:
    labels, image = cells((9, 20, 30), 8), np.random.default_rng(0).random((9, 20, 30, 2))
    table = es.measure(labels, image, "ZYX", image_axes="ZYXC", spacing=(3, 1, 1))
    turned = es.measure(
        labels.transpose(2, 0, 1), image.transpose(3, 1, 0, 2), "XZY", image_axes="CYZX", spacing=(3, 1, 1)
    )
    for name, values in table.items():
        np.testing.assert_array_equal(turned[name], values)
    np.testing.assert_array_equal(
        es.measure(labels, image, spacing=(3, 1, 1))["intensity_max_1"], table["intensity_max_1"]
    )


def test_units() -> None:
    labels = cells((30, 40), 6)
    wanted = es.measure(labels, spacing=(0.4, 0.4))
    for spacing, unit in (((400, 400), "nm"), ((4e-4, 4e-4), "mm")):
        table = es.measure(labels, spacing=spacing, unit=unit)
        np.testing.assert_allclose(table["area_um2"], wanted["area_um2"])
        np.testing.assert_allclose(table["centroid_y_um"], wanted["centroid_y_um"])
    # Without a unit only the shape of a pixel is known.
    table, plain = es.measure(labels, spacing=(4, 2), unit=None), es.measure(labels)
    np.testing.assert_allclose(table["area_px"], 2 * plain["area_px"])
    np.testing.assert_allclose(table["centroid_y_px"], plain["centroid_y_px"])


def test_further_columns() -> None:
    labels = np.zeros((30, 40, 40), np.int32)
    z, y, x = np.indices(labels.shape)
    labels[((z - 15) ** 2 * 4 + (y - 20) ** 2 + (x - 20) ** 2) <= 15**2] = 3
    labels[0, 0, :4] = 5
    table = es.measure(labels, spacing=(2, 1, 1), columns=("solidity", "surface"))
    assert table["surface_um2"][0] == pytest.approx(4 * np.pi * 15**2, rel=0.15)
    assert table["solidity"][0] > 0.9
    assert table["solidity"][1] == 1
    plane = es.measure(labels[15], columns=("solidity", "surface"))
    assert plane["perimeter_px"][0] == pytest.approx(2 * np.pi * 15, rel=0.05)
    stretched = es.measure(labels[:, :, 20], spacing=(2, 1), columns=("surface",))
    assert stretched["perimeter_um"][0] == pytest.approx(2 * np.pi * 15, rel=0.12)


def test_what_the_model_knows() -> None:
    labels = np.zeros((6, 8), np.int32)
    labels[1:3, 1:3], labels[4, 4:7] = 1, 2
    margins = np.where(labels == 1, 2.0, 5.0) * np.ones((2, 1, 1))
    maps = EmbeddingMaps(np.zeros((2, 6, 8), np.float32), margins.astype(np.float32), np.ones((6, 8), np.float32))
    one = es.Segmentation(
        labels, np.zeros((2, 2), np.float32), np.array([0.9, 0.7], np.float32), PredictionConfig(), kept_maps=maps
    )
    table = es.measure(one)
    assert list(table)[:3] == ["label", "score", "margin_px"]
    assert table["score"].tolist() == pytest.approx([0.9, 0.7])
    assert table["margin_px"].tolist() == [2, 5]
    film = es.measure(es.Segmentation.stack([one, one]))
    assert film["frame"].tolist() == [0, 0, 1, 1]
    assert film["label"].tolist() == [1, 2, 3, 4]
    assert film["margin_px"].tolist() == [2, 5, 2, 5]


def test_nothing_gives_no_row() -> None:
    table = es.measure(np.zeros((4, 5), int), np.zeros((4, 5)), columns=("solidity",))
    assert {len(values) for values in table.values()} == {0}


@pytest.mark.parametrize(
    ("labels", "image", "options", "words"),
    [
        (np.ones((4, 4)), None, {}, "whole numbers stored as float64"),
        (np.full((4, 4), -1), None, {}, "negative numbers"),
        (np.full((4, 4), 2**63, np.uint64), None, {}, "numbers above 9223372036854775807"),
        (np.ones((4, 4), int), np.full((4, 4), "a"), {}, "holds <U1 values"),
        (np.ones((4, 4), int), np.ones((0, 4, 4)), {}, "has no channels"),
        (np.ones((4, 4), int), np.ones((4, 5)), {}, "The image has 4 x 5 pixels"),
        (np.ones((4, 4), int), np.ones((4, 4)), {"image_axes": "TYX"}, "name the axes of both"),
        (np.ones((4, 4), int), None, {"spacing": (1, 2, 3)}, "needs one value for each of the axes YX"),
        (np.ones((4, 4), int), None, {"axes": "CYX"}, "do not fit labels of shape 4 x 4"),
    ],
)
def test_what_does_not_fit_is_named(labels, image, options, words) -> None:
    with pytest.raises(DataError, match=words):
        es.measure(labels, image, **options)


def test_unknown_columns_and_stops() -> None:
    with pytest.raises(SettingsError, match="choose from solidity and surface"):
        es.measure(np.ones((4, 4), int), columns=("colour",))
    with pytest.raises(Stopped):
        es.measure(np.ones((4, 4), int), should_stop=lambda: True)
