"""What the registry knows of a data set."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from sifting.base.extensions import NAME, described
from sifting.datasets.image_set import ImageSet
from sifting.datasets.semantic import SemanticClasses
from sifting.errors import DataError
from sifting.experiment.experiment import Experiment
from sifting.experiment.sections import Data

Report = Callable[[str], None]


@dataclass(frozen=True)
class Facts:
    """What is known of images without loading them.

    Attributes:
        train_images, val_images: numbers of images.
        shape: (channels, height, width).
        classes: number of classes.
        semantic: their super-classes; None if the data set has none, and so no named class maps.
    """

    train_images: int
    val_images: int
    shape: tuple[int, int, int]
    classes: int
    semantic: SemanticClasses | None = field(default=None, compare=False, repr=False)


class Source(Protocol):
    """A data set that an input file can name."""

    def facts(self, data: Data) -> Facts:
        """The complete set: before data_ratio, reclass and val_size. Without TensorFlow, and without reading images.

        Raises:
            DataError: it does not follow from `data` alone, and files are missing or damaged.
        """

    def identity(self, experiment: Experiment) -> dict[str, Any]:
        """All that the images depend on, as JSON values: equal identities mean equal images.

        Raises:
            DataError: files are missing.
        """

    def load(self, experiment: Experiment, report: Report) -> ImageSet:
        """The complete set. `report` is called with a line of text before work of more than a second.

        Raises:
            DataError: files are missing or damaged, or the cache cannot be written.
        """


def checked_facts(source: Source, data: Data) -> Facts:
    """What the source that `data` names knows; an extension may have registered anything.

    Raises:
        DataError: it is no Source, or gives no Facts; also as Source.facts.
    """
    where = f"{NAME}.py: DATASETS[{data.dataset!r}]"
    methods = (getattr(source, name, None) for name in ("facts", "identity", "load"))
    if isinstance(source, type) or not all(map(callable, methods)):
        accepted = "an object, not a class, with the methods facts, identity and load"
        raise DataError(f"{where} is {described(source)}; accepted: {accepted}")
    facts = source.facts(data)
    if not isinstance(facts, Facts) or len(facts.shape) != 3:
        accepted = "Facts of sifting.datasets.source, shape (channels, height, width)"
        raise DataError(f"{where}: facts gives {facts!r}; accepted: {accepted}")
    return facts


@dataclass(frozen=True)
class Checked:
    """A data set whose images are refused where they are not what its facts promise."""

    original: Source
    known: Facts

    def facts(self, data: Data) -> Facts:
        return self.known

    def identity(self, experiment: Experiment) -> dict[str, Any]:
        return self.original.identity(experiment)

    def load(self, experiment: Experiment, report: Report) -> ImageSet:
        """Raises DataError: as the original, or it gives something else than an ImageSet of these facts."""
        images = self.original.load(experiment, report)
        if problem := _why_not(images, self.known):
            raise DataError(f"[Data] dataset = {experiment.data.dataset}: load gives {problem}")
        return images


def _why_not(images: ImageSet, facts: Facts) -> str:
    """What is wrong with images of these facts, and what would be accepted; empty if nothing is."""
    if not isinstance(images, ImageSet):
        return f"{described(images)}; accepted: sifting.datasets.image_set.ImageSet"
    for name in ("shape", "classes"):
        if getattr(images, name) != getattr(facts, name):
            return f"{name} = {getattr(images, name)}; accepted: {getattr(facts, name)}, as facts says"
    pixels = int(np.prod(facts.shape))
    arrays = {"mean": f"float32 [{pixels}]"}
    for prefix, most in (("", facts.train_images), ("val_", facts.val_images)):
        count = min((most, *np.shape(getattr(images, f"{prefix}images"))[:1]))
        arrays |= {f"{prefix}images": f"uint8 [{count}, {pixels}]", f"{prefix}labels": f"int32 [{count}]"}
    for name, accepted in arrays.items():
        if (given := described(getattr(images, name))) != accepted:
            return f"{name} = {given}; accepted: {accepted}"
    for name in ("labels", "val_labels"):
        labels = getattr(images, name)
        if not np.isin(labels, range(facts.classes)).all():
            return f"{name} from {labels.min()} to {labels.max()}; accepted: 0 to {facts.classes - 1}"
    return ""
