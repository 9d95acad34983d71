"""Engines that were tried and are not built in: torch.compile, also with freezing, ONNX Runtime; norms as layers.

The bare network on one thread, in turns: CPU seconds, what making it ready takes, and the distance from float32.
ONNX Runtime where it is installed: pip install onnx onnxruntime.

python benchmarks/other_engines.py MODEL [--precision bfloat16] [--shape 1024,1024]
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
import warnings
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import torch._inductor.config
from engines import network_arguments, opened
from torch import nn

from embedseg_napari.core.inference.openvino_engine import choose_engine
from embedseg_napari.core.networks import unet
from embedseg_napari.core.networks.memory_order import channels_last
from embedseg_napari.core.networks.network import raw_output
from embedseg_napari.core.runs import never

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from torch import Tensor

    Run = Callable[[Tensor], Tensor]


def as_stored(network: nn.Module, precision: str, image: Tensor) -> Run:
    """What is built in: bands, and norms that are a part of the weights."""
    return lambda x: raw_output(network, x, precision)


def in_one_piece(network: nn.Module, precision: str, image: Tensor) -> Run:
    def run(x: Tensor) -> Tensor:
        with mock.patch.object(unet, "can_band", return_value=False):
            return raw_output(network, x, precision)

    return run


def norms_as_layers(network: nn.Module, precision: str, image: Tensor) -> Run:
    def run(x: Tensor) -> Tensor:
        with mock.patch.object(unet.Convolution, "forward", nn.Sequential.forward):
            return raw_output(network, x, precision)

    return run


def compiled(network: nn.Module, precision: str, image: Tensor, freezing: bool) -> Run:
    """torch.compile of the network in one piece, for images of one size."""
    torch.compiler.reset()
    program = torch.compile(network, dynamic=False)

    def run(x: Tensor) -> Tensor:
        with (
            mock.patch.object(unet, "can_band", return_value=False),
            torch._inductor.config.patch(freezing=freezing),
            torch.no_grad(),
            torch.autocast("cpu", torch.bfloat16, enabled=precision != "float32"),
        ):
            return program(channels_last(x)).float()

    return run


def onnx_session(path: str) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"x": x.numpy()})[0])


def exported(network: nn.Module, image: Tensor, folder: Path) -> str:
    path = str(folder / "network.onnx")
    sides = {axis: f"n{axis}" for axis in range(2, image.ndim)}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        small = torch.zeros(1, image.shape[1], *[32] * (image.ndim - 2))
        torch.onnx.export(
            network, (small,), path, input_names=["x"], output_names=["y"], opset_version=17, dynamo=False,
            dynamic_axes={"x": sides, "y": sides},
        )  # fmt: skip
    return path


def rounded(path: str, image: Tensor) -> str:
    """ONNX Runtime's own 8-bit integers, ranges of one image: the time does not depend on them."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class One(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = [{"x": image[..., :64, :64].contiguous().numpy()}]

        def get_next(self) -> dict[str, np.ndarray] | None:
            return self.left.pop() if self.left else None

    ready, to = path.replace(".onnx", "-ready.onnx"), path.replace(".onnx", "-int8.onnx")
    quant_pre_process(path, ready, skip_symbolic_shape=True)
    quantize_static(
        ready, to, One(), per_channel=True, op_types_to_quantize=["Conv"], activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )  # fmt: skip
    return to


def by_openvino(network: nn.Module, precision: str, image: Tensor) -> Run:
    program, words, _ = choose_engine("openvino", network, image.shape[1], precision)
    if program is None:
        raise RuntimeError(words)
    return lambda x: program(x, never)


def main() -> None:
    options = network_arguments(__doc__).parse_args()
    model, precision = opened(options)
    network, shape = model.network.eval(), tuple(map(int, options.shape.split(",")))
    image = torch.rand(1, model.config.n_channels, *shape, generator=torch.Generator().manual_seed(0))
    exact = raw_output(network, image)
    given = (network, precision, image)
    ways: dict[str, Callable[[], Run]] = {
        "PyTorch, built in": partial(as_stored, *given),
        "in one piece, without bands": partial(in_one_piece, *given),
        "norms as layers, in bands": partial(norms_as_layers, *given),
        "torch.compile": partial(compiled, *given, False),
        "torch.compile, freezing": partial(compiled, *given, True),
    }
    with tempfile.TemporaryDirectory() as place:
        if find_spec("onnxruntime") and find_spec("onnx"):
            ways["ONNX Runtime, float32"] = lambda: onnx_session(exported(network, image, Path(place)))
            ways["ONNX Runtime, 8-bit integers"] = lambda: onnx_session(
                rounded(exported(network, image, Path(place)), image)
            )
        if find_spec("openvino"):
            ways["OpenVINO, built in"] = partial(by_openvino, *given)
        runs: dict[str, Run] = {}
        for name, make in ways.items():
            start = time.process_time()
            try:
                run = make()
                output = run(image)
            except (RuntimeError, ImportError, ValueError, AttributeError) as error:
                print(f"{name}: cannot ({type(error).__name__}: {str(error).splitlines()[0][:150]})")
                continue
            first = time.process_time() - start
            run(image)
            start = time.process_time()
            run(image)
            ready = first - (time.process_time() - start)
            error = float((output - exact).abs().mean())
            print(f"{name}: ready after {ready:.1f} s, mean error {error:.2g}", flush=True)
            runs[name] = run
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(options.repeats):
            for name, run in runs.items():
                start = time.process_time()
                run(image)
                seconds[name].append(1e6 * (time.process_time() - start) / image[0, 0].numel())
    print(f"{' x '.join(map(str, shape))} in {precision}, CPU seconds a million pixels:")
    base = seconds["PyTorch, built in"]
    for name, took in seconds.items():
        ratio = statistics.median(b / t for b, t in zip(base, took, strict=True))
        print(f"  {name}: {statistics.median(took):.3f}, {ratio:.2f} times as fast")


if __name__ == "__main__":
    main()
