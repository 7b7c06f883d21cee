"""What follows from the rounds of a run: log, findata and history."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from sifting.architecture import LayerSpec
from sifting.base.pickles import dump_pickle
from sifting.network.rounds import Round
from sifting.runs import history
from sifting.runs.reference import findata_to_lists, log_lines, log_summary


class _Kept(NamedTuple):
    """Of a round."""

    sparsities: np.ndarray
    best_validation_error: np.floating
    log: str
    history: str


class Following:
    """These files, of the rounds that were added; of each no more is kept than they take."""

    def __init__(self, specs: tuple[LayerSpec, ...] = ()) -> None:
        self._specs = specs
        self._rounds: dict[int, _Kept] = {}

    def add(self, result: Round, own: Mapping[str, float] | None = None) -> None:
        """`own`: the user's observables, see network.observables."""
        log = log_lines(result.validation_steps, result.training_errors, result.validation_errors) + log_summary(result)
        kept = _Kept(result.sparsities, result.best_validation_error, log, history.lines(result, own))
        self._specs = result.specs
        self._rounds = dict(sorted([*self._rounds.items(), (result.number, kept)]))

    def log(self) -> str:
        return "".join(kept.log for kept in self._rounds.values())

    def files(self, own: Iterable[str] = ()) -> dict[str, bytes]:
        """Contents by name, without the prefix. `own`: names of the user's observables."""
        kept = self._rounds.values()
        findata = findata_to_lists(
            self._specs, [one.sparsities for one in kept], [one.best_validation_error for one in kept]
        )
        lines = history.header(self._specs, own) + "".join(one.history for one in kept)
        return {"out.dat": self.log().encode(), "findata.pkl": dump_pickle(findata), "history.csv": lines.encode()}
