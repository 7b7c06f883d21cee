"""Experiments from Python, such as from a notebook: the names that `sifting` itself offers.

    import sifting

    experiment = sifting.load_experiment("inputs/quickstart.in", changes={"Network.seed": 3})
    run = sifting.run_experiment(experiment)  # as `python -m sifting.run`; the same call again continues
    for result in sifting.open_run("runs/quickstart"):
        print(result.number, result.best_validation_error, result.masks[0].W.mean())

Problems raise errors.SiftingError, whose message is the command's one line.
"""

import io
import operator
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np

from sifting import datasets
from sifting.base import html
from sifting.base.quiet import native_messages_hidden
from sifting.base.signals import Signals
from sifting.datasets.arrays import stored
from sifting.datasets.image_set import ImageSet
from sifting.errors import DataError, InputError, RunDirectoryError
from sifting.experiment.experiment import Experiment
from sifting.inputs import as_assignments, read_experiment
from sifting.network.rounds import Checkpoint, Round, layer_counts
from sifting.runs import history
from sifting.runs.directory import RunDirectory
from sifting.runs.find import find_runs
from sifting.training import launch, many
from sifting.training.plan import OTHER_DRAWS, directory_of, other_draws, plan, recorded_experiment

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

    from sifting.training.observers import Observer
    from sifting.training.screen import Screen


class Run:
    """The rounds of a run, read from its directory whenever they are asked for; one in memory at a time.

    `for result in run` gives every rounds.Round in order, `run[3]` round 3, `run[-1]` the last one, len(run) their
    number; `3 in run` says whether round 3 is there. A round holds all that was stored of it: masks, checkpoints
    (weights and moments), errors.

    Attributes:
        directory: the files, see run_directory.
    """

    def __init__(self, directory: RunDirectory, experiment: Experiment | None = None) -> None:
        self.directory = directory
        self._experiment = experiment

    def __repr__(self) -> str:
        return f"<run {self.directory}: {len(self)} rounds>"

    def _repr_html_(self) -> str:
        """In a notebook: a line a round, and the best round."""
        if not self.numbers:
            return f"<p>{escape(repr(self))}</p>"
        columns = history.read(self.directory)  # in an instant, where rounds can be of gigabytes
        if set(columns.get("round", ())) != set(self.numbers):  # such as of the TF1 code
            columns = self.history()
        places = {number: at for number in self.numbers if (at := np.flatnonzero(columns["round"] == number)).size}
        errors = {number: columns["validation_error"][at].min() for number, at in places.items()}
        shown = self[min(errors, key=lambda number: errors[number]) if errors else -1]
        u = columns["density"]
        prunable = [count for count in layer_counts(shown.masks, shown.specs) if count.prunable]
        connected = np.min([columns[f"connected_{one.layer + 1}"] / one.nodes for one in prunable], axis=0)
        rows = [
            (
                number,
                f"{100 * u[at[0]]:.2f} %",
                f"{errors[number]:.4f}",
                f"{100 * connected[at[0]]:.1f} %",
            )
            for number, at in places.items()
        ]
        head = "round", "u", "best validation error", "connected"
        return f"<p>{escape(str(self.directory))}</p>{html.table(head, rows)}{shown._repr_html_()}"

    def plot(self) -> "Figure":
        """Accuracy, locality and masks, as `python -m postprocess.summary` draws them: a matplotlib Figure."""
        from postprocess.figures import drawing
        from postprocess.summary import draw_summary, summarise

        with drawing.figure_style():
            return draw_summary(summarise([self.directory]), str(self.directory))

    @property
    def numbers(self) -> list[int]:
        """Of the stored rounds, in order; they need not begin with 0."""
        return self.directory.rounds()

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[Round]:
        return map(self.directory.read_round, self.numbers)

    def __contains__(self, number: object) -> bool:
        return number in self.numbers

    def __getitem__(self, number: SupportsIndex) -> Round:
        """Round `number`; -1, -2, ...: from the end.

        Raises:
            RunDirectoryError: there is none.
            DataError: it is damaged.
            TypeError: not a whole number.
        """
        try:
            number = operator.index(number)
        except TypeError:
            # A slice would be of places, while a number is the round's own; and it would hold many rounds in memory.
            raise TypeError(
                f"run[{number!r}]: accepted: the whole number of a round; of several: [run[n] for n in run.numbers[:2]]"
            ) from None
        numbers = self.numbers
        if -len(numbers) <= number < 0:
            number = numbers[number]
        if number not in numbers:
            accepted = f"one of {', '.join(map(str, numbers))}" if numbers else "a run with rounds"
            raise RunDirectoryError(f"{self.directory}: has no round {number}; accepted: {accepted}")
        return self.directory.read_round(number)

    @property
    def known(self) -> Experiment | None:
        """The experiment: that of the constructor, else the recorded one, else None, as for runs of the TF1 code."""
        return self._experiment or recorded_experiment(self.directory)

    @property
    def experiment(self) -> Experiment:
        """The experiment as it was run, seed included. Raises RunDirectoryError if none is known."""
        experiment = self.known
        if experiment is None:
            raise RunDirectoryError(
                f"{self.directory.path('input.in')}: is not there; accepted: a run with its input file"
            )
        return experiment

    @property
    def record(self) -> dict[str, Any]:
        """run.json: versions, device, seconds of each round; {} if there is none."""
        return self.directory.read_record()

    def history(self) -> history.Columns:
        """The columns of PREFIX_history.csv by name, [validations of all rounds] each."""
        return history.history(self, self.directory)

    def images(self, report: Callable[[str], None] = print) -> ImageSet:
        """The images that it was trained on. Raises DataError if they are not there any more."""
        return load_images(self.directory, self.experiment, report)

    def checkpoint(self, number: int = -1, step: int | None = None) -> tuple[Round, Checkpoint]:
        """Round `number`, and its checkpoint of that step; None: the last one. Raises DataError if there is none."""
        result = self[number]
        try:
            return result, result.checkpoint_at(step)
        except DataError as error:
            raise DataError(f"{self.directory}: {error}") from None

    def model(self, number: int = -1, step: int | None = None, pixels: bool = False) -> "keras.Model":
        """The network of one checkpoint as a Keras model from inputs (or pixels) to logits: what OUT.keras holds.

        Layer L = 1, 2, ... of the architecture is model.get_layer("layer_L"), a MaskedDense, MaskedConv2D or max-pool.
        It can be trained on: masks stay, running moments go on.

        Args:
            number: of the round.
            step: of the checkpoint; None: the last one stored.
            pixels: the model takes pixels, 0 to 255, and subtracts the mean itself.

        Raises:
            DataError: no such checkpoint; pixels: the images are not there.
            RunDirectoryError: no such round; or no input file, which pixels and convolutions need.
        """
        result, checkpoint = self.checkpoint(number, step)
        settings: dict[str, Any] = {}
        if experiment := self.known:
            network = experiment.network
            settings = {"decay": network.batch_norm_beta, "centring": network.centring}
        first = result.specs[0]  # a dense layer takes the inputs as they come
        shape = (first.shape[0], 1, 1) if first.is_dense else datasets.facts(self.experiment.data).shape
        mean = self.images(lambda line: print(line, file=sys.stderr)).mean if pixels else None
        with native_messages_hidden():
            import keras

            from sifting.layers import PixelInput
            from sifting.network.model import NetworkState, build_model
        model = build_model(result.specs, shape, **settings)
        state = NetworkState(model, result.specs)
        state.set_parameters(checkpoint.parameters)
        state.set_masks(result.masks)
        state.set_moments(checkpoint.moments, started=checkpoint.step > 0)
        if mean is None:
            return model
        model = keras.Sequential([keras.Input((len(mean),), dtype="float32"), PixelInput(name="pixels"), *model.layers])
        model.get_layer("pixels").mean.assign(mean)
        return model


def load_images(directory: RunDirectory, experiment: Experiment, report: Callable[[str], None]) -> ImageSet:
    """The images of an experiment that was run; reports where they are not quite those. Raises as datasets.load."""
    if other_draws(experiment, directory.read_record()):
        report(f"Warning: {directory}: {OTHER_DRAWS}; these are the new ones")
    return datasets.load(experiment, report)


def load_experiment(
    *paths: str | os.PathLike[str], changes: Mapping[str, object] | None = None, images: Any = None
) -> Experiment:
    """Read input files; later ones override earlier ones key by key, and `changes` all of them.

    Args:
        changes: "Section.key" to a value: text as in an input file, or a number, a boolean, a list of numbers or of
            booleans, a path; None: as an empty value there. They can be a whole experiment, without any file.
        images: in place of [Data] dataset and dataloc: (x, y) or ((x, y), (x_val, y_val)), arrays as in an .npz file
            (docs/data.md), or for a pair a tf.data.Dataset. They are kept as an .npz file in [IO] cache_dir, which
            runs, and all that looks at them later, go on to need.

    Raises:
        InputError: one line that names file, section, key, value and what is accepted.
        DataError: no such images, or they cannot be stored.
    """
    if not paths and not changes:
        raise InputError('no input file; accepted: load_experiment("inputs/quickstart.in")')
    changes = {**(changes or {}), **({} if images is None else {"Data.dataset": "npz"})}
    experiment = read_experiment([os.fspath(path) for path in paths], as_assignments(changes), "changes")
    if images is None:
        return experiment
    return experiment.replace("Data", dataloc=str(stored(images, experiment.cache_folder)))


def run_experiment(
    experiment: Experiment, overwrite: bool = False, quiet: bool = False, observers: "Sequence[Observer]" = ()
) -> Run:
    """Run an experiment into its save_dir, or continue it: what `python -m sifting.run` does.

    Args:
        overwrite: delete the rounds that are in the way, and start anew.
        quiet: show no progress.
        observers: of your own, called at their steps of the training, see observers.Observer.

    Raises:
        SiftingError: as the command refuses; TrainingDiverged and the like.
        Interrupted: an interrupt, such as Jupyter's; everything was saved, and the same call continues.
        TypeError: not an experiment.
    """
    if not isinstance(experiment, Experiment):
        raise TypeError(f"run_experiment({experiment!r}): accepted: what load_experiment gives")
    planned = plan(experiment, overwrite)
    with Signals().handled() as signals:
        return Run(launch.run(planned, signals, _unseen if quiet else None, observers))


def _unseen(rounds: int | None) -> "Screen":
    from sifting.training.screen import Screen

    return Screen(rounds, io.StringIO())


def run_experiments(
    experiments: Sequence[Experiment],
    executor: Any = None,
    jobs: int | str | None = many.AUTO,
    overwrite: bool = False,
    keep_going: bool = True,
) -> list[Run]:
    """Run several experiments, each into a save_dir of its own, or continue them: those that other processes work on
    are left to them and waited for, and those that start from another one come after it.

    Args:
        executor: who runs them, in processes: a concurrent.futures.ProcessPoolExecutor that spawns, that of a cluster
            (dask.distributed's Client.get_executor(), submitit's), or any other with such a `submit`.
        jobs: without it, processes at once on this machine, each with its share of the cores or a GPU, or "auto"; None:
            in this process, one after the other.
        keep_going: when one fails, go on with the others, and raise at the end.

    Raises:
        SiftingError: refused before the first one starts; RunsFailed: some failed, stderr says which and why.
        Interrupted: everything was saved, and the same call continues.
    """
    tasks = [many.Task(one, str(directory_of(one)), overwrite=overwrite) for one in experiments]
    how = many.How(None if jobs is None else many.jobs_of(str(jobs)), keep_going)
    many.told(many.work_off(tasks, how, workers=None if executor is None else many.Given(executor)), len(tasks))
    return [Run(task.plan.directory, task.experiment) for task in tasks]


def open_run(path: str | os.PathLike[str]) -> Run:
    """The run in a directory, ours or the TF1 code's.

    Args:
        path: save_dir; DIR/PREFIX where several runs share a folder; DIR/seed_N of a run over several seeds.

    Raises:
        RunDirectoryError: there is none, or several.
    """
    runs = find_runs([os.fspath(path)])
    if len(runs) > 1:
        raise RunDirectoryError(f"{path}: holds {len(runs)} runs; accepted: one of them, such as {runs[0]}")
    return Run(runs[0])
