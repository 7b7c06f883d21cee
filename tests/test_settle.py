"""Starting, continuing, refusing, restarting, overwriting: launch.settle, with made-up rounds, without training."""

from pathlib import Path

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from synthetic import made_round, write_input

from sifting import launch, run
from sifting.errors import InputError, RunDirectoryError
from sifting.inputs import read_experiment
from sifting.rounds import Round
from sifting.run_directory import Progress, RunDirectory


@pytest.fixture(autouse=True)
def flags_as_by_default(monkeypatch):
    flags.FLAGS.mark_as_parsed()
    monkeypatch.setattr("sifting.files.os.fsync", lambda descriptor: None)


@pytest.fixture
def experiment(tmp_path):
    """experiment(*changes, method="IMP"): that of the synthetic input file, changed."""
    return lambda *changes, **method: read_experiment([str(write_input(tmp_path, *changes, **method))])


@pytest.fixture
def directory(tmp_path) -> RunDirectory:
    (tmp_path / "run").mkdir()
    return RunDirectory(tmp_path / "run", "IMP")


def begin(directory: RunDirectory, experiment, rounds: int, in_progress: bool = False) -> None:
    """What a process leaves that has trained some rounds, and was interrupted in the next one if `in_progress`."""
    directory.write_input(experiment.to_text())
    for number in range(rounds):
        directory.write_round(made_round(number))
    if in_progress:
        directory.write_checkpoint(progress(rounds))


def progress(number: int) -> Progress:
    """A round before its step 7."""
    whole = made_round(number)
    partial = Round(
        number, whole.specs, whole.ratios, whole.masks, whole.checkpoints[:1], np.zeros(7, np.float32), (0,), [0.5]
    )
    return Progress(partial, 7, 1.5, {})


def contents(directory: RunDirectory) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.folder.iterdir()}


def settle(directory, experiment, overwrite=False):
    """launch.settle, which must change nothing, whatever it decides."""
    before = contents(directory)
    try:
        return launch.settle(directory, experiment, overwrite)
    finally:
        assert contents(directory) == before


def refusal(directory, experiment, overwrite=False) -> str:
    with pytest.raises(RunDirectoryError) as error:
        settle(directory, experiment, overwrite)
    assert "\n" not in str(error.value)
    return str(error.value)


# --- starting and continuing ---------------------------------------------------------------------------------------


def test_empty_directory_starts(directory, experiment):
    settled, _ = settle(directory, experiment())
    assert settled == experiment()


def test_seed_is_drawn_where_none_is_given_and_differs_between_runs(directory, experiment):
    unseeded = experiment("Network.seed")
    seeds = {settle(directory, unseeded)[0].network.seed for _ in range(5)}
    assert len(seeds) == 5 and all(0 <= seed < 2**31 for seed in seeds)


@pytest.mark.parametrize(("rounds", "in_progress"), [(1, False), (0, True), (2, True)])
def test_the_same_experiment_continues(directory, experiment, rounds, in_progress):
    begin(directory, experiment(), rounds, in_progress)
    assert settle(directory, experiment()) == (experiment(), None)


@pytest.mark.parametrize(("rounds", "in_progress"), [(1, False), (0, True)])
def test_a_drawn_seed_is_kept(directory, experiment, rounds, in_progress):
    begin(directory, experiment("Network.seed=12345"), rounds, in_progress)
    settled, in_the_way = settle(directory, experiment("Network.seed"))
    assert settled.network.seed == 12345 and in_the_way is None


def test_a_directory_without_rounds_starts_whatever_its_record_says(directory, experiment):
    """As a run leaves it that was stopped before its first checkpoint; a damaged record is no obstacle then."""
    begin(directory, experiment("Network.learning_rate=0.7"), 0)
    assert settle(directory, experiment())[0] == experiment()
    directory.path("input.in").write_bytes(b"\xff")
    assert settle(directory, experiment())[0] == experiment()


FREE = [
    ("IMP.max_iterations=9", "IMP.stop_ratio=0.1"),
    ("Network.jit_compile=false", "Data.preload=false", "Data.dataloc=elsewhere"),
    ("IO.checkpoint_seconds=1", "IO.cache_dir=elsewhere"),
    ("IMP.prune_step=20", "Network.learning_rate=1e-1", "IMP.prune_ratio=0.30"),  # the defaults, spelled out
]


@pytest.mark.parametrize("changes", FREE)
def test_keys_that_do_not_change_results_may_differ(directory, experiment, changes):
    begin(directory, experiment(), 2)
    changed = experiment(*changes)
    assert settle(directory, changed) == (changed, None)


LEVELS = [
    ("SNIP.sparsity=0.5", "SNIP.sparsity=0.5, 0.9"),
    ("SNIP.sparsity=0.5, 0.9", "SNIP.sparsity=0.5, 0.90"),
    ("SNIP.rounds=2", "SNIP.rounds=7"),
    ("SNIP.rounds=7", "SNIP.rounds=2"),
]
OTHER_LEVELS = [
    ("SNIP.sparsity=0.5", "SNIP.sparsity=0.6", "[SNIP] sparsity = "),
    ("SNIP.sparsity=0.5, 0.9", "SNIP.sparsity=0.5, 0.8", "[SNIP] sparsity = "),
    ("SNIP.sparsity=0.5, 0.9", "SNIP.sparsity=0.3, 0.5, 0.9", "[SNIP] sparsity = "),
    ("SNIP.sparsity=0.3, 0.51", "SNIP.rounds=2", "[SNIP] sparsity = "),
    ("SNIP.rounds=2", "SNIP.sparsity=0.3, 0.51", "[SNIP] sparsity = "),
]


def levels(experiment, change):
    """An experiment of [SNIP] with these levels."""
    changes = ["SNIP.sparsity", "SNIP.prune_ratio=0.3", change] if "rounds" in change else [change]
    return experiment(*changes, method="SNIP")


@pytest.mark.parametrize(("recorded", "new"), LEVELS)
def test_levels_can_be_added_to_a_run(directory, experiment, recorded, new):
    begin(directory, levels(experiment, recorded), 2)
    changed = levels(experiment, new)
    assert settle(directory, changed) == (changed, None)


@pytest.mark.parametrize(("recorded", "new", "difference"), OTHER_LEVELS)
def test_a_run_with_other_levels_is_another_experiment(directory, experiment, recorded, new, difference):
    begin(directory, levels(experiment, recorded), 2)
    assert f"holds another experiment ({difference}" in refusal(directory, levels(experiment, new))


def test_a_moved_directory_continues(directory, experiment, tmp_path):
    begin(directory, experiment(), 2)
    (tmp_path / "run").rename(tmp_path / "moved")
    moved = experiment(f"IO.save_dir={tmp_path / 'moved'}")
    assert settle(RunDirectory(tmp_path / "moved", "IMP"), moved) == (moved, None)


# --- refusing ------------------------------------------------------------------------------------------------------

OTHER = [
    ("Network.seed=2", "[Network] seed = 1 there, 2 here"),
    ("Network.arch=f5:x", "[Network] arch = f4:x there, f5:x here"),
    ("Network.steps=21", "[Network] steps = 20 there, 21 here"),
    ("Network.batch_size=6", "[Network] batch_size = 5 there, 6 here"),
    ("Network.val_size=29", "[Network] val_size = 30 there, 29 here"),
    ("Network.learning_rate=0.2", "[Network] learning_rate = 0.1 there, 0.2 here"),
    ("Network.minimizer=Adam", "[Network] minimizer = SGD there, Adam here"),
    ("Network.deterministic=true", "[Network] deterministic = "),
    ("Data.data_ratio=0.5", "[Data] data_ratio = 1.0 there, 0.5 here"),
    ("Data.reclass=m,2", "[Data] reclass = n there, m,2 here"),
    ("Data.clone=gaussian", "[Data] clone = none there, gaussian here"),
    ("IMP.prune=T:T", "[IMP] prune = "),
    ("IMP.prune_ratio=0.2", "[IMP] prune_ratio = 0.3 there, 0.2 here"),
    ("IMP.weights_step=4", "[IMP] weights_step = 5 there, 4 here"),
    ("IMP.prune_step=19", "[IMP] prune_step = 20 there, 19 here"),
]


@pytest.mark.parametrize(("change", "difference"), OTHER)
@pytest.mark.parametrize(("rounds", "in_progress"), [(1, False), (0, True)])
def test_another_experiment_is_refused_by_the_keys_that_differ(
    directory, experiment, change, difference, rounds, in_progress
):
    begin(directory, experiment(), rounds, in_progress)
    line = refusal(directory, experiment(change))
    assert f"holds another experiment ({difference}" in line
    assert all(way in line for way in ("save_dir", "prefix", "--overwrite", "restart"))


OTHER_METHODS = [
    ("IMP.scope=global", "[IMP] scope = layerwise there, global here"),
    ("OneShot.dense_run=elsewhere", "[OneShot] dense_run = unset there, elsewhere here"),
    ("SNIP.images=99", "[SNIP] images = 100 there, 99 here"),
    ("SNIP.moments=initial", "[SNIP] moments = batch there, initial here"),
    ("SNIP.scope=layerwise", "[SNIP] scope = global there, layerwise here"),
    ("SNIP.dense=false", "[SNIP] dense = true there, false here"),
    ("SynFlow.iterations=10", "[SynFlow] iterations = 100 there, 10 here"),
    ("Random.weights_step=3", "[Random] weights_step = 0 there, 3 here"),
    ("GraSP.temperature=1", "[GraSP] temperature = 200.0 there, 1.0 here"),
    ("LayerByLayer.freeze=mask", "[LayerByLayer] freeze = mask_and_weights there, mask here"),
    ("LayerByLayer.stop_ratio=0.1", "[LayerByLayer] stop_ratio = 0.0 there, 0.1 here"),
    ("Cavity.images=99", "[Cavity] images = 100 there, 99 here"),
    ("Network.init_deviation=common", "[Network] init_deviation = layer there, common here"),
    ("Network.init_distribution=uniform", "[Network] init_distribution = normal there, uniform here"),
]


@pytest.mark.parametrize(("change", "difference"), OTHER_METHODS)
def test_another_experiment_of_the_other_methods(directory, experiment, change, difference):
    """With [LayerByLayer] stop_ratio decides which layer a round prunes, so that stored rounds would be misread."""
    section = change.partition(".")[0]
    method = "IMP" if section == "Network" else section
    begin(directory, experiment(method=method), 1)
    assert f"holds another experiment ({difference}" in refusal(directory, experiment(change, method=method))


@pytest.mark.parametrize("method", ["SNIP", "Cavity", "LayerByLayer"])
def test_another_method_is_another_experiment(directory, experiment, method):
    begin(directory, experiment(), 1)
    assert f"holds another experiment ([IMP] there, [{method}] here); " in refusal(directory, experiment(method=method))


def test_a_restart_behind_the_last_round_may_change_the_method(directory, experiment):
    """From IMP's rounds 0 ... 2 to SNIP's level 3, in the same folder; IMP's input file is kept."""
    begin(directory, experiment(), 3)
    other = experiment("Network.restart=true", "Network.rest_it=3", "SNIP.sparsity=0.5, 0.6, 0.7", method="SNIP")
    assert settle(directory, other) == (other, 3)
    earlier = experiment("Network.restart=true", "Network.rest_it=2", method="SNIP")
    assert "[IMP] there, [SNIP] here" in refusal(directory, earlier) and directory.rounds() == [0, 1, 2]


def test_all_differences_are_named(directory, experiment):
    begin(directory, experiment(), 1)
    line = refusal(directory, experiment("Network.batch_size=6", "IMP.weights_step=4", "IMP.max_iterations=7"))
    assert "batch_size = 5 there, 6 here; [IMP] weights_step = 5 there, 4 here)" in line


def test_rounds_without_a_record_are_refused(directory, experiment):
    """Such as those of the reference: nobody can say what they are."""
    directory.write_round(made_round(0))
    assert "rounds without a recorded input file" in refusal(directory, experiment())


def test_damaged_record_of_a_run_is_named(directory, experiment):
    begin(directory, experiment(), 1)
    directory.path("input.in").write_text("[IMP]\n")
    with pytest.raises(InputError, match="IMP_input.in: .*arch is missing"):
        settle(directory, experiment())


# --- restart -------------------------------------------------------------------------------------------------------


def restarted(experiment, first, *changes):
    return experiment("Network.restart=true", f"Network.rest_it={first}", "IMP.max_iterations=9", *changes)


@pytest.mark.parametrize("recorded", [True, False])
def test_restart_goes_on_behind_the_last_round_with_other_settings(directory, experiment, recorded):
    """Also behind rounds of the reference, which have no record."""
    begin(directory, experiment(), 3)
    if not recorded:
        directory.path("input.in").unlink()
    other = restarted(experiment, 3, "Network.learning_rate=0.2")
    assert settle(directory, other) == (other, 3)


def test_restart_puts_a_round_in_progress_of_other_settings_aside(directory, experiment):
    begin(directory, experiment(), 2, in_progress=True)
    other = restarted(experiment, 2)
    settled, in_the_way = settle(directory, other)
    directory.remove_rounds(in_the_way)
    assert (directory.rounds(), directory.checkpoint_path.exists()) == ([0, 1], False)


def test_restart_that_has_begun_continues(directory, experiment):
    other = restarted(experiment, 2)
    begin(directory, other, 3, in_progress=True)
    assert settle(directory, other) == (other, None)


def test_restart_in_the_middle_is_refused_and_with_overwrite_keeps_earlier_rounds(directory, experiment):
    begin(directory, experiment(), 5, in_progress=True)
    other = restarted(experiment, 3)
    line = refusal(directory, other)
    assert (
        "restart = false there, true here" in line and "delete its rounds from 3 on" in line and "rest_it > 4" in line
    )
    settled, in_the_way = settle(directory, other, overwrite=True)
    directory.remove_rounds(in_the_way)
    assert (directory.rounds(), directory.checkpoint_path.exists()) == ([0, 1, 2], False)


# --- overwriting, and several runs in a folder ---------------------------------------------------------------------


def test_overwrite_removes_the_rounds_of_this_prefix_only(directory, experiment):
    neighbours = [RunDirectory(directory.folder, prefix) for prefix in ("IMP_itdata", "IMP2", "other", "IM", "I.P")]
    for run_directory in (directory, *neighbours):
        begin(run_directory, experiment(), 2, in_progress=True)
    settled, in_the_way = settle(directory, experiment("Network.learning_rate=0.7"), overwrite=True)
    directory.remove_rounds(in_the_way)
    assert directory.rounds() == [] and not directory.checkpoint_path.exists()
    for neighbour in neighbours:
        assert neighbour.rounds() == [0, 1] and neighbour.checkpoint_path.exists()


@pytest.mark.parametrize("record", [b"", b"\xff", None])
def test_overwrite_does_not_mind_a_damaged_record(directory, experiment, record):
    begin(directory, experiment(), 2)
    if record is None:
        directory.path("input.in").unlink()
    else:
        directory.path("input.in").write_bytes(record)
    directory.checkpoint_path.write_bytes(b"damaged")
    assert settle(directory, experiment(), overwrite=True) == (experiment(), 0)


def test_overwrite_draws_another_seed(directory, experiment):
    begin(directory, experiment("Network.seed=12345"), 1)
    settled, _ = settle(directory, experiment("Network.seed"), overwrite=True)
    assert settled.network.seed not in (None, 12345)


def test_prefixes_share_a_folder(directory, experiment, tmp_path):
    """Each is its own run: one continues, another one is refused, a third one starts."""
    begin(directory, experiment(), 2)
    begin(RunDirectory(directory.folder, "wide"), experiment("Network.arch=f8:x"), 1)
    wide = experiment("Network.arch=f8:x", "IO.prefix=wide")
    assert settle(RunDirectory(directory.folder, "wide"), wide) == (wide, None)
    assert settle(directory, experiment()) == (experiment(), None)
    assert "arch = f4:x there, f8:x here" in refusal(directory, experiment("Network.arch=f8:x"))
    fresh = experiment("Network.arch=f16:x", "IO.prefix=wider")
    assert settle(RunDirectory(directory.folder, "wider"), fresh)[0] == fresh
    assert RunDirectory(directory.folder, "wider").rounds() == []


# --- when the directory changes ------------------------------------------------------------------------------------


class Started(Exception):
    """Everything was accepted: TensorFlow would be imported now."""


def test_run_makes_room_only_when_nothing_can_be_refused_any_more(directory, experiment, monkeypatch, tmp_path):
    """--overwrite with images that cannot be loaded loses nothing; with good ones it replaces rounds and record."""

    def started():
        raise Started

    monkeypatch.setattr(launch, "native_messages_hidden", started)
    begin(directory, experiment(), 2, in_progress=True)
    before = contents(directory)
    other = experiment("Network.learning_rate=0.7", f"IO.cache_dir={tmp_path / 'test.in' / 'cache'}")
    with pytest.raises(Exception, match="accepted as .IO. cache_dir"):
        launch.run(other, signals=None, overwrite=True)
    after = contents(directory)
    assert {name: after[name] for name in before} == before and set(after) - set(before) == {"IMP_lock"}

    other = experiment("Network.learning_rate=0.7")
    with pytest.raises(Started):
        launch.run(other, signals=None, overwrite=True)
    assert directory.rounds() == [] and not directory.checkpoint_path.exists()
    assert read_experiment([str(directory.path("input.in"))]) == other
    assert Path(other.io.save_dir) == directory.folder


@pytest.mark.parametrize("levels", ["0.5", "0.5, 0.7", "0.5, 0.7, 0.9"])
def test_levels_that_were_trained_stay_recorded(directory, experiment, levels):
    """Round 2 was trained at 0.9: it must not pass for one at 0.7, not even by way of a shorter list in between."""
    begin(directory, experiment("SNIP.sparsity=0.5, 0.9", method="SNIP"), 3)
    message = refusal(directory, experiment(f"SNIP.sparsity={levels}", method="SNIP"))
    assert f"[SNIP] sparsity = 0.5, 0.9 there, {levels} here" in message


def test_a_restart_does_not_delete_what_it_begins_with(directory, experiment, tmp_path):
    """--overwrite removes rounds from rest_it on: refused where one of them is to be pruned from, or rewound to."""
    begin(directory, experiment(), 5)
    changes = ["Network.restart=true", "Network.rest_it=2"]
    for key in ("rest_mask_file", "rest_weights_file"):
        other = experiment(*changes, f"Network.{key}={directory.round_path(4)}")
        with pytest.raises(InputError, match=f"{key} = .*does not delete"):
            launch.settle(directory, other, overwrite=True)
    assert directory.rounds() == [0, 1, 2, 3, 4]


def test_removed_rounds_leave_no_record(directory, experiment):
    begin(directory, experiment(), 3, in_progress=True)
    directory.write_record({"seed": 1, "rounds": {"0": {"seconds": 1}, "1": {"seconds": 2}, "2": {"seconds": 3}}})
    directory.path("findata.pkl").touch()
    directory.remove_rounds(1)
    assert directory.rounds() == [0] and directory.read_record() == {"seed": 1, "rounds": {"0": {"seconds": 1}}}
    assert not directory.path("findata.pkl").exists() and not directory.checkpoint_path.exists()


def test_a_restart_keeps_the_input_file_of_earlier_rounds(directory, experiment):
    begin(directory, experiment(), 3)
    directory.keep_input(3)
    assert directory.path("input_until_3.in").read_text() == experiment().to_text()
    assert not directory.path("input.in").exists()


def test_each_seed_takes_its_own_part_of_another_run(tmp_path):
    """dense_run and like with --seeds: the sub-folder of the seed where there is one, whole runs and DIR/PREFIX."""
    for folder in ("several/seed_1", "several/seed_2", "single"):
        (tmp_path / folder).mkdir(parents=True)
    path = str(write_input(tmp_path, "Random.sparsity", method="Random"))
    for named, expected in (
        ("several", "several/seed_{}"),
        ("several/IMP", "several/seed_{}/IMP"),
        ("single", "single"),
    ):
        with flagsaver.flagsaver(seeds=["1", "2"], set=[f"Random.like={tmp_path / named}"]):
            experiments = run.read_experiments([path])
        assert [experiment.method.like for experiment in experiments] == [
            str(tmp_path / expected.format(seed)) for seed in (1, 2)
        ]


def test_a_dense_run_of_another_experiment_is_announced(tmp_path):
    """Round 0 of other images or settings may be wanted, but not unawares: one line for each key that differs."""
    folder = tmp_path / "other"
    folder.mkdir()
    other = RunDirectory(folder, "IMP")
    other.write_round(made_round(0))
    path = str(write_input(tmp_path, f"OneShot.dense_run={folder}", method="OneShot"))
    here = read_experiment([path])
    own = RunDirectory(here.io.save_dir, "IMP")
    assert "has no input file" in launch._dense_run_warnings(here, own)[0]
    other.write_input(read_experiment([str(write_input(tmp_path, "Network.learning_rate=0.7"))]).to_text())
    (line,) = launch._dense_run_warnings(here, own)
    assert line.endswith("is another experiment: [Network] learning_rate = 0.7 there, 0.1 here")
    other.write_input(read_experiment([str(write_input(tmp_path))]).to_text())
    assert launch._dense_run_warnings(here, own) == []
