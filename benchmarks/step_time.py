"""Milliseconds a training step, in one run: this project's loop, a plain tf.function loop, and the machine's peak.

    python benchmarks/step_time.py [--steps N] [--repeats N] [--tf32]

The plain loop is the same arithmetic (masked network, batch normalisation with the reference's formula, SGD, images
gathered on the device), written straight down, with TensorFlow's own gradients and without XLA. The three loops take
turns, and ratios are between neighbours, so that a machine whose speed drifts does not decide. The peak is that of a
product of two 2048 x 2048 float32 matrices; `share of peak` is the least number of multiplications of a step (the
first layer needs no gradient of its input) over what the peak would do in its time.
"""

import argparse
import time

import numpy as np

from sifting.base.quiet import native_messages_hidden

with native_messages_hidden():
    import tensorflow as tf

    from postprocess.device_check import least_operations, product_operations
    from sifting.architecture import build_specs, parse_arch
    from sifting.base.compute import compute_device, describe_device, tensor_float_32
    from sifting.datasets.image_set import ImageSet
    from sifting.layers import EPSILON
    from sifting.network.model import NetworkState, build_model, initial_parameters
    from sifting.training.trainer import Trainer, build_optimizer, cross_entropy, draw_uniformly

SHAPE, CLASSES, IMAGES = (3, 32, 32), 1000, 50_000
CONFIGURATIONS = (("f1024:f1024:f1024:x", 1000), ("f1024:f1024:x", 40))
LEARNING_RATE = 0.1
PEAK_SIZE = 2048  # of the matrices in whose product the peak is reached


def random_images(classes: int = CLASSES) -> ImageSet:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (IMAGES, np.prod(SHAPE)), dtype=np.uint8)
    labels = rng.integers(0, classes, IMAGES).astype(np.int32)
    mean = np.full(pixels.shape[1], 127.5, np.float32)
    return ImageSet(pixels, labels, pixels[:1000], labels[:1000], mean, SHAPE, classes, "random pixels")


def build_trainer(
    specs, image_set: ImageSet, batch_size: int, jit_compile: bool = True
) -> tuple[Trainer, NetworkState]:
    """A trainer and the values of its network, which are the initial ones."""
    model = build_model(specs, SHAPE)
    state = NetworkState(model, specs)
    state.set_parameters(initial_parameters(specs, seed=1))
    optimizer = build_optimizer("SGD", LEARNING_RATE)
    return Trainer(model, optimizer, image_set, batch_size, jit_compile=jit_compile), state


def our_loop(specs, image_set: ImageSet, batch_size: int, jit_compile: bool):
    """A function of (first step, number of steps) that trains them."""
    trainer, _ = build_trainer(specs, image_set, batch_size, jit_compile)
    return lambda first, count: trainer.train(1, first, first + count)


def plain_loop(specs, image_set: ImageSet, batch_size: int):
    """The same arithmetic as our_loop, as one would write it down."""
    with tf.device(compute_device()):
        images, labels = tf.identity(image_set.images), tf.identity(image_set.labels)
        mean_image = tf.identity(image_set.mean)
        layers = [[tf.Variable(value) for value in values] for values in initial_parameters(specs, seed=1).values()]
        masks = [(tf.Variable(tf.ones_like(W)), tf.Variable(tf.ones_like(b))) for W, b, _, _ in layers]
        running = [[tf.Variable(tf.zeros_like(gamma)), tf.Variable(tf.ones_like(gamma))] for _, _, gamma, _ in layers]
    variables = [variable for values in layers for variable in values]
    rows = draw_uniformly(len(image_set.images), batch_size)

    @tf.function(autograph=False)
    def train(images, labels, first, last):
        def one_step(step):
            chosen = rows(tf.constant(1, tf.int64), step)
            h = (tf.cast(tf.gather(images, chosen), tf.float32) - mean_image) * np.float32(1 / 255)
            with tf.GradientTape() as tape:
                for number, (W, b, gamma, beta) in enumerate(layers):
                    mean, variance = tf.nn.moments(h, axes=[0])
                    for average, value in zip(running[number], (mean, variance), strict=True):
                        average.assign(0.99 * average + 0.01 * value)
                    z = (h - mean) / tf.sqrt(variance + EPSILON)
                    h = tf.matmul(gamma * z + beta, W * masks[number][0]) + b * masks[number][1]
                    h = tf.nn.relu(h) if number < len(layers) - 1 else h
                loss = cross_entropy(h, tf.gather(labels, chosen))
            for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
                variable.assign_sub(LEARNING_RATE * gradient)
            return (step + 1,)

        return tf.while_loop(lambda step: step < last, one_step, (first,), parallel_iterations=1)[0]

    def loop(first, count):
        train(images, labels, tf.constant(first, tf.int64), tf.constant(first + count, tf.int64)).numpy()

    return loop


def measure(arch: str, batch_size: int, image_set: ImageSet, steps: int, repeats: int, tf32: bool) -> None:
    tokens = parse_arch(arch)
    specs = build_specs(tokens, (True,) * len(tokens), SHAPE, CLASSES)
    loops = {
        "sifting, XLA": our_loop(specs, image_set, batch_size, jit_compile=True),
        "sifting, no XLA": our_loop(specs, image_set, batch_size, jit_compile=False),
        "plain loop": plain_loop(specs, image_set, batch_size),
    }
    times = {name: [] for name in loops}
    peaks = []
    for repeat in range(repeats + 1):  # the first one compiles
        for name, loop in loops.items():
            began = time.perf_counter()
            loop(repeat * steps, steps)
            times[name].append(1000 * (time.perf_counter() - began) / steps)
        peaks.append(product_operations(PEAK_SIZE, tf32))
    widths = ":".join(str(size) for size in (specs[0].shape[0], *(spec.shape[1] for spec in specs)))
    print(f"\n{widths}, batch {batch_size}, {repeats} x {steps} steps; peak {np.median(peaks[1:]) / 1e9:.0f} GFLOP/s")
    print(f"{'':16} {'ms/step':>8} {'min':>8} {'max':>8} {'plain / this':>13} {'share of peak':>14}")
    plain = np.array(times["plain loop"][1:])
    for name, values in times.items():
        values = np.array(values[1:])
        share = np.median(least_operations(specs, batch_size) / (values / 1000) / np.array(peaks[1:]))
        print(
            f"{name:16} {np.median(values):8.2f} {values.min():8.2f} {values.max():8.2f} "
            f"{np.median(plain / values):13.2f} {share:13.0%}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--steps", type=int, default=10, help="steps of one measurement at batch 1000; 10 x at batch 40"
    )
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--tf32", action="store_true", help="allow TF32 on GPUs that have it")
    options = parser.parse_args()
    print(f"{describe_device()}; TensorFlow {tf.__version__}; TF32 {'allowed' if options.tf32 else 'off'}")
    image_set = random_images()
    with tensor_float_32(options.tf32):
        for arch, batch_size in CONFIGURATIONS:
            steps = options.steps * (10 if batch_size < 100 else 1)
            measure(arch, batch_size, image_set, steps, options.repeats, options.tf32)


if __name__ == "__main__":
    main()
