"""The training loop: one compiled tf.function, many steps a call, images on the device.

A step is a function of (values of the network and optimizer, key of the round, step number) alone. So it does not
matter into how many calls a round is cut, and a run that was killed continues to the same bits.
"""

import concurrent.futures
import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from sifting.architecture import network_inputs
from sifting.base.compute import compute_device, on_gpu
from sifting.base.cores import threads
from sifting.base.resources import available_memory
from sifting.datasets.image_set import ImageSet
from sifting.errors import one_line
from sifting.experiment.sections import MOMENT_IMAGES
from sifting.layers import MaskedConv2D, MaskedDense

if TYPE_CHECKING:
    from sifting.sparse.step import SparseSteps

# (key, step) -> what is drawn for a step, see draw_uniformly.
Draw: TypeAlias = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

MOST_STEPS = 1000  # in one call
SECONDS_PER_CALL = 0.5
STREAMED_BYTES = 2**26  # of images in one call, where they are streamed
GATHERED = 64  # images at a time, which are in the cache for the second of their two copies
VALIDATION_BLOCK = 1000  # images at a time

# What XLA raises when it cannot compile, also for want of ptxas and the like; lack of memory and arithmetic errors are
# others.
_COMPILATION_ERRORS = (
    tf.errors.InvalidArgumentError,
    tf.errors.UnimplementedError,
    tf.errors.InternalError,
    tf.errors.NotFoundError,
    tf.errors.UnavailableError,
    tf.errors.FailedPreconditionError,
)


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Mean over the batch of -log(p + 1e-30), p = e[label] / sum(e + 1e-10) with e = exp(logits - max).

    The reference's loss. It saturates at 69, where it has no gradient; elsewhere it is the usual one to rounding.

    Args:
        logits: float32 [batch, classes]; labels: int [batch].
    """
    exponentials = tf.exp(logits - tf.reduce_max(logits, axis=1, keepdims=True))
    probabilities = exponentials / tf.reduce_sum(exponentials + 1e-10, axis=1, keepdims=True)
    # Exactly a gather, whose gradient would be a loop over the batch on a GPU that is to be deterministic.
    of_labels = tf.reduce_sum(tf.one_hot(labels, logits.shape[1]) * probabilities, axis=1)
    return -tf.reduce_mean(tf.math.log(of_labels + 1e-30))


def count_correct(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Number of images whose largest logit is their label's, int32, per image 0 or 1: [batch]."""
    return tf.cast(tf.argmax(logits, axis=1, output_type=labels.dtype) == labels, tf.int32)


@contextlib.contextmanager
def masked_weights(layers: Iterable[keras.Layer]) -> Iterator[None]:
    """In the body, W of dense layers is zero where masks are, so that no step multiplies by them; then as before."""
    dense = [layer for layer in layers if isinstance(layer, MaskedDense)]
    whole = [tf.identity(layer.W) for layer in dense]
    removed = [layer.mask_W == 0 for layer in dense]
    try:
        for layer, W, where in zip(dense, whole, removed, strict=True):
            layer.W.assign(tf.where(where, 0.0, W))  # stays 0.0, while W * mask_W may be -0.0
            layer.holds_masked_W = True
        yield
        for layer, W, where in zip(dense, whole, removed, strict=True):
            layer.W.assign(tf.where(where, W, layer.W))
    finally:
        for layer in dense:
            layer.holds_masked_W = False


def error_rate(correct: NDArray[np.integer] | np.integer, count: int) -> Any:
    """1 - accuracy in float32, rounded as the reference rounds it; shaped like `correct`."""
    return np.float32(1) - np.asarray(correct, np.float32) / np.float32(count)


def build_optimizer(minimizer: str, learning_rate: float) -> keras.optimizers.Optimizer:
    """SGD, or Adam with TensorFlow 1's defaults (0.9, 0.999, epsilon 1e-8)."""
    if minimizer == "SGD":
        return keras.optimizers.SGD(learning_rate)
    return keras.optimizers.Adam(learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8)


def draw_uniformly(count: int, *shape: int) -> Draw:
    """Whole numbers 0 ... count - 1, drawn uniformly, with replacement, anew in every step.

    Of `count` images and shape [batch_size] they are the reference's batches; of most + 1 shifts and [batch_size, 2],
    translations by 0 ... most pixels down and to the right, each image by its own.

    Returns:
        A function of (key, step), int64 scalars, that gives int32 of this shape; Philox, the same on every device.
    """

    def draw(key: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        seed = tf.stack([key, step])
        return tf.random.stateless_uniform(shape, seed, minval=0, maxval=count, dtype=tf.int32, alg="philox")

    return draw


def translate(inputs: tf.Tensor, shifts: tf.Tensor, shape: tuple[int, int, int]) -> tf.Tensor:
    """Shift images with periodic boundaries, all channels alike: numpy.roll(image, shift, axis=(1, 2)) of each.

    Args:
        inputs: [batch, channels*S*S].
        shifts: int32 [batch, 2], pixels down and to the right, 0 <= shift < S.
        shape: (channels, S, S).

    Returns:
        Shaped like the inputs, of the same type.
    """
    channels, size, _ = shape
    rows, columns = (tf.math.floormod(tf.range(size) - shifts[:, axis, None], size) for axis in (0, 1))
    pixels = tf.reshape(rows[:, :, None] * size + columns[:, None, :], (-1, size**2))
    planes = tf.reshape(inputs, (-1, channels, size**2))
    return tf.reshape(tf.gather(planes, pixels, axis=2, batch_dims=1), (-1, channels * size**2))


def drawn_outside(draw: Draw) -> Callable[[int, int, int], NDArray[np.int32]]:
    """(key, start, stop) -> what is drawn for the steps start <= step < stop, int32 [stop - start, ...]: for those who
    need it outside of the compiled loop. Without XLA, so that it does not matter here whether that works."""
    of_steps = tf.function(
        lambda key, steps: tf.map_fn(lambda step: draw(key, step), steps, fn_output_signature=tf.int32),
        input_signature=(tf.TensorSpec((), tf.int64), tf.TensorSpec((None,), tf.int64)),  # one trace for all
    )
    return lambda key, start, stop: of_steps(tf.constant(key, tf.int64), tf.range(start, stop, dtype=tf.int64)).numpy()


_Batches: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.int32]]
_Gathered: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.int32]]


class ImagesOnDevice(NamedTuple):
    """Images and labels where steps and validation gather them.

    On a GPU eight pixels are one int64, since TensorFlow has no kernel that gathers uint8 there.
    Labels are int64, since it keeps int32 in main memory.

    Attributes:
        pixels: uint8 [n, pixels], or int64 [n, ceil(pixels / 8)].
        labels: int64 [n].
    """

    pixels: tf.Tensor
    labels: tf.Tensor

    @classmethod
    def of(cls, images: NDArray[np.uint8], labels: NDArray[np.int32]) -> "ImagesOnDevice":
        """Raises tf.errors.ResourceExhaustedError or InternalError if they do not fit there."""
        with tf.device(compute_device()):
            pixels = tf.identity(in_eights(images) if on_gpu() else images)
            return cls(pixels, tf.identity(labels.astype(np.int64)))

    def batch(self, rows: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
        """uint8 [len(rows), size], and their labels."""
        pixels = tf.gather(self.pixels, rows)
        if pixels.dtype == tf.int64:
            pixels = tf.reshape(tf.bitcast(pixels, tf.uint8), (rows.shape[0], -1))[:, :size]
        return pixels, tf.gather(self.labels, rows)


def in_eights(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The same bytes as int64, each row filled up with zeros; the same memory, if nothing has to be filled up."""
    rest = -images.shape[1] % 8
    return np.ascontiguousarray(np.pad(images, ((0, 0), (0, rest))) if rest else images).view(np.int64)


class MomentImages(NamedTuple):
    """Training images whose moments normalise validation.

    Attributes:
        rows: int64 [m], which ones.
        shifts: int32 [m, 2], how they are translated, see `translate`; None: not at all.
    """

    rows: NDArray[np.int64]
    shifts: NDArray[np.int32] | None = None

    @classmethod
    def drawn(cls, rng: np.random.Generator, count: int, most_shift: int) -> "MomentImages":
        """Of `count` images; translated as in training by up to `most_shift` pixels."""
        rows = np.sort(rng.choice(count, min(MOMENT_IMAGES, count), replace=False))
        shifts = rng.integers(0, most_shift + 1, (len(rows), 2), dtype=np.int32) if most_shift else None
        return cls(rows, shifts)


class ResidentImages:
    """All training images on the device."""

    most_steps = MOST_STEPS

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.int32], rows: Draw) -> None:
        self.rows = rows
        self._drawn = drawn_outside(rows)
        self._images, self._labels = images, labels
        self._on_device = ImagesOnDevice.of(images, labels)

    def batches(self, key: int, start: int, stop: int) -> _Gathered:
        """Images, labels, and the rows of both that make the batches of the steps, [stop - start, batch_size]."""
        return self._images, self._labels, self._drawn(key, start, stop)

    def on_device(self, key: int, start: int, stop: int) -> ImagesOnDevice:
        """What the compiled loop gathers from in the steps start <= step < stop."""
        return self._on_device

    def batch_rows(self, key: tf.Tensor, step: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
        """Rows of `on_device` that make the batch of a step."""
        return self.rows(key, step)


class StreamedImages:
    """Training images on disk: each call gets its batches, gathered ahead of time by threads.

    The rows drawn are the same as with ResidentImages, and so are the results.
    """

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.int32], rows: Draw, batch_size: int) -> None:
        self.most_steps = max(1, min(MOST_STEPS, STREAMED_BYTES // (batch_size * images.shape[1])))
        self._images, self._labels, self._batch_size = images, labels, batch_size
        self._drawn = drawn_outside(rows)
        self._thread = concurrent.futures.ThreadPoolExecutor(1)
        self._gatherers = concurrent.futures.ThreadPoolExecutor(min(8, threads()))
        # Arguments and future of the steps that will probably be asked for next.
        self._ahead: tuple[tuple[int, int, int], concurrent.futures.Future[_Batches]] | None = None

    def _gather(self, key: int, start: int, count: int) -> _Batches:
        """The batches of `count` steps; the arrays have room for most_steps, so that nothing is compiled anew."""
        rows = self._drawn(key, start, start + count).ravel()
        order = np.argsort(rows)  # the disk is read in its own order
        images = np.zeros((self.most_steps * self._batch_size, self._images.shape[1]), np.uint8)

        def gather(places: NDArray[np.intp]) -> None:
            images[places] = self._images[rows[places]]

        list(self._gatherers.map(gather, (order[n : n + GATHERED] for n in range(0, len(order), GATHERED))))
        labels = np.zeros(len(images), np.int32)
        labels[: rows.size] = self._labels[rows]
        return images, labels

    def batches(self, key: int, start: int, stop: int) -> _Gathered:
        """As of ResidentImages."""
        count = stop - start
        expected = self._ahead is not None and self._ahead[0] == (key, start, count)
        images, labels = self._ahead[1].result() if self._ahead and expected else self._gather(key, start, count)
        self._ahead = (key, stop, count), self._thread.submit(self._gather, key, stop, count)
        return images, labels, np.arange(count * self._batch_size, dtype=np.int32).reshape(count, -1)

    def on_device(self, key: int, start: int, stop: int) -> ImagesOnDevice:
        images, labels, _ = self.batches(key, start, stop)
        return ImagesOnDevice.of(images, labels)

    def batch_rows(self, key: tf.Tensor, step: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
        return tf.cast(step - start, tf.int32) * self._batch_size + tf.range(self._batch_size)


class Trainer:
    """Trains one model on one image set; the same compiled functions serve every round.

    Args:
        model: from network.build_model.
        optimizer: a Keras optimizer, not yet built.
        image_set: images, labels, mean, and the validation images.
        batch_size: images a step.
        rows: which images make a batch, see draw_uniformly; another function replays recorded batches, by gathers: XLA
            would compile a slice at `step` anew for every call.
        shifts: how the images of a batch are translated in training, see draw_uniformly; None: not at all.
        preload: keep all images on the device if they fit there.
        jit_compile: compile with XLA; None: unless there are convolutions on a CPU, where XLA's are 20 times as slow.
            Where it fails, `report` says so and TensorFlow runs the graph itself.
        report: called with one line about anything that is not as asked for.
        moments_of: images whose moments normalise validation; None: the running moments do.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        image_set: ImageSet,
        batch_size: int,
        rows: Draw | None = None,
        preload: bool = True,
        jit_compile: bool | None = None,
        report: Callable[[str], None] = print,
        shifts: Draw | None = None,
        moments_of: MomentImages | None = None,
    ) -> None:
        self.model, self.optimizer, self.batch_size = model, optimizer, batch_size
        self.rate = 0.0  # steps per second, of the last call
        self._report = report
        self._shifts, self._shape = shifts, image_set.shape
        self._drawn_shifts = drawn_outside(shifts) if shifts else None
        self._image_set = image_set
        self._sparse: SparseSteps | None = None
        optimizer.build(model.trainable_variables)
        self._frozen: tuple[str, ...] = ()
        self._fresh_optimizer = [variable.numpy() for variable in optimizer.variables]
        rows = rows or draw_uniformly(len(image_set.images), batch_size)
        first = next(layer for layer in model.layers if layer.trainable_variables)
        if isinstance(first, MaskedDense):
            first.input_is_data = True
        self._images = self._place_images(image_set, rows, preload)
        with tf.device(compute_device()):
            self._mean = tf.identity(image_set.mean)
        self._validation = ImagesOnDevice.of(image_set.val_images, image_set.val_labels)
        self._moment_images: ImagesOnDevice | None = None
        self._moments_of: dict[str, Any] = {}
        if moments_of:
            images, labels = (values[moments_of.rows] for values in (image_set.images, image_set.labels))
            self._moment_images, self._moment_shifts = ImagesOnDevice.of(images, labels), moments_of.shifts
            self._moments_of = {"moment_images": images, "moment_shifts": moments_of.shifts}
        if jit_compile is None:
            jit_compile = on_gpu() or not any(isinstance(layer, MaskedConv2D) for layer in model.layers)
        self._set_compilation(jit_compile)

    def _place_images(self, image_set: ImageSet, rows: Draw, preload: bool) -> ResidentImages | StreamedImages:
        if preload and not on_gpu() and image_set.images.nbytes > 0.8 * available_memory():
            self._report(
                f"{image_set.images.nbytes / 1e9:.1f} GB of images do not fit into memory: streaming them from disk"
            )
            preload = False
        if preload:
            try:
                return ResidentImages(image_set.images, image_set.labels, rows)
            except (tf.errors.ResourceExhaustedError, tf.errors.InternalError) as error:
                size, reason = f"{image_set.images.nbytes / 1e9:.1f} GB", one_line(error)[:200]
                self._report(f"{size} of images do not fit on the device ({reason}): streaming them from disk")
        return StreamedImages(image_set.images, image_set.labels, rows, self.batch_size)

    def begin_round(self, frozen: Collection[str] = (), sparse: Collection[str] = ()) -> None:
        """From now on train from the values that model and optimizer have.

        Args:
            frozen: names of layers whose W, b, gamma and beta stay as they are; the loop is traced for each choice.
            sparse: names of layers that train by their kept weights alone. If there are any, all layers train outside
                of TensorFlow, see sparse.step; on a CPU only, and without convolutions.
        """
        layers = [layer for layer in self.model.layers if layer.trainable_variables]
        if self._frozen != tuple(frozen):
            self._frozen = tuple(frozen)
            self._ran.discard("_train")
        self._sparse = None
        if sparse:
            from sifting.sparse.step import SparseSteps  # loads numba

            self._sparse = SparseSteps(
                layers,
                self.optimizer,
                [layer.name in sparse for layer in layers],
                [layer.name not in frozen for layer in layers],
                self.batch_size,
                self._shape,
                self._image_set.mean,
                **self._moments_of,
            )
            note = threading.Timer(2, self._report, ["compiling the code for sparse layers: some 10 s"])
            note.start()
            try:
                self._sparse.load()
            finally:
                note.cancel()

    def write_back(self) -> None:
        """Let model and optimizer have the values that training has reached. Between begin_round and this they may have
        older ones."""
        if self._sparse:
            self._sparse.write_back()

    def _set_compilation(self, jit_compile: bool) -> None:
        self.jit_compile = jit_compile
        self._ran: set[str] = set()  # compiled functions that have run: what they raise is no failure to compile
        for layer in self.model.layers:
            if isinstance(layer, MaskedDense):
                layer.compiled = jit_compile and not on_gpu()
        self._train = tf.function(self._training_steps, jit_compile=jit_compile, autograph=False)
        validate = self._count_by_exact_moments if self._moment_images else self._count_correct
        self._validate = tf.function(validate, jit_compile=jit_compile, autograph=False)

    # --- compiled

    def _inputs(self, pixels: tf.Tensor) -> tf.Tensor:
        """What the network sees of uint8 pixels.

        The maximum changes no value. It keeps XLA from contracting the product with the sums that follow into
        multiply-adds, whose unrounded products would be another rounding noise (see layers.normalise).
        """
        return tf.maximum(network_inputs(tf.cast(pixels, tf.float32), self._mean), tf.float32.min)

    def _training_steps(
        self,
        images: ImagesOnDevice,
        key: tf.Tensor,
        start: tf.Tensor,
        stop: tf.Tensor,
        shift_key: tf.Tensor,
        frozen: tuple[str, ...],
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Train the steps start <= step < stop; correct answers and loss of each batch, before its update."""
        layers = [layer for layer in self.model.layers if layer.name not in frozen]
        variables = [variable for layer in layers for variable in layer.trainable_variables]

        def draws(step: tf.Tensor) -> tuple[tf.Tensor, ...]:
            rows = self._images.batch_rows(key, step, start)
            return (rows, self._shifts(shift_key, step)) if self._shifts else (rows,)

        def one_step(
            step: tf.Tensor, drawn: tuple[tf.Tensor, ...], correct: tf.Tensor, losses: tf.Tensor
        ) -> tuple[tf.Tensor, tuple[tf.Tensor, ...], tf.Tensor, tf.Tensor]:
            pixels, labels = images.batch(drawn[0], len(self._mean))
            inputs = self._inputs(pixels)
            if self._shifts:
                inputs = translate(inputs, drawn[1], self._shape)
            with tf.GradientTape() as tape:
                logits = self.model(inputs, training=True)
                loss = cross_entropy(logits, labels)
            self.optimizer.apply(tape.gradient(loss, variables), variables)
            position = [[tf.cast(step - start, tf.int32)]]
            right = tf.reduce_sum(count_correct(logits, labels))
            return (
                step + 1,
                draws(tf.minimum(step + 1, stop - 1)),
                tf.tensor_scatter_nd_update(correct, position, [right]),
                tf.tensor_scatter_nd_update(losses, position, [loss]),
            )

        most = self._images.most_steps
        # What is drawn is handed on from step to step: where it is used XLA would draw it several times.
        with masked_weights(self.model.layers):
            *_, correct, losses = tf.while_loop(
                lambda step, *_: step < stop,
                one_step,
                (start, draws(start), tf.zeros(most, tf.int32), tf.zeros(most)),
                parallel_iterations=1,
            )
        return correct, losses

    def _count_by_exact_moments(self, images: ImagesOnDevice, moments_of: ImagesOnDevice) -> tf.Tensor:
        """As _count_correct, but what normalises are moments as training would find them if `moments_of` were a batch.

        So they are found: the running moments begin anew, and afterwards they are what they were.
        """
        layers = [layer for layer in self.model.layers if isinstance(layer, MaskedDense)]
        running = [value for of in layers for value in (of.running_mean, of.running_variance, of.started)]
        before = [tf.identity(variable) for variable in running]
        for layer in layers:
            layer.reset_moments()
        pixels, _ = moments_of.batch(tf.range(moments_of.labels.shape[0]), len(self._mean))
        inputs = self._inputs(pixels)
        if self._moment_shifts is not None:
            inputs = translate(inputs, self._moment_shifts, self._shape)
        self.model(inputs, training=True)
        correct = self._count_correct(images)
        self._assign(running, before)
        return correct

    def _count_correct(self, images: ImagesOnDevice) -> tf.Tensor:
        """Correct answers on all given images, in blocks; the last block overlaps its predecessor, counted once."""
        count = images.labels.shape[0]
        block = min(count, VALIDATION_BLOCK)

        def one_block(position: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            first = tf.minimum(position, count - block)
            rows = first + tf.range(block)
            pixels, labels = images.batch(rows, len(self._mean))
            correct = count_correct(self.model(self._inputs(pixels), training=False), labels)
            return position + block, total + tf.reduce_sum(tf.where(rows >= position, correct, 0))

        _, total = tf.while_loop(lambda position, _: position < count, one_block, (0, 0), parallel_iterations=1)
        return total

    def _compiled(self, function: str, *arguments: ImagesOnDevice | tf.Tensor | tuple[str, ...]) -> Any:
        """Call a compiled function; announce and drop XLA if it cannot compile it."""
        if self.jit_compile and function not in self._ran:
            try:
                result = getattr(self, function)(*arguments)
                self._ran.add(function)
                return result
            except _COMPILATION_ERRORS as error:
                reason = (error.message or type(error).__name__).splitlines()[0]
                self._report(f"XLA cannot compile the training loop ({reason}): going on without it, more slowly")
                self._set_compilation(False)
        return getattr(self, function)(*arguments)

    # --- called by the round

    @property
    def most_steps(self) -> int:
        """The largest stop - start of one call of train."""
        return self._images.most_steps

    @property
    def steps_at_once(self) -> int:
        """What one call should train, by the rate of the last one: signals and progress wait for its end."""
        return max(1, min(self.most_steps, int(self.rate * SECONDS_PER_CALL)))

    def train(
        self, key: int, start: int, stop: int, shift_key: int = 0
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Train the steps start <= step < stop, at most `most_steps`.

        Args:
            key: int64, random_streams.device_key of the round's batches.
            shift_key: int64, that of its translations, if there are any.

        Returns:
            training errors and losses, float32 [stop - start], both of the batch before its update.
        """
        began = time.monotonic()
        if self._sparse:
            shifts = self._drawn_shifts(shift_key, start, stop) if self._drawn_shifts else None
            correct, losses = self._sparse.train(*self._images.batches(key, start, stop), shifts)
        else:
            scalars = (tf.constant(value, tf.int64) for value in (key, start, stop, shift_key))
            results = self._compiled("_train", self._images.on_device(key, start, stop), *scalars, self._frozen)
            correct, losses = (values.numpy()[: stop - start] for values in results)
        self.rate = (stop - start) / max(time.monotonic() - began, 1e-9)
        return error_rate(correct, self.batch_size), losses

    def validate(self) -> np.float32:
        """Error on the validation images, with the running moments or with those of the images given for that."""
        if self._sparse:
            correct = np.int64(self._sparse.count_correct(self._image_set.val_images, self._image_set.val_labels))
        else:
            images = (self._validation, self._moment_images) if self._moment_images else (self._validation,)
            correct = self._compiled("_validate", *images).numpy()
        return np.float32(error_rate(correct, len(self._image_set.val_labels)))

    def reset_optimizer(self) -> None:
        """Forget momenta and step count: they would revive pruned weights."""
        self._assign(self.optimizer.variables, self._fresh_optimizer)

    def state(self) -> dict[str, np.ndarray]:
        """Copies of all values that training changes."""
        self.write_back()
        return {f"variable_{index}": variable.numpy() for index, variable in enumerate(self._variables())}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """The inverse of state. Raises KeyError or ValueError if `state` belongs to another network."""
        self._assign(self._variables(), [state[f"variable_{index}"] for index in range(len(self._variables()))])

    def _variables(self) -> list[keras.Variable]:
        return [*self.model.variables, *self.optimizer.variables]

    @staticmethod
    def _assign(variables: Iterable[keras.Variable], values: Iterable[np.ndarray]) -> None:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
