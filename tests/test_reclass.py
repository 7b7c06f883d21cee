"""Class maps, by hand."""

import numpy as np
import pytest

from sifting.datasets.reclass import class_map, parse_class_ids
from sifting.inputs import Reclass


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
