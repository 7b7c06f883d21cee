"""Two experiments side by side: `python -m postprocess.compare RUN_A RUN_B [RUN_C ...]`, or A with each of the others.

Each is a run, ours or the TF1 code's, or a folder of several seeds (seed_N), which are pooled. This is how a run of the
TF1 code and one of this project are compared, or two pruning methods. Rounds are paired by density: each round of A
with the round of B whose u is nearest, if the two are within 10 % of each other.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from postprocess.command_line import Parser, aligned, decimal, run_command, write_json
from postprocess.connectivity import connection_histogram
from postprocess.locality import radial_profile
from postprocess.observables import observables
from postprocess.seeds import statistics
from postprocess.summary import Summary, summarise
from sifting.runs.find import find_runs

SAME_DENSITY = 1.1  # the largest ratio of two densities that are called the same
SPREADS = ("sd", "range")


def paired_rounds(a: Summary, b: Summary) -> list[tuple[int | None, int | None]]:
    """Indices of rounds with nearly the same density, in the order of A, then what is left of B.

    Returns:
        (index in a.rounds, index in b.rounds); None where there is no partner. No round is used twice.
    """
    densities = [np.log(side.mean_and_sd("density")[0]) for side in (a, b)]
    pairs: list[tuple[int | None, int | None]] = []
    free = set(range(len(b.rounds)))
    for index, density in enumerate(densities[0]):
        nearest = min(free, key=lambda other: abs(densities[1][other] - density), default=None)
        if nearest is not None and abs(densities[1][nearest] - density) <= np.log(SAME_DENSITY):
            free.remove(nearest)
            pairs.append((index, nearest))
        else:
            pairs.append((index, None))
    return pairs + [(None, index) for index in sorted(free)]


def histogram_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Half the sum of |difference| of two histograms of C_in, as shares of the nodes: 0 equal, 1 without overlap.

    Args:
        a, b: int [nodes], not necessarily equally many; the bins are those of the paper, two connections wide.
    """
    edges, _ = connection_histogram(np.concatenate([a, b]))
    shares = [np.histogram(counts, edges)[0] / len(counts) for counts in (a, b)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def profile_distance(a: np.ndarray, b: np.ndarray) -> float:
    """The same distance of two radial profiles of S_sc (locality.radial_profile), d = 0 left out, with sum 1."""
    shares = [profile[1:] / profile[1:].sum() for profile in map(radial_profile, (a, b))]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def compare(a: Summary, b: Summary) -> list[dict[str, Any]]:
    """One entry a pair: for each side round, and mean, spread and single values of every number; the two distances.

    What is not defined is None, as JSON has it.
    """
    entries = []
    for index_a, index_b in paired_rounds(a, b):
        entry: dict[str, Any] = {
            name: None if index is None else _numbers(side, index)
            for name, side, index in (("a", a, index_a), ("b", b, index_b))
        }
        entry |= {"C_in distance": None, "S distance": None}
        if index_a is not None and index_b is not None:
            connections_a, connections_b = a.connections[index_a], b.connections[index_b]
            if connections_a is not None and connections_b is not None:
                entry["C_in distance"] = histogram_distance(connections_a, connections_b)
            same = [m.same for m in (a.maps[index_a], b.maps[index_b]) if m is not None and m.same.any()]
            if len(same) == 2 and same[0].shape == same[1].shape:
                entry["S distance"] = profile_distance(*same)
        entries.append(entry)
    return entries


def _numbers(side: Summary, index: int) -> dict[str, Any]:
    """A round of one side, for JSON."""
    return {"round": side.rounds[index]} | {name: statistics(side.numbers[name][index]) for name in side.numbers}


def format_comparison(entries: Sequence[dict[str, Any]], spread: str) -> str:
    """Two lines a pair, A above B, one for a round without partner; mean +- s.d. or mean [min, max] over the seeds."""
    titles = [observable.title for observable in observables().values()]
    rows = [["", "round", *titles, "C_in distance", "S distance"]]
    for entry in entries:
        sides = [side for side in "ab" if entry[side] is not None]
        for side in sides:
            distances = (
                [decimal(entry[name], 3) for name in ("C_in distance", "S distance")] if side == "b" else ["", ""]
            )
            rows.append([side.upper(), str(entry[side]["round"]), *_cells(entry[side], spread), *distances])
    return aligned(rows)


def _cells(numbers: dict[str, Any], spread: str) -> list[str]:
    cells = []
    for name, observable in observables().items():
        mean, sd, *limits = (numbers[name][key] for key in ("mean", "sd", "min", "max"))
        if spread == "sd" or sd is None:
            cells.append(observable.cell(mean, sd))
        else:
            low, high = map(observable.cell, limits)
            cells.append(f"{observable.cell(mean)} [{low}, {high}]")
    return cells


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(prog="python -m postprocess.compare", description="Two experiments side by side.")
    parser.add_argument("run_a", metavar="RUN_A", help="save_dir, DIR/PREFIX, or a folder of seeds")
    parser.add_argument("run_b", nargs="+", metavar="RUN_B", help="the same; several: A is compared with each")
    parser.add_argument("--spread", choices=SPREADS, default="sd", help="over seeds: mean and s.d., or mean and range")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all numbers, and those of each seed")
    return run_command(_compare_command, parser, arguments)


def _compare_command(options: argparse.Namespace) -> None:
    sides = [find_runs([path]) for path in (options.run_a, *options.run_b)]
    first, *others = map(summarise, sides)
    contents = []
    for runs, other in zip(sides[1:], others, strict=True):
        entries = compare(first, other)
        pair = {"a": sides[0], "b": runs}
        for name, pooled in pair.items():
            print(f"{name.upper()}: {', '.join(map(str, pooled))}")
        print(format_comparison(entries, options.spread))
        contents.append({"runs": {name: [str(run) for run in runs] for name, runs in pair.items()}, "rounds": entries})
    if options.json is not None:
        write_json(options.json, contents if len(contents) > 1 else contents[0])
        print(options.json)


if __name__ == "__main__":
    sys.exit(main())
