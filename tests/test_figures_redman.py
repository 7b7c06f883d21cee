"""The figures of Redman et al. 2024: what is drawn are the numbers of the arrays, computed here in another way."""

import dataclasses
from functools import partial

import numpy as np
import pytest
from random_networks import direct_inputs, network_inputs, random_images, random_round, shrinking_rounds
from synthetic import stored_run, write_input

from postprocess.analyse import stored_part
from postprocess.components import image_components
from postprocess.connectivity import input_connections, most_connected
from postprocess.figures import base, drawing, figure_module, redman, redman_4, redman_5
from postprocess.figures.__main__ import draw_figure
from postprocess.kurtosis import image_kurtosis
from postprocess.masks import image_plate, input_images, mask_plate
from postprocess.receptive_field import receptive_fields
from sifting.datasets.image_set import ImageSet
from sifting.errors import RunDirectoryError
from sifting.runs.directory import RunDirectory

SIZE, NODES, ROUNDS = 8, 12, 5
INPUTS = 3 * SIZE**2


@pytest.fixture(scope="module")
def image_set() -> ImageSet:
    return random_images((3, SIZE, SIZE), 4, count=80, val_count=200)


@pytest.fixture(autouse=True)
def loaded(monkeypatch, image_set):
    """In place of the images that the input file names."""
    monkeypatch.setattr("sifting.datasets.load", lambda experiment, report: image_set)


def write_run(folder, seed: int, rounds: int = ROUNDS) -> RunDirectory:
    """A run that keeps 70 % of its first layer a round: what is near a node's centre, more or less."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    centres = rng.uniform(0, SIZE, (NODES, 2))
    distance = np.stack([np.hypot(y - cy, x - cx) for cy, cx in centres], axis=-1)
    distance = np.broadcast_to(distance, (3, SIZE, SIZE, NODES)).reshape(INPUTS, NODES)
    order = distance + 4 * rng.random(distance.shape)
    stored = [random_round(f"f{NODES}:x", (3, SIZE, SIZE), 4, number, seed) for number in range(rounds)]
    for number, result in enumerate(stored):
        mask = (order <= np.quantile(order, 0.7**number)).astype(np.float32)
        result.masks[0] = result.masks[0]._replace(W=mask)
    hidden, output = stored[0].specs
    specs = hidden, dataclasses.replace(output, prunable=False)
    run = stored_run(folder, *(dataclasses.replace(one, specs=specs, sparsities=one.sparsities[:1]) for one in stored))
    run.write_input(write_input(folder.parent, name=f"{folder.name}.in").read_text())
    return run


def test_a_convolution_has_no_widths(tmp_path):
    run = stored_run(tmp_path / "conv", *shrinking_rounds("c3,4,1:f9:x", (3, SIZE, SIZE), 4, 2))
    with pytest.raises(RunDirectoryError, match="conv/IMP: its first layer has no RF widths; accepted: a dense one"):
        redman_4.draw({"imp": [run]}, base.Options())


@pytest.fixture
def runs(tmp_path):
    """Of any roles, three seeds each; role b of seed i is another run than role a of seed i."""

    def make(*roles: str) -> dict[str, list[RunDirectory]]:
        return {
            role: [write_run(tmp_path / role / f"seed_{seed}", 10 * place + seed) for seed in (1, 2, 3)]
            for place, role in enumerate(roles)
        }

    return make


def drawn(name: str, runs: dict, options: base.Options | None = None):
    with drawing.figure_style():
        return figure_module(name).draw(runs, options or base.Options())


def axes_of(figure) -> dict:
    """Panels by their letters."""
    return {
        ax.get_title(loc="left")[len("$\\bf{")]: ax
        for ax in figure.axes
        if ax.get_title(loc="left").startswith("$\\bf{")
    }


def assert_band(ax, index: int, x, low, high) -> None:
    corners = ax.collections[index].get_paths()[0].vertices
    for values in (low, high):
        for corner in zip(x, values, strict=True):
            assert np.isclose(corners, corner).all(axis=1).any()


def masks_of(run: RunDirectory) -> list[np.ndarray]:
    return [run.read_round(number).masks[0].W for number in run.rounds()]


# --- what they share -----------------------------------------------------------------------------------------------


def test_sparsity_axis():
    """Ticks stand at u and say 1 - u; the dense network is on the left."""
    ax = drawing.new_figure(3, 3).add_subplot()
    ax.plot([100, 2.8], [0, 1])
    redman.sparsity_axis(ax)
    assert ax.get_xlim()[0] > ax.get_xlim()[1]
    ticks = ax.get_xticks()
    assert [ax.xaxis.get_major_formatter()(u) for u in ticks] == ["0", "50", "80", "90", "95"]
    np.testing.assert_allclose(ticks, [100, 50, 20, 10, 5])


# --- one figure after the other ------------------------------------------------------------------------------------


def test_redman_1(runs, tmp_path):
    """Plates of the round nearest to s = 97.2 %, which is the last one here; its own sparsity above it. Runs that the
    TF1 code wrote, without an input file, will do."""
    given = runs("imp", "oneshot")
    for run in [run for group in given.values() for run in group]:
        run.path("input.in").unlink()
    figure, numbers = drawn("redman-1", given, base.Options(round=2))
    assert numbers["A"]["round"] == numbers["B"]["round"] == 2
    plate = mask_plate(masks_of(given["imp"][0])[2], 30, 6)
    np.testing.assert_array_equal(axes_of(figure)["A"].images[0].get_array(), plate)
    files = [draw_figure("redman-1", given, output=tmp_path / f"{n}.svg") for n in range(2)]
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]
    figure, numbers = drawn("redman-1", given)
    for letter, role, words in (("A", "imp", "IMP"), ("B", "oneshot", "oneshot")):
        ax = axes_of(figure)[letter]
        mask = masks_of(given[role][0])[-1]
        np.testing.assert_array_equal(ax.images[0].get_array(), mask_plate(mask, 30, 6))
        assert words in ax.get_title(loc="left") and "s = 76 % (paper: 97.2 %)" in ax.get_title(loc="left")
        order = most_connected(input_connections(mask))
        np.testing.assert_array_equal(numbers[letter]["nodes"], order)
        np.testing.assert_array_equal(numbers[letter]["C_in"], mask.sum(axis=0)[order])
        assert numbers[letter]["s"] == pytest.approx(1 - mask.mean())


def test_redman_2(runs, monkeypatch):
    """Every component with its own scale around grey; kurtosis and variance are those of image_components."""
    few = partial(image_components, max_iterations=3)
    every = random_images((3, SIZE, SIZE), 4, val_count=16000)  # of the 200 there would be none
    monkeypatch.setattr("sifting.datasets.load_complete", lambda experiment, report: every)
    monkeypatch.setattr("postprocess.components.image_components", few)
    figure, numbers = drawn("redman-2", runs("imp"))
    assert "not converged" in axes_of(figure)["A"].get_title(loc="left")
    assert "not converged" not in axes_of(figure)["B"].get_title(loc="left")
    for letter, found in zip("BA", few(every), strict=True):
        shown = axes_of(figure)[letter].images[0].get_array()
        step = 33  # 8 pixels, each 4 wide, and a gap
        for place in (0, 9, 63):
            y, x = (step * index for index in divmod(place, 8))
            tile = shown[y : y + 32 : 4, x : x + 32 : 4]
            weights = found.weights[place].transpose(1, 2, 0)
            np.testing.assert_allclose(
                (tile - 0.5) * 2 * np.abs(weights).max(), weights, atol=1e-6 * np.abs(weights).max()
            )
        np.testing.assert_allclose(numbers[letter]["kurtosis"], found.kurtosis)
        np.testing.assert_allclose(numbers[letter]["variance"], found.variance)
    assert numbers["A"]["components"] == "ica"


def test_redman_3(runs, image_set):
    given = runs("imp", "imp_clone")
    figure, numbers = drawn("redman-3", given)
    rows = [int(np.flatnonzero(image_set.labels == label)[0]) for label in range(4)]
    np.testing.assert_array_equal(numbers["A"]["imp"]["rows"], rows)
    plate = image_plate(input_images(image_set.images[rows].T / 255), 4)
    np.testing.assert_allclose(axes_of(figure)["A"].images[0].get_array(), plate)
    np.testing.assert_array_equal(
        axes_of(figure)["B"].images[0].get_array(), mask_plate(masks_of(given["imp_clone"][0])[-1], 30, 6)
    )
    ax = axes_of(figure)["C"]
    for bars, (role, group) in zip(ax.containers, given.items(), strict=True):
        widths = np.array([[np.nanmedian(receptive_fields(mask).sigma_x) for mask in masks_of(run)] for run in group])
        line, _, (segments,) = bars
        np.testing.assert_allclose(line.get_xydata(), np.stack([np.arange(ROUNDS), widths.mean(axis=0)], axis=1))
        ends = np.array([segment[:, 1] for segment in segments.get_segments()])
        np.testing.assert_allclose(ends, np.stack([widths.min(axis=0), widths.max(axis=0)], axis=1))
        np.testing.assert_allclose(numbers["C"][role]["runs"], widths.T)


def test_redman_4(runs, image_set):
    given = runs("imp", "oneshot", "random")
    figure, numbers = drawn("redman-4", given)
    panels_of = axes_of(figure)
    for place, (role, group) in enumerate(given.items()):
        u = 100 * np.mean([[mask.mean(dtype=np.float64) for mask in masks_of(run)] for run in group], axis=0)
        widths, kurtosis = [], []
        for run in group:
            fits = [receptive_fields(mask) for mask in masks_of(run)]
            widths.append([fit.sigma_x[fit.converged].mean() for fit in fits])
            first = run.read_round(0)
            at_rewind = partial(image_kurtosis, first, image_set, 0, first.checkpoints[0].step)
            kurtosis.append([at_rewind(run.read_round(n).masks).mean_within_class for n in run.rounds()])
        for letter, values in (("A", np.array(widths)), ("B", np.array(kurtosis))):
            ax = panels_of[letter]
            line = next(line for line in ax.lines if line.get_label() == redman.NAMES[role])
            np.testing.assert_allclose(line.get_xydata(), np.stack([u, values.mean(axis=0)], axis=1))
            assert_band(ax, place, u, values.min(axis=0), values.max(axis=0))
            np.testing.assert_allclose(numbers[letter][role]["runs"], values.T)
            np.testing.assert_allclose(numbers[letter][role]["s"], 1 - u / 100)
    assert list(numbers["A"]) == list(figure_module("redman-4").ROLES)


def test_redman_5(runs, image_set):
    """B is row 0 of the table, C its rows times the weights left, one curve a round; no value for what is gone."""
    given = runs("imp")
    figure, numbers = drawn("redman-5", given)
    tables = [stored_part(run, "cavity") for run in given["imp"]]
    mean, scaled = (np.array([[t[n][name] for n in range(ROUNDS)] for t in tables]) for name in ("mean", "scaled"))
    ax = axes_of(figure)["B"]
    below = mean[:, 0, 1:ROUNDS]
    pruned_in = np.arange(1, ROUNDS)
    np.testing.assert_allclose(ax.lines[0].get_xydata(), np.stack([pruned_in, below.mean(axis=0)], axis=1))
    assert_band(ax, 0, pruned_in, below.min(axis=0), below.max(axis=0))
    np.testing.assert_allclose(numbers["B"]["never_pruned"], mean[:, 0, ROUNDS])
    ax = axes_of(figure)["C"]
    curves = [line for line in ax.lines if line.get_label().isdigit()]
    assert len(curves) == ROUNDS - 1
    for n, line in enumerate(curves):
        expected = scaled[:, n, n + 1 : ROUNDS].mean(axis=0)
        np.testing.assert_allclose(line.get_xydata(), np.stack([pruned_in[n:], expected], axis=1))
        assert np.isfinite(expected).all()
    assert not [line for line in ax.lines if line.get_linestyle() == "--"]  # no weight is pruned in round 8


def test_redman_5_marks_round_8(tmp_path):
    given = {"imp": [write_run(tmp_path / "long", 1, rounds=10)]}
    ax = axes_of(drawn("redman-5", given)[0])["C"]
    (dashed,) = [line for line in ax.lines if line.get_linestyle() == "--"]
    np.testing.assert_array_equal(dashed.get_xdata(), [8, 8])


def test_the_schematic_is_made_of_real_numbers(runs, image_set):
    """lambda by hand from the images, with and without the weight; the score is that of Eq. 5."""
    (run, *_) = runs("imp")["imp"]
    found = redman_5.schematic(run, 3, base.Options())
    x = network_inputs(image_set.images, image_set.mean)
    x = direct_inputs(run.read_round(0).checkpoints[0], {}, x, 0, "stored")
    W = run.read_round(0).checkpoints[0].parameters[0].W[:, found.node].astype(np.float64)
    kept = W * run.read_round(3).masks[0].W[:, found.node]
    assert kept[found.weight] != 0
    without = kept.copy()
    without[found.weight] = 0
    kurtosis = []
    for weights, values in ((kept, found.with_weight), (without, found.without_weight)):
        by_hand = x @ weights
        by_hand -= by_hand.mean()
        np.testing.assert_allclose(values, by_hand, rtol=1e-4, atol=1e-5)
        kurtosis.append(np.mean(by_hand**4) / np.mean(by_hand**2) ** 2)
    np.testing.assert_allclose(found.kurtosis, kurtosis, rtol=1e-5)
    sign = 1 if kurtosis[0] >= 3 else -1
    assert found.score == pytest.approx(sign * (kurtosis[1] - kurtosis[0]) / kurtosis[0], rel=1e-3)

    ax = drawing.new_figure(3, 3).add_subplot()
    redman_5.preactivation_panel(ax, found.with_weight, 20.0)
    shown = ax.patches[0].get_data()
    counts, edges = np.histogram(found.with_weight, 40, (-20, 20))
    np.testing.assert_allclose(shown.values, counts / counts.sum() / np.diff(edges))
    middle, height = ax.lines[0].get_data()
    area = np.sum((height[1:] + height[:-1]) / 2 * np.diff(middle))
    assert area == pytest.approx(1, abs=0.01)
