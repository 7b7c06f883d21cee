"""Observers: what happens beside the training of a round, bound to its steps.

A session has a list of them; users and tests can add their own (`sifting.run_experiment(experiment, observers=[...])`).
"""

import time
from collections.abc import Collection

from sifting.base.signals import Signals
from sifting.experiment.experiment import Experiment
from sifting.network.model import NetworkState
from sifting.network.rounds import Checkpoint, Round, RoundInProgress
from sifting.runs import history
from sifting.runs.directory import RunDirectory
from sifting.runs.reference import log_line
from sifting.training import tensorboard
from sifting.training.screen import Screen
from sifting.training.trainer import Trainer


class Observer:
    """Watches rounds while they are trained; a subclass overrides what it needs. Nothing is called within a step."""

    def steps(self, progress: RoundInProgress) -> Collection[int]:
        """Steps of the round before which `before_step` is to be called."""
        return ()

    def begin(self, progress: RoundInProgress) -> None:
        """The round begins, or goes on, at progress.step."""

    def before_step(self, progress: RoundInProgress) -> None:
        """Before progress.step, one of `steps`; the network is as before the update of this step."""

    def after_steps(self, progress: RoundInProgress) -> None:
        """After each call of the compiled loop, which has trained all steps before progress.step."""

    def end(self, result: Round, seconds: float) -> None:
        """The round is finished and stored; it took so long."""


class StoreWeights(Observer):
    """Adds a checkpoint at each step that the method stores."""

    def __init__(self, experiment: Experiment, values: NetworkState, trainer: Trainer) -> None:
        self._experiment, self._values, self._trainer = experiment, values, trainer

    def steps(self, progress: RoundInProgress) -> Collection[int]:
        return self._experiment.method.stored_steps(progress.number, self._experiment.network.steps)

    def before_step(self, progress: RoundInProgress) -> None:
        self._trainer.write_back()
        progress.checkpoints.append(Checkpoint(progress.step, self._values.parameters(), self._values.moments()))


class Validate(Observer):
    """Measures the validation error every validate_step steps."""

    def __init__(self, experiment: Experiment, trainer: Trainer) -> None:
        self._settings, self._trainer = experiment.network, trainer

    def steps(self, progress: RoundInProgress) -> Collection[int]:
        return range(0, self._settings.steps + 1, self._settings.validate_step)

    def before_step(self, progress: RoundInProgress) -> None:
        progress.validation_steps.append(progress.step)
        progress.validation_errors.append(self._trainer.validate())


class _OfValidations(Observer):
    """Told of every validation once the batch of its step is trained, too."""

    def begin(self, progress: RoundInProgress) -> None:
        self._known = len(progress.validation_steps)

    def after_steps(self, progress: RoundInProgress) -> None:
        for place in range(self._known, len(progress.validation_steps)):
            self.validated(progress, place)
        self._known = len(progress.validation_steps)

    def validated(self, progress: RoundInProgress, place: int) -> None:
        """`place`: in the lists of validations."""


class AppendToLog(_OfValidations):
    """Appends every validation to the log."""

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory

    def validated(self, progress: RoundInProgress, place: int) -> None:
        step = progress.validation_steps[place]
        line = log_line(step, progress.training_errors[step], progress.validation_errors[place])
        self._directory.append_log(line)


class ShowCurves(_OfValidations):
    """Appends every validation to an event file that TensorBoard reads as it grows."""

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory

    def begin(self, progress: RoundInProgress) -> None:
        super().begin(progress)
        self._curves = tensorboard.GrowingCurves(self._directory, progress.number, progress.step)

    def validated(self, progress: RoundInProgress, place: int) -> None:
        mean = history.mean_training_error(progress.training_errors, progress.validation_steps, place)
        self._curves.add(progress.validation_steps[place], progress.validation_errors[place], mean)


class ShowProgress(Observer):
    """Shows the round on the screen."""

    def __init__(self, experiment: Experiment, screen: Screen, trainer: Trainer) -> None:
        self._steps, self._screen, self._trainer = experiment.network.steps + 1, screen, trainer

    def begin(self, progress: RoundInProgress) -> None:
        self._screen.begin_round(progress, self._steps)

    def after_steps(self, progress: RoundInProgress) -> None:
        self._screen.update(progress, self._trainer.rate)

    def end(self, result: Round, seconds: float) -> None:
        self._screen.end_round(result, seconds)


class Save(Observer):
    """Saves the round in progress from time to time, and when a signal has come, which then ends the run."""

    def __init__(self, experiment: Experiment, directory: RunDirectory, trainer: Trainer, signals: Signals) -> None:
        self._every = experiment.io.checkpoint_seconds
        self._directory, self._trainer, self._signals = directory, trainer, signals

    def begin(self, progress: RoundInProgress) -> None:
        self._saved = time.monotonic()
        self._began = self._saved - progress.seconds

    def after_steps(self, progress: RoundInProgress) -> None:
        now = time.monotonic()
        if self._signals.received or now - self._saved >= self._every:
            self._directory.write_progress(progress, now - self._began, self._trainer.state())
            self._saved = time.monotonic()
        if self._signals.received:
            self._signals.interrupt(f" in round {progress.number} before step {progress.step}")
