"""A model as an ONNX file, against torch."""

import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

from blurgen.errors import DependencyError, ModelError, OutputError  # noqa: E402
from blurgen.training.models import BlurModel, build_model  # noqa: E402
from blurgen.training.onnx import export_onnx  # noqa: E402


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A small model of random weights, and statistics that are not those of a new one; and its file."""
    torch.manual_seed(0)
    model = build_model("unet-xs", 3)
    model(torch.rand(4, 3, 64, 64))
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export_onnx(model, path)
    return model, path


def test_the_file_computes_what_the_model_computes(exported):
    runtime = pytest.importorskip("onnxruntime")
    model, path = exported
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    model.eval()
    for shape in ((1, 3, 64, 64), (3, 3, 97, 130), (2, 3, 16, 5), (1, 3, 1, 1)):
        images = torch.rand(shape)
        with torch.inference_mode():
            expected = torch.sigmoid(model(images)).numpy()
        (found,) = session.run(["blur"], {"image": images.numpy()})
        assert found.shape == (shape[0], 1, *shape[2:])
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_file_stands_alone_and_names_its_axes(exported):
    _, path = exported
    document = onnx.load(path)
    for values, channels in ((document.graph.input, 3), (document.graph.output, 1)):
        axes = [axis.dim_param or axis.dim_value for axis in values[0].type.tensor_type.shape.dim]
        assert axes == ["N", channels, "H", "W"]
    assert [document.graph.input[0].name, document.graph.output[0].name] == ["image", "blur"]
    assert not any(weight.external_data for weight in document.graph.initializer)
    assert [one.name for one in path.parent.iterdir()] == ["model.onnx"]


def test_the_file_tells_nothing_of_the_machine(exported):
    data = exported[1].read_bytes()
    assert b".py" not in data
    assert b"/blurgen" not in data


def test_the_model_stays_as_it_was(tmp_path, capfd):
    class Shift(BlurModel):
        def __init__(self):
            super().__init__(1)
            self.shift = torch.nn.Parameter(torch.tensor(0.5))
            self.drop = torch.nn.Dropout(0.9)

        def forward(self, x, every=False):
            return self.drop(x + self.shift)

    model = Shift().train()
    export_onnx(model, tmp_path / "one.onnx")
    export_onnx(model, tmp_path / "two.onnx")
    assert model.training
    assert model.drop.training
    assert capfd.readouterr() == ("", "")
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()
    kinds = {node.op_type for node in onnx.load(tmp_path / "one.onnx").graph.node}
    assert kinds == {"Add", "Sigmoid"}  # no dropout
    with pytest.raises(OutputError):
        export_onnx(model, tmp_path / "none" / "one.onnx")


def test_what_onnx_can_not_express(tmp_path):
    class Branching(BlurModel):
        def __init__(self):
            super().__init__(1)
            self.factor = torch.nn.Parameter(torch.ones(1))

        def forward(self, x, every=False):
            return x * self.factor if x.sum() > 0 else x

    with pytest.raises(ModelError, match="ONNX"):
        export_onnx(Branching(), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_a_missing_package_is_named(package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DependencyError, match=rf"{package} is not installed; pip install 'blurgen\[onnx\]'"):
        export_onnx(build_model("unet-xs", 1), tmp_path / "model.onnx")
