"""What the registry knows of a data set."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from sifting import inputs
from sifting.datasets.image_set import ImageSet
from sifting.datasets.semantic import SemanticClasses

Report = Callable[[str], None]


@dataclass(frozen=True)
class Facts:
    """What is known of images without loading them.

    Attributes:
        train_images, val_images: numbers of images.
        shape: (3, S, S).
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

    def facts(self, data: inputs.Data) -> Facts:
        """The complete set: before data_ratio, reclass and val_size. Without TensorFlow, and without reading images.

        Raises:
            DataError: it does not follow from `data` alone, and files are missing or damaged.
        """

    def identity(self, experiment: inputs.Experiment) -> dict[str, Any]:
        """All that the images depend on, as JSON values: equal identities mean equal images.

        Raises:
            DataError: files are missing.
        """

    def load(self, experiment: inputs.Experiment, report: Report) -> ImageSet:
        """The complete set. `report` is called with a line of text before work of more than a second.

        Raises:
            DataError: files are missing or damaged, or the cache cannot be written.
        """
