"""`dataset = folder`: a user's own images, one sub-folder a class.

    dataloc/train/CLASS/FILE and dataloc/val/CLASS/FILE, the same classes in both; or dataloc/CLASS/FILE, of which
    every class then gives a tenth of its images for validation.

Classes are numbered in the order of their names. The order of the images, and which ones are for validation, follow
from the SHA-256 of CLASS/FILE: on every machine the same, and mixed, so that the first images are of all classes.
"""

import contextlib
import hashlib
import io
import itertools
import math
import os
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from sifting.datasets import cache
from sifting.datasets.source import Facts, Report
from sifting.errors import DataError, one_line
from sifting.experiment.experiment import Experiment
from sifting.experiment.sections import Data
from sifting.network.plates import Shape

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
GREY = ("1", "L", "LA", "La")
EIGHT_BITS = (*GREY, "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")  # a channel, at most
HELD_OUT = 10  # one image of so many is for validation
BLOCK = 256  # images


class Listed(NamedTuple):
    """An image file: its path below dataloc, and its class."""

    name: str
    label: int


@dataclass(frozen=True)
class Listing:
    """What a folder holds.

    Attributes:
        class_names: names of the class folders, sorted.
        training, validation: files, in their order in the ImageSet.
    """

    class_names: tuple[str, ...]
    training: list[Listed]
    validation: list[Listed]


def list_folder(root: Path) -> Listing:
    """Find all image files; none is opened.

    Raises:
        DataError: there is no folder of this kind, fewer than two classes, or a class without images.
    """
    splits = [name for name in ("train", "val") if os.path.isdir(root / name)]
    if len(splits) == 1:
        raise DataError(
            f"{root}: has a sub-folder {splits[0]} alone; accepted: train and val with the same class folders, or "
            "class folders only"
        )
    if splits:
        training, validation = (_class_files(root, name) for name in splits)
        if training.keys() != validation.keys():
            name = min(training.keys() ^ validation.keys())
            raise DataError(f"{root}: only one of train and val has a class {name!r}; accepted: the same classes")
    else:
        training, validation = {}, {}
        for name, files in _class_files(root, "").items():
            if len(files) < 2:
                raise DataError(
                    f"{root / name}: has one image; accepted: at least 2, of which one is for validation, or "
                    "sub-folders train and val"
                )
            held_out = max(1, len(files) // HELD_OUT)
            training[name], validation[name] = files[held_out:], files[:held_out]
    return Listing(tuple(training), _mixed(training), _mixed(validation))


def _class_files(root: Path, split: str) -> dict[str, list[tuple[bytes, str]]]:
    """Of each class, by name: hash and path below root of its images, in the order of the hashes."""
    folder = root / split
    classes = {
        name: sorted((_hash(name, file), os.path.join(split, name, file)) for file in _image_files(folder / name))
        for name in sorted(_sub_folders(folder))
    }
    if len(classes) < 2:
        raise DataError(f"{folder}: has {len(classes)} sub-folders; accepted: at least 2, one for each class")
    for name, files in classes.items():
        if not files:
            raise DataError(f"{folder / name}: holds no images; accepted: files {', '.join(SUFFIXES)}")
    return classes


def _hash(class_name: str, file: str) -> bytes:
    return hashlib.sha256(os.fsencode(f"{class_name}/{file}")).digest()


def _mixed(classes: dict[str, list[tuple[bytes, str]]]) -> list[Listed]:
    """The images of all classes in the order of their hashes."""
    files = ((key, name, label) for label, entries in enumerate(classes.values()) for key, name in entries)
    return [Listed(name, label) for _, name, label in sorted(files)]


def _sub_folders(folder: Path) -> list[str]:
    return [entry.name for entry in _scan(folder) if entry.is_dir()]


def _image_files(folder: Path) -> list[str]:
    return [entry.name for entry in _scan(folder) if entry.name.lower().endswith(SUFFIXES) and not entry.is_dir()]


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, hidden files and folders left out."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be read ({error.strerror}); [Data] dataloc must be a folder with one sub-folder of "
            "images for each class, or with two folders of that kind, train and val"
        ) from None


class Picture(NamedTuple):
    """An image as a file or its content: what a refusal calls it, and its class."""

    file: Path | io.BytesIO
    name: str
    label: int


@contextlib.contextmanager
def _opened(picture: Picture) -> Iterator[Image.Image]:
    """Raises DataError: it cannot be read, here or in the body, or is not an image of 8 bits a channel."""
    try:
        with Image.open(picture.file, formats=FORMATS) as image:
            if image.mode not in EIGHT_BITS:
                raise ValueError(f"its pixels are {image.mode}; accepted: up to 8 bits a channel")
            yield image
    except Exception as error:  # a damaged image can raise nearly anything
        unknown = isinstance(error, UnidentifiedImageError)
        reason = f"accepted: {', '.join(FORMATS)}" if unknown else one_line(error)
        raise DataError(f"{picture.name}: cannot be read as an image ({reason})") from None


@contextlib.contextmanager
def _careful() -> Iterator[None]:
    """Not for a thread, since all of them share filters of warnings."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")  # of odd metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def channels_of(pictures: Iterable[Picture]) -> int:
    """1 if all images are grey, else 3. Of their files only the headers are read, up to the first one in colour.

    Raises:
        DataError: as `blocks`.
    """
    with _careful():
        for picture in pictures:
            with _opened(picture) as image:
                if image.mode not in GREY:
                    return 3
    return 1


def read_image(picture: Picture, size: int | None, channels: int) -> np.ndarray:
    """The largest square in the centre of an image, upright, averaged over areas (box filter) to size x size pixels;
    without a size, the whole image as it is.

    Args:
        channels: 1 or 3.

    Returns:
        uint8 [channels, height, width], red plane first. Transparency is ignored.

    Raises:
        DataError: the file cannot be read, or is not an image of 8 bits a channel.
    """
    with _opened(picture) as file:
        image = ImageOps.exif_transpose(file)
        if size:
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            image = image.crop((left, top, left + side, top + side))
        image = image.convert("L" if channels == 1 else "RGB")
    pixels = np.asarray(image.resize((size, size), Image.Resampling.BOX) if size else image)
    return np.moveaxis(pixels.reshape(*pixels.shape[:2], channels), 2, 0)


def blocks(pictures: Iterable[Picture], size: int | None, shape: Shape) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images and labels: uint8 [n, pixels] and int32 [n].

    Args:
        size: as read_image.
        shape: (channels, height, width) of all of them.

    Raises:
        DataError: as read_image, or an image of another shape.
    """

    def row(picture: Picture) -> np.ndarray:
        image = read_image(picture, size, shape[0])
        if image.shape != shape:
            sizes = [f"{width} x {height} pixels" for _, height, width in (image.shape, shape)]
            raise DataError(
                f"{picture.name}: has {sizes[0]}; accepted: {sizes[1]}, as the first one, or [Data] image_size"
            )
        return image.ravel()

    left = iter(pictures)
    with ThreadPoolExecutor() as threads:
        while block := list(itertools.islice(left, BLOCK)):
            with _careful():
                images = list(threads.map(row, block))
            yield np.stack(images), np.array([picture.label for picture in block], dtype=np.int32)


class Folder(cache.Prepared):
    """The data set folder, a Source. It lists a folder once; datasets.planned makes one for each plan."""

    _listing: Listing | None = None
    _shape: Shape | None = None

    def _listed(self, data: Data) -> Listing:
        if self._listing is None:
            self._listing = list_folder(_root(data))
        return self._listing

    def facts(self, data: Data) -> Facts:
        listing = self._listed(data)
        counts = len(listing.training), len(listing.validation)
        if self._shape is None:
            channels = channels_of(_pictures(data, listing.training + listing.validation))
            self._shape = channels, data.image_size, data.image_size
        return Facts(*counts, self._shape, len(listing.class_names))

    def identity(self, experiment: Experiment) -> dict[str, Any]:
        """Names, sizes and times of all files, as one hash: there can be very many."""
        root, listing = _root(experiment.data), self._listed(experiment.data)
        digest = hashlib.sha256()
        for file in [*listing.training, *listing.validation]:
            ((_, size, time),) = cache.stamps([root / file.name])
            digest.update(os.fsencode(f"{file.name}\0{size}\0{time}\n"))
        # Entries of images in colour are those of earlier versions.
        grey = {"channels": 1} if self.facts(experiment.data).shape[0] == 1 else {}
        return {"dataset": "folder", "image_size": experiment.data.image_size, "files": digest.hexdigest(), **grey}

    def entry_name(self, data: Data) -> str:
        return "folder"

    def make(self, experiment: Experiment, folder: Path, report: Report) -> cache.Description:
        data, listing, shape = experiment.data, self._listed(experiment.data), self.facts(experiment.data).shape
        counts, size = f"{len(listing.training)} + {len(listing.validation)} images", shape[1]
        report(f"Preparing the {counts} of {data.dataloc}, once; later runs take seconds")
        splits = [blocks(_pictures(data, files), size, shape) for files in (listing.training, listing.validation)]
        cache.write_splits(folder, math.prod(shape), *splits)
        grey = "grey " if shape[0] == 1 else ""
        text = f"{counts} in {_root(data)}, {size} x {size} {grey}pixels, mean image of the training images"
        return cache.Description(text, shape, len(listing.class_names), listing.class_names)


def _pictures(data: Data, files: list[Listed]) -> Iterator[Picture]:
    paths = ((_root(data) / file.name, file.label) for file in files)
    return (Picture(path, str(path), label) for path, label in paths)


def _root(data: Data) -> Path:
    return Path(data.dataloc).expanduser()
