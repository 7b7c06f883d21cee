"""The replay of recorded runs agrees, and it would notice if the program were wrong."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from postprocess import crosscheck
from postprocess.connectivity import input_connections
from postprocess.crosscheck import imp
from postprocess.crosscheck.recording import load_recording, relative_difference
from postprocess.evaluation import removal_curve, removal_order
from sifting import layers
from sifting.errors import DataError
from sifting.network import model as network
from sifting.network import rounds
from sifting.pruning import gradients
from sifting.training import session
from sifting.training import trainer as training

DATA = Path(__file__).parent / "data"


def imp_recording(name):
    return imp.ImpRecording.of(load_recording(DATA / f"{name}.npz", ["imp"]))


def changed(source: Path, target: Path, **changes) -> str:
    """A copy of a recording with other arrays; None leaves one out, and `meta` is a dict of its changed entries."""
    with np.load(source) as file:
        arrays = dict(file)
    meta = json.loads(str(arrays.pop("meta")))
    for name, value in changes.pop("meta", {}).items():
        meta[name] = value
        if value is None:
            del meta[name]
    for name, value in changes.items():
        arrays[name] = value
        if value is None:
            del arrays[name]
    np.savez(target, meta=json.dumps(meta), **arrays)
    return str(target)


# --- kind imp


@pytest.mark.parametrize("loop", ["--mode=plain", "--mode=jit", "--sparse=always"])
@pytest.mark.parametrize("name", ["imp_fc_sgd", "imp_fc_adam", "imp_fc_sgd_const"])
def test_recorded_runs_agree(name, loop, capsys):
    """Parameters, moments, masks and errors of the reference's own runs, within crosscheck's tolerances."""
    assert crosscheck.main([loop, str(DATA / f"{name}.npz")]) == 0
    assert "1 of 1 replays agree" in capsys.readouterr().out


def replay_disagrees(monkeypatch, capsys) -> str:
    """Run the strict recording without twins, and return what was printed."""
    monkeypatch.setattr(imp, "TWINS", 0)
    assert crosscheck.main(["--mode", "plain", str(DATA / "imp_fc_sgd.npz")]) == 1
    printed = capsys.readouterr().out
    assert "tensors beyond 1e-05" in printed
    return printed


def test_another_epsilon_is_caught(monkeypatch, capsys):
    monkeypatch.setattr(layers, "EPSILON", 1e-7)
    replay_disagrees(monkeypatch, capsys)


def test_a_missing_beta_is_caught(monkeypatch, capsys):
    affine = layers.affine
    monkeypatch.setattr(layers, "affine", lambda z, gamma, beta, *rest: affine(z, gamma, 0.0 * beta, *rest))
    replay_disagrees(monkeypatch, capsys)


def test_a_mask_that_forgets_the_biases_is_caught(monkeypatch, capsys):
    set_masks = network.NetworkState.set_masks

    def forgetful(self, masks):
        set_masks(self, {layer: mask._replace(b=np.ones_like(mask.b)) for layer, mask in masks.items()})

    monkeypatch.setattr(network.NetworkState, "set_masks", forgetful)
    replay_disagrees(monkeypatch, capsys)


def test_rewound_moments_are_caught(monkeypatch, capsys):
    """Rounds that start from the running moments of the rewind step, instead of (0, 1)."""
    train = session.Session.train

    def train_with_rewound_moments(self, number, *arguments, **keywords):
        moments = self._directory.read_round(0).checkpoints[0].moments if number else None

        def reset():
            self._values.set_moments(moments, started=True)

        if number:
            monkeypatch.setattr(self._values, "reset_moments", reset)
        return train(self, number, *arguments, **keywords)

    monkeypatch.setattr(session.Session, "train", train_with_rewound_moments)
    printed = replay_disagrees(monkeypatch, capsys)
    assert "validation errors differ" in printed  # at step 0, which the reference validates with (0, 1)


def test_twins_differ_by_one_unit_in_the_last_place():
    values = np.linspace(-3, 3, 1001).astype(np.float32)
    nudged = imp._nudged(values, np.random.default_rng(1))
    assert np.all((nudged == values) | (nudged == np.nextafter(values, 9)) | (nudged == np.nextafter(values, -9)))
    assert 0.5 < np.mean(nudged != values) < 0.8


def test_tolerance_follows_from_the_recording(tmp_path):
    """Strict, unless Adam or a nearly constant feature amplifies rounding."""

    def reason(name):
        recording = imp_recording(name)
        return imp.amplifies_rounding(recording, imp.read_recorded_experiment(recording, "plain", tmp_path))

    assert reason("imp_fc_sgd") == ""
    assert "Adam" in reason("imp_fc_adam")
    assert "constant" in reason("imp_fc_sgd_const")


def test_nodes_held_up_by_their_bias_widen_the_tolerance(tmp_path):
    """A node of layer 1 without inputs, whose bias is not pruned: noise only if the bias is positive at a start."""
    recording = imp_recording("imp_fc_sgd")
    experiment = imp.read_recorded_experiment(recording, "plain", tmp_path)
    recording.arrays["r2_mask_l0_W"][:, 7] = 0
    recording.arrays["r2_mask_l0_b"][7] = 1
    for bias, reason in ((-0.1, ""), (0.1, "nodes without inputs that their bias holds up")):
        recording.arrays["r2_init_l0_b"][7] = bias
        assert imp.amplifies_rounding(recording, experiment) == reason


def test_a_recording_is_met_by_a_twin(monkeypatch, capsys):
    """The recorded initial weights miss it, here because the replay is spoiled; one of the twins does not."""
    replay = imp.replay

    def spoiled_replay(recording, loop, folder, twin=0):
        experiment, rounds, starts = replay(recording, loop, folder, twin)
        if not twin:
            rounds[3].training_errors[5] += 1
        return experiment, rounds, starts

    monkeypatch.setattr(imp, "replay", spoiled_replay)
    assert crosscheck.main(["--mode", "plain", str(DATA / "imp_fc_sgd.npz")]) == 0
    printed = capsys.readouterr().out
    assert "round 3: training errors differ by 50.0 images" in printed
    assert "twin 1" in printed and "1 of 1 replays agree" in printed


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


# --- kind pruners


def test_the_recorded_pruners_agree(capsys):
    assert crosscheck.main([str(DATA / "pruners.npz")]) == 0
    printed = capsys.readouterr().out
    assert "1 of 1 replays agree" in printed and "192-48-32-10" in printed
    lines = [line.split() for line in printed.splitlines()]
    # Every score and mask is in the table: what is kept, by both, and how many entries differ.
    assert ["synflow_0.1_100", "0", "558", "558", "0", "9216"] in lines
    assert [line[0] for line in lines if line and line[0].startswith(("snip", "synflow"))] == [
        name
        for name in (
            "snip",
            "synflow",
            "snip_0.1",
            "snip_0.01",
            "synflow_0.1_100",
            "synflow_0.01_100",
            "synflow_0.1_1",
        )
        for _ in range(3)
    ]


def test_recordings_of_one_method_need_no_more(tmp_path, capsys):
    """SynFlow takes no images; what a program does not know is named, not skipped in silence."""
    source = DATA / "pruners.npz"
    with np.load(source) as file:
        left_out = {name: None for name in file if name in "xy" or name.startswith("snip")}
    path = changed(source, tmp_path / "synflow.npz", **left_out, grasp_score0=np.ones(3))
    assert crosscheck.main([path]) == 0
    printed = capsys.readouterr().out
    assert "snip" not in printed and "not compared: grasp_score0" in printed


def array_of(name):
    with np.load(DATA / "pruners.npz") as file:
        return file[name].copy()


def test_a_wrong_mask_entry_is_caught(tmp_path, capsys):
    mask = array_of("synflow_0.01_100_mask1")
    kept, pruned = np.argwhere(mask == 1)[0], np.argwhere(mask == 0)[0]
    mask[tuple(kept)], mask[tuple(pruned)] = 0, 1  # as many as before
    path = changed(DATA / "pruners.npz", tmp_path / "wrong.npz", **{"synflow_0.01_100_mask1": mask})
    assert crosscheck.main([path]) == 1
    printed = capsys.readouterr().out
    assert "DISAGREES: synflow_0.01_100: 2 mask entries of layer 1 differ\n" in printed
    assert "0 of 1 replays agree" in printed


@pytest.mark.parametrize("method", ["snip", "synflow"])
def test_a_perturbed_score_is_caught(method, tmp_path, capsys):
    name, other = f"{method}_score1", {"snip": "synflow", "synflow": "snip"}[method]
    with np.load(DATA / "pruners.npz") as file:
        left_out = {entry: None for entry in file if entry.startswith(other) or "_100_" in entry}
    for change, agrees in ((1e-8, False), (1e-10, True), (np.nan, False)):
        values = array_of(name)
        values[3, 4] += change * np.max(values)
        path = changed(DATA / "pruners.npz", tmp_path / "wrong.npz", **left_out, **{name: values})
        assert crosscheck.main([path]) == (0 if agrees else 1)
        assert (f"DISAGREES: {method} scores of layer 1 differ by" in capsys.readouterr().out) != agrees


def test_wrong_programs_are_caught(monkeypatch, capsys):
    """A linear schedule; SynFlow with the signs of the weights; a loss that forgets an image."""
    path = str(DATA / "pruners.npz")
    with monkeypatch.context() as patch:
        patch.setattr(gradients, "exponential_schedule", lambda sparsity, n: [sparsity * (i + 1) / n for i in range(n)])
        assert crosscheck.main([path]) == 1
        assert "synflow_0.1_100: " in capsys.readouterr().out
    with monkeypatch.context() as patch:
        patch.setattr(gradients, "_positive", lambda parameters: parameters)
        assert crosscheck.main([path]) == 1
        assert "synflow scores of layer 0 differ" in capsys.readouterr().out
    with monkeypatch.context() as patch:
        patch.setattr(rounds.MaskedNetwork, "blocks", lambda network, count: [slice(0, count - 1)])
        assert crosscheck.main([path]) == 1
        assert "snip scores of layer 0 differ" in capsys.readouterr().out


# --- recordings


def test_relative_difference():
    b = np.array([1.0, -4.0])
    assert relative_difference(b + 0.1, b) == pytest.approx(0.025)
    assert relative_difference(np.zeros(2), np.zeros(2)) == 0
    assert relative_difference(b, np.zeros(2)) == np.inf
    assert relative_difference(np.zeros(3), b) == np.inf


def npz_of(**arrays) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def test_every_damaged_byte_is_noticed_or_harmless(tmp_path):
    """One flipped byte, anywhere: the file is refused, or reads as it was (the container has bytes without meaning)."""
    good = npz_of(meta='{"kind": "imp"}', x=np.arange(20))
    path = tmp_path / "file.npz"
    for index in range(len(good)):
        path.write_bytes(good[:index] + bytes([good[index] ^ 0xFF]) + good[index + 1 :])
        try:
            recording = load_recording(path, ["imp"])
        except DataError:
            continue
        assert recording.meta == {"kind": "imp"}
        assert all(np.array_equal(values, np.arange(20)) for values in recording.arrays.values())


# --- kind postprocess


def beside_its_run(tmp_path, **changes) -> str:
    """The recorded analysis, changed, in a folder with its run."""
    shutil.copy(DATA / "imp_fc_sgd.npz", tmp_path)
    return changed(DATA / "postprocess.npz", tmp_path / "postprocess.npz", **changes)


def test_the_recorded_analysis_agrees(capsys):
    """Maps, counts, order of nodes, pixel map, probabilities, accuracies and removal curves of the TF1 notebook."""
    assert crosscheck.main([str(DATA / "postprocess.npz")]) == 0
    lines = capsys.readouterr().out.splitlines()
    compared = [line for line in lines if line.startswith(("digits_", "synthetic32_"))]
    with np.load(DATA / "postprocess.npz") as file:
        assert len(compared) == len(file.files) - 2  # all but meta and the mask
    assert all(line.endswith("equal") or "within" in line for line in compared)


@pytest.mark.parametrize(
    ("name", "index", "step"),
    [
        ("digits_r3_l2_sc", (8, 9), 2),
        ("digits_r5_l1_connections", 3, 1),
        ("synthetic32_dc", (32, 32), -1),
        ("digits_r3_pixel_connections_normalised", (0, 0, 0), 0.01),
        ("digits_r5_probabilities", (7, 2), 1e-4),
        ("digits_r3_top1", (), 0.0025),
        ("digits_r5_removal_max", 5, 0.0025),
        ("digits_r3_removal_min", 0, 0.0025),
    ],
)
def test_a_changed_number_is_caught(name, index, step, tmp_path, capsys):
    with np.load(DATA / "postprocess.npz") as file:
        values = file[name].copy()
    values[index] += step
    assert crosscheck.main([beside_its_run(tmp_path, **{name: values})]) == 1
    assert f"DISAGREES: {name}" in capsys.readouterr().out


def test_another_order_of_nodes_is_caught_but_not_that_of_ties(tmp_path, capsys):
    with np.load(DATA / "postprocess.npz") as file:
        nodes, connections = file["digits_r3_top_nodes"].copy(), file["digits_r3_l1_connections"]
    tied = next(k for k in range(11) if connections[nodes[k]] == connections[nodes[k + 1]])
    nodes[[tied, tied + 1]] = nodes[[tied + 1, tied]]
    assert crosscheck.main([beside_its_run(tmp_path, digits_r3_top_nodes=nodes)]) == 0
    assert connections[nodes[0]] != connections[nodes[1]]
    nodes[[0, 1]] = nodes[[1, 0]]
    assert crosscheck.main([beside_its_run(tmp_path, digits_r3_top_nodes=nodes)]) == 1
    assert "DISAGREES: digits_r3_top_nodes" in capsys.readouterr().out


def test_other_rounds_layers_and_removal_sizes(tmp_path, capsys):
    """The reader takes rounds and layers from the names, and finds the step of the removal: here 12 nodes."""
    run = imp_recording("imp_fc_sgd")
    result, images = run.round(1), run.image_set(400)
    masks = [mask.W for mask in result.masks.values()]
    order = removal_order(input_connections(masks[0]), "most")
    curve = removal_curve(result, images, order, range(0, 48, 12))
    deepest = (masks[0] @ masks[1] @ masks[2] > 0).astype(int)
    arrays = {"other_r1_removal_max": curve.top1, "other_r1_l3_connections": deepest.sum(axis=0)}
    shutil.copy(DATA / "imp_fc_sgd.npz", tmp_path)
    path = tmp_path / "other.npz"
    np.savez(path, meta=json.dumps({"kind": "postprocess", "run": "imp_fc_sgd.npz"}), **arrays)
    assert crosscheck.main([str(path)]) == 0
    assert capsys.readouterr().out.count("  equal\n") == 2


# --- what is refused

SC = {"digits_r3_l1_sc": np.zeros((17, 17))}
OF_RUN = {"kind": "postprocess", "run": "imp_fc_sgd.npz"}
INCOMPLETE = {
    "imp_fc_sgd": [
        ({"r2_t0_l1_W": None}, "has no r2_t0_l1_W"),
        ({"r0_mask_l0_b": np.ones(7)}, "r0_mask_l0_b has shape [7]"),
        ({"y": np.zeros(1500)}, "y has shape [1500]"),
        ({"batches": np.full((6, 121, 50), 1200)}, "accepted: indices 0 ... 1199"),
        ({"batches": np.zeros((6, 7, 50), int)}, "batches has shape [6, 7, 50]"),
        ({"meta": {"arch": None}}, "meta has no arch"),
        ({"meta": {"arch": [["f", [192], True]]}}, "meta arch = [['f', [192], True]]; accepted"),
        ({"meta": {"ini": 3}}, "meta ini"),
        ({"meta": {"kind": "other"}}, "kind 'other'; accepted: kind "),
    ],
    "pruners": [
        ({"W1": None}, "has no W1"),
        ({"y": None}, "has no y"),
        ({"snip_score2": None}, "has no snip_score2"),
        ({"synflow_0.1_1_mask0": None}, "has no synflow_0.1_1_mask0"),
        ({"synflow_score0": None, "synflow_score1": None, "synflow_score2": None}, "has no synflow_score0"),
        ({"W1": np.ones((48, 31))}, "W1 has shape [48, 31]; accepted: [48, 32]"),
        ({"x": np.ones((500, 191))}, "x has shape [500, 191]; accepted: [any, 192]"),
        ({"y": np.zeros(499)}, "y has shape [499]; accepted: [500]"),
        ({"y": np.full(500, 10)}, "accepted: labels 0 ... 9"),
        ({"W0": np.full((192, 48), "a")}, "W0 is of type <U1; accepted: numbers"),
        ({"snip_0.1_mask2": np.ones((10, 32))}, "snip_0.1_mask2 has shape [10, 32]"),
        ({"snip_0.1_mask2": np.full((32, 10), 2)}, "snip_0.1_mask has entries that are neither 0 nor 1"),
        ({"snip_half_mask0": np.ones((192, 48))}, "snip_half_mask0 names no density in (0, 1]"),
        ({"meta": {"dims": None}}, "meta has no dims"),
        ({"meta": {"dims": [192, 48.0]}}, "meta dims = [192, 48.0]; accepted: sizes of two layers or more"),
        (dict.fromkeys(name for name in np.load(DATA / "pruners.npz").files if "mask" in name), "has no masks"),
    ],
    "empty": [
        ({"meta": {"kind": "postprocess"}} | SC, "meta has no run"),
        ({"meta": OF_RUN | {"run": "missing.npz"}} | SC, "missing.npz: is not a recording"),
        ({"meta": OF_RUN, "digits_r9_l1_sc": np.zeros((17, 17))}, "round 9, layer 1; imp_fc_sgd.npz has 6"),
        ({"meta": OF_RUN, "digits_r3_l7_sc": np.zeros((17, 17))}, "round 3, layer 7"),
        ({"meta": OF_RUN, "nothing": np.zeros(3)}, "has none of the arrays"),
    ],
}


@pytest.mark.parametrize(
    ("recording", "changes", "message"), [(name, *case) for name, cases in INCOMPLETE.items() for case in cases]
)
def test_incomplete_recordings_are_refused(recording, changes, message, tmp_path, refusal):
    shutil.copy(DATA / "imp_fc_sgd.npz", tmp_path)
    np.savez(tmp_path / "empty.npz", meta="{}")
    source = tmp_path / "empty.npz" if recording == "empty" else DATA / f"{recording}.npz"
    path = changed(source, tmp_path / "changed.npz", **changes)
    line = refusal(crosscheck.main, path)
    assert message in line and str(tmp_path) in line


@pytest.mark.parametrize(
    "content",
    [
        None,
        npz_of(x=np.ones(3)),
        npz_of(meta="no JSON"),
        npz_of(meta="[1, 2]"),
        npz_of(meta="{}"),
        npz_of(meta='{"kind": ["imp"]}'),
    ],
)
def test_files_that_are_no_recordings_are_refused(content, tmp_path, refusal):
    path = tmp_path / "file.npz"
    if content is not None:
        path.write_bytes(content)
    line = refusal(crosscheck.main, path)
    assert str(path) in line and "accepted" in line
