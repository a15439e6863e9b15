"""A trained model as an ONNX file, for runtimes without torch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn

from blurgen.errors import DependencyError, ModelError
from blurgen.files import publish
from blurgen.sources.photo import first_line
from blurgen.training.models import BlurModel

AXES = {"image": ("N", "", "H", "W"), "blur": ("N", "", "H", "W")}
"""Names of input and output -> names of the axes that are free."""

TRACED_SHAPE = (2, 61, 75)
"""Images, rows, columns that the model is traced with: sides that need padding, and no 1, which would be fixed."""


class _Probability(nn.Module):
    def __init__(self, model: BlurModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        return torch.sigmoid(self.model(image))


def export_onnx(model: BlurModel, path: str | Path) -> None:
    """Write ``model`` as one file, atomically, after it was checked.

    Input "image": (N, C, H, W) float32, 0 black to 1 full scale. Output "blur": (N, 1, H, W) float32, probability of
    blur. N, H and W are free.

    Raises
    ------
    DependencyError
        onnx or onnxscript is not installed.
    ModelError
        The model can't be expressed in ONNX.
    OutputError
        ``path`` can't be written.
    """
    publish(Path(path), onnx_bytes(model))


def onnx_bytes(model: BlurModel) -> bytes:
    """The file of ``export_onnx``."""
    onnx = _package("onnx")
    _package("onnxscript")
    document = _traced(model)
    _tidy(document.graph)
    document.doc_string = (
        f"blurgen: image (N, {model.channels}, H, W), 0 black to 1 full scale, red first; "
        "blur (N, 1, H, W), probability that a pixel is blurred. Any N, H and W."
    )
    data = document.SerializeToString()
    try:
        onnx.checker.check_model(data, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"the model's ONNX file is not valid ({first_line(error)})") from None
    return data


def _package(name: str):
    try:
        return import_module(name)
    except ImportError:
        raise DependencyError(f"{name} is not installed; pip install 'blurgen[onnx]'") from None


def _traced(model: BlurModel):
    """The ModelProto of the model in eval mode."""
    count, height, width = TRACED_SHAPE
    example = torch.zeros(count, model.channels, height, width, device=next(model.parameters()).device)
    free = torch.export.Dim.DYNAMIC
    was_training = model.training
    try:
        with _quiet():
            return torch.onnx.export(
                _Probability(model).eval(),
                (example,),
                input_names=["image"],
                output_names=["blur"],
                dynamic_shapes={"image": {0: free, 2: free, 3: free}},
                dynamo=True,
                verbose=False,
            ).model_proto
    except torch.onnx.errors.OnnxExporterError as error:
        raise ModelError(f"the model can't be expressed in ONNX ({first_line(error.__cause__ or error)})") from None
    finally:
        model.train(was_training)


def _tidy(graph) -> None:
    """Name the free axes, and drop what tells how the file came about: stack traces with paths of this machine."""
    for value in (*graph.input, *graph.output):
        for axis, name in zip(value.type.tensor_type.shape.dim, AXES[value.name], strict=True):
            if name:
                axis.dim_param = name
    del graph.value_info[:]
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's warnings: of packages that nobody needs, and of its own future."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
