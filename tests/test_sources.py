"""The sources of images besides the embedded ones: TensorFlow Datasets, CIFAR-10, a user's .npz file or folder; and
--describe. The official ImageNet files are in test_datasets.py and test_bad_input.py."""

import contextlib
import dataclasses
import io
import os
import pickle
import resource
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from synthetic import assert_same, npz_fields, official_batch, write_input

import sifting
from sifting import datasets, inputs
from sifting.datasets import describe, tfds
from sifting.datasets import folder as folder_module
from sifting.datasets.source import Facts
from sifting.errors import DataError, InputError

ROOT = Path(__file__).parent.parent
ROW = 3 * 32 * 32
CIFAR_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@pytest.fixture(autouse=True)
def user(in_tmp_path, monkeypatch):
    """At work in an empty folder, without data sets that TFDS has prepared."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(in_tmp_path / "tfds"))


def quiet(line):
    pass


@pytest.fixture
def experiment(tmp_path):
    """experiment(dataset, dataloc, *changes): an experiment whose caches are in tmp_path."""

    def read(dataset, dataloc, *changes):
        given = f"Data.dataset={dataset}", f"Data.dataloc={dataloc}", "Network.val_size=2", *changes
        return inputs.read_experiment([str(write_input(tmp_path, *given))])

    return read


@pytest.fixture
def load(experiment):
    """load(dataset, dataloc, *changes): the ImageSet."""
    return lambda *arguments: datasets.load(experiment(*arguments), quiet)


@pytest.fixture
def refuse(refuse, experiment, tmp_path):
    """refuse(dataset, dataloc, *changes) -> the line; nothing of it is in the cache, nor in the folder of the run."""

    def refuse_images(*arguments) -> str:
        experiment(*arguments)
        before = cached(tmp_path)
        line = refuse(tmp_path / "test.in")
        assert cached(tmp_path) == before
        return line

    return refuse_images


def cached(tmp_path) -> list[str]:
    """Entries in the cache, whole or not."""
    return sorted(path.name for path in (tmp_path / "cache").glob("*") if path.suffix != ".lock")


def sorted_images(images: np.ndarray, labels: np.ndarray) -> list[tuple[int, bytes]]:
    return sorted((int(label), image.tobytes()) for image, label in zip(images, labels, strict=True))


# --- CIFAR-10 ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def cifar(tmp_path_factory):
    """The folder of the official files, 4 images each instead of 10,000, and their contents by name."""
    folder = tmp_path_factory.mktemp("official") / "cifar-10-batches-py"
    folder.mkdir()
    contents = {f"data_batch_{n}": official_batch(4, seed=n, labels=[n, 0, 9, n + 1]) for n in range(1, 6)}
    contents["test_batch"] = official_batch(3, seed=6, labels=[7, 0, 3])
    for name, content in contents.items():
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    return folder, contents


def copied(cifar, tmp_path, **changes) -> Path:
    """A copy of the folder, where some contents are replaced, or left out if they are None."""
    folder = tmp_path / "cifar"
    folder.mkdir()
    for name, content in (cifar[1] | changes).items():
        if content is not None:
            (folder / name).write_bytes(pickle.dumps(content))
    return folder


def test_cifar10(cifar, load):
    folder, contents = cifar
    images = load("CIFAR10", folder)
    *training, validation = contents.values()
    np.testing.assert_array_equal(images.images, np.concatenate([content["data"] for content in training]))
    assert images.labels.tolist() == [label for content in training for label in content["labels"]]
    np.testing.assert_array_equal(images.val_images, validation["data"][:2])
    assert images.val_labels.tolist() == [7, 0] and images.val_labels.dtype == images.labels.dtype == np.int32
    np.testing.assert_array_equal(images.mean, images.images.mean(axis=0, dtype=np.float64).astype(np.float32))
    assert images.shape == (3, 32, 32) and images.classes == 10 and images.class_names == CIFAR_NAMES
    assert images.source == f"CIFAR10, 5 of 5 official training files in {folder}, mean image of their images"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data_batch_1", None, "no such file; [Data] dataloc must hold data_batch_1 ... data_batch_5"),
        ("data_batch_3", None, "cifar-10-python.tar.gz"),
        ("test_batch", None, "no such file"),
        ("data_batch_2", {"labels": [0, 1, 2]}, "has 4 images but 3 labels"),
        ("data_batch_2", {"labels": [0, 10, 1, 1]}, "has the label 10; accepted: 0 ... 9"),
        ("test_batch", {"labels": [0, -1, 1, 1]}, "has the label -1; accepted: 0 ... 9"),
        ("data_batch_5", official_batch(4, size=16), "accepted: [n, 3072]"),
    ],
)
def test_wrong_cifar10_files(cifar, refuse, tmp_path, name, content, message):
    folder = copied(cifar, tmp_path, **{name: content and official_batch(4) | content})
    line = refuse("CIFAR10", folder)
    assert line.startswith(f"{folder / name}: ") and message in line


# --- a validation file in place of a training file -----------------------------------------------------------------


@pytest.fixture
def small_imagenet(monkeypatch, tmp_path):
    """write(**contents): an ImageNet32 whose official numbers are 3 x 4 training and 6 validation images."""
    small = dataclasses.replace(
        datasets.DATASETS["ImageNet32"], train_images=13, val_images=6, training_files=("train_1", "train_2", "train_3")
    )
    monkeypatch.setitem(datasets.DATASETS, "ImageNet32", small)

    def write(**changes):
        contents = {f"train_{n}": official_batch(n, seed=n, mean=np.zeros(ROW)) for n in (1, 2, 3)}
        (tmp_path / "ImageNet").mkdir()
        for name, content in (contents | {"val_data": VAL_DATA} | changes).items():
            (tmp_path / "ImageNet" / name).write_bytes(pickle.dumps(content))
        return tmp_path / "ImageNet"

    return write


VAL_DATA = official_batch(6, seed=9)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train_1", VAL_DATA, "holds data, labels; accepted: data, labels, mean (validation files have no mean)"),
        ("train_2", VAL_DATA, "has 6 images and no mean, as val_data; accepted: a training file"),
        *(  # 13 images in 3 files: 4, 4 and 5
            (
                "val_data",
                official_batch(count, mean=np.zeros(ROW)),
                f"has {count} images and a mean, as a training file; accepted: 6 validation images",
            )
            for count in (4, 5)
        ),
    ],
)
def test_files_in_one_anothers_places(small_imagenet, refuse, name, content, message):
    folder = small_imagenet(**{name: content})
    assert refuse("ImageNet32", folder) == f"{folder / name}: {message}"


def test_files_of_these_numbers_are_accepted_in_their_places(small_imagenet, load):
    assert len(load("ImageNet32", small_imagenet(), "Network.val_size=6").val_images) == 6


# --- TensorFlow Datasets -------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def prepared(tmp_path_factory, cifar):
    """A TFDS data folder, made by the real builders of TFDS from tiny archives in place of their downloads.

    Returns:
        The folder, and the dict of each archive of ImageNet32, train and val.
    """
    library = tfds.import_library()
    library.disable_progress_bar()
    source, data_dir = tmp_path_factory.mktemp("downloads"), tmp_path_factory.mktemp("tensorflow_datasets")
    contents = {
        "Imagenet32_train": official_batch(60, seed=1, labels=[1, 1000, *range(2, 60)]),
        "Imagenet32_val": official_batch(5, seed=2, labels=[5, 4, 3, 2, 1]),
    }
    for name, content in contents.items():
        npz = io.BytesIO()
        np.savez(npz, data=content["data"], labels=np.array(content["labels"]))
        with zipfile.ZipFile(source / f"{name}_npz.zip", "w") as archive:
            archive.writestr(f"{name}.npz", npz.getvalue())
    (source / "cifar-10-batches-bin").mkdir()
    for name, content in cifar[1].items():
        records = np.column_stack([np.array(content["labels"], np.uint8), content["data"]])
        (source / "cifar-10-batches-bin" / f"{name}.bin").write_bytes(records.tobytes())
    (source / "cifar-10-batches-bin" / "batches.meta.txt").write_text("\n".join(CIFAR_NAMES))

    def download(self, urls):
        if isinstance(urls, str):
            return source / urls.rsplit("/", 1)[-1]
        return [source / url.rsplit("/", 1)[-1] for url in urls]

    manager = library.download.DownloadManager
    with (
        mock.patch.object(manager, "download", download),
        mock.patch.object(manager, "download_and_extract", lambda self, url: source),
        contextlib.redirect_stdout(None),
    ):
        for name in ("imagenet_resized/32x32", "cifar10"):
            library.builder(name, data_dir=data_dir).download_and_prepare()
    return data_dir, contents


@pytest.fixture
def offline(monkeypatch):
    """Opening a connection fails the test."""
    monkeypatch.setattr("socket.socket", lambda *arguments, **options: pytest.fail("a connection was opened"))


def test_imagenet32_of_tfds_has_the_images_and_classes_of_the_official_files(prepared, load, tmp_path, offline):
    """Also what follows from its builder: another order of the images, and no mean image."""
    data_dir, contents = prepared
    training, validation = contents["Imagenet32_train"], contents["Imagenet32_val"]
    (tmp_path / "ImageNet").mkdir()
    for name, content in (("train_data_batch_1", training), ("val_data", validation)):
        (tmp_path / "ImageNet" / name).write_bytes(pickle.dumps(content | {"mean": np.zeros(ROW)}))
    official = load("ImageNet32", tmp_path / "ImageNet", "Network.val_size=5")
    images = load("ImageNet32", f"tfds:{data_dir}", "Network.val_size=5")
    assert (images.shape, images.classes, images.class_names) == (official.shape, 1000, official.class_names)
    assert sorted_images(images.images, images.labels) == sorted_images(official.images, official.labels)
    assert sorted_images(images.val_images, images.val_labels) == sorted_images(
        official.val_images, official.val_labels
    )
    assert not np.array_equal(images.images, official.images)
    np.testing.assert_array_equal(images.mean, training["data"].mean(axis=0, dtype=np.float64).astype(np.float32))
    version = data_dir / "imagenet_resized" / "32x32" / "0.1.0"
    origin = f"imagenet_resized/32x32:0.1.0 of TensorFlow Datasets in {version}"
    assert images.source == f"ImageNet32, {origin}, mean image of its training images"
    library = tfds.import_library()
    names = library.builder_from_directory(version).info.features["label"].names
    assert [name.split()[0] for name in images.class_names] == names and images.class_names[0] == "n02119789 kit_fox"


def test_cifar10_of_tfds_in_its_default_folder(prepared, cifar, load, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared[0]))
    images, official = load("CIFAR10", "tfds"), load("CIFAR10", cifar[0], "Network.val_size=3")
    assert sorted_images(images.images, images.labels) == sorted_images(official.images, official.labels)
    assert images.class_names == CIFAR_NAMES and images.source.startswith("CIFAR10, cifar10:3.0.2 of TensorFlow")
    np.testing.assert_array_equal(images.mean, official.mean)


def test_a_prepared_set_is_read_once_in_the_order_of_its_records(prepared, load, monkeypatch, tmp_path):
    first = load("CIFAR10", f"tfds:{prepared[0]}")
    assert_same(first, load("CIFAR10", f"tfds:{prepared[0]}", f"IO.cache_dir={tmp_path / 'another'}"))
    monkeypatch.setattr(tfds, "blocks", lambda *_: pytest.fail("records were read"))
    assert_same(first, load("CIFAR10", f"tfds:{prepared[0]}"))


@pytest.mark.parametrize(
    ("dataset", "name"),
    [("ImageNet32", "imagenet_resized/32x32"), ("CIFAR10", "cifar10"), ("ImageNet64", "imagenet_resized/64x64")],
)
def test_missing_prepared_set_says_how_to_prepare_it(refuse, tmp_path, dataset, name, offline):
    line = refuse(dataset, f"tfds:{tmp_path / 'data'}")
    assert line.startswith(f"{tmp_path / 'data'}/{name}") and "none is downloaded unasked" in line
    assert "download_and_prepare()" in line and "small.in" in line
    part = tmp_path / "tfds" / "cifar10" / "incomplete.ABC_3.0.2"  # as a preparation that was interrupted leaves it
    part.mkdir(parents=True)
    (part / "dataset_info.json").write_text("{}")
    line = refuse(dataset, "tfds")
    assert line.startswith(f"{tmp_path / 'tfds'}/{name}") and "no data set prepared" in line


@pytest.mark.parametrize(
    ("pattern", "change", "split"),
    [
        ("*train*", lambda content: content[: len(content) // 2], "train"),
        ("*test*", lambda content: content[:500] + bytes(50) + content[550:], "test"),
        ("*test*", lambda content: b"", "test"),
        ("*train*", None, "train"),  # not there
        ("dataset_info.json", lambda content: b"{", "train"),
        ("dataset_info.json", lambda content: content.replace(b'"test"', b'"more"'), "test"),
        ("features.json", lambda content: content.replace(b'"32"', b'"31"'), "train"),
        ("features.json", lambda content: content.replace(b'"10"', b'"11"'), "train"),
    ],
)
def test_damaged_prepared_set(prepared, refuse, tmp_path, pattern, change, split):
    """CIFAR-10 as prepared, but the content of the first file of this name is changed."""
    folder = tmp_path / "tfds" / "cifar10" / "3.0.2"
    shutil.copytree(prepared[0] / "cifar10" / "3.0.2", folder)
    path = min(folder.glob(pattern))
    path.write_bytes(change(path.read_bytes())) if change else path.unlink()
    assert refuse("CIFAR10", "tfds").startswith(f"{folder}: its split '{split}' cannot be read as TensorFlow Datasets ")


def test_where_prepared_sets_are_looked_for(tmp_path, monkeypatch):
    """What dataloc means; of several versions the newest that TFDS can read."""
    monkeypatch.setenv("TFDS_DATA_DIR", "default")
    meanings = {"tfds": Path("default"), "tfds:": Path("default"), "tfds:a/b": Path("a/b")}
    meanings |= dict.fromkeys(("./tfds", "tfdsx", "a:tfds"))
    assert {dataloc: tfds.data_dir(dataloc) for dataloc in meanings} == meanings
    monkeypatch.delenv("TFDS_DATA_DIR")
    assert tfds.data_dir("tfds") == Path.home() / "tensorflow_datasets"
    for version in ("3.0.2", "3.0.10", "2.9.9", "4.0"):
        (tmp_path / "cifar10" / version).mkdir(parents=True)
        (tmp_path / "cifar10" / version / "dataset_info.json").touch()
    assert tfds.find("cifar10", tmp_path, "").name == "3.0.10"


def test_a_run_cannot_go_on_with_images_in_another_order():
    continues = inputs.Data.__dataclass_fields__["dataloc"].metadata["continues"]
    assert continues("a", "b") and continues("tfds", "tfds:c")
    assert not continues("a", "tfds") and not continues("tfds:c", "a")


# --- npz -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def npz(tmp_path):
    """npz(**changes): the path of a new file."""

    def write(**changes):
        np.savez_compressed(tmp_path / "own.npz", **npz_fields(**changes))
        return tmp_path / "own.npz"

    return write


def channel_major(images):
    return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


def test_npz(npz, load):
    path, fields = npz(), npz_fields()
    images = load("npz", path)
    np.testing.assert_array_equal(images.images, channel_major(fields["images"]))
    np.testing.assert_array_equal(images.val_images, channel_major(fields["val_images"])[:2])
    assert images.labels.tolist() == fields["labels"].tolist() and images.labels.dtype == np.int32
    assert images.val_labels.tolist() == [2, 2] and images.val_labels.dtype == np.int32
    np.testing.assert_array_equal(images.mean, images.images.mean(axis=0, dtype=np.float64).astype(np.float32))
    assert images.shape == (3, 5, 5) and images.classes == 3 and images.class_names == ()
    assert images.source == f"{path}, mean image of its training images"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_with_names_and_mean_in_pieces(tmp_path, load, save, monkeypatch):
    monkeypatch.setattr("sifting.datasets.npz.BLOCK", 4)
    mean = np.random.default_rng(1).uniform(0, 255, (5, 5, 3))
    fields = npz_fields(class_names=np.array(["ant", "bee", "cow"]), mean=mean)
    save(tmp_path / "own.npz", **fields)
    images = load("npz", "own.npz")
    np.testing.assert_array_equal(images.images, channel_major(fields["images"]))
    np.testing.assert_array_equal(images.mean, channel_major(mean[None])[0].astype(np.float32))
    assert images.class_names == ("ant", "bee", "cow") and images.source == "own.npz, mean image as given"


def test_npz_in_the_words_of_others(load):
    """Keras's names, grey images, floats, labels one-hot or as strings: the same images, of one channel. val counts,
    not test."""
    rng = np.random.default_rng(0)
    grey, val_grey = rng.integers(0, 256, (10, 4, 7), np.uint8), rng.integers(0, 256, (3, 4, 7), np.uint8)
    grey[0, 0, 0] = 255
    labels, val_labels = np.arange(10) % 3, np.array([2, 0, 1])
    test = {"x_test": rng.integers(0, 256, (5, 4, 7), np.uint8), "y_test": np.zeros(5, int)}
    names = np.array(["ant", "bee", "cow"])
    for x, y, more in (
        (lambda x: x, lambda y: y, test),
        (lambda x: x[..., None].astype(np.int64), lambda y: y[:, None], {}),
        (lambda x: x.astype(np.float32) / 255, lambda y: np.eye(3)[y], {}),
        (lambda x: x.astype(np.float64), lambda y: names[y], {}),
    ):
        fields = {"x_train": x(grey), "y_train": y(labels), "x_val": x(val_grey), "y_val": y(val_labels)}
        np.savez("own.npz", **fields, **more)
        images = load("npz", "own.npz")
        assert images.shape == (1, 4, 7) and images.classes == 3
        np.testing.assert_array_equal(images.images, grey.reshape(10, 28))
        np.testing.assert_array_equal(images.val_images, val_grey.reshape(3, 28)[:2])
        assert images.labels.tolist() == labels.tolist() and images.val_labels.tolist() == [2, 0]
        assert images.class_names == (tuple(names) if y(labels).dtype.kind == "U" else ())


def test_npz_without_validation_images(load, monkeypatch):
    """Every tenth of each class serves, across the pieces that are read."""
    monkeypatch.setattr("sifting.datasets.npz.BLOCK", 7)
    images, labels = np.arange(45, dtype=np.uint8).repeat(16).reshape(45, 4, 4), np.arange(45) % 2
    np.savez("own.npz", images=images, labels=labels)
    found = load("npz", "own.npz", "Network.val_size=4")
    assert found.val_images[:, 0].tolist() == [18, 19, 38, 39] and found.val_labels.tolist() == [0, 1, 0, 1]
    assert found.images[:, 0].tolist() == [n for n in range(45) if n not in (18, 19, 38, 39)]
    assert found.labels.tolist() == [n % 2 for n in range(45) if n not in (18, 19, 38, 39)]
    assert found.source.endswith("every 10th one of a class for validation")


def test_counts_are_what_is_there_unless_they_are_given(npz, experiment, tmp_path):
    asked = experiment("npz", npz(), "Network.val_size=1000")
    with pytest.raises(InputError, match="val_size = '1000': accepted: at most 3, the number of validation images"):
        datasets.planned(asked)
    planned = datasets.planned(dataclasses.replace(asked, sources={}))
    assert planned.experiment.network.val_size == planned.facts.val_images == 3
    scored = write_input(tmp_path, "Data.dataset=npz", f"Data.dataloc={npz()}", "Network.val_size=2", method="SNIP")
    scored = dataclasses.replace(inputs.read_experiment([str(scored)]), sources={})
    assert datasets.planned(scored.replace("SNIP", images=10000)).experiment.method.images == 10


def test_facts_of_an_npz_larger_than_the_memory(tmp_path, experiment, refuse):
    """A terabyte of which only the header is there: neither time nor memory goes into images before they are read."""
    fields = npz_fields(labels=np.arange(10**6) % 3, val_images=np.zeros((2, 600, 600, 3), np.uint8), images=None)
    np.savez(tmp_path / "huge.npz", **fields | {"val_labels": np.zeros(2, int)})
    with zipfile.ZipFile(tmp_path / "huge.npz", "a") as archive, archive.open("images.npy", "w") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (10**6, 600, 600, 3)}
        np.lib.format.write_array_header_1_0(file, header)
    data = experiment("npz", "huge.npz").data
    assert datasets.facts(data) == Facts(10**6, 2, (3, 600, 600), 3)
    assert refuse("npz", "huge.npz").startswith("huge.npz: is not an .npz file of plain arrays, or is damaged (")


STRINGS = np.array(["a", "b", "c"])
EMPTY = {"images": np.zeros((0, 5, 5, 3), np.uint8), "labels": np.zeros(0, int)}
NO_INTEGERS = "accepted: [n] whole numbers or strings, or one-hot [n, K]"
COUNTS = (("images", 10), ("val_images", 3))
NPZ = [
    ({"images": None}, "holds labels, val_images, val_labels; accepted: images, labels, val_images, val_"),
    ({"val_labels": None}, "holds images, labels, val_images; accepted: "),
    ({"classnames": STRINGS}, "optionally class_names, mean"),
    ({"images": np.zeros((10, 5, 5, 3))}, "has images of float64 and val_images of uint8; accepted: whole numbers or"),
    ({"images": np.zeros((10, 5, 5, 3), complex)}, "images is an array of complex128 (10, 5, 5, 3); accepted: numbers"),
    ({"images": np.full((10, 5, 5, 3), 256)}, "images has values from 256 to 256; accepted: 0 ... 1 or 0 ... 255"),
    ({name: np.full((n, 5, 5, 3), np.nan) for name, n in COUNTS}, "images has values from nan to nan; accepted: "),
    ({name: np.full((n, 5, 5, 3), -0.5) for name, n in COUNTS}, "images has values from -0.5 to -0.5; accepted: "),
    ({name: np.full((n, 5, 5, 3), 1.0001) for name, n in COUNTS}, "images has values from 1.0001 to 1.0001; accepted"),
    (
        {name: np.full((n, 5, 5, 3), value) for (name, n), value in zip(COUNTS, (1.0, 9.0), strict=True)},
        "images and val_images have values of 0 ... 1 and of more; accepted: one range",
    ),
    ({"val_images": np.zeros((3, 75), np.uint8)}, "val_images is an array of uint8 (3, 75); accepted: numbers [n"),
    ({"images": np.zeros((10, 3, 5, 5), np.uint8)}, "(10, 3, 5, 5); accepted: numbers [n, height, width] or [n, he"),
    ({"images": np.zeros((10, 5, 5, 1), np.uint8)}, "images are 1 x 5 x 5 and val_images are 3 x 5 x 5; accepted: one"),
    ({"x_train": np.zeros((10, 5, 5))}, "holds images, labels, val_images, val_labels, x_train; accepted: "),
    ({"labels": np.tile([0, 1, 1], (10, 1))}, f"labels is an array of int64 (10, 3); {NO_INTEGERS}"),
    ({"labels": STRINGS[np.arange(10) % 3]}, "has numbers and strings as labels; accepted: one of them"),
    ({"labels": STRINGS[np.arange(10) % 3], "val_labels": np.array(["a", "d", "b"])}, "val_labels has the label 'd'"),
    ({"val_images": None, "val_labels": None}, "has no validation images, and fewer than 10 of each class"),
    (EMPTY, "(0, 5, 5, 3); accepted"),
    ({"images": np.zeros((10, 5, 5, 3), np.uint8, order="F")}, "accepted: C order"),
    ({"val_images": np.zeros((3, 4, 4, 3), np.uint8)}, "images are 3 x 5 x 5 and val_images are 3 x 4 x 4"),
    ({"labels": np.arange(9) % 3}, "has 10 images but 9 labels; accepted: one label for each image"),
    ({"val_labels": np.zeros(4, int)}, "has 3 val_images but 4 val_labels"),
    ({"labels": np.zeros(10)}, f"labels is an array of float64 (10,); {NO_INTEGERS}"),
    ({"labels": np.arange(10) % 3 - 1}, "labels has the label -1; accepted: 0 ... 2"),
    ({"val_labels": np.array([0, 3, 1]), "class_names": STRINGS}, "val_labels has the label 3"),
    ({"labels": np.arange(10) % 3 + 1, "val_labels": np.ones(3, int)}, "no training image of class 0"),
    ({"val_labels": np.array([0, 3, 1])}, "has no training image of class 3; accepted: "),
    ({"labels": np.zeros(10, int), "val_labels": np.zeros(3, int)}, "no training image of class 1; accepted"),
    ({"class_names": np.arange(3)}, "class_names is an array of int64 (3,); accepted: [K] strings"),
    ({"mean": np.zeros(75)}, "mean is an array of float64 (75,), or is not finite; accepted: [5, 5, 3]"),
    ({"mean": np.full((5, 5, 3), np.nan)}, "or is not finite"),
    ({"class_names": np.array(["a", None, "c"])}, "is not an .npz file of plain arrays, or is damaged (Object"),
]


@pytest.mark.parametrize(("changes", "message"), NPZ, ids=[message[:30] for _, message in NPZ])
def test_wrong_npz(npz, refuse, changes, message):
    path = npz(**changes)
    line = refuse("npz", path)
    assert line.startswith(f"{path}: ") and message in line


@pytest.mark.parametrize("length", [-75, 75])
def test_npz_whose_images_are_fewer_or_more_than_its_header_says(npz, refuse, tmp_path, length):
    with zipfile.ZipFile(npz()) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    contents["images.npy"] = contents["images.npy"][:length] if length < 0 else contents["images.npy"] + bytes(length)
    with zipfile.ZipFile(tmp_path / "own.npz", "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    assert refuse("npz", "own.npz").startswith("own.npz: is not an .npz file of plain arrays, or is damaged (")


def test_missing_npz(refuse, tmp_path):
    (tmp_path / "folder.npz").mkdir()
    for name in ("nowhere.npz", "folder.npz", "tfds"):
        assert refuse("npz", name).startswith(f"{name}: no such file; [Data] dataloc must be an .npz file of images, ")


# --- folder --------------------------------------------------------------------------------------------------------


def picture(seed, size=(6, 6), mode="RGB") -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.fixture
def pictures(tmp_path):
    """pictures({"cat/1.png": picture, ...}): the path of a new folder."""

    def write(files):
        for name, content in files.items():
            path = tmp_path / "pictures" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content) if isinstance(content, bytes) else content.save(path)
        return tmp_path / "pictures"

    return write


def one_set(count=25):
    return {
        f"{name}/{n}.png": picture(100 * seed + n) for seed, name in enumerate(["dog", "cat"]) for n in range(count)
    }


def two_sets():
    files = {f"train/{name}/{n}.png": picture(n) for name in ("b", "a") for n in range(3)}
    return files | {f"val/{name}/{n}.png": picture(n + 5) for name in ("a", "b") for n in range(2)}


def row(image):
    return np.asarray(image).transpose(2, 0, 1).ravel()


def test_folder_with_train_and_val(pictures, load):
    root, files = pictures(two_sets()), two_sets()
    images = load("folder", root, "Data.image_size=6", "Network.val_size=4")
    for split, found in (("train", (images.images, images.labels)), ("val", (images.val_images, images.val_labels))):
        expected = [(row(image), "ab".index(name[-7])) for name, image in files.items() if name.startswith(split)]
        assert sorted_images(*found) == sorted((label, image.tobytes()) for image, label in expected)
    np.testing.assert_array_equal(images.mean, images.images.mean(axis=0, dtype=np.float64).astype(np.float32))
    assert images.shape == (3, 6, 6) and images.classes == 2 and images.class_names == ("a", "b")
    assert images.source == f"6 + 4 images in {root}, 6 x 6 pixels, mean image of the training images"


def test_folder_of_one_set_gives_a_tenth_of_each_class_for_validation(pictures, load, experiment):
    root, files = pictures(one_set()), one_set()
    arguments = "folder", root, "Data.image_size=6", "Network.val_size=4"
    images = load(*arguments)
    assert datasets.facts(experiment(*arguments).data) == Facts(46, 4, (3, 6, 6), 2)
    assert images.class_names == ("cat", "dog") and sorted(images.val_labels.tolist()) == [0, 0, 1, 1]
    together = np.concatenate([images.images, images.val_images]), np.concatenate([images.labels, images.val_labels])
    expected = [row(image) for image in files.values()], [int(name.startswith("dog")) for name in files]
    assert sorted_images(*together) == sorted_images(*expected)
    assert 5 < images.labels[:20].sum() < 15  # the first images are of both classes


def test_a_plan_lists_a_folder_once(pictures, experiment, monkeypatch):
    """And the next plan anew: what is in a folder may change."""
    arguments, listed, real = ("folder", pictures(one_set()), "Network.val_size=4"), [], folder_module.list_folder
    monkeypatch.setattr(folder_module, "list_folder", lambda root: listed.append(root) or real(root))
    for plans in (1, 2):
        planned = datasets.planned(experiment(*arguments))
        planned.check_files()
        planned.load(lambda line: None)
        assert len(listed) == plans


def test_order_and_split_follow_from_the_names_alone(pictures):
    """These are the SHA-256 of class/name: on every machine, and for all times, the same images."""
    listing = folder_module.list_folder(pictures(one_set(10)))
    assert [file.name for file in listing.validation] == ["dog/7.png", "cat/8.png"]
    assert [file.name for file in listing.training[:4]] == ["dog/5.png", "cat/0.png", "dog/8.png", "cat/7.png"]
    more = folder_module.list_folder(pictures({"cat/new.png": picture(1)}))
    assert [file for file in more.training if file.name != "cat/new.png"] == listing.training


def test_what_is_no_image_is_left_out(pictures):
    """Hidden files, other suffixes, files beside the class folders, folders in them; and suffixes in upper case. Small
    classes give one image for validation."""
    extra = {"readme.txt": b"", "dog/.hidden.png": b"", "dog/list.csv": b"", ".cache/x.png": b"", "dog/deep/x.png": b""}
    listing = folder_module.list_folder(pictures(one_set(2) | extra | {"dog/last.PNG": picture(0)}))
    assert listing.class_names == ("cat", "dog") and [file.label for file in listing.validation] == [0, 1]
    assert len(listing.training) == 3


def read(path, size):
    return folder_module.read_image(folder_module.Picture(path, str(path), 0), size, 3)


def test_grey_images_have_one_channel_unless_one_is_in_colour(pictures, load, experiment, tmp_path):
    """Whatever stands for grey in their files; with one in colour, grey ones are three equal planes. The images are
    other ones then, in another entry of the cache."""
    modes = ["L", "1", "LA"]
    grey = {f"{name}/{n}.png": picture(n, mode=modes[n % 3]) for name in ("a", "b") for n in range(6)}
    arguments = "folder", pictures(grey), "Data.image_size=6", "Network.val_size=2"
    images = load(*arguments)
    assert images.shape == (1, 6, 6) and datasets.facts(experiment(*arguments).data) == Facts(10, 2, (1, 6, 6), 2)
    assert images.source.endswith("6 x 6 grey pixels, mean image of the training images")
    expected = [np.asarray(image.convert("L")).tobytes() for image in grey.values()]
    assert sorted(map(bytes, [*images.images, *images.val_images])) == sorted(expected)
    pictures({"a/0.png": picture(0)})
    coloured = load(*arguments)
    rows = np.concatenate([coloured.images, coloured.val_images]).reshape(12, 3, 36)
    assert coloured.shape == (3, 6, 6) and (rows == rows[:, :1]).all(axis=(1, 2)).sum() == 11
    assert len(cached(tmp_path)) == 2


def test_centre_crop_and_area_resampling(tmp_path):
    """Wide and high images: 12 x 6 and 6 x 12 pixels become 2 x 2 means over 3 x 3 pixels of the central square."""
    wide = picture(3, (12, 6))
    wide.save(tmp_path / "wide.png")
    wide.transpose(Image.Transpose.TRANSPOSE).save(tmp_path / "high.png")
    square = np.asarray(wide)[:, 3:9].astype(np.float64)
    means = square.reshape(2, 3, 2, 3, 3).mean(axis=(1, 3))
    found = read(tmp_path / "wide.png", 2)
    np.testing.assert_allclose(found, means.transpose(2, 0, 1), atol=1)  # the filter rounds after each axis
    np.testing.assert_allclose(read(tmp_path / "high.png", 2).transpose(0, 2, 1), found, atol=1)
    assert found.dtype == np.uint8


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA", "CMYK", "turned"])
def test_modes(tmp_path, mode):
    """EXIF 6: the camera was turned; the stored image is shown rotated by 270 degrees counter-clockwise."""
    path, exif = tmp_path / f"image{'.tif' if mode == 'CMYK' else '.png'}", Image.Exif()
    image = expected = picture(1, mode="RGB" if mode == "turned" else mode)
    if mode == "turned":
        exif[0x0112], expected = 6, image.transpose(Image.Transpose.ROTATE_270)
    image.save(path, exif=exif)
    np.testing.assert_array_equal(read(path, 6).ravel(), row(expected.convert("RGB")))


@pytest.mark.parametrize("suffix", ["bmp", "gif", "jpg", "png", "ppm", "tiff", "webp"])
def test_formats(tmp_path, suffix):
    Image.new("RGB", (6, 6), (200, 100, 0)).save(tmp_path / f"image.{suffix}")
    found = read(tmp_path / f"image.{suffix}", 6)
    np.testing.assert_allclose(found.mean(axis=(1, 2)), (200, 100, 0), atol=4)


def test_palette_with_transparency_gives_no_warning(pictures, load):
    image = picture(1, mode="P")
    image.info["transparency"] = bytes(range(256))
    files = one_set(3) | {"dog/palette.png": image}
    assert len(load("folder", pictures(files), "Data.image_size=4").images) == 5


def test_changed_file_makes_a_new_entry(pictures, load, tmp_path):
    load("folder", pictures(one_set(4)), "Data.image_size=4")
    load("folder", pictures({}), "Data.image_size=4")
    assert len(cached(tmp_path)) == 1
    load("folder", pictures({"cat/1.png": picture(77, (8, 8))}), "Data.image_size=4")
    load("folder", pictures({}), "Data.image_size=5")
    assert len(cached(tmp_path)) == 3


def save_as(image, file_format) -> bytes:
    content = io.BytesIO()
    image.save(content, format=file_format)
    return content.getvalue()


PNG = save_as(picture(1, (60, 60)), "PNG")
FORMATS = "accepted: BMP, GIF, JPEG, PNG, PPM, TIFF, WEBP"
PICTURES = {
    "empty": (b"", FORMATS),
    "truncated": (PNG[: len(PNG) // 2], "cannot be read as an image ("),
    "damaged": (PNG[:100] + bytes(60) + PNG[160:], "cannot be read as an image ("),
    "web page": (b"<html>404</html>", FORMATS),
    "PostScript": (save_as(picture(1), "EPS"), FORMATS),
    "16 bits": (save_as(Image.fromarray(np.zeros((6, 6), np.uint16)), "PNG"), "accepted: up to 8 bits a channel"),
}


@pytest.mark.parametrize("case", PICTURES)
def test_picture_that_cannot_be_read(pictures, refuse, case):
    content, message = PICTURES[case]
    root = pictures(one_set(3) | {"dog/wrong.png": content})
    line = refuse("folder", root, "Data.image_size=4")
    assert line.startswith(f"{root}/dog/wrong.png: cannot be read as an image (") and message in line


def test_picture_of_too_many_pixels(pictures, refuse, monkeypatch):
    """Pillow's guard against small files that decompress to gigabytes; a warning for it, a refusal here."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    for side in (40, 60):
        root = pictures(one_set(3) | {"dog/huge.png": picture(1, (side, side))})
        assert "huge.png: cannot be read as an image (Image size" in refuse("folder", root, "Data.image_size=4")


def test_picture_that_is_not_there(pictures, refuse):
    root = pictures(one_set(3))
    os.symlink("nowhere", root / "dog" / "link.png")
    assert refuse("folder", root).startswith(f"{root}/dog/link.png: cannot be read (No such file or directory)")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (None, ": cannot be read (No such file or directory); [Data] dataloc must be"),
        ("", ": cannot be read (Not a directory)"),
        ("readme/", ": has 1 sub-folders; accepted: at least 2, one for each "),
        ("1.png", ": has 0 sub-folders; accepted: at least 2"),
        ("a/1.png a/2.png", ": has 1 sub-folders"),
        ("a/1.png a/2.png b/", "/b: holds no images; accepted"),
        ("a/1.png b/1.png", "/a: has one image; accepted: at least"),
        ("train/a/1.png", ": has a sub-folder train alone; accepted: train and"),
        (
            "train/a/1.png train/b/1.png val/a/1.png val/c/1.png",
            ": only one of train and val has a class 'b'; accepted",
        ),
    ],
)
def test_wrong_folders(refuse, tmp_path, files, message):
    """Given as names; one with a / at its end is a folder, and "" a file in place of the folder."""
    if files == "":
        (tmp_path / "own").touch()
    for name in (files or "").split():
        path = tmp_path / "own" / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            picture(1).save(path)
    assert refuse("folder", "own").startswith(f"own{message}")


# --- Hugging Face --------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path, tmp_path_factory, monkeypatch):
    """hub(train=(images, labels), ...): the folder of a data set that load_dataset reads, prepared in a cache of the
    test. It takes the library itself, which `.[test]` has."""
    library = pytest.importorskip("datasets", reason="pip install datasets")
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("hub"))
    library.disable_progress_bars()

    def write(features=None, image="image", label="label", **splits):
        folder = tmp_path / "named"
        folder.mkdir(exist_ok=True)
        for name, (images, labels) in splits.items():
            kind = {image: library.Image(), label: features or library.Value("int64")}
            rows = library.Dataset.from_dict({image: images, label: labels}, library.Features(kind))
            rows.to_parquet(folder / f"{name}-00000-of-00001.parquet")
        return folder

    return write


def test_hugging_face(hub, load, tmp_path, offline):
    """A folder, and the same by name, as load_dataset has left it; grey images that are not square."""
    images, labels = [picture(n, (5, 4), "L") for n in range(29)], [n // 10 for n in range(29)]
    features = sys.modules["datasets"].ClassLabel(names=["ape", "cat", "dog"])
    folder = hub(features, train=(images[:26], labels[:26]), validation=(images[26:], [0, 1, 1]), test=(images, labels))
    found = load("hf", folder, "Network.val_size=3")
    assert found.shape == (1, 4, 5) and found.class_names == ("ape", "cat", "dog") and found.labels.dtype == np.int32
    rows = [np.asarray(image).ravel() for image in images]
    assert sorted_images(found.images, found.labels) == sorted_images(np.array(rows[:26]), labels[:26])
    assert sorted_images(found.val_images, found.val_labels) == sorted_images(np.array(rows[26:]), [0, 1, 1])
    assert found.labels[:8].tolist() == [0, 0, 1, 1, 1, 0, 0, 1]  # sorted by class there, and mixed here, for all times
    assert found.source == f"{folder} of Hugging Face, train and validation, mean image of the training images"
    assert load("hf", folder, "Network.val_size=3", "Data.image_size=3").shape == (1, 3, 3)
    prepared = sys.modules["datasets"].config.HF_DATASETS_CACHE
    (entry,) = (prepared / "named" / "default" / "0.0.0").glob("*[!k]")
    shutil.copytree(entry, prepared / "me___named" / "default" / "0.0.0" / "1234")
    named = load("hf", "me/named", "Network.val_size=3")
    assert_same(named, dataclasses.replace(found, source=named.source))


def test_hugging_face_without_names_of_classes_and_without_validation(hub, load):
    """CIFAR's names of columns; images in colour beside grey ones."""
    images = [picture(n, (4, 4), "L" if n < 3 else "RGB") for n in range(30)]
    text = sys.modules["datasets"].Value("string")
    found = load("hf", hub(text, "img", "fine_label", train=(images, ["dog", "cat", "ape"] * 10)), "Network.val_size=3")
    assert found.shape == (3, 4, 4) and found.class_names == ("ape", "cat", "dog") and len(found.images) == 27
    rows = np.array([row(image) for image in images[27:]])
    assert sorted_images(found.val_images, found.val_labels) == sorted_images(rows, [2, 1, 0])


def test_other_images_of_hugging_face_are_no_others_prepared_images(hub, load, monkeypatch):
    """Also where the user lets the library keep all in memory, so that it would name no files."""
    monkeypatch.setattr(sys.modules["datasets"].config, "IN_MEMORY_MAX_SIZE", 2**30)
    for first in (0, 40):
        images = [picture(n) for n in range(first, first + 20)]
        found = load("hf", hub(train=(images, [0] * 10 + [1] * 10)), "Network.val_size=2")
        rows = np.array([row(image) for image in (images[9], images[19])])
        assert sorted_images(found.val_images, found.val_labels) == sorted_images(rows, [0, 1])


def test_what_is_refused_of_hugging_face(hub, refuse, offline, monkeypatch):
    images, labels = [picture(n, (4, 4)) for n in range(4)], [0, 1, 0, 1]

    def refused(line, dataloc=None, **given):
        shutil.rmtree("named", ignore_errors=True)
        folder = hub(**given)
        assert line in refuse("hf", dataloc or folder, "Network.val_size=2")

    line = 'none is downloaded unasked; to download it: python -c "import datasets; datasets.load_dataset('
    for dataloc, arguments in (("me/x", "'me/x'"), ("me/x:y", "'me/x', 'y'"), ("none", "'none'")):
        assert f'{line}{arguments})"' in refuse("hf", dataloc)
    refused("has the splits test; accepted: train, validation, valid", test=(images, labels))
    refused("has the columns picture, label; accepted: one of image, img", image="picture", train=(images, labels))
    refused("has the columns image, y; accepted: one of label, labels", label="y", train=(images, labels))
    refused("label of test has the label -1; accepted: 0", train=(images, labels), test=(images, [-1] * 4))
    refused("has no training image of class 1", train=(images, [0] * 4), test=(images, [0] * 4))
    line = "image 3 of train: there is none; accepted: an image in each row"
    refused(line, train=([*images[:3], None], labels), test=(images, labels))
    other = [*images[:3], picture(1, (5, 4))]
    line = "image 0 of train: has 4 x 4 pixels; accepted: 5 x 4 pixels, as the first one, or [Data] image_size"
    refused(line, train=(other, labels), test=(images, labels))
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert refuse("hf", "none") == "[Data] dataset = hf needs Hugging Face's library; accepted: pip install datasets"


# --- all of them ---------------------------------------------------------------------------------------------------


@pytest.fixture(params=["CIFAR10", "tfds", "npz", "folder", "hf"])
def source(request, tmp_path, npz, pictures):
    """Dataset, dataloc and changes of a small experiment with each source."""
    if request.param == "tfds":
        return "CIFAR10", f"tfds:{request.getfixturevalue('prepared')[0]}"
    if request.param == "CIFAR10":
        return "CIFAR10", request.getfixturevalue("cifar")[0]
    if request.param == "hf":
        folder = request.getfixturevalue("hub")(train=([picture(n) for n in range(40)], [0, 1] * 20))
        sys.modules["datasets"].load_dataset(str(folder))  # which writes a cache of its own
        return "hf", folder
    return (request.param, npz()) if request.param == "npz" else ("folder", pictures(one_set()), "Data.image_size=32")


def test_disk_full(source, refuse, experiment, tmp_path):
    """A limit on the size of files stands for the full disk. No part of an entry is left; later, all is well."""
    experiment(*source)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700, hard))
    try:
        line = refuse(*source)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "cannot be written (File too large); accepted as [IO] cache_dir: a writable folder with room" in line
    assert line.startswith(str(tmp_path / "cache")) and cached(tmp_path) == []
    assert len(datasets.load(experiment(*source), quiet).val_images) == 2


def test_images_are_mapped_and_found_again(source, experiment, tmp_path):
    lines = []
    images = datasets.load(experiment(*source), lines.append)
    assert isinstance(images.images, np.memmap) and not images.images.flags.writeable and len(cached(tmp_path)) == 1
    assert lines[0].startswith("Preparing ") and lines[0].endswith(", once; later runs take seconds")
    again = datasets.load(experiment(*source), lambda line: pytest.fail(line) if "Preparing" in line else None)
    assert_same(images, again)


def test_ratio_map_and_clone_apply(source, load, experiment):
    """Of the images that the facts name; CIFAR-10's fewer ones are all used."""
    changes = "Data.data_ratio=0.5", "Data.reclass=m,2", "Data.clone=gaussian"
    complete, part = load(*source), load(*source, *changes[:2])
    count = min(len(complete.images), datasets.facts(experiment(*source).data).train_images // 2)
    np.testing.assert_array_equal(part.images, complete.images[:count])
    np.testing.assert_array_equal(part.labels, complete.labels[:count] % 2)
    assert part.classes == 2 and part.class_names == ()
    if source[0] != "CIFAR10":  # some of its classes have one image here
        assert load(*source, *changes).source.endswith(f"of {complete.source}")


# --- --describe ----------------------------------------------------------------------------------------------------


@pytest.fixture
def describe_own(command, experiment, npz, tmp_path):
    """describe_own(*changes, flags=(), **fields) -> lines of --describe; no file of a run is made."""

    def described(*changes, flags=(), **fields) -> list[str]:
        experiment("npz", npz(**fields), *changes)
        code, output, errors = command(tmp_path / "test.in", "--describe", *flags)
        assert (code, errors) == (0, "") and all(path.name.endswith("_lock") for path in (tmp_path / "run").glob("*"))
        return output.splitlines()

    return described


def test_describe(describe_own, tmp_path):
    images = np.zeros((10, 5, 5, 3), np.uint8)
    images[:5, ..., 0], images[..., 1] = 100, 7
    names = np.array(["ant", "bee", "c\nw"])
    path = tmp_path / "own.npz"
    assert describe_own("Data.data_ratio=0.8", images=images, class_names=names) == [
        f"Preparing the images of {path}, once; later runs take seconds",
        f"source     {path}, mean image of its training images",
        "images     8 for training, 2 for validation, 3 x 5 x 5, 3 classes",
        "pixels     mean +- standard deviation of the training images: red 62.5 +- 48.4, green 7.0 +- 0.0, "
        "blue 0.0 +- 0.0",
        "classes    2 to 3 training images, 0 to 2 validation images",
        "",
        "class  training  validation                                  name",
        "    0         3           0  ##############################  ant",
        "    1         3           0  ##############################  bee",
        "    2         2           2  ####################            'c\\nw'",
    ]


def test_describe_counts_the_classes_that_the_network_learns(describe_own):
    assert [line.split()[:3] for line in describe_own("Data.reclass=m,2")[-2:]] == [["0", "7", "2"], ["1", "3", "0"]]


def test_describe_with_dry_run_and_seeds(describe_own):
    lines = describe_own(flags=("--dry_run", "--seeds=1,2"))
    starts = [line.split("  ")[0] for line in lines]
    assert starts.count("class") == 1 and sum(line.startswith("seed = ") for line in lines) == 2


def test_reader_that_stops_early(npz, experiment, tmp_path):
    """As `| head` does; here the reading end is closed before anything is written."""
    datasets.load(experiment("npz", npz()), quiet)
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(
        [sys.executable, "-m", "sifting.run", str(tmp_path / "test.in"), "--describe"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=60,
    )
    os.close(writing)
    assert process.returncode == 0 and process.stderr == b""


def test_many_classes_stand_side_by_side():
    """Down the columns, 120 characters at most, every class once."""
    counts, val_counts = np.arange(1000, 1100), np.arange(100)
    lines = describe.class_table(counts, val_counts, tuple(f"name_{number}" for number in range(100)))
    header = "class  training  validation  name"
    assert lines[0].split(header) == ["", "       ", "       ", ""] and len(lines) == 35
    assert max(map(len, lines)) <= describe.WIDTH
    assert " ".join(lines[1].split()) == "0 1,000 0 name_0 34 1,034 34 name_34 68 1,068 68 name_68"
    words = " ".join(lines[1:]).split()
    assert sorted(words[3::4]) == sorted(f"name_{number}" for number in range(100))


# --- arrays in memory ----------------------------------------------------------------------------------------------


def test_images_in_memory_are_those_of_a_file(tmp_path):
    """As arrays or as data sets of TensorFlow, in batches or one by one; the same content is one file."""
    rng = np.random.default_rng(0)
    x, x_val = rng.integers(0, 256, (40, 6, 5), np.uint8), rng.integers(0, 256, (9, 6, 5), np.uint8)
    y, y_val = np.arange(40) % 3, np.arange(9) % 3
    own = {"Network.arch": "f4:x", "IO.cache_dir": tmp_path, "IMP.prune_ratio": 0.5}
    tensors = tf.data.Dataset.from_tensor_slices
    given = [((x, y), (x_val, y_val)), (tensors((x, y)).batch(7), tensors((x_val, y_val)))]
    given.append(([x, y], tensors((x_val, y_val)).batch(4)))
    for images in given:
        experiment = sifting.load_experiment(changes=own, images=images)
        found = datasets.load(experiment, quiet)
        assert found.shape == (1, 6, 5) and found.labels.tolist() == y.tolist()
        np.testing.assert_array_equal(found.images, x.reshape(40, 30))
        np.testing.assert_array_equal(found.val_images, x_val.reshape(9, 30))
    assert len(list(tmp_path.glob("images-*.npz"))) == 1
    one_hot = tensors((x[..., None], np.eye(6, dtype=np.float32)[np.arange(40) % 6]))  # as many classes as rows
    found = datasets.load(sifting.load_experiment(changes=own, images=(one_hot, one_hot)), quiet)
    assert found.shape == (1, 6, 5) and found.classes == 6
    objects = np.array([*map(int, np.arange(40) % 11)], dtype=object)  # as pandas has them: '10' is not before '2'
    found = datasets.load(sifting.load_experiment(changes=own, images=((x, objects), (x, objects))), quiet)
    assert found.labels.tolist() == objects.tolist() and found.class_names == ()
    alone = datasets.load(sifting.load_experiment(changes=own, images=(x, np.array(["a", "b"])[y % 2])), quiet)
    assert alone.class_names == ("a", "b") and len(alone.images) == 40 - 3 and len(alone.val_images) == 3


@pytest.mark.parametrize(
    ("images", "line"),
    [
        (3, "images = an object of class int; accepted: (x, y) or"),
        ((np.zeros((4, 2, 2)),), "images = an object of class tuple; accepted: (x, y) or"),
        ((np.zeros((4, 2, 2), complex), np.zeros(4, int)), "images = arrays of complex128, int64; accepted: numbers"),
        (tf.data.Dataset.range(3), "images = a tf.data.Dataset of TensorSpec"),
        (
            tf.data.Dataset.from_tensors((np.zeros((2, 2)), 1)).take(0),
            "a tf.data.Dataset without images; accepted: one",
        ),
        (
            tf.data.Dataset.range(1, 3).map(lambda n: (tf.zeros((n, 2)), n)),
            "a tf.data.Dataset of several shapes (all input arrays must have the same shape); accepted: of one",
        ),
        (tf.data.Dataset.from_tensors((np.zeros((2, 2)), 1)).repeat(), "a tf.data.Dataset without end; accepted: one"),
    ],
)
def test_what_are_no_images_in_memory(images, line, tmp_path):
    with pytest.raises(DataError) as error:
        sifting.load_experiment(
            changes={"Network.arch": "x", "IO.cache_dir": tmp_path, "IMP.prune": "T"}, images=images
        )
    assert line in str(error.value) and "\n" not in str(error.value) and not list(tmp_path.iterdir())
