"""One self-contained HTML page about runs: `python -m postprocess.report RUN_DIR [RUN_DIR ...] [--output FILE.html]`.

Settings, tables, charts, and the nodes of the network under a slider over the rounds. The page asks the network for
nothing: its content security policy forbids it. Charts are drawn by Vega-Lite, as vl-convert-python ships it. Equal
runs give equal pages, on the same versions.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from postprocess.command_line import Parser, output_file, run_command
from postprocess.differences import Group
from postprocess.table import Row, rows_of
from sifting.errors import InputError
from sifting.runs.find import runs_below

IMAGES = 500  # of the validation images; ten times as many take ten times as long


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(prog="python -m postprocess.report", description="One self-contained HTML page about runs.")
    words = "a run, or a folder of seeds, or of a sweep: a page for each and one of links; several: all on one page"
    parser.add_argument("run_dir", nargs="+", metavar="RUN_DIR", help=words)
    parser.add_argument("--output", type=Path, metavar="FILE.html", help="default: PREFIX_report.html beside the run")
    parser.add_argument(
        "--images",
        type=int,
        default=IMAGES,
        metavar="N",
        help=f"validation images to look at; default: {IMAGES}; 0: none",
    )
    return run_command(_report_command, parser, arguments)


def _report_command(options: argparse.Namespace) -> None:
    if options.images < 0:
        raise InputError(f"--images {options.images}: accepted: 1 or more, or 0 for none")
    if options.output and options.output.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{options.output}: unknown format; accepted: a name that ends in .html")
    found = [rows_of(runs_below([path])) for path in options.run_dir]
    several = next((number for number, rows in enumerate(found) if len(rows) > 1), None)
    if several is not None and (len(found) > 1 or options.output):
        path, rows = options.run_dir[several], found[several]
        where = "with --output" if options.output else "beside others"
        raise InputError(f"{path}: holds {len(rows)} experiments; accepted {where}: one, as {rows[0].group}")
    if several is None:
        groups = [row.group for (row,) in found]
        _write_page(groups, options.output or _place(groups), options.images)
    else:
        _write_sweep(Path(options.run_dir[0]), found[0], options.images)


def _place(groups: Sequence[Group]) -> Path:
    """Where a page goes: beside the run, or in the folder of the seeds; of several experiments, of the first."""
    first = groups[0].runs[0]
    folder = first.folder if len(groups[0].runs) == 1 else Path(str(groups[0]))
    return folder / f"{first.prefix}_{'report' if len(groups) == 1 else 'comparison'}.html"


def _write_page(groups: Sequence[Group], output: Path, images: int) -> None:
    from postprocess.report.page import collect, render  # the charts' library takes a second

    _write(render(*collect(groups, images), output.parent), output)


def _write_sweep(path: Path, rows: Sequence[Row], images: int) -> None:
    from postprocess.report.page import render_sweep

    pages = [_place([row.group]) for row in rows]
    if len(set(pages)) < len(pages):  # their seeds share a folder
        pages = [row.group.runs[0].folder / page.name for row, page in zip(rows, pages, strict=True)]
    for row, page in zip(rows, pages, strict=True):
        _write_page([row.group], page, images)
    folder = path if path.is_dir() else path.parent
    _write(render_sweep(folder, rows, pages), folder / "report.html")


def _write(page: str, output: Path) -> None:
    with output_file(output) as file:
        file.write(page.encode())
    print(output)


if __name__ == "__main__":
    sys.exit(main())
