"""The command line: light to start, one line for an error, an exit code for each kind."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from skimage import data

from blurgen import errors
from blurgen_cli.main import main

COMMANDS = sorted(main.commands)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three photos, and a data set of 30 pairs made from them by the command line."""
    root = tmp_path_factory.mktemp("cli")
    (root / "photos").mkdir()
    for name, photo in (("a.png", data.astronaut()), ("b.jpg", data.chelsea()), ("c.jpg", data.coffee())):
        Image.fromarray(photo[40:200, 100:300]).save(root / "photos" / name)
    (root / "photos" / "broken.jpg").write_bytes(b"not a photo at all")
    made = run(root, "make", "--source", "folder", "--root", "photos", "--n", "30", "--size", "64", "--workers", "2")
    assert made.exit_code == 0, made.output
    return root


def run(cwd, *arguments, env=None):
    """Run a command in ``cwd`` in this process."""
    before = os.getcwd()
    os.chdir(cwd)
    try:
        return CliRunner().invoke(main, arguments, env={"BLURGEN_CACHE": str(cwd / "cache"), **(env or {})})
    finally:
        os.chdir(before)


def one_line(result):
    """The one line that an error prints, checked."""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("blurgen: error: ")
    assert "Traceback" not in result.output
    return lines[0]


def test_starting_imports_nothing_heavy():
    code = "import sys, blurgen_cli.main; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not loaded & {
        "numpy",
        "cv2",
        "torch",
        "scipy",
        "skimage",
        "h5py",
        "pydantic",
        "PIL",
        "higra",
        "joblib",
        "tqdm",
    }


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_every_command_and_every_option_has_help(command):
    assert CliRunner().invoke(main, [*command, "--help"]).exit_code == 0
    for name in command:
        assert main.commands[name].help
        assert all(param.help for param in main.commands[name].params if param.param_type_name == "option")


def test_generating_needs_no_torch(folder):
    code = "import sys; sys.modules['torch'] = None; from blurgen_cli.main import main; main()"
    arguments = [sys.executable, "-c", code, "preview", "--pairs", "1", "--out", "one.png"]
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_make_says_what_it_made_and_what_it_left_out(folder):
    again = run(folder, "make", "--source", "folder", "--root", "photos", "--n", "30", "--size", "64")
    assert again.exit_code == 0
    assert "0, it was all there" in again.output
    assert "30 pairs" in again.output
    assert "3 used, 1 quarantined" in again.output
    assert "broken.jpg: " in again.output


def test_verify_is_0_for_a_good_set_and_1_with_the_name_of_a_bad_shard(folder, tmp_path):
    good = run(folder, "verify")
    assert good.exit_code == 0
    assert good.output.startswith("ok: 30 pairs in ")
    subprocess.run(["cp", "-r", folder / "shards", tmp_path / "bad"], check=True)
    shard = tmp_path / "bad" / "shard-00001.h5"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    bad = run(tmp_path, "verify", "bad")
    assert bad.exit_code == 1
    assert "shard-00001.h5" in bad.stderr
    assert "shard-00000.h5" not in bad.stderr
    listed = json.loads(run(tmp_path, "verify", "bad", "--json").stdout)
    assert listed["ok"] is False
    assert len(listed["faults"]) == 1


def test_info_and_recipes_print_for_people_and_as_json(folder):
    found = json.loads(run(folder, "info", "--json").stdout)
    assert found["pairs"] == 30
    assert found["sizes"] == {"64x64": 30}
    assert sum(found["blur_kinds"].values()) == 30
    assert found["quarantined"][0]["id"] == "broken.jpg"
    text = run(folder, "info").output
    assert found["digest"] in text
    listed = json.loads(run(folder, "recipes", "--json").stdout)
    assert {"alvarez-gila-2019", "weak-2019"} <= {recipe["name"] for recipe in listed}
    assert "p_invert = 0.75" in run(folder, "recipes", "alvarez-gila-2019").output
    assert json.loads(run(folder, "recipes", "weak-2019", "--json").stdout)["mask"]["kinds"] == {"largest-object": 1.0}


def test_info_prints_every_amount_that_occurs(folder, tmp_path):
    mine = "[blur]\ndefocus_kinds = { disk = 1.0, gaussian = 1.0 }\nmotion_kinds = { linear-motion = 1.0 }\n"
    (tmp_path / "mine.toml").write_text(mine)
    options = ["--source", "folder", "--root", folder / "photos", "--recipe", "mine.toml", "--size", "64"]
    made = run(tmp_path, "make", *map(str, options), "--n", "12")
    assert made.exit_code == 0, made.output
    found, text = json.loads(run(tmp_path, "info", "--json").stdout), run(tmp_path, "info").output
    for name in ("sigma_px", "radius_px", "length_px"):
        assert found[name]["min"] > 0
        assert name in text


def test_a_printed_recipe_can_be_edited_and_used(folder, tmp_path):
    text = run(folder, "recipes", "standard").stdout
    (tmp_path / "mine.toml").write_text(
        text.replace("p_motion = 0.5", "p_motion = 1.0").replace('"standard"', '"mine"')
    )
    options = ["--source", "folder", "--root", folder / "photos", "--recipe", "mine.toml", "--size", "64x48", "--json"]
    made = run(tmp_path, "make", *map(str, options), "--n", "4", "--out", "moving")
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["pairs"] == 4
    found = json.loads(run(tmp_path, "info", "moving", "--json").stdout)
    assert found["recipe"] == "mine"
    assert found["blur_kinds"] == {"nonlinear-motion": 4}
    assert found["sizes"] == {"64x48": 4}


def test_preview_draws_shards_a_source_and_by_default_what_is_there(folder, tmp_path):
    shown = run(folder, "preview", "shards", "--pairs", "5", "--out", "a.png", "--json")
    assert [pair["pair"] for pair in json.loads(shown.stdout)["pairs"]] == [0, 6, 12, 18, 24]
    assert np.asarray(Image.open(folder / "a.png")).std() > 10
    assert "of shards" in run(folder, "preview").output
    from_source = ["--source", "folder", "--root", str(folder / "photos"), "--size", "64", "--pairs", "3"]
    assert "of real on folder" in run(tmp_path, "preview", *from_source).output
    assert "of real on sample" in run(tmp_path, "preview", "--pairs", "2").output
    assert (tmp_path / "preview.png").exists()


def broken_manifest(tmp_path):
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "manifest.json").write_text("{")


def occupied(tmp_path):
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "thesis.tex").write_text("mine")


@pytest.mark.parametrize(
    ("arguments", "kind", "said", "prepare"),
    [
        (["make", "--n", "0"], errors.ArgumentError, "n is 0", None),
        (["make", "--n", "-5"], errors.ArgumentError, "n is -5", None),
        (["make", "--n", "5", "--seed", "-1"], errors.ArgumentError, "seed is -1", None),
        (["make", "--n", "5", "--workers", "0"], errors.ArgumentError, "workers is 0", None),
        (["make", "--n", "5", "--recipe", "alvarez"], errors.RecipeError, "did you mean", None),
        (["make", "--n", "5", "--size", "huge"], errors.ArgumentError, '"huge" is no size', None),
        (["make", "--n", "5", "--source", "vok"], errors.SourceError, "did you mean 'voc'", None),
        (["make", "--n", "5", "--source", "voc"], errors.SourceError, "BLURGEN_VOC", None),
        (["make", "--n", "5", "--source", "folder", "--root", "nowhere"], errors.SourceError, "nowhere", None),
        (["make", "--n", "5", "--source", "folder"], errors.SourceError, "--root", None),
        (["make", "--n", "5", "--recipe", "weak-2019"], errors.SourceError, "voc or coco", None),
        (["make", "--n", "5"], errors.OutputError, "thesis.tex", occupied),
        (["make", "--n", "5", "--out", "/proc/nowhere"], errors.OutputError, "/proc/nowhere", None),
        (["make", "--n", "5", "--cache", "/proc/nowhere"], errors.OutputError, "/proc/nowhere", None),
        (["info"], errors.ShardError, "no blurgen data set here", None),
        (["verify", "elsewhere"], errors.ShardError, "no blurgen data set here", None),
        (["verify"], errors.ShardError, "damaged", broken_manifest),
        (["preview", "elsewhere"], errors.ShardError, "no blurgen data set here", None),
        (["preview", "shards", "--recipe", "standard"], errors.ArgumentError, "--recipe goes with a source", None),
        (["preview", "--pairs", "1", "--out", "/proc/x.png"], errors.OutputError, "/proc/x.png", None),
        (["preview", "--pairs", "1", "--out", "x.jpg"], errors.ArgumentError, "ends in .png", None),
        (["preview", "--pairs", "1", "--out", "no/x.png"], errors.OutputError, "does not exist", None),
        (["preview", "--source", "folder", "--root", "."], errors.ArgumentError, "among the photos", None),
        (["make", "--n", "30000000"], errors.ArgumentError, "at most 20000000 pairs", None),
        (["make", "--n", "5", "--recipe", "x" * 300], errors.RecipeError, "no recipe", None),
        (["make", "--n", "5", "--recipe", "new\nline\x1b[31m"], errors.RecipeError, "new\\nline\\x1b[31m", None),
        (["recipes", "weak"], errors.RecipeError, 'did you mean "weak-2019"', None),
    ],
)
def test_an_error_is_one_line_and_its_kind_decides_the_exit_code(tmp_path, arguments, kind, said, prepare):
    if prepare:
        prepare(tmp_path)
    result = run(tmp_path, *arguments, env={"BLURGEN_VOC": None})
    assert said in one_line(result)
    assert result.exit_code == kind.exit_code


def test_kinds_of_errors_have_exit_codes_of_their_own():
    kinds = errors.BlurgenError.__subclasses__()
    assert len({kind.exit_code for kind in kinds}) == len(kinds)
    assert 0 not in {kind.exit_code for kind in kinds}


def test_a_missing_option_and_an_unknown_one_are_explained(tmp_path):
    assert "Missing option '--n'" in run(tmp_path, "make").stderr
    assert "Did you mean" in run(tmp_path, "make", "--n", "3", "--sead", "1").stderr


@pytest.mark.parametrize("option", ["--root", "--out", "--recipe", "--size", "--cache", "--source"])
def test_an_empty_value_is_a_slip_not_a_value(tmp_path, option):
    result = run(tmp_path, "make", "--n", "3", option, "")
    assert result.exit_code == 2
    assert "is empty" in result.stderr
    assert not list(tmp_path.glob("shards*"))


@pytest.mark.parametrize("closed", ["2>&-", ">&-", ">&- 2>&-"])
def test_closed_streams_are_no_hindrance(folder, tmp_path, closed):
    options = "--source folder --root ../photos --n 30 --size 64 --workers 2 --cache ../cache"
    out = folder / tmp_path.name
    out.mkdir()
    done = subprocess.run(f"{sys.executable} -m blurgen_cli make {options} {closed}", shell=True, cwd=out)
    assert done.returncode == 0
    assert len(list(out.glob("shards/*.h5"))) == 2


def test_workers_do_not_outlive_a_killed_parent(folder, tmp_path):
    command = [sys.executable, "-m", "blurgen_cli", "make", "--source", "folder", "--root", folder / "photos"]
    command += ["--n", "4000", "--size", "64", "--pairs-per-shard", "10", "--workers", "2", "--cache", folder / "cache"]
    running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("shards/shard-*.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    running.kill()
    running.communicate(timeout=60)  # ends when the last process that holds the pipes has ended


def test_an_unforeseen_fault_is_one_line_too(tmp_path, monkeypatch):
    monkeypatch.setattr("blurgen.dataset.info", lambda folder: 1 / 0)
    result = run(tmp_path, "info")
    assert "internal error (ZeroDivisionError" in one_line(result)
    assert result.exit_code == 70


def test_an_interrupted_run_leaves_no_traceback_and_is_finished_by_the_same_command(folder, tmp_path):
    command = [
        sys.executable,
        "-m",
        "blurgen_cli",
        "make",
        "--source",
        "folder",
        "--root",
        folder / "photos",
        "--n",
        "4000",
    ]
    command += ["--size", "64", "--pairs-per-shard", "10", "--workers", "2", "--cache", folder / "cache"]
    running = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("shards/shard-*.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert said.strip().splitlines() == [
        "blurgen: error: interrupted; run the same command again to go on where it stopped"
    ]
    finished = len(list(tmp_path.glob("shards/shard-*.json")))
    assert 0 < finished < 400


def test_training_without_torch_is_one_line(tmp_path):
    """Whether torch is here or not: it is made unfindable."""
    code = (
        "import sys, runpy, importlib.util as util; found = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'torch' else found(name, *rest)\n"
        "sys.argv = ['x', 'contours', '--bsds', '.', '--out', 'x.npz']\n"
        "runpy.run_module('blurgen.training.proposals', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 8
    assert done.stderr.splitlines() == [
        "blurgen.training.proposals: error: torch is not installed; "
        "`pip install 'blurgen[train]'` or `make torch` brings it"
    ]


@pytest.mark.parametrize("command", [("train", "shards"), ("predict", "x.png", "--model", "m", "--out", "o")])
def test_commands_that_need_torch_say_so(tmp_path, command):
    code = (
        "import sys, importlib.util as util; found = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'torch' else found(name, *rest)\n"
        f"sys.argv = {['blurgen', *command]!r}\n"
        "from blurgen_cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 8
    assert done.stderr.splitlines()[-1].startswith("blurgen: error: torch")
    assert "pip install 'blurgen[train]'" in done.stderr
