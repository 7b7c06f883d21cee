"""Values of the inputs as images, and plates of them.

Images are [height, width, channels], indexed [y, x, c], as matplotlib draws them; the flat index of an input is
(c * height + y) * width + x.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from sifting.errors import DataError

Shape = tuple[int, int, int]  # of images: channels, height, width


def image_shape(inputs: int, shape: Shape | None = None) -> Shape:
    """Of the images that a layer of so many inputs looks at.

    Args:
        shape: None: square images, (3, S, S) or (1, S, S). The number of inputs tells, since no 3 S^2 is a square.

    Raises:
        DataError: the inputs are not those of such an image.
    """
    shapes = [shape] if shape else [(channels, *2 * (math.isqrt(inputs // channels),)) for channels in (3, 1)]
    for found in shapes:
        if math.prod(found) == inputs > 0:
            return found
    accepted = " x ".join(map(str, shape)) if shape else "3*S*S, or S*S"
    raise DataError(f"{inputs} inputs are not those of {'such' if shape else 'square'} images; accepted: {accepted}")


def input_images(values: npt.NDArray[Any], shape: Shape | None = None) -> npt.NDArray[Any]:
    """Images from values of the inputs: [inputs, nodes] -> [nodes, height, width, channels], of the same dtype.

    Args:
        shape: of the images, see image_shape.

    Raises:
        DataError: as image_shape.
    """
    return np.moveaxis(np.asarray(values).T.reshape(-1, *image_shape(len(values), shape)), 1, -1)


def image_plate(
    images: npt.NDArray[Any], columns: int | None = None, background: float = 1.0
) -> npt.NDArray[np.float32]:
    """Images tiled row by row with gaps between them; small ones are enlarged, pixel by pixel, to about 32 x 32.

    Args:
        images: [n, height, width, 3] (red, green, blue) or [n, height, width, 1] (grey), in [0, 1]; of other numbers
            of channels the mean is shown, in grey.
        columns: tiles a row; default: about as many as there are rows.
        background: of the gaps, from 0, black, to 1, white.

    Returns:
        float32 [height, width, 3]; [0, 0, 3] without images.
    """
    count = len(images)
    if not count:
        return np.ones((0, 0, 3), np.float32)
    if images.shape[-1] != 3:
        images = images.mean(axis=-1, keepdims=True)
    zoom = max(1, 32 // max(images.shape[1:3]))  # so that the gaps look equally thin beside small images
    tiles = images.repeat(zoom, axis=1).repeat(zoom, axis=2)
    height, width = tiles.shape[1:3]
    gap = max(1, max(height, width) // 32)
    columns = min(columns or math.ceil(math.sqrt(count)), count)
    rows = math.ceil(count / columns)
    shape = rows * (height + gap) - gap, columns * (width + gap) - gap, 3
    plate = np.full(shape, background, np.float32)
    for position, tile in enumerate(tiles):
        row, column = divmod(position, columns)
        y, x = row * (height + gap), column * (width + gap)
        plate[y : y + height, x : x + width] = tile
    return plate
