"""sifting.prune: the methods of input files on a Keras model, trained by its own `fit`.

A method asks a session for rounds; here they are trained by Keras.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from numbers import Integral
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sifting.base import extensions
from sifting.base.random_streams import Stream, generator
from sifting.errors import InputError
from sifting.experiment.experiment import Experiment, Method
from sifting.experiment.keys import LARGEST_INTEGER
from sifting.inputs import as_assignments, read_experiment
from sifting.keras_models.masks import hold_masks, masked_network, masks_of
from sifting.keras_models.network import KerasLayer, KerasNetwork, find_layers, layer_specs, named_masks, values_of
from sifting.methods import METHODS
from sifting.methods.base import Iterative
from sifting.network.rounds import Checkpoint, Mask, Parameters, Round, density, layer_counts

END = LARGEST_INTEGER  # the step where a round ends, which Keras alone knows
SOURCE = "sifting.prune"
_OTHERS = ("LayerByLayer", "Cavity")  # methods that need the papers' layers
NO_ERRORS = np.full(1, np.nan, np.float32)


@dataclass
class Pruned:
    """What pruning has left, one entry a round in each list; the model itself is that of the last one.

    Attributes:
        rounds: their numbers; 0 is the dense one.
        history: "density", of all pruned layers together, counted; and every number of the last epoch, such as "loss"
            and "val_accuracy": curves over the rounds.
        masks: bool arrays by path of their variable, such as "dense/kernel".
        densities: by path, counted: weights kept / weights.
        epochs: what `fit` gave, the curves of a round over its epochs.
        rewind_weights: what every round after 0 starts from, as of model.get_weights().
    """

    rounds: list[int] = field(default_factory=list)
    history: dict[str, list[float]] = field(default_factory=dict)
    masks: list[dict[str, np.ndarray]] = field(default_factory=list)
    densities: list[dict[str, float]] = field(default_factory=list)
    epochs: list[dict[str, list[float]]] = field(default_factory=list)
    rewind_weights: list[np.ndarray] = field(default_factory=list)


class Values(dict[int, Parameters]):
    """Weights and biases by layer, which is what methods look at; `weights` are all values of the model."""

    weights: list[np.ndarray]


def current_values(model: keras.Model) -> Values:
    values = Values(values_of(find_layers(model)))
    values.weights = model.get_weights()
    return values


def prune(
    model: keras.Model,
    data: Any,
    validation_data: Any = None,
    method: str = "imp",
    prune_ratio: float = 0.5,
    rounds: int = 4,
    epochs: int = 1,
    batch_size: int | None = None,
    layers: Sequence[str] | None = None,
    weights_epoch: int = 0,
    seed: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: str | int = "auto",
    fit: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Pruned:
    """Prune a compiled Keras model in place: train, score, mask, rewind, round by round.

    Every round begins with the weights of the rewind point and the optimizer as it was before. In the end the model has
    the trained weights of the last round; what is masked is zero, and stays zero when it is trained on, or saved,
    loaded and trained on.

    Args:
        model: compiled; Dense, EinsumDense, convolution, depthwise and Embedding layers in it are pruned.
        data: (x, y) or (x, y, sample_weight), or a tf.data.Dataset or PyDataset.
        method: imp, oneshot, snip, synflow, grasp, random, or the name of one that you have registered.
        prune_ratio, rounds: each of so many rounds prunes this fraction of what is left; with sparsity=[...] in their
            place (not for imp) the levels themselves.
        epochs, batch_size, callbacks, verbose, validation_data: of each round's `fit`; `fit`: more of its arguments.
        layers: names of the layers that are pruned, or of models around them; None: all.
        weights_epoch: rewind to the begin of this epoch, 0, 1, ...; or weights_step=N, to N updates.
        seed: of random masks, and of the images that scores are computed on.
        settings: any other key of the method's section in an input file, such as scope="global".

    Raises:
        InputError: an argument that is not accepted.
    """
    if not isinstance(model, keras.Model) or not model.compiled or model.optimizer is None:
        raise InputError(f"{SOURCE}: model = {model!r}: accepted: a keras.Model after model.compile(...)")
    arrays = isinstance(data, tuple | list) and len(data) in (2, 3)
    if not arrays and not isinstance(data, tf.data.Dataset | keras.utils.PyDataset):
        accepted = "(x, y), a tf.data.Dataset or a keras.utils.PyDataset, which every round reads anew"
        raise InputError(f"{SOURCE}: data = {extensions.described(data)}: accepted: {accepted}")
    counts = {"rounds": (rounds, 1), "epochs": (epochs, 1), "weights_epoch": (weights_epoch, 0)}
    counts["batch_size"] = (32 if batch_size is None else batch_size, 1)
    for name, (value, least) in counts.items():
        if not (isinstance(value, Integral) and value >= least):
            raise InputError(f"{SOURCE}: {name} = {value!r}: accepted: a whole number >= {least}")
    if weights_epoch >= epochs:
        raise InputError(f"{SOURCE}: weights_epoch = {weights_epoch}: accepted: less than epochs = {epochs}")
    if not model.built:
        model(sample(data, 1)[0])
    specs = layer_specs(model, find_layers(model, layers))
    if weights_epoch:
        if settings.get("weights_step"):
            raise InputError(f"{SOURCE}: weights_epoch and weights_step: accepted: one of them")
        settings["weights_step"] = weights_epoch
    if "sparsity" not in settings:
        settings = {"prune_ratio": prune_ratio, "rounds": rounds, **settings}
    experiment = _experiment(method, specs, batch_size or 32, seed, settings)
    arguments = {
        "validation_data": validation_data,
        "epochs": epochs,
        "batch_size": batch_size,
        "verbose": verbose,
        "callbacks": callbacks or (),
        "shuffle": _is_arrays(data) or isinstance(data, keras.utils.PyDataset),  # others only make Keras warn
        **(fit or {}),
    }
    rewind = _Rewind(experiment.method.weights_step, by_epoch=weights_epoch > 0)
    session: Any = _Session(experiment, model, specs, data, arguments, rewind)
    experiment.method.run(session)
    result: Pruned = session.result
    asked: Any = experiment.method
    if _ended_unasked(asked, len(result.rounds)):
        warnings.warn(
            f"{SOURCE}: ended after {len(result.rounds)} of {asked.max_iterations} rounds, since a layer would have no "
            "weights left; accepted: scope='layerwise', layers=[...] without that layer, or fewer rounds",
            stacklevel=2,
        )
    return result


def _ended_unasked(method: Method, rounds: int) -> bool:
    return (
        isinstance(method, Iterative)
        and not (method.stop_ratio or method.stop_density)
        and rounds < method.max_iterations
    )


def _experiment(
    name: str, specs: Sequence[KerasLayer], batch_size: int, seed: int, settings: dict[str, Any]
) -> Experiment:
    """As if an input file had said it. The architecture says no more than how many layers there are."""
    extensions.load()
    methods = {known.lower(): known for known in METHODS if known not in _OTHERS}
    section = methods.get(str(name).lower())
    if section is None:
        raise InputError(f"{SOURCE}: method = {name!r}: accepted: {', '.join(methods)}{extensions.hint('a method')}")
    if issubclass(METHODS[section], Iterative) and "rounds" in settings:
        settings = {"max_iterations": settings["rounds"] + 1, **settings}
        del settings["rounds"]
    entries = {entry.name: entry for entry in fields(METHODS[section])}
    for name, value in settings.items():
        only_there = name in entries and (entries[name].metadata["run"] or name == "prune_step")
        if only_there and value is not None:
            raise InputError(f"{SOURCE}: {name} = {value!r}: accepted: only in input files")
    keys = {
        "Network.arch": ":".join(["f1"] * (len(specs) - 1) + ["x"]),
        "Network.steps": END,
        "Network.batch_size": max(2, batch_size),
        "Network.seed": seed,
        f"{section}.prune": [spec.prunable for spec in specs],
        **({f"{section}.weights_step": 0} if "weights_step" in entries else {}),
        **{f"{section}.{key}": value for key, value in settings.items()},
    }
    return read_experiment([], as_assignments(keys), SOURCE)


class _Session:
    """What methods may ask for, see experiment.experiment.Session; no round is stored."""

    def __init__(
        self,
        experiment: Experiment,
        model: keras.Model,
        specs: tuple[KerasLayer, ...],
        data: Any,
        fit: dict[str, Any],
        rewind: "_Rewind",
    ) -> None:
        self.experiment, self.specs, self.result = experiment, specs, Pruned()
        self._model, self._data, self._fit, self._rewind = model, data, fit, rewind
        self._start, self._masks = current_values(model), masks_of(find_layers(model))
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        self._optimizer = [(variable, variable.numpy()) for variable in model.optimizer.variables]

    def initial_parameters(self) -> dict[int, Parameters]:
        return self._start

    def initial_masks(self) -> dict[int, Mask]:
        return self._masks

    def network(self, parameters: dict[int, Parameters], masks: dict[int, Mask]) -> KerasNetwork:
        """`moments` of [SNIP] and [GraSP] say whether the model normalises as in training."""
        return replace(
            masked_network(self._model),
            specs=self.specs,
            parameters=parameters,
            masks=masks,
            example=lambda: sample(self._data, 1)[0],
            batch_size=self.experiment.network.batch_size,
            training=getattr(self.experiment.method, "moments", None) == "batch",
        )

    def sample(self, count: int) -> tuple[Any, Any]:
        """At most `count` rows: drawn from arrays, the first ones of a pipeline."""
        x, labels = sample(self._data, count, generator(self.experiment.network.seed, Stream.SCORING))
        return (x if isinstance(x, np.ndarray) else Rows(x)), (
            labels if isinstance(labels, np.ndarray) else Rows(labels)
        )

    def report(self, line: str) -> None:
        if self._fit["verbose"] != 0:
            print(line)

    def finished(self, number: int) -> bool:
        return False

    def train(self, number: int, masks: dict[int, Mask], sparsities: np.ndarray, start: dict[int, Parameters]) -> Round:
        result, named = self.result, named_masks(self._model, self.specs, masks)
        counts = {self.specs[count.layer].name: count for count in layer_counts(masks, self.specs)}
        u = density(masks, self.specs)
        self.report(f"round {number}: {100 * u:.4g} % of the weights are kept")
        assert isinstance(start, Values)
        self._model.set_weights(start.weights)
        for variable, value in self._optimizer:
            variable.assign(value)
        hold_masks(self._model, named)
        callbacks = [*self._fit["callbacks"], *([] if number else [self._rewind])]
        arrays = self._data if _is_arrays(self._data) else (self._data,)
        given = dict(zip(("x", "y", "sample_weight"), arrays, strict=False))
        epochs = self._model.fit(**{**given, **self._fit, "callbacks": callbacks}).history
        begin = start if number else self._rewind.found()
        result.rewind_weights = begin.weights
        result.rounds.append(number)
        result.masks.append(named)
        result.densities.append({name: count.density for name, count in counts.items() if count.prunable})
        result.epochs.append(epochs)
        for name, values in {"density": [u], **epochs}.items():
            result.history.setdefault(name, []).append(values[-1])
        checkpoints = Checkpoint(self._rewind.point, begin, {}), Checkpoint(END, current_values(self._model), {})
        return Round(number, self.specs, sparsities, masks, checkpoints, NO_ERRORS, (END,), NO_ERRORS)


class _Rewind(keras.callbacks.Callback):
    """Takes the values of the model at the rewind point: before an epoch, or after so many batches."""

    def __init__(self, point: int, by_epoch: bool) -> None:
        super().__init__()
        self.point, self._by_epoch = point, by_epoch
        self._batches: list[int] = []
        self._values: Values | None = None

    def _take(self, here: int) -> None:
        if here == self.point and self._values is None:
            self._values = current_values(self.model)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._batches.append(0)
        if self._by_epoch:
            self._take(epoch)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if not self._by_epoch:
            self._take(sum(self._batches))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._batches[-1] = batch + 1  # with steps_per_execution, several at once

    def found(self) -> Values:
        if self._values is None:
            accepted = f"less than the {sum(self._batches)} updates of a round, and one at which Keras calls back"
            raise InputError(f"{SOURCE}: weights_step = {self.point}: accepted: {accepted}")
        return self._values


class Rows:
    """Nested arrays, one row an example, of which rows can be taken as of one array."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(keras.tree.flatten(self.values)[0])

    def __getitem__(self, rows: Any) -> Any:
        return keras.tree.map_structure(lambda values: values[rows], self.values)


def _is_arrays(data: Any) -> bool:
    return isinstance(data, tuple | list)


def sample(data: Any, count: int, draw: np.random.Generator | None = None) -> Any:
    """(inputs, labels) of at most `count` rows: drawn without replacement from arrays, else the first ones."""

    def pair(values: Any) -> Any:
        return keras.tree.map_structure(np.asarray, keras.utils.unpack_x_y_sample_weight(values)[:2])

    if _is_arrays(data):
        found = Rows(pair(tuple(data)))
        if draw is None:
            return found[:count]
        return found[np.sort(draw.choice(len(found), min(count, len(found)), replace=False))]
    batches: list[Any] = []
    for batch in data if hasattr(data, "__iter__") else map(data.__getitem__, range(len(data))):
        batches.append(pair(batch))
        if sum(len(Rows(batch)) for batch in batches) >= count:
            break
    return keras.tree.map_structure(lambda *parts: np.concatenate(parts)[:count], *batches)
