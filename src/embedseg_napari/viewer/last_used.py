"""What a person chose last in a panel, kept from one session to the next."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import platformdirs
from qtpy.QtCore import QSettings

from embedseg_napari.core.files.documents import Unreadable, parse_json

logger = logging.getLogger(__name__)


class LastUsed:
    """Values by name; a file per user, shared by all panels.

    Parameters
    ----------
    panel : str
        Name of the panel that they belong to.
    """

    def __init__(self, panel: str) -> None:
        self.panel = panel

    def read(self) -> dict[str, Any]:
        """What was kept last; empty where there is nothing, or nothing that can be read."""
        text = _settings().value(self.panel, "{}")
        try:
            # Of what anyone may have written there, Qt makes lists and bytes, too.
            return parse_json(text if isinstance(text, str) else "")
        except Unreadable as error:
            logger.warning("What was used last in %s is left out: it %s.", self.panel, error)
            return {}

    def keep(self, **values: Any) -> None:
        """Keep values, which JSON can hold, beside others that were kept before."""
        _settings().setValue(self.panel, json.dumps({**self.read(), **values}))


def _settings() -> QSettings:
    folder = Path(platformdirs.user_config_dir("embedseg-napari", appauthor=False))
    return QSettings(str(folder / "last_used.ini"), QSettings.Format.IniFormat)
