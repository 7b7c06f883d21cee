"""Which runs are seeds of one experiment, and how far others are from it: by the keys of their input files."""

import dataclasses
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sifting.experiment.experiment import Experiment
from sifting.experiment.keys import anything
from sifting.inputs import SECTIONS
from sifting.runs.directory import RunDirectory
from sifting.training.plan import RESTART_FILES, recorded_experiment

_NOT_COMPARED = {
    "dataloc",
    "preload",
    "seed",
    "jit_compile",
    "deterministic",
    "tf32",
    "restart",
    "rest_it",
    "dense_run",
}
_ALSO_SCALED = {"arch", "collage_images", "collage_val_images"}


@dataclass(frozen=True)
class Settings:
    """What makes an experiment: not where it is stored, nor how it is computed.

    Attributes:
        method: name of its section.
        values: by section and key, as text.
    """

    method: str
    values: Mapping[tuple[str, str], str]

    @classmethod
    def of(cls, experiment: Experiment) -> "Settings":
        values = {
            (section, key): text
            for section, keys in experiment.settings().items()
            for key, (_, text) in keys.items()
            if section != "IO" and key not in _NOT_COMPARED
        }
        return cls(experiment.method_name, values)

    def unequal(self, other: "Settings") -> dict[tuple[str, str], tuple[str | None, str | None]]:
        """Both values of the keys in which they differ, in their order; None where a key is unset."""
        pairs = {pair: (self.values.get(pair), other.values.get(pair)) for pair in (*self.values, *other.values)}
        return {pair: (own, its) for pair, (own, its) in pairs.items() if own != its}

    def departures(self, other: "Settings") -> list[str]:
        """The same as "Section.key = value", the value being the own one."""
        return [f"{section}.{key} = {own}" for (section, key), (own, _) in sorted(self.unequal(other).items())]

    def distance(self, other: "Settings") -> tuple[int, int]:
        """In keys; -1 if they are equal.

        Keys that [Scale] multiplies are the second number: between runs of another scale they say little.
        """
        keys = {key for _, key in self.unequal(other)}
        return (len(keys - _scaled_keys()) if keys else -1, len(keys))


def recorded_settings(run: RunDirectory) -> Settings | None:
    """Those of a run; None where no input file lies beside it, as for runs of the TF1 code."""
    experiment = recorded_experiment(run)
    return None if experiment is None else Settings.of(experiment)


def seed_differences(first: RunDirectory, second: RunDirectory) -> list[str]:
    """What makes two runs more than seeds of one experiment, such as "[Data] clone = none there, gaussian here".

    Seeds may begin with rounds of different runs, and end after different ones. Of a run of the TF1 code nothing is
    known.
    """
    return _more_than_seeds(recorded_settings(first), recorded_settings(second))


def pooled(runs: Iterable[RunDirectory]) -> list[list[RunDirectory]]:
    """Put runs together between which there are no `seed_differences`."""
    groups: list[tuple[Settings | None, list[RunDirectory]]] = []
    for run in runs:
        own = recorded_settings(run)
        group = next((group for settings, group in groups if not _more_than_seeds(settings, own)), None)
        if group is None:
            groups.append((own, [run]))
        else:
            group.append(run)
    return [group for _, group in groups]


def _more_than_seeds(there: Settings | None, here: Settings | None) -> list[str]:
    if there is None or here is None:
        return []
    if there.method != here.method:
        return [f"[{there.method}] there, [{here.method}] here"]
    fields = (entry for section in SECTIONS.values() for entry in dataclasses.fields(section))
    free = {entry.name for entry in fields if entry.metadata["continues"] is anything or entry.metadata["run"]}
    free.update(RESTART_FILES)
    return [
        f"[{section}] {key} = {'unset' if a is None else a} there, {'unset' if b is None else b} here"
        for (section, key), (a, b) in there.unequal(here).items()
        if key not in free
    ]


METHOD = ("", "method")  # in place of section and key: the name of the method's section
SEED = ("Network", "seed")
Known = Mapping[tuple[str, str], str]  # values by section and key, as text


class Group(NamedTuple):
    """Runs of which all is equal but the seed and where things are.

    Attributes:
        settings: all that is equal, and the method; None where no input file lies beside a run, as for runs of the TF1
            code.
        runs, seeds: one for each; None for such runs.
    """

    settings: Known | None
    runs: list[RunDirectory]
    seeds: list[int | None]

    def __str__(self) -> str:
        """The folder of the seeds, or the first run."""
        return str(_seedless(self.runs[0])[0] if len(self.runs) > 1 else self.runs[0])


def seed_groups(runs: Iterable[RunDirectory]) -> list[Group]:
    """Put together what are seeds of one experiment; runs of which nothing is known only if their folders say so."""
    groups: dict[Hashable, Group] = {}
    for run in runs:
        experiment = recorded_experiment(run)
        settings = None if experiment is None else _all_else(experiment)
        key = _seedless(run) if settings is None else frozenset(settings.items())
        group = groups.setdefault(key, Group(settings, [], []))
        group.runs.append(run)
        group.seeds.append(None if experiment is None else experiment.network.seed)
    return list(groups.values())


def _seedless(run: RunDirectory) -> tuple[Path, str]:
    """Where a run is, without seed_N."""
    folder = run.folder
    return folder.parent if re.fullmatch(r"seed_\d+", folder.name) else folder, run.prefix


def _all_else(experiment: Experiment) -> Known:
    """All settings but the seed and where things are. Other runs and files of the same seed are those of seed_N."""
    known = {METHOD: experiment.method_name}
    seed = re.compile(rf"\bseed_{experiment.network.seed}\b")
    other_files = {*experiment.method.other_runs(), *RESTART_FILES}
    for section, keys in experiment.settings().items():
        for key, (_, text) in keys.items():
            if section != "IO" and key != "dataloc" and (section, key) != SEED:
                known[section, key] = seed.sub("seed_N", text) if key in other_files else text
    pruned_at = (experiment.method_name, "prune_step")
    if known.get(pruned_at) == known["Network", "steps"]:
        known[pruned_at] = "steps"  # its default, which is no setting of its own
    return known


def varying(groups: Sequence[Known]) -> list[tuple[str, str]]:
    """Section and key of what is not equal in all of them; of methods only what those of one method differ in."""
    found = []
    for pair in dict.fromkeys(pair for group in groups for pair in group):
        same_section = [group for group in groups if pair[0] in ("", *(section for section, _ in group))]
        if len({group.get(pair) for group in same_section}) > 1:
            found.append(pair)
    return found


def _scaled_keys() -> set[str]:
    fields = (entry for section in SECTIONS.values() for entry in dataclasses.fields(section))
    return {entry.name for entry in fields if entry.metadata.get("scaled")} | _ALSO_SCALED
