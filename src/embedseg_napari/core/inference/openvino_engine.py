"""The network on a CPU by OpenVINO, where that is installed: the same weights and number format in less time."""

from __future__ import annotations

import logging
import math
import platform
import sys
import threading
import warnings
from contextlib import suppress
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch

from embedseg_napari.core.errors import ComputeError, ModelError, Stopped
from embedseg_napari.core.inference.int8 import fingerprint, measured, round_to_int8, why_not_int8
from embedseg_napari.core.networks.network import device_of, raw_output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from embedseg_napari.core.config import Calibration
    from embedseg_napari.core.config.limits import Engine, RunEngine
    from embedseg_napari.core.networks.network import EmbeddingNetwork

logger = logging.getLogger(__name__)

X86 = ("x86_64", "AMD64", "i386")
"""Processors on which OpenVINO was measured to be faster."""
RECORDED, TRIED = {2: (64, 64), 3: (32, 32, 32)}, {2: (56, 104), 3: (24, 32, 40)}
"""Sizes of the images that a network is recorded with, and compared on: one that suits no other size is found out."""
MOST_ERROR, MOST_TIMES = 1e-4, 4.0
"""Mean error of the outputs that is always let pass, and how many times that of PyTorch in the same number format."""
LEAST_PIXELS = {2: 4e6, 3: 3e7}
"""That the network must see in a run before it gains what making it ready costs, 0.6 s in 2D and 1.7 s in 3D."""
NAMES: dict[RunEngine, str] = {"torch": "PyTorch", "openvino": "OpenVINO", "int8": "OpenVINO in 8-bit integers"}
FAULTS = (ImportError, OSError, RuntimeError, TypeError, ValueError, AttributeError)
"""What OpenVINO raises, of whatever version, where it cannot do something."""
LOOK_MILLISECONDS = 50
"""Time between two looks at whether to stop."""


def choose_engine(
    wanted: Engine,
    network: EmbeddingNetwork,
    n_channels: int,
    precision: str,
    *,
    n_pixels: float = math.inf,
    calibration: Calibration | None = None,
) -> tuple[CompiledNetwork | None, str, bool]:
    """Return what runs a network, and what to say about it.

    Parameters
    ----------
    wanted : {"auto", "torch", "openvino", "int8"}
        The setting.
    network : EmbeddingNetwork
        On its device.
    n_channels : int
        Channels that it takes.
    precision : {"float32", "bfloat16", "float16"}
        Number format, one that the device has.
    n_pixels : float
        That the network will see in this run; of few, auto makes nothing ready.
    calibration : Calibration, optional
        Of the model, for int8.

    Returns
    -------
    compiled : CompiledNetwork or None
        None where PyTorch runs it.
    words : str
        A sentence, empty where there is nothing to say.
    is_odd : bool
        Whether it is not what was asked for, or could be had.
    """
    if wanted == "torch":
        return None, "", False
    is_asked = wanted != "auto"
    if device_of(network).type != "cpu":
        words = f"The network runs in PyTorch: OpenVINO is for CPUs, and the device is {device_of(network).type}."
        return None, words if is_asked else "", is_asked
    if find_spec("openvino") is None:
        words = "The network runs in PyTorch: OpenVINO is not installed (pip install 'embedseg-napari[fast]')."
        return None, words if is_asked else "", is_asked
    if not is_asked and (platform.machine() not in X86 or n_pixels < LEAST_PIXELS[network.ndim]):
        return None, "", False
    why = ""
    if wanted == "int8":
        why = _why_no_int8(network, calibration)
        compiled = why or _compiled(network, n_channels, precision, calibration)
        if isinstance(compiled, CompiledNetwork):
            return compiled, f"The network runs in OpenVINO {version('openvino')}, in 8-bit integers.", False
        why = f", not in 8-bit integers: {compiled}"
    compiled = _compiled(network, n_channels, precision, None)
    if isinstance(compiled, str):
        return None, f"The network runs in PyTorch: OpenVINO cannot run it ({compiled}).", True
    return compiled, f"The network runs in OpenVINO {version('openvino')}, in {precision}{why}.", bool(why)


def engine_begun(
    engine: RunEngine, network: EmbeddingNetwork, n_channels: int, precision: str, calibration: Calibration | None
) -> CompiledNetwork | None:
    """Return what runs a network in a run that was begun with an engine, for two in one run would leave no trace.

    Parameters
    ----------
    engine : {"torch", "openvino", "int8"}
        What the run was begun with.
    network, n_channels, precision, calibration
        As for `choose_engine`.

    Returns
    -------
    CompiledNetwork or None
        None where PyTorch runs it.

    Raises
    ------
    ComputeError
        If it cannot be had here.
    """
    compiled, words, _ = choose_engine(engine, network, n_channels, precision, calibration=calibration)
    if engine_of(compiled) != engine:
        raise ComputeError(
            f"The run was begun with {NAMES[engine]}, and goes on with that alone. Here it cannot: {words} Run it "
            "where that is installed, or start anew with --overwrite."
        )
    return compiled


def engine_of(compiled: CompiledNetwork | None) -> RunEngine:
    """Name of what runs a network."""
    return "torch" if compiled is None else compiled.engine


def _why_no_int8(network: EmbeddingNetwork, calibration: Calibration | None) -> str:
    if calibration is None:
        return "the model is not calibrated for them (embedseg calibrate)"
    if calibration.weights != fingerprint(network):
        return "the model was calibrated for them with other weights; calibrate it again"
    return why_not_int8()


class CompiledNetwork:
    """A network that OpenVINO has compiled, for images of any size; may be called from several threads.

    Parameters
    ----------
    network : EmbeddingNetwork
        On the CPU, not in training.
    n_channels : int
        Channels that it takes.
    precision : {"float32", "bfloat16"}
        Number format.
    n_threads : int
        Threads that it works with.
    calibration : Calibration, optional
        With it, convolutions are computed in 8-bit integers, and what lies between them in the number format.

    Raises
    ------
    ComputeError
        If it computes something else than PyTorch does.
    ModelError
        If the calibration does not fit.
    """

    def __init__(
        self,
        network: EmbeddingNetwork,
        n_channels: int,
        precision: str,
        n_threads: int,
        calibration: Calibration | None = None,
    ) -> None:
        openvino = _import_openvino()
        self.engine: RunEngine = "openvino" if calibration is None else "int8"
        graph = _converted(network, n_channels)
        if calibration is not None:
            round_to_int8(openvino, graph, calibration)
            # OpenVINO has no way from 8 bits to bfloat16 for all layers.
            precision = "float32"
        options = {
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
            "INFERENCE_NUM_THREADS": n_threads,
            "NUM_STREAMS": 1,
            # Several processes on one machine would share the first cores, and leave the others idle.
            "ENABLE_CPU_PINNING": False,
        }
        self.model = openvino.Core().compile_model(graph, "CPU", options)
        tried = _numbers(n_channels, TRIED[network.ndim])
        if calibration is None:
            self._check(network, tried, precision)
        # Ranges are those of images, which noise leaves; how far objects differ was found out when it was calibrated.
        elif not bool(self(tried, lambda: False).isfinite().all()):
            raise ComputeError("its outputs are no numbers")

    def __call__(self, images: Tensor, should_stop: Callable[[], bool]) -> Tensor:
        """Run the network.

        Parameters
        ----------
        images : Tensor, shape (1, C, (Z,) Y, X)
            As for `raw_output`.
        should_stop : callable
            Looked at while it runs.

        Returns
        -------
        Tensor, shape (1, 2 * ndim + 1, (Z,) Y, X), float32

        Raises
        ------
        Stopped
            If `should_stop` returned True.
        """
        request = self.model.create_infer_request()
        values = images.contiguous().numpy()
        request.start_async([values], share_inputs=True)
        while not request.wait_for(LOOK_MILLISECONDS):
            if should_stop():
                request.cancel()
                with suppress(RuntimeError):
                    request.wait()
                raise Stopped("The prediction was stopped.")
        # Tells what went wrong, if anything.
        request.wait()
        return torch.from_numpy(request.get_output_tensor(0).data.copy())

    def free_memory(self) -> None:
        """Give back what the last images took; the next ones take it anew."""
        # It refuses while another thread works with it, which asks for this again when it is done.
        with suppress(RuntimeError):
            self.model.release_memory()

    def _check(self, network: EmbeddingNetwork, image: Tensor, precision: str) -> None:
        exact, usual = raw_output(network, image), raw_output(network, image, precision)
        error = float((self(image, lambda: False) - exact).abs().mean())
        allowed = max(MOST_ERROR, MOST_TIMES * float((usual - exact).abs().mean()))
        # A value that is no number is no small error either.
        if not error <= allowed:
            raise ComputeError(f"its outputs differ by {error:.2g} from those of PyTorch, more than {allowed:.2g}")


def why_not_calibrated() -> str:
    """Say why no model can be made ready for 8-bit integers here; empty if one can."""
    if find_spec("openvino") is None:
        return "Calibrating needs OpenVINO, which is not installed: pip install 'embedseg-napari[fast]'."
    why = why_not_int8()
    return f"8-bit integers bring nothing here: {why}." if why else ""


def measured_ranges(
    network: EmbeddingNetwork, n_channels: int, images: Iterable[NDArray[np.float32]]
) -> dict[str, tuple[float, float]]:
    """Lowest and highest value that enters each convolution, means over images, for a `Calibration`.

    Parameters
    ----------
    network : EmbeddingNetwork
        On the CPU, not in training.
    n_channels : int
        Channels that it takes.
    images : iterable of ndarray, shape (1, C, (Z,) Y, X)
        Normalised, every side a multiple of 8.

    Raises
    ------
    ComputeError
        If OpenVINO is missing, or cannot run the network.
    """
    if why := why_not_calibrated():
        raise ComputeError(why)
    try:
        return measured(_import_openvino(), _converted(network, n_channels), images, torch.get_num_threads())
    except FAULTS as error:
        raise ComputeError(f"OpenVINO cannot run the network ({_last_line(error)}).") from error


def _numbers(n_channels: int, sides: tuple[int, ...]) -> Tensor:
    """Fixed ones, without touching the state of anyone's random numbers."""
    return torch.randn(1, n_channels, *sides, generator=torch.Generator().manual_seed(0))


def _converted(network: EmbeddingNetwork, n_channels: int) -> Any:
    """A network as OpenVINO's graph, its weights as they are once batch norms are a part of them."""
    # Not openvino.convert_model, which reports each conversion to its makers.
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
    from openvino.passes import ConstantFolding, Manager

    with torch.inference_mode(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        # What depends on the size is found out when it is tried.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        recorded = _numbers(n_channels, RECORDED[network.ndim])
        traced: Any = torch.jit.trace(network, recorded, check_trace=False)  # type: ignore[no-untyped-call]
    frontend = FrontEndManager().load_by_framework("pytorch")
    # The frontend does not keep it alive.
    decoder = TorchScriptPythonDecoder(traced)
    graph = frontend.convert(frontend.load(decoder))
    passes = Manager()
    passes.register_pass(ConstantFolding())
    passes.run_passes(graph)
    return graph


def _last_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1].rstrip(".")


_lock = threading.Lock()
_known: WeakKeyDictionary[EmbeddingNetwork, dict[Any, CompiledNetwork | str]] = WeakKeyDictionary()


def _compiled(
    network: EmbeddingNetwork, n_channels: int, precision: str, calibration: Calibration | None
) -> CompiledNetwork | str:
    """The compiled network, compiled if it, or its weights, were not seen before; or why there is none."""
    weights = tuple(
        (one.data_ptr(), 0 if one.is_inference() else one._version) for one in network.state_dict().values()
    )
    key = precision, torch.get_num_threads(), weights, None if calibration is None else calibration.model_dump_json()
    with _lock:
        known = _known.setdefault(network, {})
        if key not in known:
            # Of other weights nobody asks any more.
            for old in [one for one in known if one[2] != weights]:
                del known[old]
            try:
                known[key] = CompiledNetwork(network, n_channels, precision, torch.get_num_threads(), calibration)
            except (ComputeError, ModelError, *FAULTS) as error:
                logger.info("OpenVINO cannot run a network", exc_info=error)
                known[key] = _last_line(error)
        return known[key]


def _import_openvino() -> Any:
    """Import OpenVINO so that it reports nothing: without this module it has nothing to report with."""
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino
