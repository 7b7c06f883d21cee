"""Running a plan: what the command and the Python interface share."""

import gc
import platform
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sifting import __version__
from sifting.base.quiet import native_messages_hidden
from sifting.base.signals import Signals
from sifting.datasets import cache
from sifting.errors import ScoresNotFinite, TrainingDiverged
from sifting.runs.directory import RunDirectory
from sifting.training import dry_run
from sifting.training.plan import Plan, warnings

if TYPE_CHECKING:
    from sifting.training.observers import Observer
    from sifting.training.screen import Screen


def run(
    plan: Plan,
    signals: Signals,
    screen_of: "Callable[[int | None], Screen] | None" = None,
    observers: "Sequence[Observer]" = (),
) -> RunDirectory:
    """Run, or continue, one experiment.

    Args:
        signals: tells when to save and stop.
        screen_of: makes the screen, given the number of rounds to expect; default: a Screen on standard output.
        observers: of the training, more than there are.

    Raises:
        SiftingError: the problem in one line; Interrupted: a signal came, everything was saved.
    """
    plan.images.check_files()
    dry_run.check_resources(plan)
    directory = plan.directory
    with directory.lock():
        plan = plan.settled()
        experiment = plan.experiment
        # The screen starts after everything that can be refused at once; TensorFlow takes seconds to import.
        from sifting.training.screen import Screen

        screen = (screen_of or Screen)(dry_run.expected_rounds(experiment))
        screen.line(
            f"{experiment.method_name} of {experiment.data.dataset}, seed {experiment.network.seed}, into {directory}_*"
        )
        for line in warnings(plan):
            screen.line(line)
        image_set = plan.images.load(screen.line)
        # Only now that nothing can be refused any more: a refusal leaves the directory as it was.
        if plan.begins:
            directory.remove_rounds(experiment.network.first_round)
            directory.keep_input(experiment.network.first_round)
        stored = directory.rounds()
        directory.write_input(experiment.to_text())
        with native_messages_hidden():
            from sifting.base.compute import describe_device, tensor_float_32
            from sifting.training.session import Session
        try:
            gc.freeze()  # what is there lives as long as the run; a look at all of it takes a quarter of a second
            session = Session(experiment, image_set, directory, screen, signals, observers=observers)
            known = directory.read_record()
            known.pop("failed", None)
            directory.write_record({**known, **_record(plan, image_set.source, {} if plan.begins else known)})
            screen.line(f"training on {describe_device()}")
            with tensor_float_32(experiment.network.tf32):
                experiment.method.run(session)
            session.finish()
        except (TrainingDiverged, ScoresNotFinite) as error:  # another process need not find out again
            directory.write_record({**directory.read_record(), "failed": str(error)})
            raise
        finally:
            gc.unfreeze()
            screen.close()
        if not directory.rounds():
            screen.line("No round was trained: the run is to stop before the first one, or there is no level to train.")
        elif directory.rounds() == stored:
            screen.line("All rounds were there already.")
    return directory


def _record(plan: Plan, source: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """What run.json says of all rounds. `known`: what it says of those that stay."""
    import keras
    import numpy as np
    import tensorflow as tf

    return {
        "seed": plan.experiment.network.seed,
        "versions": {
            "sifting": __version__,
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
        "images": source,
        "image_format": known.get("image_format") if known else cache.FORMAT,  # of the images it began with
        "finished": False,  # until the method has ended
    }
