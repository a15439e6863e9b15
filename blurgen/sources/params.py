"""How the pixels of a photo are read: the recipe's section ``photo``."""

from __future__ import annotations

from typing import Literal

from blurgen.params import Params, param

Pixels = Literal["rgb8", "native"]


class PhotoParams(Params):
    """How the pixels of a photo are read."""

    pixels: Pixels = param(
        "rgb8", "", "rgb8 (8-bit RGB) or native (channels and depth as in the file; .npy arrays are read too)"
    )
