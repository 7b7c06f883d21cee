"""Training steps of a network on a CPU that cost what its weights cost: values and structure for kernels.py."""

import concurrent.futures
import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from sifting.base.cores import threads
from sifting.layers import MaskedDense
from sifting.sparse import kernels

LARGEST_TILE = 64  # images
L1_ROWS = 128  # rows of a tile that stay in the first cache
WEIGHTS_A_BLOCK = 24  # of an output, at least on average: fewer do not pay for another block
WORK_A_WORKER = 2**19  # multiplications a step that pay for another worker
SHARES_A_WORKER = 4


def zeros(shape: Any, dtype: Any = np.float32) -> np.ndarray:
    """np.zeros that begins with a cache line."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.zeros(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    result: np.ndarray = room[start : start + size].view(dtype).reshape(shape)
    return result


def _copy(values: Any, shape: Any = None, dtype: Any = np.float32) -> np.ndarray:
    """Aligned, and padded with zeros to the shape."""
    values = np.asarray(values)
    result = zeros(shape or values.shape, dtype)
    result[tuple(map(slice, values.shape))] = values
    return result


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _shares(costs: np.ndarray, shares: int, multiple: int = 1) -> np.ndarray:
    """Where each share of len(costs) pieces of work begins, and the last one ends."""
    total = np.concatenate([[0], np.cumsum(costs, dtype=np.float64)])
    cuts = np.searchsorted(total, np.linspace(0, total[-1], shares + 1))
    cuts = (cuts + multiple // 2) // multiple * multiple
    cuts[0], cuts[-1] = 0, len(costs)
    return _copy(np.minimum(cuts, len(costs)), dtype=np.int64)


def _in_blocks(
    rows: np.ndarray, columns: np.ndarray, count: int, width: int
) -> tuple[np.ndarray, np.ndarray, int, int]:
    """The order of weights by (block of columns, row, column), where each (block, row) starts, how many blocks, and
    how many columns make one.

    A block is so wide that its rows of a tile stay in the first cache, or wider where rows have few weights.
    """
    size = max(L1_ROWS, WEIGHTS_A_BLOCK * count * width // max(1, len(rows)))
    order = np.lexsort((columns, rows, columns // size))
    blocks = max(1, -(-width // size))
    starts = np.cumsum(np.bincount(columns // size * count + rows, minlength=blocks * count))
    return order, _copy(np.concatenate([[0], starts]), dtype=np.int32), blocks, size


class _Layer:
    """One layer as kernels.LAYER has it.

    Attributes:
        record: the numbers and arrays of kernels.LAYER by name.
    """

    def __init__(
        self, layer: MaskedDense, slots: Sequence[Sequence[keras.Variable]], sparse: bool, trained: bool, shares: int
    ) -> None:
        self.layer = layer
        mask = layer.mask_W.numpy()
        inputs, outputs = mask.shape
        # Which numbers of W, flat, are which ones of the kernels' W; pruned ones are nowhere.
        self._kept = np.flatnonzero(mask)
        at_input, at_output = np.divmod(self._kept, outputs)
        record: dict[str, Any] = {
            "inputs": inputs,
            "outputs": outputs,
            "output_rows": _up(outputs, kernels.GROUP),
            "sparse": sparse,
            "trained": trained,
            "masked": len(self._kept) < mask.size,
        }
        live = np.unique(at_input) if sparse else np.arange(inputs)
        record["live"] = _copy(live, dtype=np.int32)
        record["live_before"] = _copy(np.searchsorted(live, np.arange(inputs + 1)), dtype=np.int32)
        record["live_inputs"] = len(live)
        if sparse:
            at_live = np.searchsorted(live, at_input)
            order, record["starts"], record["input_blocks"], record["input_block"] = _in_blocks(
                at_output, at_live, outputs, len(live)
            )
            self._kept, at_live, at_output = self._kept[order], at_live[order], at_output[order]
            turned, record["turned_starts"], record["output_blocks"], _ = _in_blocks(
                at_live, at_output, len(live), outputs
            )
            record["inputs_of"], record["turned"] = _copy(at_live, dtype=np.int32), _copy(turned, dtype=np.int32)
            record["outputs_of"] = _copy(at_output[turned], dtype=np.int32)
            record["rows"], record["weights"] = len(live), len(self._kept)
            self._place: Any = slice(None)
            record.update({name: zeros(len(self._kept)) for name in ("products", "turned_W", "dW")})
            record["output_shares"] = _shares(16 + np.bincount(at_output, minlength=outputs), shares)
            record["live_shares"] = _shares(32 + np.bincount(at_live, minlength=len(live)), shares)
        else:
            record["rows"] = _up(inputs, 16)
            record["weights"] = record["rows"] * record["output_rows"]
            group, number = np.divmod(at_output, kernels.GROUP)
            self._place = (group * record["rows"] + at_input) * kernels.GROUP + number
            record["output_shares"] = _shares(np.ones(record["output_rows"]), shares, kernels.GROUP)
            record["live_shares"] = _shares(np.ones(inputs), shares, 16)
            if record["masked"]:
                record["mask_W"] = zeros(record["weights"])
                record["mask_W"][self._place] = 1
        record["input_shares"] = _shares(np.ones(inputs), shares, 16)
        self._values = {"W": layer.W, "b": layer.b, "gamma": layer.gamma, "beta": layer.beta}
        for name, value in self._values.items():
            record[name] = self._packed(name, value, record)
        record["mask_b"] = _copy(layer.mask_b.numpy(), record["output_rows"])
        record["running_mean"] = _copy(layer.running_mean.numpy())
        record["running_variance"] = _copy(layer.running_variance.numpy())
        self._slots = dict(zip(self._values, slots, strict=False))
        for name, variables in self._slots.items():
            record[f"{name}_slots"] = _copy(np.stack([self._packed(name, each, record) for each in variables]))
        record.update({name: zeros(inputs) for name in ("mean", "deviation", "shift")})
        record.update({name: zeros(record["output_rows"]) for name in ("bias", "db")})
        record.update({name: zeros(len(live)) for name in ("dgamma", "dbeta")})
        self.record = record

    def _packed(self, name: str, variable: keras.Variable, record: dict[str, Any]) -> np.ndarray:
        """The values of a variable like W, b, gamma or beta as the kernels have them."""
        values = variable.numpy()
        if name != "W":
            return _copy(values)
        packed = zeros(record["weights"])
        packed[self._place] = values.ravel()[self._kept]
        return packed

    def room(self, tiles: int, T: int) -> dict[str, np.ndarray]:
        """Arrays for the activations of a batch and their gradients, by name."""
        rows, output_rows = self.record["rows"], self.record["output_rows"]
        room = {name: zeros((tiles, size, T)) for name, size in (("z", rows), ("y", output_rows), ("dy", output_rows))}
        if not self.record["sparse"]:
            room["scaled"] = zeros((tiles, rows, T))
            room["scaled_rows"], room["dy_rows"] = zeros((tiles * T, rows)), zeros((tiles * T, output_rows))
        return room

    def moments(self) -> dict[str, np.ndarray]:
        """Running moments that are not those of the layer."""
        return {name: zeros(self.record["inputs"]) for name in ("running_mean", "running_variance")}

    def write_back(self, started: bool) -> None:
        """Give the values to the layer and its optimizer."""
        for name, variable in self._values.items():
            self._write(name, variable, self.record[name])
            for slot, values in zip(self._slots.get(name, ()), self.record.get(f"{name}_slots", ()), strict=True):
                self._write(name, slot, values)
        self.layer.running_mean.assign(self.record["running_mean"])
        self.layer.running_variance.assign(self.record["running_variance"])
        self.layer.started.assign(float(started))

    def _write(self, name: str, variable: keras.Variable, packed: np.ndarray) -> None:
        if name == "W":
            values = variable.numpy()
            values.ravel()[self._kept] = packed[self._place]
            packed = values
        variable.assign(packed)


def workers_for(work: int) -> int:
    """How many threads share a step of so many multiplications."""
    return max(1, min(threads(), work // WORK_A_WORKER))


@functools.cache
def _threads(workers: int) -> concurrent.futures.ThreadPoolExecutor:
    """For all workers but the one that calls."""
    return concurrent.futures.ThreadPoolExecutor(max(1, workers - 1))


class _Batches:
    """What kernels.run takes to work on batches of one size.

    Args:
        layers: whose values and structure they use.
        network: what kernels.NETWORK has of any batch.
        batch: images in one; T: in a tile.
        workers: who work on it.
        own: of each layer, arrays that take the place of its own.
    """

    def __init__(
        self,
        layers: Sequence[_Layer],
        network: dict[str, Any],
        batch: int,
        T: int,
        workers: int,
        own: Sequence[dict[str, np.ndarray]],
    ) -> None:
        self.batch, tiles, items = batch, -(-batch // T), -(-batch // 16)
        values = [layer.record | layer.room(tiles, T) | mine for layer, mine in zip(layers, own, strict=True)]
        pixels: dict[str, Any] = {}
        if not values[0]["sparse"]:
            pixels["output_rows"] = _up(network["pixels"], kernels.GROUP)
            pixels |= {name: zeros((tiles, pixels["output_rows"], T)) for name in ("y", "dy")}
        sizes = {"x": (workers, tiles * T, kernels.COLUMNS), "block": (workers, 16, 16), "item_losses": items}
        room = {name: zeros(size) for name, size in sizes.items()} | {"item_correct": zeros(items, np.int64)}
        self._keep = values, pixels, network, room  # records have no more than addresses
        self.layers = np.concatenate([_record(kernels.LAYER, each) for each in (*values, pixels)])
        self.network = _record(kernels.NETWORK, network | room | {"batch": batch, "tiles": tiles})


class SparseSteps:
    """Trains a network from where its model and optimizer are; `write_back` gives the values back to them.

    Args:
        layers: of the model, in their order.
        optimizer: keras SGD or Adam, built with the trainable variables of these layers.
        sparse: for each layer, whether it touches kept weights only.
        trained: for each layer, whether it is trained.
        batch: images a step.
        shape: (channels, S, S) of the images; mean: float32 [channels*S*S], the mean image.
        moment_images: uint8 [m, channels*S*S], those whose moments normalise validation; None: running moments do.
        moment_shifts: int32 [m, 2], how they are translated, see trainer.translate; None: not at all.
    """

    def __init__(
        self,
        layers: Sequence[MaskedDense],
        optimizer: keras.optimizers.Optimizer,
        sparse: Sequence[bool],
        trained: Sequence[bool],
        batch: int,
        shape: tuple[int, int, int],
        mean: NDArray[np.float32],
        moment_images: NDArray[np.uint8] | None = None,
        moment_shifts: NDArray[np.int32] | None = None,
    ) -> None:
        self._optimizer = optimizer
        T = min(LARGEST_TILE, _up(batch, 16))
        kept = sum(np.count_nonzero(layer.mask_W.numpy()) for layer in layers)
        # Each weight is multiplied three times; a pixel costs as much to read, to average and to normalise.
        self.workers = workers_for(3 * (int(kept) + len(mean)) * batch)
        self._shares = SHARES_A_WORKER * self.workers if self.workers > 1 else 1
        slots = [
            [variable for variable in optimizer.variables if kind in variable.path] for kind in ("momentum", "velocity")
        ]
        self._layers = []
        for n, layer in enumerate(layers):
            of_layer = list(zip(*(kind[4 * n : 4 * n + 4] for kind in slots), strict=True))
            self._layers.append(_Layer(layer, of_layer, sparse[n], trained[n], self._shares))
        self._started = bool(layers[0].started.numpy())
        self._updates = int(optimizer.iterations.numpy())
        adam = isinstance(optimizer, keras.optimizers.Adam)
        network: dict[str, Any] = {
            "pixels": len(mean),
            "size": shape[1],
            "exact": layers[0].centring == "exact",
            "adam": adam,
            "first_trained": list(trained).index(True) if any(trained) else len(trained),
            "pixel_mean": _copy(mean),
            "decay": layers[0].decay,
            "rest": 1.0 - layers[0].decay,
            "rate": float(optimizer.learning_rate.numpy()),
        }
        if adam:
            beta_1, beta_2 = optimizer.beta_1, optimizer.beta_2
            network |= {"beta_1": beta_1, "beta_2": beta_2, "adam_epsilon": optimizer.epsilon}
            # Rounded after the difference, as Keras has it: in float32, 1 - beta_2 would be wrong by 1e-5 of itself.
            network |= {"rest_1": 1 - beta_1, "rest_2": 1 - beta_2}
        self._batches = self._validation = _Batches(self._layers, network, batch, T, self.workers, [{}] * len(layers))
        self._moment_images, self._moment_shifts = moment_images, moment_shifts
        if moment_images is not None:  # one batch, which finds moments of its own, and leaves room to validate in
            moments = [layer.moments() for layer in self._layers]
            self._validation = _Batches(self._layers, network, len(moment_images), T, self.workers, moments)
        last, first_trained = len(layers) - 1, network["first_trained"]
        forward = [(kind, n) for n in range(len(layers)) for kind in (kernels.PREPARE, kernels.MULTIPLY)]
        self._moment_phases = np.array(forward[:-1])  # nobody asks for logits
        forward.append((kernels.LOSS, last))
        backward = [(kind, n) for n in range(last, first_trained - 1, -1) for kind in (kernels.GRADIENT, kernels.BACK)]
        self._phases = np.array([*forward, *backward, (kernels.CHANGE, last), (kernels.FINISH, last)])
        self._validation_phases = np.array([*forward, (kernels.FINISH, last)])
        self.ticks = zeros((self.workers, 16), np.int64)
        self._tile = (0,) * (T // 16)
        self._threads = _threads(self.workers)

    def _run(
        self,
        batches: _Batches,
        phases: np.ndarray,
        images: NDArray[np.uint8],
        labels: NDArray[np.int32],
        rows: NDArray[np.int32],
        shifts: NDArray[np.int32] | None,
        total: int,
        training: bool,
        started: bool = True,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """kernels.run in all workers. Correct answers and loss of each step."""
        steps = len(rows)
        if shifts is None:
            shifts = np.zeros((steps, 0, 2), np.int32)
        correct, losses = np.zeros(steps, np.int64), np.zeros(steps, np.float32)
        boards = zeros((steps, len(phases), kernels.BOARD), np.int64)
        images, labels = np.ascontiguousarray(images, np.uint8), np.ascontiguousarray(labels, np.int32)
        addresses = images.ctypes.data, labels.ctypes.data

        def work(worker: int) -> None:
            kernels.run(
                batches.layers, batches.network, phases, worker, self._shares, boards, addresses[0], addresses[1], rows,
                shifts, total, training, started, self._updates, correct, losses, self.ticks[worker], self._tile,
            )  # fmt: skip

        others = [self._threads.submit(work, worker) for worker in range(1, self.workers)]
        work(0)
        for other in others:
            other.result()
        return correct, losses

    def load(self) -> None:
        """Load the kernels now, or compile them where that was not done before on this machine: some 10 s."""
        images, labels = np.zeros(0, np.uint8), np.zeros(0, np.int32)
        rows = np.zeros((0, self._batches.batch), np.int32)
        self._run(self._batches, self._phases, images, labels, rows, None, 0, True)

    def train(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.int32],
        rows: NDArray[np.int32],
        shifts: NDArray[np.int32] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Train some steps.

        Args:
            images: [all, pixels]; labels: [all].
            rows: [steps, batch], those of each step.
            shifts: [steps, batch, 2], see trainer.translate; None: the images are not translated.

        Returns:
            correct answers and loss of each batch before its update, [steps].
        """
        results = self._run(self._batches, self._phases, images, labels, rows, shifts, rows.size, True, self._started)
        self._started, self._updates = True, self._updates + len(rows)
        return results

    def count_correct(self, images: NDArray[np.uint8], labels: NDArray[np.int32]) -> int:
        """Correct answers with the running moments, or those of the images given for that. Arguments as of train."""
        if self._moment_images is not None:
            rows = np.arange(len(self._moment_images), dtype=np.int32)[None]
            shifts = None if self._moment_shifts is None else self._moment_shifts[None]
            of_images = self._moment_images, np.zeros(rows.size, np.int32)
            self._run(self._validation, self._moment_phases, *of_images, rows, shifts, rows.size, True, started=False)
        total, batch = len(labels), self._validation.batch
        rows = np.minimum(np.arange(_up(total, batch), dtype=np.int32), total - 1).reshape(-1, batch)
        correct, _ = self._run(self._validation, self._validation_phases, images, labels, rows, None, total, False)
        return int(correct.sum())

    def write_back(self) -> None:
        """Give the values to the model and the optimizer."""
        for layer in self._layers:
            layer.write_back(self._started)
        self._optimizer.iterations.assign(self._updates)


def _record(kind: np.dtype, values: dict[str, Any]) -> np.ndarray:
    """A record of numbers and addresses of arrays."""
    record = np.zeros(1, kind)
    for name, value in values.items():
        record[name] = value.ctypes.data if isinstance(value, np.ndarray) else value
    return record
