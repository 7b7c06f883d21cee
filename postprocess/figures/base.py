"""What a figure needs besides its panels: runs that fit its roles, their images, and the numbers beside it as JSON."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from postprocess.differences import Settings, recorded_settings
from sifting.base import input_files
from sifting.base.quiet import native_messages_hidden
from sifting.datasets.image_set import ImageSet
from sifting.errors import InputError, RunDirectoryError
from sifting.inputs import read_experiment
from sifting.runs.directory import RunDirectory
from sifting.training import api
from sifting.training.plan import recorded_experiment

INPUTS = input_files.ROOT  # where the names in ROLES are found
SCALES = ("full", "small")
FAR = 1.25  # a density is called another one from this factor on

Runs = Mapping[str, Sequence[RunDirectory]]
Numbers = dict[str, Any]  # of a figure, for its JSON


@dataclass(frozen=True)
class Options:
    """What the user can choose.

    Attributes:
        round: the round that is shown, in place of the one that the paper's text leads to; None: that one.
        assignments: "Section.key=value", over the runs' own input files, such as the place of the images.
        report: called with one line of progress.
    """

    round: int | None = None
    assignments: Sequence[str] = ()
    report: Callable[[str], None] = field(default=lambda line: None)


# --- runs that fit the roles


def check_runs(figure: str, roles: Mapping[str, str], runs: Runs) -> None:
    """Raise unless every role has runs, and each run could be one of its role's input file.

    A run that the TF1 code wrote has no input file beside it, and fits every role.

    Raises:
        RunDirectoryError: a role without runs, or a run of another method or of another role; one line that says which
            input file to run.
    """
    missing = [role for role in roles if not runs.get(role)]
    if missing:
        commands = "; ".join(f"{role}: python -m sifting.run {roles[role]}" for role in missing)
        raise RunDirectoryError(
            f"{figure}: no run for {commands}; then give the folders in the order {' '.join(roles)}, or as ROLE=DIR"
        )
    expected = {role: _versions(name) for role, name in known_roles(roles).items()}
    for role, group in runs.items():
        for run in group:
            own = recorded_settings(run)
            if own is None or role not in expected:
                continue
            method = expected[role][0].method
            if own.method != method:
                raise RunDirectoryError(
                    f"{run}: is a run of [{own.method}], not of [{method}]; {figure} needs for {role}: "
                    f"python -m sifting.run {roles[role]}"
                )
            distances = {other: min(map(own.distance, versions)) for other, versions in expected.items()}
            closest = min(distances, key=lambda other: (distances[other], other != role))
            if closest != role and distances[closest][0] < distances[role][0]:
                raise RunDirectoryError(
                    f"{run}: looks like {roles[closest]}, which is {closest}; {figure} needs for {role}: "
                    f"python -m sifting.run {roles[role]}"
                )


def describe_runs(roles: Mapping[str, str], runs: Runs) -> Numbers:
    """For the JSON: the input file of each role, the seeds of its runs, and the keys in which they depart from it."""
    known = known_roles(roles)
    found: Numbers = {}
    for role, group in runs.items():
        found[role] = {"input": roles.get(role), "seeds": [run.read_record().get("seed") for run in group]}
        own = recorded_settings(group[0])
        if own is not None and role in known:
            found[role]["departures"] = min(map(own.departures, _versions(known[role])), key=len)
    return found


def known_roles(roles: Mapping[str, str]) -> dict[str, str]:
    """Roles whose input files are there."""
    return {role: name for role, name in roles.items() if (INPUTS / name).exists()}


def layered(name: str, scale: str) -> list[str]:
    """An input file with those that scale it: inputs/small.in, then the small.in of its own folder, if there is one."""
    if scale == "full":
        return [name]
    small = ["inputs/small.in", str(Path(name).with_name("small.in"))]
    return [name, *(file for file in dict.fromkeys(small) if (INPUTS / file).exists())]


def _versions(name: str) -> list[Settings]:
    """The settings of an input file at both scales."""
    return [
        Settings.of(read_experiment([str(INPUTS / file) for file in files]))
        for files in (layered(name, scale) for scale in SCALES)
    ]


def load_images(run: RunDirectory, options: Options) -> ImageSet:
    """The images that the run's own input file names.

    Raises:
        InputError: it has none. DataError: they are not there.
    """
    experiment = recorded_experiment(run, options.assignments)
    if experiment is None:
        name = run.path("input.in").name
        raise InputError(f"{run}: its images are not known, as {name} is missing; accepted: its input file, as {name}")
    with native_messages_hidden():
        import sifting.network.forward  # noqa: F401  TensorFlow, without its start-up messages
    return api.load_images(run, experiment, options.report)
