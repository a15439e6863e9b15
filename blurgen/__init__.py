"""blurgen: synthetic data sets for blur segmentation, from photos that nobody has annotated.

from blurgen import load_recipe, make_dataset, open_dataset, synthesize
"""

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    "load_recipe": "recipe",
    "make_dataset": "generate",
    "open_dataset": "dataset",
    "open_source": "sources",
    "object_proposals": "proposals",
    "Pair": "synthesis",
    "synthesize": "synthesis",
}
__all__ = [*_HOMES, "__version__"]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str):
    """Import a public name only when it is used: ``import blurgen`` loads neither cv2 nor h5py (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'blurgen' has no attribute {name!r}")
    return getattr(import_module(f"blurgen.{_HOMES[name]}"), name)
