"""Experiment: all sections of an input file. Method: what the section that names the method says, and does."""

import dataclasses
import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from sifting.architecture import POOL, LayerSpec
from sifting.base import html
from sifting.errors import InputError
from sifting.experiment.keys import PRUNE, Kind, key
from sifting.experiment.sections import IO, Data, Network
from sifting.network.rounds import Mask, Parameters, Round

if TYPE_CHECKING:
    from sifting.network.forward import ScoredNetwork


class Session(Protocol):
    """What a method may ask for while it runs; sifting.training.session.Session is one."""

    @property
    def experiment(self) -> "Experiment":
        """What is run."""

    @property
    def specs(self) -> tuple[LayerSpec, ...]:
        """The architecture."""

    def initial_parameters(self) -> dict[int, Parameters]:
        """Values before any training."""

    def initial_masks(self) -> dict[int, Mask]:
        """Masks of round 0."""

    def network(self, parameters: dict[int, Parameters], masks: dict[int, Mask]) -> "ScoredNetwork":
        """Values and masks as scores take them."""

    def sample(self, count: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Training images for scores, drawn without replacement, the same ones in every round; never translated.
        If an incomplete data set has fewer, all of them.

        Returns:
            x [count, channels*height*width], the network's inputs; labels [count].
        """

    def report(self, line: str) -> None:
        """Show one line."""

    def finished(self, number: int) -> bool:
        """Whether a round is stored."""

    def stored(self, number: int) -> Round:
        """A finished round. Raises DataError if there is none."""

    def adopt(self, result: Round) -> None:
        """Store a round that another run has trained as if it were of this one."""

    def train(
        self,
        number: int,
        masks: dict[int, Mask],
        sparsities: NDArray[np.float64],
        start: dict[int, Parameters],
        frozen: Collection[int] = (),
    ) -> Round:
        """Train one round from `start` under `masks`; a finished one is read from its file instead.

        Args:
            number: of the round.
            sparsities: one a prunable layer, for the records.
            frozen: layers whose W, b, gamma and beta stay as in `start`.

        Raises:
            TrainingDiverged: the loss is not finite; Interrupted: a signal came, the round was saved.
        """


@dataclass(frozen=True)
class Method(ABC):
    """The section that names the method. Its keys are the fields; the rest is what others must know of a method."""

    prune: tuple[bool, ...] = key(
        None, PRUNE, "which layers are pruned, in the order of arch; missing flags at the end are F; default: all T"
    )
    round_by_round: ClassVar[bool] = False  # whether each round is pruned from the one before, not all from round 0
    adopts_from: ClassVar[str] = ""  # the key that names a run whose round 0 becomes the own one

    # Keys that some methods have, and what holds for the others.
    scope = "layerwise"  # global: the weights of all pruned layers compete, so that no layer's sparsity is known before
    dense = True  # whether round 0, the dense training, is part of the run
    weights_step = 0  # the step of round 0 whose values every round starts from; 0: the initial ones
    images = 0  # number of training images that scores are computed on

    @property
    def name(self) -> str:
        return type(self).__name__

    # --- its rounds

    @abstractmethod
    def run(self, session: Session) -> None:
        """Train, score, mask, rewind: all rounds that are not stored yet."""

    @abstractmethod
    def sparsities(self, init_sparsity: float) -> Iterator[float] | None:
        """The nominal sparsity of every round, round 0 first; None where it depends on more than this section."""

    def trained_step(self, steps: int) -> int:
        """The step of a round whose weights are scored for the masks of the next one."""
        return steps

    def trained_step_in_words(self, steps: int) -> str:
        return f"[Network] steps = {steps}"

    def likely_rounds(self, inputs: Sequence[int]) -> int:
        """How many rounds there will be, round 0 included, where their number is not known before.

        Args:
            inputs: n_in of each pruned layer.
        """
        raise TypeError(f"[{self.name}] does not tell how many rounds it takes")

    @property
    def last_round(self) -> str:
        """When rounds end, in words, where their number is not known before."""
        return ""

    @property
    def freezes_weights(self) -> bool:
        """Whether a layer that is done keeps its trained weights."""
        return False

    def stored_steps(self, number: int, steps: int) -> set[int]:
        """The steps of a round before which its values are stored."""
        return {self.weights_step, steps} if number == 0 else {steps}

    # --- its keys

    def default_prune(self, layers: int) -> tuple[bool, ...]:
        return (True,) * layers

    def defaults(self, experiment: "Experiment") -> dict[str, Any]:
        """Values of keys whose defaults depend on other sections, and paths without "~"."""
        values: dict[str, Any] = {name: os.path.expanduser(path) for name, path in self.other_runs().items()}
        if self.prune is None:
            values["prune"] = self.default_prune(len(experiment.network.arch))
        return values

    def check(self, experiment: "Experiment") -> None:
        """Raises InputError: values that do not fit each other, or other sections."""
        steps = experiment.network.steps
        if self.weights_step >= self.trained_step(steps):
            accepted = f"a whole number >= 0 and < {self.trained_step_in_words(steps)}"
            raise experiment.error(self.name, "weights_step", accepted)
        if len(self.prune) > len(experiment.network.arch):
            accepted = f"at most {len(experiment.network.arch)} flags, one for each layer of arch"
            raise experiment.error(self.name, "prune", accepted)
        if not experiment.prunable:
            raise experiment.error(self.name, "prune", "at least one T, at a layer with weights")

    # --- other runs

    def other_runs(self) -> dict[str, str]:
        """Keys that name another run, with what they are set to."""
        named = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self) if entry.metadata["run"]}
        return {name: path for name, path in named.items() if path is not None}

    def check_other_run(self, experiment: "Experiment", name: str, numbers: list[int], stored: Round) -> None:  # noqa: B027
        """Refuse a run of the key `name` that lacks what is taken from it. Raises InputError.

        Args:
            numbers: of its rounds.
            stored: the one that `round_of_other_run` names.
        """

    def round_of_other_run(self, name: str, numbers: list[int]) -> int:
        """Number of the round that must be of this architecture."""
        return numbers[-1]


@dataclass(frozen=True)
class Experiment:
    """A resolved experiment: all sections, scaled and checked.

    Attributes:
        method: the section that names the method, see methods.METHODS.
        sources: the file (or --set) that gave each key, for error messages; keys left at their default are absent.
    """

    io: IO
    data: Data
    network: Network
    method: Method
    sources: Mapping[tuple[str, str], str] = field(default_factory=dict, compare=False)

    @property
    def method_name(self) -> str:
        return self.method.name

    @property
    def prunable(self) -> list[int]:
        """The layers that are pruned."""
        flags = zip(self.method.prune, self.network.arch, strict=False)
        return [index for index, (flag, token) in enumerate(flags) if flag and token.kind != POOL]

    @property
    def cache_folder(self) -> Path:
        """The folder of prepared images: [IO] cache_dir, or sifting/ in the user's cache folder."""
        folder = self.io.cache_dir or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "sifting")
        try:
            return Path(folder).expanduser()
        except RuntimeError:  # as in a container whose user has no name
            raise self.error("IO", "cache_dir", "a folder (there is no home folder to put it into)") from None

    def sections(self) -> dict[str, Any]:
        """Section name to section, in the order of the input file."""
        return {"IO": self.io, "Data": self.data, "Network": self.network, self.method_name: self.method}

    def error(self, section: str, name: str, accepted: str) -> InputError:
        """The one-line refusal of a value that is of the right type but does not fit the rest."""
        value = getattr(self.sections()[section], name)
        shown = "" if value is None else kind_of(type(self.sections()[section]), name).format(value)
        return refusal(self.sources.get((section, name), "default"), section, name, shown, accepted)

    def replace(self, section: str, **changes: Any) -> "Experiment":
        """A copy with other values in one section."""
        attribute = "method" if section == self.method_name else section.lower()
        return dataclasses.replace(self, **{attribute: dataclasses.replace(getattr(self, attribute), **changes)})

    def to_text(self) -> str:
        """The input file that gives this experiment, every key spelled out except those that are unset."""
        lines = []
        for section, keys in self.settings().items():
            lines += [f"[{section}]", *(f"{key} = {text}".rstrip() for key, (_, text) in keys.items()), ""]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """In a notebook: what differs from the defaults, and was not filled in; all settings on a click."""
        rows = [
            (f"[{name}] {entry.name}", self.settings()[name][entry.name][1])
            for name, section in self.sections().items()
            for entry in dataclasses.fields(section)
            if getattr(section, entry.name) != entry.default
            and (entry.default is not None or (name, entry.name) in self.sources)
        ]
        return html.table((), rows) + html.folded("all settings", f"<pre>{escape(self.to_text())}</pre>")

    def settings(self) -> dict[str, dict[str, tuple[Any, str]]]:
        """{section: {key: (value, its text in an input file)}} of all keys except those that are unset."""
        return {
            name: {
                entry.name: (value, entry.metadata["kind"].format(value))
                for entry in dataclasses.fields(section)
                if (value := getattr(section, entry.name)) is not None
            }
            for name, section in self.sections().items()
        }


def kind_of(section: type, name: str) -> Kind:
    """What a key accepts."""
    kind: Kind = next(entry.metadata["kind"] for entry in dataclasses.fields(section) if entry.name == name)
    return kind


def refusal(source: str, section: str, name: str, value: str, accepted: str) -> InputError:
    return InputError(f"{source}: [{section}] {name} = {value!r}: accepted: {accepted}")
