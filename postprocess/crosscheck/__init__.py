"""Replay recordings of other programs through this project's own code, and compare.

    python -m postprocess.crosscheck FILE.npz ... [--mode both|plain|jit | --sparse always]

What a recording holds, and what of it must agree, depends on its kind: see the modules. Two tensors a (ours) and b
(theirs) differ by max|a - b| / max|b|.

Exit code: 0 all agree, 1 some do not, 2 a file that is no such recording.
"""

import sys
from collections.abc import Callable, Sequence

from postprocess.command_line import Parser
from postprocess.crosscheck import analysis, imp, pruners
from postprocess.crosscheck.recording import Recording, load_recording
from sifting.errors import SiftingError

# Each prints a comparison of one recording for each of imp.LOOPS that is named, and says of each whether it agrees.
KINDS: dict[str, Callable[[Recording, Sequence[str]], list[bool]]] = {
    "imp": imp.check,
    "pruners": pruners.check,
    "postprocess": analysis.check,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    parser = Parser(prog="python -m postprocess.crosscheck", description="Replay recordings and compare.")
    parser.add_argument("files", nargs="+", metavar="FILE.npz", help=f"recordings of kind {' or '.join(KINDS)}")
    parser.add_argument("--mode", choices=imp.MODES, default="both", help="how the loop of kind imp is compiled")
    parser.add_argument(
        "--sparse", choices=("never", "always"), default="never", help="always: by the kernels of sparse layers instead"
    )
    options = parser.parse_args(arguments)
    agree: list[bool] = []
    try:
        for path in options.files:
            recording = load_recording(path, tuple(KINDS))
            loops = ("sparse",) if options.sparse == "always" else imp.MODES[options.mode]
            agree += KINDS[recording.kind](recording, loops)
    except SiftingError as error:
        print(f"crosscheck: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{sum(agree)} of {len(agree)} replays agree")
    return 0 if all(agree) else 1
