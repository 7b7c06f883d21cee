"""Bad input of every kind: exit code 2, one line that says what is wrong and what is accepted, nothing written or lost.

Which images and rounds are damaged: test_datasets.py and test_run_directory.py; what the command makes of them: here.
"""

import contextlib
import dataclasses
import os
import pickle
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from synthetic import SPECS, RunsCode, input_text, made_round, stored_run, write_input

from sifting import inputs, run
from sifting.base.pickles import dump_pickle
from sifting.errors import InputError
from sifting.inputs import read_experiment
from sifting.methods import METHODS
from sifting.runs.directory import RunDirectory
from sifting.runs.reference import round_to_lists

ROOT = Path(__file__).parent.parent
MISSING = "No such file or directory"


@pytest.fixture(autouse=True)
def user(in_tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(in_tmp_path / "cache"))


@pytest.fixture
def directory(tmp_path) -> RunDirectory:
    """Where the input files of these tests send their results."""
    return stored_run(tmp_path / "run")


# --- every key -----------------------------------------------------------------------------------------------------

# Of kinds whose sentences begin so.
OF_THEIR_OWN = """
T or F: 1:0 | T: | t |
increasing numbers: 0 | 1 | -0.5 | nan | half | 90% | 0.5;0.9 | 0.9, 0.5 | 0.5, 0.5 | 0.5, | 0.5 0.9
n, or m,K: k,10 | m | m,1 | m,x | n,2 | f,10 | f,10,~nosuchuser/b | random,3 |
layers joined: f4 | q4:x |
layer, common: 0 | Glorot | inf | nan
the name of a data set: imagenet32 |
true or false: maybe | 2 |
"""


def bad_values(entry: dataclasses.Field) -> list[str]:
    """What the sentence of a key rules out: values just beyond its bounds, and those of other kinds."""
    accepts = entry.metadata["kind"].accepts
    for beginning, _, values in (line.partition(": ") for line in OF_THEIR_OWN.strip().splitlines()):
        if accepts.startswith(beginning):
            found = map(str.strip, values.split("|"))
            return [value for value in found if value or not accepts.endswith("or empty, for unset")]
    if "number" in accepts:
        whole = "whole" in accepts
        values = ["many", "nan", "1e400", "inf", "30%", "20 ; a comment?", "20\n30"]
        values += ["12.5", "1e5.5", "1e12", "-1e12"] if whole else []
        for sign, bound in re.findall(r"([<>]=?) (\d+)", accepts):
            beyond = (1 if whole else 1e-9) if "=" in sign else 0
            values.append(str(int(bound) + (beyond if "<" in sign else -beyond)))
        return values
    if all(option.isalnum() or "_" in option for option in accepts.split(" or ")):
        return ["", "neither", "48", *(option.swapcase() for option in accepts.split(" or ") if option.isalpha())]
    values = ["one\ntwo", "a\0b", "a #b", "a/b" if "without '/'" in accepts else "~nosuchuser/b"]
    values += ["tfds:~nosuchuser/b"] if "tfds" in accepts else []
    return values + [""] * (entry.default != "" and "empty" not in accepts)


DATA_SETS = "ImageNet32 or ImageNet64 or CIFAR10 or EdgeCollage32 or npz or folder or hf; a data set of your own needs "
DATA_SETS += "its sifting_extensions.py in this folder or on PYTHONPATH"
KEYS = [(section, entry) for section, kind in inputs.SECTIONS.items() for entry in dataclasses.fields(kind)]


@pytest.mark.parametrize(("section", "entry"), KEYS, ids=[f"{section}.{entry.name}" for section, entry in KEYS])
def test_every_key_refuses_what_it_does_not_accept(tmp_path, section, entry):
    """The line names where the value comes from, section, key, value and the kind's own sentence."""
    accepts, method = entry.metadata["kind"].accepts, section if section in METHODS else "IMP"
    plain, bad = write_input(tmp_path, method=method), bad_values(entry)
    written = bad[0].replace("\n", "\n ")
    changed = write_input(tmp_path, f"{section}.{entry.name}={written}", method=method, name="changed.in")
    for value, source, arguments in [
        *((value, "--set", ([str(plain)], [f"{section}.{entry.name}={value}"])) for value in bad),
        (bad[0], str(changed), ([str(changed)],)),
    ]:
        with pytest.raises(InputError) as error:
            read_experiment(*arguments)
            pytest.fail(f"{value!r} was accepted")
        refused, _, accepted = str(error.value).partition(": accepted: ")
        assert refused == f"{source}: [{section}] {entry.name} = {value!r}"
        if entry.name == "arch" or "~" in value:  # says what is wrong with layer or user
            accepted = accepted.partition(" (")[0]
        expected = DATA_SETS if entry.name == "dataset" else accepts
        assert accepted == expected


def test_every_bound_that_a_key_names_is_accepted():
    for _, entry in KEYS:
        for bound in re.findall(r"[<>]= (\d+)", entry.metadata["kind"].accepts):
            if "K" not in entry.metadata["kind"].accepts:  # of [Data] reclass
                assert entry.metadata["kind"].parse(bound) == int(bound), entry.name


# --- values that do not fit each other, or the images --------------------------------------------------------------

LEVELS = "the levels given in exactly one way: sparsity, or prune_ratio and rounds"
# settings | what is refused, by default the first of them | what is accepted
COMBINATIONS = """
Data.data_ratio=0.003 | at least one of the 300 training images
Data.dataset=ImageNet32 & Scale.images=2 | default: [Data] data_ratio = '2.0'
    | at most 1 after multiplication by [Scale] images
Data.reclass=m,11 | K <= 10, the number of classes of the data set
Data.reclass=f,11,classes.dat | K <= 10, the number of classes of the data set
Data.reclass=f,10,missing.dat | a file that can be read; missing.dat: No such file or directory
Data.reclass=f,10,. | a file that can be read; .: Is a directory
Data.reclass=f,10,classes.dat | a text file of comma-separated class ids; classes.dat: line 1: byte 0x80 is not UTF-8
Network.arch=c33,4:x | LAYERS (layer 'c33,4' is larger than its input of 32 x 32 pixels)
Network.arch=c3,4:p31,2:x | LAYERS (layer 'p31,2' is larger than its input of 30 x 30 pixels)
Network.val_size=41 | at most 40, the number of validation images
Network.val_size=50001 & Data.dataset=ImageNet32 | at most 50000, the number of validation images
Data.reclass=m,1001 & Data.dataset=ImageNet32 | K <= 1000, the number of classes of the data set
Network.rest_it=3 & Network.restart=true | less than [IMP] max_iterations = 3
IMP.prune=T:T:T | at most 2 flags, one for each layer of arch
IMP.prune=F:F | at least one T, at a layer with weights
IMP.weights_step=20 | a whole number >= 0 and < 20 (prune_step, by default steps)
IMP.weights_step | default: [IMP] weights_step = '1000' | a whole number >= 0 and < 20 (prune_step, by default steps)
IMP.prune_step=21 | at most [Network] steps = 20
Scale.width=1000000.0 | at most 250000: it multiplies 4
Scale.steps=1e+308 | at most 1.07374e+08: it multiplies 20
OneShot.prune_ratio=0.3 | LEVELS; given: prune_ratio, sparsity
OneShot.rounds=4 | LEVELS; given: rounds, sparsity
OneShot.weights_step=20 | a whole number >= 0 and < 20 (prune_step, by default steps)
OneShot.prune_step=21 | at most [Network] steps = 20
OneShot.dense_run=a & Network.restart=true | not with restart, which says itself where to begin
SNIP.sparsity | default: [SNIP] sparsity = '' | LEVELS; given: none
SNIP.prune_ratio=0.3 & SNIP.sparsity | LEVELS; given: prune_ratio
SNIP.rounds=3 & SNIP.sparsity | LEVELS; given: rounds
SNIP.prune_ratio=0.3 & SNIP.rounds=3 | LEVELS; given: prune_ratio, rounds, sparsity
SNIP.images=301 | at most 300, the number of training images
SNIP.images=151 & Data.data_ratio=0.5 | at most 150, the number of training images
SNIP.prune=T:T & Network.init_sparsity=0.5 | [SNIP] sparsity = '0.5, 0.9' | levels above [Network] init_sparsity = 0.5
SNIP.prune=F:T & Network.arch=c3,4:p2,2:x | at least one T, at a layer with weights
SNIP.prune=T & Network.rest_it=3 & Network.restart=true | [Network] rest_it = '3' | at most 2, the number of levels
GraSP.images=10000 | at most 300, the number of training images
Random.weights_step=20 | a whole number >= 0 and < [Network] steps = 20
Random.weights_step=5 & Random.dense=false | 0 with dense = false: the rewind point belongs to round 0
Random.like=a | LEVELS, or like; given: like, sparsity
Random.scope=global & Random.sparsity & Random.like=a | layerwise with like, which gives each layer its density
Network.sparse=always & Network.arch=c3,4:p2,2:x
    | auto or never: convolutions are always dense
LayerByLayer.layers=2 | at most 1, the number of prunable layers
LayerByLayer.first_layer=2 | at most [LayerByLayer] layers = 1
LayerByLayer.first_layer=2 & LayerByLayer.prune=T:T | 1, but after [Network] restart
LayerByLayer.first_layer=2 & LayerByLayer.layers=1 & LayerByLayer.prune=T:T & Network.restart=true
    | at most [LayerByLayer] layers = 1
LayerByLayer.weights_step=20 | a whole number >= 0 and < 20 (prune_step, by default steps)
Cavity.images=301 | at most 300, the number of training images
Cavity.weights_step=20 | a whole number >= 0 and < [Network] steps = 20
Cavity.prune=T:T | T at the first layer alone, which must be a dense one
Cavity.prune=F:T | T at the first layer alone, which must be a dense one
Cavity.prune=T:F & Network.arch=c3,4:x | T at the first layer alone, which must be a dense one
Cavity.prune=T:F & Network.arch=p2,2:f4:x | at least one T, at a layer with weights
Cavity.prune=T & Network.rest_it=3 & Network.restart=true | [Network] rest_it = '3'
    | less than [Cavity] max_iterations = 3
"""


@pytest.mark.parametrize("row", COMBINATIONS.replace("\n    ", " ").strip().splitlines())
def test_values_that_do_not_fit(refuse, tmp_path, row):
    settings, *refused, expected = row.replace("LEVELS", LEVELS).split(" | ")
    changes = settings.split(" & ")
    section, key, value = re.fullmatch(r"(\w+)\.(\w+)=?(.*)", changes[0]).groups()
    (tmp_path / "classes.dat").write_bytes(b"\x80\x04\x95")
    path = write_input(tmp_path, *changes, method=section if section in METHODS else "IMP")
    start = refused[0] if refused else f"[{section}] {key} = {value!r}"
    start = start if start.startswith("default") else f"{path}: {start}"
    expected = expected.replace("LAYERS", "layers that fit images of 32 x 32 pixels")
    assert refuse(path) == f"{start}: accepted: {expected}"


def test_a_value_that_does_not_fit_another_one_names_the_file_that_gave_it(refuse, tmp_path):
    """Here prune_step comes later, and makes a weights_step wrong that was right."""
    base, change = write_input(tmp_path), tmp_path / "change.in"
    change.write_text("[IMP]\nprune_step = 5\n")
    assert refuse(base, change).startswith(f"{base}: [IMP] weights_step = '5': accepted: a whole number >= 0 and < 5")


# --- files and arguments -------------------------------------------------------------------------------------------

NAMES = ", ".join(f"[{name}]" for name in METHODS)
SECTIONS = f"accepted: [IO], [Data], [Network], {NAMES}, [Scale]"
GOOD = input_text(Path("here"))
FILES = {
    "empty": ("", "method section: found none; accepted: exactly one of [IMP]"),
    "no method": (GOOD.partition("[IMP]")[0], "; a file such as inputs/small.in stands behind one that has it"),
    "no network": ("[IMP]\n", "[Network] arch is missing; accepted: layers joined by"),
    "typo in a key": (
        GOOD.replace("steps", "stepz", 1),
        "[Network] stepz = '20': unknown key; accepted: arch, steps, ",
    ),
    "another's key": (GOOD.replace("prune =", "seed =", 1), "[IMP] seed = 'T:F': unknown key; accepted: prune, "),
    "unknown section": (GOOD + "[Extra]\nkey = 1\n", f"[Extra] key = '1': unknown section; {SECTIONS}"),
    "unknown empty section": (GOOD + "[Extra]\n", f"[Extra]: unknown section; {SECTIONS}"),
    "section in lower case": (GOOD.replace("[IMP]", "[imp]"), "[imp] prune = 'T:F', weights_step = '5', "),
    "section of another case": ("[DEFAULT]\nsteps = 5\n" + GOOD, f"[DEFAULT] steps = '5': unknown section; {SECTIONS}"),
    "section without end": (GOOD.replace("[IO]", "[IO"), f"line 1: '[IO' stands before any section; {SECTIONS}"),
    "text behind a section": (GOOD.replace("[IO]", "[IO] a"), "line 1: '[IO] a' stands before any section"),
    "key behind a section": (GOOD.replace("[IMP]\n", "[IMP] "), "[Network] [imp] prune = 'T:F': unknown key"),
    "key twice": (GOOD + "prune = T\n", "line 19: [IMP] prune is given twice; accepted: once"),
    "key twice, other case": (GOOD + "Prune = T\n", "line 19: [IMP] prune is given twice; accepted: once"),
    "section twice": (GOOD + "[Network]\nseed = 2\n", "line 19: section [Network] is given twice; accepted: once"),
    "both names of a key": (
        GOOD.replace("[Network]\n", "[Network]\nrest_file_step = 1\nrestart_weights_step = 0\n"),
        "[Network] rest_file_step = '1': another name of restart_weights_step, which is given too; accepted: one",
    ),
    "key before any section": ("steps = 3\n" + GOOD, "line 1: 'steps = 3' stands before any section"),
    "key without value": (GOOD + "prune_ratio\n", "line 19: 'prune_ratio\\n': accepted: [Section], or key = value"),
    "value without key": (GOOD + "= 3\n", "accepted: [Section], or key = value"),
    "two methods": (
        GOOD + "[SNIP]\n",
        "method section: found [IMP], [SNIP] in test.in; accepted: exactly one of [IMP]",
    ),
    "binary": (bytes(range(256)), "line 2: byte 0x80 is not UTF-8; accepted: an input file"),
    "another encoding": (GOOD.encode("utf-16"), "line 1: byte 0xff is not UTF-8; accepted: an input file"),
    "Latin-1, late": (GOOD.encode() * 999 + "# caf\xe9".encode("latin-1"), "line 17983: byte 0xe9 is not UTF-8"),
}


@pytest.mark.parametrize("name", FILES)
def test_file(refuse, name):
    content, expected = FILES[name]
    Path("test.in").write_bytes(content if isinstance(content, bytes) else content.encode())
    line = refuse("test.in")
    assert line.startswith("test.in: ") and expected in line


def test_two_methods_in_two_files_or_by_set(refuse):
    Path("test.in").write_text(GOOD)
    Path("change.in").write_text("[Cavity]\n")
    line = refuse("test.in", "change.in")
    assert line.endswith(f"found [IMP], [Cavity] in test.in, change.in; accepted: exactly one of {NAMES}")
    assert "found [IMP], [Random] in test.in, --set" in refuse("test.in", "--set", "Random.sparsity=0.5")


COMMANDS = [
    ([], "no input file; accepted: python -m sifting.run INPUT"),
    (["missing.in"], f"missing.in: cannot be read ({MISSING}); accepted: an input file"),
    (["."], ".: cannot be read (Is a directory); accepted: an input file"),
    (["test.in", "missing.in"], f"missing.in: cannot be read ({MISSING})"),
    (["test.in/under"], "test.in/under: cannot be read (Not a directory)"),
    (["test.in", "--unknown"], "Unknown command line flag 'unknown'; accepted: see python -m sifting.run --help"),
    (["test.in", "--dryrun"], "Unknown command line flag 'dryrun'. Did you mean: dry_run"),
    (["test.in", "--dry_run=maybe"], "--dry_run=maybe"),
    (["test.in", "--nooverwrite=1"], "--nooverwrite=1"),
    (["test.in", "--dry_run", "--set", "Network.val_size=41"], "val_size = '41'"),
    (["test.in", "--set"], "Missing value for flag --set"),
    *(
        (["test.in", "--set", text], f"--set {text!r}: accepted: Section.key=value")
        for text in ("Network", "Network.steps", "steps=3", "Network.=3")
    ),
    (["test.in", "--set", "Network.stepz=3"], "--set: [Network] stepz = '3': unknown key; accepted: arch, steps"),
    (["test.in", "--set", "network.steps=3"], f"--set: [network] steps = '3': unknown section; {SECTIONS}"),
    (["test.in", "--set", "Network.steps=3\n4"], "--set: [Network] steps = '3\\n4': accepted: a whole number"),
    (["test.in", "--set", "IO.prefix=\udcff"], "--set: [IO] prefix = '\\udcff': accepted: a file name"),
    *(
        (["test.in", f"--seeds={seeds}"], f"--seeds '{seeds}': accepted: different whole numbers >= 0, such as 1,2,3,4")
        for seeds in ("", "x", "1,x", "1,1", "1,1e0", "-1", "1.5", "1,,2", "1 2", "99999999999")
    ),
]


@pytest.mark.parametrize(("arguments", "expected"), COMMANDS, ids=lambda value: ascii(value)[:60])
def test_command(refuse, tmp_path, arguments, expected):
    write_input(tmp_path)
    assert expected in refuse(*arguments)


# --- folders that cannot be written --------------------------------------------------------------------------------


def test_folders_that_cannot_be_made(refuse, tmp_path):
    """A file in the way: no permissions can help, whoever the user is."""
    (tmp_path / "file").write_text("something else")
    for folder in ("file", "file/run", "x" * 300, "file/run/deep"):
        line = refuse(write_input(tmp_path, f"IO.save_dir={tmp_path / folder}"))
        assert line.startswith(f"{tmp_path / folder}: cannot be written (")
        assert line.endswith("accepted as [IO] save_dir: a writable folder")
    line = refuse(write_input(tmp_path, f"IO.cache_dir={tmp_path / 'file' / 'cache'}"))
    assert "cannot be written (Not a directory); accepted as [IO] cache_dir: a writable folder with room" in line


@contextlib.contextmanager
def full_disk(size: int):
    """In the body, no file can be longer than `size` bytes; the operating system refuses the write as on a full disk.

    Only around the call under test: pytest itself writes to a file when its output is redirected.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_is_full(refuse, tmp_path, directory):
    """While the lock is written, images are prepared, and the run is recorded."""
    path = write_input(tmp_path)
    for size, start in ((0, directory.folder), (100_000, tmp_path / "cache"), (200, directory.path("input.in"))):
        if size == 200:
            run.datasets.load(read_experiment([str(path)]), lambda line: None)
        with full_disk(size):
            line = refuse(path)
        assert line.startswith(str(start)) and "cannot be written (File too large)" in line
        assert size == 200 or not any("images" in str(found) for found in (tmp_path / "cache").rglob("*"))
    assert line.endswith("accepted: a writable folder with room, then the same command again")


def test_what_does_not_fit_is_refused_before_it_starts(refuse, command, accepted, tmp_path, directory, monkeypatch):
    """By the estimates of a dry run, which itself refuses nothing. Rounds that are there do not count, and those that
    will be overwritten make room."""
    memory, disk = 40e9, 1e12
    monkeypatch.setattr("sifting.training.dry_run.available_memory", lambda: memory)
    monkeypatch.setattr("sifting.training.dry_run.available_disk", lambda folder: disk)
    large, anyway = "Network.arch=c1,1000000:x", "; or [IO] check_resources = false, to try it anyway"
    path = write_input(tmp_path, large)
    line = refuse(path)
    expected = (
        r"\[Network\] arch = 'c1,1000000:x': accepted: what fits into memory: about [\d.]+ GB are needed, 40.00 GB"
    )
    assert re.search(expected, line) and line.endswith(f" are free{anyway}")
    assert command(path, "--dry_run")[0] == 0
    with pytest.raises(accepted):
        command(path, "--set", "IO.check_resources=false")

    path, disk = write_input(tmp_path), 4e5  # 150 kB a round, and 75 kB more for the first of three
    start = (
        f"{path}: [IO] save_dir = '{directory.folder}': accepted: a folder with room: about 0.5 MB are needed, 0.4 MB"
    )
    assert refuse(path) == f"{start} are free{anyway}"
    directory.write_input(read_experiment([str(path)]).to_text())
    for number in (0, 1):
        directory.write_round(made_round(number))
    for arguments in ([], ["--overwrite"]):
        with pytest.raises(accepted):
            command(path, *arguments)


# --- images --------------------------------------------------------------------------------------------------------


def batch(count: int = 40, **changes) -> bytes:
    """An official file."""
    content = {"data": np.zeros((count, 3072), np.uint8), "labels": list(range(1, count + 1)), "mean": np.zeros(3072)}
    return pickle.dumps(content | changes)


def imagenet(tmp_path: Path, *changes: str, method: str = "IMP", **contents: bytes) -> Path:
    """An input file for ImageNet32, and its folder."""
    folder = tmp_path / "ImageNet"
    folder.mkdir(exist_ok=True)
    for name, content in ({"train_data_batch_1": batch(), "val_data": batch()} | contents).items():
        (folder / name).write_bytes(content)
    return write_input(tmp_path, "Data.dataset=ImageNet32", f"Data.dataloc={folder}", *changes, method=method)


@pytest.mark.parametrize("name", ["train_data_batch_1", "val_data"])
def test_official_file(refuse, tmp_path, directory, name):
    """The line begins with the file; what the run directory held is untouched, --overwrite or not."""
    directory.write_round(made_round(0))
    for content, expected in [
        (batch()[:5000], "is not a pickle of numpy arrays, or is damaged"),
        (batch(extra=RunsCode()), "neither a numpy array nor a plain container"),
        (batch(labels=[1]), "has 40 images but 1 labels; accepted: one label for each image"),
    ]:
        line = refuse(imagenet(tmp_path, **{name: content}), "--overwrite")
        assert line.startswith(f"{tmp_path / 'ImageNet' / name}: ") and expected in line


def test_missing_images(refuse, tmp_path, directory):
    """Nothing is made, and a run directory with results loses nothing."""
    path = write_input(tmp_path, "Data.dataset=CIFAR10", f"Data.dataloc={tmp_path}", f"IO.save_dir={tmp_path / 'new'}")
    for arguments in ([], ["--seeds=1,2"]):
        assert refuse(path, *arguments).startswith(f"{tmp_path / 'data_batch_1'}: no such file")
    directory.write_round(made_round(0))
    line = refuse(write_input(tmp_path, "Data.dataset=ImageNet32", f"Data.dataloc={tmp_path / 'no'}"), "--overwrite")
    assert line.startswith(f"{tmp_path / 'no'}: no such folder")
    assert "image-net.org" in line and "unpack" in line and "add inputs/small.in behind" in line
    path = imagenet(tmp_path, "IO.prefix=new")
    (tmp_path / "ImageNet" / "val_data").unlink()
    assert refuse(path).startswith(f"{tmp_path / 'ImageNet' / 'val_data'}: no such file; [Data] dataloc must hold")


def test_a_refusal_under_the_lock_leaves_no_lock(refuse, tmp_path):
    """Of a run that did not begin. Folders that were there stay."""
    (tmp_path / "runs").mkdir()
    path = imagenet(tmp_path, val_data=b"")
    assert "is damaged" in refuse(path, "--set", f"IO.save_dir={tmp_path / 'runs' / 'new' / 'deep'}")
    assert os.listdir(tmp_path / "runs") == []
    (tmp_path / "runs" / "other_lock").touch()
    assert "is damaged" in refuse(path, "--set", f"IO.save_dir={tmp_path / 'runs'}")
    assert os.listdir(tmp_path / "runs") == ["other_lock"]


# --- rounds of a restart, and of other runs that a method names ----------------------------------------------------


def rounds_that_do_not_fit() -> dict[str, bytes]:
    """Contents of an itdata file, none of which can be pruned from."""
    stored = made_round(0)
    bare = dataclasses.replace(stored, checkpoints=())
    other = (dataclasses.replace(SPECS[0], shape=(3072, 5)), dataclasses.replace(SPECS[1], shape=(5, 10)))
    unpruned = tuple(dataclasses.replace(spec, prunable=not spec.prunable) for spec in SPECS)
    return {
        "truncated": dump_pickle(round_to_lists(stored))[:1000],
        "hostile": pickle.dumps([RunsCode()] * 10),
        "another list": pickle.dumps([1] * 10),
        "no checkpoints": dump_pickle(round_to_lists(bare)),
        "another architecture": dump_pickle(round_to_lists(made_round(0, other))),
        "other prune flags": dump_pickle(round_to_lists(made_round(0, unpruned))),
    }


def restarting(tmp_path: Path, *changes: str, method: str = "IMP") -> Path:
    return write_input(tmp_path, "Network.restart=true", *changes, method=method)


@pytest.mark.parametrize("case", rounds_that_do_not_fit())
def test_restart_from_a_damaged_or_foreign_round(refuse, tmp_path, directory, case):
    directory.round_path(0).write_bytes(rounds_that_do_not_fit()[case])
    line = refuse(restarting(tmp_path))
    accepted = {
        "no checkpoints": "a round of the same architecture, with stored weights",
        "another architecture": "a round of the same architecture, with stored weights",
        "other prune flags": "a round with the same [IMP] prune",
    }.get(case, "the pickle of a round (")
    assert line.startswith("default: [Network] rest_") and f"'{directory.round_path(0)}': accepted: {accepted}" in line


def test_restart_without_the_first_or_the_last_round(refuse, tmp_path, directory):
    assert MISSING in refuse(restarting(tmp_path))
    directory.write_round(made_round(0))
    line = refuse(restarting(tmp_path, "Network.rest_it=2"))
    assert line.startswith("default: [Network] rest_mask_file = ") and MISSING in line
    path = restarting(tmp_path, "Network.rest_weights_file=elsewhere.pkl")
    assert refuse(path).startswith(f"{path}: [Network] rest_weights_file = 'elsewhere.pkl': accepted: the pickle of a ")
    for step in (2, -3, 1000):
        line = refuse(restarting(tmp_path, f"Network.restart_weights_step={step}"))
        assert f"[Network] restart_weights_step = '{step}': accepted: -2 to 1" in line


def test_a_method_with_levels_may_restart_from_a_run_with_other_prune_flags(refuse, command, tmp_path, directory):
    """It takes only masks and weights; others go on from the ratios, of the same layers."""
    for number in (0, 1, 2):
        directory.write_round(made_round(number))
    files = [f"Network.rest_{name}_file={directory.round_path(0)}" for name in ("weights", "mask")]
    snip = restarting(tmp_path, "SNIP.prune=T:T", "IO.prefix=new", *files, method="SNIP")
    assert command(snip, "--dry_run")[0] == 0
    line = refuse(restarting(tmp_path, "LayerByLayer.prune=T:T", method="LayerByLayer"))
    assert f"rest_mask_file = '{directory.round_path(0)}': accepted: a round with the same [LayerByLayer] prune" in line
    directory.round_path(0).unlink()
    line = refuse(restarting(tmp_path, "Network.rest_it=2", method="SynFlow"))
    assert line.startswith("default: [Network] rest_weights_file = ") and "itdata_0.pkl" in line and MISSING in line


@pytest.fixture
def other(tmp_path) -> RunDirectory:
    """A run with two rounds of the same architecture, weights stored at steps 5 and 20."""
    return stored_run(tmp_path / "other", made_round(0), made_round(1))


def naming(tmp_path: Path, key: str, value, *changes: str) -> Path:
    """An input file of [OneShot] with dense_run, or of [Random] with like."""
    if key == "dense_run":
        return write_input(tmp_path, f"OneShot.dense_run={value}", *changes, method="OneShot")
    return write_input(tmp_path, "Random.sparsity", f"Random.like={value}", *changes, method="Random")


SECTION_OF = {"dense_run": "OneShot", "like": "Random"}
both = pytest.mark.parametrize("key", SECTION_OF)


@both
def test_a_run_that_fits_is_accepted(command, tmp_path, other, key):
    """As DIR and as DIR/PREFIX; else the tests below would prove nothing."""
    for value in (other.folder, other.folder / "IMP"):
        assert command(naming(tmp_path, key, value), "--dry_run")[0] == 0


@both
def test_a_name_that_is_no_run(refuse, tmp_path, key):
    """What else a name can be that is none: test_run_directory.py."""
    for seed in (1, 2):
        stored_run(tmp_path / "seeds" / f"seed_{seed}", made_round(0))
    for name, reason in (("missing", "missing: is not there; "), ("seeds", "2 seeds; one of them is meant")):
        path = naming(tmp_path, key, name)
        start = f"{path}: [{SECTION_OF[key]}] {key} = {name!r}: accepted: a run directory, or DIR/PREFIX ("
        assert refuse(path).startswith(start + reason)


@both
def test_a_run_of_another_architecture_or_with_damaged_rounds(refuse, tmp_path, other, key):
    start = f"[{SECTION_OF[key]}] {key} = '{other}': accepted: "
    for change in ("Network.arch=f5:x", "Network.arch=f4:f4:x", "Data.reclass=m,2"):
        path = naming(tmp_path, key, other, change)
        assert refuse(path) == f"{path}: {start}a run of the same architecture"
    for case in ("truncated", "hostile", "another list"):
        for number in (0, 1):
            other.round_path(number).write_bytes(rounds_that_do_not_fit()[case])
        line = refuse(naming(tmp_path, key, other))
        assert f"{start}a run directory, or DIR/PREFIX ({other.round_path(int(key == 'like'))}" in line


def test_a_run_without_the_round_that_is_needed(refuse, tmp_path, other):
    other.round_path(0).unlink()
    assert MISSING in refuse(naming(tmp_path, "dense_run", other))
    other.write_round(made_round(0))
    other.round_path(1).unlink()
    line = refuse(naming(tmp_path, "like", other))
    assert line.endswith(f"[Random] like = '{other}': accepted: a run with rounds besides round 0")


def test_a_dense_run_without_the_weights_that_are_needed(refuse, tmp_path, other):
    for change, needed in [
        ("OneShot.weights_step=4", [4, 20]),
        ("OneShot.prune_step=15", [5, 15, 20]),
        ("Network.steps=30", [5, 30]),
    ]:
        path = naming(tmp_path, "dense_run", other, change)
        accepted = f"a run whose round 0 stored its weights at steps {needed}; this one has [5, 20]"
        assert refuse(path) == f"{path}: [OneShot] dense_run = '{other}': accepted: {accepted}"
    # weights_step = 5 is stored here, but step 2 before it: rewinding would go there.
    stored = made_round(0)
    early = dataclasses.replace(stored.checkpoints[0], step=2)
    other.write_round(dataclasses.replace(stored, checkpoints=(early, *stored.checkpoints)))
    assert "this one has [2, 5, 20]" in refuse(naming(tmp_path, "dense_run", other))


@both
def test_overwrite_does_not_delete_what_the_method_takes_from(refuse, command, accepted, tmp_path, directory, key):
    """A run cannot name its own rounds; of another prefix in the same folder it can."""
    for number in (0, 1):
        directory.write_round(made_round(number))
    line = refuse(naming(tmp_path, key, directory), "--overwrite")
    assert f"{key} = '{directory}': accepted: rounds that --overwrite does not delete, as it does from 0 on" in line
    with pytest.raises(accepted):
        command(naming(tmp_path, key, directory, "IO.prefix=other"), "--overwrite")
    assert directory.rounds() == [0, 1]


# --- real processes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["flags", "input file", "environment", "images", "run directory"])
def test_a_process_refuses_before_tensorflow_is_imported(tmp_path, directory, stage):
    """`python -m sifting.run`, as users start it, where importing TensorFlow or Keras would fail."""
    (tmp_path / "poison").mkdir()
    for name in ("tensorflow", "keras", "jax"):
        (tmp_path / "poison" / f"{name}.py").write_text("raise AssertionError('imported too early')\n")
    directory.write_round(made_round(0))
    path, environment = write_input(tmp_path), {}
    if stage == "environment":
        environment["KERAS_BACKEND"] = "jax"
    if stage == "images":
        path = imagenet(tmp_path, val_data=batch(extra=RunsCode()))
    arguments, expected = {
        "flags": (["--sed=1"], "Unknown command line flag 'sed'"),
        "input file": (["--set=Network.stepz=3"], "[Network] stepz = '3': unknown key; accepted: arch, steps, "),
        "environment": ([], "accepted: tensorflow"),
        "images": (["--overwrite"], "neither a numpy array"),
        "run directory": ([], "holds another experiment"),
    }[stage]
    process = subprocess.run(
        [sys.executable, "-W", "error", "-m", "sifting.run", path, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "poison"), str(ROOT)]), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode == 2, process.stderr
    assert process.stderr.startswith("sifting: ") and process.stderr.count("\n") == 1 and expected in process.stderr
    assert directory.rounds() == [0] and not (tmp_path / "code_was_run").exists()


@pytest.mark.parametrize("flag", ["--help", "-h", "-?"])
def test_help_is_usage_and_flags(command, flag):
    code, output, error = command(flag)
    assert (code, error) == (0, "")
    assert output.startswith("usage: python -m sifting.run [INPUT ...]\n")
    named = set(re.findall(r"^  --(\w+) .*\w", output, re.MULTILINE))
    assert named - {"nokeep_going"} | {"keep_going"} == {
        flag.name for flag in flags.FLAGS.get_key_flags_for_module("sifting.run")
    }
