"""Replay recorded runs of the TF1 reference through this project's own code, and compare.

    python -m postprocess.crosscheck FILE.npz ... [--mode both|plain|jit]

A recording of kind `imp` holds images, batches, initial values, and what the reference made of them: parameters and
moments at every checkpoint, masks, ratios and errors. The replay runs the project's driver, network, trainer and
run directory; only initial values and batches are the recorded ones. Two tensors a (ours) and b (theirs) differ by
max|a - b| / max|b|.

Two runs that agree to rounding can still part for good: where a preactivation is zero to within rounding, ReLU decides
by the last bit whether its image trains that node, and batch normalisation can make a near-silent node loud. So a
recording that is not met at once is replayed from twins: initial weights changed by at most one unit in the last
place. One twin must meet it. What is wrong with a program does not go away by such a change: the tests show it.

Exit code: 0 all agree, 1 some do not, 2 a file that is no such recording.
"""

import json
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np

from postprocess.command_line import Parser
from sifting.datasets.image_set import ImageSet
from sifting.errors import DataError, SiftingError
from sifting.inputs import Experiment, read_experiment
from sifting.quiet import native_messages_hidden
from sifting.rounds import Checkpoint, Mask, Parameters, Round
from sifting.run_directory import RunDirectory
from sifting.signals import Signals

TRAINING_IMAGES = 1200  # x[:1200] are for training, x[1200:1200 + val_size] for validation
FLOAT32_ROUNDING = 2.0**-24
TWINS = 4


# --- recordings ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recording:
    """One file of kind `imp`. `arrays` by the names that the recordings use; `meta` says what they are."""

    name: str
    meta: dict
    arrays: dict[str, np.ndarray]

    @property
    def layers(self) -> range:
        return range(len(self.meta["arch"]))

    @property
    def rounds(self) -> range:
        return range(len(self.arrays["batches"]))

    def parameters(self, prefix: str) -> tuple[Parameters, ...]:
        """Of all layers, such as prefix "r0_init"."""
        return tuple(
            Parameters(*(self.arrays[f"{prefix}_l{layer}_{name}"] for name in Parameters._fields))
            for layer in self.layers
        )

    def masks(self, number: int) -> tuple[Mask, ...]:
        return tuple(
            Mask(*(self.arrays[f"r{number}_mask_l{layer}_{name}"].astype(np.float32) for name in Mask._fields))
            for layer in self.layers
        )

    def image_set(self, val_size: int) -> ImageSet:
        """The recorded images; the shape is that of a row, which is all that dense layers need."""
        x, y = self.arrays["x"], self.arrays["y"].astype(np.int32)
        train, validation = slice(TRAINING_IMAGES), slice(TRAINING_IMAGES, TRAINING_IMAGES + val_size)
        classes = self.meta["arch"][-1][1][1]
        mean = self.arrays["mean"].astype(np.float32)
        return ImageSet(x[train], y[train], x[validation], y[validation], mean, (1, 1, x.shape[1]), classes, self.name)


def load_recording(path: str) -> Recording:
    """Raises DataError: not a readable recording of kind `imp`."""
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = dict(file)
        meta = json.loads(str(arrays.pop("meta")))
        kind = meta["kind"]
        if kind == "imp" and not ({"arch", "ini"} <= set(meta) and {"x", "y", "mean", "batches"} <= set(arrays)):
            raise KeyError
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not an npz file with `meta`"
        raise DataError(f"{path}: is not a recording ({reason}); accepted: an npz file of kind imp") from None
    if kind != "imp":
        raise DataError(f"{path}: is a recording of kind '{kind}'; accepted: kind imp")
    return Recording(Path(path).name, meta, arrays)


def amplifies_rounding(recording: Recording, experiment: Experiment) -> str:
    """Why rounding noise grows in this run, so that no replay can agree to rounding; empty if it does not.

    Adam divides tiny gradients by their size; batch normalisation divides a (nearly) constant feature by as little
    as 1e-5: a pixel that does not change within a batch, or a node without inputs that its bias holds up.
    """
    if experiment.network.minimizer == "Adam":
        return "Adam amplifies rounding"
    x = (recording.arrays["x"].astype(np.float32) - recording.arrays["mean"]) * np.float32(1 / 255)
    for batches in recording.arrays["batches"]:
        for batch in np.unique(batches, axis=0):
            noise = FLOAT32_ROUNDING * np.abs(x[batch].mean(axis=0)) / np.sqrt(x[batch].var(axis=0) + 1e-10)
            if np.any(noise > 1e-4):
                return "pixels that are constant within a batch"
    for number in recording.rounds:
        masks = recording.masks(number)
        for layer in recording.layers[:-1]:
            b = recording.arrays[f"r{number}_init_l{layer}_b"]
            if np.any(~np.any(masks[layer].W, axis=0) & (masks[layer].b != 0) & (b > 0)):
                return "nodes without inputs that their bias holds up"
    return ""


# --- replay --------------------------------------------------------------------------------------------------------


def replay(
    recording: Recording, jit_compile: bool, folder: Path, twin: int = 0
) -> tuple[Experiment, list[Round], list[tuple]]:
    """Run the recorded experiment through the project's driver, into `folder`.

    Args:
        twin: 0 for the recorded initial weights; otherwise each is moved by -1, 0 or 1 unit in the last place, at
            random with this seed.

    Returns:
        the experiment, the rounds as read back from their pickles, and the values at the start of each round.

    Raises:
        SiftingError: XLA was asked for and could not compile the loop, so that this would replay the plain one.
    """
    with native_messages_hidden():
        import tensorflow as tf

        from sifting.drivers import DRIVERS
        from sifting.screen import Screen
        from sifting.session import Session

    class Replay(Session):
        """A session with the recorded initial values."""

        def initial_parameters(self):
            values = recording.parameters("r0_init")
            if not twin:
                return values
            rng = np.random.default_rng(twin)
            return tuple(layer._replace(W=_nudged(layer.W, rng)) for layer in values)

        def initial_masks(self):
            return recording.masks(0)

        def batch_key(self, number):
            return number

        def train(self, number, masks, ratios, start):
            starts.append(start)
            return super().train(number, masks, ratios, start)

    starts: list[tuple] = []
    experiment = read_recorded_experiment(recording, jit_compile, folder)
    batches = tf.constant(recording.arrays["batches"].astype(np.int32))
    directory = RunDirectory(folder, experiment.io.prefix)
    with directory.lock():
        session = Replay(
            experiment,
            recording.image_set(experiment.network.val_size),
            directory,
            Screen(stream=StringIO()),
            Signals(),
            rows=lambda key, step: batches[key, step],
        )
        DRIVERS[experiment.method_name](session)
        session.finish()
        if session.jit_compile != jit_compile:
            raise SiftingError(f"{recording.name}: XLA cannot compile the training loop here; accepted: --mode plain")
    return experiment, [directory.read_round(number) for number in directory.rounds()], starts


def _nudged(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """float32 values, each moved by -1, 0 or 1 unit in the last place."""
    return values + rng.integers(-1, 2, values.shape).astype(np.float32) * np.spacing(np.abs(values))


def read_recorded_experiment(recording: Recording, jit_compile: bool, folder: Path) -> Experiment:
    """The recorded input file, with its images and folder replaced."""
    path = folder / f"{recording.name}.in"
    path.write_text(recording.meta["ini"])
    replaced = [
        "Data.dataset=EdgeCollage32",  # never loaded: the images are the recorded ones
        f"IO.save_dir={folder}",
        "Network.seed=0",
        f"Network.jit_compile={str(jit_compile).lower()}",
    ]
    return read_experiment([str(path)], replaced)


# --- comparison ----------------------------------------------------------------------------------------------------


@dataclass
class Comparison:
    """One round, ours against the recorded one.

    Attributes:
        differences: relative difference of each tensor; key: (checkpoint or "start", layer, name).
        masks, mask_entries: number of mask entries that differ, and of all.
        ratios: whether ratios and checkpoint steps are the same.
        training, validation: the largest difference of an error, in images.
        exact: whether all errors are equal as float32 numbers.
    """

    differences: dict[tuple, float]
    masks: int
    mask_entries: int
    ratios: bool
    training: float
    validation: float
    exact: bool

    def largest(self, names: Sequence[str], start: bool = False) -> float:
        chosen = [d for key, d in self.differences.items() if key[2] in names and (key[0] == "start") == start]
        return max(chosen, default=0.0)


def relative_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """max|a - b| / max|b|; two zero tensors agree, and nothing agrees with one of another shape."""
    if np.shape(ours) != np.shape(theirs):
        return float("inf")
    difference, size = np.max(np.abs(ours - theirs)), np.max(np.abs(theirs))
    if difference == 0:
        return 0.0
    return float(difference / size) if size > 0 else float("inf")


def compare_round(recording: Recording, experiment: Experiment, ours: Round, start: tuple) -> Comparison:
    number = ours.number
    steps = recording.arrays[f"r{number}_checkpoints"]
    differences = {
        ("start", layer, name): relative_difference(value, theirs)
        for layer, (values, recorded) in enumerate(zip(start, recording.parameters(f"r{number}_init"), strict=True))
        for name, value, theirs in zip(Parameters._fields, values, recorded, strict=True)
    }
    for index, checkpoint in enumerate(ours.checkpoints[: len(steps)]):
        for layer, name, value, theirs in _tensors(recording, checkpoint, f"r{number}_t{index}"):
            differences[index, layer, name] = relative_difference(value, theirs)
    pairs = list(zip(ours.masks, recording.masks(number), strict=True))
    training, validation = (recording.arrays[f"r{number}_{kind}_error"] for kind in ("train", "val"))
    same_steps = list(steps) == [checkpoint.step for checkpoint in ours.checkpoints]
    same_validation = list(recording.arrays[f"r{number}_val_steps"]) == list(ours.validation_steps)
    return Comparison(
        differences,
        sum(int(np.sum(mine.W != other.W) + np.sum(mine.b != other.b)) for mine, other in pairs),
        sum(mine.W.size + mine.b.size for mine, _ in pairs),
        same_steps
        and same_validation
        and np.allclose(ours.ratios, recording.arrays["ratios"][number], rtol=0, atol=1e-12),
        _images(ours.training_errors, training, experiment.network.batch_size),
        _images(ours.validation_errors, validation, experiment.network.val_size),
        np.array_equal(ours.training_errors, training) and np.array_equal(ours.validation_errors, validation),
    )


def _tensors(recording: Recording, checkpoint: Checkpoint, prefix: str) -> Iterator[tuple]:
    """(layer, name, ours, theirs) of every parameter and moment of one checkpoint."""
    theirs = recording.parameters(prefix)
    for layer in recording.layers:
        for name in Parameters._fields:
            yield layer, name, getattr(checkpoint.parameters[layer], name), getattr(theirs[layer], name)
        for row, name in enumerate(("mean", "variance")):
            moments = recording.arrays[f"{prefix}_ema{layer}"][row]
            yield layer, name, getattr(checkpoint.moments[layer], name), moments


def _images(ours: np.ndarray, theirs: np.ndarray, count: int) -> float:
    """The largest difference of two lists of errors, in images."""
    if ours.shape != theirs.shape:
        return float("inf")
    return float(np.max(np.abs(ours - theirs), initial=0.0) * count)


def failures(comparisons: Sequence[Comparison], rounds: int, amplified: bool) -> list[str]:
    """What is beyond tolerance, in words.

    Every tensor within 1e-5, masks and errors equal. Where rounding is amplified: the median tensor within 1e-5,
    at most a tenth beyond 1e-3, none beyond 0.1, at most 1 mask entry in 1000 and 2 images of an error different.
    """
    found = []
    values = np.array([value for comparison in comparisons for value in comparison.differences.values()])
    largest, images, mask_share = (0.1, 2, 1e-3) if amplified else (1e-5, 0, 0)
    if len(comparisons) != rounds:
        found.append(f"{len(comparisons)} rounds instead of {rounds}")
    if not np.all(values <= largest):
        found.append(f"{np.sum(~(values <= largest))} tensors beyond {largest:g}")
    if amplified and not np.median(values) <= 1e-5:
        found.append(f"median {np.median(values):.1e} beyond 1e-5")
    if amplified and np.mean(values > 1e-3) > 0.1:
        found.append(f"{np.mean(values > 1e-3):.0%} of the tensors beyond 1e-3")
    for number, comparison in enumerate(comparisons):
        if comparison.masks > mask_share * comparison.mask_entries:
            found.append(f"round {number}: {comparison.masks} mask entries differ")
        if not comparison.ratios:
            found.append(f"round {number}: ratios, checkpoint steps or validation steps differ")
        for kind, difference in (("training", comparison.training), ("validation", comparison.validation)):
            if difference > images + 0.01 or (not amplified and not comparison.exact):
                found.append(f"round {number}: {kind} errors differ by {difference:.1f} images")
    return found


# --- report --------------------------------------------------------------------------------------------------------


def check(path: str, jit_compile: bool) -> bool:
    """Replay one recording, print the comparison; whether it agrees."""
    recording = load_recording(path)
    for twin in range(TWINS + 1):
        with tempfile.TemporaryDirectory() as folder:
            experiment, rounds, starts = replay(recording, jit_compile, Path(folder), twin)
        comparisons = [
            compare_round(recording, experiment, ours, start)
            for ours, start in zip(rounds, starts, strict=True)
            if ours.number in recording.rounds
        ]
        reason = amplifies_rounding(recording, experiment)
        mode = "jit_compile" if jit_compile else "plain"
        weights = f", twin {twin}: initial weights changed by at most one unit in the last place" if twin else ""
        tolerance = reason or "every tensor 1e-5, all else equal"
        print(f"{recording.name}  {mode}  {experiment.network.minimizer}{weights}; tolerance: {tolerance}")
        _print_table(comparisons)
        found = failures(comparisons, len(recording.rounds), bool(reason))
        print("DISAGREES: " + "; ".join(found) if found else "agrees", end="\n\n")
        if not found:
            return True
    return False


def _print_table(comparisons: Sequence[Comparison]) -> None:
    """One line a round: largest relative differences, differing mask entries, largest difference of errors."""
    tensors = ("start", *Parameters._fields, "mean", "variance")
    print("round" + "".join(f" {name:>8}" for name in tensors) + "    masks  training  validation  [images]")
    for number, comparison in enumerate(comparisons):
        largest = [comparison.largest(Parameters._fields, start=True)]
        largest += [comparison.largest([name]) for name in tensors[1:]]
        others = [(comparison.masks, 8), (comparison.training, 9), (comparison.validation, 11)]
        print(
            f"{number:5}"
            + "".join(f" {value:8.1e}" for value in largest)
            + "".join(f" {'equal' if value == 0 else f'{value:.3g}':>{width}}" for value, width in others)
        )
    values = np.array([value for comparison in comparisons for value in comparison.differences.values()])
    beyond = np.sum(values > 1e-3)
    print(f"{len(values)} tensors: median {np.median(values):.1e}, {beyond} beyond 1e-3, largest {np.max(values):.1e}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    parser = Parser(prog="python -m postprocess.crosscheck", description="Replay recorded runs of the TF1 reference.")
    parser.add_argument("files", nargs="+", metavar="FILE.npz", help="recordings of kind imp")
    parser.add_argument("--mode", choices=("both", "plain", "jit"), default="both", help="how the loop is compiled")
    options = parser.parse_args(arguments)
    modes = {"both": (False, True), "plain": (False,), "jit": (True,)}[options.mode]
    try:
        agree = [check(path, jit_compile) for path in options.files for jit_compile in modes]
    except SiftingError as error:
        print(f"crosscheck: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{sum(agree)} of {len(agree)} replays agree")
    return 0 if all(agree) else 1


if __name__ == "__main__":
    sys.exit(main())
