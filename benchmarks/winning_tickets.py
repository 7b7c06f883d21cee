"""Are there winning tickets in other models? Accuracy over density: IMP, its masks with new weights, random masks.

    python benchmarks/winning_tickets.py [--seeds N] [--data digits collage] [--model lenet conv]

LeNet-300-100 and a small convolutional network, pruned by `sifting.prune` on scikit-learn's digits (8 x 8, 1400 to
train on, 397 to validate) and on the embedded images (32 x 32 x 3, 6000 or 3000, and 1000). IMP rewinds to the initial
weights. Prints the tables of docs/your_model.md: validation accuracy after the last epoch, mean and standard deviation
over seeds.
"""

import argparse

import keras
import numpy as np
from sklearn.datasets import load_digits

import sifting
from sifting.keras_models import hold_masks

ROUNDS, RATIO, BATCH, STEPS = 5, 0.5, 50, 10  # STEPS: how many Keras does at once
EPOCHS = {"digits": 8, "collage": 4}
COLLAGE = {"lenet": ("motif", 6000), "conv": ("sharpness", 3000)}  # classes that the network learns from so few images


def images(data, model, seed):
    if data == "digits":
        x, y = load_digits(return_X_y=True)
        x, n = (x / 16).reshape(-1, 8, 8, 1), 1400
    else:
        kind, n = COLLAGE[model]
        changes = {"Data.dataset": "EdgeCollage32", "Data.collage_class": kind, "Data.collage_images": n}
        experiment = sifting.load_experiment(changes={**changes, "Network.arch": "x", "IMP.prune": [True]})
        from sifting import datasets

        found = datasets.load(experiment, lambda line: None)
        pixels = np.concatenate([found.images, found.val_images]) - found.mean
        x = (pixels / 255).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        y = np.concatenate([found.labels, found.val_labels])
    order = np.random.default_rng(seed).permutation(len(x)) if data == "digits" else np.arange(len(x))
    x, y = x[order].astype(np.float32), y[order]
    return (x[:n], y[:n]), (x[n:], y[n:])


def build(model, shape, seed):
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    if model == "lenet":
        hidden = [layers.Flatten(), layers.Dense(300, "relu"), layers.Dense(100, "relu")]
    else:
        hidden = [
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
        ]
        hidden += [layers.Flatten(), layers.Dense(64, "relu")]
    network = keras.Sequential([keras.Input(shape), *hidden, layers.Dense(10, "softmax")])
    adam, loss = keras.optimizers.Adam(1.2e-3), "sparse_categorical_crossentropy"
    network.compile(adam, loss, metrics=["accuracy"], jit_compile=False, steps_per_execution=STEPS)
    return network


def curves(data, model, seed):
    """{way: accuracies}, and the densities, of rounds 0, 1, ..."""
    training, validation = images(data, model, seed)
    shape = training[0].shape[1:]
    options = {"epochs": EPOCHS[data], "batch_size": BATCH, "verbose": 0, "validation_data": validation}

    def pruned(method):
        network = build(model, shape, seed)
        settings = {"prune_ratio": RATIO, "rounds": ROUNDS, "seed": seed, **options}
        return sifting.prune(network, training, method=method, fit={"validation_freq": EPOCHS[data]}, **settings)

    imp, random = pruned("imp"), pruned("random")
    again = [imp.history["val_accuracy"][0]]
    for masks in imp.masks[1:]:
        network = build(model, shape, seed + 1000)
        hold_masks(network, masks)
        again.append(network.fit(*training, **options).history["val_accuracy"][-1])
    found = {"IMP": imp.history["val_accuracy"], "IMP's masks, new weights": again}
    return {**found, "random masks": random.history["val_accuracy"]}, imp.history["density"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", nargs="+", default=["digits", "collage"], choices=list(EPOCHS))
    parser.add_argument("--model", nargs="+", default=["lenet", "conv"], choices=["lenet", "conv"])
    arguments = parser.parse_args()
    for data in arguments.data:
        for model in arguments.model:
            runs = [curves(data, model, seed) for seed in range(1, arguments.seeds + 1)]
            print(f"\n| {model}, {data} | " + " | ".join(f"{100 * u:.3g} %" for u in runs[0][1]) + " |", flush=True)
            for way in runs[0][0]:
                values = 100 * np.array([found[way] for found, _ in runs])
                cells = zip(values.mean(axis=0), values.std(axis=0, ddof=len(runs) > 1), strict=True)
                print(
                    f"| {way} | " + " | ".join(f"{mean:.1f} ± {spread:.1f}" for mean, spread in cells) + " |",
                    flush=True,
                )
