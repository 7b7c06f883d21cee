"""CIFAR-10 (Krizhevsky 2009): 60,000 colour images of 32 x 32 pixels, 6,000 in each of ten classes."""

from sifting.datasets.official import Official

CIFAR10 = Official(
    name="CIFAR10",
    size=32,
    labels=range(10),
    train_images=50_000,
    val_images=10_000,
    training_files=tuple(f"data_batch_{number}" for number in range(1, 6)),
    validation_file="test_batch",
    has_mean=False,
    origin="the python version of CIFAR-10: get cifar-10-python.tar.gz at www.cs.toronto.edu/~kriz/cifar.html and "
    "unpack it; its folder is cifar-10-batches-py",
    prepared_name="cifar10",
    prepared_validation="test",
    class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
)
