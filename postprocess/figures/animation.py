"""Movies: a figure that changes from frame to frame, as mp4, which needs ffmpeg, or as GIF.

Both show FRAMES_PER_SECOND and hold the last frame; a GIF starts over after it.
"""

import io
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.animation import writers
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from postprocess.command_line import output_file
from postprocess.figures import drawing
from sifting.errors import RunDirectoryError

FORMATS = ("mp4", "gif")  # the better one first
FRAMES_PER_SECOND = 2
HELD = 6  # frames more, of the last one


class Movie(NamedTuple):
    """A figure, and what makes each of its frames.

    figure: an even number of pixels wide and high; without a layout engine, under which things would jump.
    frames: how many.
    show: called with 0 to frames - 1 in turn, each before that frame is drawn.
    """

    figure: Figure
    frames: int
    show: Callable[[int], None]


def usable_formats() -> tuple[str, ...]:
    """Those of FORMATS that can be written here, in that order."""
    return FORMATS if writers.is_available("ffmpeg") else FORMATS[1:]


def save_movie(movie: Movie, path: Path) -> None:
    """Write the movie atomically, as .mp4 or .gif by the name of the file; its folder is made.

    Equal movies are equal GIFs, on one set of versions.

    Raises:
        RunDirectoryError: ffmpeg fails, or the file cannot be written.
    """
    if path.suffix.lower() == ".gif":
        _save_gif(movie, path)
    else:
        _save_mp4(movie, path)


def _save_gif(movie: Movie, path: Path) -> None:
    colours, frames = _palette(), []
    for frame in range(movie.frames):
        movie.show(frame)
        buffer = io.BytesIO()
        movie.figure.savefig(buffer, format="rgba", dpi="figure")
        picture = Image.frombytes("RGBA", movie.figure.canvas.get_width_height(), buffer.getvalue()).convert("RGB")
        frames.append(picture.quantize(palette=colours, dither=Image.Dither.NONE))
    milliseconds = [1000 // FRAMES_PER_SECOND] * movie.frames
    milliseconds[-1] *= 1 + HELD
    with output_file(path) as file:
        frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=milliseconds, loop=0)


def _palette() -> Image.Image:
    """The colours of a GIF: six levels of each channel, so that masks are exact, 32 greys, and those of the lines.

    Pillow would choose colours for each frame, and make the rare ones of sparse masks duller than they are.
    """
    levels = np.arange(0, 256, 51)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    greys = np.repeat(np.arange(0, 256, 8), 3).reshape(-1, 3)
    lines = [np.rint(255 * np.array(to_rgb(colour))).astype(int) for colour in (drawing.BLUE, drawing.ORANGE)]
    image = Image.new("P", (1, 1))
    image.putpalette(np.concatenate([cube, greys, lines]).ravel().tolist())
    return image


def _save_mp4(movie: Movie, path: Path) -> None:
    writer = writers["ffmpeg"](fps=FRAMES_PER_SECOND)
    with tempfile.TemporaryDirectory() as folder:
        unfinished = Path(folder, "movie.mp4")
        try:
            # h264 has one colour for two by two pixels: with every pixel doubled in both directions none is lost.
            with writer.saving(movie.figure, str(unfinished), 2 * movie.figure.dpi):
                for frame in [*range(movie.frames), *[movie.frames - 1] * HELD]:
                    movie.show(frame)
                    writer.grab_frame()
            content = unfinished.read_bytes()
        except subprocess.CalledProcessError as error:
            reason = (str(error.stderr or "").strip().splitlines() or [f"exit code {error.returncode}"])[-1]
            raise RunDirectoryError(f"{path}: ffmpeg fails ({reason}); accepted: a name that ends in .gif") from None
        except OSError as error:
            raise RunDirectoryError(f"{path}: cannot be made ({error.strerror or error})") from None
    with output_file(path) as file:
        file.write(content)
