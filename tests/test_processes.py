"""Several processes train one model. Needs torch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers_shards import make, write_photos

torch = pytest.importorskip("torch")

from blurgen.errors import ArgumentError  # noqa: E402
from blurgen.training.processes import choose_device  # noqa: E402

PROGRAM = Path(__file__).parent / "helpers_processes.py"
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    root = tmp_path_factory.mktemp("processes")
    make(write_photos(root / "photos", 4), root / "shards", root / "cache", n=20)
    return root / "shards"


def run(*arguments):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, env=environment, timeout=300
    )


def test_two_processes_come_to_what_one_comes_to(shards, tmp_path):
    """Of a model without batch norm, whose statistics are those of each process's own examples."""
    two = run(*TORCHRUN, PROGRAM, "vgg16-fcn", shards, tmp_path / "two")
    assert two.returncode == 0, two.stderr
    assert "processes 2 steps 3" in two.stdout  # 15 pairs, 5 a step
    one = run(PROGRAM, "vgg16-fcn", shards, tmp_path / "one")
    assert one.returncode == 0, one.stderr
    found = [torch.load(tmp_path / name / "flat.pt") for name in ("one", "two")]
    assert torch.allclose(*found, atol=1e-4)
    scores = [json.loads((tmp_path / name / "metrics.jsonl").read_text()) for name in ("one", "two")]
    assert scores[0]["val_loss"] == pytest.approx(scores[1]["val_loss"], rel=1e-3)
    assert scores[0]["loss"] == pytest.approx(scores[1]["loss"], rel=1e-3)


def test_processes_end_with_equal_weights_and_statistics(shards, tmp_path):
    done = run(*TORCHRUN, PROGRAM, "unet-xs", shards, tmp_path / "run")  # compares them itself
    assert done.returncode == 0, done.stderr


def test_the_command_runs_under_torchrun(shards, tmp_path):
    options = ("--model", "unet-xs", "--crop", "32", "--batch", "4", "--steps", "4", "--device", "cpu")
    done = run(*TORCHRUN, "-m", "blurgen.training", shards, *options, "--out", tmp_path / "run", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps_done_now"] == 4  # printed once
    assert (tmp_path / "run/best.safetensors").exists()
    again = run(*TORCHRUN, "-m", "blurgen.training", shards, *options, "--out", tmp_path / "run")
    assert again.returncode != 0
    said = [line for line in again.stderr.splitlines() if line.startswith("blurgen: error")]
    assert said
    assert all("holds a run" in line for line in said)


def test_where_to_compute():
    assert choose_device("cpu").type == "cpu"
    if not torch.cuda.is_available():
        assert choose_device("auto").type == "cpu"
        with pytest.raises(ArgumentError, match="--device cpu"):
            choose_device("cuda")
