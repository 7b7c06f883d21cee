"""ImageSet: what every data set gives."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ImageSet:
    """Training and validation images of one data set, as they are stored: uint8, not normalised.

    The network's input is (image - mean) * float32(1/255), channel-major: flat index = (c * height + y) * width + x.

    Attributes:
        images: uint8 [n, pixels], training images; may be a read-only memory map.
        labels: int32 [n], 0 <= label < classes.
        val_images: uint8 [n_val, pixels].
        val_labels: int32 [n_val].
        mean: float32 [pixels], the mean image that is subtracted.
        shape: (channels, height, width); pixels is their product.
        classes: number of classes.
        source: one line for the records: where the images come from.
        class_names: one name a class, where the data set has them.
        valid: bool [pixels], False for pixels without a source in rotated images; None: all are valid. An
            invalid pixel is 0 in every image and exactly 0 in `mean`, so that its input is 0 without a mask.
    """

    images: np.ndarray
    labels: np.ndarray
    val_images: np.ndarray
    val_labels: np.ndarray
    mean: np.ndarray
    shape: tuple[int, int, int]
    classes: int
    source: str
    class_names: tuple[str, ...] = ()
    valid: np.ndarray | None = None
