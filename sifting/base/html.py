"""Pieces of HTML by which objects show themselves in a notebook."""

import base64
from collections.abc import Sequence
from html import escape
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = ["".join(f"<th>{escape(cell)}</th>" for cell in head)] if head else []
    lines += ["".join(f"<td>{escape(str(cell))}</td>" for cell in row) for row in rows]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def picture(pixels: npt.NDArray[Any], width: int) -> str:
    """An image element of float [height, width, 3] in [0, 1], shown so many pixels wide, without smoothing."""
    from PIL import Image

    file = BytesIO()
    Image.fromarray(np.rint(255 * pixels).astype(np.uint8)).save(file, "png")
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img src="data:image/png;base64,{data}" style="width:{width}px;image-rendering:pixelated">'


def folded(summary: str, body: str) -> str:
    """What is there on a click."""
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"
