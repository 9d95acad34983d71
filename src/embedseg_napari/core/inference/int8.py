"""A network in 8-bit integers: what lies between its layers is measured on images, and rounded to 256 steps.

OpenVINO computes convolutions in integers where their inputs and weights have passed such a rounding. Only the ranges
are stored with the model: numbers, nothing that could be run.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.device import processor_flags
from embedseg_napari.core.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray
    from torch import nn

    from embedseg_napari.core.config import Calibration

CONVOLUTIONS = ("Convolution", "ConvolutionBackpropData")
"""Kinds of OpenVINO's layers, the second of which enlarges."""
FLAGS = frozenset({"avx512_vnni", "avx_vnni"})
"""Processors without these add the products of 8-bit numbers in 16 bits, which may overflow."""


def why_not_int8() -> str:
    """Words on why this processor should not compute in 8-bit integers; empty if it may."""
    return "" if FLAGS & processor_flags() else "this processor has no instructions for them (VNNI)"


def fingerprint(network: nn.Module) -> str:
    """A name for weights: the ranges of one network say nothing of another."""
    digest = hashlib.sha256()
    for name, values in network.state_dict().items():
        digest.update(name.encode() + values.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def measured(
    openvino: Any, graph: Any, images: Iterable[NDArray[np.float32]], n_threads: int
) -> dict[str, tuple[float, float]]:
    """Lowest and highest value that enters each convolution, means over images.

    Parameters
    ----------
    openvino : module
        The library.
    graph : openvino.Model
        The network.
    images : iterable of ndarray, shape (1, C, (Z,) Y, X)
        Normalised, every side a multiple of 8.
    n_threads : int
        Threads that it works with.
    """
    op = openvino.opset13
    layers = _convolutions(graph)
    ends = []
    for layer in layers:
        values = layer.input_value(0)
        axes = op.constant(np.arange(len(values.get_partial_shape()), dtype=np.int64))
        ends += [one(values, axes, keep_dims=False).output(0) for one in (op.reduce_min, op.reduce_max)]
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": n_threads, "ENABLE_CPU_PINNING": False}
    model = openvino.Core().compile_model(openvino.Model(ends, graph.get_parameters()), "CPU", options)
    found = np.array([[float(one) for one in model([image]).to_tuple()] for image in images], np.float64).mean(0)
    # Zero, which also lies beyond the ends of an image, is one of the steps.
    pairs = [(min(low, 0.0), max(high, 0.0)) for low, high in found.reshape(-1, 2).tolist()]
    return {layer.get_friendly_name(): pair for layer, pair in zip(layers, pairs, strict=True)}


def round_to_int8(openvino: Any, graph: Any, calibration: Calibration) -> None:
    """Round what enters the convolutions of a network, and their weights, to 8 bits.

    Parameters
    ----------
    openvino : module
        The library.
    graph : openvino.Model
        The network, which is changed.
    calibration : Calibration
        Its ranges, as `measured` returned them.

    Raises
    ------
    ModelError
        If they are of other layers.
    """
    ranges = calibration.ranges
    op = openvino.opset13
    layers = {layer.get_friendly_name(): layer for layer in _convolutions(graph)}
    if layers.keys() != ranges.keys():
        raise ModelError("it was calibrated with another version of OpenVINO; calibrate it again")
    done: set[tuple[str, int]] = set()
    # Before anything is rounded, for then the inputs are others.
    for layer, values, name in [(layer, layer.input_value(0), name) for name, layer in layers.items()]:
        source = values.get_node().get_friendly_name(), values.get_index()
        ndim = len(values.get_partial_shape())
        if source not in done:
            done.add(source)
            readers = values.get_target_inputs()
            if not calibration.rounds_sums:
                readers = {one for one in readers if one.get_node().get_type_name() in CONVOLUTIONS}
            low, high = (op.constant(np.full((1,) * ndim, end, np.float32)) for end in _steps(*ranges[name]))
            rounded = op.fake_quantize(values, low, high, low, high, 256)
            for reader in readers:
                reader.replace_source_output(rounded.output(0))
        weights = layer.input_value(1)
        per_output = 1 if layer.get_type_name() == "ConvolutionBackpropData" else 0
        others = tuple(axis for axis in range(ndim) if axis != per_output)
        most = np.maximum(np.abs(weights.get_node().get_data()).max(others, keepdims=True), 1e-8).astype(np.float32)
        low, high = op.constant(-most), op.constant(most)
        layer.input(1).replace_source_output(op.fake_quantize(weights, low, high, low, high, 255).output(0))


def _convolutions(graph: Any) -> list[Any]:
    return [node for node in graph.get_ordered_ops() if node.get_type_name() in CONVOLUTIONS]


def _steps(low: float, high: float) -> tuple[float, float]:
    """A range widened so that zero is one of its 256 steps."""
    below = min(254, max(0, round(255 * -low / max(high - low, 1e-8))))
    if low < 0:
        below = max(below, 1)
    step = max(-low / below if below else 0.0, high / (255 - below), 1e-8)
    return -step * below, step * (255 - below)
