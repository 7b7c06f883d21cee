"""A trained network for other programs: `python -m sifting.export RUN_DIR --round N OUT`.

    OUT.keras   a Keras model with its masks; `import sifting.layers` lets keras.models.load_model load it
    OUT.npz     the arrays, and beside it OUT_layer_L.npz, the masked weights of layer L = 1, 2, ... as scipy.sparse CSR
    OUT         (no ending) a TensorFlow SavedModel; needs no sifting

The network is what validation saw: the weights of the last stored step, or of --step, under the masks of the round,
normalised with the running moments stored beside them. Its inputs are those of the experiment, float32 [n, 3*S*S],
channel-major (c*S*S + y*S + x): (pixel - mean) * (1/255) with the mean training image. With --pixels it takes the
pixels, 0 to 255, and has the mean in it; for that the images of the run must be there. It returns logits [n, classes].
"""

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sifting.base.command_line import Parser, output_file, run_command
from sifting.base.files import refused_if_not_written, sync
from sifting.errors import RunDirectoryError
from sifting.network.rounds import Mask, Parameters, Round
from sifting.training.api import Run, open_run

if TYPE_CHECKING:
    from scipy import sparse

ACCEPTED = "a name that ends in .keras or .npz, or the name of a new folder, without an ending, for a SavedModel"


# --- arrays --------------------------------------------------------------------------------------------------------


def arrays(result: Round, step: int | None = None) -> dict[str, npt.NDArray[Any]]:
    """All values of one checkpoint by name, for L = 1, 2, ...: layer_L_W, _b, _gamma, _beta, _mean, _variance, _mask_W
    and _mask_b, float32, shaped as in rounds.Parameters, Moments and Mask. What a layer does not have is absent; W is
    not masked. Also `round` and `step`, int64.

    Raises:
        DataError: no such checkpoint.
    """
    checkpoint = result.checkpoint_at(step)
    found: dict[str, npt.NDArray[Any]] = {"round": np.array(result.number), "step": np.array(checkpoint.step)}
    for kinds, prefix in ((checkpoint.parameters, ""), (checkpoint.moments, ""), (result.masks, "mask_")):
        for layer, values in kinds.items():
            found |= {f"layer_{layer + 1}_{prefix}{name}": v for name, v in values._asdict().items() if v.size}
    return found


def masked_weights(parameters: Parameters, mask: Mask) -> "sparse.csr_array":
    """W under its mask, float32 [n_in, n_out] as compressed sparse rows; a convolution's as [K*K*c_in, c_out].

    What the mask keeps is stored, be it zero; what it prunes is not.
    """
    from scipy import sparse

    kept = mask.W.reshape(-1, mask.W.shape[-1])
    places = np.nonzero(kept)
    return sparse.csr_array((parameters.W.reshape(kept.shape)[places], places), shape=kept.shape)


# --- files ---------------------------------------------------------------------------------------------------------


def write_keras(path: Path, run: Run, number: int, step: int | None, pixels: bool) -> list[Path]:
    model = run.model(number, step, pixels)
    return _replace(path, model.save)


def write_saved_model(path: Path, run: Run, number: int, step: int | None, pixels: bool) -> list[Path]:
    if path.exists():
        raise RunDirectoryError(f"{path}: is there already; accepted for a SavedModel: a name that is not taken")
    model = run.model(number, step, pixels)
    return _replace(path, lambda part: model.export(part, "tf_saved_model", verbose=False))


def write_arrays(path: Path, run: Run, number: int, step: int | None, pixels: bool) -> list[Path]:
    from scipy import sparse

    result, checkpoint = run.checkpoint(number, step)
    found: dict[str, Any] = {**arrays(result, step)}
    if pixels:
        found["mean"] = run.images(lambda line: print(line, file=sys.stderr)).mean
    written = []
    for layer, mask in result.masks.items():
        written.append(path.with_name(f"{path.stem}_layer_{layer + 1}.npz"))
        with output_file(written[-1]) as file:
            sparse.save_npz(file, masked_weights(checkpoint.parameters[layer], mask))
    with output_file(path) as file:
        np.savez_compressed(file, **found)
    return [path, *written]


def _replace(path: Path, write: Callable[[str], object]) -> list[Path]:
    """Write it beside its place, then give it its name. Raises RunDirectoryError if that cannot be done."""
    import tensorflow as tf

    part = path.with_name(f"unfinished.{path.name}")
    try:
        accepted = "accepted: a place in a writable folder with room"
        with refused_if_not_written(path, accepted, (OSError, tf.errors.OpError)):
            path.parent.mkdir(parents=True, exist_ok=True)
            write(str(part))
            if part.is_file():
                sync(part)
            os.replace(part, path)
            sync(path.parent)
    finally:
        if part.is_dir():
            shutil.rmtree(part)
        elif part.is_file():
            part.unlink()
    return [path]


WRITERS = {".keras": write_keras, ".npz": write_arrays, "": write_saved_model}


# --- the command ---------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(prog="python -m sifting.export", description="A trained network for other programs.")
    parser.add_argument("run_dir", metavar="RUN_DIR", help="save_dir, or DIR/PREFIX")
    parser.add_argument("output", type=Path, metavar="OUT", help=ACCEPTED)
    parser.add_argument("--round", type=int, required=True, metavar="N", help="number of the round; -1: the last one")
    parser.add_argument("--step", type=int, metavar="N", help="step whose weights are taken; default: the last stored")
    parser.add_argument("--pixels", action="store_true", help="the network takes pixels, 0 to 255; .npz: add the mean")
    return run_command(_export_command, parser, arguments)


def _export_command(options: argparse.Namespace) -> None:
    output = options.output
    if output.suffix not in WRITERS:
        raise RunDirectoryError(f"{output}: unknown format; accepted: {ACCEPTED}")
    if output.suffix and output.is_dir():
        raise RunDirectoryError(f"{output}: is a folder; accepted: the name of a file")
    run = open_run(options.run_dir)
    for path in WRITERS[output.suffix](output, run, options.round, options.step, options.pixels):
        print(path)


if __name__ == "__main__":
    sys.exit(main())
