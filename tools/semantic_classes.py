"""Makes sifting/datasets/semantic_classes.txt: ten semantic super-classes of the 1000 ImageNet classes.

    python tools/semantic_classes.py DATA_NOUN LABELS [--output FILE]

DATA_NOUN is the noun file of WordNet 3.0, /usr/share/wordnet/data.noun of Debian's package wordnet-base. LABELS holds
the WordNet ids of the 1000 classes in the order of ILSVRC2012_ID: imagenet_resized_labels.txt of tensorflow-datasets.
A WordNet id is "n" and the offset of a synset in DATA_NOUN.

Table 1 of Pellegrini & Biroli 2022 names the macro-categories of each super-class and the sizes. A category is taken
to be a synset with all that is below it. What fits several super-classes goes where PRECEDENCE or PLACED_BY_HAND says,
what fits none to MISCELLANEOUS. Only sizes are published: that they come out as in Table 1 is checked, and so is how
many other ways to place the classes that fit several super-classes would give them.
"""

import argparse
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sifting.datasets import semantic

OUTPUT = Path(semantic.__file__).parent / semantic.TABLE


class Synset(NamedTuple):
    """A noun of WordNet: its first word, and the ids of the synsets right above it."""

    word: str
    hypernyms: tuple[str, ...]


class Rule(NamedTuple):
    """All that is below one of the synsets `of`, and not below `but_not`, fits a super-class."""

    super_class: int
    of: tuple[str, ...]  # "id word": the word shows a wrong version of WordNet
    but_not: tuple[str, ...] = ()


MISCELLANEOUS = 9
RULES = (
    Rule(0, ("n02084071 dog",)),
    Rule(1, ("n01861778 mammal",), but_not=("n02084071 dog",)),
    Rule(2, ("n01503061 bird", "n01661091 reptile")),
    Rule(3, ("n02512053 fish", "n01627424 amphibian", "n01905661 invertebrate")),
    Rule(4, ("n03183080 device",), but_not=("n03800933 musical_instrument",)),
    Rule(5, ("n03122748 covering", "n03800933 musical_instrument")),
    Rule(6, ("n03094503 container",), but_not=("n04524313 vehicle",)),
    Rule(6, ("n02729837 appliance", "n03294048 equipment")),
    Rule(7, ("n03100490 conveyance", "n03405265 furnishing")),  # "transport" is the second word of the first synset
    Rule(8, ("n00017222 plant", "n12992868 fungus")),
    Rule(8, ("n00021265 food", "n07555863 food")),  # as what nourishes, and as what is solid
    Rule(8, ("n07707451 vegetable", "n13134947 fruit", "n03563967 implement")),
    Rule(9, ("n04341686 structure",)),  # "construction" is its second word
)
PRECEDENCE = (0, 1, 2, 3, 4, 9, 7, 6, 5, 8)

# Caldron, coffeepot and teapot are pots to WordNet, so all three fit CONTAINER and IMPLEMENT, and no rule can tell them
# apart. The sizes ask for one of them in IMPLEMENT: the one to cook with, since the others are to pour from.
PLACED_BY_HAND = {"n02939185": 8}

SIZES = (118, 100, 95, 85, 104, 111, 99, 95, 96, 97)


def read_nouns(lines: Iterable[str]) -> dict[str, Synset]:
    """The synsets of a WordNet noun file (format: wndb(5WN)), by id; lines of its licence begin with two spaces."""
    nouns = {}
    for line in lines:
        if line.startswith("  "):
            continue
        offset, _, _, word_count, *rest = line.partition("|")[0].split()
        words, pointers = rest[: 2 * int(word_count, 16) : 2], rest[2 * int(word_count, 16) + 1 :]
        above = (
            f"n{target}"
            for symbol, target, part_of_speech in zip(pointers[::4], pointers[1::4], pointers[2::4], strict=True)
            if symbol in ("@", "@i") and part_of_speech == "n"
        )
        nouns[f"n{offset}"] = Synset(words[0], tuple(above))
    return nouns


def read_licence(lines: Iterable[str]) -> list[str]:
    """The lines of WordNet's licence that open a noun file, without their numbers."""
    return [line.lstrip().partition(" ")[2].strip() for line in lines if line.startswith("  ")]


def with_ancestors(wordnet_id: str, nouns: Mapping[str, Synset]) -> set[str]:
    """The synset and all above it."""
    found, todo = set(), [wordnet_id]
    while todo:
        synset = todo.pop()
        if synset not in found:
            found.add(synset)
            todo.extend(nouns[synset].hypernyms)
    return found


def fitting(wordnet_id: str, nouns: Mapping[str, Synset], rules: Sequence[Rule] = RULES) -> set[int]:
    """The super-classes whose rules a class fits."""
    ancestors = with_ancestors(wordnet_id, nouns)

    def below(named: tuple[str, ...]) -> bool:
        return any(name.split()[0] in ancestors for name in named)

    return {rule.super_class for rule in rules if below(rule.of) and not below(rule.but_not)}


def place(
    wordnet_id: str,
    fits: set[int],
    precedence: Sequence[int] = PRECEDENCE,
    placed_by_hand: Mapping[str, int] = PLACED_BY_HAND,
) -> int:
    """The super-class of a class that fits those of `fits`."""
    if wordnet_id in placed_by_hand:
        return placed_by_hand[wordnet_id]
    return min(fits, key=precedence.index, default=MISCELLANEOUS)


def count_ways(choices: Sequence[set[int]], sizes: Mapping[int, int]) -> int:
    """In how many ways can each class be given one of its choices, so that the super-classes have these sizes?"""
    names = sorted(set(sizes).union(*choices))
    ways = Counter({(0,) * len(names): 1})  # sizes so far: ways to get there
    for options in choices:
        longer = Counter()
        for so_far, count in ways.items():
            for option in options:
                longer[tuple(size + (name == option) for name, size in zip(names, so_far, strict=True))] += count
        ways = longer
    return ways[tuple(sizes.get(name, 0) for name in names)]


def table_text(ids: Sequence[str], places: Sequence[int], nouns: Mapping[str, Synset], licence: Sequence[str]) -> str:
    """The table as a file."""
    sizes = Counter(places)
    header = [
        "Ten semantic super-classes of the 1000 ImageNet classes, after Table 1 of Pellegrini & Biroli 2022.",
        "Made by tools/semantic_classes.py from the hypernyms of WordNet 3.0; docs/data.md says how.",
        "Rows in the order of ILSVRC2012_ID: WordNet id, super-class, first word of the synset.",
        "",
        *(f"{number}  {sizes[number]:3}  {name}" for number, name in enumerate(semantic.IMAGENET_NAMES)),
        "",
        *(f"Placed by hand: {wordnet_id} {nouns[wordnet_id].word}" for wordnet_id in PLACED_BY_HAND),
        "",
        "The words are from WordNet, whose licence follows.",
        "",
        *licence,
    ]
    rows = [f"{wordnet_id} {number} {nouns[wordnet_id].word}" for wordnet_id, number in zip(ids, places, strict=True)]
    return "\n".join([*(f"# {line}".rstrip() for line in header), *rows]) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_noun", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args(arguments)

    try:
        lines = options.data_noun.read_text(encoding="utf-8").splitlines()
        ids = options.labels.read_text(encoding="utf-8").split()
    except OSError as error:
        parser.error(str(error))
    nouns = read_nouns(lines)
    named = {name for rule in RULES for name in rule.of + rule.but_not}
    if any(nouns.get(name.split()[0], Synset("", ())).word != name.split()[1] for name in named):
        parser.error(f"{options.data_noun}: its synsets are not those of WordNet 3.0")
    if len(set(ids)) != len(ids) or not nouns.keys() >= set(ids):
        parser.error(f"{options.labels}: accepted: different ids of WordNet 3.0's nouns")

    fits = [fitting(wordnet_id, nouns) for wordnet_id in ids]
    places = [place(*pair) for pair in zip(ids, fits, strict=True)]
    sizes = tuple(Counter(places)[number] for number in range(len(SIZES)))
    if sizes != SIZES:
        parser.error(f"the super-classes have {sizes} classes; Table 1 has {SIZES}")
    options.output.write_text(table_text(ids, places, nouns, read_licence(lines)), encoding="utf-8")
    several = [index for index, choices in enumerate(fits) if len(choices) > 1]
    ways = count_ways([fits[index] for index in several], Counter(places[index] for index in several))
    print(f"{len(several)} classes fit several super-classes; ways to place them that give these sizes: {ways}")
    for index in several:
        hand = ", by hand" if ids[index] in PLACED_BY_HAND else ""
        print(f"{ids[index]} {nouns[ids[index]].word:18} {sorted(fits[index])} -> {places[index]}{hand}")


if __name__ == "__main__":
    main()
