"""Kind `imp`: runs of the TF1 reference, replayed through this project's driver, network, trainer and run directory.

A recording holds images, batches, initial values, and what the reference made of them: parameters and moments at every
checkpoint, masks, ratios and errors. Only initial values and batches of the replay are the recorded ones.

Two runs that agree to rounding can still part for good: where a preactivation is zero to within rounding, ReLU decides
by the last bit whether its image trains that node, and batch normalisation can make a near-silent node loud. So a
recording that is not met at once is replayed from twins: initial weights changed by at most one unit in the last
place. One twin must meet it. What is wrong with a program does not go away by such a change: the tests show it.
"""

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from postprocess.crosscheck.recording import Recording, relative_difference, verdict
from sifting.architecture import DENSE, OUTPUT, LayerSpec
from sifting.base.quiet import native_messages_hidden
from sifting.base.signals import Signals
from sifting.datasets.image_set import ImageSet
from sifting.errors import SiftingError
from sifting.experiment.experiment import Experiment
from sifting.inputs import read_experiment
from sifting.network.rounds import Checkpoint, Mask, Moments, Parameters, Round
from sifting.runs.directory import RunDirectory

Start = dict[int, Parameters]  # the values that a round starts from

TRAINING_IMAGES = 1200  # x[:1200] are for training, x[1200:1200 + val_size] for validation
FLOAT32_ROUNDING = 2.0**-24
TWINS = 4
# The loops of each --mode, and their settings; the sparse one is what --sparse always asks for.
MODES = {"both": ("plain", "jit_compile"), "plain": ("plain",), "jit": ("jit_compile",)}
LOOPS = {
    "plain": ("Network.jit_compile=false", "Network.sparse=never"),
    "jit_compile": ("Network.jit_compile=true", "Network.sparse=never"),
    "sparse": ("Network.sparse=always",),
}


# --- recordings ----------------------------------------------------------------------------------------------------


class ImpRecording(Recording):
    """One file of kind `imp`, by what it means. All its layers are dense."""

    @classmethod
    def of(cls, recording: Recording) -> "ImpRecording":
        """Raises DataError: something is missing, or of a wrong shape."""
        self = cls(**vars(recording))
        arch = self.described("arch")
        if not _is_dense_architecture(arch):
            raise self.refusal(f"meta arch = {arch}; accepted: [[f or x, [n_in, n_out], prunable], ...]")
        if not isinstance(self.described("ini"), str):
            raise self.refusal("meta ini; accepted: the text of an input file")
        pixels, classes = arch[0][1][0], arch[-1][1][1]
        x = self.array("x", (None, pixels))
        self.array("mean", (pixels,))
        y, batches = self.array("y", (len(x),)), self.array("batches", (None, None, None))
        if len(x) <= TRAINING_IMAGES or np.any((y < 0) | (y >= classes)):
            raise self.refusal(f"accepted: more than {TRAINING_IMAGES} images, labels 0 ... {classes - 1}")
        if not batches.size or np.any((batches < 0) | (batches >= TRAINING_IMAGES)):
            raise self.refusal(f"batches; accepted: indices 0 ... {TRAINING_IMAGES - 1}")
        self.array("ratios", (len(batches), None))
        for number in self.rounds:
            self.parameters(f"r{number}_init")
            self.masks(number)
            for name in ("train_error", "val_error", "val_steps", "checkpoints"):
                self.array(f"r{number}_{name}", (None,))
            for index in range(len(self.array(f"r{number}_checkpoints"))):
                self.parameters(f"r{number}_t{index}")
                self.moments(f"r{number}_t{index}")
        return self

    @property
    def layers(self) -> range:
        return range(len(self.meta["arch"]))

    @property
    def rounds(self) -> range:
        return range(len(self.arrays["batches"]))

    def parameters(self, prefix: str) -> dict[int, Parameters]:
        """Of all layers, such as prefix "r0_init"."""
        return {layer: Parameters(*arrays) for layer, arrays in self._layers(prefix, Parameters._fields)}

    def moments(self, prefix: str) -> dict[int, Moments]:
        """Of all layers, such as prefix "r0_t1"."""
        inputs = (shape[0] for _, shape, _ in self.meta["arch"])
        return {layer: Moments(*self.array(f"{prefix}_ema{layer}", (2, n_in))) for layer, n_in in enumerate(inputs)}

    def masks(self, number: int) -> dict[int, Mask]:
        layers = self._layers(f"r{number}_mask", Mask._fields)
        return {layer: Mask(*(array.astype(np.float32) for array in arrays)) for layer, arrays in layers}

    def _layers(self, prefix: str, names: Sequence[str]) -> Iterator[tuple[int, list[np.ndarray]]]:
        """The arrays PREFIX_lL_NAME of every layer L."""
        for layer, (_, (n_in, n_out), _) in enumerate(self.meta["arch"]):
            shapes = {"W": (n_in, n_out), "b": (n_out,), "gamma": (n_in,), "beta": (n_in,)}
            yield layer, [self.array(f"{prefix}_l{layer}_{name}", shapes[name]) for name in names]

    def round(self, number: int) -> Round:
        """A recorded round, with its stored checkpoints."""
        steps = self.arrays[f"r{number}_checkpoints"]
        return Round(
            number,
            tuple(LayerSpec(kind, tuple(shape), bool(prunable)) for kind, shape, prunable in self.meta["arch"]),
            self.arrays["ratios"][number],
            self.masks(number),
            tuple(
                Checkpoint(int(step), self.parameters(f"r{number}_t{index}"), self.moments(f"r{number}_t{index}"))
                for index, step in enumerate(steps)
            ),
            self.arrays[f"r{number}_train_error"],
            tuple(map(int, self.arrays[f"r{number}_val_steps"])),
            self.arrays[f"r{number}_val_error"],
        )

    def image_set(self, val_size: int) -> ImageSet:
        """The recorded images; the shape is that of a row, which is all that dense layers need."""
        x, y = self.arrays["x"], self.arrays["y"].astype(np.int32)
        train, validation = slice(TRAINING_IMAGES), slice(TRAINING_IMAGES, TRAINING_IMAGES + val_size)
        classes = self.meta["arch"][-1][1][1]
        mean = self.arrays["mean"].astype(np.float32)
        return ImageSet(x[train], y[train], x[validation], y[validation], mean, (1, 1, x.shape[1]), classes, self.name)


def _is_dense_architecture(arch: Any) -> bool:
    """Whether `arch` is a list of dense layers, the last one the output, each as large as the next one's input."""
    try:
        kinds, shapes = "".join(kind for kind, _, _ in arch), [shape for _, shape, _ in arch]
        inputs, outputs = zip(*shapes, strict=True)
    except (TypeError, ValueError):
        return False
    return (
        all(type(size) is int and size >= 1 for size in inputs + outputs)
        and kinds == DENSE * (len(arch) - 1) + OUTPUT
        and inputs[1:] == outputs[:-1]
    )


def amplifies_rounding(recording: ImpRecording, experiment: Experiment) -> str:
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
    recording: ImpRecording, loop: str, folder: Path, twin: int = 0
) -> tuple[Experiment, list[Round], list[Start]]:
    """Run the recorded experiment through the project's driver, into `folder`.

    Args:
        loop: one of LOOPS.
        twin: 0 for the recorded initial weights; otherwise each is moved by -1, 0 or 1 unit in the last place, at
            random with this seed.

    Returns:
        the experiment, the rounds as read back from their pickles, and the values at the start of each round.

    Raises:
        SiftingError: XLA was asked for and could not compile the loop, so that this would replay the plain one.
    """
    with native_messages_hidden():
        import tensorflow as tf

        from sifting.training.screen import Screen
        from sifting.training.session import Session

    class Replay(Session):
        """A session with the recorded initial values."""

        def initial_parameters(self) -> Start:
            values = recording.parameters("r0_init")
            if not twin:
                return values
            rng = np.random.default_rng(twin)
            return {layer: value._replace(W=_nudged(value.W, rng)) for layer, value in values.items()}

        def initial_masks(self) -> dict[int, Mask]:
            return recording.masks(0)

        def batch_key(self, number: int) -> int:
            return number

        def train(
            self,
            number: int,
            masks: dict[int, Mask],
            ratios: np.ndarray,
            start: Start,
            frozen: Collection[int] = (),
        ) -> Round:
            starts.append(start)
            return super().train(number, masks, ratios, start, frozen)

    starts: list[Start] = []
    experiment = read_recorded_experiment(recording, loop, folder)
    batches = tf.constant(recording.arrays["batches"].astype(np.int32))
    directory = RunDirectory(folder, experiment.io.prefix)
    with directory.lock():
        session = Replay(
            experiment,
            recording.image_set(experiment.network.val_size),
            directory,
            Screen(stream=StringIO()),
            Signals(),
            rows=lambda key, step: tf.gather_nd(batches, tf.stack([key, step])),
        )
        experiment.method.run(session)
        session.finish()
        if experiment.network.jit_compile and not session.jit_compile:
            raise SiftingError(f"{recording.name}: XLA cannot compile the training loop here; accepted: --mode plain")
    return experiment, [directory.read_round(number) for number in directory.rounds()], starts


def _nudged(values: np.ndarray, rng: np.random.Generator) -> NDArray[np.float32]:
    """float32 values, each moved by -1, 0 or 1 unit in the last place."""
    moves = rng.integers(-1, 2, values.shape).astype(np.float32)
    nudged: NDArray[np.float32] = values + moves * np.spacing(np.abs(values))
    return nudged


def read_recorded_experiment(recording: ImpRecording, loop: str, folder: Path) -> Experiment:
    """The recorded input file, with its images and folder replaced.

    Raises:
        SiftingError: an input file that cannot be read, or that does not fit the arrays.
    """
    path = folder / f"{recording.name}.in"
    path.write_text(recording.meta["ini"])
    replaced = [
        "Data.dataset=EdgeCollage32",  # never loaded: the images are the recorded ones
        f"IO.save_dir={folder}",
        "IO.tensorboard=false",  # whose plates need square images
        "Network.seed=0",
        *LOOPS[loop],
    ]
    experiment = read_experiment([str(path)], replaced)
    network, images = experiment.network, len(recording.arrays["x"])
    recording.array("batches", (None, network.steps + 1, network.batch_size))
    if network.val_size > images - TRAINING_IMAGES:
        raise recording.refusal(f"val_size = {network.val_size}; accepted: up to {images - TRAINING_IMAGES}")
    layers = [f"{DENSE}{n_out}" if kind == DENSE else OUTPUT for kind, (_, n_out), _ in recording.meta["arch"]]
    if [str(token) for token in network.arch] != layers:
        raise recording.refusal(f"arch of ini is not {':'.join(layers)}, that of meta")
    return experiment


# --- comparison ----------------------------------------------------------------------------------------------------


@dataclass
class Comparison:
    """One round, ours against the recorded one.

    Attributes:
        differences: relative difference of each tensor; key: (checkpoint or "start", layer, name).
        masks, mask_entries: number of mask entries that differ, and of all.
        sparsities: whether recorded sparsities and checkpoint steps are the same.
        training, validation: the largest difference of an error, in images.
        exact: whether all errors are equal as float32 numbers.
    """

    differences: dict[tuple[int | str, int, str], float]
    masks: int
    mask_entries: int
    sparsities: bool
    training: float
    validation: float
    exact: bool

    def largest(self, names: Sequence[str], start: bool = False) -> float:
        chosen = [d for key, d in self.differences.items() if key[2] in names and (key[0] == "start") == start]
        return max(chosen, default=0.0)


def compare_round(recording: ImpRecording, experiment: Experiment, ours: Round, start: Start) -> Comparison:
    theirs = recording.round(ours.number)
    states: dict[int | str, tuple[_Tensors, _Tensors]] = {
        "start": (_tensors(start), _tensors(recording.parameters(f"r{ours.number}_init")))
    }
    for index, (own, other) in enumerate(zip(ours.checkpoints, theirs.checkpoints, strict=False)):
        states[index] = _tensors(own.parameters, own.moments), _tensors(other.parameters, other.moments)
    own_masks, their_masks = _tensors(ours.masks), _tensors(theirs.masks)
    same_steps = [own.step for own in ours.checkpoints] == [other.step for other in theirs.checkpoints]
    return Comparison(
        {
            (place, *key): relative_difference(own[key], other[key])
            for place, (own, other) in states.items()
            for key in other
        },
        sum(int(np.count_nonzero(own_masks[key] != mask)) for key, mask in their_masks.items()),
        sum(mask.size for mask in their_masks.values()),
        same_steps
        and ours.validation_steps == theirs.validation_steps
        and np.allclose(ours.sparsities, theirs.sparsities, rtol=0, atol=1e-12),
        _images(ours.training_errors, theirs.training_errors, experiment.network.batch_size),
        _images(ours.validation_errors, theirs.validation_errors, experiment.network.val_size),
        np.array_equal(ours.training_errors, theirs.training_errors)
        and np.array_equal(ours.validation_errors, theirs.validation_errors),
    )


_Tensors = dict[tuple[int, str], np.ndarray]


def _tensors(*values: Mapping[int, Any]) -> _Tensors:
    """Parameters, moments or masks by (layer, name)."""
    return {
        (layer, name): array
        for by_layer in values
        for layer, of_layer in by_layer.items()
        for name, array in of_layer._asdict().items()
    }


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
        if not comparison.sparsities:
            found.append(f"round {number}: ratios, checkpoint steps or validation steps differ")
        for kind, difference in (("training", comparison.training), ("validation", comparison.validation)):
            if difference > images + 0.01 or (not amplified and not comparison.exact):
                found.append(f"round {number}: {kind} errors differ by {difference:.1f} images")
    return found


# --- report --------------------------------------------------------------------------------------------------------


def check(recording: Recording, loops: Sequence[str]) -> list[bool]:
    """Replay one recording by each of these LOOPS, and print the comparisons; which of them agree."""
    recording = ImpRecording.of(recording)
    return [_check(recording, loop) for loop in loops]


def _check(recording: ImpRecording, loop: str) -> bool:
    for twin in range(TWINS + 1):
        with tempfile.TemporaryDirectory() as folder:
            experiment, rounds, starts = replay(recording, loop, Path(folder), twin)
        comparisons = [
            compare_round(recording, experiment, ours, start)
            for ours, start in zip(rounds, starts, strict=True)
            if ours.number in recording.rounds
        ]
        reason = amplifies_rounding(recording, experiment)
        weights = f", twin {twin}: initial weights changed by at most one unit in the last place" if twin else ""
        tolerance = reason or "every tensor 1e-5, all else equal"
        print(f"{recording.name}  {loop}  {experiment.network.minimizer}{weights}; tolerance: {tolerance}")
        _print_table(comparisons)
        if verdict(failures(comparisons, len(recording.rounds), bool(reason))):
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
