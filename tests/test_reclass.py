"""Class maps, by hand."""

import hashlib
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sifting import datasets
from sifting.datasets import semantic
from sifting.datasets.reclass import class_map, parse_class_ids
from sifting.inputs import RECLASS, RECLASS_NAMES, Reclass, read_experiment


def test_no_map_is_the_identity():
    assert class_map(Reclass(), 4).tolist() == [0, 1, 2, 3]


def test_modulo():
    result = class_map(Reclass("m", 3), 7)
    assert result.tolist() == [0, 1, 2, 0, 1, 2, 0] and result.dtype == np.int32


@pytest.mark.parametrize("content", ["2,0,1,1", " 2, 0,\n1,1,\n", "\ufeff2,0,1,1\r\n"])
def test_file_with_one_id_for_each_class(tmp_path, content):
    path = tmp_path / "classes.dat"
    path.write_text(content, encoding="utf-8", newline="")
    result = class_map(Reclass("f", 3, str(path)), 4)
    assert result.tolist() == [2, 0, 1, 1] and result.dtype == np.int32


@pytest.mark.parametrize("rule", ["m", "f"])
def test_more_new_classes_than_old_ones_are_refused(rule):
    with pytest.raises(ValueError, match="K <= 4"):
        class_map(Reclass(rule, 5, "anything"), 4)
    assert class_map(Reclass("m", 4), 4).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("content", "accepted"),
    [
        ("0,1,2", "one id for each of the 4 classes; ids has 3"),
        ("0,1,2,0,1", "one id for each of the 4 classes; ids has 5"),
        ("0,1,3,0", "0 ... 2; ids has '3' at position 2"),
        ("0,-1,2,0", "'-1' at position 1"),
        ("0,1.0,2,0", "'1.0' at position 1"),
        ("0,,2,0", "'' at position 1"),
        ("0 1 2 0", "'0 1 2 0' at position 0"),
        ("", "'' at position 0"),
    ],
)
def test_ids_that_do_not_fit_are_refused(content, accepted):
    with pytest.raises(ValueError) as error:
        parse_class_ids(content, 3, 4, "ids")
    assert accepted in str(error.value) and "\n" not in str(error.value)


def test_files_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(ValueError, match="No such file"):
        class_map(Reclass("f", 2, str(tmp_path / "missing.dat")), 4)
    with pytest.raises(ValueError, match="Is a directory"):
        class_map(Reclass("f", 2, str(tmp_path)), 4)
    (tmp_path / "binary.dat").write_bytes(b"\xff\xfe0,1")
    with pytest.raises(ValueError, match="not text"):
        class_map(Reclass("f", 2, str(tmp_path / "binary.dat")), 4)


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


@pytest.mark.parametrize(
    ("wordnet_id", "super_class"),
    [
        ("n02085620", 0),  # Chihuahua
        ("n02123045", 1),  # tabby
        ("n01514668", 2),  # cock
        ("n01697457", 2),  # African crocodile
        ("n01443537", 3),  # goldfish
        ("n01644373", 3),  # tree frog
        ("n02206856", 3),  # bee
        ("n03642806", 4),  # laptop
        ("n03773504", 4),  # missile: a device and a means of transport
        ("n04536866", 5),  # violin
        ("n03594734", 5),  # jean
        ("n04522168", 6),  # vase
        ("n04254680", 6),  # soccer ball
        ("n03063689", 6),  # coffeepot
        ("n02701002", 7),  # ambulance
        ("n03376595", 7),  # folding chair
        ("n07753592", 8),  # banana
        ("n12998815", 8),  # agaric
        ("n03481172", 8),  # hammer
        ("n02939185", 8),  # caldron, placed by hand
        ("n02980441", 9),  # castle
        ("n09472597", 9),  # volcano
        ("n04399382", 9),  # teddy
    ],
)
def test_semantic_class_of_a_well_known_class(wordnet_id, super_class):
    place = [row[0] for row in semantic.read_table()].index(wordnet_id)
    assert named_map("semantic")[place] == super_class


def test_semantic_classes_have_the_sizes_of_table_1():
    result = named_map("semantic")
    assert result.dtype == np.int32 and np.bincount(result).tolist() == TABLE_1
    assert len(semantic.IMAGENET_NAMES) == 10


def test_random_is_modulo_ten():
    np.testing.assert_array_equal(named_map("random"), class_map(Reclass("m", 10), 1000))
    assert named_map("random").dtype == np.int32


def test_5semantic5random_keeps_the_first_five_and_balances_the_others():
    original, result = named_map("semantic"), named_map("5semantic5random")
    np.testing.assert_array_equal(original < 5, result < 5)
    np.testing.assert_array_equal(result[original < 5], original[original < 5])
    assert np.bincount(result).tolist() == [*TABLE_1[:5], 100, 100, 100, 99, 99]
    # Each of the new five holds about a fifth of each of the old five: 20 +- 4.
    mixture = [np.bincount(original[result == number], minlength=10)[5:] for number in range(5, 10)]
    assert np.min(mixture) >= 10 and np.max(mixture) <= 35


def test_partial_semantic_keeps_half_of_each_class():
    """The others are dealt anew, so that about a tenth of them come back to where they were: 5 +- 2 in each."""
    original, result = named_map("semantic"), named_map("partial_semantic")
    assert np.bincount(result).tolist() == TABLE_1
    kept = np.bincount(original[result == original])
    halves = np.array(TABLE_1) // 2
    assert np.all(kept >= halves) and np.all(kept <= halves + 13)


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


@pytest.mark.parametrize("name", RECLASS_NAMES)
def test_named_maps_are_read_and_written_by_name(name):
    value = RECLASS.parse(name)
    assert value == Reclass(name, 10) and RECLASS.format(value) == name
    for wrong in (f"{name},10", f"{name},", name.upper()):
        with pytest.raises(ValueError):
            RECLASS.parse(wrong)


@pytest.mark.parametrize("name", RECLASS_NAMES)
def test_named_maps_are_refused_where_there_are_no_super_classes(name):
    with pytest.raises(ValueError, match="n, or m,K, or f,K,FILE for these 1000 classes"):
        class_map(Reclass(name, 10), 1000)


def write_experiment(folder, *data: str) -> str:
    lines = [f"[IO]\nsave_dir = {folder / 'run'}\ncache_dir = {folder / 'cache'}", "[Data]", *data]
    (folder / "test.in").write_text("\n".join([*lines, "[Network]\narch = f4:x\nval_size = 2\n[IMP]\n"]))
    return str(folder / "test.in")


def test_refusal_is_one_line_and_exit_code_2(tmp_path):
    path = write_experiment(tmp_path, "dataset = EdgeCollage32", "collage_classes = 10", "reclass = semantic")
    command = [sys.executable, "-m", "sifting.run", path]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr == (
        f"sifting: {path}: [Data] reclass = 'semantic': accepted: n, or m,K, or f,K,FILE for these 10 classes; named "
        "maps need super-classes, as ImageNet and EdgeCollage32 with collage_classes = 100 have them\n"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", RECLASS_NAMES)
def test_images_get_the_labels_and_the_names_of_the_map(tmp_path, name):
    folder = tmp_path / "ImageNet"
    folder.mkdir()
    labels = np.arange(1, 1001)
    images = {"data": np.zeros((1000, 3072), np.uint8), "labels": labels, "mean": np.zeros(3072)}
    np.savez(folder / "train_data_batch_1.npz", **images)
    np.savez(folder / "val_data.npz", data=images["data"][:2], labels=labels[:2])
    path = write_experiment(tmp_path, f"dataloc = {folder}", f"reclass = {name}", "data_ratio = 0.00078125")
    experiment = read_experiment([path])
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


LICENCE = ["  1 Free words,", "  2   ", "  10 as they are.  "]
HIERARCHY = [
    *LICENCE,
    noun(1, "thing"),
    noun(2, "vessel", 1),
    noun(3, "tool", 1, words=17),
    noun(4, "vehicle", 2),
    noun(5, "pot", 2, 3),
    noun(6, "kettle", 5),
    noun(7, "pan", 5),
    noun(8, "ship", 4),
    noun(9, "hammer", 3),
    noun(10, "Excalibur", 3, symbol="@i"),
    noun(11, "cloud", 1),
    noun(12, "cup", 2),
]


@pytest.fixture(scope="module")
def tool():
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "tools" / "semantic_classes.py")))


@pytest.fixture(scope="module")
def rules(tool):
    """0: vessels without vehicles; 1: tools; 2: vehicles, and ships once more."""
    return [
        tool.Rule(0, ("n00000002 vessel",), but_not=("n00000004 vehicle",)),
        tool.Rule(1, ("n00000003 tool",)),
        tool.Rule(2, ("n00000004 vehicle", "n00000008 ship")),
    ]


def test_nouns_are_read(tool):
    nouns = tool.read_nouns(HIERARCHY)
    assert len(nouns) == 12
    assert nouns["n00000001"] == ("thing", ())
    assert nouns["n00000003"] == ("tool", ("n00000001",))
    assert nouns["n00000005"] == ("pot", ("n00000002", "n00000003"))
    assert nouns["n00000010"] == ("Excalibur", ("n00000003",))
    assert tool.with_ancestors("n00000006", nouns) == {f"n0000000{number}" for number in (6, 5, 2, 3, 1)}
    assert tool.read_licence(HIERARCHY) == ["Free words,", "", "as they are."]


def test_rules(tool, rules):
    nouns = tool.read_nouns(HIERARCHY)
    fits = {nouns[wordnet_id].word: tool.fitting(wordnet_id, nouns, rules) for wordnet_id in nouns}
    assert fits == {
        "thing": set(),
        "vessel": {0},
        "tool": {1},
        "vehicle": {2},
        "pot": {0, 1},
        "kettle": {0, 1},
        "pan": {0, 1},
        "ship": {2},
        "hammer": {1},
        "Excalibur": {1},
        "cloud": set(),
        "cup": {0},
    }


def test_precedence_decides_and_the_hand_overrules(tool):
    assert tool.place("n1", {0, 1}, precedence=(2, 1, 0), placed_by_hand={}) == 1
    assert tool.place("n1", {0, 1}, precedence=(0, 1, 2), placed_by_hand={}) == 0
    assert tool.place("n1", {0, 1}, precedence=(0, 1, 2), placed_by_hand={"n1": 1, "n2": 0}) == 1
    assert tool.place("n1", set(), precedence=(0, 1, 2), placed_by_hand={}) == tool.MISCELLANEOUS


def test_ways_to_get_the_sizes(tool):
    """Of a pot, a kettle and a pan, one among the tools: three ways. A ship can only be one thing."""
    pots = [{0, 1}] * 3
    assert tool.count_ways(pots, {0: 2, 1: 1}) == 3
    assert tool.count_ways(pots, {0: 3}) == 1
    assert tool.count_ways([*pots, {2}, {2, 0}], {0: 2, 1: 1, 2: 2}) == 3
    assert tool.count_ways(pots, {0: 1, 1: 1}) == 0


def test_the_rules_cover_the_super_classes_and_the_hand_is_in_the_table(tool):
    assert {rule.super_class for rule in tool.RULES} == set(tool.PRECEDENCE) == set(range(10))
    assert list(tool.SIZES) == TABLE_1
    table = {wordnet_id: super_class for wordnet_id, super_class, _ in semantic.read_table()}
    assert tool.PLACED_BY_HAND.items() <= table.items()


def test_table_as_a_file(tool):
    nouns = tool.read_nouns(HIERARCHY)
    nouns["n02939185"] = nouns["n00000005"]
    text = tool.table_text(["n00000012", "n00000009"], [6, 8], nouns, ["Free words"])
    assert text.splitlines()[-3:] == ["# Free words", "n00000012 6 cup", "n00000009 8 hammer"]
    assert all(line.startswith("#") for line in text.splitlines()[:-2])
    assert "# 6    1  CONTAINER" in text and "# Placed by hand: n02939185 pot" in text


def test_other_versions_of_wordnet_are_refused(tool, tmp_path, capsys):
    (tmp_path / "data.noun").write_text("\n".join(HIERARCHY))
    (tmp_path / "labels").write_text("n00000012\n")
    arguments = [str(tmp_path / "data.noun"), str(tmp_path / "labels"), "--output", str(tmp_path / "table")]
    with pytest.raises(SystemExit) as stop:
        tool.main(arguments)
    assert stop.value.code == 2 and "not those of WordNet 3.0" in capsys.readouterr().err
    assert not (tmp_path / "table").exists()
