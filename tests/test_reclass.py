"""Class maps, by hand."""

import hashlib
import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from synthetic import write_input

from sifting import datasets
from sifting.datasets import semantic
from sifting.datasets.reclass import class_map
from sifting.experiment.sections import RECLASS, RECLASS_NAMES, Reclass
from sifting.inputs import read_experiment


def test_maps_by_hand(tmp_path):
    """No map is the identity; modulo; a file with one id for each class, spelled in three ways."""
    for reclass, expected in [
        (Reclass(), [0, 1, 2, 3]),
        (Reclass("m", 3), [0, 1, 2, 0]),
        (Reclass("m", 4), [0, 1, 2, 3]),
    ]:
        assert class_map(reclass, 4).tolist() == expected
    path = tmp_path / "classes.dat"
    for content in ("2,0,1,1", " 2, 0,\n1,1,\n", "\ufeff2,0,1,1\r\n"):
        path.write_text(content, encoding="utf-8", newline="")
        result = class_map(Reclass("f", 3, str(path)), 4)
        assert result.tolist() == [2, 0, 1, 1] and result.dtype == np.int32


@pytest.mark.parametrize(
    ("content", "accepted"),
    [
        ("0,1,2", "one id for each of the 4 classes; {file} has 3"),
        ("0,1,2,0,1", "one id for each of the 4 classes; {file} has 5"),
        ("0,1,3,0", "0 ... 2; {file} has '3' at position 2"),
        ("0,-1,2,0", "'-1' at position 1"),
        ("0,1.0,2,0", "'1.0' at position 1"),
        ("0,,2,0", "'' at position 1"),
        ("0 1 2 0", "'0 1 2 0' at position 0"),
        ("", "'' at position 0"),
        (b"\xff\xfe0,1", "byte 0xff is not UTF-8"),
        (None, "No such file"),
    ],
)
def test_ids_that_do_not_fit_are_refused(tmp_path, content, accepted):
    path = tmp_path / "ids.dat"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError) as error:
        class_map(Reclass("f", 3, str(path)), 4)
    assert accepted.format(file=path) in str(error.value) and "\n" not in str(error.value)


def test_maps_that_do_not_fit_the_classes_are_refused(tmp_path):
    for rule in ("m", "f"):
        with pytest.raises(ValueError, match="K <= 4"):
            class_map(Reclass(rule, 5, "anything"), 4)
    with pytest.raises(ValueError, match="Is a directory"):
        class_map(Reclass("f", 2, str(tmp_path)), 4)
    for name in RECLASS_NAMES:
        with pytest.raises(ValueError, match="n, or m,K, or f,K,FILE for these 1000 classes"):
            class_map(Reclass(name, 10), 1000)


# --- named maps ----------------------------------------------------------------------------------------------------

TABLE_1 = [118, 100, 95, 85, 104, 111, 99, 95, 96, 97]


def named_map(name: str) -> np.ndarray:
    """A named map of the ImageNet classes, as an input file asks for it."""
    return class_map(RECLASS.parse(name), 1000, semantic.imagenet())


def test_table_has_the_1000_classes_in_the_order_of_ilsvrc2012_id():
    """The checksum is that of imagenet_resized_labels.txt in tensorflow-datasets."""
    rows = semantic.read_table()
    ids = [wordnet_id for wordnet_id, _, _ in rows]
    assert len(ids) == len(set(ids)) == 1000
    assert all(re.fullmatch(r"n\d{8}", wordnet_id) for wordnet_id in ids)
    checksum = hashlib.sha256("".join(f"{wordnet_id}\n" for wordnet_id in ids).encode()).hexdigest()
    assert checksum == "e85e4969a881deb8a8ba329357d033f7a664de8f1e099f593ad723bcf79bbfe5"
    assert rows[0] == ("n02119789", 1, "kit_fox")
    assert [row for row in rows if row[2] == "crane"] == [("n02012849", 2, "crane"), ("n03126707", 4, "crane")]


WELL_KNOWN = {
    0: "n02085620 Chihuahua",
    1: "n02123045 tabby",
    2: "n01514668 cock, n01697457 African crocodile",
    3: "n01443537 goldfish, n01644373 tree frog, n02206856 bee",
    4: "n03642806 laptop, n03773504 missile: a device and a means of transport",
    5: "n04536866 violin, n03594734 jean",
    6: "n04522168 vase, n04254680 soccer ball, n03063689 coffeepot",
    7: "n02701002 ambulance, n03376595 folding chair",
    8: "n07753592 banana, n12998815 agaric, n03481172 hammer, n02939185 caldron: placed by hand",
    9: "n02980441 castle, n09472597 volcano, n04399382 teddy",
}


def test_semantic_classes_of_well_known_classes():
    found = dict(zip((row[0] for row in semantic.read_table()), named_map("semantic").tolist(), strict=True))
    for super_class, words in WELL_KNOWN.items():
        for wordnet_id in re.findall(r"n\d{8}", words):
            assert found[wordnet_id] == super_class, wordnet_id


def test_semantic_classes_have_the_sizes_of_table_1():
    result = named_map("semantic")
    assert result.dtype == np.int32 and np.bincount(result).tolist() == TABLE_1
    assert len(semantic.IMAGENET_NAMES) == 10


@pytest.mark.parametrize(
    ("name", "checksum"),
    [
        ("semantic", "9ff681f07ed9f746"),
        ("random", "d21390edb7d0bcbd"),
        ("5semantic5random", "1d2de3ae33084c7b"),
        ("partial_semantic", "44a4b4628756a012"),
    ],
)
def test_named_maps_are_always_the_same(name, checksum):
    """Runs of different times and machines must mean the same task."""
    for _ in range(2):
        assert hashlib.sha256(named_map(name).astype("<i4").tobytes()).hexdigest()[:16] == checksum
    np.testing.assert_array_equal(named_map("random"), np.arange(1000) % 10)


def test_named_maps_of_a_data_set_with_super_classes_of_its_own():
    families = semantic.SemanticClasses(tuple(c // 10 for c in range(100)), tuple("abcdefghij"))
    original = np.arange(100) // 10
    sizes = {}
    for name in RECLASS_NAMES:
        result = class_map(Reclass(name, 10), 100, families)
        sizes[name] = np.bincount(result).tolist()
    assert sizes == dict.fromkeys(RECLASS_NAMES, [10] * 10)
    np.testing.assert_array_equal(class_map(Reclass("semantic", 10), 100, families), original)
    assert np.all(np.bincount(original[class_map(Reclass("partial_semantic", 10), 100, families) == original]) >= 5)


def test_refusal_names_the_key(refuse, tmp_path):
    changes = "Data.collage_classes=10", "Data.reclass=semantic"
    path = write_input(tmp_path, *changes)
    assert refuse(path) == (
        f"{path}: [Data] reclass = 'semantic': accepted: n, or m,K, or f,K,FILE for these 10 classes; named "
        "maps need super-classes, as ImageNet and EdgeCollage32 with collage_classes = 100 have them"
    )


@pytest.mark.parametrize("name", RECLASS_NAMES)
def test_images_get_the_labels_and_the_names_of_the_map(tmp_path, name):
    folder = tmp_path / "ImageNet"
    folder.mkdir()
    labels = np.arange(1, 1001)
    images = {"data": np.zeros((1000, 3072), np.uint8), "labels": labels, "mean": np.zeros(3072)}
    np.savez(folder / "train_data_batch_1.npz", **images)
    np.savez(folder / "val_data.npz", data=images["data"][:2], labels=labels[:2])
    changes = "dataset=ImageNet32", f"dataloc={folder}", f"reclass={name}", "data_ratio=0.00078125"
    path = write_input(tmp_path, *(f"Data.{change}" for change in changes), "Network.val_size=2")
    experiment = read_experiment([str(path)])
    assert datasets.planned(experiment).facts.classes == 10
    image_set = datasets.load(experiment, lambda line: None)
    np.testing.assert_array_equal(image_set.labels, named_map(name))
    np.testing.assert_array_equal(image_set.val_labels, named_map(name)[:2])
    assert image_set.classes == 10
    assert image_set.class_names == (semantic.IMAGENET_NAMES if name == "semantic" else ())


# --- the tool that makes the table, on a made-up hierarchy ---------------------------------------------------------


def noun(offset: int, word: str, *above: int, words: int = 1, symbol: str = "@") -> str:
    """A line of a WordNet noun file. Its first pointer leads down, to a verb and nowhere."""
    pointers = [f"{symbol} {target:08} n 0000" for target in above]
    others = "".join(f" other_{index} 0" for index in range(words - 1))
    return (
        f"{offset:08} 06 n {words:02x} {word} 0{others} {len(above) + 2:03} ~ 00000099 n 0000 "
        f"{' '.join(pointers)}{' ' if above else ''}+ 00000098 v 0101 | what {word} means; @ 00000099 n  "
    )


HIERARCHY = [
    *("  1 Free words,", "  2   ", "  10 as they are.  "),
    noun(1, "thing"),
    noun(2, "vessel", 1),
    noun(3, "tool", 1, words=17),
    noun(4, "vehicle", 2),
    noun(5, "pot", 2, 3),
    noun(6, "kettle", 5),
    noun(8, "ship", 4),
    noun(10, "Excalibur", 3, symbol="@i"),
    noun(11, "cloud", 1),
]


@pytest.fixture(scope="module")
def tool():
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "tools" / "semantic_classes.py")))


def test_rules_follow_the_hierarchy(tool):
    """0: vessels without vehicles; 1: tools; 2: vehicles, ships once more. Precedence decides, the hand overrules."""
    nouns = tool.read_nouns(HIERARCHY)
    rules = [
        tool.Rule(0, ("n00000002 vessel",), but_not=("n00000004 vehicle",)),
        tool.Rule(1, ("n00000003 tool",)),
        tool.Rule(2, ("n00000004 vehicle", "n00000008 ship")),
    ]
    fits = {nouns[wordnet_id].word: tool.fitting(wordnet_id, nouns, rules) for wordnet_id in nouns}
    one = {"vessel": {0}, "tool": {1}, "vehicle": {2}, "ship": {2}, "Excalibur": {1}}
    assert fits == one | {"thing": set(), "pot": {0, 1}, "kettle": {0, 1}, "cloud": set()}
    for precedence, placed, place in [
        ((2, 1, 0), {}, 1),
        ((0, 1, 2), {}, 0),
        ((0, 1, 2), {"n1": 1, "n2": 0}, 1),
    ]:
        assert tool.place("n1", {0, 1}, precedence=precedence, placed_by_hand=placed) == place
    assert tool.place("n1", set(), precedence=(0, 1, 2), placed_by_hand={}) == tool.MISCELLANEOUS


def test_the_rules_cover_the_super_classes_and_the_hand_is_in_the_table(tool):
    assert {rule.super_class for rule in tool.RULES} == set(tool.PRECEDENCE) == set(range(10))
    assert list(tool.SIZES) == TABLE_1
    table = {wordnet_id: super_class for wordnet_id, super_class, _ in semantic.read_table()}
    assert tool.PLACED_BY_HAND.items() <= table.items()
