"""Records: what follows from the stored rounds: log, findata, history, run.json and event files."""

from typing import Any

from sifting.architecture import LayerSpec
from sifting.experiment.experiment import Experiment
from sifting.network.observables import own_observables, own_values
from sifting.network.plates import Shape
from sifting.network.rounds import LayerCount, Round, RoundInProgress, layer_counts
from sifting.runs.directory import RunDirectory
from sifting.runs.following import Following
from sifting.runs.reference import log_lines
from sifting.training import tensorboard


class Records:
    """Those of one run.

    Args:
        directory: locked by this process; its stored rounds are read.
        shape: of the images.
    """

    def __init__(
        self, experiment: Experiment, directory: RunDirectory, specs: tuple[LayerSpec, ...], shape: Shape
    ) -> None:
        self._experiment, self._directory, self._shape = experiment, directory, shape
        self._following = Following(specs)
        self._layers: dict[int, tuple[LayerCount, ...]] = {}
        for number in directory.rounds():
            self._add(directory.read_round(number))

    def __contains__(self, number: int) -> bool:
        """Whether a round is stored."""
        return number in self._layers

    def store(self, result: Round, facts: dict[str, Any], own: dict[str, Any]) -> None:
        """A finished round, and what follows from it. What run.json says of it is written first, so that no process
        that is killed leaves a round without.

        Args:
            facts: of the process that trained it, for run.json.
            own: of the round, for run.json.
        """
        record = {**self._directory.read_record(), "finished": False, "image_shape": self._shape, **facts}
        record["rounds"] = {**record.get("rounds", {}), str(result.number): dict(own)}
        self._directory.write_round(result, record)
        self._add(result, new=True)
        self._publish(False)

    def begin(self, progress: RoundInProgress) -> None:
        """The log of all finished rounds, then that of the one in progress."""
        unfinished = log_lines(progress.validation_steps, progress.training_errors, progress.validation_errors)
        self._directory.write("out.dat", (self._following.log() + unfinished).encode())

    def finish(self) -> None:
        """Bring all in line with the stored rounds, also where a process was killed between them, and record that no
        round is missing."""
        progress = self._directory.read_progress()
        if progress and progress.number in self:
            self._directory.remove_progress()
        self._publish(True)

    def _add(self, result: Round, new: bool = False) -> None:
        """Keep what the records say of a stored round, and write its events for TensorBoard; those of an old one
        only if they are missing."""
        own = own_values(result, self._directory)
        self._following.add(result, own)
        self._layers[result.number] = layer_counts(result.masks, result.specs)
        if not self._experiment.io.tensorboard:
            return
        if new or not all(path.exists() for path in tensorboard.event_paths(self._directory, result.number)):
            first = max(self._experiment.network.first_round, min(self._layers))
            experiment = self._experiment if result.number == first else None
            tensorboard.write_round(self._directory, result, self._shape, own, experiment)
        tensorboard.remove_growing(self._directory, result.number)

    def _publish(self, finished: bool) -> None:
        """Log, findata, history and run.json of the stored rounds; `finished`: whether no round is missing."""
        for name, content in self._following.files(own_observables()).items():
            self._directory.write(name, content)
        record = {**self._directory.read_record(), "finished": finished}
        rounds = record.get("rounds", {})
        record["rounds"] = {
            str(number): {
                **rounds.get(str(number), {}),
                "layers": [
                    {"layer": c.layer + 1, "kept": c.kept, "total": c.total, "connected": c.connected, "nodes": c.nodes}
                    for c in layers
                ],
            }
            for number, layers in sorted(self._layers.items())
        }
        self._directory.write_record(record)
