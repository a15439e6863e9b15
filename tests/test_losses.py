"""What is minimised, against torch's own loss over two classes, slow loops and numbers by hand."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from blurgen.errors import DependencyError  # noqa: E402
from blurgen.training.losses import Pieces, blur_loss, draw_swaps, swap, training_loss  # noqa: E402
from blurgen.training.params import LossParams  # noqa: E402
from blurgen.training.saliency import hard_weight, saliency_map  # noqa: E402


@pytest.fixture
def batch():
    """Images (4, 3, 12, 16), targets, and weights of which one in five is 0."""
    make = torch.Generator().manual_seed(0)
    images = torch.rand(4, 3, 12, 16, generator=make)
    target = (torch.rand(4, 1, 12, 16, generator=make) > 0.5).float()
    return images, target, (torch.rand(4, 1, 12, 16, generator=make) > 0.2).float()


class Doubled(torch.nn.Module):
    """The sum of the channels; with ``every`` a second output too, of the opposite sign. Counts its calls."""

    def __init__(self):
        super().__init__()
        self.gain, self.calls = torch.nn.Parameter(torch.tensor(2.0)), 0

    def forward(self, x, every=False):
        self.calls += 1
        logits = self.gain * (x - 0.5).sum(1, keepdim=True)
        return torch.cat([logits, -logits], 1) if every else logits


# Cross entropy


def test_one_logit_is_two_classes_whose_logits_differ_by_it(batch):
    _, target, weight = batch
    two = torch.randn(4, 2, 12, 16, generator=torch.Generator().manual_seed(1))
    labels = torch.where(weight > 0, target, 255)[:, 0].long()
    wanted = functional.nll_loss(functional.log_softmax(two, 1), labels, ignore_index=255)
    total, known = blur_loss(two[:, 1:] - two[:, :1], target, weight)
    assert known == weight.sum()
    torch.testing.assert_close(total / known, wanted)


def test_cross_entropy_by_hand():
    logits = torch.tensor([[[[0.0, np.log(3.0)]], [[np.log(3.0), 50.0]]]])  # probabilities 1/2 3/4; 3/4 1
    target, weight = torch.tensor([[[[1.0, 0.0]]]]), torch.ones(1, 1, 1, 2)
    total, known = blur_loss(logits, target, weight)
    assert known == 2
    assert total.item() == pytest.approx(np.log(2) + np.log(4) + np.log(4 / 3) + 50)
    total, known = blur_loss(logits, target, torch.tensor([[[[1.0, 0.0]]]]), torch.full((1, 1, 1, 2), 2.0))
    assert known == 1
    assert total.item() == pytest.approx(2 * (np.log(2) + np.log(4 / 3)))


def test_huge_logits_and_few_bits_give_finite_numbers():
    logits = torch.tensor([[[[300.0, -300.0]]]], dtype=torch.bfloat16)
    total, known = blur_loss(logits, torch.tensor([[[[0.0, 1.0]]]]), torch.ones(1, 1, 1, 2))
    assert total.dtype == known.dtype == torch.float32
    assert total == 600


# Swapped patches


def overlap(place, px):
    return abs(place[0] - place[2]) < px and abs(place[1] - place[3]) < px


@given(px=st.integers(1, 20), more=st.tuples(st.integers(0, 30), st.integers(0, 30)), seed=st.integers(0, 2**32))
@settings(deadline=None)
def test_the_patches_lie_inside_and_apart(px, more, seed):
    shape = (2 * px + more[0], px + more[1])
    for turned in (shape, shape[::-1]):
        places = draw_swaps(np.random.default_rng(seed), 20, turned, px)
        assert places.shape == (20, 4)
        assert (places >= 0).all()
        assert (places[:, [0, 2]] + px <= turned[0]).all()
        assert (places[:, [1, 3]] + px <= turned[1]).all()
        assert not any(overlap(place, px) for place in places)


def test_all_pairs_of_places_are_drawn():
    px, shape = 2, (5, 4)
    places = draw_swaps(np.random.default_rng(0), 4000, shape, px)
    everywhere = [(a, b, c, d) for a in range(4) for b in range(3) for c in range(4) for d in range(3)]
    apart = {frozenset([place[:2], place[2:]]) for place in everywhere if not overlap(place, px)}
    assert {frozenset([tuple(place[:2]), tuple(place[2:])]) for place in places.tolist()} == apart


def test_swapped_like_a_slow_loop_and_twice_is_as_before(batch):
    images, px = batch[0], 4
    places = draw_swaps(np.random.default_rng(3), 4, (12, 16), px)
    wanted = images.numpy().copy()
    for n, (a, b, c, d) in enumerate(places):
        wanted[n, :, a : a + px, b : b + px] = images[n, :, c : c + px, d : d + px]
        wanted[n, :, c : c + px, d : d + px] = images[n, :, a : a + px, b : b + px]
    kept, swapped = images.clone(), swap(images, places, px)
    np.testing.assert_array_equal(swapped.numpy(), wanted)
    assert torch.equal(images, kept)
    assert torch.equal(swap(swapped, places, px), images)
    assert not torch.equal(swapped, images)


# All together


def test_without_swaps_the_loss_is_the_mean_cross_entropy(batch):
    images, target, weight = batch
    model = Doubled()
    pieces = training_loss(model, images, target, weight, LossParams(deep_supervision=False))
    raw = functional.binary_cross_entropy_with_logits(model(images), target, reduction="none")
    torch.testing.assert_close(pieces.loss(0.2), raw[weight > 0].mean())
    deep = training_loss(model, images, target, weight, LossParams())
    other = functional.binary_cross_entropy_with_logits(-model(images), target, reduction="none")
    torch.testing.assert_close(deep.loss(0.2), (raw + other)[weight > 0].mean())


def test_the_loss_of_zhang_and_yan_by_a_slow_loop(batch):
    """A model that looks at its place, so that a swapped prediction is not the prediction for the swapped image."""
    images, target, weight = batch
    hardness = 1 + (images[:, :1] > 0.7).float()

    class Placed(Doubled):
        def forward(self, x, every=False):
            return super().forward(x, every) + torch.linspace(-1, 1, x.shape[-1])

    model, px = Placed(), 5
    places = draw_swaps(np.random.default_rng(0), 4, (12, 16), px)
    params = LossParams(swap_px=px, consistency=0.2, deep_supervision=False)
    pieces = training_loss(model, images, target, weight, params, places, hardness)
    assert model.calls == 1
    assert pieces.known == weight.sum()
    assert pieces.pixels == target.numel()

    copies = [swap(values, places, px) for values in (images, target, weight, hardness)]
    plain = torch.sigmoid(model(images)).detach().double().numpy()
    after = torch.sigmoid(model(copies[0])).detach().double().numpy()
    entropy = 0.0
    for chance, (_, truth, known, hard) in ((plain, (images, target, weight, hardness)), (after, copies)):
        truth, scale = truth.numpy(), (known * hard).numpy()
        entropy += -(scale * (truth * np.log(chance) + (1 - truth) * np.log(1 - chance))).sum() / weight.sum().item()
    moved = swap(torch.from_numpy(plain), places, px).numpy()
    assert pieces.loss(0.2).item() == pytest.approx(entropy + 0.2 * np.abs(after - moved).mean(), rel=1e-5)
    assert np.abs(after - moved).mean() > 0.01


def test_a_model_that_is_blind_to_places_agrees_with_itself(batch):
    images, target, weight = batch
    places = draw_swaps(np.random.default_rng(0), 4, (12, 16), 4)
    pieces = training_loss(Doubled(), images, target, weight, LossParams(swap_px=4), places)
    assert pieces.distance < 1e-4
    once = training_loss(Doubled(), images, target, weight, LossParams())
    torch.testing.assert_close(pieces.entropy, 2 * once.entropy)


def test_pieces_of_parts_make_the_gradient_of_the_whole(batch):
    """Two processes, each with its own share of unknown pixels; the mean of their gradients."""
    images, target, weight = batch
    weight[:2] *= (torch.rand(2, 1, 12, 16, generator=torch.Generator().manual_seed(2)) > 0.6).float()
    places = draw_swaps(np.random.default_rng(0), 4, (12, 16), 4)
    params = LossParams(swap_px=4)

    def pieces_of(part):
        model = Doubled()
        return model, training_loss(model, images[part], target[part], weight[part], params, places[part])

    parts = [pieces_of(part) for part in (slice(0, 2), slice(2, 4))]
    known = sum(pieces.known for _, pieces in parts) / 2
    for _, pieces in parts:
        pieces._replace(known=known).loss(0.2).backward()
    model, whole = pieces_of(slice(None))
    whole.loss(0.2).backward()
    torch.testing.assert_close(sum(model.gain.grad for model, _ in parts) / 2, model.gain.grad)


def test_where_nothing_is_known_the_loss_is_zero(batch):
    images, target, weight = batch
    pieces = training_loss(Doubled(), images, target, 0 * weight, LossParams())
    assert pieces.loss(0.2) == 0
    assert isinstance(pieces, Pieces)


# Hard regions


def test_what_is_hard_by_hand():
    salient = np.array([[True, True, True], [False, False, False]])
    mask = np.uint8([[0, 255, 128], [0, 255, 128]])
    np.testing.assert_array_equal(hard_weight(salient, mask, 2), np.float32([[1, 2, 1], [2, 1, 1]]))
    assert hard_weight(salient, mask, 2).dtype == np.float32


@pytest.mark.parametrize(("dtype", "full"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1)])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_what_stands_out_is_salient(dtype, full, channels):
    image = np.full((96, 128, channels), 0.5)
    image += np.random.default_rng(0).normal(0, 0.01, image.shape)
    image[40:52, 70:84] += 0.4
    image = (image * full).astype(dtype)
    kept, salient = image.copy(), saliency_map(image)
    assert salient.shape == (96, 128)
    assert salient.dtype == bool
    rows, columns = np.nonzero(salient)
    assert abs(rows.mean() - 46) < 6
    assert abs(columns.mean() - 77) < 8
    assert 0.005 < salient.mean() < 0.3
    np.testing.assert_array_equal(image, kept)
    np.testing.assert_array_equal(saliency_map(image), salient)


def test_without_the_contributed_modules_the_error_says_what_to_install(monkeypatch):
    monkeypatch.delattr(cv2, "saliency", raising=False)
    with pytest.raises(DependencyError, match="pip install --force-reinstall opencv-contrib-python"):
        saliency_map(np.zeros((32, 32, 3), np.uint8))
