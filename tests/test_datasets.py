"""From the [Data] section to an ImageSet: the official files, the cache, data_ratio, reclass, clone and val_size."""

import multiprocessing
import os
import pickle

import numpy as np
import pytest
from synthetic import assert_same, official_batch, write_input

from sifting import datasets, inputs
from sifting.datasets import cache
from sifting.datasets import official as official_module
from sifting.datasets.source import Facts
from sifting.errors import DataError

ROW = 3 * 32 * 32
COLLAGE = ("Data.dataset=EdgeCollage32", "Data.collage_images=300", "Data.collage_val_images=40", "Network.val_size=30")


@pytest.fixture
def experiment(tmp_path):
    """experiment(*assignments): with its cache and its ImageNet folder in tmp_path."""

    def read(*assignments):
        path = tmp_path / "test.in"
        path.write_text(
            f"[IO]\ncache_dir = {tmp_path / 'cache'}\n[Data]\ndataloc = {tmp_path / 'ImageNet'}\n"
            "[Network]\narch = f4:x\nval_size = 3\n[IMP]\n"
        )
        return inputs.read_experiment([str(path)], assignments)

    return read


def quiet(line):
    pass


@pytest.fixture
def reports() -> list[str]:
    """The lines that `load` reports."""
    return []


def write_pickle(path, content):
    path.write_bytes(pickle.dumps(content, protocol=4))


@pytest.fixture
def official(tmp_path):
    """A folder with two training files of 4 and 3 images and one of 5 validation images; returns (folder, contents)."""
    folder = tmp_path / "ImageNet"
    folder.mkdir()
    contents = {
        "train_data_batch_1": official_batch(4, 1, seed=1, mean=np.random.default_rng(1).uniform(0, 255, ROW)),
        "train_data_batch_2": official_batch(3, 998, seed=2),
        "val_data": official_batch(5, 500, seed=3),
    }
    for name, content in contents.items():
        write_pickle(folder / name, content)
    return folder, contents


def cache_entries(experiment):
    """Names of what lies in the cache, lock files left out."""
    folder = experiment.cache_folder
    return sorted(path.name for path in folder.glob("*") if path.suffix != ".lock")


# --- the registry --------------------------------------------------------------------------------------------------


def test_facts_are_known_without_files(experiment):
    assert datasets.facts(experiment().data) == Facts(1281167, 50000, (3, 32, 32), 1000)
    assert datasets.facts(experiment("Data.dataset=ImageNet64").data) == Facts(1281167, 50000, (3, 64, 64), 1000)
    assert datasets.facts(experiment("Data.dataset=CIFAR10").data) == Facts(50000, 10000, (3, 32, 32), 10)
    assert datasets.facts(experiment(*COLLAGE).data) == Facts(300, 40, (3, 32, 32), 10)
    assert datasets.planned(experiment("Data.data_ratio=0.3")).facts.train_images == 384350


# --- ratio, map, validation ----------------------------------------------------------------------------------------


def test_ratio_map_and_validation_take_the_first_images(experiment, reports, tmp_path):
    complete = datasets.load(experiment(*COLLAGE, "Network.val_size=40"), reports.append)
    ids = [3, 1, 4, 1, 0, 2, 2, 3, 3, 4]
    (tmp_path / "ids").write_text(",".join(map(str, ids)))
    changed = experiment(*COLLAGE, "Data.data_ratio=0.25", f"Data.reclass=f,5,{tmp_path / 'ids'}")
    part = datasets.load(changed, reports.append)
    assert datasets.planned(changed).facts == Facts(75, 30, (3, 32, 32), 5)
    np.testing.assert_array_equal(part.images, complete.images[:75])
    np.testing.assert_array_equal(part.labels, np.array(ids)[complete.labels[:75]])
    np.testing.assert_array_equal(part.val_images, complete.val_images[:30])
    np.testing.assert_array_equal(part.val_labels, np.array(ids)[complete.val_labels[:30]])
    np.testing.assert_array_equal(part.mean, complete.mean)
    np.testing.assert_allclose(complete.mean, complete.images.mean(axis=0), rtol=1e-6)
    assert complete.mean.dtype == np.float32
    assert part.classes == 5 and part.labels.dtype == part.val_labels.dtype == np.int32
    assert len(part.val_images) == 30 and part.shape == (3, 32, 32)
    assert len(reports) == 1 and "EdgeCollage32" in reports[0]
    np.testing.assert_array_equal(datasets.load_complete(changed, reports.append).val_images, complete.val_images)


# --- the official files --------------------------------------------------------------------------------------------


def test_official_pickles(experiment, official, reports):
    _, contents = official
    images = datasets.load(experiment(), reports.append)
    first, second, validation = contents.values()
    np.testing.assert_array_equal(images.images, np.concatenate([first["data"], second["data"]]))
    assert images.labels.tolist() == [0, 1, 2, 3, 997, 998, 999] and images.labels.dtype == np.int32
    np.testing.assert_array_equal(images.val_images, validation["data"][:3])
    assert images.val_labels.tolist() == [499, 500, 501]
    np.testing.assert_array_equal(images.mean, first["mean"].astype(np.float32))
    assert images.shape == (3, 32, 32) and images.classes == 1000 and "2 of 10 official" in images.source


def test_npz_files_give_the_same(experiment, official):
    folder, contents = official
    pickled = datasets.load(experiment(), quiet)
    for name in ("train_data_batch_2", "val_data"):
        np.savez_compressed(folder / f"{name}.npz", **contents[name])
        (folder / name).unlink()
    assert_same(pickled, datasets.load(experiment(), quiet))
    assert len(cache_entries(experiment())) == 2


def test_pickles_of_python_2_are_read(experiment, official):
    """Their byte strings need the encoding latin1. This is a uint8 array as Python 2 pickles it, by hand."""
    folder, _ = official
    content = official_batch(1, 7)
    raw = b"".join(b"\\x%02x" % value for value in content["data"].tobytes())
    (folder / "train_data_batch_2").write_bytes(
        b"(dp0\nS'labels'\n(lp1\nI7\nasS'data'\ncnumpy.core.multiarray\n_reconstruct\n"
        b"(cnumpy\nndarray\n(I0\ntS'b'\ntRp2\n(I1\n(I1\nI3072\nt"
        b"cnumpy\ndtype\n(S'u1'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbI00\nS'" + raw + b"'\ntbs."
    )
    images = datasets.load(experiment(), quiet)
    np.testing.assert_array_equal(images.images[4:], content["data"])
    assert images.labels[4:].tolist() == [6]


def test_imagenet64(experiment, tmp_path):
    (tmp_path / "ImageNet").mkdir()
    for name in ("train_data_batch_1", "val_data"):
        write_pickle(tmp_path / "ImageNet" / name, official_batch(3, size=64, mean=np.zeros(12288)))
    images = datasets.load(experiment("Data.dataset=ImageNet64"), quiet)
    assert images.images.shape == (3, 12288) and images.shape == (3, 64, 64)


def test_fewer_images_than_asked_give_one_warning(experiment, official, reports):
    """data_ratio counts the official 1,281,167 images: 4e-6 of them are 5."""
    images = datasets.load(experiment(), reports.append)
    warnings = [line for line in reports if line.startswith("Warning")]
    assert len(images.images) == 7 and len(warnings) == 1 and "only 7" in warnings[0] and "1281167" in warnings[0]
    reports.clear()
    assert len(datasets.load(experiment("Data.data_ratio=4e-6"), reports.append).images) == 5 and reports == []


def test_an_incomplete_set_gives_a_score_and_the_validation_what_is_there(tmp_path, official, reports):
    """The defaults of SNIP and val_size are for the official numbers, and so is what a run has recorded."""
    changes = "Data.dataset=ImageNet32", f"Data.dataloc={official[0]}", "Network.val_size=1000", "SNIP.images=10000"
    images = datasets.load(
        inputs.read_experiment([str(write_input(tmp_path, *changes, method="SNIP"))]), reports.append
    )
    lines = [line.partition("Warning: ")[2] for line in reports if "Warning" in line]
    there = "are there, and all are used;"
    assert lines[0].startswith(f"only 7 training images of ImageNet32 {there} [Data] data_ratio = 1.0 asks for")
    assert lines[1] == f"only 5 validation images of ImageNet32 {there} [Network] val_size asks for 1000"
    assert lines[2] == f"only 7 training images of ImageNet32 {there} [SNIP] images asks for 10000"
    assert (len(images.images), len(images.val_images)) == (7, 5)


@pytest.mark.parametrize("name", ["train_data_batch_1", "train_data_batch_2", "val_data"])
def test_a_missing_file_in_front_or_between_is_refused(experiment, official, name):
    folder, _ = official
    write_pickle(folder / "train_data_batch_3", official_batch(1))
    (folder / name).unlink()
    assert_refused(experiment(), folder / name, "no such file")


def without(name):
    return lambda content: content.pop(name)


def changed(**fields):
    return lambda content: content.update(fields)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("data"), "holds labels, mean; accepted: data, labels"),
        (without("labels"), "holds data, mean; accepted: data, labels"),
        (without("mean"), "holds data, labels; accepted: data, labels, mean"),
        (changed(labels=[1, 2, 3]), "has 4 images but 3 labels"),
        (changed(labels=[0, 1, 2, 3]), "has the label 0; accepted: 1 ... 1000"),
        (changed(labels=[1, 1001, 2, 3]), "has the label 1001; accepted: 1 ... 1000"),
        (changed(labels=[1.0, 2.0, 3.0, 4.0]), "labels are float64 (4,); accepted: a list of whole numbers"),
        (changed(labels=[1, [2], 3, 4]), "accepted: whole numbers"),
        (changed(labels="1234"), "accepted: a list of whole numbers"),
        (changed(data=np.zeros((4, ROW - 1), np.uint8)), "shape (4, 3071); accepted: [n, 3072]"),
        (changed(data=np.zeros((4, 4 * ROW), np.uint8)), "shape (4, 12288); accepted: [n, 3072]"),
        (changed(data=np.zeros((4, 3, 32, 32), np.uint8)), "shape (4, 3, 32, 32); accepted: [n, 3072]"),
        (changed(data=np.zeros((0, ROW), np.uint8), labels=[]), "data has no images"),
        (changed(data=np.zeros((4, ROW), np.float32)), "data is an array of float32; accepted: an array of uint8"),
        (changed(data=[[0] * ROW] * 4), "data is a list; accepted: an array of uint8"),
        (changed(mean=np.zeros(ROW + 1)), "mean has the shape (3073,)"),
        (changed(mean=np.full(ROW, np.nan)), "not finite"),
        (changed(mean=[0.0] * ROW), "mean is a list"),
    ],
)
def test_wrong_contents_are_refused_in_a_line_that_names_the_file(experiment, official, change, message):
    folder, contents = official
    change(contents["train_data_batch_1"])
    write_pickle(folder / "train_data_batch_1", contents["train_data_batch_1"])
    assert_refused(experiment(), folder / "train_data_batch_1", message)


def assert_refused(refused, path, message):
    with pytest.raises(DataError) as error:
        datasets.load(refused, quiet)
    assert str(error.value).startswith(f"{path}: ") and message in str(error.value) and "\n" not in str(error.value)
    assert cache_entries(refused) == []


def test_npy_in_place_of_an_npz_is_refused(experiment, official):
    folder, _ = official
    (folder / "train_data_batch_2").unlink()
    np.save(folder / "array.npy", np.zeros(3))
    os.replace(folder / "array.npy", folder / "train_data_batch_2.npz")
    assert_refused(experiment(), folder / "train_data_batch_2.npz", "is not an .npz file")


# --- the cache -----------------------------------------------------------------------------------------------------


def test_second_load_reads_no_source_files_and_maps_the_images(experiment, official, reports, monkeypatch):
    """Until a file changes."""
    folder, contents = official
    first = datasets.load(experiment(), reports.append)
    assert len(reports) == 2  # once prepared, and the warning
    with monkeypatch.context() as patch:
        patch.setattr(official_module, "read_batch", lambda *_: pytest.fail("a source file was read"))
        second = datasets.load(experiment(), reports.append)
    assert_same(first, second)
    assert len(reports) == 3 and isinstance(second.images, np.memmap) and not second.images.flags.writeable
    contents["train_data_batch_2"]["data"][:] = 9
    write_pickle(folder / "train_data_batch_2", contents["train_data_batch_2"])
    assert (datasets.load(experiment(), quiet).images[4:] == 9).all()
    assert len(cache_entries(experiment())) == 2


def test_each_collage_and_clone_has_its_own_entry(experiment):
    variants = [
        [],
        ["Data.collage_seed=1"],
        ["Data.collage_class=orientation"],
        ["Data.collage_images=301"],
        ["Data.collage_size=64"],
        ["Data.collage_classes=100"],
        ["Data.clone=gaussian"],
        ["Data.clone=gaussian", "Data.clone_seed=1"],
        ["Data.clone=gaussian", "Data.clone_images=200"],
        ["Data.clone=gaussian", "Data.clone_images_per_class=5"],
        ["Data.clone=gaussian", "Data.clone_ridge=2.5"],
    ]
    loaded = [datasets.load(experiment(*COLLAGE, *variant), quiet) for variant in variants]
    assert len(cache_entries(experiment())) == len(variants)
    assert len({images.images[:200].tobytes() for images in loaded}) == len(variants) - 1  # more images begin alike
    again = [datasets.load(experiment(*COLLAGE, *variant), lambda line: pytest.fail(line)) for variant in variants]
    for one, other in zip(loaded, again, strict=True):
        assert_same(one, other)
    for variant in (["Data.data_ratio=0.5"], ["Data.reclass=m,2"], ["Network.val_size=1"]):  # share the first entry
        datasets.load(experiment(*COLLAGE, *variant), pytest.fail)


def test_clone_keeps_labels_mean_and_sizes(experiment):
    original = datasets.load(experiment(*COLLAGE), quiet)
    clone = datasets.load(experiment(*COLLAGE, "Data.clone=gaussian"), quiet)
    np.testing.assert_array_equal(clone.labels, original.labels)
    np.testing.assert_array_equal(clone.val_labels, original.val_labels)
    np.testing.assert_array_equal(clone.mean, original.mean)
    assert clone.images.shape == original.images.shape and clone.val_images.shape == original.val_images.shape
    assert clone.source.startswith("Gaussian clone, clone_seed 0, fitted to 300 images, ")
    assert clone.source.endswith(f" % of the pixels clipped, of {original.source}")


def test_failure_in_the_middle_leaves_nothing(experiment, official, monkeypatch):
    def interrupted(path, *arguments):
        if path.name == "train_data_batch_2":
            raise KeyboardInterrupt
        return whole(path, *arguments)

    whole = official_module.read_batch
    monkeypatch.setattr(official_module, "read_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        datasets.load(experiment(), quiet)
    assert cache_entries(experiment()) == []
    monkeypatch.undo()
    assert len(datasets.load(experiment(), quiet).images) == 7


def test_what_a_killed_process_left_is_removed(experiment):
    images = datasets.load(experiment(*COLLAGE), quiet)
    (entry,) = cache_entries(experiment())
    folder = experiment().cache_folder
    os.replace(folder / entry, folder / f"{entry}.partial")
    (folder / f"{entry}.partial" / "stray").write_text("")
    assert_same(images, datasets.load(experiment(*COLLAGE), quiet))
    assert cache_entries(experiment()) == [entry] and not (folder / entry / "stray").exists()


def make_slowly(folder, started, proceed, made):
    """In a second process: make an entry, but wait in the middle of it."""

    def make(path):
        started.set()
        assert proceed.wait(60)
        return write_tiny(path)

    made.put(len(cache.image_set(folder, "tiny", {"a": 1}, make, quiet).images))


def write_tiny(path):
    for name in cache.ARRAYS:
        np.save(path / f"{name}.npy", np.zeros((2, 3), np.uint8))
    return cache.Description("tiny", (3, 1, 1), 2)


def test_second_process_waits_for_the_one_that_makes_the_entry(tmp_path):
    context = multiprocessing.get_context("spawn")
    started, proceed, made = context.Event(), context.Event(), context.Queue()
    process = context.Process(target=make_slowly, args=(tmp_path, started, proceed, made))
    process.start()
    assert started.wait(60)
    lines = []

    def report(line):
        lines.append(line)
        proceed.set()  # only now that this process waits

    images = cache.image_set(tmp_path, "tiny", {"a": 1}, lambda path: pytest.fail("made twice"), report)
    process.join(60)
    assert process.exitcode == 0 and made.get(timeout=60) == len(images.images) == 2
    assert len(lines) == 1 and lines[0].startswith("Waiting for another process that prepares tiny-")


def test_rows_are_written_block_by_block(tmp_path):
    """Also none, and with a header that is as long at the end as at the start."""
    blocks = [np.arange(6, dtype=np.uint8).reshape(2, 3), np.full((11, 3), 7, dtype=np.uint8)]
    cache.write_rows(tmp_path / "rows.npy", 3, iter(blocks))
    np.testing.assert_array_equal(np.load(tmp_path / "rows.npy"), np.concatenate(blocks))
    cache.write_rows(tmp_path / "none.npy", 3, [])
    assert np.load(tmp_path / "none.npy").shape == (0, 3)
