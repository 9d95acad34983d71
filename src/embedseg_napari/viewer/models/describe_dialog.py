"""What a person writes about a model: what it is for, and its licence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QDialog, QDialogButtonBox, QFormLayout, QLineEdit, QPlainTextEdit, QVBoxLayout

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from embedseg_napari.core.config import ModelConfig


class ModelWords(QDialog):
    """Asks for description and licence of a model; both begin as the model has them."""

    def __init__(self, name: str, config: ModelConfig, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Describe {name}")
        self.description = QPlainTextEdit(config.description)
        self.description.setAccessibleName("Description")
        self.description.setPlaceholderText("What it finds, in which images, and what it is not for")
        self.description.setTabChangesFocus(True)
        self.license = QLineEdit(config.license)
        self.license.setAccessibleName("Licence")
        self.license.setPlaceholderText("Of weights and training data, for example CC0 or MIT")
        form = QFormLayout()
        form.addRow("Description", self.description)
        form.addRow("Licence", self.license)
        answer = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        answer.accepted.connect(self.accept)
        answer.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(answer)
        self.resize(460, 240)

    @property
    def words(self) -> dict[str, str]:
        """`description` and `license` as written."""
        return {"description": self.description.toPlainText().strip(), "license": self.license.text().strip()}
