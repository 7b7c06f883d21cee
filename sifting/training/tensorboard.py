"""Event files for TensorBoard, made of the stored rounds: `tensorboard --logdir SAVE_DIR`.

    PREFIX_tensorboard/rounds/      over the number of the round: best and last validation error, mean training error of
                                    the last steps, density and connected nodes of every layer; the masks of the most
                                    connected nodes of the first layer as an image; the settings, as text and as
                                    hyper-parameters
    PREFIX_tensorboard/round_NNN/   over the steps of one round: validation error, and training error (the mean over
                                    the batches since the validation before)

Every round has one file in each folder, written when it is stored and replaced as a whole. So there is nothing to
append to when a run goes on, and no event twice. Until then round_NNN has a file to which every validation is appended,
and one more from each step at which training was continued: a TensorBoard that looks on reads on in the files that it
knows, and in new ones, but not in one that was replaced.
"""

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams.summary_v2 import hparams_pb

from sifting.base.files import refused_if_not_written, sync
from sifting.experiment.experiment import Experiment
from sifting.network.plates import Shape, image_plate, input_images
from sifting.network.rounds import Round, density, layer_counts
from sifting.runs.directory import RunDirectory, event_file_name
from sifting.runs.history import columns

PLATE_NODES, PLATE_COLUMNS = 50, 10
UNFINISHED = "unfinished"  # no name that TensorBoard reads
FILE_VERSION = "brain.Event:2"
_Summary: TypeAlias = tf.compat.v1.Summary
Value: TypeAlias = tf.compat.v1.Summary.Value
Step = tuple[int, list[Value]]


def event_paths(directory: RunDirectory, number: int) -> tuple[Path, Path]:
    """The files of one round: what it is over the rounds, and over its steps. In the order of the rounds by name."""
    folder, name = directory.tensorboard_folder, event_file_name(number)
    return folder / "rounds" / name, folder / f"round_{number:03d}" / name


def write_round(
    directory: RunDirectory,
    result: Round,
    shape: Shape,
    own: Mapping[str, float] | None = None,
    experiment: Experiment | None = None,
) -> None:
    """Write both files of a stored round, in place of what is there.

    Args:
        shape: of the images.
        own: the user's observables, see network.observables.
        experiment: with the first round of a run; its settings are shown.

    Raises:
        RunDirectoryError: they cannot be written.
    """
    stored = directory.round_path(result.number).stat().st_mtime
    of_round = _values_of_round(result, shape)
    of_round += [_scalar(f"observables/{name}", value) for name, value in (own or {}).items()]
    if experiment is not None:
        of_round += [_settings_as_text(experiment), _settings_as_hyper_parameters(experiment, stored)]
    over_rounds, over_steps = event_paths(directory, result.number)
    for path, steps in (over_rounds, [(result.number, of_round)]), (over_steps, _values_of_steps(result)):
        with _refused_if_not_written(path):
            _write(path, steps, stored)


def is_whole(path: Path) -> bool:
    """Whether every record of an event file agrees with its checksum."""
    try:
        for _ in tf.data.TFRecordDataset(str(path)):
            pass
    except tf.errors.OpError:
        return False
    return True


def remove_growing(directory: RunDirectory, number: int) -> None:
    """Remove the files that grew while a round was trained, and what a killed process left in their folder."""
    _, finished = event_paths(directory, number)
    for path in [*finished.parent.glob(event_file_name(number, "*")), finished.with_name(UNFINISHED)]:
        with _refused_if_not_written(path):
            path.unlink(missing_ok=True)


class GrowingCurves:
    """The curves over the steps of a round while it is trained.

    Args:
        step: at which training begins, or continues.

    Raises:
        RunDirectoryError: the file cannot be written.
    """

    def __init__(self, directory: RunDirectory, number: int, step: int) -> None:
        _, finished = event_paths(directory, number)
        self._path = finished.with_name(event_file_name(number, f"{step:09d}"))
        with _refused_if_not_written(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = tf.io.TFRecordWriter(str(self._path))
            self._append(tf.compat.v1.Event(wall_time=time.time(), file_version=FILE_VERSION))
            # TensorBoard forgets what it read of these steps before: they were trained, but not saved.
            log = tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
            self._append(tf.compat.v1.Event(wall_time=time.time(), step=step, session_log=log))

    def add(self, step: int, validation_error: np.floating, training_error: np.floating) -> None:
        """One validation; the training error is the mean over the batches since the one before."""
        values = _errors(validation_error, training_error)
        with _refused_if_not_written(self._path):
            self._append(tf.compat.v1.Event(wall_time=time.time(), step=step, summary=_Summary(value=values)))

    def _append(self, event: tf.compat.v1.Event) -> None:
        self._writer.write(event.SerializeToString())
        self._writer.flush()


def _refused_if_not_written(path: Path) -> contextlib.AbstractContextManager[None]:
    accepted = (
        "what was written before is whole; accepted: a writable folder with room, or [IO] tensorboard = false, then "
        "the same command again"
    )
    return refused_if_not_written(path, accepted, (OSError, tf.errors.OpError))


def _write(path: Path, steps: Iterable[Step], seconds: float) -> None:
    """An event file; `seconds`: the time that its events bear."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(UNFINISHED)
    with tf.io.TFRecordWriter(str(temporary)) as writer:
        writer.write(tf.compat.v1.Event(wall_time=seconds, file_version=FILE_VERSION).SerializeToString())
        for step, values in steps:
            summary = _Summary(value=values)
            writer.write(tf.compat.v1.Event(wall_time=seconds, step=step, summary=summary).SerializeToString())
    sync(temporary)
    os.replace(temporary, path)
    sync(path.parent)


def _scalar(tag: str, value: float | np.floating) -> Value:
    return Value(tag=tag, simple_value=value)


def _errors(validation: np.floating, training: np.floating) -> list[Value]:
    return [_scalar("validation_error", validation), _scalar("training_error", training)]


def _values_of_steps(result: Round) -> list[Step]:
    table = columns(result)
    rows = zip(*(table[name] for name in ("step", "validation_error", "mean_training_error")), strict=True)
    return [(int(step), _errors(validation, training)) for step, validation, training in rows]


def _values_of_round(result: Round, shape: Shape) -> list[Value]:
    values = [
        _scalar("validation_error/best", result.best_validation_error),
        _scalar("validation_error/last", result.validation_errors[-1]),
        _scalar("training_error/last", columns(result)["mean_training_error"][-1]),
        _scalar("density/pruned layers", density(result.masks, result.specs)),
    ]
    for count in layer_counts(result.masks, result.specs):
        values.append(_scalar(f"density/layer {count.layer + 1}", count.density))
        values.append(_scalar(f"connected nodes/layer {count.layer + 1}", count.connected))
    first = result.specs[0]
    if first.is_dense:
        values.append(_mask_image(result.masks[0].W, shape))
    return values


def _settings_as_text(experiment: Experiment) -> Value:
    text = tf.make_tensor_proto(f"```\n{experiment.to_text()}```")
    plugin = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="text")
    return Value(tag="settings", tensor=text, metadata=tf.compat.v1.SummaryMetadata(plugin_data=plugin))


def _settings_as_hyper_parameters(experiment: Experiment, seconds: float) -> Value:
    """All but those of [IO]: numbers and switches, by which TensorBoard sorts and filters runs, and texts."""
    parameters = {
        f"{section}.{key}": value if isinstance(value, bool | int | float) else text
        for section, keys in experiment.settings().items()
        if section != "IO"
        for key, (value, text) in keys.items()
    }
    summary = hparams_pb(parameters, start_time_secs=seconds)
    return _Summary.FromString(summary.SerializeToString()).value[0]


def _mask_image(mask: "np.ndarray", shape: Shape) -> Value:
    """The masks of the most connected nodes; a connected pixel shines in the colours of its channels."""
    nodes = np.argsort(-np.count_nonzero(mask, axis=0), kind="stable")[:PLATE_NODES]
    plate = image_plate(input_images((mask[:, nodes] != 0).astype(np.float32), shape), PLATE_COLUMNS)
    height, width, _ = plate.shape
    png = tf.io.encode_png(np.uint8(255 * plate)).numpy()
    image = _Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
    return Value(tag="masks of the most connected nodes/layer 1", image=image)
