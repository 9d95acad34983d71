"""Modules of compiled loops, which take seconds to import on a fresh installation: imported once, beside other work."""

from __future__ import annotations

import importlib
import logging
import threading
from typing import Any

from embedseg_napari.core.turns import short_turns

logger = logging.getLogger(__name__)

WORTHWHILE_SECONDS = 0.1
"""Work without a module after which it is imported: less is done sooner than the import, half a second at best."""


class CompiledModule:
    """A module that is compiled when it is imported.

    Parameters
    ----------
    name : str
        Its full name.
    without : str
        What happens where it cannot be had, for the log.
    """

    def __init__(self, name: str, without: str) -> None:
        self.name, self.without = name, without
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._module: Any = None
        self._seconds_without = 0.0

    def warm_up(self) -> None:
        """Start importing it in the background, once."""
        with self._lock:
            if self._thread is None:
                label = f"compile-{self.name.rpartition('.')[2]}"
                self._thread = threading.Thread(target=self._load, name=label, daemon=True)
                self._thread.start()

    def do_without(self, seconds: float) -> None:
        """Count time of work without it; where it adds up, start importing it in the background."""
        self._seconds_without += seconds
        if self._seconds_without > WORTHWHILE_SECONDS:
            self.warm_up()

    def is_ready(self) -> bool:
        """Whether it can be used now."""
        return self._module is not None

    def ready(self) -> Any:
        """The module, or None if it is still being compiled or cannot be had; never waits."""
        self.warm_up()
        return self._module

    def wait(self) -> Any:
        """The module, or None if it cannot be had."""
        self.warm_up()
        assert self._thread is not None
        self._thread.join()
        return self._module

    def is_compiling(self) -> bool:
        """Whether that is going on now."""
        return self._thread is not None and self._thread.is_alive()

    def _load(self) -> None:
        # The compiler is Python that never rests: whoever calls NumPy or PyTorch would wait each time.
        with short_turns():
            try:
                module = importlib.import_module(self.name)
            except Exception as error:  # noqa: BLE001 (a broken compiler may raise anything, and there is another way)
                logger.warning("numba cannot be used (%s: %s); %s.", type(error).__name__, error, self.without)
            else:
                self._module = module
