"""Bad input of every kind: exit code 2, one line that says what is wrong and what is accepted, nothing written or lost.

Most cases call main() in this process; the last ones start `python -m sifting.run`, as users do.
"""

import contextlib
import dataclasses
import fcntl
import itertools
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
from absl.testing import flagsaver
from synthetic import SPECS, input_text, made_round, write_input

from sifting import inputs, launch, run
from sifting.architecture import LayerSpec
from sifting.run_directory import RunDirectory, dump_pickle, round_to_lists

ROOT = Path(__file__).parent.parent
MISSING = "No such file or directory"


@pytest.fixture(autouse=True)
def user(tmp_path, monkeypatch):
    """A user at work in an empty folder, whose accepted experiments would fail the test instead of training."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("sifting.files.os.fsync", lambda descriptor: None)
    monkeypatch.setattr(launch, "native_messages_hidden", lambda: pytest.fail("the input was accepted"))


@pytest.fixture
def directory(tmp_path) -> RunDirectory:
    """Where the input files of these tests send their results."""
    (tmp_path / "run").mkdir()
    return RunDirectory(tmp_path / "run", "IMP")


def files(folder: Path) -> dict[str, bytes]:
    """Names and contents below a folder. The lock is left out: it is empty, or names the last process."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("_lock")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture
def refuse(tmp_path, capsys):
    """refuse(*arguments) -> the line, without its "sifting: "; checks all that holds for every refusal."""

    def refuse(*arguments) -> str:
        before = files(tmp_path / "run")
        with flagsaver.flagsaver():
            try:
                code = run.main(run._parse_flags(["run", *map(str, arguments)]))
            except SystemExit as stop:
                code = stop.code
        error = capsys.readouterr().err
        assert code == 2, error
        assert error.startswith("sifting: ") and error.endswith("\n") and error.count("\n") == 1
        assert "Traceback" not in error
        assert files(tmp_path / "run") == before
        return error.removeprefix("sifting: ").rstrip("\n")

    flags.FLAGS.mark_as_parsed()
    return refuse


# --- values --------------------------------------------------------------------------------------------------------

WHOLE = "a whole number >= 1"
LAYERS = "layers joined by ':', the last one x"
RECLASS = "n, or m,K, or f,K,FILE with K >= 2 classes"
VALUES = [
    ("IO.save_dir", "", "a folder"),
    ("IO.save_dir", "one\n two", "a folder"),
    ("IO.save_dir", "a\0b", "a folder"),
    ("IO.prefix", "", "a file name without '/'"),
    ("IO.prefix", "a/b", "a file name without '/'"),
    ("IO.checkpoint_seconds", "-1", "a number of seconds >= 0"),
    ("IO.checkpoint_seconds", "nan", "a number of seconds >= 0"),
    ("Data.dataset", "imagenet32", "ImageNet32 or ImageNet64 or CIFAR10 or EdgeCollage32 or npz or folder"),
    ("Data.preload", "maybe", "true or false"),
    ("Data.data_ratio", "0", "a number > 0 and <= 1"),
    ("Data.data_ratio", "1.5", "a number > 0 and <= 1"),
    ("Data.data_ratio", "-0.3", "a number > 0 and <= 1"),
    ("Data.data_ratio", "0.003", "at least one of the 300 training images"),
    ("Data.reclass", "k,10", RECLASS),
    ("Data.reclass", "m", RECLASS),
    ("Data.reclass", "m,1", RECLASS),
    ("Data.reclass", "f,10", RECLASS),
    ("Data.reclass", "m,11", "K <= 10, the number of classes"),
    ("Data.reclass", "f,11,classes.dat", "K <= 10, the number of classes"),
    ("Data.reclass", "f,10,classes.dat", f"a file that can be read; classes.dat: {MISSING}"),
    ("Data.reclass", "f,10,.", "a file that can be read; .: Is a directory"),
    ("Data.clone", "yes", "none or gaussian"),
    ("Data.clone_images", "1", "a whole number >= 2"),
    ("Data.collage_images", "0", WHOLE),
    ("Data.collage_class", "colour", "sharpness or orientation"),
    ("Network.arch", "", LAYERS),
    ("Network.arch", "f0:x", "layer 'f0' has a size that is not 1 ... 1000000"),
    ("Network.arch", "f99999999999:x", "layer 'f99999999999' has a size that is not 1 ... 1000000"),
    ("Network.arch", "f1024", "the output layer x must stand last, and only there"),
    ("Network.arch", "x:f4:x", "the output layer x must stand last, and only there"),
    ("Network.arch", "f4:x:x", "the output layer x must stand last, and only there"),
    ("Network.arch", "q4:x", "unknown layer 'q4'"),
    ("Network.arch", "F4:x", "unknown layer 'F4'"),
    ("Network.arch", "f4::x", "unknown layer ''"),
    ("Network.arch", "f1e3:x", "layer 'f1e3' is not fN"),
    ("Network.arch", "f٣:x", "layer 'f٣' is not fN"),
    ("Network.arch", "f4;f4:x", "layer 'f4;f4' is not fN"),
    ("Network.arch", "c3:x", "layer 'c3' is not cK,F"),
    ("Network.arch", "c3,4,0:x", "layer 'c3,4,0' has a size that is not 1"),
    ("Network.arch", "p2:x", "layer 'p2' is not pK,S"),
    ("Network.arch", "f4:c3,4:x", "a convolution or max-pool cannot follow a dense layer"),
    ("Network.arch", "c33,4:x", "layer 'c33,4' is larger than its input of 32 x 32 pixels"),
    ("Network.arch", "c3,4:p31,2:x", "layer 'p31,2' is larger than its input of 30 x 30 pixels"),
    ("Network.arch", "f4:x\n steps = 5", LAYERS),
    ("Network.steps", "1e5.5", WHOLE),
    ("Network.steps", "0", WHOLE),
    ("Network.steps", "12.5", WHOLE),
    ("Network.steps", "many", WHOLE),
    ("Network.steps", "nan", WHOLE),
    ("Network.steps", "1e12", WHOLE),
    ("Network.steps", "20 ; a comment?", WHOLE),
    ("Network.steps", "20\n 30", WHOLE),
    ("Network.batch_size", "1", "a whole number >= 2"),
    ("Network.val_size", "41", "at most 40, the number of validation images"),
    ("Network.validate_step", "0", WHOLE),
    ("Network.minimizer", "sgd", "SGD or Adam"),
    ("Network.learning_rate", "0", "a number > 0"),
    ("Network.learning_rate", "1e400", "a number > 0"),
    ("Network.init_sparsity", "1", "a number >= 0 and < 1"),
    ("Network.batch_norm_beta", "1", "a number >= 0 and < 1"),
    ("Network.restart", "perhaps", "true or false"),
    ("Network.seed", "-1", "a whole number >= 0"),
    ("Network.centring", "safe", "reference or exact"),
    ("IMP.prune", "T:T:T", "at most 2 flags, one for each layer of arch"),
    ("IMP.prune", "F:F", "at least one T, at a layer with weights"),
    ("IMP.prune", "1:0", "T or F for each layer of arch"),
    ("IMP.prune_ratio", "1.5", "a number > 0 and < 1"),
    ("IMP.prune_ratio", "1", "a number > 0 and < 1"),
    ("IMP.prune_ratio", "0", "a number > 0 and < 1"),
    ("IMP.prune_ratio", "-1", "a number > 0 and < 1"),
    ("IMP.prune_ratio", "nan", "a number > 0 and < 1"),
    ("IMP.prune_ratio", "30%", "a number > 0 and < 1"),
    ("IMP.weights_step", "20", "a whole number >= 0 and < 20"),
    ("IMP.weights_step", "-1", "a whole number >= 0"),
    ("IMP.prune_step", "21", "at most [Network] steps = 20"),
    ("IMP.stop_ratio", "1", "a number >= 0 and < 1"),
    ("IMP.max_iterations", "0", WHOLE),
    ("Scale.width", "0", "a number > 0"),
    ("Scale.width", "1000000.0", "at most 250000: it multiplies 4"),
    ("Scale.steps", "1e+308", "it multiplies 20"),
    ("Scale.images", "inf", "a number > 0"),
]


SPARSITIES = "increasing numbers > 0 and < 1, joined by ','"
ONE_WAY = "the levels given in exactly one way: sparsity, or prune_ratio and rounds; given: "
METHOD_VALUES = [
    *(("SNIP.sparsity", value, SPARSITIES) for value in ("0", "1", "-0.5", "1.5", "nan", "half", "90%", "0.5;0.9")),
    *(("SNIP.sparsity", value, SPARSITIES) for value in ("0.9, 0.5", "0.5, 0.5", "0.5,", ",0.5", "0.5, 1", "0.5 0.9")),
    ("OneShot.prune_ratio", "0.3", ONE_WAY + "prune_ratio, sparsity"),
    ("OneShot.rounds", "4", ONE_WAY + "rounds, sparsity"),
    ("OneShot.rounds", "0", WHOLE),
    ("OneShot.prune_ratio", "1", "a number > 0 and < 1"),
    ("OneShot.weights_step", "20", "a whole number >= 0 and < 20"),
    ("OneShot.prune_step", "21", "at most [Network] steps = 20"),
    ("OneShot.scope", "both", "layerwise or global"),
    ("SNIP.prune", "F:F", "at least one T, at a layer with weights"),
    ("SNIP.prune", "T:T:T", "at most 2 flags"),
    ("SNIP.images", "1", "a whole number >= 2"),
    ("SNIP.images", "301", "at most 300, the number of training images"),
    ("GraSP.images", "10000", "at most 300, the number of training images"),
    ("Cavity.images", "301", "at most 300, the number of training images"),
    ("SNIP.moments", "running", "batch or initial"),
    ("SNIP.dense", "perhaps", "true or false"),
    ("GraSP.temperature", "0", "a number > 0"),
    ("SynFlow.iterations", "0", WHOLE),
    ("Random.weights_step", "20", "a whole number >= 0 and < [Network] steps = 20"),
    ("Random.scope", "all", "global or layerwise"),
    ("Cavity.weights_step", "20", "a whole number >= 0 and < [Network] steps = 20"),
    ("Cavity.prune", "T:T", "T at the first layer alone, which must be a dense one"),
    ("Cavity.prune", "F:T", "T at the first layer alone, which must be a dense one"),
    ("LayerByLayer.layers", "2", "at most 1, the number of prunable layers"),
    ("LayerByLayer.layers", "0", WHOLE),
    ("LayerByLayer.first_layer", "2", "at most [LayerByLayer] layers = 1"),
    ("LayerByLayer.freeze", "weights", "mask_and_weights or mask"),
    ("LayerByLayer.weights_step", "20", "a whole number >= 0 and < 20"),
    ("IMP.scope", "networkwide", "layerwise or global"),
    ("Network.init_deviation", "0", "layer, common, or a number > 0"),
    ("Network.init_deviation", "Glorot", "layer, common, or a number > 0"),
]


@pytest.mark.parametrize(("key", "value", "accepted"), METHOD_VALUES)
def test_value_of_a_method(refuse, tmp_path, key, value, accepted):
    """As above, in an input file of that method."""
    section, _, name = key.partition(".")
    path = write_input(tmp_path, f"{key}={value}", method=section if section != "Network" else "SNIP")
    line = refuse(path)
    assert line.startswith(f"{path}: [{section}] {name} = {value!r}: accepted: ") and accepted in line
    assert not (tmp_path / "run").exists()


def restart(*changes: str) -> tuple[str, ...]:
    return "Network.restart=true", *changes


COMBINATIONS = [
    ("SNIP", ["SNIP.sparsity"], "default: [SNIP] sparsity = '': accepted: ", ONE_WAY + "none"),
    ("SNIP", ["SNIP.sparsity", "SNIP.prune_ratio=0.3"], "[SNIP] prune_ratio = '0.3'", ONE_WAY + "prune_ratio"),
    ("SNIP", ["SNIP.sparsity", "SNIP.rounds=3"], "[SNIP] rounds = '3'", ONE_WAY + "rounds"),
    ("SNIP", ["SNIP.prune_ratio=0.3", "SNIP.rounds=3"], "[SNIP] ", ONE_WAY + "prune_ratio, rounds, sparsity"),
    ("Random", ["Random.like=a"], "[Random] like = 'a'", "prune_ratio and rounds, or like; given: like, sparsity"),
    ("SNIP", ["SNIP.images"], "default: [SNIP] images = '10000'", "at most 300, the number of training images"),
    (
        "SNIP",
        ["SNIP.images=151", "Data.data_ratio=0.5"],
        "[SNIP] images = '151'",
        "at most 150, the number of training",
    ),
    (
        "SNIP",
        ["Network.init_sparsity=0.5"],
        "[SNIP] sparsity = '0.5, 0.9'",
        "levels above [Network] init_sparsity = 0.5",
    ),
    ("Random", ["Random.dense=false", "Random.weights_step=5"], "[Random] weights_step = '5'", "0 with dense = false"),
    ("Cavity", ["Network.arch=c3,4:x"], "[Cavity] prune = 'T:F'", "the first layer alone, which must be a dense one"),
    ("Cavity", ["Network.arch=p2,2:f4:x"], "[Cavity] prune = 'T:F'", "at least one T, at a layer with weights"),
    ("SNIP", ["Network.arch=c3,4:p2,2:x", "SNIP.prune=F:T"], "[SNIP] prune = 'F:T'", "at least one T, at a layer with"),
    (
        "LayerByLayer",
        ["LayerByLayer.prune=T:T", "LayerByLayer.first_layer=2"],
        "[LayerByLayer] first_layer = '2'",
        "1, but after [Network] restart",
    ),
    (
        "LayerByLayer",
        ["LayerByLayer.prune=T:T", "LayerByLayer.first_layer=2", "LayerByLayer.layers=1", "Network.restart=true"],
        "[LayerByLayer] first_layer = '2'",
        "at most [LayerByLayer] layers = 1",
    ),
    ("SNIP", restart("Network.rest_it=3"), "[Network] rest_it = '3'", "at most 2, the number of levels"),
    ("Cavity", restart("Network.rest_it=3"), "[Network] rest_it = '3'", "less than [Cavity] max_iterations = 3"),
    ("OneShot", restart("OneShot.dense_run=a"), "[OneShot] dense_run = 'a'", "not with restart, which says itself"),
    ("Random", ["Random.sparsity", "Random.like=a", "Random.scope=global"], "[Random] scope = 'global'", "layerwise"),
]


@pytest.mark.parametrize(("method", "changes", "value", "accepted"), COMBINATIONS)
def test_values_of_a_method_that_do_not_fit_each_other(refuse, tmp_path, method, changes, value, accepted):
    path = write_input(tmp_path, *changes, method=method)
    line = refuse(path)
    assert line.startswith(value if value.startswith("default") else f"{path}: {value}") and accepted in line
    assert ": accepted: " in line and not (tmp_path / "run").exists()


@pytest.mark.parametrize(("key", "value", "accepted"), VALUES)
def test_value(refuse, tmp_path, key, value, accepted):
    """The line names file, section, key, value and what is accepted; save_dir is not even made."""
    section, _, name = key.partition(".")
    path = write_input(tmp_path, f"{key}={value}")
    line = refuse(path)
    shown = value.replace("\n ", "\n")
    assert line.startswith(f"{path}: [{section}] {name} = {shown!r}: accepted: ") and accepted in line
    assert not (tmp_path / "run").exists()


def test_value_that_does_not_fit_another_one_names_the_file_that_gave_it(refuse, tmp_path):
    """Here prune_step comes later, and makes a weights_step wrong that was right."""
    base, change = write_input(tmp_path), tmp_path / "change.in"
    change.write_text("[IMP]\nprune_step = 5\n")
    assert refuse(base, change).startswith(f"{base}: [IMP] weights_step = '5': accepted: a whole number >= 0 and < 5")


def test_default_that_does_not_fit_is_called_a_default(refuse, tmp_path):
    line = refuse(write_input(tmp_path, "IMP.weights_step"))
    assert line.startswith("default: [IMP] weights_step = '1000': accepted: a whole number >= 0 and < 20")


def test_images_scaled_beyond_the_data_set(refuse, tmp_path):
    line = refuse(write_input(tmp_path, "Data.dataset=ImageNet32", "Scale.images=2"))
    assert "[Data] data_ratio = '2.0': accepted: at most 1 after multiplication by [Scale] images" in line


@pytest.mark.parametrize(
    ("content", "accepted"),
    [
        ("0,1,2", "one id for each of the 10 classes; classes.dat has 3"),
        ("0,1,2,0,1,2,0,1,2,3", "whole numbers 0 ... 2; classes.dat has '3' at position 9"),
        ("0,1,2,0,1,2,0,1,2,-1", "classes.dat has '-1' at position 9"),
        ("0 1 2 0 1 2 0 1 2 0", "comma-separated whole numbers"),
        ("", "comma-separated whole numbers"),
        (b"\x80\x04\x95", "a text file"),
    ],
)
def test_class_map_file(refuse, tmp_path, content, accepted):
    (tmp_path / "classes.dat").write_bytes(content if isinstance(content, bytes) else content.encode())
    path = write_input(tmp_path, "Data.reclass=f,3,classes.dat")
    line = refuse(path)
    assert line.startswith(f"{path}: [Data] reclass = 'f,3,classes.dat': accepted: a ") and accepted in line


# --- files ---------------------------------------------------------------------------------------------------------

METHODS = "[IMP], [OneShot], [SNIP], [SynFlow], [Random], [LayerByLayer], [GraSP], [Cavity]"
SECTIONS = f"accepted: [IO], [Data], [Network], {METHODS}, [Scale]"
GOOD = input_text(Path("here"))
FILES = {
    "empty": ("", "method section: found none; accepted: exactly one of [IMP]"),
    "no method": (GOOD.partition("[IMP]")[0], "; a file such as inputs/small.in stands behind one that has it"),
    "no network": ("[IMP]\n", "[Network] arch is missing; accepted: layers joined by"),
    "typo in a key": (
        GOOD.replace("steps", "stepz", 1),
        "[Network] stepz = '20': unknown key; accepted: arch, steps, ",
    ),
    "key in another section": (
        GOOD.replace("prune =", "seed =", 1),
        "[IMP] seed = 'T:F': unknown key; accepted: prune, ",
    ),
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
    "binary": (bytes(range(256)), "is not a text file; accepted: an input file"),
    "other encoding": (GOOD.encode("utf-16"), "is not a text file; accepted: an input file"),
    "pickle": (pickle.dumps({"a": 1}), "is not a text file; accepted: an input file"),
}


@pytest.mark.parametrize("name", FILES)
def test_file(refuse, tmp_path, name):
    content, expected = FILES[name]
    path = tmp_path / "test.in"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    line = refuse(path)
    assert line.startswith(f"{path}: ") and expected in line
    assert os.listdir(tmp_path) == ["test.in"]


def test_two_methods_in_one_file(refuse, tmp_path):
    path = write_input(tmp_path, "SNIP.sparsity=0.5")
    line = refuse(path)
    assert line == f"{path}: method section: found [IMP], [SNIP] in {path}; accepted: exactly one of {METHODS}"


def test_two_methods_in_two_files_or_by_set(refuse, tmp_path):
    path, change = write_input(tmp_path), tmp_path / "change.in"
    change.write_text("[Cavity]\n")
    line = refuse(path, change)
    assert line.endswith(f"found [IMP], [Cavity] in {path}, {change}; accepted: exactly one of {METHODS}")
    assert "found [IMP], [Random] in" in refuse(path, "--set", "Random.sparsity=0.5")


# --- the command line ----------------------------------------------------------------------------------------------

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
    (["test.in", "--set"], "Missing value for flag --set"),
    (["test.in", "--set", "Network"], "--set 'Network': accepted: Section.key=value"),
    (["test.in", "--set", "Network.steps"], "--set 'Network.steps': accepted: Section.key=value"),
    (["test.in", "--set", "steps=3"], "--set 'steps=3': accepted: Section.key=value"),
    (["test.in", "--set", "Network.=3"], "--set 'Network.=3': accepted: Section.key=value"),
    (["test.in", "--set", "Network.stepz=3"], "--set: [Network] stepz = '3': unknown key; accepted: arch, steps"),
    (["test.in", "--set", "network.steps=3"], f"--set: [network] steps = '3': unknown section; {SECTIONS}"),
    (["test.in", "--set", "Network.steps=3\n4"], "--set: [Network] steps = '3\\n4': accepted: a whole number"),
    (["test.in", "--set", "IO.save_dir=a #b"], "--set: [IO] save_dir = 'a #b': accepted: a folder"),
    (["test.in", "--set", "IO.prefix=\udcff"], "--set: [IO] prefix = '\\udcff': accepted: a file name"),
    (["test.in", "--set", "Network.restart_weights_step=x"], "restart_weights_step = 'x': accepted: a whole number, "),
    *(
        (["test.in", f"--seeds={seeds}"], f"--seeds '{seeds}': accepted: different whole numbers >= 0, such as 1,2,3,4")
        for seeds in ("", "x", "1,x", "1,1", "1,1e0", "-1", "1.5", "1,,2", "1 2", "99999999999")
    ),
]


@pytest.mark.parametrize(("arguments", "expected"), COMMANDS, ids=lambda value: ascii(value)[:60])
def test_command(refuse, tmp_path, arguments, expected):
    write_input(tmp_path)
    assert expected in refuse(*arguments)
    assert os.listdir(tmp_path) == ["test.in"]


def test_dry_run_refuses_as_well(refuse, tmp_path):
    assert "val_size = '41'" in refuse(write_input(tmp_path, "Network.val_size=41"), "--dry_run")


# --- folders that cannot be written --------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["file", "file/run", "x" * 300, "file/run/deep"])
def test_save_dir_that_cannot_be_made(refuse, tmp_path, folder):
    """A file in the way: no permissions can help, whoever the user is."""
    (tmp_path / "file").write_text("something else")
    line = refuse(write_input(tmp_path, f"IO.save_dir={tmp_path / folder}"))
    assert line.startswith(f"{tmp_path / folder}: cannot be written (")
    assert line.endswith("accepted as [IO] save_dir: a writable folder")
    assert (tmp_path / "file").read_text() == "something else"


def test_cache_dir_that_cannot_be_made(refuse, tmp_path):
    (tmp_path / "file").write_text("something else")
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


def test_disk_full_while_images_are_prepared(refuse, tmp_path):
    path = write_input(tmp_path)
    with full_disk(100_000):
        line = refuse(path)
    assert line.startswith(str(tmp_path / "cache")) and "cannot be written (File too large)" in line
    assert not any("images" in name for name in files(tmp_path / "cache"))


def test_disk_full_while_the_run_is_recorded(refuse, tmp_path, directory):
    path = write_input(tmp_path)
    prepare_images(path)
    with full_disk(200):
        line = refuse(path)
    assert line.startswith(f"{directory.path('input.in')}: cannot be written (File too large)")
    assert "accepted: a writable folder with room, then the same command again" in line


def test_disk_full_while_the_lock_is_written(refuse, tmp_path, directory):
    path = write_input(tmp_path)
    with full_disk(0):
        line = refuse(path)
    assert line.startswith(f"{directory.folder}: cannot be written (File too large)")


def prepare_images(path: Path) -> None:
    run.datasets.load(inputs.read_experiment([str(path)]), lambda line: None)


# --- the official files --------------------------------------------------------------------------------------------


class RunsCode:
    def __reduce__(self):
        return os.mkdir, ("code_was_run",)


def batch(**changes) -> dict:
    """An official file of 40 images."""
    return {
        "data": np.zeros((40, 3072), np.uint8),
        "labels": list(range(1, 41)),
        "mean": np.zeros(3072),
    } | changes


WHOLE_PICKLE = pickle.dumps(batch())
BATCHES = {
    "truncated": (WHOLE_PICKLE[:5000], "is not a pickle of numpy arrays, or is damaged"),
    "empty": (b"", "is not a pickle of numpy arrays, or is damaged"),
    "web page": (b"<html>404</html>", "is not a pickle of numpy arrays, or is damaged"),
    "hostile": (batch(extra=RunsCode()), "neither a numpy array nor a plain container"),
    "huge": (b"\x80\x04B\xff\xff\xff\x7f", "damaged"),
    "a list": ([1, 2, 3], "holds list; accepted: data, labels"),
    "no labels": ({"data": batch()["data"]}, "holds data; accepted: data, labels"),
    "label 0": (batch(labels=[0] * 40), "has the label 0; accepted: 1 ... 1000"),
    "label 1001": (batch(labels=[1001] * 40), "has the label 1001; accepted: 1 ... 1000"),
    "labels are words": (batch(labels=["a"] * 40), "accepted: a list of whole numbers"),
    "fewer labels": (batch(labels=[1]), "has 40 images but 1 labels; accepted: one label for each image"),
    "other size": (batch(data=np.zeros((40, 12288), np.uint8)), "accepted: [n, 3072] for 32x32 pixels"),
    "floats": (batch(data=np.zeros((40, 3072))), "is an array of float64; accepted: an array of uint8"),
}


def imagenet(tmp_path: Path, **contents) -> Path:
    """An input file for ImageNet32, and its folder."""
    folder = tmp_path / "ImageNet"
    folder.mkdir(exist_ok=True)
    for name, content in ({"train_data_batch_1": batch(), "val_data": batch()} | contents).items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else pickle.dumps(content))
    return write_input(tmp_path, "Data.dataset=ImageNet32", f"Data.dataloc={folder}")


@pytest.mark.parametrize(("name", "case"), list(itertools.product(["train_data_batch_1", "val_data"], BATCHES)))
def test_official_file(refuse, tmp_path, directory, name, case):
    """The line begins with the file; what the run directory held is untouched, --overwrite or not."""
    content, expected = BATCHES[case]
    directory.write_round(made_round(0))
    path = imagenet(tmp_path, **{name: content})
    line = refuse(path, "--overwrite")
    assert line.startswith(f"{tmp_path / 'ImageNet' / name}: ") and expected in line
    assert directory.rounds() == [0] and not (tmp_path / "code_was_run").exists()


def test_missing_folder_says_what_to_do(refuse, tmp_path, directory):
    """Nor does it cost anything in a run directory with results."""
    directory.write_round(made_round(0))
    line = refuse(write_input(tmp_path, "Data.dataset=ImageNet32", f"Data.dataloc={tmp_path / 'no'}"), "--overwrite")
    assert line.startswith(f"{tmp_path / 'no'}: no such folder")
    assert "image-net.org" in line and "unpack" in line and "add inputs/small.in behind" in line


@pytest.mark.parametrize("arguments", [[], ["--seeds=1,2"]])
def test_missing_images_are_refused_before_anything_is_made(refuse, tmp_path, capsys, arguments):
    """Nor is a line printed of a run that does not begin."""
    path = write_input(tmp_path, "Data.dataset=CIFAR10", f"Data.dataloc={tmp_path}")
    assert refuse(path, *arguments).startswith(f"{tmp_path / 'data_batch_1'}: no such file")
    assert os.listdir(tmp_path) == ["test.in"]


def test_a_refusal_under_the_lock_leaves_no_lock(refuse, tmp_path):
    """Of a run that did not begin. Folders that were there stay."""
    (tmp_path / "runs").mkdir()
    path = imagenet(tmp_path, val_data=b"")
    assert "is damaged" in refuse(path, "--set", f"IO.save_dir={tmp_path / 'runs' / 'new' / 'deep'}")
    assert os.listdir(tmp_path / "runs") == []
    (tmp_path / "runs" / "other_lock").touch()
    assert "is damaged" in refuse(path, "--set", f"IO.save_dir={tmp_path / 'runs'}")
    assert os.listdir(tmp_path / "runs") == ["other_lock"]


def test_incomplete_folder(refuse, tmp_path):
    path = imagenet(tmp_path)
    (tmp_path / "ImageNet" / "val_data").unlink()
    assert refuse(path).startswith(f"{tmp_path / 'ImageNet' / 'val_data'}: no such file; [Data] dataloc must hold")


def test_val_size_beyond_an_incomplete_validation_set(refuse, tmp_path):
    path = imagenet(tmp_path, val_data=batch(data=np.zeros((20, 3072), np.uint8), labels=[1] * 20))
    assert refuse(path) == (f"{path}: [Network] val_size = '30': accepted: at most 20, the number of validation images")


# --- restarts ------------------------------------------------------------------------------------------------------


def restarting(tmp_path: Path, *changes: str) -> Path:
    return write_input(tmp_path, "Network.restart=true", *changes)


def damaged_rounds() -> dict[str, object]:
    """Contents of an itdata file, none of which can be pruned from."""
    whole = dump_pickle(round_to_lists(made_round(0)))
    other = (LayerSpec("f", (3072, 5), True), LayerSpec("x", (5, 10), False))
    unpruned = tuple(dataclasses.replace(spec, prunable=not spec.prunable) for spec in SPECS)

    def changed(position: int, value: object) -> bytes:
        lists = round_to_lists(made_round(0))
        lists[position] = value
        return pickle.dumps(lists, protocol=3)

    return {
        "empty": b"",
        "truncated": whole[:1000],
        "without its end": whole[:-1],
        "text": b"not a pickle",
        "hostile": pickle.dumps([RunsCode()] * 10),
        "not a list": pickle.dumps({"weights": 1}),
        "another list": pickle.dumps([1] * 10),
        "empty lists": pickle.dumps([[] for _ in range(10)]),
        "no weights": changed(7, []),
        "no checkpoints": pickle.dumps(
            [*round_to_lists(made_round(0))[:2], *([[]] * 7), round_to_lists(made_round(0))[9]]
        ),
        "weights of another shape": changed(7, [[[np.zeros((3072, 5))] * 4, [np.zeros((5, 10))] * 4]] * 2),
        "masks of another shape": changed(9, [[np.zeros((3, 3))] * 2] * 2),
        "another architecture": dump_pickle(round_to_lists(made_round(0, other))),
        "other prune flags": dump_pickle(round_to_lists(made_round(0, unpruned))),
        "ratios of another network": changed(1, np.zeros(2)),
        "no ratios": changed(1, None),
    }


@pytest.mark.parametrize("case", damaged_rounds())
def test_restart_from_a_damaged_or_foreign_round(refuse, tmp_path, directory, case):
    directory.round_path(0).write_bytes(damaged_rounds()[case])
    line = refuse(restarting(tmp_path))
    assert line.startswith("default: [Network] rest_") and f"'{directory.round_path(0)}': accepted: " in line
    assert not (tmp_path / "code_was_run").exists()


def test_restart_without_the_first_or_the_last_round(refuse, tmp_path, directory):
    assert MISSING in refuse(restarting(tmp_path))
    directory.write_round(made_round(0))
    line = refuse(restarting(tmp_path, "Network.rest_it=2"))
    assert line.startswith("default: [Network] rest_mask_file = ") and MISSING in line
    path = restarting(tmp_path, "Network.rest_weights_file=elsewhere.pkl")
    assert refuse(path).startswith(f"{path}: [Network] rest_weights_file = 'elsewhere.pkl': accepted: the pickle of a ")


@pytest.mark.parametrize("step", [2, -3, 1000])
def test_restart_weights_step_out_of_range(refuse, tmp_path, directory, step):
    directory.write_round(made_round(0))
    line = refuse(restarting(tmp_path, f"Network.restart_weights_step={step}"))
    assert f"[Network] restart_weights_step = '{step}': accepted: -2 to 1" in line


def test_restart_behind_the_last_round(refuse, tmp_path):
    path = restarting(tmp_path, "Network.rest_it=3")
    assert refuse(path) == f"{path}: [Network] rest_it = '3': accepted: less than [IMP] max_iterations = 3"


# --- other runs that a method names --------------------------------------------------------------------------------


@pytest.fixture
def other(tmp_path) -> RunDirectory:
    """A run with two rounds of the same architecture, weights stored at steps 5 and 20."""
    (tmp_path / "other").mkdir()
    run_directory = RunDirectory(tmp_path / "other", "IMP")
    for number in (0, 1):
        run_directory.write_round(made_round(number))
    return run_directory


def naming(tmp_path: Path, key: str, value, *changes: str) -> Path:
    """An input file of [OneShot] with dense_run, or of [Random] with like."""
    if key == "dense_run":
        return write_input(tmp_path, f"OneShot.dense_run={value}", *changes, method="OneShot")
    return write_input(tmp_path, "Random.sparsity", f"Random.like={value}", *changes, method="Random")


BOTH = pytest.mark.parametrize("key", ["dense_run", "like"])


@BOTH
def test_a_run_that_fits_is_accepted(tmp_path, other, key):
    """As DIR and as DIR/PREFIX; else the tests below would prove nothing."""
    for value in (other.folder, other.folder / "IMP"):
        launch.check(inputs.read_experiment([str(naming(tmp_path, key, value))]))


@BOTH
def test_a_name_that_is_no_run(refuse, tmp_path, key):
    """Missing, empty, a file, several runs in one folder, several seeds: the line says which."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for name in ("a/one", "a/two", "seeds/seed_1/IMP", "seeds/seed_2/IMP"):
        several = RunDirectory((tmp_path / name).parent, Path(name).name)
        several.folder.mkdir(parents=True, exist_ok=True)
        several.write_round(made_round(0))
    section = {"dense_run": "OneShot", "like": "Random"}[key]
    for name, reason in [
        ("missing", "missing: is not there"),
        ("empty", "empty: holds no rounds"),
        ("file", "file: is a file"),
        ("a", "a: holds the runs one, two"),
        ("seeds", "2 seeds; one of them is meant"),
    ]:
        path = naming(tmp_path, key, name)
        line = refuse(path)
        assert line.startswith(f"{path}: [{section}] {key} = {name!r}: accepted: a run directory, or DIR/PREFIX (")
        assert reason in line


@BOTH
def test_a_run_of_another_architecture(refuse, tmp_path, other, key):
    for changes in (["Network.arch=f5:x"], ["Network.arch=f4:f4:x"], ["Data.reclass=m,2"]):
        path = naming(tmp_path, key, other, *changes)
        section = {"dense_run": "OneShot", "like": "Random"}[key]
        assert refuse(path) == f"{path}: [{section}] {key} = '{other}': accepted: a run of the same architecture"


@BOTH
@pytest.mark.parametrize("case", ["empty", "truncated", "hostile", "another list"])
def test_a_run_whose_rounds_are_damaged(refuse, tmp_path, other, key, case):
    for number in (0, 1):
        other.round_path(number).write_bytes(damaged_rounds()[case])
    line = refuse(naming(tmp_path, key, other))
    assert (
        f"{key} = '{other}': accepted: a run directory, or DIR/PREFIX ({other.round_path(int(key == 'like'))}" in line
    )
    assert not (tmp_path / "code_was_run").exists()


def test_a_dense_run_without_its_dense_round(refuse, tmp_path, other):
    other.round_path(0).unlink()
    assert MISSING in refuse(naming(tmp_path, "dense_run", other))


@pytest.mark.parametrize(
    ("change", "needed"),
    [("OneShot.weights_step=4", "[4, 20]"), ("OneShot.prune_step=15", "[5, 15, 20]"), ("Network.steps=30", "[5, 30]")],
)
def test_a_dense_run_without_the_weights_that_are_needed(refuse, tmp_path, other, change, needed):
    path = naming(tmp_path, "dense_run", other, change)
    accepted = f"a run whose round 0 stored its weights at steps {needed}; this one has [5, 20]"
    assert refuse(path) == f"{path}: [OneShot] dense_run = '{other}': accepted: {accepted}"


def test_the_rewind_point_of_a_dense_run_is_its_first_checkpoint(refuse, tmp_path, other):
    """weights_step = 5 is stored here, but step 2 before it: rewinding would go there."""
    stored = made_round(0)
    early = dataclasses.replace(stored.checkpoints[0], step=2)
    other.write_round(dataclasses.replace(stored, checkpoints=(early, *stored.checkpoints)))
    assert "this one has [2, 5, 20]" in refuse(naming(tmp_path, "dense_run", other))


def test_densities_like_those_of_a_run_that_was_never_pruned(refuse, tmp_path, other):
    other.round_path(1).unlink()
    line = refuse(naming(tmp_path, "like", other))
    assert line.endswith(f"[Random] like = '{other}': accepted: a run with rounds besides round 0")


@BOTH
def test_overwrite_does_not_delete_what_the_method_takes_from(refuse, tmp_path, directory, key):
    """A run cannot name its own rounds; of another prefix in the same folder it can."""
    for number in (0, 1):
        directory.write_round(made_round(number))
    line = refuse(naming(tmp_path, key, directory), "--overwrite")
    assert f"{key} = '{directory}': accepted: rounds that --overwrite does not delete, as it does from 0 on" in line
    assert directory.rounds() == [0, 1]
    path = naming(tmp_path, key, directory, "IO.prefix=other")
    launch.settle(RunDirectory(directory.folder, "other"), inputs.read_experiment([str(path)]), overwrite=True)


def test_more_images_for_scores_than_an_incomplete_training_set_has(refuse, tmp_path):
    """Known only when the files are read; the file of 40 images stands for a part of the official ones."""
    imagenet(tmp_path)
    changes = "Data.dataset=ImageNet32", f"Data.dataloc={tmp_path / 'ImageNet'}", "SNIP.images=41"
    path = write_input(tmp_path, *changes, method="SNIP")
    assert refuse(path) == f"{path}: [SNIP] images = '41': accepted: at most 40, the number of training images"


# --- restarts of other methods -------------------------------------------------------------------------------------


def test_a_method_with_levels_may_restart_from_a_run_with_other_prune_flags_but_not_another_one(
    refuse, tmp_path, directory
):
    """It takes only masks and weights; [Cavity] goes on from the ratios, of the same layers."""
    for number in (0, 1, 2):
        directory.write_round(made_round(number))
    launch.check(inputs.read_experiment([str(write_input(tmp_path, *restart("SNIP.prune=T:T"), method="SNIP"))]))
    line = refuse(write_input(tmp_path, *restart("LayerByLayer.prune=T:T"), method="LayerByLayer"))
    assert f"rest_mask_file = '{directory.round_path(0)}': accepted: a round with the same [LayerByLayer] prune" in line
    line = refuse(write_input(tmp_path, *restart("SNIP.prune=T:T", "Network.arch=f5:x"), method="SNIP"))
    assert "accepted: a round of the same architecture, with stored weights" in line


def test_a_method_with_levels_has_no_round_to_restart_from(refuse, tmp_path):
    line = refuse(write_input(tmp_path, *restart("Network.rest_it=2"), method="SynFlow"))
    assert line.startswith("default: [Network] rest_weights_file = ") and "itdata_0.pkl" in line and MISSING in line


# --- run directories -----------------------------------------------------------------------------------------------


@pytest.fixture
def begun(tmp_path, directory) -> RunDirectory:
    """A run of the input file with one finished round."""
    directory.write_round(made_round(0))
    directory.write_input(inputs.read_experiment([str(write_input(tmp_path))]).to_text())
    return directory


def test_another_experiment(refuse, tmp_path, begun):
    line = refuse(write_input(tmp_path, "Network.learning_rate=0.7", "IMP.prune=T:T"))
    assert line.startswith(f"{begun}: holds another experiment ([Network] learning_rate = 0.1 there, 0.7 here; ")
    assert "accepted: another [IO] save_dir or prefix, --overwrite to delete its rounds from 0 on, or [Network]" in line


def test_a_dry_run_says_that_the_run_would_be_refused(refuse, tmp_path, begun):
    line = refuse(write_input(tmp_path, "Network.learning_rate=0.7"), "--dry_run")
    assert line.startswith(f"{begun}: holds another experiment ([Network] learning_rate = 0.1 there, 0.7 here)")


def test_another_method(refuse, tmp_path, begun):
    line = refuse(write_input(tmp_path, method="SNIP"))
    assert line.startswith(
        f"{begun}: holds another experiment ([IMP] there, [SNIP] here); accepted: another [IO] save_dir"
    )


def test_a_later_seed_is_refused_before_the_first_one_starts(refuse, tmp_path):
    (tmp_path / "run" / "seed_2").mkdir(parents=True)
    RunDirectory(tmp_path / "run" / "seed_2", "IMP").write_round(made_round(0))
    assert refuse(write_input(tmp_path), "--seeds=1,2").startswith(f"{tmp_path / 'run' / 'seed_2' / 'IMP'}: holds")
    assert not (tmp_path / "run" / "seed_1").exists()


def test_rounds_of_the_reference(refuse, tmp_path, directory):
    directory.write_round(made_round(0))
    line = refuse(write_input(tmp_path))
    assert line.startswith(f"{directory}: holds another experiment (rounds without a recorded input file); accepted: ")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"[IMP]\n", b"hello", GOOD.replace("20", "x", 1).encode()])
def test_damaged_record_of_the_settings(refuse, tmp_path, begun, content):
    begun.path("input.in").write_bytes(content)
    assert refuse(write_input(tmp_path)).startswith(f"{begun.path('input.in')}: ")


def test_directory_in_place_of_the_record(refuse, tmp_path, begun):
    begun.path("input.in").unlink()
    begun.path("input.in").mkdir()
    assert refuse(write_input(tmp_path)).startswith(f"{begun.path('input.in')}: cannot be read (Is a directory)")


@pytest.mark.parametrize("content", [b"", b"\x80\x04", pickle.dumps({}), pickle.dumps([RunsCode()])])
def test_damaged_checkpoint(refuse, tmp_path, begun, content):
    begun.checkpoint_path.write_bytes(content)
    line = refuse(write_input(tmp_path))
    assert line.startswith(f"{begun.checkpoint_path}: is damaged; ") and not (tmp_path / "code_was_run").exists()


@pytest.mark.parametrize("content", [b"", b"\xff", b"{", b"[]", b'{"rounds": 3}'])
def test_damaged_run_json(refuse, tmp_path, begun, content):
    begun.path("run.json").write_bytes(content)
    assert refuse(write_input(tmp_path)).startswith(f"{begun.path('run.json')}: ")


def test_run_that_another_process_works_on(refuse, tmp_path, begun):
    with open(begun.path("lock"), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("process 1 on somewhere\n")
        file.flush()
        for arguments in ([], ["--overwrite"]):
            line = refuse(write_input(tmp_path), *arguments)
            assert line.startswith(f"{begun}: another process works on this run (process 1 on somewhere)")


# --- real processes ------------------------------------------------------------------------------------------------


@pytest.fixture
def start(tmp_path):
    """start(*arguments, **environment): `python -m sifting.run` where importing TensorFlow or Keras would fail."""
    poison = tmp_path / "poison"
    poison.mkdir()
    for name in ("tensorflow", "keras", "jax"):
        (poison / f"{name}.py").write_text("raise AssertionError('imported before the input was checked')\n")

    def start(*arguments, **environment) -> str:
        process = subprocess.run(
            [sys.executable, "-W", "error", "-m", "sifting.run", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(poison), str(ROOT)]), **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert process.returncode == 2, process.stderr
        assert process.stderr.startswith("sifting: ") and process.stderr.count("\n") == 1
        return process.stderr.rstrip("\n")

    return start


def test_process_with_a_typo(start, tmp_path):
    path = write_input(tmp_path, "Network.stepz=3")
    assert f"{path}: [Network] stepz = '3': unknown key; accepted: arch, steps, " in start(path)


def test_process_with_an_unknown_flag(start, tmp_path):
    assert "Unknown command line flag 'sed'" in start(write_input(tmp_path), "--sed=1")


def test_process_without_an_input_file(start):
    assert "no input file" in start()


def test_process_without_images(start, tmp_path):
    assert "no such folder" in start(ROOT / "inputs" / "imp_3l1k.in", "--set", f"IO.save_dir={tmp_path / 'run'}")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("flag", ["--help", "-h", "-?"])
def test_help_is_usage_and_flags(capsys, flag):
    with pytest.raises(SystemExit) as stop:
        run._parse_flags(["run", flag])
    output = capsys.readouterr()
    assert stop.value.code == 0 and output.err == ""
    assert "python -m sifting.run INPUT [OVERRIDE ...] [--set Section.key=value ...]" in output.out
    assert "\n  --[no]dry_run: Print what would be done, and do nothing." in output.out
    named = set(re.findall(r"^  --(?:\[no\])?(\w+): \w", output.out, re.MULTILINE))
    assert named == {"set", "seeds", "dry_run", "describe", "devices", "overwrite"}


@pytest.mark.parametrize("command", [["-m", "sifting.run"], ["-c", "from sifting.run import command; command()"]])
def test_process_that_asks_for_help(command):
    """As a module, and as the installed command calls it."""
    process = subprocess.run([sys.executable, *command, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout.startswith("Run the experiment of an input file.\n") and "\n  --set: " in process.stdout


def test_process_with_a_hostile_file(start, tmp_path):
    assert "neither a numpy array" in start(imagenet(tmp_path, val_data=batch(extra=RunsCode())))
    assert not (tmp_path / "code_was_run").exists()


def test_process_in_a_foreign_run(start, tmp_path, begun):
    assert "holds another experiment" in start(write_input(tmp_path, "Network.learning_rate=0.7"))


def test_process_with_another_backend(start, tmp_path):
    assert "accepted: tensorflow" in start(write_input(tmp_path), KERAS_BACKEND="jax")
