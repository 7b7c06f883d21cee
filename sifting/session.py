"""Session: an experiment at work. Drivers ask it for rounds; it trains them, or finds them finished."""

import bisect
import dataclasses
import time
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from sifting import history, tensorboard
from sifting.architecture import LayerSpec, build_specs
from sifting.datasets.image_set import ImageSet
from sifting.errors import TrainingDiverged
from sifting.experiment.experiment import Experiment
from sifting.network import NetworkState, build_model, initial_masks, initial_parameters, layer_name
from sifting.random_streams import Stream, device_key, generator
from sifting.rounds import Checkpoint, LayerCount, Mask, MaskedNetwork, Parameters, Round, layer_counts
from sifting.run_directory import Progress, RunDirectory, log_line, log_lines, log_summary
from sifting.screen import Screen
from sifting.signals import Signals
from sifting.training import Draw, Trainer, build_optimizer, draw_shifts

SECONDS_PER_CALL = 0.5  # of the compiled loop: signals and progress wait that long


class _History(NamedTuple):
    """What findata, log, history and record keep of a finished round."""

    ratios: np.ndarray
    best_validation_error: np.float32
    log: str
    lines: str  # of the history
    layers: tuple[LayerCount, ...]


class Session:
    """One run: its images, its network and trainer, its directory.

    Args:
        experiment: resolved, with a seed.
        image_set: what `experiment.data` names.
        directory: locked by this process.
        screen: shows progress.
        signals: tells when to save and stop.
        rows: replaces the sampling of batches, see training.draw_uniformly.

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
    ):
        network = experiment.network
        configure_tensorflow(experiment)
        self.experiment = experiment
        self.specs: tuple[LayerSpec, ...] = build_specs(
            network.arch, experiment.method.prune, image_set.shape, image_set.classes
        )
        self._image_set, self._directory, self._screen, self._signals = image_set, directory, screen, signals
        model = build_model(self.specs, image_set.shape, network.batch_norm_beta, network.centring)
        self._network = NetworkState(model, self.specs)
        most = experiment.data.translate
        self._trainer = Trainer(
            model,
            build_optimizer(network.minimizer, network.learning_rate),
            image_set,
            network.batch_size,
            rows,
            preload=experiment.data.preload,
            jit_compile=network.jit_compile,
            report=screen.line,
            shifts=draw_shifts(most, network.batch_size) if most else None,
        )
        self._rate = 0.0  # steps per second, from the last call
        self._history: dict[int, _History] = {}
        for number in directory.rounds():
            self._remember(directory.read_round(number))

    @property
    def jit_compile(self) -> bool:
        """Whether the loop is compiled with XLA; False also where XLA could not do it."""
        return self._trainer.jit_compile

    # --- what drivers ask for

    def initial_parameters(self) -> dict[int, Parameters]:
        """Values before any training."""
        network = self.experiment.network
        return initial_parameters(self.specs, network.seed, network.init_deviation, network.init_distribution)

    def initial_masks(self) -> dict[int, Mask]:
        """Masks of round 0."""
        return initial_masks(self.specs, self.experiment.network.init_sparsity, self.experiment.network.seed)

    def network(self, parameters: dict[int, Parameters], masks: dict[int, Mask]) -> MaskedNetwork:
        """Values and masks as scores take them."""
        return MaskedNetwork(self.specs, self._image_set.shape, parameters, masks)

    def sample(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Training images for scores, drawn without replacement, the same ones in every round; never translated.

        Returns:
            x float32 [count, channels*height*width], the network's inputs; labels int32 [count].
        """
        images, labels, mean = self._image_set.images, self._image_set.labels, self._image_set.mean
        draw = generator(self.experiment.network.seed, Stream.SCORING)
        rows = np.sort(draw.choice(len(images), count, replace=False))
        return (images[rows].astype(np.float32) - mean) * np.float32(1 / 255), labels[rows]

    def batch_key(self, number: int) -> int:
        """What distinguishes the batches of one round from those of another, int64."""
        return device_key(self.experiment.network.seed, Stream.BATCHES, number)

    def shift_key(self, number: int) -> int:
        """What distinguishes the translations of one round from those of another, int64."""
        return device_key(self.experiment.network.seed, Stream.TRANSLATIONS, number)

    def report(self, line: str) -> None:
        """Show one line."""
        self._screen.line(line)

    def finished(self, number: int) -> bool:
        """Whether a round is stored."""
        return number in self._history

    def stored(self, number: int) -> Round:
        """A finished round. Raises DataError if there is none."""
        return self._directory.read_round(number)

    def adopt(self, result: Round) -> None:
        """Store a round that another run has trained as if it were of this one."""
        with self._signals.deferred():
            self._store(result)

    def train(
        self,
        number: int,
        masks: dict[int, Mask],
        ratios: np.ndarray,
        start: dict[int, Parameters],
        frozen: Collection[int] = (),
    ) -> Round:
        """Train one round from `start` under `masks`; a finished one is read from its file instead.

        Args:
            number: of the round.
            masks, start: by layer.
            ratios: float64, sparsity of each prunable layer, for the records.
            frozen: layers whose W, b, gamma and beta stay as in `start`.

        Raises:
            TrainingDiverged: the loss is not finite; Interrupted: a signal came, the round was saved.
        """
        if self.finished(number):
            return self.stored(number)
        progress = self._directory.read_checkpoint()
        if progress is not None and progress.partial.number == number:
            self._trainer.restore(progress.state)
        else:
            empty = np.zeros(0, np.float32)
            progress = Progress(Round(number, self.specs, ratios, masks, (), empty, (), empty), 0, 0.0, {})
            self._network.set_parameters(start)
            self._network.set_masks(masks)
            self._network.reset_moments()
            self._trainer.reset_optimizer()
        self._trainer.freeze([layer_name(layer) for layer in frozen])
        with self._signals.deferred():
            result, seconds = self._train_steps(progress)
            steps_per_second = (self.experiment.network.steps + 1) / seconds
            self._store(result, seconds=round(seconds, 3), steps_per_second=round(steps_per_second, 2))
        self._screen.end_round(result, seconds)
        return result

    def finish(self) -> None:
        """Bring log, findata, history and record in line with the stored rounds, also where a process was killed
        between them, and record that no round is missing."""
        self._publish({}, finished=True)

    # --- one round

    def _train_steps(self, progress: Progress) -> tuple[Round, float]:
        """The steps from progress.step to the last one, and the seconds of the whole round."""
        network, partial = self.experiment.network, progress.partial
        number, step, began = partial.number, progress.step, time.monotonic() - progress.seconds
        key = self.batch_key(number)
        checkpoint_steps = self.experiment.method.stored_steps(number, network.steps)
        events = sorted({*checkpoint_steps, *range(0, network.steps + 1, network.validate_step), network.steps + 1})
        training = [partial.training_errors]
        validation_steps, validation_errors = list(partial.validation_steps), list(partial.validation_errors)
        checkpoints = list(partial.checkpoints)
        last_saved = time.monotonic()

        def round_so_far() -> Round:
            return dataclasses.replace(
                partial,
                checkpoints=tuple(checkpoints),
                training_errors=np.concatenate(training),
                validation_steps=tuple(validation_steps),
                validation_errors=np.array(validation_errors, np.float32),
            )

        def save() -> None:
            seconds = time.monotonic() - began
            self._directory.write_checkpoint(Progress(round_so_far(), step, seconds, self._trainer.state()))

        self._write_log(log_lines(validation_steps, partial.training_errors, validation_errors))
        self._screen.begin_round(partial, network.steps + 1, step)
        curves = tensorboard.RoundInProgress(self._directory, number, step) if self.experiment.io.tensorboard else None
        while step <= network.steps:
            if step in checkpoint_steps:
                checkpoints.append(Checkpoint(step, self._network.parameters(), self._network.moments()))
            validated = step % network.validate_step == 0
            if validated:
                validation_steps.append(step)
                validation_errors.append(self._trainer.validate())
            stop = min(events[bisect.bisect_right(events, step)], step + self._steps_per_call())
            errors = self._train_call(key, number, step, stop)
            training.append(errors)
            if validated:
                self._directory.append_log(log_line(step, errors[0], validation_errors[-1]))
                if curves:
                    since = validation_steps[-2] + 1 if len(validation_steps) > 1 else 0
                    mean = np.mean(np.concatenate(training)[since : step + 1], dtype=np.float64)
                    curves.add(step, validation_errors[-1], mean)
            step = stop
            self._screen.update(step, errors, validation_errors, self._rate)
            if self._signals.received:
                save()
                self._signals.interrupt(f" in round {number} before step {step}")
            if time.monotonic() - last_saved >= self.experiment.io.checkpoint_seconds:
                save()
                last_saved = time.monotonic()
        return round_so_far(), time.monotonic() - began

    def _steps_per_call(self) -> int:
        return max(1, min(self._trainer.most_steps, int(self._rate * SECONDS_PER_CALL)))

    def _train_call(self, key: int, number: int, start: int, stop: int) -> np.ndarray:
        """Training errors of start <= step < stop."""
        began = time.monotonic()
        errors, losses = self._trainer.train(key, start, stop, self.shift_key(number))
        self._rate = (stop - start) / max(time.monotonic() - began, 1e-9)
        if not np.all(np.isfinite(losses)):
            step = start + int(np.argmin(np.isfinite(losses)))
            raise TrainingDiverged(
                f"round {number}, step {step}: the loss is {losses[step - start]}; what was written before is kept; "
                f"try a smaller [Network] learning_rate than {self.experiment.network.learning_rate}"
            )
        return errors

    # --- records

    @staticmethod
    def _summary(result: Round) -> _History:
        lines = log_lines(result.validation_steps, result.training_errors, result.validation_errors)
        counts = layer_counts(result.masks, result.specs)
        log = lines + log_summary(result)
        return _History(result.ratios, result.best_validation_error, log, history.lines(result), counts)

    def _remember(self, result: Round, new: bool = False) -> None:
        """Keep what the records say of a stored round, and write its events for TensorBoard; those of an old one
        only if they are missing."""
        number, network = result.number, self.experiment.network
        self._history[number] = self._summary(result)
        paths = tensorboard.event_paths(self._directory, number)
        if self.experiment.io.tensorboard and (new or not all(path.exists() for path in paths)):
            first = network.rest_it if network.restart else min(self._history)
            experiment = self.experiment if number == first else None
            tensorboard.write_round(self._directory, result, self._image_set.shape[0], experiment)

    def _write_log(self, lines: str = "") -> None:
        """The log of all finished rounds, then `lines` of the one in progress."""
        self._directory.write_log("".join(self._history[number].log for number in sorted(self._history)) + lines)

    def _write_findata(self) -> None:
        rounds = [self._history[number] for number in sorted(self._history)]
        self._directory.write_findata(
            self.specs, [entry.ratios for entry in rounds], [entry.best_validation_error for entry in rounds]
        )

    def _store(self, result: Round, **timing: float) -> None:
        """A finished round, and what follows from it."""
        self._directory.write_round(result)
        self._remember(result, new=True)
        self._publish({str(result.number): timing} if timing else {})

    def _publish(self, timings: dict[str, dict[str, float]], finished: bool = False) -> None:
        """Log, findata, history and record of the stored rounds; `timings`: of a round that was just trained."""
        self._write_log()
        self._write_findata()
        entries = (self._history[number].lines for number in sorted(self._history))
        self._directory.write_history(history.header(self.specs) + "".join(entries))
        record = {**self._directory.read_record(), "finished": finished}
        if timings:
            record["device"] = describe_device()
            record["jit_compile"] = self.jit_compile
        rounds = record.get("rounds", {})
        record["rounds"] = {
            str(number): {
                **rounds.get(str(number), {}),
                **timings.get(str(number), {}),
                "layers": [
                    {"layer": c.layer + 1, "kept": c.kept, "total": c.total, "connected": c.connected, "nodes": c.nodes}
                    for c in entry.layers
                ],
            }
            for number, entry in sorted(self._history.items())
        }
        self._directory.write_record(record)


def configure_tensorflow(experiment: Experiment) -> None:
    """Settings that must stand before the first operation."""
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)
    tf.config.experimental.enable_tensor_float_32_execution(experiment.network.tf32)
    if experiment.network.deterministic:
        tf.config.experimental.enable_op_determinism()


def describe_device() -> str:
    """The device that trains, in words."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU"))
    return f"CPU, {tf.config.threading.get_intra_op_parallelism_threads() or 'all'} threads"
