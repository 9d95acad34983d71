"""The loss against a naive per-instance reference, the original's numbers, and cases that break careless code."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from embedseg_napari.core import device as devices
from embedseg_napari.core.losses.reference import reference_loss
from embedseg_napari.core.losses.spatial_embedding import (
    LOOPS,
    _loops_for,
    spatial_embedding_loss,
    spatial_embedding_loss_terms,
)

STEP = 1 / 255


@pytest.fixture(params=["compiled", "tensors", "queued"], autouse=True)
def way(request, monkeypatch):
    """The compiled loops of a CPU, what runs before they are compiled, and what runs on a GPU."""
    if request.param != "compiled":
        monkeypatch.setattr(LOOPS, "wait", lambda: None)
    if request.param == "queued":
        monkeypatch.setattr(devices, "queues_work", lambda device: True)
    return request.param


@pytest.mark.parametrize("wait", [True, False])
def test_loops_of_a_cpu_are_for_no_other_device(way, wait):
    if way == "compiled":
        assert LOOPS.wait() is not None
        assert _loops_for(torch.device("cpu"), wait) is not None
    # Apple's GPU has no queue that we use, and is no CPU all the same.
    assert _loops_for(torch.device("mps"), wait) is None
    assert _loops_for(torch.device("cuda"), wait) is None


def scene(ndim, n_crops=2, n_objects=4, seed=0):
    """Raw output of a half-trained kind, label images and centres."""
    rng = np.random.default_rng(seed)
    shape = (40, 48) if ndim == 2 else (8, 24, 24)
    labels = np.zeros((n_crops, *shape), np.int32)
    centers = []
    at = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"))
    for b in range(n_crops):
        for i in range(n_objects):
            middle = rng.uniform(0, shape).reshape(-1, *[1] * ndim)
            labels[b][((at - middle) ** 2).sum(0) < rng.uniform(3, 6) ** 2] = 3 * i + 2
        found = [i for i in np.unique(labels[b]) if i]
        centers.append(np.array([np.argwhere(labels[b] == i).mean(0) + 0.3 for i in found]).reshape(-1, ndim))
    raw = rng.normal(0, 1, (n_crops, 2 * ndim + 1, *shape)).astype(np.float32)
    raw[:, :ndim] *= 4 * STEP
    raw[:, ndim : 2 * ndim] = np.log(np.log(2) / (5 * STEP) ** 2) / 10 + 0.02 * raw[:, ndim : 2 * ndim]
    return torch.tensor(raw, requires_grad=True), torch.tensor(labels), centers


def gradient(loss, raw):
    return torch.autograd.grad(loss, raw)[0].double()


def relative(a, b):
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("with_ignore", [False, True])
def test_value_and_gradient_equal_the_naive_reference(ndim, with_ignore):
    raw, labels, centers = scene(ndim)
    ignore = None
    if with_ignore:
        ignore = torch.zeros(labels.shape, dtype=torch.bool)
        ignore[..., :17] = True
    spacing = (STEP * 2, STEP, STEP)[-ndim:]
    weights = (1.0, 10.0, 1.0)
    fast = spatial_embedding_loss(raw, labels, centers, spacing, 7.0, weights, ignore)
    slow = reference_loss(raw, labels, centers, spacing, 7.0, weights, ignore)
    assert float(fast.detach()) == pytest.approx(float(slow.detach()), rel=1e-4)
    assert relative(gradient(fast, raw), gradient(slow, raw)) < 2e-3


@pytest.mark.parametrize("kind", [torch.uint8, torch.bool, torch.int32])
@pytest.mark.parametrize("height", [40, 39])
def test_overlapping_planes_equal_the_naive_reference(kind, height):
    raw = scene(2)[0].detach()[:, :, :height, :47].clone().requires_grad_()
    planes = torch.zeros((2, 3, height, 47), dtype=kind)
    planes[0, 0, 5:20, 5:20] = 1
    planes[0, 2, 10:30, 12:26] = 1  # overlaps the first; the plane between is empty
    planes[1, 1, 20:30, 20:40] = 1
    centers = [np.array([[12.0, 12.0], [20.0, 19.0]]), np.array([[25.0, 30.0]])]
    fast = spatial_embedding_loss(raw, planes, centers, (STEP, STEP))
    slow = reference_loss(raw, planes, centers, (STEP, STEP))
    assert float(fast.detach()) == pytest.approx(float(slow.detach()), rel=1e-4)
    assert relative(gradient(fast, raw), gradient(slow, raw)) < 2e-3


def test_many_overlapping_objects_equal_the_naive_reference():
    # More pairs of object and pixel than any way works on at once.
    raw, rng = scene(2)[0], np.random.default_rng(0)
    planes = torch.zeros((2, 600, *raw.shape[2:]), dtype=torch.uint8)
    centers = [np.empty((600, 2)), np.empty((600, 2))]
    for crop in range(2):
        for i, (y, x) in enumerate(rng.integers(0, 30, (600, 2))):
            planes[crop, i, y : y + 6, x : x + 7] = 1
            centers[crop][i] = y + 2.5, x + 3
    fast = spatial_embedding_loss(raw, planes, centers, (STEP, STEP))
    slow = reference_loss(raw, planes, centers, (STEP, STEP))
    assert float(fast.detach()) == pytest.approx(float(slow.detach()), rel=1e-4)
    assert relative(gradient(fast, raw), gradient(slow, raw)) < 2e-3


@pytest.mark.parametrize("name", ["loss_2d", "loss_3d", "loss_overlapping"])
def test_reproduces_the_original(golden, name):
    data = np.load(golden(f"{name}.npz"))
    ndim = data["raw"].ndim - 2
    order = [*reversed(range(ndim)), *reversed(range(ndim, 2 * ndim)), 2 * ndim]
    raw = torch.tensor(data["raw"][:, order], requires_grad=True)
    instances = data["instances"].astype(np.int32)
    centers = []
    for one, marked in zip(instances, data["centers"], strict=True):
        masks = [m > 0 for m in one if m.any()] if one.ndim > ndim else [one == i for i in np.unique(one) if i]
        rows = []
        for mask in masks:
            hits = np.argwhere(mask & marked)
            rows.append(hits[0] if len(hits) == 1 else np.argwhere(mask).mean(0))
        centers.append(np.array(rows))
    spacing = [1 / 1023] * ndim
    if ndim == 3:
        spacing[0] *= float(data["anisotropy"])
    terms = spatial_embedding_loss_terms(
        raw, torch.tensor(instances), centers, spacing, float(data["foreground_weight"])
    )
    assert float(terms.total.detach()) == pytest.approx(float(data["loss"]), rel=1e-4)
    for part in ("instance", "variance", "seed"):
        assert float(getattr(terms, part)) == pytest.approx(float(data[f"loss_{part}"]), rel=1e-4)
    assert relative(gradient(terms.total, raw), torch.tensor(data["grad"][:, order]).double()) < 2e-3


@pytest.mark.parametrize("ndim", [2, 3])
def test_perfect_embeddings_cost_next_to_nothing(ndim):
    _, labels, _ = scene(ndim, n_crops=1, n_objects=3, seed=2)
    shape = labels.shape[1:]
    at = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")).astype(np.float32)
    raw = np.zeros((1, 2 * ndim + 1, *shape), np.float32)
    raw[:, ndim : 2 * ndim] = np.log(np.log(2) / (1.5 * STEP) ** 2) / 10
    raw[:, -1] = -20
    raw[:, 0] = 0.9  # background points far away
    centers = []
    for i in [i for i in np.unique(labels) if i]:
        mask = labels[0].numpy() == i
        center = np.argwhere(mask).mean(0)
        centers.append(center)
        for axis in range(ndim):
            raw[0, axis][mask] = np.arctanh((center[axis] - at[axis][mask]) * STEP)
        raw[0, -1][mask] = 20
    loss = spatial_embedding_loss(torch.tensor(raw), labels, [np.array(centers)], (STEP,) * ndim)
    assert float(loss) < 1e-3


def test_order_of_ids_is_the_order_of_centers():
    raw, labels, centers = scene(2, n_crops=1)
    swapped = [centers[0][::-1].copy()]
    assert float(spatial_embedding_loss(raw, labels, centers, (STEP, STEP)).detach()) != pytest.approx(
        float(spatial_embedding_loss(raw, labels, swapped, (STEP, STEP)).detach())
    )


def test_large_and_sparse_ids_mean_the_same_as_small_ones():
    raw, labels, centers = scene(2)
    huge = torch.where(labels > 0, labels.long() * 1_000_003, 0)
    one = spatial_embedding_loss(raw, labels, centers, (STEP, STEP))
    other = spatial_embedding_loss(raw, huge, centers, (STEP, STEP))
    assert float(one.detach()) == pytest.approx(float(other.detach()), rel=1e-6)


@pytest.mark.parametrize("ndim", [2, 3])
def test_crop_without_objects_teaches_background_only(ndim):
    raw, labels, _ = scene(ndim)
    loss = spatial_embedding_loss(raw, torch.zeros_like(labels), [np.zeros((0, ndim))] * 2, (STEP,) * ndim)
    expected = torch.sigmoid(raw[:, -1]).square().mean()
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    grad = gradient(loss, raw)
    assert bool(torch.isfinite(grad).all())
    assert float(grad[:, :-1].abs().max()) == 0


@pytest.mark.parametrize("bandwidth", [50.0, -50.0, 1e6, -1e6])
def test_extreme_bandwidths_give_no_nan(bandwidth):
    raw, labels, centers = scene(2)
    values = raw.detach().clone()
    values[:, 2:4] = bandwidth
    values.requires_grad_()
    loss = spatial_embedding_loss(values, labels, centers, (STEP, STEP), weights=(1.0, 0.0, 1.0))
    assert bool(torch.isfinite(loss))
    assert bool(torch.isfinite(gradient(loss, values)[:, :2]).all())


@pytest.mark.parametrize("kind", ["2D", "3D", "2D planes", "3D planes", "single planes of a volume"])
@pytest.mark.parametrize("weights", [(1.0, 0.0, 0.0), (0.0, 10.0, 0.0), (0.0, 0.0, 1.0), (1.0, 10.0, 1.0)])
def test_ignored_pixels_get_no_gradient_and_their_values_do_not_matter(kind, weights):
    ndim = 2 if kind.startswith("2D") else 3
    raw, labels, centers = scene(ndim)
    if kind.endswith("D planes"):
        ids = torch.unique(labels)[1:]
        labels = torch.stack([labels == i for i in ids], 1)
    ignore = torch.zeros((len(raw), *raw.shape[2:]), dtype=torch.bool)
    ignore[..., 10:25, 5:20] = True
    if kind.startswith("single"):
        ignore[:] = True
        ignore[:, [1, 4]] = False
    spacing = (STEP,) * ndim
    inside = labels.any(1) if labels.ndim > ignore.ndim else labels > 0
    # Whole objects, background and parts of objects are unknown, and of each something is known.
    assert all(bool((a & b).any()) for a in (inside, ~inside) for b in (ignore, ~ignore))
    loss = spatial_embedding_loss(raw, labels, centers, spacing, weights=weights, ignore=ignore)
    grad = gradient(loss, raw).movedim(1, -1)
    assert float(grad[ignore].abs().max()) == 0
    assert float(grad[~ignore].abs().max()) > 0
    changed = raw.detach().clone()
    changed.movedim(1, -1)[ignore] += 0.3
    again = spatial_embedding_loss(changed, labels, centers, spacing, weights=weights, ignore=ignore)
    assert float(again) == pytest.approx(float(loss.detach()), rel=1e-6)


def test_everything_ignored_is_zero():
    raw, labels, centers = scene(2)
    loss = spatial_embedding_loss(raw, labels, centers, (STEP, STEP), ignore=torch.ones(labels.shape, dtype=torch.bool))
    assert float(loss.detach()) == 0


def test_center_outside_the_crop_pulls_pixels_out():
    raw, labels, _ = scene(2, n_crops=1, n_objects=1)
    outside = [np.array([[-30.0, 10.0]])]
    grad = gradient(spatial_embedding_loss(raw, labels, outside, (STEP, STEP), weights=(1.0, 0.0, 0.0)), raw)
    assert bool(torch.isfinite(grad).all())


def test_wrong_number_of_centers_is_refused():
    raw, labels, centers = scene(2)
    with pytest.raises(ValueError, match="centres"):
        spatial_embedding_loss(raw, labels, [centers[0][:-1], centers[1]], (STEP, STEP))


def test_bfloat16_output_is_computed_in_float32():
    raw, labels, centers = scene(2)
    low = raw.detach().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss = spatial_embedding_loss(low, labels, centers, (STEP, STEP))
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(spatial_embedding_loss(low.float(), labels, centers, (STEP, STEP))))


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("memory_format", ["rows", "channels"])
def test_threads_and_the_order_in_memory_change_nothing(ndim, memory_format):
    raw, labels, centers = scene(ndim, n_crops=5)
    ignore = torch.zeros(labels.shape, dtype=torch.bool)
    ignore[1] = True
    ignore[2, ..., :9] = True
    spacing = (STEP,) * ndim
    found = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            given = raw
            if memory_format == "channels":
                order = torch.channels_last if ndim == 2 else torch.channels_last_3d
                given = raw.detach().contiguous(memory_format=order).requires_grad_()
            loss = spatial_embedding_loss(given, labels, centers, spacing, ignore=ignore)
            found.append((float(loss.detach()), gradient(loss, given)))
    finally:
        torch.set_num_threads(before)
    assert all(value == pytest.approx(found[0][0], rel=1e-6) for value, _ in found)
    assert all(relative(one, found[0][1]) < 1e-6 for _, one in found)
    assert not found[0][1][1].any()


def test_scaling_the_loss_scales_the_gradient_and_half_precision_is_taken():
    raw, labels, centers = scene(2)
    plain = gradient(spatial_embedding_loss(raw, labels, centers, (STEP, STEP)), raw)
    scaled = gradient(3.0 * spatial_embedding_loss(raw, labels, centers, (STEP, STEP)), raw)
    assert relative(scaled, 3.0 * plain) < 1e-5
    half = raw.detach().bfloat16().requires_grad_()
    found = torch.autograd.grad(spatial_embedding_loss(half, labels, centers, (STEP, STEP)), half)[0]
    same = half.detach().float().requires_grad_()
    assert found.dtype == torch.bfloat16
    assert relative(found.double(), gradient(spatial_embedding_loss(same, labels, centers, (STEP, STEP)), same)) < 0.01
