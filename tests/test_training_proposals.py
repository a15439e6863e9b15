"""Training the shipped weights: repeatable, and what is trained is what runs. Needs torch."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import skimage.data
from PIL import Image
from scipy.io import savemat

torch = pytest.importorskip("torch")

from blurgen.proposals import network  # noqa: E402
from blurgen.proposals.features import FEATURES  # noqa: E402
from blurgen.proposals.ranking import _perceptron  # noqa: E402
from blurgen.training.proposals import bsds, contours, scores  # noqa: E402


@pytest.fixture(scope="module")
def examples():
    photo = skimage.data.chelsea()[:256, :320]
    segments = np.zeros((2, *photo.shape[:2]), np.uint16)
    segments[:, 60:200, 80:260] = 1
    segments[1, 100:150, 120:200] = 2
    return [bsds.Example(photo, segments), bsds.Example(photo[:, ::-1], segments[:, :, ::-1])]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_same_seed_same_weights(examples):
    packed = [contours.quantize(contours.train(examples, 3, seed), examples) for seed in (0, 0, 1)]
    assert packed[0] == packed[1] != packed[2]


def test_whole_numbers_follow_the_trained_network(examples):
    trained = contours.train(examples, 12, 0)
    packed = network.Network(contours.quantize(trained, examples))
    lab = ((contours.to_lab(examples[0].photo)) * 128 + 128).astype(np.uint8)
    with torch.no_grad():
        real = torch.sigmoid(
            trained(torch.from_numpy(contours.to_lab(examples[0].photo).transpose(2, 0, 1)[None].copy()))
        )
    error = packed.run(lab) / 255 - real[0].numpy()
    assert np.abs(error).mean() < 0.02


def test_target_is_the_share_of_annotators_near_a_border(examples):
    segments = np.zeros((9, 9), np.uint16)
    segments[:, 5:] = 1
    near = contours._nearness(segments)
    assert near[:, 4:6].min() == 1
    assert np.allclose(near[4, 6], np.exp(-0.5), atol=0.04)  # distances are to 5 %
    assert near[:, 0].max() < 1e-3
    lab, target = contours.draw_crop(examples[0], np.random.default_rng(3))
    assert lab.shape == (3, 240, 240)
    assert target.shape == (240, 240)
    assert np.abs(lab).max() <= 1
    assert 0 <= target.min() <= target.max() <= 1


def test_jaccard_indices_match_a_loop_over_pixels():
    rng = np.random.default_rng(0)
    labels, segments = rng.integers(0, 7, (20, 30)), rng.integers(0, 4, (2, 20, 30)).astype(np.uint16)
    labels.ravel()[:7] = range(7)
    masks = rng.random((5, 7)) < 0.5
    masks[:, 0] = True
    slow = []
    for annotated in segments:
        for number in range(4):
            segment = annotated == number
            slow.append([(segment & m[labels]).sum() / (segment | m[labels]).sum() for m in masks])
    assert np.allclose(bsds.jaccard_indices(segments, labels, masks), slow)


def test_target_scores_by_hand():
    overlaps = np.array([[0.8, 0.4, 0.0], [0.0, 0.1, 0.15]])
    # The first object: 1, 1/2, 0. The second is found by nobody: .1 and .15 of .3.
    assert np.allclose(scores.target_scores(overlaps), [1, 0.25, 0.25])


def test_fitted_score_runs_as_trained():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(100_000, len(FEATURES)))
    targets = np.clip(0.5 + 0.3 * features[:, 2], 0, 1)
    arrays = scores.fit([scores.Pool(features, targets)], 0)
    assert [array.shape for array in arrays] == [(2, 30), (32, 30), (32,), (16, 32), (16,), (1, 16), (1,)]
    found = _perceptron(features, *arrays)
    assert np.abs(found - targets).mean() < 0.05
    again = scores.fit([scores.Pool(features, targets)], 0)
    assert all(np.array_equal(one, two) for one, two in zip(arrays, again, strict=True))


def training(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "blurgen.training.proposals", *map(str, arguments)], capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def bsds_root(tmp_path_factory, examples):
    root = tmp_path_factory.mktemp("bsds")
    for folder in ("images/train", "groundTruth/train"):
        (root / folder).mkdir(parents=True)
    for number, example in enumerate(examples):
        Image.fromarray(np.ascontiguousarray(example.photo)).save(root / f"images/train/{number}.jpg", quality=95)
        entries = np.empty((1, len(example.segments)), object)
        for place, segments in enumerate(example.segments):
            entries[0, place] = {"Segmentation": segments}
        savemat(root / f"groundTruth/train/{number}.mat", {"groundTruth": entries})
    return root


def test_commands_make_both_files(bsds_root, tmp_path):
    for half in ("even", "odd"):
        done = training(
            "contours", "--bsds", bsds_root, "--photos", half, "--steps", 2, "--out", tmp_path / f"{half}.npz"
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"written: {tmp_path / half}.npz\n"
    halves = ("--even", tmp_path / "even.npz", "--odd", tmp_path / "odd.npz")
    done = training("scores", "--bsds", bsds_root, *halves, "--out", tmp_path / "scores.npz")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "scores.npz") as arrays:
        assert {name.split(".")[0] for name in arrays.files} == {"learned", "gradient"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("contours", "--bsds", "nowhere", "--out", "x.npz"), 4, "no photo in images/train"),
        (
            ("scores", "--bsds", "{root}", "--even", "no.npz", "--odd", "no.npz", "--out", "x.npz"),
            4,
            "no contour network",
        ),
        (("contours", "--bsds", "{root}", "--steps", "1", "--out", "no/where/x.npz"), 6, "no/where"),
        (("contours", "--bsds", "{root}", "--steps", "0", "--out", "x.npz"), 2, "1 or more"),
    ],
)
def test_errors_are_one_line(bsds_root, arguments, code, message):
    done = training(*(text.format(root=bsds_root) for text in arguments))
    assert done.returncode == code
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_damaged_annotation_is_named(bsds_root, tmp_path):
    shutil.copytree(bsds_root, tmp_path / "bsds")
    (tmp_path / "bsds/groundTruth/train/1.mat").write_bytes(b"no mat file")
    with pytest.raises(bsds.SourceError, match=r"1\.mat"):
        bsds.read_examples(tmp_path / "bsds", "train")


def test_no_photos_is_said_so(tmp_path):
    with pytest.raises(bsds.SourceError, match="no photo in images/train"):
        bsds.read_examples(tmp_path, "train")
