"""The methods, each a section of an input file and an algorithm; exactly one of them stands in a file.

[IMP], [LayerByLayer] and [Cavity] prune a fraction of what is left, round by round. The others have levels: round i
trains at the i-th sparsity, pruned from one and the same network. docs/extending.md says how to add your own.
"""

import dataclasses
import inspect

from sifting.base import extensions
from sifting.errors import InputError
from sifting.experiment.experiment import Method
from sifting.experiment.keys import integer as integer
from sifting.experiment.keys import key as key
from sifting.methods.cavity import Cavity
from sifting.methods.imp import IMP as IMP
from sifting.methods.initialisation import SNIP, GraSP, Random, SynFlow
from sifting.methods.initialisation import Scored as Scored
from sifting.methods.layer_by_layer import LayerByLayer
from sifting.methods.oneshot import OneShot
from sifting.methods.scored_rounds import ScoredRounds as ScoredRounds
from sifting.network.rounds import Mask as Mask

METHODS: dict[str, type[Method]] = {
    method.__name__: method for method in (IMP, OneShot, SNIP, SynFlow, Random, LayerByLayer, GraSP, Cavity)
}


def check_sections() -> None:
    """Refuse what an extension put into METHODS if no section can be made of it. Raises InputError."""
    for name, section in METHODS.items():
        if problem := _why_no_section(name, section):
            raise InputError(f"{extensions.NAME}.py: METHODS[{name!r}] {problem}")


def _why_no_section(name: str, section: type[Method]) -> str:
    """Empty if it is one."""
    if not (isinstance(section, type) and issubclass(section, Method)):
        return f"is {section!r}; accepted: a class that derives from sifting.methods.Scored or ScoredRounds"
    if section.__name__ != name:
        return f"is the class {section.__name__}; accepted: METHODS[{section.__name__!r}], the name of the class"
    if missing := ", ".join(sorted(section.__abstractmethods__)):
        return f"has no {missing}; accepted: a class that defines it as a method"
    fields = [entry for entry, value in vars(section).items() if isinstance(value, dataclasses.Field)]
    keys = [*inspect.get_annotations(section), *fields]
    if keys and "__dataclass_fields__" not in vars(section):
        return f"has the key {keys[0]}, but is no dataclass; accepted: @dataclass(frozen=True) above class {name}"
    for entry in dataclasses.fields(section):
        if "kind" not in entry.metadata:
            return f"does not say what {entry.name} accepts; accepted: a key(default, kind, help) of sifting.methods"
    return ""
