"""A model of one channel as the start for images of several."""

from __future__ import annotations

from embedseg_napari.core.model.model import Model
from embedseg_napari.core.networks.architectures import build_network


def seeing_channels(model: Model, n: int) -> Model:
    """A model for images of `n` channels, as a training that starts from it takes it; itself if it cannot see them."""
    return with_channels(model, n) if model.config.takes_channels(n) else model


def with_channels(model: Model, n: int) -> Model:
    """The model itself, or one for images of `n` channels that gives for their mean what the model gives for one.

    Parameters
    ----------
    model : Model
        One whose :meth:`ModelConfig.takes_channels` says so.
    n : int
        Number of channels.
    """
    if n == model.config.n_channels:
        return model
    config = model.config.model_copy(update={"n_channels": n})
    network = build_network(config.architecture, config.ndim, n)
    weights = model.network.state_dict()
    for name, value in network.state_dict().items():
        if value.shape != weights[name].shape:
            weights[name] = weights[name].expand(value.shape) / n
    network.load_state_dict(weights)
    return Model(config, network.to(model.device), model.path)
