"""What a training computes with: the device, the network to begin with, and its optimiser."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import torch

from embedseg_napari.core.networks.architectures import build_network

if TYPE_CHECKING:
    import lightning_fabric

    from embedseg_napari.core.config import TrainingConfig
    from embedseg_napari.core.model.model import Model
    from embedseg_napari.core.networks.network import EmbeddingNetwork
    from embedseg_napari.core.training.planning import TrainingPlan

FABRIC_PRECISION: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}


def launch_fabric(config: TrainingConfig, plan: TrainingPlan) -> lightning_fabric.Fabric:
    """Take the devices of a training, in silence."""
    import lightning_fabric

    devices: Any = config.devices
    if plan.device.type == "cuda" and plan.device.index is not None and devices == 1:
        devices = [plan.device.index]
    # Fabric tells its precision and its processes on the console; events tell ours.
    logger = logging.getLogger("lightning_fabric")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        fabric = lightning_fabric.Fabric(
            accelerator=plan.device.type, devices=devices, precision=FABRIC_PRECISION[plan.precision]
        )
        fabric.launch()
    finally:
        logger.setLevel(level)
    return fabric


def first_network(config: TrainingConfig, plan: TrainingPlan, start_from: Model | None) -> EmbeddingNetwork:
    """The network with the weights of the start model, or random ones and margins by the object sizes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = build_network(plan.model_config.architecture, plan.statistics.ndim, plan.model_config.n_channels)
    network.low_memory = config.low_memory
    network.weaken_dropout(config.dropout)
    if start_from is not None:
        network.load_state_dict(start_from.network.state_dict())
    elif config.initial_margin == "object":
        margins = [0.5 * plan.scale * extent for extent in plan.statistics.sizes.mean]
        network.set_initial_margin(margins, plan.model_config.grid_spacing)
    return network


def make_optimizer(config: TrainingConfig, network: torch.nn.Module) -> torch.optim.Optimizer:
    """The optimiser of the settings, over all weights that learn."""
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    parameters = [p for p in network.parameters() if p.requires_grad]
    return kind(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
