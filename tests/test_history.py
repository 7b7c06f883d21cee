"""PREFIX_history.csv: every number of it. That interruptions leave no trace: test_imp.py and test_methods.py."""

import csv
import dataclasses

import numpy as np
import pytest
from synthetic import made_round
from tiny_runs import rounds_of

from sifting.architecture import build_specs, parse_arch
from sifting.network.rounds import Mask
from sifting.runs import history

FIXED = "round,step,validation_error,training_error,mean_training_error,density"


def test_four_numbers_by_hand():
    """One round of two layers, 2 x 2 of them pruned away: errors, means, densities and nodes counted on paper."""
    specs = build_specs(parse_arch("f2:x"), (True, False), (1, 1, 2), 3)
    made = made_round(4, specs)
    mask = Mask(np.array([[0, 1], [0, 0]], np.float32), np.ones(2, np.float32))
    result = dataclasses.replace(
        made,
        masks=made.masks | {0: mask},
        training_errors=np.array([0.5, 1.0, 0.75, 0.25], np.float32),
        validation_steps=(0, 2),
        validation_errors=np.array([0.9, 0.1], np.float32),
    )
    assert history.header(specs) == FIXED + ",density_1,density_2,connected_1,connected_2\n"
    assert history.lines(result) == "4,0,0.9,0.5,0.5,0.25,0.25,1.0,1,3\n4,2,0.1,0.75,0.875,0.25,0.25,1.0,1,3\n"


def test_columns_are_those_of_the_header_and_pools_have_none():
    specs = build_specs(parse_arch("c3,2:p2,2:f4:x"), (True, True, True, False), (3, 8, 8), 10)
    masks = {layer: Mask(np.ones(spec.weight_shape)) for layer, spec in enumerate(specs) if spec.has_weights}
    result = dataclasses.replace(made_round(0), specs=specs, masks=masks)
    names = ",".join(history.columns(result)) + "\n"
    expected = FIXED + ",density_1,density_3,density_4,connected_1,connected_3,connected_4\n"
    assert names == history.header(specs) == expected


def test_the_file_says_what_the_rounds_say(whole):
    with open(whole[0].path("history.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    rounds = rounds_of(whole[0])
    assert [(int(row["round"]), int(row["step"])) for row in rows] == [
        (n, step) for n in range(4) for step in (0, 5, 10)
    ]
    for result in rounds:
        own = [row for row in rows if int(row["round"]) == result.number]
        errors = np.array([np.float32(row["validation_error"]) for row in own])
        np.testing.assert_array_equal(errors, result.validation_errors)  # all digits that tell float32 apart
        kept = sum(np.count_nonzero(result.masks[layer].W) for layer in (0, 1))
        total = sum(result.masks[layer].W.size for layer in (0, 1))
        assert {float(row["density"]) for row in own} == {kept / total}
        connected = np.count_nonzero(result.masks[1].W.any(axis=0))
        assert {int(row["connected_2"]) for row in own} == {connected}
        assert float(own[1]["mean_training_error"]) == pytest.approx(result.training_errors[1:6].mean(), rel=1e-6)
