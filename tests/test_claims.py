"""docs/claims.md says what postprocess.claims finds, and a recorded yes still is one."""

import re
from pathlib import Path

import numpy as np
import pytest

from postprocess import claims
from postprocess.claims import CLAIMS, Verdict, judge, main, runs_of_claim
from postprocess.components import independent_components, principal_components
from postprocess.locality import colour_ratio, displacement_maps
from postprocess.masks import centre_ratio
from postprocess.reproduce import complete

TABLE = Path(__file__).parent.parent / "docs" / "claims.md"


def recorded() -> dict[str, list[str]]:
    """The cells of each row of docs/claims.md, by claim."""
    rows = [line.strip("| ") for line in TABLE.read_text().splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)] for row in rows]
    return {row[0].strip("`"): row for row in cells}


def test_every_claim_is_recorded_with_its_statistic_and_threshold():
    rows = recorded()
    assert list(rows) == list(CLAIMS)
    for name, row in rows.items():
        nothing = Verdict(name, np.zeros(1), (1,)).row()
        assert [f"`{name}`", *row[1:4]] == [cell.strip() for cell in re.split(r"(?<!\\)\|", nothing)][1:5]


def test_recorded_answers_follow_from_effect_and_threshold():
    for name, row in recorded().items():
        effect = float(row[4].split()[0])
        rounding = 10 ** (np.floor(np.log10(abs(effect))) - 2) if effect else 0.0
        assert row[6] in ("yes", "**no**")
        if row[6] == "yes":
            assert effect >= CLAIMS[name].threshold - rounding, name
        else:
            assert effect < CLAIMS[name].threshold + rounding, name


@pytest.mark.parametrize("scale", ["full", "small"])
@pytest.mark.parametrize("name", list(CLAIMS))
def test_all_runs_of_every_claim_are_accepted(name, scale):
    needed = runs_of_claim(CLAIMS[name], scale)
    assert list(needed) == list(CLAIMS[name].roles)
    for group in needed.values():
        assert [run.seed for run in group] == list(range(1, CLAIMS[name].seeds + 1))
        for run in group:
            assert run.plan


def test_a_claim_holds_from_its_threshold_on():
    claim = CLAIMS["pb-gain"]
    assert claim.holds(np.array([0.02, 0.02])) and claim.holds(np.array([0.05, 0.0]))
    assert not claim.holds(np.array([0.02, 0.0199]))
    assert not claim.holds(np.array([np.nan, 1.0]))


def test_seeds_of_all_roles_go_together(monkeypatch):
    """The effect of a seed takes the run of that seed of every role."""
    runs = {"a": ["a1", "a2"], "b": ["b1", "b2"]}
    claim = claims.Claim("", "", "", 0.0, {}, 2, lambda a, b: float(a[1] + b[1]))
    np.testing.assert_array_equal(claim.effects(runs), [11, 22])


def test_colours_are_compared_per_pair_of_channels():
    """A mask that is the same in all channels has as many pairs in each of the 6 ordered pairs of different channels
    as in each of the 3 channels; a mask of one channel has none of them."""
    plane = np.zeros((8, 8), np.uint8)
    plane[3, 2:6] = 1
    same = np.tile(plane.ravel(), 3)[:, None]
    assert colour_ratio(displacement_maps(same)) == pytest.approx(1.0)
    with np.errstate(divide="ignore"):
        assert colour_ratio(displacement_maps(np.concatenate([plane.ravel(), np.zeros(128)])[:, None])) == np.inf


@pytest.mark.parametrize(
    ("values", "expected"), [([1, 2, 5], 1.0), ([3, 2, 1], -1.0), ([1, 3, 2, 4], 0.8), ([1, 1, 2], np.sqrt(3) / 2)]
)
def test_trend_is_the_rank_correlation(values, expected):
    assert claims.trend(values) == pytest.approx(expected)


def test_central_inputs_are_compared_with_outer_ones():
    """32 x 32: twice as many connections in the central 16 x 16."""
    W = np.zeros((3, 32, 32, 2), np.uint8)
    W[..., 0] = 1
    W[:, 8:24, 8:24, 1] = 1
    assert centre_ratio(W.reshape(3072, 2)) == pytest.approx(2.0)


def local_patches(count: int, size: int = 16) -> np.ndarray:
    """Gabor patches of random place, direction and phase, a period of 4 pixels and a width of 1.5: [count, size**2]."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size].reshape(2, -1)
    (cy, cx), (angle, phase) = rng.uniform(0, size, (2, count, 1)), rng.uniform(0, 2 * np.pi, (2, count, 1))
    wave = np.cos(np.pi / 2 * (np.cos(angle) * (x - cx) + np.sin(angle) * (y - cy)) + phase)
    return wave * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * 1.5**2))


def test_patches_are_more_local_than_waves():
    """The sign of redman-components: Gabor patches in place of ICA's components, plane waves in place of PCA's."""
    y, x = np.mgrid[:16, :16].reshape(2, -1) * 2 * np.pi / 16
    waves = np.stack([np.cos(k * x + l * y + 0.3) for k in range(1, 5) for l in range(1, 5)])
    assert claims.locality(waves) == pytest.approx(1.5 / 256)  # <cos^4> / <cos^2>^2
    assert claims.locality(local_patches(16)) > 5 * claims.locality(waves)


@pytest.mark.parametrize(("images", "holds"), [("patches", True), ("phases", False), ("gaussian", False)])
def test_independent_components_are_local_where_images_are_made_of_patches(images, holds):
    """Sums of patches with sparse amplitudes; their nulls have the same power spectrum, or the same covariance."""
    rng = np.random.default_rng(1)
    amplitudes = rng.normal(size=(4000, 24)) if images == "gaussian" else rng.laplace(size=(4000, 24)) ** 3
    x = amplitudes @ local_patches(24)
    if images == "phases":
        noise = np.fft.rfft2(rng.normal(size=(4000, 16, 16)))
        x = np.fft.irfft2(np.abs(np.fft.rfft2(x.reshape(-1, 16, 16))) * noise / np.abs(noise)).reshape(4000, -1)
    principal, projections = principal_components(x, 16)
    independent = independent_components(principal, projections)
    ratio = claims.locality(independent.weights) / claims.locality(principal.weights)
    assert (ratio >= CLAIMS["redman-components"].threshold) == holds


def test_all_claims_are_asked_for_by_name(refusal, monkeypatch):
    """Without a name nothing is run: at full scale that would be years."""
    assert "'pb-nothing' is not a claim; accepted: pb-gain, " in refusal(main, "pb-nothing")
    asked = []
    monkeypatch.setattr(
        claims, "complete", lambda needed, scale, how, dry_run: asked.append((len(list(needed)), scale))
    )
    line = refusal(main, "--dry_run")
    assert line.startswith("sifting: no claim named; accepted: pb-gain, ") and line.endswith(", all\n")
    assert asked == []
    assert main(["all", "--scale", "small", "--dry_run"]) == 0
    assert asked == [(len(CLAIMS), "small")]


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(("redman-cavity-sign", "redman-cavity-order"), marks=pytest.mark.heavy),
        pytest.param(("redman-clone", "redman-random", "redman-oneshot"), marks=pytest.mark.slow),
    ],
    ids=["cavity scores", "other runs"],
)
def test_recorded_answers_hold_for_one_seed(names, in_tmp_path):
    """Claims of Redman et al., their runs trained here."""
    rows = recorded()
    needed = {name: runs_of_claim(CLAIMS[name], "small", [1]) for name in names if rows[name][6] == "yes"}
    assert needed
    complete(needed, "small")
    verdicts = {name: judge(name, runs) for name, runs in needed.items()}
    assert {name: verdict.holds for name, verdict in verdicts.items()} == dict.fromkeys(needed, True), verdicts
