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
    from collections.abc import Iterator, Mapping

logger = logging.getLogger(__name__)
PACKAGE = __name__.partition(".")[0]
OPTION = re.compile(
    r"(?<![^\s(])--([a-z]+(?:-[a-z]+)*)(?![\w/\\-]|\.\w)"
    r"(?: (Z,Y,X|[A-Z]+|\d+(?:\.\d+)?|mean)(?![\w/\\-]|\.\w))?"
)
"""What sentences name as options of the command line, and a value; names of files are none."""
ARGUMENTS = {
    "spacing": "spacing=(z, y, x)",
    "val": "validation",
    "val-group": "validation_fraction",
    "val-fraction": "validation_fraction",
    "overwrite": "overwrite=True",
    "finish": "finish=True",
}
"""Those that arguments of Python have another name for, or that stand alone."""


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
        name, value = ARGUMENTS.get(found[1], found[1].replace("-", "_")), found[2]
        if value is None or "=" in name:
            return name
        return f'{name}="{value}"' if value[0].isalpha() else f"{name}={value}"

    return OPTION.sub(argument, text)


@contextmanager
def speaking_python(instead: Mapping[str, str] | None = None) -> Iterator[None]:
    """Say what goes wrong inside with arguments of Python, and some words otherwise, as where there is no argument."""
    try:
        yield
    except EmbedSegError as error:
        text = str(error)
        for said, meant in (instead or {}).items():
            text = text.replace(said, meant)
        error.args = (in_python(text),)
        raise
