"""Exported networks give the logits that our own code gives, to the last bit where the same kernels run."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from random_networks import keras_logits
from scipy import sparse
from tiny_runs import image_set, run

from postprocess.evaluation import logit_blocks
from sifting import export
from sifting.network.rounds import Mask, Parameters
from sifting.runs.directory import RunDirectory
from sifting.training.api import Run, open_run

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
    return keras_logits(result, checkpoint, INPUTS, IMAGES.shape)


def export_to(path: Path, run: Run, *arguments: str) -> Path:
    assert export.main([str(run.directory), str(path), *arguments]) == 0
    return path


# --- the same logits -----------------------------------------------------------------------------------------------


def test_keras_model_loads_with_its_masks_and_predicts_the_same_bits(trained, tmp_path, capsys):
    model = keras.models.load_model(export_to(tmp_path / "out.keras", trained, "--round", "2"))
    assert capsys.readouterr().out == f"{tmp_path / 'out.keras'}\n"
    result = trained[2]
    np.testing.assert_array_equal(model(INPUTS).numpy(), logits_of(result, result.checkpoints[-1]))
    for layer, mask in result.masks.items():
        np.testing.assert_array_equal(model.get_layer(f"layer_{layer + 1}").mask_W, mask.W)
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
    result, checkpoint = trained[2], trained[2].checkpoints[-1]
    files = [path, *(tmp_path / f"out_layer_{layer + 1}.npz" for layer in result.masks)]
    assert capsys.readouterr().out.splitlines() == list(map(str, files)) and set(tmp_path.iterdir()) == set(files)
    expected = {"round": 2, "step": 12, "mean": IMAGES.mean}
    for layer, mask in result.masks.items():
        parameters = checkpoint.parameters[layer]
        values = parameters._asdict() | {f"mask_{name}": value for name, value in mask._asdict().items()}
        values |= checkpoint.moments[layer]._asdict() if layer in checkpoint.moments else {}
        expected |= {f"layer_{layer + 1}_{name}": value for name, value in values.items() if value.size}
        weights = sparse.load_npz(tmp_path / f"out_layer_{layer + 1}.npz")
        assert weights.format == "csr" and weights.nnz == np.count_nonzero(mask.W)
        np.testing.assert_array_equal(weights.toarray().reshape(mask.W.shape), parameters.W * mask.W)
    with np.load(path) as found:
        assert expected.keys() <= set(found.files)
        assert {name for name in found.files if name.startswith("layer_")} <= expected.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value)


def test_a_kept_weight_that_is_zero_is_stored():
    """The mask says what is pruned, not the value."""
    mask = Mask(np.array([[1, 0], [1, 1]], np.float32))
    weights = export.masked_weights(Parameters(np.array([[0, 5], [0, 2]], np.float32)), mask)
    assert weights.nnz == 3 and weights.toarray().tolist() == [[0, 0], [0, 2]]


# --- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("out.h5 --round 1", "unknown format; accepted: a name that ends in .keras or .npz"),
        ("out.npz --round 9", "has no round 9; accepted: one of 0, 1, 2, 3, 4, 5"),
        ("out.keras --round 1 --step 3", ": round 1 stored no checkpoint at step 3; accepted: 120\n"),
        ("out.npz --round 0 --step 4", ": round 0 stored no checkpoint at step 4; accepted: 10, 120\n"),
        ("out.npz", "sifting: the following arguments are required: --round; see python -m "),
        ("there/in.keras --round 1", "in.keras: is a folder; accepted: the name of a file"),
        ("there/in.npz --round 1", "in.npz: is a folder; accepted: the name of a file"),
        ("there --round 1", "is there already; accepted for a SavedModel: a name that is not taken"),
        *((f"file/{name} --round 1", "cannot be written") for name in ("out.keras", "out.npz", "out")),
    ],
)
def test_refusals(reference, in_tmp_path, refusal, arguments, message):
    """Each names what was refused and what is accepted."""
    for name in ("in.keras", "in.npz"):
        (in_tmp_path / "there" / name).mkdir(parents=True)
    (in_tmp_path / "file").touch()
    assert message in refusal(export.main, reference, *arguments.split())


def test_a_run_without_an_input_file(tmp_path, refusal):
    """As the TF1 code leaves it: a dense network can be exported, but pixels and convolutions need the settings."""
    for name, arch in (("dense", DENSE), ("convolutional", CONVOLUTIONAL)):
        run(tmp_path / name, arch, "IMP.max_iterations=1")
    export_to(tmp_path / "out.keras", open_run(tmp_path / "dense"), "--round", "0")
    for name, option in (("dense", ["--pixels"]), ("convolutional", [])):
        line = refusal(export.main, tmp_path / name, tmp_path / "new.keras", "--round", 0, *option)
        assert "IMP_input.in: is not there; accepted: a run with its input file" in line


def test_an_old_file_stays_if_writing_fails(trained, tmp_path, refusal, monkeypatch):
    path = export_to(tmp_path / "out.keras", trained, "--round", "0")
    before = path.read_bytes()

    def full(self, part):
        Path(part).write_bytes(b"part")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("keras.Model.save", full)
    assert "No space left" in refusal(export.main, trained.directory, path, "--round", 1)
    assert path.read_bytes() == before


def in_a_process(code: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess:
    """Python as users start it, where warnings are errors; modules in `folder` come first."""
    return subprocess.run(
        [sys.executable, "-W", "error", *code.split(" ", 1), *arguments],
        env={**os.environ, "PYTHONPATH": str(folder), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_refusal_does_not_wait_for_tensorflow(reference, tmp_path):
    """In a process where importing it fails."""
    for name in ("tensorflow", "keras"):
        (tmp_path / f"{name}.py").write_text("raise AssertionError('imported')\n")
    arguments = str(reference.folder), "out.keras", "--round", "9"
    process = in_a_process("-m sifting.export", *arguments, folder=tmp_path)
    assert (process.returncode, process.stderr.count("\n")) == (2, 1) and "has no round 9" in process.stderr


def test_importing_the_layers_is_enough_to_load_a_model(tmp_path):
    """And nothing heavy is imported by sifting alone."""
    run(tmp_path / "run", "IMP.max_iterations=1")
    path = export_to(tmp_path / "out.keras", open_run(tmp_path / "run"), "--round", "0")
    code = f"""-c import sys, sifting
assert not {{"keras", "tensorflow", "numpy"}} & set(sys.modules)
import keras, sifting.layers
print(keras.models.load_model({str(path)!r}).layers[-1].name)"""
    process = in_a_process(code, folder=tmp_path)
    assert process.stdout.split() == ["layer_3"], process.stderr


def test_a_folder_with_several_prefixes(reference, tmp_path):
    """As the TF1 code's own layout has them: the run is named as DIR/PREFIX."""
    RunDirectory(reference.folder, "other").write_round(reference.read_round(0))
    export_to(tmp_path / "out.npz", open_run(reference.folder / "other"), "--round", "-1")
