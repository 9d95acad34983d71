"""Linking by trackastra, where the user has installed it: a network of its own says which objects belong together."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import platformdirs

from embedseg_napari.core.errors import DataError, Stopped
from embedseg_napari.core.tracking.tracks import NONE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

LOADS = "python -c \"from trackastra.model import Trackastra; Trackastra.from_pretrained('general_2d')\""
"""What brings a model onto a computer; it is left to the user, as nothing is downloaded here."""


def load_trackastra(model: str | Path) -> Any:
    """Load a model of trackastra.

    Parameters
    ----------
    model : str or path
        Its folder, or the name of one that trackastra has downloaded before, such as ``"general_2d"``.

    Raises
    ------
    DataError
        If trackastra is not installed, or has no such model on this computer.
    """
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    try:
        made = importlib.import_module("trackastra.model").Trackastra
    except ImportError as error:
        raise DataError(
            f"trackastra cannot be used here ({error}); install it (pip install trackastra), or link without it."
        ) from error
    finally:
        # It takes over the log of the whole program.
        root.setLevel(level)
        root.handlers[:] = handlers
    logging.getLogger("trackastra").propagate = False
    own = Path(platformdirs.user_data_dir("trackastra")) / "models"
    folder = next((one for one in (Path(model), own / model) if (one / "model.pt").is_file()), None)
    if folder is None:
        raise DataError(
            f"{model}: is no folder of a model of trackastra, and none that it keeps in {own}; let it download one "
            f"there ({LOADS}), or give its folder."
        )
    try:
        return made.from_folder(folder, device="automatic")
    except Exception as error:
        # Its own libraries raise errors of many unrelated types.
        raise DataError(f"{folder}: trackastra cannot read this model ({error}).") from error


def parents_by(
    model: Any,
    labels: NDArray[Any],
    image: NDArray[Any],
    frame: NDArray[np.int64],
    label: NDArray[np.int64],
    *,
    max_distance: float | None,
    divisions: bool,
    should_stop: Callable[[], bool],
) -> NDArray[np.int64]:
    """Link objects.

    Parameters
    ----------
    model : Trackastra
        From :func:`load_trackastra`.
    labels, image : ndarray, shape (T, (Z,) Y, X)
        All frames.
    frame, label : ndarray of int, shape (n,)
        Objects, as in `Tracks`.
    max_distance : float, optional
        Pixels; by default as far as trackastra looks.
    divisions : bool
        Whether objects divide.
    should_stop : callable
        Asked between frames.

    Returns
    -------
    ndarray of int, shape (n,)
        As in `Tracks`.

    Raises
    ------
    DataError
        If trackastra fails, as on images that its model is not made for.
    Stopped
        If `should_stop` returned True.
    """

    class Asked:
        """What trackastra takes for a progress bar."""

        def __init__(self, iterable: Iterable[Any], **_: Any) -> None:
            self._iterable = iterable

        def __iter__(self) -> Iterator[Any]:
            for one in self._iterable:
                if should_stop():
                    raise Stopped("The tracking was stopped.")
                yield one

    further = {} if max_distance is None else {"max_distance": max_distance}
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            graph, _ = model.track(
                image,
                labels.astype(np.int64),
                "greedy" if divisions else "greedy_nodiv",
                progbar_class=Asked,
                **further,
            )
    except Stopped:
        raise
    except Exception as error:
        raise DataError(f"trackastra cannot link these objects ({error}).") from error
    row_of = {pair: row for row, pair in enumerate(zip(frame.tolist(), label.tolist(), strict=True))}
    parents = np.full(len(frame), NONE, np.int64)
    for edge in graph.edges:
        early, late = (row_of[int(graph.nodes[node]["time"]), int(graph.nodes[node]["label"])] for node in edge)
        parents[late] = early
    return parents
