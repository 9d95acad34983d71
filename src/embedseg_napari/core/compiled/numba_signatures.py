"""Compiling inner loops with numba: for one signature each, when their module is imported."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from numba import njit, types
from numba.core import errors

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

# To colour its messages, also those that nobody sees, numba exchanges sys.stdout and sys.stderr again and again; while
# it compiles in the background it would put back what another thread has replaced or closed meanwhile. Its own switch,
# an environment variable, comes too late where napari has imported it.
_shell = getattr(errors, "ColorShell", None)
if _shell is not None:
    for _method in ("__init__", "__enter__", "__exit__"):
        setattr(_shell, _method, lambda *_: None)


def array(kind: Any, ndim: int = 1) -> Any:
    """An array that is written to."""
    return types.Array(kind, ndim, "C")


def given(kind: Any, ndim: int = 1) -> Any:
    """An array that is only read; writable ones fit as well."""
    return types.Array(kind, ndim, "C", readonly=True)


F4, F8, I4, I8, U1, U4, U8 = (
    types.float32, types.float64, types.int32, types.int64, types.uint8, types.uint32, types.uint64,
)  # fmt: skip


def compiled(signature: Any) -> Callable[[Any], Any]:
    """Compile for one signature, now; keep the machine code on disk where that can be written and read again."""
    kept = njit(signature, nogil=True, cache=True)

    def compile_(function: Any) -> Any:
        try:
            try:
                return kept(function)
            except Exception:  # noqa: BLE001 (a file that a power cut left incomplete raises whatever it looks like)
                # Called before anything is compiled, it does no more than forget what is kept of the function.
                njit(nogil=True, cache=True)(function).recompile()
                return kept(function)
        except Exception as error:  # noqa: BLE001 (as above)
            reason = f"{type(error).__name__}: {error}"
            logger.info("Compiled code cannot be kept (%s); it will be compiled at each start.", reason)
            return njit(signature, nogil=True)(function)

    return compile_
