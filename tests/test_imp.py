"""IMP end to end on a handful of images: what is stored and pruned, stopping, restarting, interruptions, divergence.

What holds for every method: test_methods.py.
"""

import os
import pickle
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from synthetic import assert_same, write_input
from tiny_runs import copy_of, expected_masks, files_of, interrupt, rounds_of, run

from sifting.base.pickles import load_pickle
from sifting.base.signals import Signals
from sifting.errors import Interrupted, TrainingDiverged
from sifting.methods.base import nominal_sparsities
from sifting.network.model import initial_masks, initial_parameters
from sifting.network.rounds import connected_fraction
from sifting.runs.directory import RunDirectory
from sifting.training.trainer import Trainer

RECORDED = Path(__file__).parent / "data" / "imp_fc_sgd_run"  # written by the public TF1 code
ADAM = "Network.minimizer=Adam", "Network.learning_rate=0.05"


# --- what a run is


def test_every_step_is_trained_and_recorded_once_and_every_fifth_validated(whole):
    directory, session = whole
    for result in rounds_of(directory):
        assert result.training_errors.shape == (13,)  # 0 ... steps, inclusive
        assert result.validation_steps == (0, 5, 10) and result.validation_errors.shape == (3,)
        assert set(result.training_errors * 8) <= set(range(9))
        calls = [(start, stop) for n, start, stop in session.trained if n == result.number]
        assert [start for start, _ in calls] == [0, *(stop for _, stop in calls[:-1])] and calls[-1][1] == 13


@pytest.mark.parametrize("prune_step", [8, 12])
def test_masks_come_from_the_magnitudes_at_prune_step(prune_step, tmp_path):
    directory, _ = run(tmp_path / "run", f"IMP.prune_step={prune_step}")
    rounds, ratio = rounds_of(directory), 0.0
    assert [[c.step for c in r.checkpoints] for r in rounds] == [sorted({3, prune_step, 12})] + [
        sorted({prune_step, 12})
    ] * 3
    for result, following in zip(rounds, rounds[1:], strict=False):
        ratio += 0.3 * (1 - ratio)
        np.testing.assert_array_equal(following.sparsities, [ratio, ratio])  # float64, one a prunable layer
        trained = result.checkpoint_at(prune_step)
        assert_same(following.masks, expected_masks(trained, result.masks, ratio, (True, True, False)))
        for layer, n in ((0, 48 * 6 + 6), (1, 6 * 5 + 5)):
            mask = following.masks[layer]
            assert np.sum(mask.W == 0) + np.sum(mask.b == 0) == int(ratio * n)


def test_ratios_accumulate_to_the_references_bits():
    """Those of the recorded run, from 0 by 0.3 of what remains."""
    recorded = load_pickle(RECORDED / "IMP_findata.pkl")[1]
    assert len(recorded) > 5
    for ratios, expected in zip(recorded, nominal_sparsities(0.0, 0.3), strict=False):
        np.testing.assert_array_equal(ratios, np.full(len(ratios), expected))


def test_rounds_draw_different_batches(whole):
    assert len({whole[1].batch_key(number) for number in range(100)}) == 100


def test_a_run_is_a_function_of_its_seed_and_not_of_where_its_images_are(whole, tmp_path):
    streamed, _ = run(tmp_path / "streamed", "Data.preload=false")
    assert files_of(streamed) == files_of(whole[0])
    other, _ = run(tmp_path / "other", "Network.seed=2", "IMP.max_iterations=1")
    assert other.round_path(0).read_bytes() != whole[0].round_path(0).read_bytes()


# --- settings


def test_rewinding_to_step_0_is_to_the_initial_weights(tmp_path):
    directory, session = run(tmp_path / "run", "IMP.weights_step=0", "IMP.max_iterations=2")
    first, second = rounds_of(directory)
    assert [c.step for c in first.checkpoints] == [0, 12]
    assert_same(first.checkpoints[0].parameters, initial_parameters(session.specs, 1))
    assert_same(session.begins[1][0], initial_parameters(session.specs, 1))
    for moments in first.checkpoints[0].moments.values():
        assert np.all(moments.mean == 0) and np.all(moments.variance == 1)


def test_stop_ratio_stops_before_a_round_with_too_few_connected_nodes(tmp_path):
    """Without it the same rounds go on: the first whose masks connect no more than half the nodes is not trained."""
    changes = "IMP.prune_ratio=0.5", "IMP.max_iterations=12"
    free, _ = run(tmp_path / "free", *changes)
    connected = [connected_fraction(result.masks, result.specs) for result in rounds_of(free)]
    assert all(fraction > 0 for fraction in connected)  # stop_ratio = 0 stops where a layer is cut through
    assert connected == sorted(connected, reverse=True) and connected[-1] < 0.8
    for stop_ratio in (connected[-1], 0.79):
        stopped, _ = run(tmp_path / f"stopped_{stop_ratio}", *changes, f"IMP.stop_ratio={stop_ratio}")
        expected = next(number for number, fraction in enumerate([*connected, 0.0]) if fraction <= stop_ratio)
        assert stopped.rounds() == list(range(expected)) and expected > 1
        for number in stopped.rounds():
            assert stopped.round_path(number).read_bytes() == free.round_path(number).read_bytes()


def test_init_sparsity(tmp_path):
    directory, session = run(tmp_path / "run", "Network.init_sparsity=0.4", "IMP.max_iterations=3")
    rounds = rounds_of(directory)
    assert_same(rounds[0].masks, initial_masks(session.specs, 0.4, 1))
    assert 0.3 < np.mean(rounds[0].masks[0].W == 0) < 0.5 and np.all(rounds[0].masks[0].b == 1)
    ratio = 0.4
    for result, following in zip(rounds, rounds[1:], strict=False):
        assert result.sparsities.tolist() == [ratio, ratio]
        ratio += 0.3 * (1 - ratio)
        assert_same(following.masks, expected_masks(result.checkpoints[-1], result.masks, ratio, (True, True, False)))


@pytest.mark.parametrize(
    ("prune", "flags"), [("T:T:T:F", [1, 0, 1, 0]), ("F:T:F:T", [0, 0, 0, 1]), ("T", [1, 0, 0, 0])]
)
def test_convolutional_networks(prune, flags, tmp_path):
    changes = "Network.arch=c2,4:p2,1:f6:x", f"IMP.prune={prune}", "IMP.max_iterations=3"
    directory, session = run(tmp_path / "run", *changes)
    assert [spec.prunable for spec in session.specs] == flags
    for result in rounds_of(directory):
        assert result.sparsities.tolist() == [[0, 0.3, 0.51][result.number]] * sum(flags)
        for layer, n in ((0, 48), (2, 16 * 6 + 6), (3, 6 * 4 + 4)):
            masked = sum(np.sum(values == 0) for values in result.masks[layer])
            assert masked == (int(result.sparsities[0] * n) if flags[layer] else 0)


# --- restart


def test_a_restart_with_the_same_settings_continues_to_the_same_bits(tmp_path):
    """Log and findata cover all rounds."""
    uninterrupted, _ = run(tmp_path / "uninterrupted", *ADAM)
    restarted = copy_of(uninterrupted, tmp_path / "restarted", (0, 1))
    _, session = run(restarted.folder, *ADAM, "Network.restart=true", "Network.rest_it=2")
    assert sorted(session.begins) == [2, 3] and files_of(restarted) == files_of(uninterrupted)


def test_a_restart_into_another_folder_reads_the_files_it_is_given(whole, tmp_path):
    files = (f"Network.rest_{name}_file={whole[0].round_path(n)}" for name, n in (("weights", 0), ("mask", 1)))
    directory, _ = run(tmp_path / "run", "Network.restart=true", "Network.rest_it=2", *files)
    assert directory.rounds() == [2, 3]  # max_iterations counts the rounds before it
    for number in (2, 3):
        assert directory.round_path(number).read_bytes() == whole[0].round_path(number).read_bytes()
    findata = pickle.loads(directory.path("findata.pkl").read_bytes())
    assert len(findata[1]) == len(findata[2]) == 2


@pytest.mark.parametrize(("index", "step"), [(0, 3), (1, 12), (-1, 12), (-2, 3)])
def test_a_restart_prunes_from_the_stored_checkpoint_it_names(index, step, whole, tmp_path):
    folder = copy_of(whole[0], tmp_path / "run", (0,)).folder
    changes = "Network.restart=true", f"Network.restart_weights_step={index}", "IMP.max_iterations=2"
    directory, session = run(folder, *changes)
    first, second = rounds_of(directory)
    assert_same(second.masks, expected_masks(first.checkpoint_at(step), first.masks, 0.3, (True, True, False)))
    assert_same(session.begins[1][0], first.checkpoints[0].parameters)


# --- signals


def test_an_interrupted_run_continues_to_the_same_bits(tmp_path):
    """Again and again: before, after and at the steps that store weights, at the last step, in later rounds."""
    settings = *ADAM, "IMP.max_iterations=3"
    uninterrupted, _ = run(tmp_path / "uninterrupted", *settings)
    kinds = [signal.SIGINT, signal.SIGTERM] * 3
    for which, (number, step) in zip(kinds, [(0, 0), (0, 3), (0, 12), (1, 7), (2, 12)], strict=False):
        directory, error = interrupt(tmp_path / "run", number, step, *settings, which=which)
        progress = directory.read_progress()
        assert progress.number == number and progress.step > step
        assert len(progress.so_far().training_errors) == progress.step
        assert str(error).startswith(f"{which.name} in round {number} before step {progress.step}: ")
        assert error.exit_code == 128 + which and "the same command continues" in str(error)
        assert directory.rounds() == list(range(number))
    lines = uninterrupted.path("history.csv").read_text().splitlines(keepends=True)
    assert directory.path("history.csv").read_text() == "".join(line for line in lines if line[:2] != "2,")
    directory, session = run(tmp_path / "run", *settings)
    assert session.trained == []  # the last signal came at the very last step
    assert files_of(directory) == files_of(uninterrupted)
    assert directory.read_progress() is None


def test_an_interrupted_run_continues_to_the_same_bits_under_jit(tmp_path):
    settings = "Network.jit_compile=true", "Network.arch=f6:x", "IMP.prune=T:F", "IMP.max_iterations=2"
    uninterrupted, _ = run(tmp_path / "uninterrupted", *settings)
    interrupt(tmp_path / "run", 1, 7, *settings)
    directory, _ = run(tmp_path / "run", *settings)
    assert files_of(directory) == files_of(uninterrupted)


def test_a_second_signal_does_not_wait_and_costs_only_the_round_in_progress(whole, tmp_path):
    directory, _ = interrupt(tmp_path / "run", 1, 7, times=2)
    assert directory.rounds() == [0] and directory.read_progress() is None
    run(tmp_path / "run")
    assert files_of(directory) == files_of(whole[0])


def test_signals_are_immediate_outside_of_training_and_handlers_are_given_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Signals().handled() as signals:
        with pytest.raises(Interrupted, match="^SIGTERM: everything finished is saved"):
            os.kill(os.getpid(), signal.SIGTERM)
            signal.sigtimedwait([], 1)
        assert signals.received is signal.SIGTERM
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_checkpoints_in_between_change_nothing(whole, tmp_path, monkeypatch):
    written = []
    original = RunDirectory.write_progress
    monkeypatch.setattr(RunDirectory, "write_progress", lambda *given: written.append(given) or original(*given))
    directory, _ = run(tmp_path / "run", "IO.checkpoint_seconds=0")
    assert len(written) > 4 and files_of(directory) == files_of(whole[0])


def test_the_checkpoint_of_a_round_that_is_finished_is_not_continued(whole, tmp_path):
    """As if the process was killed between storing a round and dropping its checkpoint."""
    directory, _ = interrupt(tmp_path / "run", 0, 12)
    shutil.copy(whole[0].round_path(0), directory.folder)
    assert directory.progress_path.exists()
    run(tmp_path / "run")
    assert files_of(directory) == files_of(whole[0])


# --- divergence


def test_a_loss_that_is_not_finite_stops_the_run_naming_round_and_step(whole, tmp_path, monkeypatch):
    original = Trainer.train
    calls = {"steps": 0}

    def diverging(trainer, key, start, stop, *rest):
        errors, losses = original(trainer, key, start, stop, *rest)
        calls["steps"] += stop - start
        if calls["steps"] > 13 and start <= 7 < stop:  # round 1
            losses[7 - start :] = np.inf
        return errors, losses

    monkeypatch.setattr(Trainer, "train", diverging)
    with pytest.raises(TrainingDiverged, match="^round 1, step 7: the loss is inf; ") as error:
        run(tmp_path / "run")
    assert error.value.exit_code == 1 and "\n" not in str(error.value) and "learning_rate" in str(error.value)
    directory = RunDirectory(tmp_path / "run", "IMP")
    assert directory.rounds() == [0]
    assert directory.round_path(0).read_bytes() == whole[0].round_path(0).read_bytes()
    assert len(pickle.loads(directory.path("findata.pkl").read_bytes())[2]) == 1


def test_training_that_really_diverges(tmp_path):
    with pytest.raises(TrainingDiverged, match="^round 0, step [1-9][0-9]?: the loss is nan; "):
        run(tmp_path / "run", "Network.learning_rate=1e30")
    assert RunDirectory(tmp_path / "run", "IMP").rounds() == []


def test_a_run_that_stops_before_its_first_round_says_so(command, tmp_path):
    """Nearly all weights masked from the start: stop_ratio is met, and the closing table has nothing to show."""
    code, shown, _ = command(write_input(tmp_path, "Network.init_sparsity=0.9999", "IMP.stop_ratio=0.9"))
    assert code == 0 and shown.splitlines()[-1].startswith("No round was trained: the run is to stop")
