"""Session: an experiment at work. Methods ask it for rounds; it trains them, or finds them finished."""

import bisect
import dataclasses
import time
from collections.abc import Callable, Collection, Sequence

import numpy as np
import tensorflow as tf

from sifting.architecture import LayerSpec, build_specs, network_inputs
from sifting.base.compute import describe_device, on_gpu
from sifting.base.random_streams import Stream, device_key, generator
from sifting.base.signals import Signals
from sifting.datasets.image_set import ImageSet
from sifting.errors import TrainingDiverged
from sifting.experiment.experiment import Experiment
from sifting.network.forward import ScoredNetwork
from sifting.network.model import NetworkState, build_model, initial_masks, initial_parameters, layer_name
from sifting.network.rounds import Mask, Parameters, Round, RoundInProgress
from sifting.runs.directory import RunDirectory
from sifting.sparse.choice import sparse_layers
from sifting.training.observers import AppendToLog, Observer, Save, ShowCurves, ShowProgress, StoreWeights, Validate
from sifting.training.records import Records
from sifting.training.screen import Screen
from sifting.training.trainer import Draw, MomentImages, Trainer, build_optimizer, draw_uniformly


def network_and_trainer(
    experiment: Experiment,
    specs: Sequence[LayerSpec],
    image_set: ImageSet,
    report: Callable[[str], None],
    rows: Draw | None = None,
) -> tuple[NetworkState, Trainer]:
    """A new network, and what trains it as the experiment says; `report` and `rows` as of Trainer."""
    network, most = experiment.network, experiment.data.translate
    moments = generator(network.seed, Stream.MOMENTS)
    model = build_model(specs, image_set.shape, network.batch_norm_beta, network.centring)
    trainer = Trainer(
        model,
        build_optimizer(network.minimizer, network.learning_rate),
        image_set,
        network.batch_size,
        rows,
        preload=experiment.data.preload,
        jit_compile=network.jit_compile,
        report=report,
        shifts=draw_uniformly(most + 1, network.batch_size, 2) if most else None,
        moments_of=MomentImages.drawn(moments, len(image_set.images), most)
        if network.validation_moments == "exact"
        else None,
    )
    return NetworkState(model, specs), trainer


class Session:
    """One run: its images, its network and trainer, its records. What methods may ask for is described in
    experiment.experiment.Session.

    Args:
        experiment: resolved, with a seed.
        image_set: what `experiment.data` names.
        directory: locked by this process.
        screen: shows progress.
        signals: tells when to save and stop.
        rows: replaces the sampling of batches, see training.draw_uniformly.
        observers: more of them.

    Attributes:
        specs: the architecture.
    """

    def __init__(
        self,
        experiment: Experiment,
        image_set: ImageSet,
        directory: RunDirectory,
        screen: Screen,
        signals: Signals,
        rows: Draw | None = None,
        observers: Sequence[Observer] = (),
    ):
        network = experiment.network
        if network.deterministic:
            tf.config.experimental.enable_op_determinism()
        self.experiment = experiment
        self.specs: tuple[LayerSpec, ...] = build_specs(
            network.arch, experiment.method.prune, image_set.shape, image_set.classes
        )
        self._image_set, self._directory, self._screen, self._signals = image_set, directory, screen, signals
        self._values, self._trainer = network_and_trainer(experiment, self.specs, image_set, screen.line, rows)
        if network.sparse == "always" and on_gpu():
            raise experiment.error("Network", "sparse", "auto or never on a GPU")
        self._sparse = "never" if on_gpu() else network.sparse  # the kernels are not made for GPUs
        self._records = Records(experiment, directory, self.specs, image_set.shape)
        self._observers: list[Observer] = [
            StoreWeights(experiment, self._values, self._trainer),
            Validate(experiment, self._trainer),
            AppendToLog(directory),
            *([ShowCurves(directory)] if experiment.io.tensorboard else []),
            ShowProgress(experiment, screen, self._trainer),
            *observers,
            Save(experiment, directory, self._trainer, signals),
        ]

    @property
    def jit_compile(self) -> bool:
        """Whether the loop is compiled with XLA; False also where XLA could not do it."""
        return self._trainer.jit_compile

    def initial_parameters(self) -> dict[int, Parameters]:
        network = self.experiment.network
        return initial_parameters(self.specs, network.seed, network.init_deviation, network.init_distribution)

    def initial_masks(self) -> dict[int, Mask]:
        return initial_masks(self.specs, self.experiment.network.init_sparsity, self.experiment.network.seed)

    def network(self, parameters: dict[int, Parameters], masks: dict[int, Mask]) -> ScoredNetwork:
        return ScoredNetwork(self.specs, self._image_set.shape, parameters, masks)

    def sample(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        images = self._image_set
        draw = generator(self.experiment.network.seed, Stream.SCORING)
        rows = np.sort(draw.choice(len(images.images), min(count, len(images.images)), replace=False))
        return network_inputs(images.images[rows].astype(np.float32), images.mean), images.labels[rows]

    def batch_key(self, number: int) -> int:
        """What distinguishes the batches of one round from those of another, int64."""
        return device_key(self.experiment.network.seed, Stream.BATCHES, number)

    def shift_key(self, number: int) -> int:
        """What distinguishes the translations of one round from those of another, int64."""
        return device_key(self.experiment.network.seed, Stream.TRANSLATIONS, number)

    def report(self, line: str) -> None:
        self._screen.line(line)

    def finished(self, number: int) -> bool:
        return number in self._records

    def stored(self, number: int) -> Round:
        return self._directory.read_round(number)

    def adopt(self, result: Round) -> None:
        with self._signals.deferred():
            self._records.store(result, {}, {})

    def train(
        self,
        number: int,
        masks: dict[int, Mask],
        sparsities: np.ndarray,
        start: dict[int, Parameters],
        frozen: Collection[int] = (),
    ) -> Round:
        if self.finished(number):
            return self.stored(number)
        steps = self.experiment.network.steps
        progress = self._directory.read_progress(steps)
        if progress is not None and progress.number == number:
            self._trainer.restore(progress.state)
        else:
            sparse = sparse_layers(self._sparse, masks, self.specs, self.experiment.network.batch_size)
            errors = np.zeros(steps + 1, np.float32)
            progress = RoundInProgress(number, self.specs, sparsities, masks, errors, sparse=sparse)
            self._values.set_parameters(start)
            self._values.set_masks(masks)
            self._values.reset_moments()
            self._trainer.reset_optimizer()
        self._trainer.begin_round(*([layer_name(layer) for layer in layers] for layers in (frozen, progress.sparse)))
        with self._signals.deferred():
            began = time.monotonic() - progress.seconds
            self._train_steps(progress)
            result = dataclasses.replace(progress.so_far(), recorded_shape=self._image_set.shape)
            seconds = time.monotonic() - began
            own = {
                "seconds": round(seconds, 3),
                "steps_per_second": round((steps + 1) / seconds, 2),
                "sparse_layers": [layer + 1 for layer in progress.sparse],
            }
            self._records.store(result, {"device": describe_device(), "jit_compile": self.jit_compile}, own)
        for observer in self._observers:
            observer.end(result, seconds)
        return result

    def _train_steps(self, progress: RoundInProgress) -> None:
        """Train all steps from progress.step on; observers are called at theirs."""
        last, number = self.experiment.network.steps, progress.number
        key, shift_key = self.batch_key(number), self.shift_key(number)
        bound = [(observer, set(observer.steps(progress))) for observer in self._observers]
        events = sorted(set().union(*(steps for _, steps in bound), {last + 1}))
        self._records.begin(progress)
        for observer in self._observers:
            observer.begin(progress)
        while progress.step <= last:
            start = progress.step
            for observer, steps in bound:
                if start in steps:
                    observer.before_step(progress)
            stop = min(events[bisect.bisect_right(events, start)], start + self._trainer.steps_at_once)
            errors, losses = self._trainer.train(key, start, stop, shift_key)
            self._check_losses(losses, number, start)
            progress.training_errors[start:stop] = errors
            progress.step = stop
            for observer in self._observers:
                observer.after_steps(progress)

    def _check_losses(self, losses: np.ndarray, number: int, start: int) -> None:
        """Raises TrainingDiverged if one is not finite."""
        finite = np.isfinite(losses)
        if not np.all(finite):
            step = int(np.argmin(finite))
            raise TrainingDiverged(
                f"round {number}, step {start + step}: the loss is {losses[step]}; what was written before is kept; "
                f"try a smaller [Network] learning_rate than {self.experiment.network.learning_rate}"
            )

    def finish(self) -> None:
        """Bring all records in line with the stored rounds, and record that no round is missing."""
        self._records.finish()
