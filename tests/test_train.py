"""Training, end to end, on tiny sets: what it writes, that it can be interrupted, and what it refuses. Needs torch."""

import io
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from helpers_shards import RECIPE, make, photo_crop, write_photos
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from blurgen.errors import ArgumentError, ModelError, OutputError, ShardError, TrainingError  # noqa: E402
from blurgen.training.explaining import explained  # noqa: E402
from blurgen.training.options import Execution, Real  # noqa: E402
from blurgen.training.params import PRESETS, load_preset  # noqa: E402
from blurgen.training.run import load_model  # noqa: E402
from blurgen.training.session import train_model  # noqa: E402
from blurgen.training.weights import read_safetensors  # noqa: E402
from blurgen_cli.main import main  # noqa: E402

TINY = PRESETS["default"].with_values(
    {
        "model": "unet-xs",
        "augment.size": "32x32",
        "batch.size": 4,
        "batch.steps": 0,
        "batch.epochs": 2,
        "batch.val_share": 0.25,
    }
)
OPTIONS = ("--model", "unet-xs", "--crop", "32", "--batch", "4", "--epochs", "2", "--val", "0.25", "--device", "cpu")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """24 pairs of 48 x 48 px of 4 photos."""
    root = tmp_path_factory.mktemp("train")
    make(write_photos(root / "photos", 4), root / "shards", root / "cache", n=24, pairs_per_shard=10)
    return root


def train(root, out, params=TINY, workers=1, cache="none", **options):
    how = Execution(workers=workers, cache=cache, notes=root / "cache", device="cpu")
    return train_model([root / "shards"], out, params, how=how, **options)


def weights(out):
    return read_safetensors(out / "best.safetensors")[0]


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def blurgen(root, *arguments, **variables):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "BLURGEN_CACHE": str(root / "cache")} | variables
    program = [sys.executable, "-m", "blurgen.training"]
    return subprocess.run([*program, *map(str, arguments)], capture_output=True, text=True, env=environment, cwd=root)


@pytest.fixture(scope="module")
def finished(root):
    """An undisturbed run by the command line."""
    done = blurgen(root, "shards", *OPTIONS, "--out", "finished", "--json")
    assert done.returncode == 0, done.stderr
    return root / "finished", json.loads(done.stdout)


# What it writes -------------------------------------------------------------------------------------------------------


def test_a_run_leaves_model_configuration_metrics_and_curves(finished):
    out, summary = finished
    assert {path.name for path in out.iterdir()} >= {
        "best.safetensors", "config.toml", "metrics.jsonl", "curves.png", "last.pt",
    }  # fmt: skip
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows[-1]["step"] == summary["steps"] == summary["steps_done_now"]
    assert summary["best"] in rows
    assert all(0 <= row["auc"] <= 1 and row["val_loss"] > 0 for row in rows)


def test_the_configuration_records_the_data_and_reads_back(root, finished):
    out, summary = finished
    _, config = load_model(out)
    manifest = json.loads((root / "shards/manifest.json").read_text())
    assert config.data.shards == [manifest["digest"]]
    assert config.data.pairs == summary["pairs"] == 18
    assert config.data.held_out == summary["held_out"] == 6
    assert (out / "config.toml").read_text() == read_safetensors(out / "best.safetensors")[1]["blurgen_config"]


def test_a_preset_can_be_the_configuration_of_a_run(root, finished, tmp_path):
    done = blurgen(root, "shards", "--preset", finished[0] / "config.toml", "--out", tmp_path / "again")
    assert done.returncode == 0, done.stderr
    assert same(weights(finished[0]), weights(tmp_path / "again"))


def test_a_dry_run_writes_nothing(root, tmp_path):
    done = train(root, tmp_path / "run", dry_run=True)
    assert done.steps_done_now == 4
    assert not (tmp_path / "run").exists()


# Repeatable, whatever happens -----------------------------------------------------------------------------------------


def test_threads_and_caches_change_nothing(root, finished, tmp_path):
    for name, options in {"none": {"workers": 0}, "three": {"workers": 3}, "ram": {"cache": "ram"}}.items():
        train(root, tmp_path / name, **options)
        assert same(weights(finished[0]), weights(tmp_path / name))


def test_another_seed_gives_another_model(root, finished, tmp_path):
    train(root, tmp_path / "run", seed=1)
    assert not same(weights(finished[0]), weights(tmp_path / "run"))


@pytest.mark.parametrize("moment", ["published:last.pt", "written:last.pt", "renamed:best.safetensors"])
def test_killed_and_resumed_it_ends_the_same_to_the_bit(root, finished, tmp_path, moment):
    arguments = ("shards", *OPTIONS, "--checkpoint-every", "2", "--out", tmp_path / "run")
    killed = blurgen(root, *arguments, BLURGEN_DIE_AT=moment)
    assert killed.returncode == -signal.SIGKILL
    resumed = blurgen(root, *arguments, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert same(weights(finished[0]), weights(tmp_path / "run"))
    names = ("metrics.jsonl", "config.toml", "curves.png")
    assert all((finished[0] / name).read_bytes() == (tmp_path / "run" / name).read_bytes() for name in names)
    assert not list((tmp_path / "run").glob(".blurgen-tmp-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_keeps_the_steps_that_are_done(root, tmp_path, number):
    arguments = (*OPTIONS[:6], "--steps", "3000", "--val", "0", "--out", tmp_path / "run")
    environment = os.environ | {"BLURGEN_CACHE": str(root / "cache")}
    program = [sys.executable, "-m", "blurgen.training", "shards", *map(str, arguments)]
    running = subprocess.Popen(program, stderr=subprocess.PIPE, text=True, env=environment, cwd=root)
    deadline = time.monotonic() + 60
    while not (tmp_path / "run/metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(number)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    step = int(re.fullmatch(r"blurgen: error: interrupted after step (\d+); .*--resume.*\n", said)[1])
    assert torch.load(tmp_path / "run/last.pt", weights_only=True)["progress"]["step"] == step


def test_resumed_with_nothing_but_the_folder_of_the_run(root, finished, tmp_path):
    killed = blurgen(root, "shards", *OPTIONS, "--seed", "3", "--out", tmp_path / "run", BLURGEN_DIE_AT="begun:last.pt")
    assert killed.returncode == -signal.SIGKILL
    resumed = blurgen(root, "shards", "--out", tmp_path / "run", "--resume", "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert load_model(tmp_path / "run")[1].data.seed == 3


def test_dropout_swapped_patches_momentum_and_averages_resume_to_the_bit(root, tmp_path):
    """The model's own noise hangs on the step, not on what a process drew before."""
    changes = {"model": "gradient-unet", "loss.hard_weight": 2.0, "loss.swap_px": 8, "optimizer.averaging": 2.0}
    (tmp_path / "p.toml").write_text(TINY.with_values(changes | {"optimizer.kind": "sgd"}).to_toml())
    arguments = ("shards", "--preset", tmp_path / "p.toml", "--steps", "4", "--checkpoint-every", "2", "--out")
    assert blurgen(root, *arguments, tmp_path / "whole").returncode == 0
    assert blurgen(root, *arguments, tmp_path / "run", BLURGEN_DIE_AT="published:last.pt").returncode == -signal.SIGKILL
    resumed = blurgen(root, *arguments, tmp_path / "run", "--resume", "--json")
    assert json.loads(resumed.stdout)["steps_done_now"] == 2, resumed.stderr
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "run"))


def test_averaged_weights_are_the_mean_over_the_steps(root, tmp_path):
    """With a constant rate, a run of n steps ends where a longer one is after n; with power 1 that counts n times."""
    constant = {"optimizer.warmup_share": 0.0, "optimizer.averaging": 0.0, "batch.val_share": 0.0}
    after = []
    for steps in (1, 2, 3):
        train(root, tmp_path / str(steps), TINY.with_values(constant | {"batch.steps": steps}))
        after.append(weights(tmp_path / str(steps)))
    train(root, tmp_path / "mean", TINY.with_values(constant | {"batch.steps": 3, "optimizer.averaging": 1.0}))
    mean = weights(tmp_path / "mean")
    for name in mean:
        if mean[name].is_floating_point():
            expected = sum(step * one[name].double() for step, one in enumerate(after, 1)) / 6
            torch.testing.assert_close(mean[name].double(), expected, rtol=1e-5, atol=1e-7)
        else:
            assert mean[name] == after[-1][name]
    assert not same(mean, after[-1])


def test_real_photos_with_half_of_each_batch_and_alone(root, tmp_path):
    for name in ("image", "gt"):
        (tmp_path / "real" / name).mkdir(parents=True)
    half = np.zeros((64, 64), np.uint8)
    half[:, :32] = 255
    for index in range(4):
        Image.fromarray(photo_crop(index)).save(tmp_path / f"real/image/{index}.jpg")
        Image.fromarray(half).save(tmp_path / f"real/gt/{index}.png")
    real = Real(tmp_path / "real", "white", fraction=0.5)
    both = train(root, tmp_path / "both", real=real)
    row = json.loads((tmp_path / "both/metrics.jsonl").read_text().splitlines()[-1])
    assert both.real_photos == 2
    assert {"val_loss", "auc", "ap", "synthetic_val_loss", "synthetic_auc", "synthetic_ap"} < row.keys()
    alone = train_model([], tmp_path / "alone", TINY, real=real, how=Execution(device="cpu"))
    assert (alone.pairs, alone.real_photos, alone.held_out) == (0, 2, 1)
    config = load_model(tmp_path / "both")[1]
    assert (config.data.real_fraction, len(config.data.real)) == (0.5, 64)


def test_a_finished_run_has_nothing_left_to_do(root, finished):
    before = (finished[0] / "best.safetensors").read_bytes()
    assert train(root, finished[0], resume=True).steps_done_now == 0
    assert (finished[0] / "best.safetensors").read_bytes() == before


def test_early_stopping(root, tmp_path):
    params = TINY.with_values({"batch.epochs": 50, "batch.patience": 1, "optimizer.lr": 0.5})
    done = train(root, tmp_path / "run", params)
    losses = [json.loads(line)["val_loss"] for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert done.steps_done_now < done.steps
    assert losses[-1] > min(losses)
    assert sorted(losses[:-1], reverse=True) == losses[:-1]


# What it refuses ------------------------------------------------------------------------------------------------------


def test_a_folder_that_holds_a_run_is_not_begun_again(root, finished):
    with pytest.raises(OutputError, match="--resume"):
        train(root, finished[0])


def test_a_run_that_is_not_there_is_not_resumed(root, tmp_path):
    with pytest.raises(OutputError, match="holds no run"):
        train(root, tmp_path / "run", resume=True)
    assert not (tmp_path / "run").exists()


def test_a_run_does_not_lie_in_a_data_set(root):
    for out in (root / "shards", root / "shards/deep/run"):
        with pytest.raises(OutputError, match="lies in the data set"):
            train(root, out)
    assert not (root / "shards/deep").exists()


def test_the_same_data_set_twice_is_a_slip(root, tmp_path):
    with pytest.raises(ArgumentError, match="same data set"):
        train_model([root / "shards", root / "shards/"], tmp_path / "run", TINY)


def test_a_run_is_not_resumed_with_other_options(root, finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "run")
    done = blurgen(root, "shards", *OPTIONS, "--lr", "0.1", "--out", tmp_path / "run", "--resume")
    assert done.returncode == 10
    assert done.stderr.count("\n") == 1
    assert "optimizer.lr" in done.stderr


def test_damaged_shards_are_found_once_and_again_when_they_change(root, tmp_path):
    shutil.copytree(root / "shards", tmp_path / "shards")
    train_model([tmp_path / "shards"], tmp_path / "run", TINY, how=Execution(notes=tmp_path / "notes"), dry_run=True)
    assert len(list((tmp_path / "notes/verified").iterdir())) == 1
    path = tmp_path / "shards/shard-00001.h5"
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    with pytest.raises(ShardError, match=r"shard-00001\.h5"):
        train_model([tmp_path / "shards"], tmp_path / "run", TINY, how=Execution(notes=tmp_path / "notes"))
    assert not (tmp_path / "run/config.toml").exists()


def test_images_of_different_kinds_are_refused(root, tmp_path):
    (tmp_path / "grey").mkdir()
    for path in sorted((root / "photos").iterdir()):
        Image.open(path).convert("L").save(tmp_path / "grey" / path.name)
    recipe = RECIPE.with_values({"photo.pixels": "native"})
    make(tmp_path / "grey", tmp_path / "other", tmp_path / "cache", recipe=recipe)
    with pytest.raises(ShardError, match=r"1 x uint8 in .*other"):
        train_model([root / "shards", tmp_path / "other"], tmp_path / "run", TINY, how=Execution(notes=tmp_path))
    done = train_model(
        [tmp_path / "other"], tmp_path / "run", TINY, how=Execution(notes=tmp_path)
    )  # alone they will do
    assert done.steps_done_now == done.steps
    assert load_model(tmp_path / "run")[0].channels == 1


def test_sets_of_several_sizes_go_together(root, tmp_path):
    recipe = RECIPE.with_values({"geometry.size": "40x56"})
    make(root / "photos", tmp_path / "wide", tmp_path / "cache", recipe=recipe)
    done = train_model([root / "shards", tmp_path / "wide"], tmp_path / "run", TINY, how=Execution(notes=tmp_path))
    assert done.pairs + done.held_out == 32


def test_the_former_schema_can_be_trained_on(tmp_path):
    former = Path(__file__).parent / "data" / "schema-2"
    params = TINY.with_values({"batch.epochs": 1, "batch.val_share": 0.0})
    assert train_model([former], tmp_path / "run", params, how=Execution(notes=tmp_path)).steps_done_now > 0


def test_masks_of_one_class_teach_nothing(root, tmp_path):
    recipe = RECIPE.with_values({"mask.p_all_blurred": 1.0})
    make(root / "photos", tmp_path / "shards", tmp_path / "cache", recipe=recipe)
    with pytest.raises(TrainingError, match="every mask is all blurred"):
        train_model([tmp_path / "shards"], tmp_path / "run", TINY, how=Execution(notes=tmp_path))


def test_one_photo_can_not_be_held_out(root, tmp_path):
    make(write_photos(tmp_path / "photos", 1), tmp_path / "shards", tmp_path / "cache")
    with pytest.raises(ArgumentError, match="--val 0"):
        train_model([tmp_path / "shards"], tmp_path / "run", TINY, how=Execution(notes=tmp_path))
    params = TINY.with_values({"batch.val_share": 0.0})
    assert train_model([tmp_path / "shards"], tmp_path / "run2", params, how=Execution(notes=tmp_path)).best is None
    assert (tmp_path / "run2/best.safetensors").exists()


def test_a_loss_that_is_no_number_stops_the_run(root, tmp_path):
    params = PRESETS["ma-2016"].with_values({"augment.size": "32x32", "optimizer.lr": 10, "batch.steps": 40})
    with pytest.raises(TrainingError, match="--lr"):
        train(root, tmp_path / "run", params)


def test_out_of_memory_says_which_flag_to_lower():
    for error in (
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[..] can't allocate memory"),
    ):
        with pytest.raises(TrainingError, match="--batch 16 and --crop 96x96"), explained(PRESETS["default"]):
            raise error
    with pytest.raises(RuntimeError, match="something else"), explained(PRESETS["default"]):
        raise RuntimeError("something else")


def test_a_compiler_that_is_not_there_is_said(root, tmp_path):
    options = ("--model", "unet-xs", "--crop", "32", "--steps", "1", "--device", "cpu", "--compile")
    environment = {"CXX": str(tmp_path / "none"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "compiled")}
    done = blurgen(root, "shards", *options, "--out", tmp_path / "run", **environment)
    assert done.returncode == 8, done.stderr
    assert done.stderr.splitlines()[-1].startswith("blurgen: error: --compile does not work here")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nowhere",), 7, "nowhere"),
        (("shards", "--preset", "zang-2020"), 2, 'did you mean "zhang-2020"'),
        (("shards", "--model", "unet-m"), 2, "model"),
        (("shards", "--batch", "0"), 2, "batch.size"),
        (("shards", "--lr", "nan"), 2, "optimizer.lr"),
        (("shards", "--epochs", "1", "--steps", "1"), 2, "leave one"),
        (("shards", "--real", "x"), 2, "--real-blurred"),
        (("--no-synthetic",), 2, "--real DIR"),
        (("shards", "--no-synthetic", "--real", "x", "--real-blurred", "white"), 2, "--no-synthetic"),
        (("shards", "--real-fraction", "0.5"), 2, "--real DIR"),
        (("shards", "--real", "x", "--real-blurred", "white", "--real-fraction", "2"), 2, "real-fraction"),
        (("shards", "--seed", "-1"), 2, "seed"),
        (("shards", "--crop", "32", "--cache", "gpu"), 2, "--cache gpu"),
        (("shards", "--crop", "64"), 2, "give --crop 48x48"),
        (("shards", "--crop", "32", "--weights", "nowhere.pth"), 10, "nowhere.pth"),
        (("shards", "--device", "cuda"), 2, "--device cpu"),
        (("--export-onnx", "--out", "nowhere"), 10, "nowhere"),
    ],
)
def test_errors_are_one_line(root, monkeypatch, arguments, code, message):
    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.chdir(root)
    monkeypatch.setenv("BLURGEN_CACHE", str(root / "cache"))
    arguments += () if "--out" in arguments else ("--out", "errors")
    done = CliRunner().invoke(main, ["train", *arguments])
    assert done.exit_code == code, done.stderr
    assert message in done.stderr.splitlines()[-1]
    assert done.stderr.startswith("blurgen: error: ")
    assert not (root / "errors/config.toml").exists()


def flip(data):
    """One byte in the middle of a tensor."""
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 255]) + data[len(data) // 2 + 1 :]


def changed(**progress):
    """A checkpoint whose numbers are others."""

    def change(data):
        state = torch.load(io.BytesIO(data), weights_only=True)
        state["progress"] |= progress
        return saved(state)

    return change


def saved(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        lambda data: data[:500],
        lambda data: pickle.dumps(flip),
        lambda data: saved([1, 2]),
        changed(step="3"),
        changed(step=-1),
        changed(step=10**9),
        changed(rows=["abc"]),
        changed(loss_sum=float("nan")),
        changed(surplus=1),
    ],
)
def test_a_damaged_checkpoint_is_refused(root, finished, tmp_path, damage):
    shutil.copytree(finished[0], tmp_path / "run")
    path = tmp_path / "run/last.pt"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelError, match=r"last\.pt"):
        train(root, tmp_path / "run", resume=True)


def test_a_checkpoint_that_is_no_plain_file_ends_at_once(root, finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "run")
    (tmp_path / "run/last.pt").unlink()
    os.mkfifo(tmp_path / "run/last.pt")
    with pytest.raises(ModelError, match=r"last\.pt"):
        train(root, tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "../elsewhere"', "name"),
        ('model = "unet-xl"', 'did you mean "unet-xs"|unet-s'),
        ("[optimizer]\nlearning_rate = 1.0", "did you mean|known are"),
        ("model" + 400 * ".a" + " = 1", "model"),
        ("#" * 30_000, "longer than"),
        ("[[", "not valid TOML"),
    ],
)
def test_presets_are_hostile_until_checked(tmp_path, text, message):
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(ArgumentError, match=message):
        load_preset(str(tmp_path / "p.toml"))


@pytest.mark.parametrize(
    "wrong", [{"WORLD_SIZE": "abc"}, {"WORLD_SIZE": "0"}, {"LOCAL_RANK": "x"}, {"WORLD_SIZE": "2"}]
)
def test_an_environment_that_torchrun_did_not_set_is_said(root, tmp_path, monkeypatch, wrong):
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(main, ["train", str(root / "shards"), *OPTIONS, "--out", str(tmp_path / "run")])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "torchrun" in done.stderr
