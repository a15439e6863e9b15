"""The contributed modules of OpenCV, which some of its packages lack."""

from __future__ import annotations

from types import ModuleType

import cv2

from blurgen.errors import DependencyError


def extended_image_processing(what: str) -> ModuleType:
    """cv2.ximgproc. Raises DependencyError, with ``what`` needs it, where this OpenCV is one without."""
    if not hasattr(cv2, "ximgproc"):
        raise DependencyError(
            f"{what} needs cv2.ximgproc, which this OpenCV lacks: pip uninstall opencv-python "
            "opencv-python-headless, then pip install --force-reinstall opencv-contrib-python"
        )
    return cv2.ximgproc
