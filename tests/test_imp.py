"""IMP end to end on a handful of images: what is stored, rewound, pruned; stopping, restarting, being interrupted."""

import os
import pickle
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from synthetic import write_input
from tiny_runs import assert_same, expected_masks, files_of, interrupting, rounds_of, run

from sifting import run as command
from sifting.drivers import imp
from sifting.errors import Interrupted, TrainingDiverged
from sifting.forward import MaskedNetwork
from sifting.methods import IMP
from sifting.network import initial_masks, initial_parameters
from sifting.rounds import connected_fraction
from sifting.run_directory import RunDirectory, load_pickle, log_line
from sifting.signals import Signals
from sifting.training import Trainer

RECORDED = Path(__file__).parent / "data" / "imp_fc_sgd_run"  # written by the public TF1 code


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The experiment as it stands, never interrupted: (directory, session). Do not write there."""
    return run(tmp_path_factory.mktemp("imp") / "whole")


# --- what a run is


def test_which_checkpoints_each_round_stores(whole, tmp_path):
    rounds = rounds_of(whole[0])
    assert [[c.step for c in r.checkpoints] for r in rounds] == [[3, 12], [12], [12], [12]]
    directory, _ = run(tmp_path / "run", "IMP.prune_step=8", "IMP.max_iterations=3")
    assert [[c.step for c in r.checkpoints] for r in rounds_of(directory)] == [[3, 8, 12], [8, 12], [8, 12]]


def test_every_step_is_recorded_and_every_fifth_validated(whole):
    for result in rounds_of(whole[0]):
        assert result.training_errors.shape == (13,)  # 0 ... steps, inclusive
        assert result.validation_steps == (0, 5, 10) and result.validation_errors.shape == (3,)
        assert set(result.training_errors * 8) <= set(range(9))


def test_every_round_trains_all_its_steps_once(whole):
    for number in range(4):
        calls = [(start, stop) for n, start, stop in whole[1].trained if n == number]
        assert [start for start, _ in calls] == [0, *(stop for _, stop in calls[:-1])] and calls[-1][1] == 13


def test_round_0_starts_from_the_seeds_weights_and_every_other_from_its_first_checkpoint(whole):
    directory, session = whole
    assert_same(session.begins[0][0], initial_parameters(session.specs, 1))
    rewind = directory.read_round(0).checkpoints[0].parameters
    assert any(np.any(a.W != b.W) for a, b in zip(rewind, initial_parameters(session.specs, 1), strict=True))
    for number in (1, 2, 3):
        assert_same(session.begins[number][0], rewind)


def test_every_round_starts_with_its_own_masks_fresh_moments_and_a_fresh_optimizer(tmp_path):
    directory, session = run(tmp_path / "run", "Network.minimizer=Adam", "Network.learning_rate=0.01")
    for result in rounds_of(directory):
        parameters, masks, moments, optimizer = session.begins[result.number]
        assert_same(masks, result.masks)
        for layer in moments:
            assert np.all(layer.mean == 0) and np.all(layer.variance == 1)
        for value, first in zip(optimizer, session.begins[0][3], strict=True):
            np.testing.assert_array_equal(value, first)
        assert optimizer[0] == 0  # its step count
        assert all(np.all(value == 0) for value in optimizer[2:])  # momenta, behind the learning rate


def test_masked_weights_are_stored_at_their_rewound_values(whole):
    """Frozen, to the bit, in every checkpoint of every later round."""
    rounds = rounds_of(whole[0])
    rewind = rounds[0].checkpoints[0].parameters
    for result in rounds[1:]:
        for checkpoint in result.checkpoints:
            for now, then, mask in zip(checkpoint.parameters, rewind, result.masks, strict=True):
                np.testing.assert_array_equal(now.W[mask.W == 0], then.W[mask.W == 0])
                np.testing.assert_array_equal(now.b[mask.b == 0], then.b[mask.b == 0])
                assert np.mean(now.W[mask.W == 1] != then.W[mask.W == 1]) > 0.9


@pytest.mark.parametrize("prune_step", [8, 12])
def test_masks_come_from_the_magnitudes_at_prune_step(prune_step, tmp_path):
    directory, session = run(tmp_path / "run", f"IMP.prune_step={prune_step}")
    rounds, ratio = rounds_of(directory), 0.0
    assert len(rounds) == 4
    for result, following in zip(rounds, rounds[1:], strict=False):
        ratio += 0.3 * (1 - ratio)
        np.testing.assert_array_equal(following.ratios, [ratio, ratio])  # float64, one a prunable layer
        assert_same(
            following.masks,
            expected_masks(result.checkpoint_at(prune_step), result.masks, ratio, (True, True, False)),
        )
        for mask, before, n in zip(following.masks[:2], result.masks, (48 * 6 + 6, 6 * 5 + 5), strict=False):
            assert np.sum(mask.W == 0) + np.sum(mask.b == 0) == int(ratio * n)
            assert np.all(mask.W <= before.W) and np.all(mask.b <= before.b)
        assert np.all(following.masks[2].W == 1) and np.all(following.masks[2].b == 1)
    for mask in rounds[0].masks:
        assert np.all(mask.W == 1) and np.all(mask.b == 1)


def test_ratios_accumulate_to_the_references_bits():
    """Those of the recorded run, from 0 by 0.3 of what remains."""
    recorded = load_pickle(RECORDED / "IMP_findata.pkl")[1]

    class Step:
        """What imp.prune needs of a session."""

        class experiment:
            method = IMP(prune_ratio=0.3)

        @classmethod
        def network(cls, parameters, masks):
            return MaskedNetwork(cls.specs, (3, 8, 8), parameters, masks)

    directory = RunDirectory(RECORDED, "IMP")
    for number in range(5):
        result = directory.read_round(number)
        Step.specs = result.specs
        masks, ratios = imp.prune(Step, result, result.checkpoints[-1])
        assert ratios.dtype == np.float64
        np.testing.assert_array_equal(ratios[: len(recorded[0])], recorded[number + 1])
        assert_same(masks, directory.read_round(number + 1).masks)


def test_rounds_draw_different_batches(whole):
    keys = {whole[1].batch_key(number) for number in range(100)}
    assert len(keys) == 100


def test_a_run_is_a_function_of_its_seed(whole, tmp_path):
    again, _ = run(tmp_path / "again")
    assert files_of(again) == files_of(whole[0])
    other, _ = run(tmp_path / "other", "Network.seed=2", "IMP.max_iterations=1")
    assert other.round_path(0).read_bytes() != whole[0].round_path(0).read_bytes()


def test_streamed_images_give_the_same_files(whole, tmp_path):
    streamed, _ = run(tmp_path / "streamed", "Data.preload=false")
    assert files_of(streamed) == files_of(whole[0])


# --- settings


def test_rewinding_to_step_0_is_to_the_initial_weights(tmp_path):
    directory, session = run(tmp_path / "run", "IMP.weights_step=0", "IMP.max_iterations=2")
    first, second = rounds_of(directory)
    assert [c.step for c in first.checkpoints] == [0, 12]
    assert_same(first.checkpoints[0].parameters, initial_parameters(session.specs, 1))
    assert_same(session.begins[1][0], initial_parameters(session.specs, 1))
    for moments in first.checkpoints[0].moments:
        assert np.all(moments.mean == 0) and np.all(moments.variance == 1)


@pytest.mark.parametrize("iterations", [1, 3])
def test_max_iterations_counts_round_0(iterations, tmp_path):
    directory, _ = run(tmp_path / "run", f"IMP.max_iterations={iterations}")
    assert directory.rounds() == list(range(iterations))


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
        assert result.ratios.tolist() == [ratio, ratio]
        ratio += 0.3 * (1 - ratio)
        assert_same(following.masks, expected_masks(result.checkpoints[-1], result.masks, ratio, (True, True, False)))


def test_masks_take_effect_in_round_0(tmp_path):
    """Masked weights of the start are still those of the start at the end."""
    directory, session = run(tmp_path / "run", "Network.init_sparsity=0.4", "IMP.max_iterations=1")
    (result,) = rounds_of(directory)
    for now, then, mask in zip(
        result.checkpoints[-1].parameters, initial_parameters(session.specs, 1), result.masks, strict=True
    ):
        np.testing.assert_array_equal(now.W[mask.W == 0], then.W[mask.W == 0])


@pytest.mark.parametrize("prune", ["T:T:T:F", "F:T:F:T", "T"])
def test_convolutional_networks(prune, tmp_path):
    directory, session = run(
        tmp_path / "run", "Network.arch=c2,4:p2,1:f6:x", f"IMP.prune={prune}", "IMP.max_iterations=3"
    )
    rounds = rounds_of(directory)
    flags = [spec.prunable for spec in session.specs]
    assert flags == {"T:T:T:F": [1, 0, 1, 0], "F:T:F:T": [0, 0, 0, 1], "T": [1, 0, 0, 0]}[prune]
    for result in rounds:
        assert result.ratios.tolist() == [[0, 0.3, 0.51][result.number]] * sum(flags)
        assert result.masks[1] is None and result.checkpoints[-1].parameters[1] is None
        assert result.masks[0].b is None and result.checkpoints[-1].moments[0] is None
        for mask, prunable, n in zip(result.masks, flags, (48, 0, 16 * 6 + 6, 6 * 4 + 4), strict=True):
            if mask is not None:
                masked = sum(np.sum(values == 0) for values in mask if values is not None)
                assert masked == (int(result.ratios[0] * n) if prunable else 0)
    for number in (1, 2):
        assert_same(session.begins[number][0], rounds[0].checkpoints[0].parameters)


# --- restart


def copy_rounds(source, folder, numbers):
    folder.mkdir()
    for number in numbers:
        shutil.copy(source.round_path(number), folder)
    return folder


def test_a_restart_with_the_same_settings_continues_to_the_same_bits(tmp_path):
    settings = "Network.minimizer=Adam", "Network.learning_rate=0.05"
    uninterrupted, _ = run(tmp_path / "uninterrupted", *settings)
    folder = copy_rounds(uninterrupted, tmp_path / "restarted", (0, 1))
    restarted, session = run(folder, *settings, "Network.restart=true", "Network.rest_it=2")
    assert sorted(session.begins) == [2, 3]
    assert files_of(restarted) == files_of(uninterrupted)  # log and findata cover all rounds


def test_a_restart_into_another_folder_reads_the_files_it_is_given(whole, tmp_path):
    changes = (
        "Network.restart=true",
        "Network.rest_it=2",
        f"Network.rest_weights_file={whole[0].round_path(0)}",
        f"Network.rest_mask_file={whole[0].round_path(1)}",
    )
    directory, _ = run(tmp_path / "run", *changes)
    assert directory.rounds() == [2, 3]  # max_iterations counts the rounds before it
    for number in (2, 3):
        assert directory.round_path(number).read_bytes() == whole[0].round_path(number).read_bytes()
    findata = pickle.loads(directory.path("findata.pkl").read_bytes())
    assert len(findata[1]) == len(findata[2]) == 2


@pytest.mark.parametrize(("index", "step"), [(0, 3), (1, 12), (-1, 12), (-2, 3)])
def test_a_restart_prunes_from_the_stored_checkpoint_it_names(index, step, whole, tmp_path):
    folder = copy_rounds(whole[0], tmp_path / "run", (0,))
    changes = "Network.restart=true", f"Network.restart_weights_step={index}", "IMP.max_iterations=2"
    directory, session = run(folder, *changes)
    first = directory.read_round(0)
    assert directory.rounds() == [0, 1]
    assert_same(
        directory.read_round(1).masks,
        expected_masks(first.checkpoint_at(step), first.masks, 0.3, (True, True, False)),
    )
    assert_same(session.begins[1][0], first.checkpoints[0].parameters)


def test_a_restart_goes_on_with_another_prune_ratio(whole, tmp_path):
    folder = copy_rounds(whole[0], tmp_path / "run", (0, 1))
    directory, _ = run(folder, "Network.restart=true", "Network.rest_it=2", "IMP.prune_ratio=0.5")
    assert [r.ratios[0] for r in rounds_of(directory)] == pytest.approx([0, 0.3, 0.65, 0.825], abs=1e-15)


# --- continuing


def test_the_same_command_again_trains_nothing_and_mends_log_and_findata(whole, tmp_path):
    directory = RunDirectory(shutil.copytree(whole[0].folder, tmp_path / "run"), "IMP")
    directory.path("findata.pkl").unlink()
    directory.path("out.dat").write_text("half a log")
    _, session = run(directory.folder)
    assert session.trained == [] and files_of(directory) == files_of(whole[0])


def test_more_iterations_go_on_where_the_run_ended(whole, tmp_path):
    directory = RunDirectory(shutil.copytree(whole[0].folder, tmp_path / "run"), "IMP")
    directory.remove_rounds(2)
    _, session = run(directory.folder)
    assert sorted(session.begins) == [2, 3] and files_of(directory) == files_of(whole[0])


def test_log_and_findata_by_hand(whole):
    rounds = rounds_of(whole[0])
    log = whole[0].path("out.dat").read_bytes().decode()
    blocks = log.splitlines(keepends=True)  # a carriage return ends a line, too
    assert len(blocks) == 4 * (3 + 1)
    for number, result in enumerate(rounds):
        lines = blocks[4 * number : 4 * number + 4]
        for line, step, error in zip(lines, (0, 5, 10), result.validation_errors, strict=False):
            assert line == log_line(step, result.training_errors[step], error)
        ratio = [0.0, 0.3, 0.51, 0.657][number]
        connected = connected_fraction(result.masks, result.specs)
        best = float(min(result.validation_errors))
        assert lines[3] == f"Ratios: {np.full(2, ratio)}; more than 0 connections: {connected}; Emin: {best}\n"
    arch, ratios, best = pickle.loads(whole[0].path("findata.pkl").read_bytes())
    assert arch == [["f", [48, 6], True], ["f", [6, 5], True], ["x", [5, 4], False]]
    assert [r.tolist() for r in ratios] == [r.ratios.tolist() for r in rounds]
    assert best == [min(r.validation_errors) for r in rounds]


def test_seconds_of_every_round_are_recorded(whole):
    record = whole[0].read_record()
    assert sorted(record["rounds"]) == ["0", "1", "2", "3"] and record["jit_compile"] is False
    assert all(entry["seconds"] > 0 and entry["steps_per_second"] > 0 for entry in record["rounds"].values())


# --- signals


def test_an_interrupted_run_continues_to_the_same_bits(tmp_path):
    """Again and again: before, after and at the steps that store weights, at the last step, in later rounds."""
    settings = "Network.minimizer=Adam", "Network.learning_rate=0.05", "IMP.max_iterations=3"
    uninterrupted, _ = run(tmp_path / "uninterrupted", *settings)
    points = [(0, 0), (0, 3), (0, 12), (1, 7), (2, 12)]
    which = [signal.SIGINT, signal.SIGTERM]
    for index, (number, step) in enumerate(points):
        kind = which[index % 2]
        with Signals().handled() as signals, pytest.raises(Interrupted) as error:
            run(tmp_path / "run", *settings, kind=interrupting(number, step, kind), signals=signals)
        assert error.value.exit_code == 128 + kind
        assert str(error.value).startswith(f"{kind.name} in round {number} before step ")
        directory = RunDirectory(tmp_path / "run", "IMP")
        progress = directory.read_checkpoint()
        assert progress.partial.number == number and progress.step > step
        assert len(progress.partial.training_errors) == progress.step
        assert str(error.value).startswith(f"{kind.name} in round {number} before step {progress.step}: ")
        assert directory.rounds() == list(range(number))
    directory, session = run(tmp_path / "run", *settings)
    assert session.trained == []  # the last signal came at the very last step
    assert files_of(directory) == files_of(uninterrupted)
    assert directory.read_checkpoint() is None


def test_an_interrupted_run_continues_to_the_same_bits_under_jit(tmp_path):
    settings = "Network.jit_compile=true", "Network.arch=f6:x", "IMP.prune=T:F", "IMP.max_iterations=2"
    uninterrupted, _ = run(tmp_path / "uninterrupted", *settings)
    with Signals().handled() as signals, pytest.raises(Interrupted):
        run(tmp_path / "run", *settings, kind=interrupting(1, 7), signals=signals)
    directory, _ = run(tmp_path / "run", *settings)
    assert files_of(directory) == files_of(uninterrupted)


def test_sigint_exits_with_130(tmp_path):
    with Signals().handled() as signals, pytest.raises(Interrupted, match="the same command continues") as error:
        run(tmp_path / "run", kind=interrupting(0, 2), signals=signals)
    assert error.value.exit_code == 130


def test_a_second_signal_does_not_wait_and_costs_only_the_round_in_progress(whole, tmp_path):
    with Signals().handled() as signals, pytest.raises(Interrupted):
        run(tmp_path / "run", kind=interrupting(1, 7, times=2), signals=signals)
    directory = RunDirectory(tmp_path / "run", "IMP")
    assert directory.rounds() == [0] and directory.read_checkpoint() is None
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


@pytest.mark.parametrize("seconds", [0, 1e-3])
def test_checkpoints_in_between_change_nothing(seconds, whole, tmp_path, monkeypatch):
    written = []
    original = RunDirectory.write_checkpoint
    monkeypatch.setattr(
        RunDirectory, "write_checkpoint", lambda d, progress: written.append(progress) or original(d, progress)
    )
    directory, _ = run(tmp_path / "run", f"IO.checkpoint_seconds={seconds}")
    assert len(written) > 4 and files_of(directory) == files_of(whole[0])


def test_the_checkpoint_of_a_round_that_is_finished_is_not_continued(whole, tmp_path):
    """As if the process was killed between storing a round and dropping its checkpoint."""
    with Signals().handled() as signals, pytest.raises(Interrupted):
        run(tmp_path / "run", kind=interrupting(0, 12), signals=signals)
    directory = RunDirectory(tmp_path / "run", "IMP")
    checkpoint = directory.checkpoint_path.read_bytes()
    shutil.copy(whole[0].round_path(0), directory.folder)
    assert directory.checkpoint_path.read_bytes() == checkpoint
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


@pytest.mark.parametrize("jit", ["false", "true"])
def test_training_that_really_diverges(jit, tmp_path):
    with pytest.raises(TrainingDiverged, match="^round 0, step [1-9][0-9]?: the loss is nan; "):
        run(tmp_path / "run", "Network.learning_rate=1e30", f"Network.jit_compile={jit}")
    assert RunDirectory(tmp_path / "run", "IMP").rounds() == []


def test_a_run_that_stops_before_its_first_round_says_so(tmp_path, capsys):
    """Nearly all weights masked from the start: stop_ratio is met, and the closing table has nothing to show."""
    path = write_input(tmp_path, "Network.init_sparsity=0.9999", "IMP.stop_ratio=0.9")
    flags.FLAGS.mark_as_parsed()
    assert command.main(["run", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("No round was trained: stop_ratio is met")
