"""Weights: what is written is read, and nothing else is taken for weights."""

import json
import os
import pickle
import struct
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blurgen.errors import DependencyError, ModelError, OutputError

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from blurgen.training import weights  # noqa: E402
from blurgen.training.models import build_model  # noqa: E402
from blurgen.training.weights import (  # noqa: E402
    load_pretrained,
    load_strictly,
    read_safetensors,
    read_weights,
    write_safetensors,
)

nn = torch.nn


def small(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))


def unet(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_model("unet-xs", 3)


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


# Writing and reading


@settings(max_examples=20, deadline=None)
@given(
    shapes=st.dictionaries(st.text(min_size=1, max_size=8), st.lists(st.integers(0, 3), max_size=4), max_size=4),
    dtype=st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool]),
    metadata=st.dictionaries(st.text(max_size=8), st.text(max_size=40), max_size=1),
)
def test_what_is_written_is_read(tmp_path_factory, shapes, dtype, metadata):
    path = tmp_path_factory.mktemp("w") / "a.safetensors"
    shapes = {key: shape for key, shape in shapes.items() if key != "__metadata__"}
    tensors = {key: (torch.rand(shape) * 9).to(dtype) for key, shape in shapes.items()}
    write_safetensors(path, tensors, metadata)
    found, text = read_safetensors(path)
    assert same(found, tensors)
    assert all(found[key].dtype == dtype for key in found)
    assert text == metadata


def test_tensors_may_share_memory_and_be_views(tmp_path):
    values = torch.arange(6.0).reshape(2, 3)
    write_safetensors(tmp_path / "a.safetensors", {"a": values, "b": values.T, "c": values[:, 1:]}, {})
    assert same(read_weights(tmp_path / "a.safetensors"), {"a": values, "b": values.T, "c": values[:, 1:]})


def test_equal_weights_are_equal_bytes(tmp_path):
    for name in "ab":
        write_safetensors(tmp_path / name, small().state_dict(), {"blurgen_config": "x"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_that_can_not_be_written(tmp_path):
    with pytest.raises(OutputError):
        write_safetensors(tmp_path / "none" / "a.safetensors", {}, {})


@pytest.mark.parametrize("suffix", [".pth", ".pt"])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"state_dict": x, "epoch": 3}, lambda x: {"model": x}])
def test_pth_files(tmp_path, suffix, zipped, wrap):
    path = tmp_path / f"a{suffix}"
    torch.save(wrap(small().state_dict()), path, _use_new_zipfile_serialization=zipped)
    assert same(read_weights(path), small().state_dict())


# Hostile and damaged files


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_code_is_refused_and_not_run(tmp_path, zipped):
    path = tmp_path / "a.pth"
    torch.save({"a": Evil(tmp_path / "ran")}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match="pickled code"):
        read_weights(path)
    path.write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    with pytest.raises(ModelError, match="pickled code"):
        read_weights(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "values",
    [
        [torch.ones(2)],
        torch.ones(2),
        {"a": 1.0},
        {1: torch.ones(2)},
        {"a": {"b": torch.ones(2)}},
        {"state_dict": {"a": "text"}},
        {"a": torch.ones(2).to_sparse()},
    ],
)
def test_anything_but_a_dictionary_of_tensors_is_refused(tmp_path, values):
    torch.save(values, tmp_path / "a.pth")
    with pytest.raises(ModelError, match="no dictionary of tensors"):
        read_weights(tmp_path / "a.pth")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_an_error_or_other_numbers(tmp_path_factory, suffix, data):
    path = tmp_path_factory.mktemp("w") / f"a{suffix}"
    if suffix == ".pth":
        torch.save(small().state_dict(), path)
    else:
        write_safetensors(path, small().state_dict(), {"a": "b"})
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.one_of(st.integers(0, len(content)), st.just(len(content))))])
    try:
        load_strictly(small(), read_weights(path), str(path))
        message = ""
    except ModelError as error:
        message = str(error)
    assert not message or message.startswith(str(path))
    assert "\n" not in message


def raw(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 7,
        b"\xff" * 8,
        raw({}, length=1 << 62),
        raw({}, length=100),
        raw([]),
        raw({"a": {"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 4]}}, b"\0" * 4),
        raw({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"\0" * 4),
        raw({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}),
        raw({"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4),
        raw({"a\n": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, b"\0" * 8),
        raw({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 9),
    ],
)
def test_hostile_safetensors(tmp_path, content):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"a\.safetensors: .*(damaged|get)"):
        read_safetensors(path)


def test_a_huge_header_is_not_even_parsed(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(raw({"__metadata__": {"a": "b" * weights.MAX_HEADER_BYTES}}))
    with pytest.raises(ModelError, match="damaged"):
        read_safetensors(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_larger_than_any_model(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    with open(path, "wb") as file:
        file.truncate(weights.MAX_BYTES + 1)  # sparse: takes no room
    with pytest.raises(ModelError, match="more than any model"):
        read_weights(path)


def test_a_pth_file_that_unpacks_to_more_than_any_model(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "MAX_BYTES", 100_000)
    with zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(200_000))
    with pytest.raises(ModelError, match="huge"):
        read_weights(tmp_path / "a.pth")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("make", [None, os.mkdir, os.mkfifo])
def test_what_is_no_file(tmp_path, suffix, make):
    path = tmp_path / f"a{suffix}"
    if make:
        make(path)
    with pytest.raises(ModelError, match="can't be read"):
        read_weights(path)


def test_without_safetensors(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "safetensors.torch", None)
    with pytest.raises(DependencyError, match=r"pip install 'blurgen\[train\]'"):
        read_safetensors(tmp_path / "a.safetensors")


# Loading strictly


def test_loading_strictly():
    target = small(1)
    load_strictly(target, small(0).state_dict(), "file")
    assert same(target.state_dict(), small(0).state_dict())


def test_faults_are_counted_and_named_and_nothing_is_loaded():
    target, tensors = small(1), small(0).state_dict()
    del tensors["1.weight"]
    tensors |= {f"extra{number}\n": torch.zeros(1) for number in range(5)}
    tensors["0.bias"] = torch.zeros(4)
    with pytest.raises(ModelError) as caught:
        load_strictly(target, tensors, "file")
    message = str(caught.value)
    assert message.startswith("file: ")
    assert "1 missing (1.weight)" in message
    assert "5 extra (extra0\\u000a, extra1\\u000a, extra2\\u000a, ...)" in message
    assert "1 of another shape or type (0.bias)" in message
    assert same(target.state_dict(), small(1).state_dict())


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_numbers_that_are_not_finite_are_refused(bad):
    target, tensors = small(1), small(0).state_dict()
    tensors["0.weight"] = tensors["0.weight"].double()
    tensors["0.weight"][1, 0, 2, 2] = bad
    with pytest.raises(ModelError, match=r"0\.weight holds values that are not finite"):
        load_strictly(target, tensors, "file")
    assert same(target.state_dict(), small(1).state_dict())


@pytest.mark.parametrize("dtype", [torch.int64, torch.complex64])
def test_other_types_are_refused(dtype):
    tensors = small().state_dict()
    tensors["0.bias"] = torch.ones(3, dtype=dtype)
    with pytest.raises(ModelError, match=r"shape or type \(0\.bias\)"):
        load_strictly(small(), tensors, "file")


def test_a_shape_that_claims_more_memory_than_there_is(tmp_path):
    tensors = small().state_dict() | {"0.weight": torch.ones(1).expand(1 << 20, 1 << 20, 1 << 10)}
    torch.save(tensors, tmp_path / "a.pth")
    with pytest.raises(ModelError, match=r"shape or type \(0\.weight\)"):
        load_strictly(small(), read_weights(tmp_path / "a.pth"), "file")


# Pretrained weights


def test_all_weights_of_the_same_model(tmp_path):
    torch.save(unet(0).state_dict(), tmp_path / "a.pth")
    model = unet(1)
    assert load_pretrained(model, tmp_path / "a.pth") == ((), ())
    assert same(model.state_dict(), unet(0).state_dict())


def test_another_task_keeps_its_own_last_layer(tmp_path):
    tensors = unet(0).state_dict()
    tensors |= {"score.weight": torch.zeros(7, 16, 1, 1), "score.bias": torch.zeros(7)}
    write_safetensors(tmp_path / "a.safetensors", tensors, {})
    model, before = unet(1), unet(1).state_dict()
    fresh, ignored = load_pretrained(model, tmp_path / "a.safetensors")
    assert set(fresh) == set(ignored) == {"score.weight", "score.bias"}
    head = {key: before[key] for key in fresh}
    assert same(model.state_dict(), tensors | head)


def test_everything_but_the_last_layer_is_strict(tmp_path):
    tensors = unet().state_dict()
    del tensors["stem.1.0.weight"]
    torch.save(tensors | {"aux_classifier.0.weight": torch.ones(1)}, tmp_path / "a.pth")
    with pytest.raises(ModelError, match=r"1 missing \(stem\.1\.0\.weight\), 1 extra \(aux_classifier\.0\.weight\)"):
        load_pretrained(unet(), tmp_path / "a.pth")


def test_deeplab_of_coco(tmp_path):
    """The published file: 21 classes and an auxiliary classifier; only the last convolution is replaced."""
    model = build_model("deeplabv3-resnet101", 3)
    other = {
        "classifier.4.weight": torch.zeros(21, 256, 1, 1),
        "classifier.4.bias": torch.zeros(21),
        "aux_classifier.4.bias": torch.zeros(21),
    }
    before = {key: value.clone() for key, value in model.state_dict().items()}
    tensors = {key: value + 1 for key, value in before.items()} | other
    torch.save(tensors, tmp_path / "a.pth")
    fresh, ignored = load_pretrained(model, tmp_path / "a.pth")
    assert set(fresh) == {"classifier.4.weight", "classifier.4.bias"}
    assert set(ignored) == {*fresh, "aux_classifier.4.bias"}
    head = {key: before[key] for key in fresh}
    assert same(model.state_dict(), {key: tensors[key] for key in before} | head)


@pytest.mark.parametrize("name", ["vgg16-fcn", "fusion", "dsn"])
def test_vgg16_of_torchvision(tmp_path, name):
    """Its backbone is taken; its fully connected layers are not, knowingly."""
    model = build_model(name, 3)
    own = {key: value.clone() for key, value in model.state_dict().items()}
    backbone = {key: value + 1 for key, value in own.items() if key.startswith("features.")}
    torch.save(
        backbone | {"classifier.0.bias": torch.zeros(4096)}, tmp_path / "a.pth", _use_new_zipfile_serialization=False
    )
    fresh, ignored = load_pretrained(model, tmp_path / "a.pth")
    assert set(fresh) == own.keys() - backbone.keys()
    assert ignored == ("classifier.0.bias",)
    assert same(model.state_dict(), own | backbone)


def test_fully_connected_layers_become_convolutions():
    """A fully connected layer on 7 x 7 cells is a convolution that is 7 wide, at the middle cell."""
    with torch.device("meta"):
        model = build_model("fcn8s", 3)
        flat = {
            "classifier.0.weight": torch.empty(4096, 512 * 49),
            "classifier.3.weight": torch.empty(4096, 4096),
            "classifier.6.weight": torch.empty(1000, 4096),
        }
    adapted = model.adapted(flat)
    assert all(adapted[key].shape == model.state_dict()[key].shape for key in list(flat)[:2])
    assert adapted["classifier.6.weight"] is flat["classifier.6.weight"]
    line = torch.arange(2.0 * 49).reshape(1, 2 * 49)
    cells = torch.rand(1, 2, 7, 7)
    middle = nn.functional.conv2d(cells, line.reshape(1, 2, 7, 7), padding=3)[..., 3, 3]
    torch.testing.assert_close(middle, nn.functional.linear(cells.flatten(1), line))
