"""Whatever file is damaged, and however: one line that names it; no code of it is run, and nothing is made of it."""

import io
import json
import pickle

import numpy as np
import pytest
from random_networks import random_round
from synthetic import RunsCode, npz_fields, official_batch, write_input

from postprocess import cache
from postprocess.crosscheck.recording import load_recording
from sifting import datasets, inputs
from sifting.base import checksums
from sifting.errors import SiftingError
from sifting.network.rounds import RoundInProgress
from sifting.runs.directory import RunDirectory

IMAGENET = {
    "train_data_batch_1": official_batch(4, seed=1, mean=np.zeros(3072)),
    "train_data_batch_2": official_batch(3, 998, seed=2),
    "val_data": official_batch(5, 500, seed=3),
}
CIFAR = {f"data_batch_{n}": official_batch(4, seed=n) for n in range(1, 6)} | {"test_batch": official_batch(3)}


def images(folder, dataset, name):
    """(path, read) of a file in the folder `images`."""
    path = write_input(folder, f"Data.dataset={dataset}", f"Data.dataloc={folder / name}", "Network.val_size=2")
    return lambda: datasets.load(inputs.read_experiment([str(path)]), lambda line: None)


def official(dataset, contents, damaged, compressed=False):
    """The files of a published set, of which one will be damaged."""

    def prepare(folder):
        (folder / "images").mkdir()
        for name, content in contents.items():
            (folder / "images" / name).write_bytes(pickle.dumps(content))
        path = folder / "images" / damaged
        if compressed:
            path.unlink()
            path = path.with_suffix(".npz")
            np.savez_compressed(path, **contents[damaged])
        return path, images(folder, dataset, "images")

    return prepare


def own_images(folder):
    np.savez_compressed(folder / "own.npz", **npz_fields(class_names=np.array(["ant", "bee", "cow"])))
    return folder / "own.npz", images(folder, "npz", "own.npz")


def prepared_images(name):
    """A file that the cache holds."""

    def prepare(folder):
        _, read = own_images(folder)
        read()
        (entry,) = (path for path in (folder / "cache").glob("**/*") if path.name == name)
        return entry, read

    return prepare


def round_pickle(folder):
    run = RunDirectory(folder, "IMP")
    run.write_round(random_round("f4:x", (3, 2, 2), 3))
    return run.round_path(0), lambda: run.read_round(0)


def round_with_checksum(folder):
    run = RunDirectory(folder, "IMP")
    run.write_round(random_round("f4:x", (3, 2, 2), 3), {"rounds": {"0": {}}})
    return run.round_path(0), lambda: run.read_round(0)


def checkpoint(folder):
    run = RunDirectory(folder, "IMP")
    run.write_progress(RoundInProgress.of(random_round("f4:x", (3, 2, 2), 3), 20, step=21), 2.5, {})
    return run.progress_path, run.read_progress


def record(folder):
    run = RunDirectory(folder, "IMP")
    run.write_record({"seed": 1, "rounds": {"0": {"seconds": 0.5}}})
    return run.path("run.json"), run.read_record


def recording(folder):
    np.savez_compressed(folder / "recording.npz", x=np.arange(999), meta=json.dumps({"kind": "imp"}))
    return folder / "recording.npz", lambda: load_recording(folder / "recording.npz", ["imp"])


READERS = {
    "round": round_pickle,
    "round with checksum": round_with_checksum,
    "checkpoint": checkpoint,
    "record": record,
    "ImageNet, first": official("ImageNet32", IMAGENET, "train_data_batch_1"),
    "ImageNet, second": official("ImageNet32", IMAGENET, "train_data_batch_2"),
    "ImageNet, validation": official("ImageNet32", IMAGENET, "val_data"),
    "ImageNet, npz": official("ImageNet32", IMAGENET, "train_data_batch_2", compressed=True),
    "CIFAR-10": official("CIFAR10", CIFAR, "data_batch_3"),
    "own npz": own_images,
    "recording": recording,
    "cache, images": prepared_images("images.npy"),
    "cache, labels": prepared_images("labels.npy"),
    "cache, entry": prepared_images("entry.json"),
}


def in_the_middle(whole: bytes) -> bytes:
    """Overwritten where compressed arrays lie: found only when they are read."""
    return whole[: len(whole) // 4] + bytes(100) + whole[len(whole) // 4 + 100 :]


def with_objects(whole: bytes) -> bytes:
    stream = io.BytesIO()
    with np.load(io.BytesIO(whole)) as file:
        np.savez(stream, **dict(file) | {file.files[-1]: np.array([1, None, RunsCode()])})
    return stream.getvalue()


DAMAGES = {
    "truncated": lambda whole: whole[: len(whole) // 2],
    "nearly whole": lambda whole: whole[:-3],
    "empty": lambda whole: b"",
    "a web page": lambda whole: b"<html>not found</html>",
    "another pickle": lambda whole: pickle.dumps([1, 2, 3]),
    "code": lambda whole: pickle.dumps({"data": 1, "extra": RunsCode()}),
    "in the middle": in_the_middle,
    "objects": with_objects,
}
OF_NPZ = ("in the middle", "objects")  # elsewhere such bytes may be pixels


def files_of(folder):
    return sorted(path for path in folder.rglob("*") if path.suffix != ".lock")


@pytest.mark.parametrize(
    ("reader", "damage"),
    [
        (reader, damage)
        for reader in READERS
        for damage in DAMAGES
        if damage not in OF_NPZ or reader.endswith("npz") or reader == "recording"
    ],
)
def test_damage_is_one_line(reader, damage, in_tmp_path):
    path, read = READERS[reader](in_tmp_path)
    read()
    whole, before = path.read_bytes(), files_of(in_tmp_path)
    path.write_bytes(DAMAGES[damage](whole))
    with pytest.raises(SiftingError) as error:
        read()
    line = str(error.value)
    assert "\n" not in line and (path.name in line or path.parent.name in line)
    assert files_of(in_tmp_path) == before


@pytest.mark.parametrize("reader", ["round with checksum", "checkpoint", "cache, images", "cache, labels"])
def test_one_bit(reader, in_tmp_path):
    """Wherever it is: most of them would load, as another weight or pixel."""
    path, read = READERS[reader](in_tmp_path)
    whole = path.read_bytes()
    for place in np.linspace(0, len(whole) - 60, 20, dtype=int):  # not in the checksum behind a checkpoint
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(SiftingError, match="is damaged"):
            read()
    path.write_bytes(whole)
    read()


def test_checksums_of_files_of_several_blocks(tmp_path, monkeypatch):
    """They depend on the order of the blocks, and are the same for bytes and files."""
    monkeypatch.setattr(checksums, "BLOCK", 10)
    contents = [b"", b"a" * 10, b"a" * 10 + b"b" * 10, b"b" * 10 + b"a" * 10, b"a" * 10 + b"b" * 9, bytes(1000)]
    for content in contents:
        (tmp_path / "file").write_bytes(content)
        assert checksums.of_file(tmp_path / "file") == checksums.of_bytes(content)
    assert len(set(map(checksums.of_bytes, contents))) == len(contents)


@pytest.mark.parametrize("damage", DAMAGES)
def test_stored_arrays_that_are_damaged_are_computed_anew(damage, tmp_path):
    path = tmp_path / "arrays.npz"
    cache.cached(path, {"a": 1}, lambda: {"x": np.arange(3)})
    assert cache.cached(path, {"a": 1}, lambda: pytest.fail("stored"))[1]
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    arrays, known = cache.cached(path, {"a": 1}, lambda: {"x": np.arange(3)})
    assert not known and arrays["x"].tolist() == [0, 1, 2]
