"""Values of the inputs as images, and plates of them.

Images are [S, S, channels], indexed [y, x, c], as matplotlib draws them; the flat index of an input is c*S*S + y*S + x.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from sifting.errors import DataError


def image_size(inputs: int, channels: int = 3) -> int:
    """S, where inputs = channels * S * S: the side in pixels of the square images that a layer looks at.

    Raises:
        DataError: there is no such whole number.
    """
    size = math.isqrt(inputs // channels)
    if size < 1 or channels * size * size != inputs:
        raise DataError(f"{inputs} inputs are not a square image of {channels} channels; accepted: {channels}*S*S")
    return size


def input_images(values: npt.NDArray[Any], channels: int = 3) -> npt.NDArray[Any]:
    """Images from values of the inputs: [channels*S*S, nodes] -> [nodes, S, S, channels], of the same dtype.

    Raises:
        DataError: the inputs are not a square image of so many channels.
    """
    size = image_size(len(values), channels)
    return np.moveaxis(np.asarray(values).T.reshape(-1, channels, size, size), 1, -1)


def image_plate(
    images: npt.NDArray[Any], columns: int | None = None, background: float = 1.0
) -> npt.NDArray[np.float32]:
    """Images tiled row by row with gaps between them; small ones are enlarged, pixel by pixel, to about 32 x 32.

    Args:
        images: [n, S, S, 3] (red, green, blue) or [n, S, S, 1] (grey), in [0, 1].
        columns: tiles a row; default: about as many as there are rows.
        background: of the gaps, from 0, black, to 1, white.

    Returns:
        float32 [height, width, 3]; [0, 0, 3] without images.
    """
    count, size = images.shape[:2]
    if not count:
        return np.ones((0, 0, 3), np.float32)
    zoom = max(1, 32 // size)  # so that the gaps look equally thin beside small images
    tiles = images.repeat(zoom, axis=1).repeat(zoom, axis=2)
    size *= zoom
    gap = max(1, size // 32)
    columns = min(columns or math.ceil(math.sqrt(count)), count)
    rows = math.ceil(count / columns)
    step = size + gap
    plate = np.full((rows * step - gap, columns * step - gap, 3), background, np.float32)
    for position, tile in enumerate(tiles):
        y, x = (index * step for index in divmod(position, columns))
        plate[y : y + size, x : x + size] = tile
    return plate
