"""Data sets: from the [Data] section to an ImageSet."""

import copy
import dataclasses
from dataclasses import dataclass

import numpy as np

from sifting.datasets.cifar10 import CIFAR10
from sifting.datasets.edge_collage import EdgeCollage
from sifting.datasets.folder import Folder
from sifting.datasets.gaussian_clone import GaussianClone
from sifting.datasets.hf import HuggingFace
from sifting.datasets.image_set import ImageSet
from sifting.datasets.imagenet import IMAGENET32, IMAGENET64
from sifting.datasets.npz import Npz
from sifting.datasets.reclass import class_map, class_names
from sifting.datasets.rotation import Rotated
from sifting.datasets.source import Checked, Facts, Report, Source, checked_facts
from sifting.experiment.experiment import Experiment
from sifting.experiment.sections import Data

DATASETS: dict[str, Source] = {
    "ImageNet32": IMAGENET32,
    "ImageNet64": IMAGENET64,
    "CIFAR10": CIFAR10,
    "EdgeCollage32": EdgeCollage(),
    "npz": Npz(),
    "folder": Folder(),
    "hf": HuggingFace(),
}


@dataclass(frozen=True)
class PlannedImages:
    """The images of an experiment before they are loaded, checked against its input file.

    Attributes:
        experiment: where a default asks for more images than there are, with all that there are.
        source: the complete data set, its Gaussian clone, or the rotated images of either.
        complete: what is known of them, before data_ratio, reclass and val_size.
        facts: what `load` will give if all files are there.
        new_class: int32, the class map.
    """

    experiment: Experiment
    source: Source
    complete: Facts
    facts: Facts
    new_class: np.ndarray

    def check_files(self) -> None:
        """Refuse a data set whose files are not there, without reading any. Raises DataError."""
        self.source.identity(self.experiment)

    def load(self, report: Report) -> ImageSet:
        """Cloned and rotated, then data_ratio, reclass and val_size.

        Args:
            report: called with a line of text before work of more than a second, and with warnings.

        Where fewer images are there than the facts say, all are used, and it is reported.

        Raises:
            DataError: files are missing or damaged, images are not as facts says, or the cache cannot be written.
        """
        data, count, val_size = self.experiment.data, self.facts.train_images, self.facts.val_images
        method = self.experiment.method
        images = self.source.load(self.experiment, report)
        asked = (
            (images.images, "training", f"[Data] data_ratio = {data.data_ratio}", count),
            (images.val_images, "validation", "[Network] val_size", val_size),
            (images.images[:count], "training", f"[{method.name}] images", method.images),
        )
        for found, kind, key, wanted in asked:
            if len(found) < wanted:
                there = f"only {len(found)} {kind} images of {data.dataset} are there, and all are used"
                report(f"Warning: {there}; {key} asks for {wanted}")
        return dataclasses.replace(
            images,
            images=images.images[:count],
            labels=self.new_class[images.labels[:count]],
            val_images=images.val_images[:val_size],
            val_labels=self.new_class[images.val_labels[:val_size]],
            classes=self.facts.classes,
            class_names=class_names(data.reclass, images.class_names, self.complete.semantic),
        )


def planned(experiment: Experiment) -> PlannedImages:
    """Refuse values of the input file that cannot fit its data set, before anything is loaded.

    Raises:
        InputError: data_ratio leaves no image, reclass does not fit the classes, val_size or the method's images are
            more than there are, clone_images cannot hold two images of each class, translate is not less than the
            size of the images.
        DataError: as facts.
    """
    data = experiment.data
    original = copy.copy(DATASETS[data.dataset])  # of its own, so that it may keep what it has found on disk
    complete = checked_facts(original, data)
    train_images = int(data.data_ratio * complete.train_images)
    if train_images < 1:
        raise experiment.error("Data", "data_ratio", f"at least one of the {complete.train_images} training images")
    by_class = data.clone_images_per_class is not None
    if data.clone != "none" and not by_class and data.clone_images < 2 * complete.classes:
        raise experiment.error("Data", "clone_images", f"at least 2 images for each of the {complete.classes} classes")
    for name in ("rotate", "translate"):
        if getattr(data, name) and complete.shape[1] != complete.shape[2]:
            raise experiment.error("Data", name, "0 for images that are not square")
    size = complete.shape[-1]
    if data.translate >= size:
        raise experiment.error("Data", "translate", f"less than {size}, the size of the images")
    experiment = _fitted(experiment, complete.val_images, train_images)
    if experiment.network.val_size > complete.val_images:
        accepted = f"at most {complete.val_images}, the number of validation images"
        raise experiment.error("Network", "val_size", accepted)
    if experiment.method.images > train_images:
        accepted = f"at most {train_images}, the number of training images"
        raise experiment.error(experiment.method_name, "images", accepted)
    try:
        new_class = class_map(data.reclass, complete.classes, complete.semantic)
    except ValueError as error:
        raise experiment.error("Data", "reclass", str(error)) from None
    classes = data.reclass.classes or len(new_class)
    source: Source = Checked(original, complete)
    if data.clone == "gaussian":
        source = GaussianClone(source)
    if data.rotate:
        source = Rotated(source)
    known = Facts(train_images, experiment.network.val_size, complete.shape, classes)
    return PlannedImages(experiment, source, complete, known, new_class)


def _fitted(experiment: Experiment, val_images: int, train_images: int) -> Experiment:
    """With all images that there are, where a default asks for more."""
    default = ("Network", "val_size") not in experiment.sources
    if default and 0 < val_images < experiment.network.val_size:
        experiment = experiment.replace("Network", val_size=val_images)
    default = (experiment.method_name, "images") not in experiment.sources
    if default and 2 <= train_images < experiment.method.images:
        experiment = experiment.replace(experiment.method_name, images=train_images)
    return experiment


def facts(data: Data) -> Facts:
    """The complete data set, before data_ratio, reclass and val_size, as far as it is known without loading it.

    Raises:
        DataError: the user's own files (npz, folder, hf) are missing or damaged, or an extension is not as Source says.
    """
    return checked_facts(copy.copy(DATASETS[data.dataset]), data)


def load(experiment: Experiment, report: Report) -> ImageSet:
    """The images of an experiment; sections Data, Network (val_size) and IO (cache_dir) are used. Raises as
    `planned` and PlannedImages.load."""
    return planned(experiment).load(report)


def load_complete(experiment: Experiment, report: Report) -> ImageSet:
    """All images that are there: cloned and rotated as the experiment says, before data_ratio, reclass and val_size.
    Raises as `load`, but for val_size."""
    return planned(experiment).source.load(experiment, report)
