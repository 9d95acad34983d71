"""The curves of a training for TensorBoard."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from embedseg_napari.core.errors import DataError, SettingsError
from embedseg_napari.core.events import EpochFinished, StepFinished

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from embedseg_napari.core.events import TrainingEvent

LOSSES = {"loss": "total", "loss_instance": "instance", "loss_variance": "variance", "loss_seed": "seed"}


def require_tensorboard() -> None:
    """Refuse to begin where TensorBoard's package is missing.

    Raises
    ------
    SettingsError
        Saying how to install it.
    """
    if find_spec("tensorboard") is None:
        raise SettingsError("Curves for TensorBoard need a further package; install it with: pip install tensorboard")


class TensorBoardLog:
    """Writes the events of a training: losses and learning rate of each step, scores of each epoch.

    Parameters
    ----------
    folder : Path
        Folder of the log; a training that is resumed goes on there.

    Raises
    ------
    SettingsError
        If the package is missing.
    DataError
        If the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        require_tensorboard()
        from torch.utils.tensorboard import SummaryWriter

        try:
            self._writer: Any = SummaryWriter(str(folder))
        except OSError as error:
            raise DataError(
                f"{folder}: cannot be written ({error.strerror or error}); choose another folder."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.close()

    def __call__(self, event: TrainingEvent) -> None:
        """Write one event; those that are no numbers are passed over."""
        if isinstance(event, StepFinished):
            self._write("step", event, event.step)
            self._writer.add_scalar("learning rate", event.learning_rate, event.step)
        elif isinstance(event, EpochFinished):
            self._write("epoch", event, event.step)
            for name, value in (("AP at IoU 0.5", event.ap_50), ("mean AP", event.ap_mean)):
                if value is not None:
                    self._writer.add_scalar(f"validation/{name}", value, event.step)
            self._writer.flush()

    def _write(self, group: str, event: StepFinished | EpochFinished, step: int) -> None:
        for name, words in LOSSES.items():
            self._writer.add_scalar(f"loss of the {group}/{words}", getattr(event, name), step)
