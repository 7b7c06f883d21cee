"""Exported networks give the logits that our own code gives, to the last bit where the same kernels run."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import sparse
from tiny_runs import image_set, run

from postprocess.evaluation import logit_blocks
from sifting import export
from sifting.api import Run, open_run
from sifting.network import NetworkState, build_model
from sifting.run_directory import RunDirectory

# Keras copies variables in a way of which numpy 2 warns.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")

DENSE = "Network.arch=f6:f5:x"
CONVOLUTIONAL = "Network.arch=c2,3:p2,1:f5:x"
IMAGES = image_set(20)
INPUTS = (IMAGES.val_images.astype(np.float32) - IMAGES.mean) * np.float32(1 / 255)


@pytest.fixture(scope="module", params=[DENSE, CONVOLUTIONAL], ids=["dense", "convolutional"])
def trained(request, tmp_path_factory) -> Run:
    """Three rounds on a handful of images, weights stored at steps 3 and 12 of round 0 and at 12 of the others."""
    directory, session = run(tmp_path_factory.mktemp("trained") / "run", request.param, "IMP.max_iterations=3")
    directory.write_input(session.experiment.to_text())
    return Run(directory)


@pytest.fixture(autouse=True)
def the_handful(monkeypatch):
    """The runs say that they are of the embedded images."""
    monkeypatch.setattr("sifting.datasets.load", lambda experiment, report: IMAGES)
    facts = type("Facts", (), {"shape": IMAGES.shape})
    monkeypatch.setattr("sifting.datasets.facts", lambda data: facts)


def logits_of(result, checkpoint) -> np.ndarray:
    """What training's model says in validation mode."""
    model = build_model(result.specs, IMAGES.shape)
    state = NetworkState(model, result.specs)
    state.set_parameters(checkpoint.parameters)
    state.set_masks(result.masks)
    state.set_moments(checkpoint.moments, started=True)
    return model(INPUTS, training=False).numpy()


def export_to(path: Path, run: Run, *arguments: str) -> Path:
    assert export.main([str(run.directory), str(path), *arguments]) == 0
    return path


# --- the same logits -----------------------------------------------------------------------------------------------


def test_keras_model_loads_with_its_masks_and_predicts_the_same_bits(trained, tmp_path, capsys):
    model = keras.models.load_model(export_to(tmp_path / "out.keras", trained, "--round", "2"))
    assert capsys.readouterr().out == f"{tmp_path / 'out.keras'}\n"
    result = trained[2]
    np.testing.assert_array_equal(model(INPUTS).numpy(), logits_of(result, result.checkpoints[-1]))
    for layer, mask in enumerate(result.masks, 1):
        if mask is not None:
            np.testing.assert_array_equal(model.get_layer(f"layer_{layer}").mask_W, mask.W)
    np.testing.assert_allclose(  # blocks of other sizes
        model.predict(INPUTS, verbose=0), np.concatenate(list(logit_blocks(result, IMAGES))), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(("arguments", "place"), [(["--step", "3"], 0), (["--step", "12"], -1), ([], -1)])
def test_the_weights_of_a_stored_step(trained, tmp_path, arguments, place):
    """By default the last ones; round 0 is the dense network."""
    model = keras.models.load_model(export_to(tmp_path / "out.keras", trained, "--round", "0", *arguments))
    np.testing.assert_array_equal(model(INPUTS).numpy(), logits_of(trained[0], trained[0].checkpoints[place]))


def test_a_model_of_pixels_has_the_mean_in_it(trained, tmp_path):
    """uint8 in, the bits of the model of inputs out."""
    model = keras.models.load_model(export_to(tmp_path / "out.keras", trained, "--round", "1", "--pixels"))
    expected = logits_of(trained[1], trained[1].checkpoints[-1])
    np.testing.assert_array_equal(model(IMAGES.val_images).numpy(), expected)


@pytest.mark.parametrize("pixels", [False, True])
def test_saved_model_predicts_the_same(trained, tmp_path, pixels):
    """The bits of our model in a graph, which TensorFlow rewrites; up to rounding, those of it outside of one."""
    path = export_to(tmp_path / "saved", trained, "--round", "2", *(["--pixels"] if pixels else []))
    inputs = IMAGES.val_images.astype(np.float32) if pixels else INPUTS
    loaded = tf.saved_model.load(str(path))
    served = loaded.serve(inputs).numpy()
    as_graph = tf.function(trained.model(2, pixels=pixels))
    np.testing.assert_array_equal(served, as_graph(inputs).numpy())
    np.testing.assert_allclose(served, logits_of(trained[2], trained[2].checkpoints[-1]), rtol=1e-4, atol=1e-5)


def test_an_exported_model_can_be_trained_on(trained):
    """Running moments go on from the stored ones, and pruned weights stay pruned."""
    model = trained.model(2)
    dense = [layer for layer in model.layers if hasattr(layer, "running_mean")]
    before = [layer.running_mean.numpy() for layer in dense]
    model(INPUTS, training=True)
    batch_mean = INPUTS.mean(axis=0) if dense[0].W.shape[0] == INPUTS.shape[1] else None
    if batch_mean is not None:
        np.testing.assert_allclose(dense[0].running_mean, 0.99 * before[0] + 0.01 * batch_mean, rtol=1e-4, atol=1e-6)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(INPUTS, IMAGES.val_labels, batch_size=10, epochs=2, verbose=0)
    weighted = model.get_layer("layer_1")
    moved = weighted.W.numpy() != trained[2].checkpoints[-1].parameters[0].W
    np.testing.assert_array_equal(moved & (trained[2].masks[0].W == 0), False)
    assert moved.any()


def test_step_0_has_no_moments_yet(tmp_path):
    directory, _ = run(tmp_path / "run", "IMP.weights_step=0", "IMP.max_iterations=1")
    assert float(Run(directory).model(0, step=0).get_layer("layer_1").started) == 0
    assert float(Run(directory).model(0).get_layer("layer_1").started) == 1


# --- arrays --------------------------------------------------------------------------------------------------------


def test_arrays_and_sparse_weights(trained, tmp_path, capsys):
    path = export_to(tmp_path / "out.npz", trained, "--round", "2", "--pixels")
    weighted = [layer for layer, mask in enumerate(trained[2].masks, 1) if mask is not None]
    files = [path, *(tmp_path / f"out_layer_{layer}.npz" for layer in weighted)]
    assert capsys.readouterr().out.splitlines() == list(map(str, files)) and set(tmp_path.iterdir()) == set(files)
    result, checkpoint = trained[2], trained[2].checkpoints[-1]
    with np.load(path) as found:
        assert (found["round"], found["step"]) == (2, 12)
        np.testing.assert_array_equal(found["mean"], IMAGES.mean)
        for layer in weighted:
            parameters, moments, mask = (
                checkpoint.parameters[layer - 1],
                checkpoint.moments[layer - 1],
                result.masks[layer - 1],
            )
            names = ("W", "b", "gamma", "beta", "mean", "variance", "mask_W", "mask_b")
            for name, value in zip(names, (*parameters, *(moments or (None, None)), *mask), strict=True):
                assert (f"layer_{layer}_{name}" in found) == (value is not None)
                if value is not None:
                    np.testing.assert_array_equal(found[f"layer_{layer}_{name}"], value)
            weights = sparse.load_npz(tmp_path / f"out_layer_{layer}.npz")
            assert weights.format == "csr" and weights.nnz == np.count_nonzero(mask.W)
            np.testing.assert_array_equal(weights.toarray().reshape(mask.W.shape), parameters.W * mask.W)


def test_a_kept_weight_that_is_zero_is_stored():
    """The mask says what is pruned, not the value."""
    mask = export.Mask(np.array([[1, 0], [1, 1]], np.float32), None)
    weights = export.masked_weights(export.Parameters(np.array([[0, 5], [0, 2]], np.float32)), mask)
    assert weights.nnz == 3 and weights.toarray().tolist() == [[0, 0], [0, 2]]


# --- refusals ------------------------------------------------------------------------------------------------------


def refusal(capsys, *arguments) -> str:
    try:
        code = export.main(list(map(str, arguments)))
    except SystemExit as stop:  # of a command line that cannot be parsed
        code = stop.code
    assert code == 2
    line = capsys.readouterr().err
    assert line.startswith("sifting: ") and line.count("\n") == 1 and "Traceback" not in line
    return line


def test_refusals(trained, tmp_path, capsys):
    """Each names what was refused and what is accepted, and leaves nothing behind."""
    there = tmp_path / "there"
    there.mkdir()
    (there / "in.keras").mkdir()
    (there / "in.npz").mkdir()
    (tmp_path / "file").touch()
    run_dir = trained.directory
    cases = {
        (run_dir, tmp_path / "out.h5", "--round", 1): "unknown format; accepted: a name that ends in .keras or .npz",
        (run_dir, tmp_path / "out.npz", "--round", 9): "has no round 9; accepted: one of 0, 1, 2",
        (run_dir, tmp_path / "out.keras", "--round", 1, "--step", 3): (
            f"sifting: {run_dir}: round 1 stored no checkpoint at step 3; accepted: 12"
        ),
        (run_dir, tmp_path / "out.npz", "--round", 0, "--step", 4): (
            f"sifting: {run_dir}: round 0 stored no checkpoint at step 4; accepted: 3, 12"
        ),
        (run_dir, tmp_path / "out.npz"): "sifting: the following arguments are required: --round; see python -m ",
        (run_dir, there / "in.keras", "--round", 1): "in.keras: is a folder; accepted: the name of a file",
        (run_dir, there / "in.npz", "--round", 1): "in.npz: is a folder; accepted: the name of a file",
        (tmp_path, tmp_path / "out.npz", "--round", 1): "holds no rounds",
        (run_dir, there, "--round", 1): "is there already; accepted for a SavedModel: a name that is not taken",
        **{
            (run_dir, tmp_path / "file" / name, "--round", 1): "cannot be written"
            for name in ("out.keras", "out.npz", "out")
        },
    }
    for arguments, expected in cases.items():
        assert expected in refusal(capsys, *arguments)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "there"]


def test_a_run_without_an_input_file(tmp_path, capsys):
    """As the TF1 code leaves it: a dense network can be exported, but pixels and convolutions need the settings."""
    for name, arch in (("dense", DENSE), ("convolutional", CONVOLUTIONAL)):
        run(tmp_path / name, arch, "IMP.max_iterations=1")
    export_to(tmp_path / "out.keras", open_run(tmp_path / "dense"), "--round", "0")
    for name, option in (("dense", ["--pixels"]), ("convolutional", [])):
        line = refusal(capsys, tmp_path / name, tmp_path / "new.keras", "--round", 0, *option)
        assert "IMP_input.in: is not there; accepted: a run with its input file" in line
    assert not (tmp_path / "new.keras").exists()


def test_an_old_file_stays_if_writing_fails(trained, tmp_path, capsys, monkeypatch):
    path = export_to(tmp_path / "out.keras", trained, "--round", "0")
    before = path.read_bytes()

    def full(self, part):
        Path(part).write_bytes(b"part")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("keras.Model.save", full)
    capsys.readouterr()
    assert "No space left" in refusal(capsys, trained.directory, path, "--round", 1)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_refusal_does_not_wait_for_tensorflow(trained, tmp_path):
    """In a process where importing it fails."""
    for name in ("tensorflow", "keras"):
        (tmp_path / f"{name}.py").write_text("raise AssertionError('imported')\n")
    root = Path(export.__file__).parents[1]
    process = subprocess.run(
        [sys.executable, "-W", "error", "-m", "sifting.export", str(trained.directory), "out.keras", "--round", "9"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(root)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stderr.count("\n")) == (2, 1) and "has no round 9" in process.stderr


@pytest.mark.parametrize(
    "order",
    ["import sifting, keras", "import keras, sifting", "import sifting; import tensorflow as tf; keras = tf.keras"],
)
def test_importing_sifting_is_enough_to_load_a_model(trained, tmp_path, order):
    """Whichever is imported first; and nothing heavy is imported by sifting alone."""
    path = export_to(tmp_path / "out.keras", trained, "--round", "1")
    code = (
        """
import sys, sifting
assert not {"keras", "tensorflow", "numpy"} & set(sys.modules)
"""
        if order.startswith("import sifting,")
        else ""
    )
    code += f"{order}\nimport numpy as np\nprint(keras.models.load_model({str(path)!r}).layers[-1].name)"
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.stdout.split() == [f"layer_{len(trained[1].specs)}"], process.stderr


def test_the_tf1_codes_own_layout_is_read(tmp_path):
    """A folder with several prefixes: the run is named as DIR/PREFIX."""
    directory, _ = run(tmp_path / "run", "IMP.max_iterations=1")
    other = RunDirectory(tmp_path / "run", "other")
    other.write_round(directory.read_round(0))
    export_to(tmp_path / "out.npz", open_run(tmp_path / "run" / "other"), "--round", "-1")
