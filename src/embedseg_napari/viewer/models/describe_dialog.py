"""What a person writes about a model: what it is for, and its licence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magicgui.widgets import Dialog, LineEdit, TextEdit

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from embedseg_napari.core.config import ModelConfig


def describe_dialog(name: str, config: ModelConfig, parent: QWidget | None = None) -> Dialog:
    """Ask for `description` and `license` of a model; both begin as the model has them."""
    description = TextEdit(name="description", label="Description", value=config.description)
    description.native.setPlaceholderText("What it finds, in which images, and what it is not for")
    description.native.setTabChangesFocus(True)
    license_ = LineEdit(name="license", label="Licence", value=config.license)
    license_.native.setPlaceholderText("Of weights and training data, for example CC0 or MIT")
    dialog = Dialog(widgets=[description, license_], parent=parent)
    dialog.native.setWindowTitle(f"Describe {name}")
    dialog.min_width = 460
    return dialog
