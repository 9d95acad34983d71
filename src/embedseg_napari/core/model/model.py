"""A trained network together with all it needs to segment images."""

from __future__ import annotations

import logging
from itertools import islice
from typing import TYPE_CHECKING, Any

from embedseg_napari.core.bar import with_bar
from embedseg_napari.core.device import choose_device, name_of
from embedseg_napari.core.errors import EmbedSegError, ModelError, SettingsError
from embedseg_napari.core.inference.given_image import ONE_CHANNEL
from embedseg_napari.core.inference.predictor import Predictor
from embedseg_napari.core.model.known_models import (
    CHECKPOINTS,
    LibraryModel,
    find_model_file,
    known_models,
    models_folder,
)
from embedseg_napari.core.model.legacy import LegacyGeometry, read_legacy
from embedseg_napari.core.model.model_file import read_model_file, write_model_file
from embedseg_napari.core.model.weights import network_from
from embedseg_napari.core.networks.memory_order import memory_format
from embedseg_napari.core.networks.network import device_of, raw_output
from embedseg_napari.core.runs import drain, never
from embedseg_napari.core.scripts import speaking_python, tell
from embedseg_napari.core.settings import require_functions
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import torch
    from torch import Tensor

    from embedseg_napari.core.config import ModelConfig
    from embedseg_napari.core.events import PredictionEvent
    from embedseg_napari.core.inference.segmentation import Segmentation
    from embedseg_napari.core.maps import EmbeddingMaps
    from embedseg_napari.core.networks.network import EmbeddingNetwork

logger = logging.getLogger(__name__)

INSTEAD = {ONE_CHANNEL: "give one channel, such as image[0]"}
"""What is said to a script in place of what only a command has an option for."""
MOST_OWN = 3
"""Models of one's own that are tried beside the bundled ones, the latest first."""


class Model:
    """A network on a device, and its configuration.

    Parameters
    ----------
    config : ModelConfig
        What the network works on and how its output is read.
    network : EmbeddingNetwork
        Weights, already on the device they shall be used on.
    path : Path, optional
        File it came from.
    """

    def __init__(self, config: ModelConfig, network: EmbeddingNetwork, path: Path | None = None) -> None:
        self.config = config
        self.path = path
        self.network = network.eval().requires_grad_(False)
        self.network.to(memory_format=memory_format(config.ndim))  # type: ignore[call-overload]

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return device_of(self.network)

    def __repr__(self) -> str:
        config = self.config
        name = repr(config.name) if config.name else config.architecture
        return f"Model({name}, {config.ndim}D, {count(config.n_channels, 'channel')}, on {self.device})"

    def raw(self, images: Tensor, precision: str = "float32") -> Tensor:
        """Run the bare network; see :func:`raw_output`."""
        return raw_output(self.network, images, precision)

    def embed(
        self,
        image: Any,
        axes: str | None = None,
        *,
        tta: bool | None = None,
        normalize: bool = True,
        precision: str | None = None,
        engine: str | None = None,
        tile: int | Sequence[int] | None = None,
        tile_overlap: int | Sequence[int] | None = None,
        on_event: Callable[[PredictionEvent], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> EmbeddingMaps:
        """Return offsets, margins and seed map of one image, on its own pixels.

        Parameters
        ----------
        image : array
            Any real type, any size; one of xarray names its own axes.
        axes : str, optional
            One letter per axis, such as ``"CYX"``; guessed from the shape if left out, with an AssumptionWarning where
            the shape leaves a choice.
        tta : bool, optional
            Average over flipped and turned views (8 x in 2D, 16 x in 3D); default: stored with the model.
        normalize : bool
            False hands the array to the network as it is.
        precision : {"float32", "bfloat16", "float16"}, optional
            Default: stored with the model. Float32 where the device has no other.
        engine : {"auto", "torch", "openvino", "int8"}, optional
            Program that computes the network; default: stored with the model. A Message says if it is OpenVINO.
        tile : int or sequence of int, optional
            Largest tile, pixels per axis (z, y, x), multiples of 8; default: stored with the model.
        tile_overlap : int or sequence of int, optional
            Overlap of neighbouring tiles, pixels per axis (z, y, x); default: stored with the model, or where a tile
            is given, one that suits the number of axes.
        on_event : callable, optional
            Called with every event; without it, messages that warn become an EmbedSegWarning.
        should_stop : callable, optional
            Looked at between tiles.

        Raises
        ------
        DataError, ModelError, SettingsError
            If image, axes, model or tile do not fit.
        ComputeError
            If memory runs out even with small tiles, or the device fails.
        Stopped
            If `should_stop` returned True.
        """
        require_functions(on_event=on_event, should_stop=should_stop)
        with speaking_python(INSTEAD):
            settings = self.config.settings_with(
                tta=tta, precision=precision, engine=engine, tile=tile, tile_overlap=tile_overlap
            )
            run = Predictor(self, settings).embed(image, axes, should_stop or never, normalize=normalize)
            return drain(run, tell if on_event is None else on_event)

    def predict(
        self,
        image: Any,
        axes: str | None = None,
        *,
        spacing: Sequence[float] | None = None,
        normalize: bool = True,
        tta: bool | None = None,
        seed_threshold: float | None = None,
        foreground_threshold: float | None = None,
        faint_seeds: float | None = None,
        margin_scale: float | None = None,
        min_object_size: int | None = None,
        max_object_size: int | None = None,
        drop_border_objects: bool | None = None,
        fill_holes: bool | None = None,
        seeds: str | None = None,
        scale: float | None = None,
        find_scale: bool | None = None,
        precision: str | None = None,
        engine: str | None = None,
        tile: int | Sequence[int] | None = None,
        tile_overlap: int | Sequence[int] | None = None,
        advise: bool = False,
        on_event: Callable[[PredictionEvent], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
        progress: bool = True,
    ) -> Segmentation:
        """Segment an image, or every frame of a time-lapse by itself.

        Parameters
        ----------
        image : array
            Any real type, any size; one of xarray names its own axes, and its coordinates are the pixel size.
        axes : str, optional
            One letter per axis, such as ``"TYX"``; guessed from the shape if left out, with an AssumptionWarning where
            the shape leaves a choice.
        spacing : sequence of float, optional
            Size of a pixel (z, y, x) in the unit of the model's; a Message tells where it is far from the model's.
        normalize : bool
            False hands the array to the network as it is.
        tta : bool, optional
            Average over flipped and turned views: 8 (2D) or 16 (3D) times slower, a little better. Like all settings
            from here on, it is as stored with the model if left out.
        seed_threshold : float, optional
            Lowest seediness at which an object may start.
        foreground_threshold : float, optional
            Pixels with a seediness above this are foreground.
        faint_seeds : float, optional
            How far below the seed threshold large objects that overlap no other may start.
        margin_scale : float, optional
            Factor of the margins: above 1 objects collect pixels from farther away.
        min_object_size : int, optional
            Objects need more pixels than this.
        max_object_size : int, optional
            Objects of more pixels are dropped; 0 sets no limit.
        drop_border_objects : bool, optional
            Whether objects that touch the border of the image, of a volume also its first and last plane, are dropped.
        fill_holes : bool, optional
            Whether background that an object encloses becomes part of it.
        seeds : {"greedy", "local_maxima"}, optional
            Which pixels may start an object.
        scale : float, optional
            Factor by which the image is resized for the network, so that objects have the size it knows.
        find_scale : bool, optional
            Whether other scales are tried on a part of the image, starting from `scale`: the one at which most objects
            stay where they are in the mirror image is taken, and told. False where only `scale` is given.
        precision : {"float32", "bfloat16", "float16"}, optional
            Number format of the network. Float32 where the device has no other.
        engine : {"auto", "torch", "openvino", "int8"}, optional
            Program that computes the network. A Message says if it is OpenVINO.
        tile : int or sequence of int, optional
            Largest tile, pixels per axis (z, y, x), multiples of 8.
        tile_overlap : int or sequence of int, optional
            Overlap of neighbouring tiles, pixels per axis (z, y, x). Where only a tile is given, one that suits the
            number of axes.
        advise : bool
            Where the model is unsure, or finds nothing, try other scales and the other bundled models on a part of the
            image; an Advice names what is clearly better.
        on_event : callable, optional
            Called with every event; without it, messages that warn become an EmbedSegWarning.
        should_stop : callable, optional
            Looked at between tiles and while objects are collected.
        progress : bool
            Whether a terminal or a notebook shows a bar.

        Returns
        -------
        Segmentation
            Labels, centres, scores and maps.

        Raises
        ------
        DataError, ModelError, SettingsError
            If image, axes, model or settings do not fit.
        ComputeError
            If memory runs out even with small tiles, or the device fails.
        Stopped
            If `should_stop` returned True.
        """
        require_functions(on_event=on_event, should_stop=should_stop)
        with speaking_python(INSTEAD), with_bar(progress, tell if on_event is None else on_event) as listener:
            settings = self.config.settings_with(
                tta=tta,
                seed_threshold=seed_threshold,
                foreground_threshold=foreground_threshold,
                faint_seeds=faint_seeds,
                margin_scale=margin_scale,
                min_object_size=min_object_size,
                max_object_size=max_object_size,
                drop_border_objects=drop_border_objects,
                fill_holes=fill_holes,
                seeds=seeds,
                scale=scale,
                find_scale=find_scale,
                precision=precision,
                engine=engine,
                tile=tile,
                tile_overlap=tile_overlap,
            )
            others = others_like(self.config, self.path, name_of(self.device))
            run = Predictor(self, settings).run(
                image,
                axes,
                should_stop or never,
                spacing=spacing,
                normalize=normalize,
                advise=advise,
                others=others,
            )
            return drain(run, listener)

    def save(self, path: str | Path, *, half: bool = False, overwrite: bool = True) -> Path:
        """Write the model as one `.embedseg` file.

        Parameters
        ----------
        path : path
            Target; gets the suffix `.embedseg` if it has none.
        half : bool
            Store weights in half precision, at half the size.
        overwrite : bool
            Whether an existing file may be replaced.

        Raises
        ------
        DataError
            If the file cannot be written.
        """
        self.path = write_model_file(path, self.network.state_dict(), self.config, half=half, overwrite=overwrite)
        return self.path


def load_model(source: str | Path, device: str = "auto", legacy: LegacyGeometry | None = None) -> Model:
    """Load a model.

    Parameters
    ----------
    source : str or path
        Name of a bundled model or one of the user's (see :class:`ModelLibrary`), an `.embedseg` file, or a `.pth`
        checkpoint of the original EmbedSeg.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    legacy : LegacyGeometry, optional
        Coordinate grid of a `.pth` checkpoint, which does not hold it; default from its `data_properties.json`,
        or else 1/1023 per pixel.

    Raises
    ------
    ModelError
        If there is no such model, or the file is damaged or of an unknown kind.
    ComputeError
        If the device is missing.
    """
    target = choose_device(device)
    path = find_model_file(source)
    if path.suffix.lower() in CHECKPOINTS:
        weights, config = read_legacy(path, legacy)
    elif legacy is not None:
        raise SettingsError(f"{path}: contains its own coordinate grid; legacy is only for original .pth files.")
    else:
        weights, config = read_model_file(path)
    return Model(config, network_from(path, weights, config).to(target), path)


def others_like(
    config: ModelConfig,
    path: Path | None,
    device: str,
    load: Callable[[Path, str], Model] = load_model,
    also: int = 1,
) -> Iterator[tuple[str, Model]]:
    """Other models for images of the same axes and channels as those of a model, or their mean, and their names.

    One by one, the bundled ones, then the latest in the user's folder; files that cannot be read are left out.

    Parameters
    ----------
    config : ModelConfig
        Of the model.
    path : Path, optional
        Its file, which is left out.
    device : str
        Where they are to run.
    load : callable
        Loads a file onto a device.
    also : int
        Another number of channels that they may take; one is the mean of those of the model.
    """
    known = [one for one in known_models(models_folder()) if one.path != path]
    own = sorted((one for one in known if not one.is_bundled), key=lambda one: _changed(one.path), reverse=True)
    fitting = islice((one for one in own if _is_like(one, config, also)), MOST_OWN)
    for one in (*(one for one in known if one.is_bundled and _is_like(one, config, also)), *fitting):
        try:
            model = load(one.path, device)
        except EmbedSegError as error:
            logger.info("A model is not tried: %s", error)
        else:
            yield one.name, model


def _changed(path: Path) -> float:
    """When a file was changed last; 0 for one that is gone, or a link to nothing."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _is_like(known: LibraryModel, config: ModelConfig, also: int) -> bool:
    """Whether a model works on the same axes and channels, or so many; one that cannot be read does not."""
    try:
        other = known.config()
    except ModelError as error:
        logger.info("A model is not tried: %s", error)
        return False
    return other.ndim == config.ndim and other.n_channels in (config.n_channels, also)
