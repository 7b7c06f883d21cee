"""`dataset = hf`: a data set of Hugging Face's library `datasets`, as it is on this disk; nothing is ever downloaded.

    dataloc      NAME, as on the hub, or a folder that load_dataset reads; NAME:CONFIG for one of several
    images       a column of images, see IMAGES
    labels       whole numbers or strings, see LABELS; numbered as their ClassLabel, or as in datasets.npz
    validation   the first split of VALIDATION; without one, every tenth training image of each class

The library is needed for this data set alone, and no requirement of the package.
"""

import hashlib
import io
import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from sifting.datasets import cache
from sifting.datasets.folder import BLOCK, Picture, blocks, channels_of, read_image
from sifting.datasets.npz import Given, Split, splits
from sifting.datasets.source import Facts, Report
from sifting.errors import DataError, one_line
from sifting.experiment.experiment import Experiment
from sifting.experiment.sections import Data
from sifting.network.plates import Shape

IMAGES = ("image", "img")
LABELS = ("label", "labels", "fine_label")
VALIDATION = ("validation", "valid", "val", "test")


class Opened(NamedTuple):
    """A data set on disk.

    Attributes:
        rows: by split, a datasets.Dataset whose images are {"bytes": ..., "path": ...}.
        images: their column.
        training, validation: which images, and their labels.
        classes, class_names: as in ImageSet.
        shape: of the images.
    """

    rows: dict[str, Any]
    images: str
    training: Split
    validation: Split
    classes: int
    class_names: tuple[str, ...]
    shape: Shape

    def pictures(self, split: Split, dataloc: str) -> Iterator[Picture]:
        """The images of a split, in the order of the SHA-256 of their numbers, since many sets are sorted by class; a
        few are in memory at a time. Raises DataError: a row has none."""
        rows, numbers = self.rows[split.field], np.flatnonzero(split.rows)
        mixed = sorted(range(len(numbers)), key=lambda place: hashlib.sha256(b"%d" % numbers[place]).digest())
        for start in range(0, len(mixed), BLOCK):
            places = mixed[start : start + BLOCK]
            for place, image in zip(places, rows[numbers[places]][self.images], strict=True):
                name = f"{dataloc}: image {numbers[place]} of {split.field}"
                if image is None:
                    raise DataError(f"{name}: there is none; accepted: an image in each row")
                file = Path(image["path"]) if image["bytes"] is None else io.BytesIO(image["bytes"])
                yield Picture(file, name, int(split.labels[place]))


class HuggingFace(cache.Prepared):
    """The data set hf, a Source. It opens a data set once; datasets.planned makes one for each plan."""

    _opened: Opened | None = None

    def _open(self, data: Data) -> Opened:
        if self._opened is None:
            self._opened = _open(data)
        return self._opened

    def facts(self, data: Data) -> Facts:
        opened = self._open(data)
        counts = len(opened.training.labels), len(opened.validation.labels)
        return Facts(*counts, opened.shape, opened.classes)

    def identity(self, experiment: Experiment) -> dict[str, Any]:
        opened = self._open(experiment.data)
        files = {file["filename"]: None for rows in opened.rows.values() for file in rows.cache_files}
        return {"dataset": "hf", "image_size": experiment.data.image_size, "files": cache.stamps(map(Path, files))}

    def entry_name(self, data: Data) -> str:
        return "hf"

    def make(self, experiment: Experiment, folder: Path, report: Report) -> cache.Description:
        data, opened = experiment.data, self._open(experiment.data)
        report(f"Preparing the images of {data.dataloc}, once; later runs take seconds")
        parts = opened.training, opened.validation
        given = [blocks(opened.pictures(part, data.dataloc), data.image_size, opened.shape) for part in parts]
        cache.write_splits(folder, math.prod(opened.shape), *given)
        names = " and ".join(dict.fromkeys(part.field for part in parts))
        text = f"{data.dataloc} of Hugging Face, {names}, mean image of the training images"
        return cache.Description(text, opened.shape, opened.classes, opened.class_names)


def _open(data: Data) -> Opened:
    """Raises DataError: it is not here, or is not what the module's docstring says."""
    where = data.dataloc
    library = _library()
    found = _loaded(library, where)
    if "train" not in found:
        raise DataError(f"{where}: has the splits {', '.join(found)[:100]}; accepted: train, {', '.join(VALIDATION)}")
    names = ["train", *[name for name in VALIDATION if name in found][:1]]
    features = found["train"].features
    images, labels = (_column(where, features, accepted) for accepted in (IMAGES, LABELS))
    if not isinstance(features[images], library.Image):
        raise DataError(f"{where}: the column {images} has no images; accepted: datasets.Image")
    values = {name: np.array(found[name][labels][:]) for name in names}
    given = [Given(name, f"{labels} of {name}", len(values[name]), values[name]) for name in names]
    rows = {name: found[name].cast_column(images, library.Image(decode=False)) for name in names}
    class_names = tuple(getattr(features[labels], "names", None) or ())
    opened = Opened(rows, images, *splits(where, given, class_names), (0, 0, 0))
    parts = opened.training, opened.validation
    pictures = (picture for part in parts for picture in opened.pictures(part, where))
    first = next(opened.pictures(opened.training, where))
    shape = read_image(first, data.image_size, channels_of(pictures)).shape
    return opened._replace(shape=(shape[0], shape[1], shape[2]))


def _library() -> ModuleType:
    """datasets. Raises DataError: it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it imports in turn
            import datasets

            datasets.load_dataset  # noqa: B018  a folder of this name can be imported, too
    except (ImportError, AttributeError):
        raise DataError("[Data] dataset = hf needs Hugging Face's library; accepted: pip install datasets") from None
    library: ModuleType = datasets
    return library


def _loaded(library: ModuleType, where: str) -> dict[str, Any]:
    """Its splits, from this disk. Raises DataError: it cannot be read, or is not there."""
    name, _, config = where.partition(":")
    settings, logging = library.config, library.utils.logging
    before = settings.HF_HUB_OFFLINE, logging.get_verbosity()
    try:
        settings.HF_HUB_OFFLINE = True
        logging.set_verbosity_error()  # it would warn that it is offline
        # What is in memory alone has no files that tell it from other images, see identity.
        found: dict[str, Any] = library.load_dataset(os.path.expanduser(name), config or None, keep_in_memory=False)
    except Exception as error:  # whatever damaged files lead to
        line = f"{where}: is no data set of Hugging Face on this disk ({one_line(error)[:200]})"
        if not os.path.isdir(os.path.expanduser(name)):
            arguments = ", ".join(map(repr, filter(None, (name, config))))
            line += ', and none is downloaded unasked; to download it: python -c "import datasets; '
            line += f'datasets.load_dataset({arguments})"'
        raise DataError(line) from None
    finally:
        settings.HF_HUB_OFFLINE = before[0]
        logging.set_verbosity(before[1])
    return found


def _column(where: str, features: dict[str, Any], accepted: tuple[str, ...]) -> str:
    """The one of these names. Raises DataError: there is none, or several."""
    found = [name for name in accepted if name in features]
    if len(found) != 1:
        raise DataError(f"{where}: has the columns {', '.join(features)[:100]}; accepted: one of {', '.join(accepted)}")
    return found[0]
