"""What no photo may exceed, and how a photo that does is refused. Checked by headers, before anything is unpacked."""

from __future__ import annotations

from blurgen.errors import PhotoError

MAX_PIXELS = 64_000_000
MIN_SIDE_PX = 32
MAX_CHANNELS = 127  # as many as OpenCV takes
MAX_BYTES = 1_000_000_000
"""Of a file, and of the pixels that are decoded from it."""

MAX_LIGHT = 1e9
"""Of float32 photos, whose squares must not overflow."""

CAMERA_RAW = "camera raw is not supported: convert it to JPEG or TIFF first"
SEVERAL_PAGES = "several pages: save the page that you want as a photo of its own first"


def check_size(width: int, height: int) -> None:
    """PhotoError for a photo of too many pixels, or a side that is too short."""
    if width * height > MAX_PIXELS:
        raise PhotoError(too_large(width * height))
    if min(width, height) < MIN_SIDE_PX:
        raise PhotoError(f"{width} x {height} px: smaller than {MIN_SIDE_PX} px")


def check_array(height: int, width: int, channels: int, itemsize: int) -> None:
    """The same, and PhotoError for too many channels (of ``itemsize`` bytes a value) or bytes."""
    check_size(width, height)
    if not 1 <= channels <= MAX_CHANNELS:
        raise PhotoError(f"{channels} channels: 1 to {MAX_CHANNELS} are allowed, keep those that matter")
    size = height * width * channels * itemsize
    if size > MAX_BYTES:
        raise PhotoError(
            f"{size / 1e9:.1f} GB of pixels are above the limit of {MAX_BYTES / 1e9:.0f} GB: resize it first"
        )


def too_large(pixels: int | None) -> str:
    """The reason for refusing a photo of so many pixels, None where the number is not known."""
    size = f"{-(-pixels // 100_000) / 10:.1f} Mpx" if pixels else "the size"
    return f"{size} is above the limit of {MAX_PIXELS / 1e6:.0f} Mpx: resize it first"
