"""The README is true: every command line and every line of Python in it runs."""

import os
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from blurgen_cli.main import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
MANY = {re.compile(r"--n \d+"): "--n 12", re.compile(r"--steps \d+"): "--steps 2"}
NEED_TORCH = ("blurgen train", "blurgen card", "--model runs")


def name_of(index):
    """As CUHK names its photos: two of each type of blur."""
    return f"{('motion', 'out_of_focus')[index % 2]}{index // 2 + 1:04d}"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def command_lines():
    return [line for block in blocks("console") for line in block.splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, request):
    """A folder with photos, a VOC tree and the command on the path, as a reader would have it."""
    root = tmp_path_factory.mktemp("readme")
    (root / "photos").mkdir()
    for name, photo in (("astronaut.jpg", data.astronaut()), ("cat.png", data.chelsea())):
        Image.fromarray(photo[:200, 100:360]).save(root / "photos" / name)
    for name in ("image", "gt"):
        (root / "CUHK" / name).mkdir(parents=True)
    for index in range(4):
        Image.fromarray(data.rocket()[:, 100 * index :][:128, :140]).save(root / f"CUHK/image/{name_of(index)}.jpg")
        Image.fromarray(np.pad(np.zeros((128, 70), np.uint8), ((0, 0), (70, 0)), constant_values=255)).save(
            root / f"CUHK/gt/{name_of(index)}.png"
        )
    return root


def test_every_command_line_of_the_readme_runs(folder, voc_root):
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "BLURGEN_CACHE": str(folder / "cache"),
        "BLURGEN_VOC": str(voc_root),
    }
    lines = command_lines()
    assert len(lines) >= 10
    for line in lines:
        if line.startswith("make "):
            assert re.search(rf"^{shlex.split(line)[1]}:", (ROOT / "Makefile").read_text(), re.M)
            continue
        assert line.startswith("blurgen ")
        if any(part in line for part in NEED_TORCH) and find_spec("torch") is None:
            continue
        few = line if "--steps" in line or not line.startswith("blurgen train") else f"{line} --steps 2"
        for pattern, number in MANY.items():
            few = pattern.sub(number, few)
        done = subprocess.run(few, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{line}: {done.stderr}"
    assert (folder / "preview.png").is_file()


def test_the_python_of_the_readme_runs(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BLURGEN_CACHE", str(folder / "cache"))
    for code, printed in zip(blocks("python"), ("100 (256, 256, 3) ", "200 True ["), strict=True):
        assert len([line for line in code.splitlines() if line.strip()]) <= 12
        exec(code, {})
        assert capsys.readouterr().out.startswith(printed)


def test_every_command_stands_in_the_readme():
    for name in main.commands:
        assert f"blurgen {name}" in README


def test_what_the_readme_links_to_is_there():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).is_file(), target


FIGURES = {  # table in benchmarks/results -> what its rows look like in the README, and how many there are at least
    "proposals": (r"^\| .*(?: \| 0\.\d{3}){4} \|.*$", 8),
    "temperature": (r"^\| (?:contours, score|learned, learned|gradient, hand-made) \|.*$", 3),
    "synthesis": (r"^\| [^|]* \| \d+\.\d \| \d+\.\d \| \d+\.\d \| \d+% \|$", 6),
    "reader": (r"^\| (?:jpeg|raw) \| .*$", 9),
    "training": (r"^\| (?:(?:Laplacian|unet)[^|]* \| ?\d* \| ?\d* \| 0|(?:none|ram|OpenCV)[^|]* \| \d \| \d).*$", 8),
    "detectors": (r"^\| (?:laplacian|gradient|svd|lbp|hifst|chakrabarti|liu|shi|constant) \| 0.*$", 9),
    "noise": (r"^\| [^|]* \| \d+ \| 0\.\d\d \(.*\) \|$", 3),
}


@pytest.mark.parametrize("table", FIGURES)
def test_figures_of_the_readme_come_from_the_benchmark(table):
    pattern, least = FIGURES[table]
    results = (ROOT / "benchmarks" / "results" / f"{table}.md").read_text()
    quoted = re.findall(pattern, README, re.M)
    assert len(quoted) >= least
    assert all(row in results for row in quoted)
