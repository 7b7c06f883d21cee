"""MaskedDense and MaskedConv2D: forward and backward by hand, running moments, compiled arithmetic, Keras contract."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sifting.layers import EPSILON, MaskedConv2D, MaskedDense, affine, batch_moments, normalise


@pytest.fixture(autouse=True)
def seeded():
    """Layers draw their own initial weights here."""
    keras.utils.set_random_seed(1)


def weighted_sum(y, dtype):
    """A loss whose gradient with respect to y is neither constant nor zero."""
    return tf.reduce_sum(tf.sin(y) * tf.constant(np.arange(y.shape[0] * y.shape[1]).reshape(y.shape), dtype))


def dense(n_in, units, seed=0, **options):
    """A built layer with random values everywhere and about half of its weights masked."""
    layer = MaskedDense(units, **options)
    layer.build((None, n_in))
    rng = np.random.default_rng(seed)
    for variable in (layer.W, layer.b, layer.beta):
        variable.assign(rng.normal(size=variable.shape))
    layer.gamma.assign(rng.uniform(0.5, 2, n_in))
    layer.mask_W.assign(rng.integers(0, 2, (n_in, units)))
    layer.mask_b.assign(rng.integers(0, 2, units))
    return layer


def reference_forward(layer, x):
    """The block in float64 numpy, with the batch's moments."""
    x = np.asarray(x, np.float64)
    z = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-10)
    values = {name: getattr(layer, name).numpy().astype(np.float64) for name in ("W", "b", "gamma", "beta")}
    affine = (values["gamma"] * z + values["beta"]) @ (values["W"] * layer.mask_W.numpy())
    return affine + values["b"] * layer.mask_b.numpy()


# --- the gradient in closed form


def plain_formula(layer, x):
    """The layer as one would write it down, for TensorFlow to differentiate."""
    mean = tf.reduce_mean(x, axis=0)
    z = normalise(x, mean, tf.reduce_mean(tf.math.squared_difference(x, mean), axis=0))
    return affine(z, layer.gamma, layer.beta, layer.W * layer.mask_W, layer.b * layer.mask_b)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("data", [False, True])
def test_closed_form_gradient_is_that_of_the_plain_formula(data, held, compiled):
    x = tf.constant(np.random.default_rng(0).normal(3, 2, (9, 6)))
    found = []
    for closed in (False, True):
        layer = dense(6, 4, activation=None, dtype="float64")
        if closed:
            layer.input_is_data, layer.compiled, layer.holds_masked_W = data, compiled, held
            layer.W.assign(layer.W * layer.mask_W if held else layer.W)

        @tf.function(jit_compile=compiled and closed, autograph=False)
        def step(layer=layer, closed=closed):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x, training=True) if closed else plain_formula(layer, x)
                loss = weighted_sum(y, tf.float64)
            return y, *tape.gradient(loss, [*layer.trainable_variables, x])

        found.append(step())
    plain, ours = found
    assert (ours[-1] is None) == data
    for one, other in zip(plain[: -1 if data else None], ours, strict=False):
        np.testing.assert_allclose(other, one, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("held", [False, True])
def test_what_a_compiled_step_of_a_hidden_layer_computes(held):
    """Four sums over the batch, two of them in the backward pass; a product by mask_W in the gradient alone if W is
    held masked. Each is a kernel, or memory to be written, on a GPU."""
    layer = dense(48, 8, activation=None)
    layer.holds_masked_W = held
    x = tf.constant(np.random.default_rng(0).normal(size=(20, 48)).astype(np.float32))

    @tf.function(jit_compile=True, autograph=False)
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        return tape.gradient(y, [*layer.trainable_variables, x], output_gradients=tf.sin(y))

    lines = step.experimental_get_compiler_ir(x)(stage="hlo").splitlines()
    assert sum("f32[48]{0} reduce(" in line for line in lines) == 4
    assert sum("f32[48,8]{1,0} multiply(" in line for line in lines) == (1 if held else 2)


# --- forward


def test_forward_of_two_images_and_two_features_by_hand():
    layer = MaskedDense(2)
    layer.build((None, 2))
    layer.gamma.assign([2.0, 1.0])
    layer.beta.assign([0.5, -1.0])
    layer.W.assign([[1.0, 2.0], [3.0, 4.0]])
    layer.mask_W.assign([[1.0, 1.0], [0.0, 1.0]])
    layer.b.assign([10.0, 1.0])
    layer.mask_b.assign([0.0, 1.0])
    # Columns (0, 4) and (1, 3): means 2, 2, variances 4, 1, so z = (-1, -1), (1, 1);
    # gamma z + beta = (-1.5, -2), (2.5, 0); times [[1, 2], [0, 4]] = (-1.5, -11), (2.5, 5); plus (0, 1); ReLU.
    output = layer(tf.constant([[0.0, 1.0], [4.0, 3.0]]), training=True)
    np.testing.assert_allclose(output, [[0.0, 0.0], [2.5, 6.0]], rtol=1e-6)


def test_inputs_are_flattened_row_major():
    x = np.random.default_rng(0).normal(size=(5, 2, 3, 4)).astype(np.float32)
    np.testing.assert_array_equal(dense(24, 3)(x, training=True), dense(24, 3)(x.reshape(5, 24), training=True))


def test_epsilon_is_the_references():
    # A feature that is 0 or 2e-5: variance 1e-10 equals epsilon, so z is 1 / sqrt(2) instead of 1.
    assert EPSILON == 1e-10
    x = tf.constant([[0.0], [2e-5]])
    np.testing.assert_allclose(normalise(x, *batch_moments(x, 2.0, False)), [[-(0.5**0.5)], [0.5**0.5]], rtol=1e-5)


# --- running moments


def test_running_moments_by_hand():
    layer = MaskedDense(1, decay=0.75)
    layer.build((None, 2))

    def moments():
        return layer.running_mean.numpy().tolist(), layer.running_variance.numpy().tolist()

    assert moments() == ([0, 0], [1, 1])
    layer(tf.constant([[0.0, 1.0], [4.0, 3.0]]), training=True)
    assert moments() == ([2, 2], [4, 1])  # overwritten by the first batch
    layer(tf.constant([[6.0, 2.0], [6.0, 2.0]]), training=True)
    assert moments() == ([3, 2], [3, 0.75])  # 0.75 * (2, 2) + 0.25 * (6, 2); 0.75 * (4, 1)
    layer.reset_moments()
    assert moments() == ([0, 0], [1, 1])
    layer(tf.constant([[-1.0, 5.0], [1.0, 5.0]]), training=True)
    assert moments() == ([0, 5], [1, 0])


def test_weight_of_a_new_batch_is_rounded_as_the_references():
    """float32(1 - 0.9999), not 1 - float32(0.9999), which is 1.6e-4 too large."""
    layer = MaskedDense(1, decay=0.9999)
    layer.build((None, 1))
    for value in (0.0, 1.0):
        layer(tf.fill((4, 1), value), training=True)
    np.testing.assert_array_equal(layer.running_mean, np.float32([1e-4]))


def test_inference_normalises_with_running_moments_and_leaves_them_alone():
    layer = MaskedDense(1, activation=None)
    layer.build((None, 2))
    layer.W.assign([[1.0], [10.0]])
    x = tf.constant([[3.0, 4.0]])
    np.testing.assert_allclose(layer(x), [[43.0]], rtol=1e-6)  # (0, 1) before any training
    layer(tf.constant([[0.0, 1.0], [4.0, 3.0]]), training=True)
    before = [weight.numpy() for weight in layer.weights]
    np.testing.assert_allclose(layer(x, training=False), [[0.5 + 20.0]], rtol=1e-6)  # (3 - 2) / 2, (4 - 2) / 1
    for weight, value in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


# --- compiled arithmetic


@pytest.mark.parametrize(
    ("batch", "centring"),
    [(2, "reference"), (8, "reference"), (101, "reference"), (5, "exact"), (30, "exact")],
)
def test_compiled_layer_equals_plain_layer_to_rounding(batch, centring):
    """Forward, moments and gradients, also where the four partial sums are unequal."""
    rng = np.random.default_rng(batch)
    x = tf.constant(rng.normal(3, 2, (batch, 6)).astype(np.float32))
    results = []
    for compiled in (False, True):
        layer = dense(6, 3, activation=None, centring=centring)
        layer.compiled = compiled

        @tf.function(jit_compile=compiled, autograph=False)
        def step(layer=layer):
            with tf.GradientTape() as tape:
                output = layer(x, training=True)
                loss = weighted_sum(output, tf.float32)
            return output, *tape.gradient(loss, layer.trainable_variables)

        output, *gradients = step()
        results.append([output, layer.running_mean, layer.running_variance, *gradients])
        np.testing.assert_allclose(output, reference_forward(layer, x), rtol=1e-4, atol=1e-4)
    for plain, compiled in zip(*results, strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("batch", [3, 6, 50, 127])
def test_compiled_mean_is_added_in_the_references_order(batch):
    """On a CPU, to the last bit: four interleaved partial sums, then what is left.

    A constant feature turns that bit into signal.
    TensorFlow's kernel on x86-64 does the same, but for the last features where their number is no multiple of 16.
    """
    rng = np.random.default_rng(batch)
    x = (rng.integers(0, 256, (batch, 32)) / 255 - rng.random(32)).astype(np.float32)
    whole = batch // 4 * 4
    total = np.zeros(32, np.float32)
    for lane in range(4):
        partial = np.zeros(32, np.float32)
        for row in range(lane, whole, 4):
            partial += x[row]
        total += partial
    for row in range(whole, batch):
        total += x[row]

    @tf.function(jit_compile=True, autograph=False)
    def compiled(values, count):
        return batch_moments(values, count, True)

    with tf.device("/CPU:0"):
        mean, variance = compiled(tf.constant(x), tf.constant(float(batch)))
    np.testing.assert_array_equal(mean, total / np.float32(batch))
    for ours, plain in zip((mean, variance), batch_moments(tf.constant(x), 1.0, False), strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-5, atol=1e-7)


# --- constant features


def noisy_constant(batch, value=0.1):
    """Columns: constant (its float32 mean differs from it by rounding), and two that vary."""
    rng = np.random.default_rng(1)
    return np.column_stack([np.full(batch, value), rng.normal(size=(batch, 2))]).astype(np.float32)


@pytest.mark.parametrize("compiled", [False, True])
def test_exact_centring_makes_constant_features_exactly_zero(compiled):
    x = tf.constant(noisy_constant(100))
    found = {}
    for centring in ("reference", "exact"):
        layer = MaskedDense(1, activation=None, centring=centring)
        layer.build((None, 3))
        layer.W.assign([[1.0], [0.0], [0.0]])  # the output is the normalised constant feature
        layer.compiled = compiled
        step = tf.function(lambda layer=layer: layer(x, training=True), jit_compile=compiled, autograph=False)
        found[centring] = step().numpy(), layer.running_mean.numpy(), layer.running_variance.numpy()
    assert np.all(found["exact"][0] == 0)
    assert np.any(np.abs(found["reference"][0]) > 1e-4)  # the trap: rounding noise, multiplied by up to 1e5
    assert found["exact"][1][0] == np.float32(0.1)
    assert found["exact"][2][0] == 0
    np.testing.assert_allclose(found["exact"][1], found["reference"][1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["exact"][2], found["reference"][2], rtol=1e-5, atol=1e-9)


# --- convolutions


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_convolution_equals_a_loop_over_windows(stride):
    rng = np.random.default_rng(stride)
    layer = MaskedConv2D(4, 3, stride)
    layer.build((None, 8, 7, 2))
    layer.mask_W.assign(rng.integers(0, 2, layer.mask_W.shape))
    x = rng.normal(size=(2, 8, 7, 2)).astype(np.float32)
    kernel = layer.W.numpy() * layer.mask_W.numpy()
    rows, columns = (8 - 3) // stride + 1, (7 - 3) // stride + 1
    expected = np.empty((2, rows, columns, 4))
    for row in range(rows):
        for column in range(columns):
            window = x[:, row * stride : row * stride + 3, column * stride : column * stride + 3]
            expected[:, row, column] = np.tensordot(window, kernel, 3)
    output = layer(x)
    assert output.shape == layer.compute_output_shape(x.shape)
    np.testing.assert_allclose(output, np.maximum(expected, 0), rtol=1e-4, atol=1e-5)


# --- Keras contract


def small_model(**options):
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            MaskedConv2D(3, 2, 2),
            keras.layers.MaxPooling2D(2, 1),
            MaskedDense(5, decay=0.9, **options),
            MaskedDense(3, None, 0.9, **options),
        ]
    )
    rng = np.random.default_rng(0)
    for variable in model.variables:
        if "mask" in variable.name:
            variable.assign(rng.integers(0, 2, variable.shape))
    for _ in range(3):
        model(rng.normal(size=(20, 6, 6, 2)), training=True)
    return model


# Keras itself calls np.array(variable) while it saves.
saving = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")


@saving
@pytest.mark.parametrize("centring", ["reference", "exact"])
def test_a_saved_model_keeps_masks_and_moments_and_predicts_the_same_bits(centring, tmp_path):
    model = small_model(centring=centring)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert len(loaded.variables) == len(model.variables) == 20
    for ours, theirs in zip(loaded.variables, model.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    x = np.random.default_rng(1).normal(size=(20, 6, 6, 2)).astype(np.float32)
    np.testing.assert_array_equal(loaded(x), model(x))
    np.testing.assert_array_equal(loaded(x, training=True), model(x, training=True))  # masks, decay, centring too
    for ours, theirs in zip(loaded.variables, model.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_layer_is_made_again_from_its_config():
    values = {"units": 7, "activation": "tanh", "decay": 0.5, "centring": "exact"}
    kernels = {"filters": 3, "kernel_size": 5, "stride": 2}
    for layer, arguments in ((MaskedDense(*values.values(), name="a"), values), (MaskedConv2D(3, 5, 2), kernels)):
        config = layer.get_config()
        assert {key: config[key] for key in arguments} == arguments
        assert type(layer).from_config(config).get_config() == config


@pytest.mark.parametrize(
    ("layer", "arguments", "refused"),
    [
        (MaskedDense, {"units": 0}, "units = 0"),
        (MaskedDense, {"units": 2.0}, "units = 2.0"),
        (MaskedDense, {"units": "3"}, "units = '3'"),
        (MaskedDense, {"units": 3, "decay": 1.0}, "decay = 1.0"),
        (MaskedDense, {"units": 3, "decay": -0.1}, "decay = -0.1"),
        (MaskedDense, {"units": 3, "decay": float("nan")}, "decay = nan"),
        (MaskedDense, {"units": 3, "centring": "safe"}, "centring = 'safe'"),
        (MaskedConv2D, {"filters": 0, "kernel_size": 3}, "filters = 0"),
        (MaskedConv2D, {"filters": 2, "kernel_size": -1}, "kernel_size = -1"),
        (MaskedConv2D, {"filters": 2, "kernel_size": 3, "stride": 0}, "stride = 0"),
        (MaskedConv2D, {"filters": 2, "kernel_size": (3, 3)}, r"kernel_size = \(3, 3\)"),
    ],
)
def test_arguments_are_refused(layer, arguments, refused):
    with pytest.raises(ValueError, match=f"{refused}: accepted"):
        layer(**arguments)
