"""Objects measured block by block: the table is the one of the whole."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from embedseg_napari.core.data import survey as surveys
from embedseg_napari.core.data.objects import measure_objects
from embedseg_napari.core.data.survey import survey_labels
from embedseg_napari.core.data.unknown import open_objects
from embedseg_napari.core.errors import DataError


class InMemory:
    def __init__(self, labels, unknown=None):
        self.labels, self.unknown, self.shape, self.piece = labels, unknown, labels.shape, (8,) * labels.ndim

    def read(self, part):
        inside = tuple(slice(a, b) for a, b in zip(part.start, part.stop, strict=True))
        labels = self.labels[inside]
        if self.unknown is None:
            return labels, None
        return np.where(self.unknown[inside], labels.dtype.type(0), labels), self.unknown[inside]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(surveys, "BLOCK_PIXELS", 600)
    monkeypatch.setattr(surveys, "RUN_PIXELS", 100)


def labels_of(shape, seed, dtype=np.int32):
    """Pieces of noise; some numbers lie in several places, one of them everywhere."""
    rng = np.random.default_rng(seed)
    labels, n = ndimage.label(ndimage.gaussian_filter(rng.normal(size=shape), 1.5) > 0.08)
    numbers = rng.permutation(5 * n + 1)[: n + 1]
    numbers[0] = 0
    labels = numbers[labels]
    labels[rng.random(shape) < 0.002] = 5 * n + 3
    return labels.astype(dtype)


@pytest.mark.parametrize("kind", ["medoid", "approximate-medoid", "centroid"])
@pytest.mark.parametrize("shape", [(70, 83), (11, 37, 41)])
def test_the_table_is_that_of_the_whole(shape, kind):
    labels, spacing = labels_of(shape, 0, np.uint16), (2.0, 1.0, 0.5)[-len(shape) :]
    found = survey_labels(InMemory(labels), kind, spacing, "labels")
    wanted = measure_objects(labels, kind, spacing)
    for name in ("ids", "centers", "lower", "upper", "sizes"):
        np.testing.assert_array_equal(getattr(found.table, name), getattr(wanted, name), err_msg=name)
    assert found.n_background == (labels == 0).sum()
    assert found.n_unknown == 0


def test_objects_cut_off_in_z_are_those_of_the_whole_also_if_objects_are_hidden():
    labels = labels_of((14, 40, 44), 3)
    unknown = np.zeros(labels.shape, bool)
    unknown[5:9] = True
    found = survey_labels(InMemory(labels, unknown), "medoid", None, "labels")
    known = np.where(unknown, 0, labels)
    np.testing.assert_array_equal(found.open_objects()[0], open_objects(known, unknown)[0])
    hidden = found.table.ids[::4]
    unknown |= np.isin(labels, hidden)
    left = found.without(hidden)
    np.testing.assert_array_equal(left.open_objects()[0], open_objects(np.where(unknown, 0, labels), unknown)[0])
    assert left.n_unknown == unknown.sum()
    assert len(left.table.ids) == len(found.table.ids) - len(hidden)


@pytest.mark.parametrize("is_rim_known", [True, False])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_objects_on_single_planes_are_those_of_the_whole_also_at_borders_of_blocks(axis, is_rim_known):
    whole = np.zeros((24, 24, 24), np.int32)
    for number, corner in enumerate(np.ndindex(2, 2, 2), 1):
        whole[tuple(slice(12 * a + 2, 12 * a + 10) for a in corner)] = number
    for plane in range(2, 10):
        unknown = np.ones(whole.shape, bool)
        np.moveaxis(unknown, axis, 0)[[plane, plane + 12]] = False
        if not is_rim_known:
            unknown |= whole == 0
        known = np.where(unknown, 0, whole)
        found = survey_labels(InMemory(known, unknown), "medoid", None, "labels")
        wanted = open_objects(known, unknown)
        assert wanted[axis].tolist() == list(range(1, 9))
        for one, other in zip(found.open_objects(), wanted, strict=True):
            np.testing.assert_array_equal(one, other)


def test_ends_are_counted_alike_whatever_numbers_objects_have():
    """Numbers of many digits do not fit into one key."""
    labels = labels_of((14, 40, 44), 3, np.int64)
    unknown = np.zeros(labels.shape, bool)
    unknown[5:9] = True
    small, large = (survey_labels(InMemory(labels * by, unknown), "medoid", None, "a").contacts for by in (1, 10**9))
    assert large[:, 1].max() > 1 << 32
    ids = small[:, 1:3]
    small[:, 1:3] = np.where(ids > 0, ids * 10**9, ids)
    np.testing.assert_array_equal(large, small)
    assert set(small[:, 0]) == set(range(6))
    assert (small[:, 2] == surveys.UNKNOWN).any()


def test_no_object_is_no_fault():
    found = survey_labels(InMemory(np.zeros((50, 60), np.uint8)), "medoid", None, "labels")
    assert len(found.table.ids) == 0
    assert found.n_background == 3000


def test_numbers_that_are_no_ids_are_refused():
    with pytest.raises(DataError, match="mine: holds negative numbers"):
        survey_labels(InMemory(np.full((50, 60), -1)), "medoid", None, "mine")


@pytest.mark.parametrize("end", [0.3, 0.8])
def test_the_work_can_be_watched_and_ended(end):
    def watch(fraction):
        seen.append(fraction)
        if fraction > end:
            raise InterruptedError

    seen = []
    with pytest.raises(InterruptedError):
        survey_labels(InMemory(labels_of((70, 83), 0)), "medoid", None, "labels", watch)
    end, seen = 2, []
    survey_labels(InMemory(labels_of((70, 83), 0)), "medoid", None, "labels", watch)
    assert seen == sorted(set(seen))
    assert seen[-1] == 1
    assert sum(fraction > 0.5 for fraction in seen) == len(seen) / 2
