"""Starting, continuing, refusing, restarting, overwriting: what a run makes of the rounds it finds, up to training."""

import dataclasses
import importlib.util
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from synthetic import RunsCode, made_round, stored_run, write_input
from test_locks import another

import sifting
from sifting.datasets import cache
from sifting.errors import DataError, InputError, RunDirectoryError, SiftingError
from sifting.inputs import SECTIONS, read_experiment
from sifting.network.rounds import Round, RoundInProgress
from sifting.runs.directory import RunDirectory
from sifting.training import launch
from sifting.training.plan import plan


@pytest.fixture
def experiment(tmp_path):
    """experiment(*changes, method="IMP"): that of the synthetic input file, changed."""
    return lambda *changes, **method: read_experiment([str(write_input(tmp_path, "IO.cache_dir", *changes, **method))])


@pytest.fixture
def directory(tmp_path) -> RunDirectory:
    return stored_run(tmp_path / "run")


def begin(directory: RunDirectory, experiment, rounds: int, in_progress: bool = False) -> None:
    """What a process leaves that has trained some rounds, and was interrupted in the next one if `in_progress`."""
    directory.write_input(experiment.to_text())
    for number in range(rounds):
        directory.write_round(made_round(number))
    if in_progress:
        whole = made_round(rounds)
        first = whole.specs, whole.sparsities, whole.masks, whole.checkpoints[:1]
        so_far = Round(rounds, *first, np.zeros(7, np.float32), (0,), [0.5])
        directory.write_progress(RoundInProgress.of(so_far, 20, step=7), 1.5, {})


def state(directory: RunDirectory) -> tuple[list[int], bool]:
    """The rounds that are there, and whether one is in progress."""
    return directory.rounds(), directory.progress_path.exists()


@pytest.fixture
def start(accepted):
    """start(experiment, overwrite=False) -> the experiment as it is recorded when its training would begin."""

    def start(experiment, overwrite=False):
        with pytest.raises(accepted):
            sifting.run_experiment(experiment, overwrite, quiet=True)
        return read_experiment([str(RunDirectory(experiment.io.save_dir, experiment.io.prefix).path("input.in"))])

    return start


@pytest.fixture
def refusal(accepted):
    """refusal(experiment, overwrite=False, error=RunDirectoryError) -> the line; nothing is made, changed or lost."""

    def contents(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix and path.is_file()}

    def refusal(experiment, overwrite=False, error=RunDirectoryError) -> str:
        before = contents(Path(experiment.io.save_dir))
        with pytest.raises(error) as caught:
            sifting.run_experiment(experiment, overwrite, quiet=True)
        assert contents(Path(experiment.io.save_dir)) == before and "\n" not in str(caught.value)
        return str(caught.value)

    return refusal


begun = pytest.mark.parametrize(("rounds", "in_progress"), [(1, False), (0, True), (2, True)])


# --- starting and continuing ---------------------------------------------------------------------------------------


def test_an_empty_directory_starts_and_draws_a_seed_where_none_is_given(directory, experiment, start):
    assert start(experiment()) == experiment()
    seeds = {start(experiment("Network.seed")).network.seed for _ in range(3)}
    assert len(seeds) == 3 and all(0 <= seed < 2**31 for seed in seeds)


@begun
def test_the_same_experiment_continues_with_its_seed(directory, experiment, start, rounds, in_progress):
    begin(directory, experiment("Network.seed=12345"), rounds, in_progress)
    for same in (experiment("Network.seed=12345"), experiment("Network.seed")):
        assert start(same).network.seed == 12345
        assert state(directory) == (list(range(rounds)), in_progress)


def test_a_directory_without_rounds_starts_whatever_its_record_says(directory, experiment, start):
    """As a run leaves it that was stopped before its first checkpoint; a damaged record is no obstacle then."""
    begin(directory, experiment("Network.learning_rate=0.7"), 0)
    assert start(experiment()) == experiment()
    directory.path("input.in").write_bytes(b"\xff")
    assert start(experiment()) == experiment()


def test_keys_that_do_not_change_results_may_differ(directory, experiment, start):
    begin(directory, experiment(), 2)
    free = ["IMP.max_iterations=9", "IMP.stop_ratio=0.1", "Network.jit_compile=false", "Data.preload=false"]
    free += ["Data.dataloc=elsewhere", "IO.checkpoint_seconds=1", "IO.tensorboard=false"]
    defaults = ["IMP.prune_step=20", "Network.learning_rate=1e-1", "IMP.prune_ratio=0.30"]
    changed = experiment(*free, *defaults)
    assert start(changed) == changed and directory.rounds() == [0, 1]


@pytest.mark.parametrize(
    ("recorded", "asked", "expected"),
    [
        (None, "auto", "never"),  # by an earlier version, which had no such layers
        ("never", "auto", "never"),
        ("auto", "auto", "auto"),
        ("always", "auto", "always"),
        ("always", "never", "never"),
        ("never", "always", "always"),
        (None, "always", "always"),
    ],
)
def test_a_run_goes_on_with_the_sparse_layers_it_began_with(directory, experiment, start, recorded, asked, expected):
    """Unless it is asked for others. What stays is recorded, so that later processes go on in the same way."""
    begin(directory, experiment(f"Network.sparse={recorded or 'auto'}"), 1)
    text = directory.path("input.in").read_text()
    assert text.count("\nsparse = ") == 1
    if recorded is None:
        directory.write_input(text.replace("\nsparse = auto", ""))
    assert start(experiment(f"Network.sparse={asked}")).network.sparse == expected
    assert start(experiment(f"Network.sparse={asked}")).network.sparse == expected


def test_a_run_that_begins_or_overwrites_has_its_own_choice(directory, experiment, start):
    begin(directory, experiment("Network.sparse=never"), 1)
    assert start(experiment(), overwrite=True).network.sparse == "auto"


def test_where_no_layer_can_be_sparse_auto_is_never(directory, experiment, start, monkeypatch):
    assert start(experiment("Network.arch=c3,4:p2,2:x")).network.sparse == "never"
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "numba" else find(name, *rest))
    assert start(experiment("IO.prefix=other")).network.sparse == "never"


def levels(experiment, change):
    """An experiment of [SNIP] with these levels."""
    changes = ["SNIP.sparsity", "SNIP.prune_ratio=0.3", change] if "rounds" in change else [change]
    return experiment(*changes, method="SNIP")


@pytest.mark.parametrize(
    ("recorded", "new", "goes_on"),
    [
        ("sparsity=0.5", "sparsity=0.5, 0.9", True),
        ("sparsity=0.5, 0.9", "sparsity=0.5, 0.90", True),
        ("rounds=2", "rounds=7", True),
        ("rounds=7", "rounds=2", True),
        ("sparsity=0.5", "sparsity=0.6", False),
        ("sparsity=0.5, 0.9", "sparsity=0.5, 0.8", False),
        ("sparsity=0.5, 0.9", "sparsity=0.3, 0.5, 0.9", False),
        # Round 2 was trained at 0.9: it must not pass for one at 0.7, not even by way of a shorter list in between.
        ("sparsity=0.5, 0.9", "sparsity=0.5", False),
        ("sparsity=0.3, 0.51", "rounds=2", False),
        ("rounds=2", "sparsity=0.3, 0.51", False),
    ],
)
def test_levels_can_be_added_to_a_run_but_not_changed(directory, experiment, start, refusal, recorded, new, goes_on):
    begin(directory, levels(experiment, f"SNIP.{recorded}"), 2)
    asked = levels(experiment, f"SNIP.{new}")
    if goes_on:
        assert start(asked) == asked and directory.rounds() == [0, 1]
    else:
        assert "holds another experiment ([SNIP] sparsity = " in refusal(asked)


# --- refusing ------------------------------------------------------------------------------------------------------


def test_which_keys_a_run_may_continue_with():
    """Those that say where things are, how fast to compute or when to stop; of [IO] all. Levels may be added. With
    [LayerByLayer] stop_ratio decides which layer a round prunes, so that stored rounds would be misread."""
    free = {"Data.preload", "Data.dataloc", "Network.jit_compile", "Network.sparse", "IMP.stop_ratio"}
    free |= {
        f"{name}.{key}" for name in ("IMP", "LayerByLayer", "Cavity") for key in ("max_iterations", "stop_density")
    }
    free |= {"Cavity.stop_ratio", *(f"{name}.rounds" for name in ("OneShot", "SNIP", "SynFlow", "GraSP", "Random"))}
    found = {
        f"{section}.{entry.name}"
        for section, kind in SECTIONS.items()
        for entry in dataclasses.fields(kind)
        if section not in ("IO", "Scale") and entry.metadata["continues"]("one", "other")
    }
    assert found == free


OTHER = """
Network.seed=2 Network.arch=f5:x Network.steps=21 Network.batch_size=6 Network.val_size=29 Network.learning_rate=0.2
Network.minimizer=Adam Network.deterministic=true Network.init_deviation=common Network.init_distribution=uniform
Data.data_ratio=0.5 Data.reclass=m,2 Data.clone=gaussian
IMP.prune=T:T IMP.prune_ratio=0.2 IMP.weights_step=4 IMP.prune_step=19 IMP.scope=global
SNIP.images=99 SNIP.moments=initial SNIP.scope=layerwise SNIP.dense=false SynFlow.iterations=10 Random.weights_step=3
GraSP.temperature=1.0 LayerByLayer.freeze=mask LayerByLayer.stop_ratio=0.1 Cavity.images=99
"""


@pytest.mark.parametrize("change", OTHER.split())
def test_another_experiment_is_refused_by_the_keys_that_differ(directory, experiment, refusal, change):
    section, key = change.partition("=")[0].split(".")
    method = section if section not in ("Network", "Data") else "IMP"
    here = experiment(change, method=method)
    for rounds, in_progress in ((1, False), (0, True)):
        begin(directory, experiment(method=method), rounds, in_progress)
        line = refusal(here)
        recorded, new = (of.settings()[section][key][1] for of in (experiment(method=method), here))
        assert f"holds another experiment ([{section}] {key} = {recorded} there, {new} here" in line
        assert all(way in line for way in ("save_dir", "prefix", "--overwrite", "restart"))
        directory.remove_rounds(0)


def test_a_run_does_not_go_on_on_other_images_of_the_same_seed(directory, experiment, refusal, start):
    """EdgeCollage32 and clones have been drawn in another way since; other images are what they were. Nor on images
    of another shape."""
    begin(directory, experiment(), 2)
    for record in ({"finished": False}, {"finished": False, "image_format": 2}):
        directory.write_record(record)
        line = refusal(experiment())
        assert "(an earlier version of sifting drew other images from the same seed); accepted: another [IO]" in line
        assert "--overwrite" in line and str(directory) in line
    for record in ({}, {"finished": False, "image_format": cache.FORMAT}, {"finished": True}):
        directory.write_record(record)
        start(experiment())
    directory.write_record({"finished": True})
    assert "drew other images" in refusal(experiment("IMP.stop_ratio=0.01"))
    directory.write_record({"image_format": cache.FORMAT, "image_shape": [1, 32, 32]})  # such as of a file made anew
    assert "(images of 1 x 32 x 32 there, 3 x 32 x 32 here); accepted: another [IO]" in refusal(experiment())
    start(experiment(), overwrite=True)


def test_the_record_keeps_which_images_a_run_began_with(experiment):
    """Also where a finished run of an earlier version is only looked at again."""
    known = {}, {"image_format": 2}, {"seed": 1}
    formats = [launch._record(plan(experiment()), "images", record)["image_format"] for record in known]
    assert formats == [cache.FORMAT, 2, None]


def test_all_differences_are_named(directory, experiment, refusal):
    begin(directory, experiment(), 1)
    line = refusal(experiment("Network.batch_size=6", "IMP.weights_step=4", "IMP.max_iterations=7"))
    assert "([Network] batch_size = 5 there, 6 here; [IMP] weights_step = 5 there, 4 here)" in line
    begin(directory, experiment(method="OneShot"), 1)
    line = refusal(experiment("OneShot.dense_run=elsewhere", method="OneShot"))
    assert "([OneShot] dense_run = unset there, elsewhere here)" in line


def test_another_method_and_rounds_without_a_record_are_refused(directory, experiment, refusal):
    """Such as those of the reference: nobody can say what they are."""
    directory.write_round(made_round(0))
    assert "holds another experiment (rounds without a recorded input file); " in refusal(experiment())
    directory.write_input(experiment().to_text())
    for method in ("SNIP", "Cavity", "LayerByLayer"):
        assert f"holds another experiment ([IMP] there, [{method}] here); " in refusal(experiment(method=method))


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("input.in", [b"\xff\xfe", b"", b"[IMP]\n", b"hello", None]),
        ("run.json", [b"", b"\xff", b"{", b"[]", b'{"rounds": 3}']),
        ("checkpoint.pkl", [b"", pickle.dumps({}), pickle.dumps([RunsCode()])]),
    ],
)
def test_a_damaged_file_of_a_run_is_named(directory, experiment, refusal, in_tmp_path, name, contents):
    """None: a folder in its place."""
    begin(directory, experiment(), 1)
    for content in contents:
        directory.path(name).unlink(missing_ok=True)
        directory.path(name).mkdir() if content is None else directory.path(name).write_bytes(content)
        assert refusal(experiment(), error=SiftingError).startswith(f"{directory.path(name)}: ")
    assert not Path("code_was_run").exists()


def test_the_command_refuses_another_experiment_in_a_dry_run_and_before_any_seed(
    directory, experiment, refuse, tmp_path
):
    begin(directory, experiment(), 1)
    path = write_input(tmp_path, "Network.learning_rate=0.7")
    for arguments in ([], ["--dry_run"]):
        line = refuse(path, *arguments)
        assert line.startswith(f"{directory}: holds another experiment ([Network] learning_rate = 0.1 there, 0.7 here)")
    stored_run(tmp_path / "run" / "seed_2", made_round(0))
    assert refuse(path, "--seeds=1,2").startswith(f"{tmp_path / 'run' / 'seed_2' / 'IMP'}: holds")


def test_a_run_that_another_process_works_on(directory, experiment, refusal):
    begin(directory, experiment(), 1)
    directory.path("lock").write_text(json.dumps(another(host="somewhere", boot="elsewhere", pid=1)))
    for overwrite in (False, True):
        line = refusal(experiment(), overwrite)
        assert line.startswith(f"{directory}: another process works on this run (process 1 on somewhere)")


# --- restart -------------------------------------------------------------------------------------------------------


def restarted(experiment, first, *changes, **method):
    stop = [] if method else ["IMP.max_iterations=9"]
    return experiment("Network.restart=true", f"Network.rest_it={first}", *stop, *changes, **method)


@pytest.mark.parametrize("recorded", [True, False])
def test_restart_goes_on_behind_the_last_round_with_other_settings(directory, experiment, start, recorded):
    """Also behind rounds of the reference, which have no record; a record is kept."""
    begin(directory, experiment(), 3)
    if not recorded:
        directory.path("input.in").unlink()
    other = restarted(experiment, 3, "Network.learning_rate=0.2")
    assert start(other) == other and state(directory) == ([0, 1, 2], False)
    kept = directory.path("input_until_3.in")
    assert kept.read_text() == experiment().to_text() if recorded else not kept.exists()


def test_a_restart_behind_the_last_round_may_change_the_method(directory, experiment, start, refusal):
    """From IMP's rounds 0 ... 2 to SNIP's level 3, in the same folder."""
    begin(directory, experiment(), 3)
    assert "[IMP] there, [SNIP] here" in refusal(restarted(experiment, 2, method="SNIP"))
    other = restarted(experiment, 3, "SNIP.sparsity=0.5, 0.6, 0.7", method="SNIP")
    assert start(other) == other and directory.rounds() == [0, 1, 2]


def test_restart_puts_a_round_in_progress_of_other_settings_aside_and_continues_its_own(directory, experiment, start):
    begin(directory, experiment(), 2, in_progress=True)
    start(restarted(experiment, 2))
    assert state(directory) == ([0, 1], False)
    begin(directory, restarted(experiment, 2), 3, in_progress=True)
    start(restarted(experiment, 2))
    assert state(directory) == ([0, 1, 2], True)


def test_restart_in_the_middle_is_refused_and_with_overwrite_keeps_earlier_rounds(
    directory, experiment, start, refusal
):
    begin(directory, experiment(), 5, in_progress=True)
    line = refusal(restarted(experiment, 3))
    ways = "restart = false there, true here", "delete its rounds from 3 on", "rest_it > 4"
    assert all(way in line for way in ways)
    start(restarted(experiment, 3), overwrite=True)
    assert state(directory) == ([0, 1, 2], False)


def test_a_restart_does_not_delete_what_it_begins_with(directory, experiment, refusal):
    """--overwrite removes rounds from rest_it on: refused where one of them is to be pruned from, or rewound to."""
    begin(directory, experiment(), 5)
    for key in ("rest_mask_file", "rest_weights_file"):
        other = restarted(experiment, 2, f"Network.{key}={directory.round_path(4)}")
        line = refusal(other, overwrite=True, error=InputError)
        assert f"{key} = " in line and "does not delete" in line


# --- overwriting, and several runs in a folder ---------------------------------------------------------------------


def test_overwrite_removes_the_rounds_of_this_prefix_only(directory, experiment, start):
    neighbours = [RunDirectory(directory.folder, prefix) for prefix in ("IMP_itdata", "IMP2", "other", "IM", "I.P")]
    for run_directory in (directory, *neighbours):
        begin(run_directory, experiment(), 2, in_progress=True)
    other = experiment("Network.learning_rate=0.7")
    assert start(other, overwrite=True) == other and state(directory) == ([], False)
    assert all(state(neighbour) == ([0, 1], True) for neighbour in neighbours)


@pytest.mark.parametrize("record", [b"", b"\xff", None])
def test_overwrite_does_not_mind_a_damaged_record_and_draws_another_seed(directory, experiment, start, record):
    begin(directory, experiment("Network.seed=12345"), 2)
    if record is None:
        directory.path("input.in").unlink()
    else:
        directory.path("input.in").write_bytes(record)
    directory.progress_path.write_bytes(b"damaged")
    assert start(experiment("Network.seed"), overwrite=True).network.seed not in (None, 12345)
    assert state(directory) == ([], False)


def test_overwrite_loses_nothing_where_images_cannot_be_loaded(directory, experiment, refusal, tmp_path):
    begin(directory, experiment(), 2, in_progress=True)
    other = experiment("Network.learning_rate=0.7", f"IO.cache_dir={tmp_path / 'test.in' / 'cache'}")
    assert "accepted as [IO] cache_dir" in refusal(other, overwrite=True, error=DataError)


def test_prefixes_share_a_folder(directory, experiment, start, refusal):
    """Each is its own run: one continues, another one is refused, a third one starts."""
    begin(directory, experiment(), 2)
    begin(RunDirectory(directory.folder, "wide"), experiment("Network.arch=f8:x"), 1)
    wide = experiment("Network.arch=f8:x", "IO.prefix=wide")
    assert start(wide) == wide and RunDirectory(directory.folder, "wide").rounds() == [0]
    assert "arch = f4:x there, f8:x here" in refusal(experiment("Network.arch=f8:x"))
    fresh = experiment("Network.arch=f16:x", "IO.prefix=wider")
    assert start(fresh) == fresh and RunDirectory(directory.folder, "wider").rounds() == []


def test_removed_rounds_leave_no_record(directory, experiment):
    begin(directory, experiment(), 3, in_progress=True)
    directory.write_record({"seed": 1, "rounds": {"0": {"seconds": 1}, "1": {"seconds": 2}, "2": {"seconds": 3}}})
    for name in ("findata.pkl", "history.csv"):
        directory.path(name).touch()
    directory.remove_rounds(1)
    assert directory.rounds() == [0] and directory.read_record() == {"seed": 1, "rounds": {"0": {"seconds": 1}}}
    assert {path.name for path in directory.folder.iterdir()} == {"IMP_input.in", "IMP_itdata_0.pkl", "IMP_run.json"}


# --- other runs ----------------------------------------------------------------------------------------------------


def test_each_seed_takes_its_own_part_of_another_run(command, tmp_path):
    """dense_run and like with --seeds: the sub-folder of the seed where there is one, whole runs and DIR/PREFIX."""
    for folder in ("several/seed_1", "several/seed_2", "single"):
        stored_run(tmp_path / folder, made_round(1))
    path = write_input(tmp_path, "Random.sparsity", method="Random")
    for named, expected in (
        ("several", "several/seed_{}"),
        ("several/IMP", "several/seed_{}/IMP"),
        ("single", "single"),
    ):
        code, shown, _ = command(path, "--dry_run", "--seeds=1,2", f"--set=Random.like={tmp_path / named}")
        likes = [line for line in shown.splitlines() if line.startswith("like = ")]
        assert (code, likes) == (0, [f"like = {tmp_path / expected.format(seed)}" for seed in (1, 2)])


def test_a_dense_run_of_another_experiment_is_announced(command, accepted, tmp_path, capsys):
    """Round 0 of other images or settings may be wanted, but not unawares: one line for each key that differs."""
    other = stored_run(tmp_path / "other", made_round(0))
    path = write_input(tmp_path, f"OneShot.dense_run={other.folder}", method="OneShot")

    def warnings() -> list[str]:
        with pytest.raises(accepted):
            command(path)
        return [line for line in capsys.readouterr().out.splitlines() if line.startswith("Warning: ")]

    (line,) = warnings()
    assert "has no input file" in line
    other.write_input(read_experiment([str(write_input(tmp_path, "Network.learning_rate=0.7", name="a.in"))]).to_text())
    (line,) = warnings()
    assert line.endswith("is another experiment: [Network] learning_rate = 0.7 there, 0.1 here")
    other.write_input(read_experiment([str(write_input(tmp_path, name="b.in"))]).to_text())
    assert warnings() == []
