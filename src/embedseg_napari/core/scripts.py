"""How runs speak to a Python script or notebook: warnings at its own line, errors in its words."""

from __future__ import annotations

import logging
import re
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from embedseg_napari.core.errors import AssumptionWarning, EmbedSegError, EmbedSegWarning
from embedseg_napari.core.events import Message

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)
PACKAGE = __name__.partition(".")[0]
OPTION = re.compile(r"--(axes|channel|spacing|val-group|val|tile|overwrite)\b(?: (Z,Y,X|[A-Z]+|\d+|mean)\b)?")
"""What sentences name as options of the command line."""
ARGUMENTS = {
    "axes": "axes",
    "channel": "channel",
    "spacing": "spacing=(z, y, x)",
    "val": "validation",
    "val-group": "validation_fraction",
    "tile": "tile",
    "overwrite": "overwrite=True",
}
"""The same as arguments of Python."""


def warn(text: str, category: type[Warning] = AssumptionWarning) -> None:
    """Warn at the line outside this package that led here, so that each line of a script is told once."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == PACKAGE:
        level, frame = level + 1, frame.f_back
    warnings.warn(in_python(text), category, stacklevel=level)


def tell(event: object) -> None:
    """Make warnings of a run's messages and log the others: where nobody listens to events."""
    if isinstance(event, Message):
        if event.level == "warning":
            warn(event.text, EmbedSegWarning)
        else:
            logger.info("%s", in_python(event.text))


def in_python(text: str) -> str:
    """Say a sentence with arguments of Python where it names options of the command line: ``axes="ZYX"``."""

    def argument(found: re.Match[str]) -> str:
        name, value = ARGUMENTS[found[1]], found[2]
        if value is None or "=" in name:
            return name
        return f"{name}={value}" if value.isdigit() else f'{name}="{value}"'

    return OPTION.sub(argument, text)


@contextmanager
def speaking_python() -> Iterator[None]:
    """Say what goes wrong inside with arguments of Python."""
    try:
        yield
    except EmbedSegError as error:
        error.args = (in_python(str(error)),)
        raise
