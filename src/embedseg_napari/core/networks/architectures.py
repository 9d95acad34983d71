"""The networks there are, by the names that settings and model files use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedseg_napari.core.networks.erfnet import BranchedERFNet
from embedseg_napari.core.networks.unet import UNet

if TYPE_CHECKING:
    from embedseg_napari.core.config import Architecture
    from embedseg_napari.core.networks.network import EmbeddingNetwork

NETWORKS: dict[Architecture, type[EmbeddingNetwork]] = {"unet": UNet, "branched-erfnet": BranchedERFNet}


def build_network(architecture: Architecture, ndim: int, n_channels: int) -> EmbeddingNetwork:
    """An untrained network.

    Raises
    ------
    SettingsError
        If there are too many channels.
    """
    return NETWORKS[architecture](ndim, n_channels)
