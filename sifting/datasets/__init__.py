"""Data sets: from the [Data] section to an ImageSet."""

import dataclasses

from sifting import inputs
from sifting.datasets.cifar10 import CIFAR10
from sifting.datasets.edge_collage import EdgeCollage
from sifting.datasets.folder import Folder
from sifting.datasets.gaussian_clone import GaussianClone
from sifting.datasets.image_set import ImageSet
from sifting.datasets.imagenet import IMAGENET32, IMAGENET64
from sifting.datasets.npz import Npz
from sifting.datasets.reclass import class_map, class_names
from sifting.datasets.rotation import Rotated
from sifting.datasets.source import Checked, Facts, Report, Source, checked_facts

DATASETS: dict[str, Source] = {
    "ImageNet32": IMAGENET32,
    "ImageNet64": IMAGENET64,
    "CIFAR10": CIFAR10,
    "EdgeCollage32": EdgeCollage(),
    "npz": Npz(),
    "folder": Folder(),
}


def facts(data: inputs.Data) -> Facts:
    """The complete data set, before data_ratio, reclass and val_size, as far as it is known without loading it.

    Raises:
        DataError: the user's own files (npz, folder) are missing or damaged, or an extension is not as Source says.
    """
    return checked_facts(DATASETS[data.dataset], data)


def check(experiment: inputs.Experiment) -> Facts:
    """Refuse values of the input file that cannot fit its data set, before anything is loaded.

    Returns:
        What `load` will give if all files are there: after data_ratio, reclass and val_size.

    Raises:
        InputError: data_ratio leaves no image, reclass does not fit the classes, val_size or the method's images are
            more than there are, clone_images cannot hold two images of each class, translate is not less than the
            size of the images.
        DataError: as facts.
    """
    data, complete = experiment.data, facts(experiment.data)
    train_images = int(data.data_ratio * complete.train_images)
    if train_images < 1:
        raise experiment.error("Data", "data_ratio", f"at least one of the {complete.train_images} training images")
    by_class = data.clone_images_per_class is not None
    if data.clone != "none" and not by_class and data.clone_images < 2 * complete.classes:
        raise experiment.error("Data", "clone_images", f"at least 2 images for each of the {complete.classes} classes")
    size = complete.shape[-1]
    if data.translate >= size:
        raise experiment.error("Data", "translate", f"less than {size}, the size of the images")
    _check_val_size(experiment, complete.val_images)
    _check_scoring_images(experiment, train_images)
    try:
        classes = class_map(data.reclass, complete.classes, complete.semantic)
    except ValueError as error:
        raise experiment.error("Data", "reclass", str(error)) from None
    return Facts(train_images, experiment.network.val_size, complete.shape, data.reclass.classes or len(classes))


def check_files(experiment: inputs.Experiment) -> None:
    """Refuse a data set whose files are not there, without reading any. Raises DataError."""
    DATASETS[experiment.data.dataset].identity(experiment)


def load(experiment: inputs.Experiment, report: Report) -> ImageSet:
    """The images of an experiment: its data set, cloned and rotated, then data_ratio, reclass and val_size.

    Args:
        experiment: sections Data, Network (val_size) and IO (cache_dir) are used.
        report: called with a line of text before work of more than a second, and with warnings.

    Raises:
        InputError: as check; also val_size and the method's images, if there are fewer than the official ones.
        DataError: files are missing or damaged, images are not as facts says, or the cache cannot be written.
    """
    data, expected = experiment.data, check(experiment)
    complete = facts(data)
    images = _transformed(data, complete).load(experiment, report)
    _check_val_size(experiment, len(images.val_images))
    if len(images.images) < expected.train_images:
        report(
            f"Warning: only {len(images.images)} training images of {data.dataset} are there, and all are used; "
            f"[Data] data_ratio = {data.data_ratio} asks for {expected.train_images}"
        )
        _check_scoring_images(experiment, len(images.images))
    new_class = class_map(data.reclass, images.classes, complete.semantic)
    count, val_size = expected.train_images, experiment.network.val_size
    return dataclasses.replace(
        images,
        images=images.images[:count],
        labels=new_class[images.labels[:count]],
        val_images=images.val_images[:val_size],
        val_labels=new_class[images.val_labels[:val_size]],
        classes=expected.classes,
        class_names=class_names(data.reclass, images.class_names, complete.semantic),
    )


def _transformed(data: inputs.Data, complete: Facts) -> Source:
    """The complete data set, its Gaussian clone, or the rotated images of either."""
    source: Source = Checked(DATASETS[data.dataset], complete)
    if data.clone == "gaussian":
        source = GaussianClone(source)
    return Rotated(source) if data.rotate else source


def _check_val_size(experiment: inputs.Experiment, val_images: int) -> None:
    if experiment.network.val_size > val_images:
        raise experiment.error("Network", "val_size", f"at most {val_images}, the number of validation images")


def _check_scoring_images(experiment: inputs.Experiment, train_images: int) -> None:
    if getattr(experiment.method, "images", 0) > train_images:
        raise experiment.error(
            experiment.method_name, "images", f"at most {train_images}, the number of training images"
        )
