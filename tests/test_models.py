"""Models: any size, how far they see, and that published weights fit them."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blurgen.errors import ArgumentError, ModelError
from blurgen.training.params import MODEL_NAMES

torch = pytest.importorskip("torch")

from blurgen.training.models import MODELS, build_model  # noqa: E402

nn = torch.nn

SMALL = ("unet-xs", "unet-s", "gradient-unet")
REACHING = (*SMALL, "dsn")
"""One of each kind that knows a reach: the last output of dsn is what vgg16-fcn has."""

# Number and sha256 of the lines that ``keys_of`` makes of torchvision 0.28's deeplabv3_resnet101(num_classes=2), all of
# its keys, and of vgg16(), those of "features.".
DEEPLAB_KEYS = (668, "0c8a53c72e983b5974d8fca8becd5af3df63cec698ae7e164c1bc74400fb3dcc")
VGG_KEYS = (26, "7ae4d4f565d70dfc99809bd6f43dfd8a3128141ee5e5b7442bc8ed6c10ba2ba0")


@pytest.fixture(scope="module")
def built():
    """Each model once, ready to predict, with normal weights and statistics, so that no logit hides behind a zero."""
    models = {}

    def get(name: str, channels: int = 3):
        if (name, channels) not in models:
            torch.manual_seed(0)
            model = build_model(name, channels).eval()
            for part in model.modules():
                if isinstance(part, nn.BatchNorm2d):
                    nn.init.uniform_(part.running_mean, -0.2, 0.2)
                    nn.init.uniform_(part.running_var, 0.5, 1.5)
            models[name, channels] = model
        return models[name, channels]

    return get


def picture(height: int, width: int, channels: int = 3, seed: int = 1) -> torch.Tensor:
    return torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(seed))


def keys_of(model: nn.Module, prefix: tuple[str, ...]) -> tuple[int, str]:
    lines = [f"{key} {tuple(value.shape)}" for key, value in model.state_dict().items() if key.startswith(prefix)]
    return len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_names_are_those_of_the_parameters():
    assert tuple(MODELS) == MODEL_NAMES
    with pytest.raises(ArgumentError, match="choose from unet-s"):
        build_model("unet", 3)


@pytest.mark.parametrize(("name", "millions"), [("unet-s", 1.24), ("unet-xs", 0.31), ("deeplabv3-resnet101", 58.63)])
def test_number_of_parameters(name, millions):
    with torch.device("meta"):
        count = sum(weights.numel() for weights in build_model(name, 3).parameters())
    assert count == pytest.approx(millions * 1e6, rel=0.01)


@pytest.mark.parametrize("name", [name for name in MODEL_NAMES if name != "fcn8s"])
@pytest.mark.parametrize("shape", [(1, 1), (37, 53), (64, 64), (100, 33)])
@torch.no_grad()
def test_any_size(built, name, shape):
    if name == "deeplabv3-resnet101" and shape == (64, 64):
        pytest.skip("slow, and checked against torchvision")
    logits = built(name)(picture(*shape))
    assert logits.shape == (1, 1, *shape)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("shape", [(1, 1), (37, 53), (64, 64), (100, 33)])
def test_any_size_in_fcn8s(shape):
    """Only the shapes: 134 million weights are not drawn for this."""
    with torch.device("meta"):
        assert build_model("fcn8s", 3)(torch.rand(2, 3, *shape)).shape == (2, 1, *shape)


@pytest.mark.parametrize("name", REACHING)
@settings(max_examples=3, deadline=None)
@given(data=st.data())
@torch.no_grad()
def test_no_pixel_beyond_the_reach_changes_a_logit(built, name, data):
    model = built(name)
    side = model.reach_px + 60
    image, row, column = picture(side, side), *(data.draw(st.integers(0, side - 1)) for _ in "yx")
    changed = image.clone()
    changed[..., row, column] = 1 - changed[..., row, column]
    rows, columns = (model(image, every=True) - model(changed, every=True))[0].amax(0).nonzero().T
    distance = torch.maximum((rows - row).abs(), (columns - column).abs())
    assert distance.numel() == 0 or distance.max() <= model.reach_px


@pytest.mark.parametrize("name", REACHING)
def test_the_reach_is_not_much_too_large(built, name):
    """By the gradient of the logits of a whole cell with respect to the pixels above it."""
    model = built(name)
    cell = model.multiple_px
    top = -(-model.reach_px // cell) * cell
    image = picture(top + 2 * cell, 4 * cell).requires_grad_()
    model(image)[..., top : top + cell, cell : 2 * cell].sum().backward()
    first = image.grad[0].abs().sum((0, 2)).nonzero().min().item()
    assert model.reach_px / 2 <= top + cell - 1 - first


def test_relatives_reach_as_far_as_vgg16():
    with torch.device("meta"):
        models = [build_model(name, 3) for name in ("vgg16-fcn", "fusion", "dsn")]
    assert {(model.reach_px, model.multiple_px) for model in models} == {(113, 16)}


@pytest.mark.parametrize("name", REACHING)
@settings(max_examples=3, deadline=None)
@given(steps=st.tuples(st.integers(0, 3), st.integers(0, 3)))
@torch.no_grad()
def test_windows_give_the_logits_of_the_whole(built, name, steps):
    model = built(name)
    margin, inner, cell = model.reach_px, 24, model.multiple_px
    side = 2 * margin + inner
    top, left = (step * cell for step in steps)
    image = picture(side + 3 * cell + 5, side + 3 * cell + 7)
    whole = model(image)[..., top:, left:][..., margin : margin + inner, margin : margin + inner]
    window = model(image[..., top : top + side, left : left + side])[..., margin:-margin, margin:-margin]
    torch.testing.assert_close(window, whole, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("channels", [1, 2, 5])
@torch.no_grad()
def test_any_channels(built, name, channels):
    assert built(name, channels)(picture(20, 30, channels)).shape == (1, 1, 20, 30)


@torch.no_grad()
def test_grey_is_seen_as_colour(built):
    grey = picture(32, 32, 1)
    model = build_model("vgg16-fcn", 1).eval()
    model.load_state_dict(built("vgg16-fcn").state_dict())
    torch.testing.assert_close(model(grey), built("vgg16-fcn")(grey.expand(-1, 3, -1, -1)), rtol=0, atol=0)


@pytest.mark.parametrize("name", [name for name in MODEL_NAMES if name not in SMALL])
def test_other_channels_are_refused(name):
    with pytest.raises(ModelError, match=f"{name} takes images of 1 or 3 channels, not 4; use unet-s"):
        build_model(name, 4)


@pytest.mark.parametrize("name", ["unet-xs", "gradient-unet", "dsn"])
def test_first_weights_depend_on_the_seed_alone(name):
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return nn.utils.parameters_to_vector(build_model(name, 3).parameters())

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


@pytest.mark.parametrize(("name", "outputs"), [("unet-xs", 1), ("fusion", 1), ("dsn", 6)])
@torch.no_grad()
def test_supervised_outputs_begin_with_the_final_one(built, name, outputs):
    image, model = picture(40, 24), built(name)
    every = model(image, every=True)
    assert every.shape == (1, outputs, 40, 24)
    assert torch.equal(every[:, :1], model(image))


@torch.no_grad()
def test_fusion_is_the_weighted_sum_of_side_outputs(built):
    model = built("dsn")
    fused, *sides = model(picture(32, 32), every=True)[0]
    torch.testing.assert_close(fused, sum(map(torch.mul, model.fuse.weight.flatten(), sides)))


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_gradients_reach_every_parameter(built, name):
    if name in ("fcn8s", "deeplabv3-resnet101"):
        pytest.skip("large")
    model = build_model(name, 3)
    model(picture(32, 32).expand(2, -1, -1, -1), every=True).square().mean().backward()
    assert all(weights.grad is not None and torch.isfinite(weights.grad).all() for weights in model.parameters())


def test_a_unet_tells_sharp_from_blurred():
    """White noise, blurred or not: the simplest case there is, learned in 40 steps."""
    torch.manual_seed(0)
    model = build_model("unet-xs", 1)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    for _ in range(40):
        sharp = torch.rand(8, 1, 64, 64)
        mask = (torch.arange(64) < torch.randint(16, 48, (8, 1, 1, 1))).float().expand(8, 1, 64, 64)
        image = torch.where(mask > 0, nn.functional.avg_pool2d(sharp, 3, 1, 1), sharp)
        loss = nn.functional.binary_cross_entropy_with_logits(model(image), mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.2


def test_deeplab_has_the_keys_of_torchvision():
    with torch.device("meta"):
        model = build_model("deeplabv3-resnet101", 3)
    assert keys_of(model, ("backbone.", "classifier.")) == DEEPLAB_KEYS
    assert len(model.state_dict()) == DEEPLAB_KEYS[0]


@pytest.mark.parametrize("name", ["vgg16-fcn", "fcn8s", "fusion", "dsn"])
def test_vgg_has_the_keys_of_torchvision(name):
    with torch.device("meta"):
        assert keys_of(build_model(name, 3), ("features.",)) == VGG_KEYS


@pytest.fixture(scope="module")
def torchvision():
    """The package, where it is installed and works."""
    try:
        import torchvision
    except Exception as error:  # built for another torch it raises RuntimeError
        pytest.skip(f"no torchvision: {error}")
    return torchvision


@torch.no_grad()
def test_deeplab_is_that_of_torchvision(built, torchvision):
    """To the bit, on random weights and statistics."""
    ours = built("deeplabv3-resnet101")
    build = torchvision.models.segmentation.deeplabv3_resnet101
    theirs = build(weights=None, weights_backbone=None, num_classes=2).eval()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    image = picture(65, 90)
    scores = theirs(ours.normalise(image))["out"]
    assert torch.equal(ours(image), scores[:, 1:] - scores[:, :1])


@torch.no_grad()
def test_vgg_is_that_of_torchvision(built, torchvision):
    ours = built("vgg16-fcn")
    theirs = torchvision.models.vgg16(weights=None).features[:30].eval()
    theirs.load_state_dict(ours.features.state_dict(), strict=True)
    image = picture(48, 32)
    assert torch.equal(ours.stages(image)[-1], theirs(ours.normalise(image)))
