"""Semantic super-classes: what the named class maps are made from.

The table of ImageNet's is made by tools/semantic_classes.py; docs/data.md says how, and how sure it is.
"""

import functools
from dataclasses import dataclass
from importlib import resources

TABLE = "semantic_classes.txt"
IMAGENET_NAMES = (
    "DOG",
    "MAMMAL\\DOG",
    "BIRD, REPTILE",
    "FISH, AMPHIBIAN, INVERTEBRATE",
    "DEVICE\\MUSICAL INSTRUMENT",
    "COVERING, MUSICAL INSTRUMENT",
    "CONTAINER\\VEHICLE, APPLIANCE, EQUIPMENT",
    "TRANSPORT, FURNISHING",
    "PLANT, FUNGUS, FOOD, VEGETABLE, FRUIT, IMPLEMENT",
    "CONSTRUCTION, MISCELLANEOUS",
)  # Table 1 of Pellegrini & Biroli 2022


@dataclass(frozen=True)
class SemanticClasses:
    """The semantic super-class of each class of a data set.

    Attributes:
        members: 0 ... len(names)-1, one for each class.
        names: one for each super-class.
    """

    members: tuple[int, ...]
    names: tuple[str, ...]


@functools.cache
def imagenet() -> SemanticClasses:
    """Those of the 1000 ImageNet classes, in the order of ILSVRC2012_ID."""
    return SemanticClasses(tuple(super_class for _, super_class, _ in read_table()), IMAGENET_NAMES)


def read_table() -> list[tuple[str, int, str]]:
    """(WordNet id, super-class, first word of the synset) of the 1000 ImageNet classes."""
    lines = resources.files(__package__).joinpath(TABLE).read_text(encoding="utf-8").splitlines()
    rows = (line.split() for line in lines if not line.startswith("#"))
    return [(wordnet_id, int(super_class), word) for wordnet_id, super_class, word in rows]
