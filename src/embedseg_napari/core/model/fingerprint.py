"""What tells a model from another: a short number that stands for its weights, and what stands beside them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embedseg_napari.core.config import ModelConfig
    from embedseg_napari.core.model.model import Model


def digest_of(model: Model) -> hashlib.blake2s:
    """Return a BLAKE2s digest, of 8 bytes, of the names and values of all weights; more can be added to it."""
    digest = hashlib.blake2s(digest_size=8)
    for name, weights in model.network.state_dict().items():
        digest.update(name.encode())
        digest.update(weights.detach().cpu().numpy().tobytes())
    return digest


def geometry_of(config: ModelConfig) -> dict[str, Any]:
    """How images reach the network of a model, and how its output is read."""
    return config.model_dump(mode="json", include={"architecture", "grid_spacing", "normalization", "reference_scale"})
