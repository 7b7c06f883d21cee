"""Files of a run: the reference's pickles byte by byte, hostile and damaged ones, the lock, atomic writing."""

import builtins
import dataclasses
import json
import os
import pickle
import pickletools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from random_networks import random_round
from synthetic import REFERENCE, assert_same
from test_locks import another

from sifting.base import pickles
from sifting.base.files import atomic_write
from sifting.base.pickles import dump_pickle, load_pickle
from sifting.errors import DataError, Interrupted, RunDirectoryError, RunLocked
from sifting.network.rounds import Mask, RoundInProgress
from sifting.runs.directory import RunDirectory
from sifting.runs.find import find_runs
from sifting.runs.following import Following
from sifting.runs.reference import findata_to_lists, log_line, read_round_file, round_from_lists, round_to_lists

DENSE = "f4:f3:x"
CONVOLUTIONAL = "c2,3:p2,1:c1,2:f3:x"


def make_round(number=0, arch=DENSE, seed=0):
    """A round of 21 steps with random values and checkpoints at steps 5 and 20."""
    return random_round(arch, (2, 5, 5), 3, number, seed)


def one_line(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def names_in(raw: bytes) -> set:
    """What a pickle asks Python to import."""
    assert not any(opcode.name == "STACK_GLOBAL" for opcode, _, _ in pickletools.genops(raw))
    return {argument for opcode, argument, _ in pickletools.genops(raw) if opcode.name in ("GLOBAL", "INST")}


@pytest.fixture
def directory(tmp_path):
    return RunDirectory(tmp_path, "IMP")


# --- the reference's recorded run


class Unpickler(pickle.Unpickler):
    """pickle's own; numpy 2 wrote the recordings, and its core has a name that numpy 1 does not know."""

    def find_class(self, module, name):
        return super().find_class(module if np.__version__ >= "2" else module.replace("._core", ".core"), name)


def unpickled(path):
    with open(path, "rb") as file:
        return Unpickler(file).load()


def test_the_recorded_run_is_read_and_written_with_equal_content():
    """Rounds and findata, and the log byte by byte; there is no record of ours."""
    recorded = RunDirectory(REFERENCE, "IMP")
    assert recorded.rounds() == list(range(6))
    assert recorded.read_record() == {} and recorded.read_progress() is None
    rounds = [recorded.read_round(number) for number in range(6)]
    for number, result in enumerate(rounds):
        assert result.number == number
        assert [spec.shape for spec in result.specs] == [(192, 48), (48, 32), (32, 10)]
        assert [c.step for c in result.checkpoints] == ([10, 120] if number == 0 else [120])
        for content in (round_to_lists(result), pickle.loads(dump_pickle(round_to_lists(result)))):
            assert_same(content, unpickled(recorded.round_path(number)))
    following = Following()
    for result in reversed(rounds):
        following.add(result)
    files = following.files()
    assert files["out.dat"] == recorded.path("out.dat").read_bytes()
    assert_same(pickle.loads(files["findata.pkl"]), unpickled(recorded.path("findata.pkl")))


# --- our pickles in the reference's environment


def test_pickles_name_only_what_every_numpy_resolves():
    """Protocol <= 4 and numpy's old names; the reference's environment has an old numpy."""
    for arch in (DENSE, CONVOLUTIONAL):
        raw = dump_pickle(round_to_lists(make_round(arch=arch)))
        assert raw[0] == 0x80 and raw[1] <= 4
        names = names_in(raw)
        assert names == {
            "numpy.core.multiarray _reconstruct",
            "numpy.core.multiarray scalar",
            "numpy ndarray",
            "numpy dtype",
        }


def test_text_that_looks_like_a_name_of_numpy_is_left_alone():
    content = ["cnumpy._core.multiarray\nscalar\n", b"cnumpy._core.multiarray\nscalar\n", np.float32(1), np.arange(3)]
    assert_same(pickle.loads(dump_pickle(content)), content)


def test_the_notebooks_cells_load_our_pickles(directory):
    """Plain pickle, and positions 0 ... 9 as the reference's notebook indexes them."""
    stored = make_round(0)
    directory.write_round(stored)
    itdata = pickle.loads(directory.path("itdata_0.pkl").read_bytes())
    arch, ratios, checkpoints, steps, val_steps, train_errors, val_errors, weights, moments, masks = itdata
    assert_same(arch, [["f", [50, 4], True], ["f", [4, 3], True], ["x", [3, 3], True]])
    assert_same(ratios, np.full(3, 1 / 3))
    assert_same([checkpoints, steps, val_steps], [[5, 20], list(range(21)), [0, 10, 20]])
    assert_same([train_errors, val_errors], [list(stored.training_errors), list(stored.validation_errors)])
    assert len(weights) == len(moments) == 2
    first, second = stored.checkpoints
    assert_same(weights[1][0], list(second.parameters[0]))
    assert_same(weights[0][2][0], first.parameters[2].W)
    assert_same(moments[1][1], np.stack([second.moments[1].mean, second.moments[1].variance]))
    assert_same(masks[1], list(stored.masks[1]))


def test_a_convolutional_rounds_lists_by_hand():
    itdata = round_to_lists(make_round(arch=CONVOLUTIONAL))
    assert itdata[0] == [
        ["c", [2, 2, 2, 3, 1], True],
        ["p", [2, 1], False],
        ["c", [1, 1, 3, 2, 1], True],
        ["f", [18, 3], True],
        ["x", [3, 3], True],
    ]
    weights, moments, masks = itdata[7][0], itdata[8][0], itdata[9]
    dense = [[(18, 3), (3,), (18,), (18,)], [(3, 3), (3,), (3,), (3,)]]
    assert [[a.shape for a in layer] for layer in weights] == [[(2, 2, 2, 3)], [], [(1, 1, 3, 2)], *dense]
    assert [a.shape for a in moments] == [(2, 18), (2, 3)]  # dense layers only
    assert [len(mask) for mask in masks] == [1, 0, 1, 2, 2]


@pytest.mark.parametrize("arch", [DENSE, CONVOLUTIONAL, "x", "p2,2:x"])
@pytest.mark.parametrize("number", [0, 7])
def test_a_round_comes_back_as_it_was(arch, number, directory):
    stored = make_round(number, arch)
    directory.write_round(stored)
    assert_same(directory.read_round(number), stored)


def test_equal_rounds_give_equal_bytes():
    """However their arrays came about: made here, read from a pickle, shared, transposed in memory."""
    stored = make_round(0)
    raw = dump_pickle(round_to_lists(stored))
    read = round_from_lists(pickle.loads(raw), 0)
    mixed = dataclasses.replace(
        stored, checkpoints=(read.checkpoints[0], stored.checkpoints[1]), sparsities=read.sparsities
    )
    masks = {n: Mask(np.asfortranarray(mask.W), mask.b.astype(">f4")) for n, mask in stored.masks.items()}
    for equal in (read, mixed, dataclasses.replace(stored, masks=masks)):
        assert dump_pickle(round_to_lists(equal)) == raw
    shared, copied = (
        dataclasses.replace(stored, checkpoints=(stored.checkpoints[0], second))
        for second in (stored.checkpoints[0], read.checkpoints[0])
    )
    assert dump_pickle(round_to_lists(shared)) == dump_pickle(round_to_lists(copied))
    one, written = np.ones(3), []
    for ratios, best in (([one, one], [0.5, 0.5]), ([one, one.copy()], [np.float32(0.5), 0.5])):
        written.append(dump_pickle(findata_to_lists(stored.specs, ratios, best)))
    assert written[0] == written[1]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_every_protocol_are_read(protocol, tmp_path):
    """The reference's files are of any; those of protocol 2 spell arrays by way of latin-1 text."""
    stored = make_round(3)
    path = tmp_path / "IMP_itdata_3.pkl"
    path.write_bytes(pickle.dumps(round_to_lists(stored), protocol=protocol))
    assert_same(read_round_file(path), stored)


def test_arrays_of_other_number_types_are_read_as_float32(tmp_path):
    """And numpy's numbers as plain ones."""
    content = round_to_lists(make_round())
    content[0][0] = ["f", np.array([50, 4]), np.bool_(True)]
    content[2] = [np.int64(5), np.int64(20)]
    content[9] = [
        [array.astype(kind) for array in layer] for layer, kind in zip(content[9], (bool, int, float), strict=True)
    ]
    (tmp_path / "round.pkl").write_bytes(pickle.dumps(content))
    assert_same(read_round_file(tmp_path / "round.pkl"), make_round())


# --- hostile and damaged files


class Reduce:
    """Pickles into a call of `function`."""

    def __init__(self, function, *arguments):
        self._call = function, arguments

    def __reduce__(self):
        return self._call


MARKER = "marker"
HOSTILE = [
    Reduce(os.system, f"touch {MARKER}"),
    Reduce(builtins.eval, f"open({MARKER!r}, 'w')"),
    Reduce(builtins.exec, f"open({MARKER!r}, 'w')"),
    Reduce(builtins.getattr, "", "join"),
    Reduce(np.load, MARKER),
    Reduce(np.fromfile, MARKER),
    Reduce(np.save, MARKER, 1),
    Reduce(np.memmap, MARKER, "u1", "w+", 0, (1,)),
    Reduce(np.ones, 3),
    Reduce(subprocess.Popen, ["touch", MARKER]),
    Reduce(Path, MARKER),
    Reduce(set, [1]),
]


@pytest.mark.parametrize("content", HOSTILE, ids=lambda content: content._call[0].__name__)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_hostile_pickle_is_refused_without_running(content, protocol, in_tmp_path):
    lists = round_to_lists(make_round())
    lists[1] = content
    path = in_tmp_path / "IMP_itdata_0.pkl"
    path.write_bytes(pickle.dumps(lists, protocol=protocol))
    with pytest.raises(DataError, match="neither a numpy array nor a plain container") as error:
        read_round_file(path)
    assert str(path) in one_line(error)
    assert os.listdir(in_tmp_path) == [path.name]


def forged_array(kind: str, flags: int, raw: bytes) -> Reduce:
    """An array whose dtype lies about itself."""
    dtype = Reduce(np.dtype, kind, False, True)
    dtype._call += ((3, "|", None, None, None, -1, -1, flags),)
    array = Reduce(np.zeros(0).__reduce__()[0], np.ndarray, (0,), b"b")
    array._call += ((1, (len(raw) // 8,), dtype, False, raw),)
    return array


NO_NUMBERS = [
    *(forged_array(kind, 0, b"A" * 16) for kind in ("O8", "O", "V8", "M8")),
    *(np.array([1, "a", None], object), np.zeros(2, "i4,f4"), np.zeros(2, "M8[s]")),
]


@pytest.mark.parametrize(
    "raw",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",  # INST
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",  # STACK_GLOBAL
        b"\x80\x02\x82\x01.",  # an extension code
        b"cnumpy\nndarray.__init__\n.",
        b"cnumpy.core.multiarray\nscalar.__class__\n.",
        b"cnumpy._core\nmultiarray\n.",
        b"c_codecs\ndecode\n.",
        b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13tR.",
        b"Pid\n.",  # a persistent id
        b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b"abc.",  # asks for too much memory
        *map(pickle.dumps, NO_NUMBERS),
    ],
)
def test_hand_made_pickles_are_refused(raw, tmp_path):
    (tmp_path / "file.pkl").write_bytes(raw)
    with pytest.raises(DataError) as error:
        load_pickle(tmp_path / "file.pkl")
    assert ("neither numbers nor text" in one_line(error)) == (b"dtype" in raw)


def test_the_flags_of_a_forged_dtype_are_not_believed(tmp_path):
    (tmp_path / "file.pkl").write_bytes(pickle.dumps(forged_array("f8", 63, b"A" * 16)))
    np.testing.assert_array_equal(load_pickle(tmp_path / "file.pkl"), np.frombuffer(b"A" * 16))


@pytest.mark.parametrize("kind", ["?", "u1", ">i2", "i8", "f2", ">f4", "f8", "c16", "S3", "U2", ">U2"])
@pytest.mark.parametrize("protocol", [2, 3, 5])
def test_arrays_and_scalars_of_numbers_come_back_as_they_were(kind, protocol, tmp_path):
    array = np.array([[1, 0], [0, 1], [1, 1]]).astype(kind)
    raw = pickle.dumps([array, array.T, array[::2, :1], array[0, 0]], protocol=protocol)
    (tmp_path / "file.pkl").write_bytes(raw)
    assert_same(load_pickle(tmp_path / "file.pkl"), pickle.loads(raw))


DAMAGE = """
import resource, sys
import numpy as np
from pathlib import Path
from sifting.errors import DataError
from sifting.runs.reference import read_round_file

resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))  # a damaged length or index can ask for any amount
path, rng, refused = Path(sys.argv[1]), np.random.default_rng(0), 0
raw = path.read_bytes()
for _ in range(600):
    damaged = bytearray(raw)
    for position in rng.integers(0, len(raw), rng.integers(1, 4)):
        damaged[position] = rng.integers(256)
    path.write_bytes(damaged)
    try:
        read_round_file(path)
    except DataError as error:
        refused += "\\n" not in str(error)
print(refused)
"""


def test_random_damage_gives_one_line_or_a_round(tmp_path):
    """Any byte may be wrong: a round of the right shapes, or one line; no other exception, no warning, no crash."""
    path = tmp_path / "IMP_itdata_0.pkl"
    path.write_bytes(dump_pickle(round_to_lists(make_round(arch=CONVOLUTIONAL))))
    command = [sys.executable, "-W", "error", "-c", DAMAGE, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


def wrong_parts(part):
    """Other things in place of a part of a round's lists, and of each part of it in turn."""
    yield from ("text", {}, -7)
    if isinstance(part, np.ndarray):
        yield from (part[1:], part[None])
    elif isinstance(part, list):
        yield from ([], part[1:], [*part, part[0]])
        for place, inner in enumerate(part):
            if isinstance(inner, list | np.ndarray | str):
                yield from ([*part[:place], wrong, *part[place + 1 :]] for wrong in wrong_parts(inner))


ARCH = [["f", [4, 3], True], ["x", [3, 3], True]]
WRONG_PARTS = {
    0: [[[kind, shape, True], *ARCH] for kind, shape in (("q", [50, 4]), ("c", [50, 4]), ("f", [50, 5]))],
    2: [["five", 20], [float("inf"), 20]],  # steps of checkpoints
    4: [[0, 10, 99]],  # of validations
    7: [[[[W.T, *rest] for W, *rest in step] for step in round_to_lists(make_round())[7]]],
    9: [[[W, W] for W, _ in round_to_lists(make_round())[9]]],
}


def test_lists_of_another_shape_are_refused_in_one_line(tmp_path):
    """Whatever is wrong, at whatever depth. The steps, 0, 1, ..., are not looked at, nor more errors than there are."""
    lists, path = round_to_lists(make_round()), tmp_path / "IMP_itdata_0.pkl"
    contents = [tuple(lists), lists[:9], [*lists, 0], np.zeros(10), *wrong_parts(list(range(10)))]
    for place, part in enumerate(lists):
        wrong = list(wrong_parts(part))[: {3: 0, 5: 5}.get(place)] + WRONG_PARTS.get(place, [])
        contents += [[*lists[:place], other, *lists[place + 1 :]] for other in wrong]
    for content in contents:
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(DataError, match="is not the pickle of a round") as error:
            read_round_file(path)
        assert str(path) in one_line(error)


# --- log


def test_the_log_is_appended_without_changing_carriage_returns(directory):
    directory.write("out.dat", b"a\r")
    directory.append_log(log_line(1, 0.5, 0.5))
    directory.append_log("b\n")
    assert directory.path("out.dat").read_bytes() == b"a\rStep:       1, TE: 0.500, VE: 0.500\rb\n"


# --- the round in progress


@pytest.mark.parametrize("arch", [DENSE, CONVOLUTIONAL])
def test_a_checkpoint_comes_back_and_goes_with_its_round(arch, directory):
    assert directory.read_progress() is None
    state = {"variable_0": np.ones((2, 3), np.float32), "variable_1": np.int64(7), "variable_2": np.float32(0.1)}
    stored = make_round(4, arch)
    parts = {"training_errors": stored.training_errors[:11], "validation_errors": stored.validation_errors[:2]}
    so_far = dataclasses.replace(stored, checkpoints=(), validation_steps=(0, 10), **parts)
    directory.write_progress(RoundInProgress.of(so_far, 20, step=11), 2.5, state)
    read = directory.read_progress(20)
    assert_same(read.so_far(), so_far)
    assert (read.step, read.seconds) == (11, 2.5)
    assert_same(dict(read.state), state)
    directory.write_round(stored)
    assert directory.read_progress() is None


# --- the directory


def test_rounds_are_listed_in_order_and_by_prefix(tmp_path):
    for name in ("a_itdata_10.pkl", "a_itdata_9.pkl", "ab_itdata_0.pkl", "a_itdata_1.pkl.tmp", "a_itdata_x.pkl"):
        (tmp_path / name).touch()
    directory = RunDirectory(tmp_path, "a")
    assert directory.rounds() == [9, 10] and str(directory) == str(tmp_path / "a")
    assert RunDirectory(tmp_path, ".").rounds() == []  # a prefix is no pattern
    assert RunDirectory(tmp_path / "missing", "a").rounds() == []


# --- which runs the user names


def touch_run(folder, prefix="IMP"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{prefix}_itdata_0.pkl").touch()


def found(*paths):
    return [(run.folder, run.prefix) for run in find_runs(paths)]


def test_find_runs(tmp_path):
    touch_run(tmp_path / "one", "mine")
    for seed in (10, 9, 1):
        touch_run(tmp_path / "seeds" / f"seed_{seed}")
    touch_run(tmp_path / "two", "a")
    touch_run(tmp_path / "two", "b_itdata_1")
    assert found(tmp_path / "one") == [(tmp_path / "one", "mine")]
    assert found(str(tmp_path / "one" / "mine")) == [(tmp_path / "one", "mine")]
    assert found(tmp_path / "seeds") == [(tmp_path / "seeds" / f"seed_{seed}", "IMP") for seed in (1, 9, 10)]
    assert found(tmp_path / "two" / "a", tmp_path / "one") == [(tmp_path / "two", "a"), (tmp_path / "one", "mine")]
    assert found(tmp_path / "two" / "b_itdata_1") == [(tmp_path / "two", "b_itdata_1")]
    assert found(REFERENCE) == [(REFERENCE, "IMP")]
    with pytest.raises(RunDirectoryError, match="holds the runs a, b_itdata_1; accepted: one of") as error:
        found(tmp_path / "two")
    one_line(error)


@pytest.mark.parametrize(
    "name, message",
    [
        ("missing", "is not there; accepted: the save_dir of a run"),
        ("empty", "holds no rounds (files PREFIX_itdata_N.pkl); accepted: the save_dir of a run"),
        ("empty/IMP", "is not there; accepted: the save_dir of a run"),
        ("one/INP", "is not there; accepted: the save_dir of a run, or DIR/PREFIX, such as {folder}/one/mine"),
        ("file/file", "is a file; accepted: the save_dir of a run"),
        ("one/mine_itdata_0.pkl", "is a file; accepted: the save_dir of a run"),
        ("above", "holds runs in its folders; accepted: one of them, such as {above}/a, {above}/b, {above}/seeds"),
        ("", "holds runs in its folders; accepted: one of them, such as {folder}/one"),
        ("begun", "its first round is not finished yet; accepted: a run with files IMP_itdata_N.pkl"),
        ("begun/IMP", "its first round is not finished yet; accepted: a run with files IMP_itdata_N.pkl"),
        ("stopped", "its first round is not finished yet; accepted: a run with files mine_itdata_N.pkl"),
    ],
)
def test_where_there_is_no_run_it_is_said_why_in_one_line(name, message, tmp_path):
    for folder in ("empty", "file", "begun", "stopped"):
        (tmp_path / folder).mkdir()
    for file in ("file/file", "begun/IMP_input.in", "begun/IMP_lock", "stopped/mine_checkpoint.pkl"):
        (tmp_path / file).touch()
    touch_run(tmp_path / "one", "mine")
    for folder in ("a", "b", "seeds/seed_1", "seeds/seed_2", "z"):
        touch_run(tmp_path / "above" / folder)
    with pytest.raises(RunDirectoryError) as error:
        find_runs([tmp_path / name])
    assert one_line(error) == f"{tmp_path / name}: {message.format(folder=tmp_path, above=tmp_path / 'above')}"


# --- lock and atomic writing


def test_a_run_is_locked_and_others_in_its_folder_are_not(tmp_path):
    """What other processes make of a lock: test_locks.py."""
    folder = tmp_path / "new" / "folder"
    with RunDirectory(folder, "IMP").lock():
        with RunDirectory(folder, "other").lock():
            pass
        line = rf"IMP: another process works on this run \(process {os.getpid()} on .*\); accepted: one at a time"
        with pytest.raises(RunLocked, match=line), RunDirectory(folder, "IMP").lock():
            pass
        with pytest.raises(KeyError), RunDirectory(folder, "third").lock():
            raise KeyError
        with RunDirectory(folder, "third").lock():  # a lock ends with its body, also by an exception
            pass
    (tmp_path / "file").touch()
    with pytest.raises(RunDirectoryError, match="cannot be written"), RunDirectory(tmp_path / "file", "a").lock():
        pass


@pytest.mark.parametrize(
    ("owner", "function", "change"),
    [(Path, "unlink", lambda run: run.remove_rounds(0)), (os, "replace", lambda run: run.keep_input(3))],
)
def test_rounds_that_cannot_make_way_are_one_line(reference, monkeypatch, owner, function, change):
    reference.path("input.in").write_text("")

    def refuse(*paths, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(owner, function, refuse)
    with pytest.raises(RunDirectoryError, match=r"IMP_\S+: cannot be written \(Permission denied\); what was written"):
        change(reference)


def test_a_lock_of_nothing_is_removed_with_the_folders_that_were_made_for_it(tmp_path):
    """As far as they are empty."""
    deep = RunDirectory(tmp_path / "a" / "b", "IMP")
    with deep.lock():
        assert deep.path("lock").exists() and deep.holder.pid == os.getpid()
    assert os.listdir(tmp_path) == [] and deep.holder is None
    with deep.lock():
        (tmp_path / "a" / "other").touch()
    assert os.listdir(tmp_path / "a") == ["other"]
    with deep.lock():
        deep.write_input("text")
    with deep.lock():
        pass
    assert os.listdir(deep.folder) == ["IMP_input.in"]


def test_whoever_was_overtaken_writes_no_more(directory):
    """It was stopped for so long that it counted as dead."""
    with directory.lock():
        directory.write_input("mine")
        directory.path("lock").write_text(json.dumps(another(token="f" * 16)))
        with pytest.raises(RunLocked, match="another one took over"):
            directory.write_input("late")
    assert directory.path("input.in").read_text() == "mine" and directory.path("lock").exists()


def test_atomic_write_leaves_the_old_file_when_the_body_raises(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    for exception in (KeyError, KeyboardInterrupt):
        with pytest.raises(exception), atomic_write(path) as file:
            file.write(b"new")
            file.flush()
            raise exception
        assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]
    with atomic_write(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new" and os.listdir(tmp_path) == ["file"]


def test_two_writers_of_a_file_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "file"
    with atomic_write(path) as first:
        first.write(b"first")
        with atomic_write(path) as second:
            second.write(b"second")
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first" and os.listdir(tmp_path) == ["file"]


def test_what_a_killed_process_left_is_never_read_and_removed_by_the_next_one(directory):
    """Not what belongs to a run of another prefix, which may be at work."""
    left = ["IMP_itdata_1.pkl.tmp", "IMP_itdata_1.pkl.0123abcd.tmp", "IMP_run.json.0123abcd.tmp"]
    others = ["IMP_two_itdata_1.pkl.0123abcd.tmp", "IMP_analysis_1.npz.0123abcd.tmp"]
    for name in (*left, *others):
        (directory.folder / name).write_bytes(b"half a file")
    assert directory.rounds() == []
    with directory.lock():
        assert sorted(os.listdir(directory.folder)) == sorted(["IMP_lock", *others])


def test_a_disk_that_is_full_is_reported_in_one_line_and_the_old_round_stays(directory, monkeypatch):
    directory.write_round(make_round(0, seed=1))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunDirectoryError, match="No space left on device") as error:
        directory.write_round(make_round(0, seed=2))
    one_line(error)
    assert_same(directory.read_round(0), make_round(0, seed=1))


def test_a_signal_while_a_file_is_read_is_not_taken_for_damage(directory, monkeypatch):
    """Whoever stops a run with ctrl-C must not be told to remove a good checkpoint."""
    directory.progress_path.write_bytes(b"")

    def interrupted(self):
        raise Interrupted("SIGINT", 2)

    monkeypatch.setattr(pickles._NumpyUnpickler, "load", interrupted)
    with pytest.raises(Interrupted):
        directory.read_progress()
