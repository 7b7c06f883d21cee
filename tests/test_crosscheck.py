"""The replay of recorded runs agrees, and it would notice if the program were wrong."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from postprocess import crosscheck
from sifting import layers, network, session, training

DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize("mode", ["plain", "jit"])
@pytest.mark.parametrize("name", ["imp_fc_sgd", "imp_fc_adam", "imp_fc_sgd_const"])
def test_recorded_runs_agree(name, mode, capsys):
    """Parameters, moments, masks and errors of the reference's own runs, within crosscheck's tolerances."""
    assert crosscheck.main(["--mode", mode, str(DATA / f"{name}.npz")]) == 0
    assert "1 of 1 replays agree" in capsys.readouterr().out


def replay_disagrees(monkeypatch, capsys) -> str:
    """Run the strict recording with one twin, and return what was printed."""
    monkeypatch.setattr(crosscheck, "TWINS", 1)
    assert crosscheck.main(["--mode", "plain", str(DATA / "imp_fc_sgd.npz")]) == 1
    return capsys.readouterr().out


def test_another_epsilon_is_caught(monkeypatch, capsys):
    monkeypatch.setattr(layers, "EPSILON", 1e-7)
    assert "tensors beyond 1e-05" in replay_disagrees(monkeypatch, capsys)


def test_rewound_moments_are_caught(monkeypatch, capsys):
    """Rounds that start from the running moments of the rewind step, instead of (0, 1)."""
    train = session.Session.train

    def train_with_rewound_moments(self, number, *arguments, **keywords):
        moments = self._directory.read_round(0).checkpoints[0].moments if number else None

        def reset():
            for layer, values in zip(self._network._layers, moments or (), strict=bool(moments)):
                layer.running_mean.assign(values.mean)
                layer.running_variance.assign(values.variance)
                layer.started.assign(1.0)

        if number:
            monkeypatch.setattr(self._network, "reset_moments", reset)
        return train(self, number, *arguments, **keywords)

    monkeypatch.setattr(session.Session, "train", train_with_rewound_moments)
    printed = replay_disagrees(monkeypatch, capsys)
    assert "tensors beyond 1e-05" in printed
    assert "validation errors differ" in printed  # at step 0, which the reference validates with (0, 1)


def test_a_missing_beta_is_caught(monkeypatch, capsys):
    affine = layers.masked_affine
    monkeypatch.setattr(layers, "masked_affine", lambda z, gamma, beta, *rest: affine(z, gamma, 0.0 * beta, *rest))
    assert "tensors beyond 1e-05" in replay_disagrees(monkeypatch, capsys)


def test_a_mask_that_forgets_the_biases_is_caught(monkeypatch, capsys):
    set_masks = network.NetworkState.set_masks
    monkeypatch.setattr(
        network.NetworkState,
        "set_masks",
        lambda self, masks: set_masks(self, [mask._replace(b=np.ones_like(mask.b)) for mask in masks]),
    )
    assert "tensors beyond 1e-05" in replay_disagrees(monkeypatch, capsys)


def test_twins_differ_by_one_unit_in_the_last_place():
    values = np.linspace(-3, 3, 1001).astype(np.float32)
    nudged = crosscheck._nudged(values, np.random.default_rng(1))
    assert np.all((nudged == values) | (nudged == np.nextafter(values, 9)) | (nudged == np.nextafter(values, -9)))
    assert 0.5 < np.mean(nudged != values) < 0.8


def test_tolerance_follows_from_the_recording(tmp_path):
    """Strict, unless Adam or a nearly constant feature amplifies rounding."""

    def reason(name):
        recording = crosscheck.load_recording(str(DATA / f"{name}.npz"))
        experiment = crosscheck.read_recorded_experiment(recording, False, tmp_path)
        return crosscheck.amplifies_rounding(recording, experiment)

    assert reason("imp_fc_sgd") == ""
    assert "Adam" in reason("imp_fc_adam")
    assert "constant" in reason("imp_fc_sgd_const")


def test_nodes_held_up_by_their_bias_widen_the_tolerance(tmp_path):
    """A node of layer 1 without inputs, whose bias is not pruned: noise only if the bias is positive at a start."""
    recording = crosscheck.load_recording(str(DATA / "imp_fc_sgd.npz"))
    experiment = crosscheck.read_recorded_experiment(recording, False, tmp_path)
    recording.arrays["r2_mask_l0_W"][:, 7] = 0
    recording.arrays["r2_mask_l0_b"][7] = 1
    for bias, reason in ((-0.1, ""), (0.1, "nodes without inputs that their bias holds up")):
        recording.arrays["r2_init_l0_b"][7] = bias
        assert crosscheck.amplifies_rounding(recording, experiment) == reason


def test_relative_difference():
    b = np.array([1.0, -4.0])
    assert crosscheck.relative_difference(b + 0.1, b) == pytest.approx(0.025)
    assert crosscheck.relative_difference(np.zeros(2), np.zeros(2)) == 0
    assert crosscheck.relative_difference(b, np.zeros(2)) == np.inf
    assert crosscheck.relative_difference(np.zeros(3), b) == np.inf


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 damaged", None])
def test_files_that_are_no_recordings_are_refused(content, tmp_path, capsys):
    path = tmp_path / "file.npz"
    if content is not None:
        path.write_bytes(content)
    assert crosscheck.main([str(path)]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and str(path) in message and "accepted" in message


def test_recordings_of_another_kind_are_refused(capsys):
    assert crosscheck.main([str(DATA / "postprocess.npz")]) == 2
    assert "kind 'postprocess'" in capsys.readouterr().err


def test_a_recording_is_met_by_a_twin(monkeypatch, capsys):
    """The recorded initial weights miss it, here because the replay is spoiled; twin 1 does not."""
    replay = crosscheck.replay

    def spoiled_replay(recording, jit_compile, folder, twin=0):
        experiment, rounds, starts = replay(recording, jit_compile, folder, twin)
        if not twin:
            rounds[3].training_errors[5] += 1
        return experiment, rounds, starts

    monkeypatch.setattr(crosscheck, "replay", spoiled_replay)
    assert crosscheck.main(["--mode", "plain", str(DATA / "imp_fc_sgd.npz")]) == 0
    printed = capsys.readouterr().out
    assert "round 3: training errors differ by 50.0 images" in printed
    assert "twin 1" in printed and "twin 2" not in printed


def test_a_loop_that_xla_cannot_compile_is_no_agreement(monkeypatch, capsys):
    """The trainer would go on without XLA, and the replay would be the plain one."""
    count_correct = training.count_correct
    monkeypatch.setattr(
        training,
        "count_correct",
        lambda logits, labels: count_correct(tf.numpy_function(lambda x: x, [logits], tf.float32), labels),
    )
    assert crosscheck.main(["--mode", "jit", str(DATA / "imp_fc_sgd.npz")]) == 2
    printed = capsys.readouterr()
    assert "XLA cannot compile" in printed.err and "agree" not in printed.out
