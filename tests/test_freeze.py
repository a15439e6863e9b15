"""Frozen data sets: sealed under one digest, described for strangers, and any change to them is found."""

import hashlib
import html
import json
import os
import re
import shutil
import signal
import stat
import string
import subprocess
import sys
import unicodedata
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from helpers_shards import RECIPE, file_bytes, make, source_of, write_photos, write_times
from hypothesis import given, settings
from hypothesis import strategies as st

from blurgen import load_recipe, open_dataset
from blurgen.dataset import info, read_manifest, verify
from blurgen.dataset.card import card
from blurgen.dataset.claiming import claim
from blurgen.dataset.croissant import croissant
from blurgen.dataset.describing import text
from blurgen.dataset.freezing import About, freeze
from blurgen.dataset.seal import SEAL_NAME, make_read_only, read_seal, refuse_frozen, seal_faults, unsealed
from blurgen.errors import ArgumentError, OutputError, ShardError
from blurgen.files import document_digest, publish_json
from blurgen_cli.freeze import freeze as freeze_command

LICENCE = "<b>free</b> | *as* in\n# beer, see https://example.org"
ABOUT = About(
    name="Small test set",
    licence="CC0-1.0",
    creator="The test team",
    url="https://example.org/small",
    published="2026-01-31",
)
WRITE_BITS = 0o222


def make_writable(folder: Path) -> None:
    for path in (folder, *folder.iterdir()):
        path.chmod(path.stat().st_mode | stat.S_IWUSR)


@contextmanager
def changed(path: Path, data: bytes | None):
    """A frozen file with other bytes, or none; put back afterwards."""
    before, mode = path.read_bytes(), path.stat().st_mode
    path.parent.chmod(0o755)
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(before)
        path.chmod(mode)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Three photos with a licence that means harm, and one that is no photo."""
    folder = write_photos(tmp_path_factory.mktemp("photos"))
    (folder / "3.png").write_bytes(b"no photo")
    whole = source_of(folder, [f"{index}.png" for index in range(4)])
    return replace(whole, photos=tuple(replace(photo, licence=LICENCE) for photo in whole.photos))


@pytest.fixture(scope="module")
def finished(tmp_path_factory, source, cache):
    """A data set that is not frozen; not to be changed."""
    out = tmp_path_factory.mktemp("finished") / "shards"
    make(source, out, cache)
    return out


@pytest.fixture
def folder(finished, tmp_path):
    """A copy of it, which may be frozen."""
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    yield copy
    make_writable(copy)


@pytest.fixture(scope="module")
def frozen(finished, tmp_path_factory):
    """A frozen copy of it; whoever changes it puts it back."""
    copy = tmp_path_factory.mktemp("frozen") / "shards"
    shutil.copytree(finished, copy)
    freeze(copy, ABOUT)
    yield copy
    make_writable(copy)


def all_faults(folder: Path) -> list[str]:
    """What ``verify`` and the seal find."""
    try:
        manifest = read_manifest(folder)
        return [*seal_faults(folder, manifest), *(fault for _, faults in verify(folder) for fault in faults)]
    except ShardError as error:
        return [str(error)]


# The seal -------------------------------------------------------------------------------------------------------------


def test_the_seal_holds_the_sha256_of_every_file(frozen):
    seal = json.loads((frozen / SEAL_NAME).read_bytes())
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in file_bytes(frozen).items()}
    assert seal["files"] == {name: digest for name, digest in digests.items() if name != SEAL_NAME}
    assert len(seal["files"]) == 2 + 2 + 2 * 3
    assert seal["dataset_digest"] == read_manifest(frozen)["digest"]
    assert all_faults(frozen) == []


def test_a_frozen_folder_is_read_only(frozen):
    assert all(path.stat().st_mode & WRITE_BITS == 0 for path in (frozen, *frozen.iterdir()))
    with open_dataset(frozen) as data:
        assert len(list(data)) == 8


def test_freezing_leaves_the_data_set_as_it_was(finished, frozen):
    before, after = file_bytes(finished), file_bytes(frozen)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"README.md", "croissant.json", SEAL_NAME}


def test_two_copies_are_frozen_to_the_same_bytes(folder, frozen, finished):
    freeze(folder, ABOUT)
    assert file_bytes(folder) == file_bytes(frozen)
    for name in ("README.md", "croissant.json", SEAL_NAME):
        words = (folder / name).read_text()
        assert not any(str(place) in words for place in (folder.parent, finished.parent, frozen.parent, Path.home()))


def test_freezing_again_changes_nothing(folder):
    seal = freeze(folder, ABOUT)
    before, times = file_bytes(folder), write_times(folder)
    assert freeze(folder, ABOUT) == freeze(folder) == seal
    assert (file_bytes(folder), write_times(folder)) == (before, times)


def test_freezing_again_makes_read_only_again(folder):
    freeze(folder)
    make_writable(folder)
    freeze(folder)
    assert all(path.stat().st_mode & WRITE_BITS == 0 for path in (folder, *folder.iterdir()))


def test_a_frozen_set_is_not_described_anew(folder):
    freeze(folder, ABOUT)
    with pytest.raises(OutputError, match="another description"):
        freeze(folder, replace(ABOUT, name="Another name"))


def test_writers_are_refused(frozen, finished):
    digest = read_manifest(frozen)["digest"]
    with pytest.raises(OutputError, match=f"frozen under digest {digest[:12]}"):
        refuse_frozen(frozen)
    refuse_frozen(finished)
    refuse_frozen(finished / "nothing")


# What is changed is found ---------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_flipped_bit_is_found(frozen, data):
    name = data.draw(st.sampled_from(sorted(file_bytes(frozen))))
    whole = bytearray((frozen / name).read_bytes())
    place = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[place // 8] ^= 1 << place % 8
    with changed(frozen / name, bytes(whole)):
        assert all_faults(frozen)
    assert all_faults(frozen) == []


@pytest.mark.parametrize("name", ["README.md", "croissant.json", "recipe.toml", "shard-00001.h5", "shard-00002.json"])
def test_a_file_that_is_gone_is_named(frozen, name):
    with changed(frozen / name, None):
        faults = [fault for fault in all_faults(frozen) if name in fault]
        assert any("missing" in fault or "no receipt" in fault for fault in faults)


@pytest.mark.parametrize("name", ["notes.txt", "shard-00003.h5", "shard-00000.h5.bak", ".hidden"])
def test_a_file_that_was_added_is_named(frozen, name):
    frozen.chmod(0o755)
    (frozen / name).write_bytes(b"")
    try:
        assert [name in fault for fault in seal_faults(frozen, read_manifest(frozen))] == [True]
    finally:
        (frozen / name).unlink()


def test_what_a_writer_leaves_behind_is_no_fault(frozen):
    frozen.chmod(0o755)
    left = [frozen / ".blurgen-lock", frozen / ".blurgen-tmp-1-manifest.json"]
    for path in left:
        path.write_bytes(b"")
    try:
        assert all_faults(frozen) == []
    finally:
        for path in left:
            path.unlink()


def test_a_frozen_set_with_faults_is_not_called_frozen(frozen):
    with changed(frozen / "README.md", b"Another card"), pytest.raises(ShardError, match=r"seal doesn't hold.*README"):
        freeze(frozen)


def with_seal(folder: Path, change) -> bytes:
    """The seal of a folder, changed, as whoever knows the format would write it."""
    seal = change(json.loads((folder / SEAL_NAME).read_bytes()))
    if isinstance(seal, dict) and "digest" in seal:
        seal["digest"] = document_digest(seal)
    return (json.dumps(seal, indent=1, sort_keys=True) + "\n").encode()


def with_files(**changes):
    def change(seal):
        return seal | {"files": {**seal["files"], **changes}}

    return change


MALFORMED = {
    "a list": lambda seal: [seal],
    "nothing": lambda seal: {},
    "a key less": lambda seal: {key: value for key, value in seal.items() if key != "about"},
    "a key more": lambda seal: seal | {"more": 1},
    "another format": lambda seal: seal | {"format": "blurgen-shard"},
    "a later version": lambda seal: seal | {"version": 2},
    "true for 1": lambda seal: seal | {"version": True},
    "a digest in capitals": lambda seal: seal | {"dataset_digest": seal["dataset_digest"].upper()},
    "a number for a digest": lambda seal: seal | {"dataset_digest": 1},
    "files in a list": lambda seal: seal | {"files": list(seal["files"])},
    "a path": with_files(**{"../shard-00000.h5": "0" * 64}),
    "an absolute path": with_files(**{"/etc/passwd": "0" * 64}),
    "a line break": with_files(**{"README.md\n": "0" * 64}),
    "a short sha256": with_files(**{"README.md": "0"}),
    "about in numbers": lambda seal: seal | {"about": {"name": 1}},
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_seal_is_refused(frozen, name):
    with changed(frozen / SEAL_NAME, with_seal(frozen, MALFORMED[name])):
        with pytest.raises(ShardError, match=SEAL_NAME):
            read_seal(frozen)
        with pytest.raises(ShardError, match=SEAL_NAME):
            refuse_frozen(frozen)
        assert len(seal_faults(frozen, read_manifest(frozen))) == 1


@pytest.mark.parametrize("data", [b"", b"{", b"\xff" * 10, b"[" * 100_000, b'{"format": "\\ud800"}'])
def test_a_seal_that_is_not_json_is_refused(frozen, data):
    with changed(frozen / SEAL_NAME, data), pytest.raises(ShardError, match=SEAL_NAME):
        read_seal(frozen)


def test_a_seal_in_other_bytes_is_refused(frozen):
    same = json.dumps(json.loads((frozen / SEAL_NAME).read_bytes())).encode()
    with changed(frozen / SEAL_NAME, same), pytest.raises(ShardError, match="not spelled as blurgen"):
        read_seal(frozen)


def test_a_seal_that_is_a_folder_or_leads_nowhere_is_refused(folder):
    (folder / SEAL_NAME).mkdir()
    with pytest.raises(ShardError, match="not a plain file"):
        refuse_frozen(folder)
    (folder / SEAL_NAME).rmdir()
    (folder / SEAL_NAME).symlink_to("nowhere")
    with pytest.raises(ShardError, match="not a plain file"):
        refuse_frozen(folder)
    (folder / SEAL_NAME).unlink()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda seal: seal | {"dataset_digest": "0" * 64}, "seals digest 000000000000"),
        (lambda seal: seal | {"files": {**seal["files"], "shard-00000.h5": "0" * 64}}, "shard-00000.h5"),
        (lambda seal: seal | {"files": {**seal["files"], "shard-00009.h5": "0" * 64}}, "shard-00009.h5: missing"),
        (lambda seal: seal | {"files": {}}, "not in the seal"),
    ],
)
def test_the_seal_of_another_data_set_does_not_hold(frozen, change, fault):
    with changed(frozen / SEAL_NAME, with_seal(frozen, change)):
        assert any(fault in one for one in seal_faults(frozen, read_manifest(frozen)))


# What can't be frozen -------------------------------------------------------------------------------------------------


def test_a_damaged_shard_is_not_frozen(folder):
    path = folder / "shard-00001.h5"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    before = file_bytes(folder)
    with pytest.raises(ShardError, match=r"can't be frozen: .*shard-00001\.h5: its sha256"):
        freeze(folder)
    assert file_bytes(folder) == before


def test_many_faults_are_counted(folder):
    for index in range(3):
        (folder / f"shard-0000{index}.json").unlink()
    (folder / "recipe.toml").unlink()
    with pytest.raises(ShardError, match="and 1 more, see `blurgen verify`"):
        freeze(folder)


def test_an_unfinished_set_is_not_frozen(folder):
    manifest = json.loads((folder / "manifest.json").read_bytes()) | {"complete": False, "shards": []}
    manifest["digest"] = document_digest(manifest)
    publish_json(folder / "manifest.json", manifest)
    with pytest.raises(ShardError, match="not finished"):
        freeze(folder)
    assert not (folder / SEAL_NAME).exists()


def test_where_no_data_set_is_nothing_is_frozen(tmp_path):
    with pytest.raises(ShardError, match="no blurgen data set"):
        freeze(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["notes.txt", "README.md", "croissant.json"])
def test_foreign_files_are_neither_sealed_nor_replaced(folder, name):
    (folder / name).write_text("mine")
    with pytest.raises(OutputError, match=f"{re.escape(name)}: .*move it away"):
        freeze(folder)
    assert (folder / name).read_text() == "mine"


@pytest.mark.parametrize(
    "wrong",
    [{"name": " "}, {"name": "x\ny"}, {"creator": "x" * 501}, {"url": "ftp://x"}, {"published": "31.1.2026"}],
)
def test_a_description_is_checked(wrong):
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        About(**wrong)


# Kills and repairs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    [
        *("begun:README.md", "renamed:README.md", "written:croissant.json"),
        *("synced:frozen.json", "renamed:frozen.json", "published:frozen.json"),
    ],
)
def test_freezing_can_be_killed_and_run_again(folder, frozen, step):
    options = [f"--{key}={value}" for key, value in ABOUT.given.items()]
    command = [sys.executable, "-m", "blurgen_cli", "freeze", str(folder), *options]
    killed = subprocess.run(command, env=os.environ | {"BLURGEN_DIE_AT": step}, capture_output=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert (read_seal(folder) is not None) == (step in ("renamed:frozen.json", "published:frozen.json"))
    freeze(folder, ABOUT)
    assert file_bytes(folder) == file_bytes(frozen)
    assert all(path.stat().st_mode & WRITE_BITS == 0 for path in (folder, *folder.iterdir()))


def test_a_repair_can_write_while_unsealed(folder):
    freeze(folder)
    with unsealed(folder):
        assert folder.stat().st_mode & stat.S_IWUSR
        shard = folder / "shard-00000.h5"
        whole = shard.read_bytes()
        shard.unlink()
        shard.write_bytes(whole)
    assert all(path.stat().st_mode & WRITE_BITS == 0 for path in (folder, *folder.iterdir()))
    assert all_faults(folder) == []


def test_a_second_repair_leaves_the_first_at_work(folder):
    freeze(folder)
    with unsealed(folder):
        with pytest.raises(OutputError, match="is writing here"), unsealed(folder):
            pass
        assert folder.stat().st_mode & stat.S_IWUSR
    assert folder.stat().st_mode & WRITE_BITS == 0


def test_a_repair_that_fails_leaves_the_folder_read_only(folder):
    freeze(folder)
    with pytest.raises(ZeroDivisionError), unsealed(folder):
        raise ZeroDivisionError
    assert folder.stat().st_mode & WRITE_BITS == 0


def test_a_folder_that_is_not_frozen_keeps_its_permissions(folder):
    modes = {path: path.stat().st_mode for path in (folder, *folder.iterdir())}
    with unsealed(folder):
        pass
    assert {path: path.stat().st_mode for path in (folder, *folder.iterdir())} == modes


def test_read_only_keeps_who_may_read(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "file").chmod(0o640)
    make_read_only(tmp_path)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o440
    make_writable(tmp_path)


# The card -------------------------------------------------------------------------------------------------------------

SPECIAL = "\\`*_[]|#~$!{}"


@given(st.text() | st.text(alphabet=string.punctuation + "w.a\n\u202e\u2028"))
def test_texts_from_outside_are_harmless_markdown(words):
    written = text(words)
    assert written
    assert not {unicodedata.category(char) for char in written} & {"Cc", "Cs", "Zl", "Zp"}
    assert not {unicodedata.bidirectional(char) for char in written} & {"RLO", "LRO", "RLE", "LRE", "RLI", "LRI"}
    assert not set(written) & set("<>@:")
    assert "www." not in written
    bare = re.sub(r"\\[\\`*_\[\]|#~$!{}]", "", re.sub(r"&(?:lt|gt|amp|#58|#64|#46);", "", written))
    assert not set(bare) & set(SPECIAL) | set(bare) & set("&")


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=100))
def test_texts_from_outside_are_shown_as_they_are(words):
    shown = html.unescape(re.sub(r"\\([\\`*_\[\]|#~$!{}])", r"\1", text(words)))
    assert shown == words


def test_the_card_names_the_facts(frozen):
    words = (frozen / "README.md").read_text()
    manifest = read_manifest(frozen)
    assert words.count(manifest["digest"]) == 2
    for fact in (
        *("# Small test set", "| pairs | 8 |", "| shards | 3 (", "48x48 px (8 pairs)", "| made by | The test team |"),
        *("| licence | CC0-1.0 |", "| photos | 3 |", "recipe custom", "Photos that could not be used: 1."),
        *("`recipe.toml`", "author = {{The test team}}", "year = {2026}", "alvarez-gila-2019", "blurgen verify ."),
    ):
        assert fact in words


def test_the_card_escapes_what_comes_from_outside(frozen):
    words = (frozen / "README.md").read_text()
    assert "<b>" not in words
    assert "\n# beer" not in words
    row = r"| &lt;b&gt;free&lt;/b&gt; \| \*as\* in \# beer, see https&#58;//example.org | 3 |"
    assert row in words.splitlines()


def histogram(words: str, caption: str) -> tuple[list[float], list[int]]:
    """Lower edges and counts of a histogram of a card; each bar is as long as its count, to the largest."""
    lines = words.split(caption)[1].splitlines()[1:11]
    found = [re.fullmatch(r" *([\d.]+) to +([\d.]+) +(\d+)(?:  (#+))?", line).groups() for line in lines]
    counts = [int(count) for _, _, count, _ in found]
    assert [len(bar or "") for *_, bar in found] == [int(np.ceil(40 * count / max(counts))) for count in counts]
    return [float(low) for low, *_ in found], counts


def test_histograms_count_the_pairs(frozen):
    words = (frozen / "README.md").read_text()
    with open_dataset(frozen) as data:
        shares = [pair.mask.mean() for pair in data]
        sigmas = [pair.provenance["sigma_px"] for pair in data if pair.provenance["blur_kind"] == "gaussian"]
    edges, counts = histogram(words, "share of a pair's pixels that are blurred")
    assert edges == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert counts == np.histogram(shares, 10, (0, 1))[0].tolist()
    edges, counts = histogram(words, "standard deviation of the Gaussian blurs")
    assert sum(counts) == len(sigmas)
    assert edges[0] <= min(sigmas) < edges[1] + 1
    assert counts == np.histogram(sigmas, [*edges, 2 * edges[-1] - edges[-2]])[0].tolist()


def test_the_python_of_the_card_runs(frozen, monkeypatch, capsys):
    [code] = re.findall(r"```python\n(.*?)```", (frozen / "README.md").read_text(), re.S)
    monkeypatch.chdir(frozen)
    exec(code, {})
    assert capsys.readouterr().out.startswith("8 (48, 48, 3) ")


def test_limits_follow_the_recipe(source, cache, tmp_path):
    words = {}
    for name in ("alvarez-gila-2019", "camera"):
        recipe = load_recipe(name).with_values({"geometry.size": "48x48", "mask.least_sharpness": 0.0})
        make(source, tmp_path / name, cache, n=6, recipe=recipe)
        freeze(tmp_path / name)
        words[name] = (tmp_path / name / "README.md").read_text()
        make_writable(tmp_path / name)
    for phrase in ("a hard cut", "sRGB codes are blurred", "noise is blurred too"):
        assert phrase in words["alvarez-gila-2019"]
        assert phrase not in words["camera"]
    assert "half opaque" in words["camera"]
    assert "those of the photos hold" in words["camera"]


@pytest.fixture(scope="module")
def derived(finished):
    """An open data set whose manifest says that it was merged from two, and what ``info`` says of it."""
    found = info(finished)
    with open_dataset(finished) as data:
        manifest = dict(data.manifest)
        keys = ("digest", "recipe", "seed", "source", "split", "build", "pairs")
        origin = {key: manifest.pop(key) if key not in ("digest", "build", "pairs") else manifest[key] for key in keys}
        other = origin | {"digest": "f" * 64, "recipe": RECIPE.model_dump(mode="json") | {"name": "<i>other</i>"}}
        del manifest["recipe_toml_sha256"], manifest["pairs_per_shard"]
        manifest["derived"] = {"by": "merge", "arguments": {}, "parents": ["a" * 64, "b" * 64]}
        manifest["origins"] = [origin, other]
        data.manifest = manifest
        yield data, found


def test_the_card_of_a_derived_set_names_parents_and_origins(derived):
    data, found = derived
    words = card(data, found, {})
    for digest in ("a" * 64, "b" * 64, "f" * 64, data.manifest["origins"][0]["digest"]):
        assert f"`{digest}`" in words
    assert "derived from other data sets by merge" in words
    assert "recipe &lt;i&gt;other&lt;/i&gt; |" in words
    assert "`recipe.toml`" not in words


HOSTILE = {
    "sections that are none": {"mask": 1, "blur": [], "camera": "x", "storage": None},
    "mixes that are none": {"mask": {"kinds": 1}, "blur": {"motion_kinds": ["zoom"], "p_tilt": "<b>"}},
    "values of any type": {
        "geometry": {"size": {"<b>": "<b>"}},
        "fill": {"method": [[1], {}]},
        "photo": {"pixels": {}},
    },
    "nothing": {},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_recipe_that_anyone_may_have_written_is_shown(derived, name):
    data, found = derived
    origins = [one | {"recipe": HOSTILE[name] | {"name": "---\n<b>"}} for one in data.manifest["origins"]]
    with open_dataset(data.folder) as other:
        other.manifest = data.manifest | {"origins": origins}
        words = card(other, found, {})
    assert "<b>" not in re.sub(r'^pretty_name: ".*"$|^```bibtex\n.*?^```$', "", words, flags=re.M | re.S)
    assert words.count("\n---\n") == 1


# Croissant ------------------------------------------------------------------------------------------------------------


def check_croissant(folder: Path) -> set[str]:
    """Load croissant.json as mlcroissant does, compare its records with the manifest, and return the warnings."""
    mlcroissant = pytest.importorskip("mlcroissant")
    loaded = mlcroissant.Dataset(jsonld=folder / "croissant.json")
    assert loaded.metadata.ctx.issues.errors == set()
    assert loaded.metadata.ctx.is_v1_1()
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for name, keys in (("photos", ("id", "sha256", "licence")), ("shards", ("name", "sha256", "pairs"))):
        records = [
            {key: value.decode() if isinstance(value, bytes) else int(value) for key, value in record.items()}
            for record in loaded.records(name)
        ]
        assert records == [{f"{name}/{key}": one[key] for key in keys} for one in manifest[name]]
    files = {file.id: file for file in loaded.metadata.file_objects}
    for shard in manifest["shards"]:
        assert files[shard["name"]].sha256 == shard["sha256"]
        assert files[shard["name"]].content_size == f"{shard['bytes']} B"
    return loaded.metadata.ctx.issues.warnings


def test_croissant_loads_without_a_warning(frozen):
    assert check_croissant(frozen) == set()


def test_without_a_description_croissant_lacks_the_date_alone(folder):
    freeze(folder)
    [warning] = check_croissant(folder)
    assert "datePublished" in warning


def test_croissant_of_a_derived_set_loads(derived, tmp_path):
    data, found = derived
    manifest = (json.dumps(data.manifest)).encode()
    (tmp_path / "manifest.json").write_bytes(manifest)
    files = {"manifest.json": (hashlib.sha256(manifest).hexdigest(), len(manifest))}
    files |= {shard["name"]: (shard["sha256"], shard["bytes"]) for shard in data.manifest["shards"]}
    for shard in data.manifest["shards"]:
        (tmp_path / shard["name"]).write_bytes(b"")
    (tmp_path / "croissant.json").write_text(json.dumps(croissant(data.manifest, found, ABOUT.given, files)))
    assert check_croissant(tmp_path) == set()


# The command ----------------------------------------------------------------------------------------------------------


def test_the_command_prints_the_digest_and_how_to_cite(folder):
    digest = read_manifest(folder)["digest"]
    for _ in range(2):
        done = CliRunner().invoke(freeze_command, [str(folder)])
        assert done.exit_code == 0, done.output
        assert f"digest  {digest}\n" in done.output
        assert f"@misc{{blurgen-{digest[:12]}," in done.output
    done = CliRunner().invoke(freeze_command, [str(folder), "--json"])
    found = json.loads(done.output)
    assert (found["digest"], found["pairs"], found["shards"]) == (digest, 8, 3)


def test_nothing_is_written_inside_of_a_frozen_folder(frozen):
    before = sorted(path.name for path in frozen.iterdir())
    for out in (frozen / "sub", frozen / "deep" / "er"):
        with pytest.raises(OutputError, match="which is frozen under digest"):
            claim(out)
    assert sorted(path.name for path in frozen.iterdir()) == before


def test_a_part_that_is_a_link_is_not_sealed(folder, tmp_path):
    outside = tmp_path / "outside.h5"
    (folder / "shard-00000.h5").rename(outside)
    (folder / "shard-00000.h5").symlink_to(outside)
    mode = outside.stat().st_mode
    with pytest.raises(OutputError, match="is a link"):
        freeze(folder)
    assert outside.stat().st_mode == mode


def test_a_data_set_under_the_seal_of_another_is_not_opened(folder, frozen):
    shutil.copy(frozen / SEAL_NAME, folder / SEAL_NAME)
    manifest = json.loads((folder / "manifest.json").read_bytes()) | {"seed": 99}
    manifest["digest"] = document_digest(manifest)
    publish_json(folder / "manifest.json", manifest)
    with pytest.raises(ShardError, match="the seal of another data set"):
        open_dataset(folder)
