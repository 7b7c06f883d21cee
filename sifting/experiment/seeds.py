"""--seeds: runs that differ in their random draws alone, each into save_dir/seed_N."""

import os
from pathlib import Path

from sifting.errors import InputError
from sifting.experiment.experiment import Experiment
from sifting.experiment.keys import integer


def seeds_in(text: str, source: str = "--seeds") -> list[int]:
    """Raises InputError unless these are different whole numbers >= 0, joined by commas."""
    try:
        seeds = [integer(0).parse(seed) for seed in text.split(",")]
    except ValueError:
        seeds = []
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError(f"{source} '{text}': accepted: different whole numbers >= 0, such as 1,2,3,4")
    return seeds


def of_seed(experiment: Experiment, seed: int) -> list[str]:
    """What changes for one of them: seed, save_dir, and other runs that have a sub-folder of this seed."""
    folder = f"seed_{seed}"
    changes = [f"Network.seed={seed}", f"IO.save_dir={os.path.join(experiment.io.save_dir, folder)}"]
    for key, named in experiment.method.other_runs().items():
        path = Path(named)  # DIR, or DIR/PREFIX
        if (path / folder).is_dir():
            path = path / folder
        elif (path.parent / folder).is_dir():
            path = path.parent / folder / path.name
        changes.append(f"{experiment.method_name}.{key}={path}")
    return changes
