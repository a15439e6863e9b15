"""Weights on disk: written as safetensors, read from safetensors or .pth files, hostile until checked."""

from __future__ import annotations

import os
import warnings
import zipfile
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from blurgen.errors import DependencyError, ModelError
from blurgen.files import open_plain, publish
from blurgen.sources.photo import first_line, printable
from blurgen.training.models import BlurModel

MAX_BYTES = 4 << 30  # of a file of weights, also unpacked
MAX_HEADER_BYTES = 4 << 20  # that of a network of 700 tensors takes 0.1 MB
PICKLED_SUFFIXES = (".pth", ".pt")


class Loaded(NamedTuple):
    """What became of pretrained weights."""

    fresh: tuple[str, ...]
    """Keys of the model that the file has nothing for: its last layer, left at its first values. Empty: all loaded."""
    ignored: tuple[str, ...]
    """Keys of the file that the model has no use for."""


def read_safetensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by key, and the metadata.

    Raises ModelError for a file that is missing, damaged or too large, DependencyError without safetensors.
    """
    safetensors = _safetensors()
    _check_header(Path(path))
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except Exception as error:  # also of types that torch does not know: a file may name whatever it likes
        raise ModelError(f"{path}: damaged ({first_line(error)}); get or make it again") from None


def write_safetensors(path: str | Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Whole or not at all. Equal weights are equal bytes up to one entry of metadata; more of them are shuffled.

    Raises OutputError, or DependencyError without safetensors.
    """
    safetensors = _safetensors()
    # Copies, as tensors that share memory are refused.
    copies = {key: value.detach().to("cpu", copy=True).contiguous() for key, value in tensors.items()}
    publish(Path(path), safetensors.torch.save(copies, metadata or None))


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Tensors by key, of a .safetensors, .pth or .pt file; a dictionary under "state_dict" or "model" is taken out.

    Raises
    ------
    ModelError
        Missing, damaged, too large, anything but a dictionary of tensors, or with pickled code, which is never run.
    """
    path = Path(path)
    if path.suffix not in PICKLED_SUFFIXES:
        return read_safetensors(path)[0]
    values = read_pickled(path)
    for name in ("state_dict", "model"):
        if isinstance(values, dict) and isinstance(values.get(name), dict):
            values = values[name]
    if not isinstance(values, dict) or not all(map(_is_entry, values.items())):
        raise ModelError(f"{path}: is no dictionary of tensors; give a state_dict, best as .safetensors")
    return dict(values)


def load_strictly(module: nn.Module, tensors: dict[str, Tensor], origin: str) -> None:
    """Copy ``tensors`` into ``module``, all of them or none.

    Raises
    ------
    ModelError
        With the keys that are missing, extra, of another shape or type, or hold a number that is not finite.
    """
    own = module.state_dict()
    shared = own.keys() & tensors.keys()
    faults = {
        "missing": [key for key in own if key not in tensors],
        "extra": [key for key in tensors if key not in own],
        "of another shape or type": [key for key in own if key in shared and not _fits(tensors[key], own[key])],
    }
    if any(faults.values()):
        named = ", ".join(_named(fault, keys) for fault, keys in faults.items() if keys)
        raise ModelError(f"{origin}: not the weights of this model: {named}; choose the model that they were made for")
    for key in own:
        if not torch.isfinite(tensors[key].to(own[key].dtype)).all():
            raise ModelError(f"{origin}: {key} holds values that are not finite; take weights of an earlier step")
    module.load_state_dict(tensors)


def load_pretrained(model: BlurModel, path: str | Path) -> Loaded:
    """Load weights of the same model, or those that it has for another task, with its own last layer kept.

    Everything else has to fit: raises ModelError as ``read_weights`` and ``load_strictly`` do.
    """
    tensors = model.adapted(read_weights(path))
    own = model.state_dict()
    ignored = {key for key in tensors if key.startswith(model.foreign) and key not in own}
    head = {key: value for key, value in own.items() if key.startswith(model.head)}
    if all(key in tensors and _fits(tensors[key], value) for key, value in head.items()):
        head = {}
    else:
        ignored |= {key for key in tensors if key.startswith(model.head)}
    taken = {key: value for key, value in tensors.items() if key not in ignored}
    load_strictly(model, taken | head, str(path))
    return Loaded(tuple(head), tuple(sorted(ignored)))


def _safetensors():
    """The package, with its torch part."""
    try:
        import safetensors.torch
    except ImportError:
        raise DependencyError("files of weights need safetensors: pip install 'blurgen[train]'") from None
    return safetensors


def _check_header(path: Path) -> None:
    """Before anything is read or mapped."""
    size = _checked_size(path)
    with open_plain(path) as file:
        length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
        raise ModelError(f"{path}: damaged, or no file of safetensors; get or make it again")


def _checked_size(path: Path) -> int:
    try:
        with open_plain(path) as file:
            size = file.seek(0, os.SEEK_END)
    except OSError as error:
        raise ModelError(f"{path}: can't be read ({error.strerror or error}); give a file of weights") from None
    if size > MAX_BYTES:
        raise ModelError(f"{path}: {size} bytes, more than any model here has; give the right file")
    return size


def read_pickled(path: Path) -> object:
    """What a file of torch.save holds, if that takes no code. ModelError for one that is damaged, huge or hostile."""
    _checked_size(path)
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as file:
                if sum(entry.file_size for entry in file.infolist()) > MAX_BYTES:  # they may be compressed
                    raise ValueError("huge")
                if file.testzip():  # torch does not look at the checksums
                    raise ValueError("damaged")
        with warnings.catch_warnings(action="ignore"):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # a damaged file may raise anything
        reason = "damaged, huge, or it holds pickled code, which is refused"
        raise ModelError(f"{path}: {reason}; get it again, best as .safetensors") from None


def _is_entry(item: tuple[object, object]) -> bool:
    key, value = item
    plain = isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"
    return isinstance(key, str) and plain and not value.is_quantized


def _fits(value: Tensor, own: Tensor) -> bool:
    kinds = {(tensor.is_floating_point(), tensor.is_complex()) for tensor in (value, own)}
    return value.shape == own.shape and len(kinds) == 1


def _named(fault: str, keys: list[str]) -> str:
    """ "2 missing (a, b)"; at most three names."""
    names = [printable(key)[:60] for key in keys[:3]]
    return f"{len(keys)} {fault} ({', '.join(names)}{', ...' if len(keys) > 3 else ''})"
