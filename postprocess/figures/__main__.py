"""`python -m postprocess.figures NAME RUN_DIR [RUN_DIR ...]` draws a figure of the papers from runs."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from matplotlib.figure import Figure

from postprocess.command_line import Parser, run_command, write_json
from postprocess.figures import FIGURES, all_figures, animation, base, drawing, figure_module, title
from sifting.base.extensions import described
from sifting.errors import InputError
from sifting.runs.directory import RunDirectory
from sifting.runs.find import find_runs

FORMATS = ("png", "pdf", "svg")


def runs_by_role(figure: str, roles: Mapping[str, str], arguments: Sequence[str]) -> dict[str, list[RunDirectory]]:
    """The runs of each role that has any, in the order of the roles.

    Args:
        arguments: RUN_DIR, which take the roles in their order, or ROLE=RUN_DIR. Of a figure with one role all of them
            are its seeds; elsewhere seeds are ROLE=RUN_DIR several times, or a folder of seeds.

    Raises:
        InputError: more RUN_DIRs than roles, or a role that the figure does not have. RunDirectoryError: no run there.
    """
    named: dict[str, list[str]] = {role: [] for role in roles}
    in_order = []
    for argument in arguments:
        role, separator, folder = argument.partition("=")
        if separator and role in roles:
            named[role].append(folder)
        elif separator and not Path(argument.split("/")[0]).exists():  # else it is a path with a = in it
            raise InputError(f"{role!r} is no role of {figure}; accepted: {', '.join(roles) or 'no run'}")
        else:
            in_order.append(argument)
    if len(roles) == 1:
        named[next(iter(roles))] += in_order
    else:
        free = [role for role in roles if not named[role]]
        if len(in_order) > len(free):
            accepted = f"at most {len(free)}, for {', '.join(free)}" if free else "none"
            raise InputError(f"{figure}: {len(in_order)} RUN_DIRs without a role: {in_order[-1]}; accepted: {accepted}")
        for role, folder in zip(free, in_order, strict=False):
            named[role].append(folder)
    return {role: find_runs(folders) for role, folders in named.items() if folders}


def draw_figure(
    name: str, runs: base.Runs, options: base.Options | None = None, output: Path | None = None
) -> tuple[Path, Path]:
    """Draw a figure, and write it and its numbers.

    Args:
        runs: of each role.
        output: .png, .pdf or .svg, of a movie .mp4 or .gif; default: NAME.png, of a movie NAME.mp4 or, without ffmpeg,
            NAME.gif; as PREFIX_NAME.png beside the first run if there is one.

    Returns:
        The picture, and the JSON beside it.

    Raises:
        SiftingError: no such figure; runs that are missing, do not fit or cannot be read; a file that cannot be
            written.
    """
    module = figure_module(name)
    options = options or base.Options()
    base.check_runs(name, module.ROLES, runs)
    runs = {role: runs[role] for role in module.ROLES}
    movie = _is_movie(module)
    kind = picture_format(movie, output, options.report)
    if output is None:
        output = next((group[0].path(f"{name}.{kind}") for group in runs.values()), Path(f"{name}.{kind}"))
    with drawing.figure_style():
        picture, numbers = _drawn(name, module.draw(runs, options), animation.Movie if movie else Figure)
        if movie:
            animation.save_movie(picture, output)
        else:
            drawing.save_figure(picture, output)
    beside = output.with_suffix(".json")
    described_runs = base.describe_runs(module.ROLES, runs)
    for role, about in described_runs.items():
        if departures := about.get("departures"):
            more = f" and {len(departures) - 4} more keys" if len(departures) > 4 else ""
            listed = ", ".join(departures[:4])
            options.report(f"note: {runs[role][0]} departs from {module.ROLES[role]}: {listed}{more}")
    write_json(beside, {"figure": name, "title": title(module), "runs": described_runs, "numbers": numbers})
    return output, beside


def _drawn(name: str, drawn: Any, kind: type) -> tuple[Any, dict[str, Any]]:
    """What `draw` of a figure gave. Raises InputError: it is not a picture of that kind, and a dict."""
    parts = drawn if type(drawn) is tuple else (drawn,)  # a Movie is a tuple, too
    if len(parts) == 2 and isinstance(parts[0], kind) and isinstance(parts[1], dict):
        return parts
    found = " and ".join(map(described, parts))
    raise InputError(f"{name}: draw gives {found}; accepted: a {kind.__name__} and a dict of its numbers")


def picture_format(movie: bool, output: Path | None, report: Callable[[str], None]) -> str:
    """That of the file name, or the default; `report` is called if the default is not the best one.

    Raises:
        InputError: the name has another ending, or that of a format which cannot be written here.
    """
    known, usable = (animation.FORMATS, animation.usable_formats()) if movie else (FORMATS, FORMATS)
    if output is None:
        if usable[0] != known[0]:
            report(f"{known[0]} needs ffmpeg, which is not there: the movie is a {usable[0].upper()}")
        return usable[0]
    kind = output.suffix[1:].lower()
    if kind not in usable:
        reason = "needs ffmpeg, which is not there" if kind in known else "unknown format"
        *others, last = (f".{name}" for name in usable)
        accepted = f"{', '.join(others)} or {last}" if others else last
        raise InputError(f"--output {output}: {reason}; accepted: a name that ends in {accepted}")
    return kind


def _is_movie(module: ModuleType) -> bool:
    return bool(getattr(module, "MOVIE", False))


def list_figures() -> str:
    """One line a figure: its name, what it shows, the roles of its runs."""
    modules, refused = all_figures()
    width = max(map(len, modules), default=0)
    lines = [
        f"{name:{width}}  {title(module)} [{' '.join(module.ROLES) or 'no run'}]" for name, module in modules.items()
    ]
    return "\n".join([*lines, *refused])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(
        prog="python -m postprocess.figures",
        description="Draw a figure of the papers from runs, with its numbers as JSON beside it.",
    )
    parser.add_names("such as pb-1; --list shows all", lambda: FIGURES, "?")
    parser.add_argument(
        "run_dir",
        nargs="*",
        metavar="RUN_DIR",
        help="save_dir, DIR/PREFIX or a folder of seeds, in the order that --list shows, or ROLE=RUN_DIR",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help=".png, .pdf or .svg, of movies .mp4 or .gif; default: PREFIX_NAME.png, or .mp4, beside the first run",
    )
    parser.add_argument(
        "--round",
        type=int,
        help="the round shown, or whose most connected nodes a movie shows; default: that of the paper, by density",
    )
    parser.add_settings("of the runs' images, such as Data.dataloc=DIR")
    parser.add_argument("--list", action="store_true", help="all figures, with their runs")
    return run_command(_figures_command, parser, arguments)


def _figures_command(options: argparse.Namespace) -> None:
    if options.list:
        print(list_figures())
        return
    if options.name is None:
        raise InputError(f"no figure named; accepted: {', '.join(FIGURES)}")
    runs = runs_by_role(options.name, figure_module(options.name).ROLES, options.run_dir)
    chosen = base.Options(options.round, options.set, print)
    for path in draw_figure(options.name, runs, chosen, options.output):
        print(path)


if __name__ == "__main__":
    sys.exit(main())
