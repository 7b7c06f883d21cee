"""The pictures of docs/gallery.md: what `python -m postprocess.reproduce all --scale small` drew, in fewer bytes.

    python tools/gallery.py [FOLDER]

FOLDER (default: figures/small) has NAME.png, or NAME.gif, of every figure; docs/images/gallery gets them with 256
colours. A figure that is missing ends the command with 1.
"""

import shutil
import sys
from pathlib import Path

from PIL import Image

from postprocess.figures import FIGURES

TARGET = Path(__file__).resolve().parents[1] / "docs" / "images" / "gallery"
COLOURS = 256


def main(arguments: list[str]) -> int:
    source = Path(arguments[0] if arguments else "figures/small")
    TARGET.mkdir(parents=True, exist_ok=True)
    missing = []
    for name in FIGURES:
        picture, movie = (source / f"{name}{ending}" for ending in (".png", ".gif"))
        if movie.exists():
            shutil.copyfile(movie, TARGET / movie.name)
        elif picture.exists():
            with Image.open(picture) as image:
                few = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
            few.save(TARGET / picture.name, optimize=True)
        else:
            missing.append(name)
    if missing:
        print(f"{source}: no picture of {', '.join(missing)}", file=sys.stderr)
    return int(bool(missing))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
