"""Choices and bounds that several settings share."""

from __future__ import annotations

from typing import Literal

Precision = Literal["float32", "bfloat16", "float16"]
Engine = Literal["auto", "torch", "openvino", "int8"]
RunEngine = Literal["torch", "openvino", "int8"]
"""What an engine comes to."""
Architecture = Literal["unet", "branched-erfnet"]
SCALES = (0.05, 20.0)
"""Smallest and largest factor by which images are resized for the network."""
MOST_PIXELS = 1 << 28
"""In a batch: training takes about a kilobyte of memory for each."""
IGNORE_LABELS = (1 - 2**31, 2**31 - 1)
"""Lowest and highest value of a mask that can stand for an unknown class."""
MAX_CHANNELS = 15
"""Input channels: the paper's network has 16 feature maps in its first layer, one of them at least a convolution's; the
others hold the pooled input."""
