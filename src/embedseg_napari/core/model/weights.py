"""The network of a file's weights, which are looked at before they are used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from embedseg_napari.core.config import MAX_CHANNELS
from embedseg_napari.core.errors import ModelError
from embedseg_napari.core.networks.architectures import build_network
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from embedseg_napari.core.config import ModelConfig
    from embedseg_napari.core.networks.network import EmbeddingNetwork


def network_from(path: Path, weights: dict[str, Tensor], config: ModelConfig) -> EmbeddingNetwork:
    """Build the network of a file's weights on the CPU.

    Raises
    ------
    ModelError
        Naming the first weight that does not fit.
    """
    if config.n_channels > MAX_CHANNELS:
        raise ModelError(f"{path}: claims {config.n_channels} channels, but no network takes more than {MAX_CHANNELS}.")
    # Shapes first: no memory is taken for what a damaged file only claims, and no random number is drawn.
    with torch.device("meta"):
        network = build_network(config.architecture, config.ndim, config.n_channels)
    for name, expected in network.state_dict().items():
        found = weights.get(name)
        if found is None or found.shape != expected.shape:
            what = "missing" if found is None else f"of shape {tuple(found.shape)} instead of {tuple(expected.shape)}"
            raise ModelError(
                f"{path}: weight {name} is {what}; this is no {config.architecture} network in {config.ndim}D "
                f"for {count(config.n_channels, 'channel')}."
            )
        if found.is_floating_point() != expected.is_floating_point() or found.is_complex():
            raise ModelError(f"{path}: weight {name} is stored as {found.dtype} instead of {expected.dtype}.")
        if not torch.isfinite(found).all():
            raise ModelError(f"{path}: weight {name} contains values that are not finite; the file is unusable.")
    unknown = sorted(set(weights) - set(network.state_dict()))
    if unknown:
        raise ModelError(f"{path}: weight {unknown[0]} does not belong to a {config.architecture} network.")
    # Assigned, not copied into memory of their own: what makes that of shapes imports sympy, for half a second.
    own = {name: weights[name].to(expected.dtype, copy=True) for name, expected in network.state_dict().items()}
    network.load_state_dict(own, assign=True)
    return network
