"""The card of a model: what it was trained on, what it scores, what it can't do. Needs torch."""

import json
import re
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from helpers_shards import make, write_photos
from PIL import Image

pytest.importorskip("torch")
pytest.importorskip("safetensors")

from blurgen.dataset.manifest import read_manifest
from blurgen.errors import ModelError
from blurgen.evaluation.metrics import image_scores
from blurgen.sources.labelled import open_labelled
from blurgen.training import card
from blurgen.training.options import Execution
from blurgen.training.params import PRESETS
from blurgen.training.predict import predict
from blurgen.training.run import load_model
from blurgen.training.session import train_model
from blurgen_cli.main import main

TINY = PRESETS["default"].with_values(
    {
        "model": "unet-xs",
        "augment.size": "32x32",
        "batch.size": 4,
        "batch.steps": 0,
        "batch.epochs": 1,
        "batch.val_share": 0.25,
    }
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("card")
    make(write_photos(root / "photos", 4), root / "shards", root / "cache", n=12)
    train_model([root / "shards"], root / "run", TINY, how=Execution(notes=root, device="cpu", workers=0))
    for name in ("image", "mask"):
        (root / "real" / name).mkdir(parents=True)
    for number, path in enumerate(sorted((root / "photos").iterdir())[:3]):
        photo = np.asarray(Image.open(path).convert("RGB"))
        Image.fromarray(photo).save(root / "real" / "image" / f"{number}.png")
        mask = np.zeros(photo.shape[:2], np.uint8)
        mask[:, : photo.shape[1] // 2] = 255
        Image.fromarray(mask).save(root / "real" / "mask" / f"{number}.png")
    return root


def test_it_names_the_data_the_recipe_the_scores_and_the_limits(root):
    real = open_labelled(root / "real", "white")
    text = card.write_card(root / "run", [root / "shards"], real).read_text()
    manifest = read_manifest(root / "shards")
    assert manifest["digest"] in text
    assert f"recipe {manifest['recipe']['name']}" in text
    assert "12 pairs of 4 photos" in text
    best = json.loads((root / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert f"AUC {best['auc']:.3f}" in text
    rows = [line for line in text.splitlines() if re.search(r"\| \d?\.?\d+ \[", line)]
    assert len(rows) == len(card.SETTINGS) + len(card.DETECTORS)
    assert all(f"- {limit}" in text for limit in card.LIMITS)
    model, _ = load_model(root / "run")
    examples = map(real.read, range(3))
    made = [image_scores(predict(model, photo, tta="scales", spread=True), mask)[0] for photo, mask in examples]
    assert f"| this model, as `blurgen predict` makes them | {np.mean(made):.3f} [" in text


def test_without_real_photos_it_says_so(root):
    text = card.write_card(root / "run", [root / "shards"]).read_text()
    assert "It was not tried on real photos." in text


def test_other_data_sets_are_refused(root):
    make(root / "photos", root / "others", root / "cache", n=8, seed=1)
    with pytest.raises(ModelError, match="trained on other data sets"):
        card.write_card(root / "run", [root / "others"])


@pytest.mark.parametrize("text", [None, "no JSON", "[1]", '{"val_loss": "low", "auc": 1, "ap": 1}', "[" * 100_000])
def test_metrics_are_hostile_until_checked(root, tmp_path, text):
    run = shutil.copytree(root / "run", tmp_path / "run")
    (run / "metrics.jsonl").unlink()
    if text:
        (run / "metrics.jsonl").write_text(text)
    with pytest.raises(ModelError, match=r"metrics\.jsonl"):
        card.write_card(run, [root / "shards"])


def test_a_baseline_that_is_not_defined_is_left_out(root, tmp_path):
    run = shutil.copytree(root / "run", tmp_path / "run")
    (run / "metrics.jsonl").write_text('{"val_loss": 0.5, "auc": 0.7, "ap": 0.6, "laplacian_auc": null}\n')
    text = card.write_card(run, [root / "shards"]).read_text()
    assert "AUC 0.700, AP 0.600." in text
    assert "Laplacian" not in text


def test_a_file_is_no_run(root):
    with pytest.raises(ModelError, match="no folder"):
        card.write_card(root / "run" / "best.safetensors", [root / "shards"])


def test_by_the_command_line(root):
    def run(*arguments):
        return CliRunner().invoke(main, ["card", str(root / "run"), *map(str, arguments)])

    done = run(root / "shards", "--real", root / "real", "--real-blurred", "white")
    assert done.exit_code == 0, done.output
    assert done.stdout == f"written: {root / 'run' / 'README.md'}\n"
    assert json.loads(run(root / "shards", "--json").stdout) == {"card": str(root / "run" / "README.md")}
    assert run(root / "nothing").exit_code == 7
    assert run(root / "shards", "--real", root / "real").exit_code == 2
    assert run(root / "shards", "--real-masks", "mask").exit_code == 2
