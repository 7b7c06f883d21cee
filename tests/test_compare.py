"""`postprocess.compare`: which rounds are paired, and the distances between them."""

import json

import numpy as np
import pytest
from random_networks import random_round
from synthetic import REFERENCE, masked_run, stored_run

from postprocess.compare import compare, histogram_distance, main, paired_rounds, profile_distance
from postprocess.locality import displacement_maps, full_map
from postprocess.summary import summarise


def test_histogram_distance_by_hand():
    """Bins 0-1, 2-3, 4-5: shares (1/2, 1/2, 0) and (1/4, 0, 3/4): (1/4 + 1/2 + 3/4) / 2."""
    assert histogram_distance(np.array([0, 1, 2, 3]), np.array([1, 4, 4, 5])) == 0.75
    assert histogram_distance(np.array([3, 8]), np.array([8, 3, 3, 8])) == 0
    assert histogram_distance(np.array([3]), np.array([300])) == 1


def test_profile_distance():
    """0 for equal shapes, whatever their size; 1 for a map of neighbours against one of distant pairs."""
    full = full_map((3, 8, 8))
    assert profile_distance(full, 5 * full) == pytest.approx(0, abs=1e-15)
    masks = np.zeros((2, 3 * 64, 1))
    masks[0, [0, 1]] = masks[1, [0, 5]] = 1  # neighbours; five pixels apart
    assert profile_distance(*(displacement_maps(mask).same for mask in masks)) == 1


def test_rounds_are_paired_by_density(tmp_path):
    """Densities 1, 0.3, 0.09 against 1, 0.09: the second round of A has no partner."""
    a = summarise([masked_run(tmp_path / "a", True, 0.4)])
    b = masked_run(tmp_path / "b", False, 0.5)
    b.round_path(1).unlink()
    assert paired_rounds(a, summarise([b])) == [(0, 0), (1, None), (2, 1)]
    assert paired_rounds(summarise([b]), a) == [(0, 0), (1, 2), (None, 1)]


def test_a_run_equals_itself(reference):
    entries = compare(summarise([reference]), summarise([reference]))
    assert [entry["a"] for entry in entries] == [entry["b"] for entry in entries]
    assert all(entry["C_in distance"] == 0 and entry["S distance"] == 0 for entry in entries)


def test_local_and_random_masks_differ_in_S(tmp_path):
    a = summarise([masked_run(tmp_path / "a", True, 0.4, size=32)])
    b = summarise([masked_run(tmp_path / "b", False, 0.4, size=32)])
    dense, _, sparse = compare(a, b)
    assert dense["S distance"] == 0 and sparse["S distance"] > 0.5


@pytest.mark.parametrize(("spread", "shown"), [("sd", "55.00 \u00b1 7.07"), ("range", "55.00 [50.00, 60.00]")])
def test_seeds_are_pooled(tmp_path, capsys, spread, shown):
    """Errors 0.4 and 0.5 in two seeds; the JSON has every seed."""
    for seed, error in ((1, 0.4), (2, 0.5)):
        masked_run(tmp_path / "a" / f"seed_{seed}", True, error)
    masked_run(tmp_path / "b", True, 0.4)
    path = tmp_path / "out.json"
    assert main([str(tmp_path / "a"), str(tmp_path / "b"), "--spread", spread, "--json", str(path)]) == 0
    printed = capsys.readouterr().out
    assert shown in printed and printed.splitlines()[0].count("seed_") == 2
    assert all(line == line.rstrip() for line in printed.splitlines())
    content = json.loads(path.read_text())
    assert content["rounds"][0]["a"]["accuracy"]["runs"] == pytest.approx([0.6, 0.5])
    assert content["rounds"][0]["b"]["accuracy"]["sd"] is None


def test_one_run_is_compared_with_each_of_several(tmp_path, capsys):
    folders = [
        str(masked_run(tmp_path / name, local, 0.4).folder) for name, local in zip("abc", (1, 0, 1), strict=True)
    ]
    path = tmp_path / "out.json"
    pairs = []
    for other in folders[1:]:
        assert main([folders[0], other]) == 0
        pairs.append(capsys.readouterr().out)
    assert main([*folders, "--json", str(path)]) == 0
    assert capsys.readouterr().out == f"{''.join(pairs)}{path}\n"
    assert [entry["runs"]["b"] for entry in json.loads(path.read_text())] == [[f"{name}/IMP"] for name in folders[1:]]


def test_convolutions_have_no_distances(tmp_path, capsys):
    """What is not defined is '-', not a failure."""
    run = stored_run(tmp_path / "run", random_round("c3,4:f6:x", (3, 8, 8), 4))
    assert main([str(run.folder), str(run.folder)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split()[-2:] == ["-", "-"]


def test_bad_input_is_one_line(tmp_path, refusal):
    assert "holds no rounds" in refusal(main, REFERENCE, tmp_path)
    (tmp_path / "file").touch()
    output = tmp_path / "file" / "out.json"
    assert "file/out.json: cannot be written" in refusal(main, REFERENCE, REFERENCE, "--json", output)
