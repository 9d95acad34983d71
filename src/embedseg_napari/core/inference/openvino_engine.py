"""The network on a CPU by OpenVINO, where that is installed: the same weights and number format in less time."""

from __future__ import annotations

import logging
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

from embedseg_napari.core.errors import ComputeError, Stopped
from embedseg_napari.core.networks.network import device_of, raw_output

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from embedseg_napari.core.config.limits import Engine
    from embedseg_napari.core.networks.network import EmbeddingNetwork

logger = logging.getLogger(__name__)

X86 = ("x86_64", "AMD64", "i386")
"""Processors on which OpenVINO was measured to be faster."""
RECORDED, TRIED = {2: (64, 64), 3: (32, 32, 32)}, {2: (56, 104), 3: (24, 32, 40)}
"""Sizes of the images that a network is recorded with, and compared on: one that suits no other size is found out."""
MOST_ERROR, MOST_TIMES = 1e-4, 4.0
"""Mean error of the outputs that is always let pass, and how many times that of PyTorch in the same number format."""
LOOK_MILLISECONDS = 50
"""Time between two looks at whether to stop."""


def choose_engine(
    wanted: Engine, network: EmbeddingNetwork, n_channels: int, precision: str
) -> tuple[CompiledNetwork | None, str, bool]:
    """Return what runs a network, and what to say about it.

    Parameters
    ----------
    wanted : {"auto", "torch", "openvino"}
        The setting.
    network : EmbeddingNetwork
        On its device.
    n_channels : int
        Channels that it takes.
    precision : {"float32", "bfloat16", "float16"}
        Number format, one that the device has.

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
    if device_of(network).type != "cpu":
        words = f"The network runs in PyTorch: OpenVINO is for CPUs, and the device is {device_of(network).type}."
        return None, words if wanted == "openvino" else "", wanted == "openvino"
    if find_spec("openvino") is None:
        words = "The network runs in PyTorch: OpenVINO is not installed (pip install 'embedseg-napari[fast]')."
        return None, words if wanted == "openvino" else "", wanted == "openvino"
    if wanted == "auto" and platform.machine() not in X86:
        return None, "", False
    compiled = _compiled(network, n_channels, precision)
    if isinstance(compiled, str):
        return None, f"The network runs in PyTorch: OpenVINO cannot run it ({compiled}).", True
    return compiled, f"The network runs in OpenVINO {version('openvino')}, in {precision}.", False


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

    Raises
    ------
    ComputeError
        If it computes something else than PyTorch does.
    """

    def __init__(self, network: EmbeddingNetwork, n_channels: int, precision: str, n_threads: int) -> None:
        # Fixed numbers, without touching the state of anyone's random numbers.
        numbers = torch.Generator().manual_seed(0)
        recorded, tried = (
            torch.randn(1, n_channels, *sides[network.ndim], generator=numbers) for sides in (RECORDED, TRIED)
        )
        openvino = _import_openvino()
        # Not openvino.convert_model, which reports each conversion to its makers.
        from openvino.frontend import FrontEndManager
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        with torch.inference_mode(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
            # What depends on the size is found out when it is tried.
            warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
            traced: Any = torch.jit.trace(network, recorded, check_trace=False)  # type: ignore[no-untyped-call]
        frontend = FrontEndManager().load_by_framework("pytorch")
        # The frontend does not keep it alive.
        decoder = TorchScriptPythonDecoder(traced)
        graph = frontend.convert(frontend.load(decoder))
        options = {
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
            "INFERENCE_NUM_THREADS": n_threads,
            "NUM_STREAMS": 1,
            # Several processes on one machine would share the first cores, and leave the others idle.
            "ENABLE_CPU_PINNING": False,
        }
        self.model = openvino.Core().compile_model(graph, "CPU", options)
        self._check(network, tried, precision)

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
        self.model.release_memory()

    def _check(self, network: EmbeddingNetwork, image: Tensor, precision: str) -> None:
        exact, usual = raw_output(network, image), raw_output(network, image, precision)
        error = float((self(image, lambda: False) - exact).abs().mean())
        allowed = max(MOST_ERROR, MOST_TIMES * float((usual - exact).abs().mean()))
        # A value that is no number is no small error either.
        if not error <= allowed:
            raise ComputeError(f"its outputs differ by {error:.2g} from those of PyTorch, more than {allowed:.2g}")


_lock = threading.Lock()
_known: WeakKeyDictionary[EmbeddingNetwork, dict[Any, CompiledNetwork | str]] = WeakKeyDictionary()


def _compiled(network: EmbeddingNetwork, n_channels: int, precision: str) -> CompiledNetwork | str:
    """The compiled network, compiled if it, or its weights, were not seen before; or why there is none."""
    weights = tuple(
        (one.data_ptr(), 0 if one.is_inference() else one._version) for one in network.state_dict().values()
    )
    key = precision, torch.get_num_threads(), weights
    with _lock:
        known = _known.setdefault(network, {})
        if key not in known:
            # Of other weights nobody asks any more.
            for old in [one for one in known if one[2] != weights]:
                del known[old]
            try:
                known[key] = CompiledNetwork(network, n_channels, precision, torch.get_num_threads())
            except (ComputeError, ImportError, OSError, RuntimeError, TypeError, ValueError, AttributeError) as error:
                logger.info("OpenVINO cannot run a network", exc_info=error)
                known[key] = (str(error).strip() or type(error).__name__).splitlines()[-1].rstrip(".")
        return known[key]


def _import_openvino() -> Any:
    """Import OpenVINO so that it reports nothing: without this module it has nothing to report with."""
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino
