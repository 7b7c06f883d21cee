"""sifting.prune on Keras models of all kinds: masks hold, last and travel with the model; scores, scopes and rewinding
are those of input files; and the papers' experiment written this way is the driver's."""

import subprocess
import sys
from dataclasses import dataclass, replace
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from random_networks import random_round
from tiny_runs import image_set, rounds_of, run

import sifting
from sifting.architecture import build_specs, parse_arch
from sifting.errors import InputError, ScoresNotFinite
from sifting.keras_models import KeepMasks, PruneAtEpochs, hold_masks
from sifting.keras_models.masks import masked_network
from sifting.keras_models.network import find_layers
from sifting.layers import MaskedDense
from sifting.methods import METHODS, Mask, Scored, ScoredRounds
from sifting.network.forward import ScoredNetwork
from sifting.network.model import NetworkState, build_model
from sifting.network.statistics import network_inputs
from sifting.pruning import gradients, scores
from sifting.training.session import Session
from sifting.training.trainer import build_optimizer, cross_entropy

layers = keras.layers
# Keras copies variables in a way of which numpy 2 warns.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
RNG = np.random.default_rng(0)


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    """Layers that no config lists, one of them a model."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = layers.Dense(8, "relu")
        self.rest = keras.Sequential([layers.Dropout(0.2), layers.Dense(4)])

    def call(self, x, training=False):
        return self.rest(self.first(x), training=training)


def attention():
    tokens = keras.Input((6,), dtype="int32")
    values = layers.Embedding(20, 8)(tokens)
    values = layers.MultiHeadAttention(2, 4)(values, values)
    values = layers.EinsumDense("abc,cd->abd", (6, 7), bias_axes="d")(layers.LayerNormalization()(values))
    return keras.Model(tokens, layers.Dense(4)(layers.GlobalAveragePooling1D()(values)))


def nested():
    base = keras.Sequential([keras.Input((6, 6, 2)), layers.Conv2D(3, 3, name="stem"), layers.BatchNormalization()])
    images = keras.Input((6, 6, 2))
    return keras.Model(images, layers.Dense(4, name="head")(layers.Flatten()(base(images))))


def plain(*between, shape=(10,)):
    return keras.Sequential([keras.Input(shape), *between, layers.Flatten(), layers.Dense(4)])


def dense(activation=None):
    return keras.Sequential([keras.Input((10,)), layers.Dense(9, "relu"), layers.Dense(4, activation)])


MODELS = {  # name: (model, optimizer, shape of an input)
    "dense, averaged": (dense, lambda: keras.optimizers.AdamW(0.01, use_ema=True), (10,)),
    "convolutions 1D, momentum": (
        lambda: plain(layers.Conv1D(4, 3), layers.DepthwiseConv1D(3), shape=(8, 2)),
        lambda: keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.01),
        (8, 2),
    ),
    "convolutions 2D, a constraint of its own": (
        lambda: plain(layers.Conv2D(3, 3, kernel_constraint="max_norm"), layers.DepthwiseConv2D(2), shape=(6, 6, 2)),
        lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=2),
        (6, 6, 2),
    ),
    "convolution 3D": (lambda: plain(layers.Conv3D(3, 2), shape=(3, 3, 3, 1)), keras.optimizers.Lion, (3, 3, 3, 1)),
    "subclassed": (Subclassed, lambda: keras.optimizers.Adam(0.01, global_clipnorm=1.0), (10,)),
    "nested": (nested, keras.optimizers.RMSprop, (6, 6, 2)),
    "attention": (attention, keras.optimizers.Adam, (6,)),
}


def compiled(model, optimizer="sgd", **options):
    model.compile(optimizer, LOSS, metrics=["accuracy"], **{"jit_compile": False, **options})
    return model


def examples(shape=(10,), n=60):
    values = RNG.integers(0, 20, (n, 6)) if shape == (6,) else RNG.normal(size=(n, *shape)).astype(np.float32)
    return values, RNG.integers(0, 4, n)


def assert_zero(model, masks):
    """What is masked, and not all else. Names may be others in a model that was loaded."""
    pruned = [variable.numpy() for variable in model.trainable_variables if variable.name not in ("gamma", "beta")]
    for values, (name, mask) in zip(pruned, masks.items(), strict=True):
        assert not values[~mask].any() and (name.endswith("bias") or values[mask].any()), name


# --- masks


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "nested" else pytest.mark.heavy) for name in MODELS]
)
def test_masks_hold_through_every_update_and_are_saved_and_loaded(name, tmp_path):
    make, optimizer, shape = MODELS[name]
    x, y = examples(shape)
    model = compiled(make(), optimizer())
    pipeline = tf.data.Dataset.from_tensor_slices((x, y)).batch(20)
    result = sifting.prune(model, pipeline, rounds=2, epochs=2, verbose=0, validation_data=(x, y))
    assert result.rounds == [0, 1, 2] and len(result.history["val_accuracy"]) == 3
    for u, bound in zip(result.history["density"], (1, 0.5, 0.25), strict=True):
        assert bound <= u <= bound + 0.07  # biases compete, and small layers are rounded
    assert_zero(model, result.masks[-1])

    model.save(tmp_path / "pruned.keras")
    loaded = keras.models.load_model(tmp_path / "pruned.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert isinstance(loaded.optimizer, optimizer if isinstance(optimizer, type) else type(optimizer()))
    for one in (loaded, model):
        before = [value.copy() for value in one.get_weights()]
        one.fit(x, y, epochs=2, verbose=0)
        assert_zero(one, result.masks[-1])
        assert any((old != new).any() for old, new in zip(before, one.get_weights(), strict=True))
    compiled(model, keras.optimizers.Adam(0.1)).fit(x, y, verbose=0)  # the constraints still stand
    assert_zero(model, result.masks[-1])


@pytest.mark.heavy
@pytest.mark.parametrize("options", [{"jit_compile": True}, {"run_eagerly": True}, {"steps_per_execution": 2}])
def test_masks_hold_however_keras_runs_a_step_and_in_mixed_precision(options):
    x, y = examples()
    policy = keras.dtype_policies.get("mixed_float16")
    model = keras.Sequential([keras.Input((10,)), layers.Dense(9, "relu", dtype=policy), layers.Dense(4, dtype=policy)])
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01))
    compiled(model, optimizer, **options)
    result = sifting.prune(model, (x, y), rounds=1, batch_size=10, verbose=0)
    assert model.optimizer is optimizer and int(optimizer.iterations) > 0
    assert_zero(model, result.masks[-1])


@pytest.mark.heavy
def test_the_papers_block_in_a_model_of_ones_own():
    """Its mask stays, compiled and beside layers of mixed precision; what it computes is float32. Pruned, its own W has
    zeros."""
    block = MaskedDense(9)
    model = keras.Sequential([keras.Input((10,)), layers.Dense(8, dtype="mixed_float16"), block, layers.Dense(4)])
    mask = RNG.random((8, 9)) < 0.5
    block.mask_W.assign(mask)
    data = examples()
    compiled(model, "adam", jit_compile=True).fit(*data, verbose=0)
    np.testing.assert_array_equal(block.mask_W, mask)
    assert block.W.dtype == block(np.ones((2, 8))).dtype == "float32" and not np.any(block.W.numpy() == 0)
    sifting.prune(model, data, rounds=1, verbose=0, scope="global")
    assert 0 < np.sum(block.W.numpy() == 0) < 72
    np.testing.assert_array_equal(block.mask_W, mask)


def test_a_gradient_that_is_masked_does_not_count_in_its_norm():
    """One step of clipped SGD on a network with a mask is that of the network whose weights are masked by a product."""
    x, y = examples()
    one = compiled(plain(), keras.optimizers.SGD(0.1, global_clipnorm=0.01))
    mask = RNG.random((10, 4)) < 0.3
    hold_masks(one, {"of the only layer": mask})
    W, b = (tf.Variable(variable) for variable in one.trainable_variables)
    with tf.GradientTape() as tape:
        loss = LOSS(y, x @ (W * mask.astype(np.float32)) + b)
    clipped, _ = tf.clip_by_global_norm(tape.gradient(loss, [W, b]), 0.01)
    one.train_on_batch(x, y)
    for variable, old, step in zip(one.trainable_variables, (W, b), clipped, strict=True):
        np.testing.assert_allclose(variable, old - 0.1 * step, atol=1e-7)


def test_a_pruned_model_is_pruned_further():
    data = examples()
    model = compiled(dense())
    first = sifting.prune(model, data, rounds=1, verbose=0)
    second = sifting.prune(model, data, rounds=1, verbose=0, scope="global")
    assert second.history["density"][0] == first.history["density"][1]
    for name, mask in second.masks[1].items():
        assert not (mask & ~first.masks[1][name]).any()
    assert_zero(model, second.masks[1])


# --- rounds


class Watch(keras.callbacks.Callback):
    """Weights when each round begins, and after each batch of the first; learning rate and count of the optimizer."""

    def __init__(self):
        super().__init__()
        self.begins, self.batches, self.optimizers = [], [], []

    def on_train_begin(self, logs=None):
        self.begins.append(self.model.get_weights())
        optimizer = self.model.optimizer
        self.optimizers.append((int(optimizer.iterations), round(float(optimizer.learning_rate), 6)))

    def on_train_batch_end(self, batch, logs=None):
        if len(self.begins) == 1:
            self.batches.append(self.model.get_weights())

    def on_epoch_end(self, epoch, logs=None):
        self.model.optimizer.learning_rate = 0.001


@pytest.mark.parametrize(("settings", "updates"), [({}, 0), ({"weights_step": 2}, 2), ({"weights_epoch": 1}, 3)])
def test_every_round_begins_at_the_rewind_point_with_a_new_optimizer(settings, updates):
    x, y = examples()
    watch, model = Watch(), compiled(nested(), keras.optimizers.Adam(0.01))
    x, y = examples((6, 6, 2))
    result = sifting.prune(
        model, (x, y), rounds=2, epochs=2, batch_size=20, callbacks=[watch], verbose=0, layers=["stem"], **settings
    )
    expected = watch.begins[0] if updates == 0 else watch.batches[updates - 1]
    assert [name.split("/")[-2:] for name in result.masks[0]] == [["stem", "kernel"], ["stem", "bias"]]
    for number in (1, 2):
        for variable, old, new in zip(model.weights, expected, watch.begins[number], strict=True):
            name = variable.path.removeprefix(f"{model.name}/")
            np.testing.assert_array_equal(new, old * result.masks[number].get(name, True))
    assert watch.optimizers == [(0, 0.01)] * 3
    for old, new in zip(expected, result.rewind_weights, strict=True):
        np.testing.assert_array_equal(old, new)


@dataclass(frozen=True)
class Largest(Scored):
    """Nothing but the size of initial weights."""

    def score(self, network, x, labels):
        assert x.shape == (30, 10) and labels.shape == (30,) and network.image_shape == (10,)
        return {layer: Mask(np.abs(network.parameters[layer].W)) for layer in network.prunable}


@dataclass(frozen=True)
class Moved(ScoredRounds):
    """Weights that training has made larger."""

    def score(self, network, x, labels, trained):
        sizes = [[np.abs(values.W) for values in of.parameters.values()] for of in (network, trained)]
        return {layer: Mask(sizes[1][layer] - sizes[0][layer]) for layer in network.prunable}


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("oneshot", {"scope": "global"}),
        ("moved", {"scope": "global", "weights_step": 1}),
        ("snip", {"images": 30}),
        ("grasp", {"images": 30, "temperature": 2.0, "moments": "initial"}),
        ("synflow", {"iterations": 3}),
        ("random", {"sparsity": [0.5, 0.75], "seed": 3}),
        ("Largest", {"images": 30, "dense": False}),
    ],
)
def test_methods_of_input_files(method, settings, monkeypatch):
    """Keras models that end in a softmax or in logits have the same scores."""
    monkeypatch.setitem(METHODS, "Largest", Largest)
    monkeypatch.setitem(METHODS, "Moved", Moved)
    data, found = examples(), []
    for activation, loss in ((None, LOSS), ("softmax", "sparse_categorical_crossentropy")):
        keras.utils.set_random_seed(1)
        model = dense(activation)
        model.compile("sgd", loss, jit_compile=False)
        before = model.get_weights()
        result = sifting.prune(model, data, method=method, rounds=2, verbose=0, batch_size=30, **settings)
        assert result.rounds == ([1, 2] if "dense" in settings else [0, 1, 2])
        np.testing.assert_allclose(result.history["density"][-2:], [0.5, 0.25], atol=0.01)
        assert "weights_step" in settings or (result.rewind_weights[0] == before[0]).all()
        assert_zero(model, result.masks[-1])
        found.append(list(result.masks[-1].values()))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def papers_model(session):
    model = build_model(session.specs, (3, 4, 4))
    NetworkState(model, session.specs).set_parameters(session.initial_parameters())
    model.layers[0].input_is_data = True
    return model


class FixedBatches(Session):
    """The same batches in every round."""

    ROWS = np.random.default_rng(5).integers(0, 60, (13, 8)).astype(np.int32)

    def __init__(self, *arguments):
        super().__init__(*arguments, rows=lambda key, step: tf.gather(tf.constant(self.ROWS), step))


def test_the_papers_experiment_written_with_keras_is_the_drivers(tmp_path):
    """Whole IMP, bit for bit: masks, and weights where they are kept. Masks multiply there, and hold zeros here."""
    directory, session = run(tmp_path / "run", kind=FixedBatches)
    images, rows = image_set(20), FixedBatches.ROWS[:12].ravel()  # checkpoints are taken before the last update
    model = papers_model(session)
    model.compile(
        build_optimizer("SGD", 0.1),
        lambda y, logits: cross_entropy(logits, tf.cast(tf.reshape(y, (-1,)), tf.int32)),
        jit_compile=False,
    )
    x = network_inputs(images.images, images.mean)
    result = sifting.prune(
        model,
        (x[rows], images.labels[rows]),
        prune_ratio=0.3,
        rounds=3,
        batch_size=8,
        layers=["layer_1", "layer_2"],
        weights_step=3,
        fit={"shuffle": False},
        verbose=0,
    )
    stored = rounds_of(directory)
    assert result.rounds == [found.number for found in stored]
    for found, masks in zip(stored, result.masks, strict=True):
        for layer in (0, 1):
            for name, mask in zip("Wb", found.masks[layer], strict=True):
                np.testing.assert_array_equal(masks[f"layer_{layer + 1}/{name}"], mask, f"round {found.number}")
    for layer in (0, 1, 2):
        expected = stored[-1].checkpoints[-1].parameters[layer].W * stored[-1].masks[layer].W
        np.testing.assert_allclose(model.get_layer(f"layer_{layer + 1}").W, expected, rtol=0, atol=1e-6)


def test_scores_of_the_papers_network_as_a_keras_model():
    """The same code on both; but Keras computes in float32."""
    stored = random_round("f7:f6:x", (3, 4, 4), 4)
    specs = build_specs(parse_arch("f7:f6:x"), (True, True, False), (3, 4, 4), 4)
    theirs = ScoredNetwork(specs, (3, 4, 4), stored.checkpoints[-1].parameters, stored.masks)
    model = build_model(specs, (3, 4, 4))
    NetworkState(model, specs).set_parameters(theirs.parameters)
    x, y = examples((48,))
    own = replace(masked_network(compiled(model), ["layer_1", "layer_2"]), masks=theirs.masks, batch_size=60)
    for moments in ("initial", "batch"):
        plain, trained = (replace(own, training=training, example=lambda: x[:1]) for training in (False, True))
        for score in (
            scores.magnitude,
            partial(scores.uniform, seed=1, number=1),
            partial(gradients.snip, x=x, labels=y, moments=moments),
            # What MaskedDense makes of a batch's variance can be differentiated once, not twice.
            partial(gradients.grasp, x=x, labels=y, batch_size=20, temperature=5.0, moments="initial"),
            gradients.synflow,
        ):
            given = score.keywords.get("moments") if isinstance(score, partial) else None
            expected, found = score(theirs), score(trained if given == "batch" else plain)
            assert list(found) == list(expected) == [0, 1]
            for layer in (0, 1):
                error = np.abs(found[layer].W - expected[layer].W).max() / np.abs(expected[layer].W).max()
                assert error < 1e-4, (score, moments, layer, error)


# --- callbacks, refusals


def test_callbacks_for_loops_of_ones_own():
    x, y = examples()
    model = compiled(dense(), keras.optimizers.Adam(0.1))
    pruning = PruneAtEpochs({1: 0.5, 2: 0.75})
    model.fit(x, y, epochs=3, callbacks=[pruning], verbose=0)
    kernels = [mask for mask in pruning.masks.values() if mask.ndim == 2]
    assert sum(mask.sum() for mask in kernels) == 126 - int(0.75 * 126)
    assert_zero(model, pruning.masks)

    zero = layers.Dense(4, kernel_initializer="zeros")
    model = compiled(keras.Sequential([keras.Input((10,)), zero]), keras.optimizers.Adam(0.1))
    model.fit(x, y, callbacks=[PruneAtEpochs({2: 0.5})], verbose=0)
    assert zero.kernel.numpy().any()  # not pruned yet
    for epoch in (0, "1"):
        with pytest.raises(InputError, match="schedule.*accepted: epochs, counted from 1"):
            PruneAtEpochs({epoch: 0.5})

    other, keep = compiled(dense()), KeepMasks(pruning.masks)  # the same architecture by other names
    keep.set_model(other)
    keep.on_train_begin()
    for variable in other.trainable_variables:
        variable.assign_add(tf.ones_like(variable))
    keep.on_train_batch_end(0)
    for layer, mask in zip(other.layers, kernels, strict=True):
        np.testing.assert_array_equal(layer.kernel.numpy() != 0, mask)


UNCOMPILED = keras.Sequential([keras.Input((10,)), layers.Dense(4)], name="mine")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"model": UNCOMPILED},
            "sifting.prune: model = <Sequential name=mine, built=True>: accepted: a keras.Model after",
        ),
        (
            {"data": iter([])},
            "sifting.prune: data = an object of class list_iterator: accepted: (x, y), a tf.data.Data",
        ),
        ({"data": np.zeros((3, 10))}, "sifting.prune: data = float64 [3, 10]: accepted: (x, y), a tf.data.Dataset or"),
        ({"batch_size": 0}, "sifting.prune: batch_size = 0: accepted: a whole number >= 1"),
        (
            {"method": "magnitude"},
            "sifting.prune: method = 'magnitude': accepted: imp, oneshot, snip, synflow, random, g",
        ),
        ({"prune_ratio": 1.5}, "sifting.prune: [IMP] prune_ratio = '1.5': accepted: a number > 0 and < 1"),
        ({"rounds": 0.5}, "sifting.prune: rounds = 0.5: accepted: a whole number >= 1"),
        ({"epochs": 0}, "sifting.prune: epochs = 0: accepted: a whole number >= 1"),
        (
            {"temperature": 3},
            "sifting.prune: [IMP] temperature = '3': unknown key; accepted: prune, prune_ratio, weight",
        ),
        ({"scope": "all"}, "sifting.prune: [IMP] scope = 'all': accepted: layerwise or global"),
        (
            {"layers": ["head", "dense_9"]},
            "layers = ['dense_9']: no such layers that can be pruned; accepted: first, head",
        ),
        ({"data": (np.zeros((3, 10)),)}, "sifting.prune: data = an object of class tuple: accepted: (x, y), a tf.data"),
        ({"prune_step": 1}, "sifting.prune: prune_step = 1: accepted: only in input files"),
        ({"weights_epoch": 1, "weights_step": 1, "epochs": 2}, "sifting.prune: weights_epoch and weights_step: acc"),
        ({"weights_epoch": 1}, "sifting.prune: weights_epoch = 1: accepted: less than epochs = 1"),
        ({"weights_step": 2}, "sifting.prune: weights_step = 2: accepted: less than the 2 updates of a round"),
        ({"method": "random", "like": "runs"}, "sifting.prune: like = 'runs': accepted: only in input files"),
    ],
)
def test_refusals(changes, line):
    model = compiled(plain(layers.Dense(5, name="first"), layers.Dense(5, name="head")))
    model.pop()
    arguments = {"model": compiled(model), "data": examples(), "batch_size": 30, "verbose": 0, **changes}
    with pytest.raises(InputError) as error:
        sifting.prune(**arguments)
    assert str(error.value).startswith(line)


def test_weights_of_examples_count():
    """Examples of weight 0 are not learnt from."""
    x, y = examples()
    trained = []
    for labels in (y, np.where(np.arange(len(y)) < 10, y, 0)):
        keras.utils.set_random_seed(1)
        model = compiled(dense())
        sifting.prune(model, (x, labels, np.arange(len(y)) < 10), rounds=np.int64(1), verbose=0)
        trained.append(model.get_weights())
    for one, other in zip(*trained, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_cannot_be_pruned():
    with pytest.raises(
        InputError, match=r"model = '\w+': no such layers .*accepted: a model with trainable layers Dense,"
    ):
        sifting.prune(compiled(keras.Sequential([keras.Input((10,)), layers.PReLU()])), examples())
    with pytest.raises(InputError, match="SynFlow of layer 'embedding.*': accepted: models without Embedding"):
        sifting.prune(compiled(attention()), examples((6,)), method="synflow", dense=False)
    with pytest.raises(InputError, match=r"masks\['a/b'\] of shape \(3,\): the model has shape \(10, 9\)"):
        hold_masks(compiled(dense()), {"a/b": np.ones(3)})
    with pytest.raises(ScoresNotFinite):
        sifting.prune(compiled(dense()), (np.full((20, 10), np.nan), np.zeros(20, int)), method="snip", dense=False)


def test_layers_are_named_by_themselves_or_by_a_model_around_them():
    """A functional base, as those of keras.applications, is not in the paths of its variables."""
    pixels = keras.Input((6, 6, 2))
    base = keras.Model(pixels, layers.Conv2D(3, 3, name="stem")(pixels), name="base_1.00")
    model = keras.Sequential([base, layers.Flatten(), layers.Dense(4, name="head")])
    for names, expected in ((["base_1.00"], ["stem"]), (["head"], ["head"]), (["head", "stem"], ["stem", "head"])):
        assert [one.layer.name for one in find_layers(model, names)] == expected
    with pytest.raises(InputError, match=r"layers = \['body', 'flatten.*'\]: no such .*accepted: stem, head"):
        find_layers(model, ["body", "head", model.layers[1].name])


def test_an_end_before_the_last_round_is_said():
    """In one pool of all weights the small ones of a layer would all go."""
    model = compiled(dense())
    model.layers[0].kernel.assign(1e-6 * model.layers[0].kernel)
    model.optimizer.learning_rate = 0.0
    with pytest.warns(UserWarning, match="^sifting.prune: ended after 1 of 3 rounds, since a layer would have no"):
        result = sifting.prune(model, examples(), rounds=2, prune_ratio=0.8, scope="global", verbose=0)
    assert result.rounds == [0]
    hold_masks(model, {name: 0 * mask for name, mask in result.masks[0].items()})
    with pytest.warns(UserWarning, match="^sifting.prune: ended after 0 of 3 rounds"):
        assert sifting.prune(model, examples(), rounds=2, verbose=0).rounds == []


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: plain(layers.Conv2D(32, 3), layers.Conv2D(64, 3), shape=(8, 8, 1)), (8, 8, 1)),
        (lambda: plain(MaskedDense(100), shape=(64,)), (64,)),
    ],
    ids=["convolutions", "MaskedDense"],
)
def test_other_formats_have_the_same_outputs(make, shape, tmp_path):
    """TensorFlow Lite, as it is and sparse, from a SavedModel; and Keras's legacy file, whose masks are held anew."""
    x, y = examples(shape)
    model = compiled(make())
    masks = sifting.prune(model, (x, y), rounds=1, prune_ratio=0.95, verbose=0).masks[-1]
    expected = model.predict(x, verbose=0)
    model.export(tmp_path / "served", verbose=False)
    sizes = []
    for optimizations in ([], [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]):
        converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "served"))
        converter.optimizations = optimizations
        sizes.append(len(content := converter.convert()))
        interpreter = tf.lite.Interpreter(model_content=content)
        (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
        interpreter.resize_tensor_input(taken["index"], x.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(taken["index"], x)
        interpreter.invoke()
        np.testing.assert_allclose(interpreter.get_tensor(given["index"]), expected, atol=1e-4)
    assert sizes[1] < 0.5 * sizes[0]
    model.save(tmp_path / "pruned.h5")
    loaded = keras.models.load_model(tmp_path / "pruned.h5", {"MaskedDense": MaskedDense}, compile=False)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), expected)
    hold_masks(compiled(loaded))
    loaded.fit(x, y, verbose=0)
    assert_zero(loaded, {name: mask | (mask.ndim == 1) for name, mask in masks.items()})  # biases are free


@pytest.mark.heavy
def test_without_the_package_keras_names_what_to_import(tmp_path):
    model = compiled(dense())
    sifting.prune(model, examples(), rounds=1, verbose=0)
    model.save(tmp_path / "pruned.keras")
    load = f"import keras; keras.models.load_model({str(tmp_path / 'pruned.keras')!r})"
    alone = subprocess.run([sys.executable, "-c", load], capture_output=True, text=True, cwd=tmp_path)
    assert "Could not locate class 'MaskedOptimizer'" in alone.stderr and "'sifting.keras_models'" in alone.stderr
