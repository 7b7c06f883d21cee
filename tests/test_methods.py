"""Every method end to end on a handful of images: rounds, masks, starting points, restarts, levels, interruptions."""

import pickle
import signal
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from synthetic import assert_same, made_round, write_input
from tiny_runs import Watched, copy_of, expected_masks, files_of, image_set, interrupting, rounds_of, run

from sifting.architecture import LayerSpec
from sifting.base.signals import Signals
from sifting.errors import Interrupted
from sifting.methods.initialisation import levels_of_run
from sifting.network.forward import ScoredNetwork
from sifting.network.model import initial_masks, initial_parameters
from sifting.network.rounds import Mask, density, layer_counts
from sifting.network.statistics import cavity_scores
from sifting.pruning.gradients import grasp, iterated_synflow, snip
from sifting.pruning.scopes import globally, layerwise
from sifting.runs.directory import RunDirectory


def section(method, **keys):
    """A method section; prunes the two hidden layers of f6:f5:x unless `prune` says otherwise."""
    return "\n".join([f"[{method}]", *(f"{key} = {value}" for key, value in ({"prune": "T:T:F"} | keys).items()), ""])


LEVELS = (0.3, 0.65)
TWO = {"sparsity": ", ".join(map(str, LEVELS))}
BY_LEVELS = {
    "OneShot": section("OneShot", weights_step=3, **TWO),
    "OneShot global": section("OneShot", weights_step=3, scope="global", **TWO),
    "SNIP": section("SNIP", images=40, **TWO),
    "SynFlow": section("SynFlow", iterations=5, **TWO),
    "Random": section("Random", **TWO),
    "Random rewound": section("Random", weights_step=3, **TWO),
    "GraSP": section("GraSP", images=20, **TWO),
}
ROUND_BY_ROUND = {
    "IMP": section("IMP", weights_step=3, max_iterations=3),
    "IMP global": section("IMP", scope="global", weights_step=3, max_iterations=3),
    "LayerByLayer": section("LayerByLayer", weights_step=3),
    "Cavity": section("Cavity", prune="T", weights_step=3, max_iterations=3, images=40),
}
CASES = ROUND_BY_ROUND | BY_LEVELS
REWOUND = {"IMP", "IMP global", "OneShot", "OneShot global", "Random rewound", "LayerByLayer", "Cavity"}
WITH_BIASES = {"IMP", "OneShot", "LayerByLayer"}
GLOBAL = {"IMP global", "OneShot global", "SNIP", "SynFlow", "GraSP"}
CONVOLUTIONAL = ["IMP", "IMP global", "OneShot", "SNIP", "SynFlow", "Random", "GraSP", "LayerByLayer"]
RUNS = [*((case, "dense") for case in CASES), *((case, "convolutional") for case in CONVOLUTIONAL)]
every_run = pytest.mark.parametrize(("case", "arch"), RUNS)


def method_of(case):
    return case.partition(" ")[0]


def with_errors(errors, base=Watched):
    """A session that tells its driver these validation errors, one a round, instead of what it found."""

    class Told(base):
        def train(self, number, *arguments, **options):
            result = super().train(number, *arguments, **options)
            return replace(result, validation_errors=np.full(3, errors[number], np.float32))

    return Told


# The first layer: round 1 is as good as the dense one, round 2 is not; then the second layer in the same way.
ERRORS = [0.5, 0.5, 0.6, 0.4, 0.6]


def kind_of(case, base=Watched):
    return with_errors(ERRORS, base) if case == "LayerByLayer" else base


def changes_of(case, arch):
    """The convolutional networks start masked, and are trained by Adam, too."""
    if arch == "dense":
        return []
    network = ["arch=c2,4:p2,1:f6:x", "init_sparsity=0.2", "minimizer=Adam", "learning_rate=0.05"]
    return [*(f"Network.{change}" for change in network), f"{method_of(case)}.prune=T:T:T:F"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """finished(case, arch) -> (directory, session) of an undisturbed run, trained once. Do not write there."""
    runs = {}

    def finished(case, arch="dense"):
        if (case, arch) not in runs:
            folder = tmp_path_factory.mktemp("methods") / "run"
            runs[case, arch] = run(folder, *changes_of(case, arch), method=CASES[case], kind=kind_of(case))
        return runs[case, arch]

    return finished


def zeros(masks, biases=False):
    """How many weights (and biases) are masked."""
    return sum(np.sum(values == 0) for mask in masks.values() for values in mask[: 1 + biases])


def assert_within(masks, others):
    """Nothing is kept that the others do not keep."""
    for layer, mask in masks.items():
        assert all(np.all(values <= outer) for values, outer in zip(mask, others[layer], strict=True))


def but(values, *layers):
    """Those of the other layers."""
    return {layer: value for layer, value in values.items() if layer not in layers}


def only(values, layer):
    return {layer: values[layer]}


# --- what holds for every method


@every_run
def test_every_round_starts_from_the_rewind_point_under_its_masks(finished, case, arch):
    """Bit for bit; but what [LayerByLayer] has frozen, see below. Optimizer and moments are fresh. What a driver does
    in between, such as scores, changes not a bit of weights, masks, running moments or optimizer."""
    directory, session = finished(case, arch)
    rounds = rounds_of(directory)
    assert [result.number for result in rounds] == list(range(5 if case == "LayerByLayer" else 3))
    assert sorted(session.idle) == [result.number for result in rounds]
    # P&B's Fig. 4 compares the same nodes: all methods train the same round 0, and on the same batches.
    np.testing.assert_array_equal(rounds[0].training_errors, finished("IMP", arch)[0].read_round(0).training_errors)
    first = 3 if case in REWOUND else 0
    assert [[c.step for c in result.checkpoints] for result in rounds] == [[first, 12], *[[12]] * (len(rounds) - 1)]
    for result in rounds:
        parameters, masks, moments, optimizer = session.begins[result.number]
        start = rounds[0].checkpoints[0].parameters if result.number else initial_parameters(session.specs, 1)
        frozen = [0] if case == "LayerByLayer" and result.number > 2 else []
        assert_same(but(parameters, *frozen), but(start, *frozen))
        assert_same(masks, result.masks)
        assert all(np.all(values.mean == 0) and np.all(values.variance == 1) for values in moments.values())
        for value, fresh in zip(optimizer, session.begins[0][3], strict=True):
            np.testing.assert_array_equal(value, fresh)
        assert optimizer[0] == 0 and all(np.all(value == 0) for value in optimizer[2:])  # step count, and momenta
        left, found = session.idle[result.number]
        assert left.keys() == found.keys() and all(np.array_equal(left[name], found[name]) for name in left)


@every_run
def test_masks_only_shrink_and_touch_nothing_else(finished, case, arch):
    """From the masks of the start (a fifth of the convolutional networks is masked) or of the round that was pruned;
    biases and the output layer are kept."""
    directory, session = finished(case, arch)
    start = initial_masks(session.specs, 0.2 if arch == "convolutional" else 0.0, 1)
    rounds = rounds_of(directory)
    assert_same(rounds[0].masks, start)
    assert (zeros(start) > 0) == (arch == "convolutional")
    pruned = {1: 0, 2: 1, 3: 1, 4: 3} if case == "LayerByLayer" else {1: 0, 2: 1}
    for result in rounds[1:]:
        outer = start if case in BY_LEVELS else rounds[pruned[result.number]].masks
        assert_within(result.masks, outer)
        assert zeros(result.masks) > zeros(outer)
        for layer, mask in result.masks.items():
            assert result.specs[layer].prunable or (np.all(mask.W == 1) and np.all(mask.b == 1))
            assert case in WITH_BIASES or np.all(mask.b == 1)
        for checkpoint in result.checkpoints:  # what is masked is not trained
            for layer, now in checkpoint.parameters.items():
                then, mask = session.begins[result.number][0][layer], result.masks[layer]
                np.testing.assert_array_equal(now.W[mask.W == 0], then.W[mask.W == 0])
                np.testing.assert_array_equal(now.b[mask.b == 0], then.b[mask.b == 0])
                trained = checkpoint.step > 3 and not (case == "LayerByLayer" and result.number > 2)
                assert not trained or np.mean(now.W[mask.W == 1] != then.W[mask.W == 1]) > 0.8


@pytest.mark.parametrize(("case", "arch"), [(case, arch) for case, arch in RUNS if case in BY_LEVELS])
def test_levels_are_counted_exactly_and_recorded_as_counted(finished, case, arch):
    """int(s * n) of the n weights of each pool, those of the start included; [OneShot]'s layers count biases, too."""
    for result in rounds_of(finished(case, arch)[0])[1:]:
        masks, level = (
            {n: result.masks[n] for n, spec in enumerate(result.specs) if spec.prunable},
            LEVELS[result.number - 1],
        )
        for pool in [masks] if case in GLOBAL else [only(masks, layer) for layer in masks]:
            biases = case in WITH_BIASES
            n = sum(values.size for mask in pool.values() for values in mask[: 1 + biases])
            assert zeros(pool, biases) == int(level * n)
        assert result.sparsities.tolist() == [1 - np.count_nonzero(mask.W) / mask.W.size for mask in masks.values()]


@every_run
def test_findata_log_and_record_cover_all_rounds(finished, case, arch):
    """The record holds the table of each round, counted here by hand."""
    directory, _ = finished(case, arch)
    rounds = rounds_of(directory)
    architecture, ratios, best = pickle.loads(directory.path("findata.pkl").read_bytes())
    assert len(architecture) == len(rounds[0].specs)
    assert [values.tolist() for values in ratios] == [result.sparsities.tolist() for result in rounds]
    assert best == [min(result.validation_errors) for result in rounds]
    assert directory.path("out.dat").read_text().count("Ratios: ") == len(rounds)
    record = directory.read_record()["rounds"]
    assert list(record) == [str(result.number) for result in rounds]
    for result in rounds:
        expected = []
        for layer, mask in result.masks.items():
            nodes = mask.W.reshape(-1, mask.W.shape[-1])
            row = layer + 1, int(mask.W.sum()), mask.W.size, int(np.sum(nodes.sum(axis=0) > 0)), nodes.shape[1]
            expected.append(dict(zip(("layer", "kept", "total", "connected", "nodes"), row, strict=True)))
        entry = record[str(result.number)]
        assert entry["layers"] == expected and entry["seconds"] > 0 and entry["steps_per_second"] > 0


# --- levels


@pytest.mark.parametrize("case", ["SNIP", "SynFlow", "Random"])
def test_without_the_dense_training_the_other_rounds_are_the_same(finished, tmp_path, case):
    """They start at the initial values and are numbered from 1; findata and log cover what is stored."""
    directory, session = run(tmp_path / "run", f"{case}.dense=false", method=CASES[case])
    whole, _ = finished(case)
    assert directory.rounds() == [1, 2] and sorted(session.begins) == [1, 2]
    for number in (1, 2):
        assert directory.round_path(number).read_bytes() == whole.round_path(number).read_bytes()
        assert_same(session.begins[number][0], initial_parameters(session.specs, 1))
    _, ratios, best = pickle.loads(directory.path("findata.pkl").read_bytes())
    assert len(ratios) == len(best) == 2 and np.all(ratios[0] > 0)
    assert list(directory.read_record()["rounds"]) == ["1", "2"]
    assert directory.path("out.dat").read_text().count("Ratios: ") == 2


def test_levels_by_ratio_and_rounds_go_on_where_a_run_ended(tmp_path):
    """They are those of IMP: 0.5, and half of what that leaves."""
    text = section("SNIP", prune_ratio=0.5, rounds=1, images=20)
    directory, _ = run(tmp_path / "run", method=text)
    before = directory.round_path(1).read_bytes()
    _, session = run(tmp_path / "run", "SNIP.rounds=2", method=text)
    assert directory.rounds() == [0, 1, 2] and sorted(session.begins) == [2]
    assert directory.round_path(1).read_bytes() == before
    assert [zeros(result.masks) for result in rounds_of(directory)[1:]] == [
        int(x * (48 * 6 + 6 * 5)) for x in (0.5, 0.75)
    ]


@pytest.mark.parametrize("case", [case for case in CASES if case not in ("OneShot global", "Random rewound")])
def test_a_finished_run_trains_and_scores_nothing_and_mends_its_records(finished, tmp_path, monkeypatch, case):
    whole, _ = finished(case)
    directory = copy_of(whole, tmp_path / "run")
    for name in ("findata.pkl", "history.csv"):
        directory.path(name).unlink()
    directory.path("out.dat").write_text("half a log")
    if case in BY_LEVELS or case == "Cavity":  # others find out from the masks where they stand

        class Unscorable:
            """Of a network drivers may look at masks and values, but no score can be computed."""

            masks = parameters = None

        monkeypatch.setattr(Watched, "network", lambda *arguments: Unscorable())
    _, session = run(directory.folder, method=CASES[case], kind=kind_of(case))
    assert session.trained == [] and files_of(directory) == files_of(whole)


# --- the score of each method, with its settings, reaches the masks


def test_the_sample_of_images_for_scores(finished):
    """Network inputs with their labels, no image twice, the same in every call."""
    session = finished("IMP")[1]
    images = image_set(20)
    inputs = (images.images.astype(np.float32) - images.mean) * np.float32(1 / 255)
    x, labels = session.sample(40)
    again, _ = session.sample(40)
    np.testing.assert_array_equal(x, again)
    assert x.dtype == np.float32 and labels.dtype == np.int32
    rows = [np.flatnonzero(np.all(inputs == image, axis=1)) for image in x]
    assert all(len(found) == 1 for found in rows) and len({int(found[0]) for found in rows}) == 40
    np.testing.assert_array_equal(labels, images.labels[np.concatenate(rows)])
    assert np.concatenate(rows).max() >= 50  # not the first 40
    np.testing.assert_array_equal(session.sample(60)[0], inputs)


SETTINGS = {
    "SNIP.images=60": lambda session, network: globally(snip(network, *session.sample(60)), network.masks, 0.65),
    "SNIP.moments=initial": lambda session, network: globally(
        snip(network, *session.sample(40), "initial"), network.masks, 0.65
    ),
    "SNIP.scope=layerwise": lambda session, network: layerwise(snip(network, *session.sample(40)), network.masks, 0.65),
    "GraSP.temperature=0.1": lambda session, network: globally(
        grasp(network, *session.sample(20), 8, 0.1), network.masks, 0.65
    ),
    "GraSP.moments=initial": lambda session, network: globally(
        grasp(network, *session.sample(20), 8, moments="initial"), network.masks, 0.65
    ),
    "SynFlow.iterations=1": lambda session, network: iterated_synflow(network, 0.65, 1),
    "SynFlow.scope=layerwise": lambda session, network: iterated_synflow(network, 0.65, 5, layerwise),
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_settings_reach_the_scores(finished, tmp_path, setting):
    """The masks are those of the public functions with that setting, and others than without it."""
    method = setting.partition(".")[0]
    changes = setting, f"{method}.sparsity=0.65", f"{method}.dense=false"
    directory, session = run(tmp_path / "run", *changes, method=CASES[method])
    masks = directory.read_round(1).masks
    network = ScoredNetwork(
        session.specs, (3, 4, 4), initial_parameters(session.specs, 1), initial_masks(session.specs, 0.0, 1)
    )
    assert_same(masks, SETTINGS[setting](session, network))
    by_default = finished(method)[0].read_round(2).masks
    assert any(np.any(mask.W != by_default[layer].W) for layer, mask in masks.items())


# --- OneShot


@pytest.mark.parametrize("scope", ["", " global"])
def test_the_first_level_of_oneshot_is_round_1_of_imp(finished, scope):
    ours, theirs = (finished(method + scope)[0].read_round(1) for method in ("OneShot", "IMP"))
    assert_same(ours.masks, theirs.masks)
    assert_same(ours.checkpoints[0].parameters, theirs.checkpoints[0].parameters)


def test_every_level_of_oneshot_is_cut_from_the_dense_training(finished):
    dense, *levels = rounds_of(finished("OneShot")[0])
    for result, level in zip(levels, LEVELS, strict=True):
        assert_same(result.masks, expected_masks(dense.checkpoint_at(12), dense.masks, level, (True, True, False)))


def test_oneshot_prunes_from_prune_step(tmp_path):
    directory, _ = run(tmp_path / "run", "OneShot.prune_step=8", "OneShot.sparsity=0.3", method=CASES["OneShot"])
    dense, result = rounds_of(directory)
    assert [[c.step for c in r.checkpoints] for r in (dense, result)] == [[3, 8, 12], [12]]
    expected = [expected_masks(dense.checkpoint_at(step), dense.masks, 0.3, (True, True, False)) for step in (8, 12)]
    assert_same(result.masks, expected[0])
    assert np.any(expected[0][0].W != expected[1][0].W)


def test_the_dense_training_can_be_that_of_another_run(finished, tmp_path):
    """Its round 0 is copied byte for byte, and everything that follows is as if it had been trained."""
    theirs, _ = finished("IMP")
    directory, session = run(tmp_path / "run", f"OneShot.dense_run={theirs.folder}", method=CASES["OneShot"])
    assert sorted(session.begins) == [1, 2]
    assert directory.round_path(0).read_bytes() == theirs.round_path(0).read_bytes()
    assert files_of(directory) == files_of(finished("OneShot")[0])
    record = directory.read_record()["rounds"]
    assert "seconds" in record["1"] and "seconds" not in record["0"] and "layers" in record["0"]


def test_a_dense_training_that_was_to_be_pruned_elsewhere(finished, tmp_path):
    """Which layers are prunable is this run's affair: its files are as if it had trained round 0 itself."""
    theirs, _ = run(tmp_path / "theirs", "IMP.prune=T:T:T", "IMP.max_iterations=1")
    directory, _ = run(tmp_path / "run", f"OneShot.dense_run={theirs.folder / 'IMP'}", method=CASES["OneShot"])
    assert files_of(directory) == files_of(finished("OneShot")[0])


# --- IMP with one pool


def test_global_imp_by_hand(tmp_path):
    """The lowest weights of both hidden layers together go, biases stay; all begin uniform, with one deviation."""
    changes = "Network.init_deviation=0.2", "Network.init_distribution=uniform"
    directory, session = run(tmp_path / "run", *changes, method=CASES["IMP global"])
    assert_same(session.begins[0][0], initial_parameters(session.specs, 1, 0.2, "uniform"))
    rounds = rounds_of(directory)
    n = 48 * 6 + 6 * 5
    for before, result, count in zip(rounds, rounds[1:], (95, 95 + 66), strict=False):  # int(0.3 * 318), + 0.3 * 223
        trained = before.checkpoint_at(12).parameters
        pool = np.concatenate([(np.abs(trained[layer].W) * before.masks[layer].W).ravel() for layer in (0, 1)])
        keep = np.ones(n)
        keep[np.argsort(pool, kind="stable")[:count]] = 0
        np.testing.assert_array_equal(result.masks[0].W.ravel(), keep[: 48 * 6])
        np.testing.assert_array_equal(result.masks[1].W.ravel(), keep[48 * 6 :])
        assert all(np.all(mask.b == 1) for mask in result.masks.values()) and np.all(result.masks[2].W == 1)
        assert result.sparsities.tolist() == [1 - keep[: 48 * 6].sum() / 288, 1 - keep[48 * 6 :].sum() / 30]
        assert result.sparsities[0] != result.sparsities[1]


# --- Random


def test_levels_of_random_are_drawn_independently(finished):
    """The second level keeps weights that the first one does not, as many as chance says; seeds differ, too."""
    _, first, second = rounds_of(finished("Random")[0])
    one, two = first.masks[0].W == 1, second.masks[0].W == 1
    assert (one.sum(), two.sum()) == (288 - 86, 288 - 187)
    expected = one.sum() * two.sum() / 288
    deviation = np.sqrt(expected * (1 - one.mean()) * (1 - two.mean()) * 288 / 287)  # hypergeometric
    assert abs(np.sum(one & two) - expected) < 4 * deviation < two.sum() - expected


def test_random_masks_like_those_of_another_run(finished, tmp_path):
    """As many weights in every layer and round, elsewhere."""
    theirs, _ = finished("IMP global")
    text = section("Random", like=theirs.folder / "IMP")
    directory, session = run(tmp_path / "run", method=text)
    assert directory.rounds() == [0, 1, 2]
    for result, other in zip(rounds_of(directory), rounds_of(theirs), strict=True):
        assert [mask.W.sum() for mask in result.masks.values()] == [mask.W.sum() for mask in other.masks.values()]
        assert result.sparsities.tolist() == other.sparsities.tolist()
        if result.number:
            assert np.any(result.masks[0].W != other.masks[0].W)


def test_copied_densities_give_every_count():
    """Whatever a layer of 288 weights keeps. As floats, some densities would give one weight more."""
    specs = (LayerSpec("f", (48, 6), True), LayerSpec("x", (6, 4), False))
    scores, full = {0: Mask(np.random.default_rng(0).random((48, 6)))}, made_round(0, specs).masks

    def keeping(number):
        return full | {0: Mask((np.arange(288) < number).astype(np.float32).reshape(48, 6), np.ones(6, np.float32))}

    other = SimpleNamespace(
        rounds=lambda: range(289), read_round=lambda n: replace(made_round(n, specs), masks=keeping(n))
    )
    levels = levels_of_run(other, specs)
    assert sorted(levels) == list(range(1, 289))
    for kept, sparsities in levels.items():
        assert sparsities == [Fraction(288 - kept, 288)]
        assert layerwise(scores, full, sparsities)[0].W.sum() == kept
    assert any(int((1 - kept / 288) * 288) != 288 - kept for kept in levels)


# --- LayerByLayer


def layer_by_layer(folder, *changes, errors=ERRORS, base=Watched):
    return run(folder, *changes, method=CASES["LayerByLayer"], kind=with_errors(errors, base))


def test_layer_by_layer_moves_on_when_a_round_is_worse_than_the_dense_one(finished):
    """Round 1 is as good and counts, round 2 is worse and is undone; then the same for the second layer."""
    directory, session = finished("LayerByLayer")
    rounds = rounds_of(directory)
    assert len(rounds) == 5
    pruned_from = {1: (0, 0, 0.3), 2: (1, 0, 0.51), 3: (1, 1, 0.3), 4: (3, 1, 0.51)}  # round, layer, sparsity
    for number, (before, layer, sparsity) in pruned_from.items():
        flags = [index == layer for index in range(3)]
        source = rounds[before]
        assert_same(rounds[number].masks, expected_masks(source.checkpoints[-1], source.masks, sparsity, flags))
    ratios = [[0, 0], [0.3, 0], [0.51, 0], [0.3, 0.3], [0.3, 0.51]]
    np.testing.assert_allclose([result.sparsities for result in rounds], ratios, atol=1e-15)


def test_a_frozen_layer_stays_as_the_last_good_round_left_it(finished):
    """W, b, gamma, beta: bit for bit, from the beginning of the later rounds to their ends; other layers train."""
    directory, session = finished("LayerByLayer")
    rounds = rounds_of(directory)
    good, rewind = rounds[1].checkpoints[-1].parameters, rounds[0].checkpoints[0].parameters
    trained = ("W", "gamma", "beta")  # the biases are small: all of them are pruned
    assert all(np.any(getattr(good[0], name) != getattr(rewind[0], name)) for name in trained)
    for number in (3, 4):
        begin = session.begins[number][0]
        assert_same(only(begin, 0), only(good, 0))
        assert_same(but(begin, 0), but(rewind, 0))
        end = rounds[number].checkpoints[-1].parameters
        assert_same(only(end, 0), only(good, 0))
        for layer in (1, 2):
            assert all(np.any(getattr(end[layer], name) != getattr(rewind[layer], name)) for name in trained)
    assert np.any(rounds[2].checkpoints[-1].parameters[0].W != good[0].W)  # round 2 still trained it
    moments = rounds[3].checkpoints[-1].moments[0]  # its inputs are still normalised as they come
    assert np.all(moments.variance != 1)


def test_with_freeze_mask_the_layer_is_rewound_and_trained_like_the_others(finished, tmp_path):
    directory, session = layer_by_layer(tmp_path / "run", "LayerByLayer.freeze=mask")
    frozen = rounds_of(finished("LayerByLayer")[0])
    rounds = rounds_of(directory)
    rewind = rounds[0].checkpoints[0].parameters
    assert [result.number for result in rounds] == [0, 1, 2, 3, 4]
    for number in (3, 4):
        assert_same(only(rounds[number].masks, 0), only(rounds[1].masks, 0))
        assert_same(session.begins[number][0], rewind)
        W = rounds[number].checkpoints[-1].parameters[0].W
        kept = rounds[1].masks[0].W == 1
        assert np.mean(W[kept] != rewind[0].W[kept]) > 0.9 and np.all(W[~kept] == rewind[0].W[~kept])
    for number in (0, 1, 2):  # until then there is no difference
        assert_same(rounds[number].checkpoints[-1].parameters, frozen[number].checkpoints[-1].parameters)
    assert_same(rounds[3].masks, frozen[3].masks)


def test_a_layer_that_cannot_be_pruned_at_all_stays_dense(tmp_path):
    """Already the first round is worse: the layer is frozen as the dense training left it, and the next one's turn
    begins with the dense network's magnitudes."""
    directory, session = layer_by_layer(tmp_path / "run", errors=[0.5, 0.6, 0.4, 0.7])
    dense, worse, next_one, last = rounds_of(directory)
    assert np.any(worse.masks[0].W == 0)
    for result, sparsity, source in ((next_one, 0.3, dense), (last, 0.51, next_one)):
        assert np.all(result.masks[0].W == 1) and np.all(result.masks[0].b == 1)
        trained = source.checkpoints[-1]
        assert_same(result.masks, expected_masks(trained, source.masks, sparsity, (False, True, False)))
        assert_same(only(session.begins[result.number][0], 0), only(dense.checkpoints[-1].parameters, 0))
        assert_same(only(result.checkpoints[-1].parameters, 0), only(dense.checkpoints[-1].parameters, 0))


def test_the_frozen_layer_is_that_of_the_end_not_of_prune_step(tmp_path):
    """prune_step = 8 gives the magnitudes; the values that stay are those at the last step."""
    directory, session = layer_by_layer(tmp_path / "run", "LayerByLayer.prune_step=8", "LayerByLayer.max_iterations=4")
    rounds = rounds_of(directory)
    assert [c.step for c in rounds[1].checkpoints] == [8, 12]
    assert_same(only(session.begins[3][0], 0), only(rounds[1].checkpoint_at(12).parameters, 0))
    source = rounds[1].checkpoint_at(8)
    assert_same(rounds[3].masks, expected_masks(source, rounds[1].masks, 0.3, (False, True, False)))


@pytest.mark.parametrize(
    ("change", "rounds", "sparsities"),
    [
        ("LayerByLayer.layers=1", 3, [0.51, 0.0]),  # round 2 is worse, and there is no other layer to prune
        ("LayerByLayer.max_iterations=2", 2, [0.3, 0.0]),
        ("LayerByLayer.max_iterations=4", 4, [0.3, 0.3]),
        ("LayerByLayer.prune=F:T:F", 3, [0.51]),
    ],
)
def test_where_layer_by_layer_ends(tmp_path, change, rounds, sparsities):
    directory, _ = layer_by_layer(tmp_path / "run", change)
    assert directory.rounds() == list(range(rounds))
    np.testing.assert_allclose(directory.read_round(rounds - 1).sparsities, sparsities, atol=1e-15)


def test_stop_ratio_ends_a_layer_before_it_falls_apart(tmp_path):
    """No round is worse here; each layer is pruned as long as more than 9 of 10 of its own nodes are connected."""
    changes = "LayerByLayer.prune_ratio=0.7", "LayerByLayer.stop_ratio=0.9", "LayerByLayer.max_iterations=20"
    directory, session = layer_by_layer(tmp_path / "run", *changes, errors=[0.5] * 20)
    rounds = rounds_of(directory)
    by_layer = [[result for result in rounds[1:] if (result.sparsities[1] > 0) == layer] for layer in (False, True)]
    assert all(by_layer)
    for layer, of_layer in enumerate(by_layer):
        counts = [layer_counts(result.masks, session.specs)[layer] for result in of_layer]
        assert all(count.connected / count.nodes > 0.9 for count in counts)
        last, flags = of_layer[-1], [index == layer for index in range(3)]
        sparsity = last.sparsities[layer] + 0.7 * (1 - last.sparsities[layer])
        further = expected_masks(last.checkpoints[-1], last.masks, sparsity, flags)
        assert layer_counts(further, session.specs)[layer].connected / counts[0].nodes <= 0.9


def test_layer_by_layer_can_go_on_at_the_second_layer(finished, tmp_path):
    """A restart from the last good round freezes the first layer as it is there: the same bits as without restart."""
    whole, _ = finished("LayerByLayer")
    changes = ["Network.restart=true", "Network.rest_it=3", "LayerByLayer.first_layer=2"]
    changes += [f"Network.rest_weights_file={whole.round_path(0)}", f"Network.rest_mask_file={whole.round_path(1)}"]
    # Round 0 is read from its file, so that its true error counts, which is below 1.
    directory, session = layer_by_layer(tmp_path / "run", *changes, errors=[None, None, None, 0.0, 1.0])
    assert directory.rounds() == [3, 4] == sorted(session.begins)
    for number in (3, 4):
        assert directory.round_path(number).read_bytes() == whole.round_path(number).read_bytes()


@pytest.mark.parametrize("case", ROUND_BY_ROUND)
def test_stop_density_ends_with_the_first_round_at_or_below_it_and_a_smaller_one_goes_on(case, finished, tmp_path):
    whole, _ = finished(case)
    densities = [density(result.masks, result.specs) for result in rounds_of(whole)]
    assert len(densities) > 2 and densities[0] > densities[1]
    for stop, rounds in ((densities[1], 2), (0.0, len(densities))):
        change = f"{method_of(case)}.stop_density={stop}"
        stopped, _ = run(tmp_path / "run", change, method=CASES[case], kind=kind_of(case))
        assert len(stopped.rounds()) == rounds
    assert all(stopped.round_path(n).read_bytes() == whole.round_path(n).read_bytes() for n in whole.rounds())


# --- Cavity


def test_cavity_prunes_the_highest_scores_of_the_first_layer(finished):
    """Scores of its current weights at the rewind point, computed here from the images; exact counts, ties by index."""
    directory, session = finished("Cavity")
    rounds = rounds_of(directory)
    point = rounds[0].checkpoints[0]
    x, _ = session.sample(40)
    moments, values = point.moments[0], point.parameters[0]
    z = (x.astype(np.float64) - moments.mean) / np.sqrt(moments.variance.astype(np.float64) + 1e-10)
    inputs = values.gamma * z + values.beta
    for before, result, count in zip(rounds, rounds[1:], (86, 146), strict=False):  # int(0.3 * 288), int(0.51 * 288)
        mask = before.masks[0].W
        scores = cavity_scores([inputs], values.W, mask)
        assert np.all(np.isfinite(scores[mask == 1]))
        gone = (mask == 1) & (result.masks[0].W == 0)
        assert np.sum(result.masks[0].W == 0) == count
        assert np.min(scores[gone]) > np.max(scores[result.masks[0].W == 1])
        assert np.all(result.masks[0].b == 1) and all(np.all(m.W == 1) for m in but(result.masks, 0).values())
    np.testing.assert_allclose([result.sparsities for result in rounds], [[0], [0.3], [0.51]], atol=1e-15)


# --- restart


@pytest.fixture(scope="module")
def first_layer_only(tmp_path_factory):
    """IMP of the first layer alone: what [Cavity] can go on from."""
    return run(tmp_path_factory.mktemp("first") / "run", "IMP.prune=T", method=CASES["IMP"])[0]


@pytest.mark.parametrize("case", sorted(CASES.keys() - {"IMP", "OneShot global", "Random rewound"}))
def test_a_restart_begins_with_the_masks_and_the_rewind_point_of_stored_rounds(
    finished, first_layer_only, tmp_path, case
):
    """Here IMP's second: no method revives what it pruned, and all start where IMP rewinds to.

    Methods with levels begin with the first one, which IMP is already beyond: its masks stay as they are.
    """
    source = first_layer_only if case == "Cavity" else finished("IMP")[0]
    levels = case in BY_LEVELS
    changes = ["Network.restart=true", f"Network.rest_it={1 if levels else 3}"]
    changes += [f"Network.rest_weights_file={source.round_path(0)}", f"Network.rest_mask_file={source.round_path(2)}"]
    if not levels:
        changes.append(f"{method_of(case)}.max_iterations=4")
    kind = with_errors([0.0] * 4) if case == "LayerByLayer" else Watched
    directory, session = run(tmp_path / "run", *changes, method=CASES[case], kind=kind)
    assert directory.rounds() == ([1, 2] if levels else [3]) == sorted(session.begins)
    pruned, rewind = source.read_round(2), source.read_round(0).checkpoints[0].parameters
    for result in rounds_of(directory):
        assert_same(session.begins[result.number][0], rewind)
        assert_same(session.begins[result.number][1], result.masks)
        assert_within(result.masks, pruned.masks)
        if result.number == 1:
            assert_same(result.masks, pruned.masks)
        else:
            assert zeros(result.masks) > zeros(pruned.masks)
    if method_of(case) == "OneShot" and case not in GLOBAL:  # magnitudes are those that the file ends with
        flags = (True, True, False)
        assert_same(result.masks, expected_masks(pruned.checkpoints[-1], pruned.masks, LEVELS[1], flags))


def test_a_restart_goes_on_with_the_level_of_its_number(finished, tmp_path):
    """The levels before it are left out; by default it prunes round 0 of the folder, and rewinds to it."""
    whole, _ = finished("SNIP")
    directory = copy_of(whole, tmp_path / "run")
    directory.remove_rounds(1)
    changes = "Network.restart=true", "Network.rest_it=2", "SNIP.sparsity=0.5, 0.65", "SNIP.scope=layerwise"
    _, session = run(directory.folder, *changes, method=CASES["SNIP"])
    assert directory.rounds() == [0, 2] and sorted(session.begins) == [2]
    assert [zeros({0: mask}) for mask in directory.read_round(2).masks.values()] == [int(0.65 * 288), int(0.65 * 30), 0]
    assert directory.round_path(0).read_bytes() == whole.round_path(0).read_bytes()


# --- interruptions


class WhileScoring(Watched):
    """A session that gets a signal when the driver asks for the network to score."""

    def network(self, *arguments):
        signal.raise_signal(signal.SIGTERM)
        return super().network(*arguments)


SAME_DRIVER = {"GraSP": "SNIP", "Random": "SNIP"}  # as another case


@pytest.mark.heavy
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=pytest.mark.slow if case in SAME_DRIVER else ())
        for case in CASES
        if case not in ("IMP", "OneShot global", "Random rewound")
    ],
)
def test_an_interrupted_run_continues_to_the_same_bits(finished, tmp_path, case):
    """Interrupted before the first scores, and within a round; where a round depends on the one before, or comes
    behind a frozen layer, in such a one."""
    whole, _ = finished(case)
    middle = {"IMP global": 2, "Cavity": 2, "LayerByLayer": 3}.get(case, 1)
    directory = copy_of(whole, tmp_path / "run")
    directory.remove_rounds(middle)
    points = [
        (kind_of(case, WhileScoring), list(range(middle)), None),
        (interrupting(middle, 7, base=kind_of(case)), list(range(middle)), middle),
    ]
    for kind, rounds, in_progress in points:
        with Signals().handled() as signals, pytest.raises(Interrupted):
            run(tmp_path / "run", method=CASES[case], kind=kind, signals=signals)
        progress = directory.read_progress()
        assert (directory.rounds(), progress and progress.number) == (rounds, in_progress)
    _, session = run(tmp_path / "run", method=CASES[case], kind=kind_of(case))
    assert min(session.begins) == middle and session.trained[0][:2] == (middle, progress.step)
    assert progress.step > 7 and files_of(directory) == files_of(whole)


# --- the command


@pytest.fixture
def main(tmp_path, command):
    """main(method, *changes) -> (directory, what was shown): a run of the command on 300 embedded images."""

    def main(method, *changes):
        code, shown, _ = command(write_input(tmp_path, *changes, "Network.jit_compile=false", method=method))
        assert code == 0
        return RunDirectory(tmp_path / "run", "IMP"), shown

    return main


def test_the_command_shows_a_table_for_every_round_and_says_when_a_layer_is_empty(main):
    """Without round 0 in the file, nor in the closing table."""
    method = "prune=T:T", "scope=global", "dense=false", "sparsity=0.5, 0.9999"
    directory, shown = main("Random", *(f"Random.{change}" for change in method))
    assert directory.rounds() == [1, 2]
    lines = [line.split() for line in shown.splitlines()]
    for result in rounds_of(directory):
        assert ["round", str(result.number), "u"] in [line[:3] for line in lines]
        for layer, mask in result.masks.items():
            row = ["layer", str(layer + 1), f"{int(mask.W.sum()):,}", "of", f"{mask.W.size:,}", "weights"]
            assert row in [line[:6] for line in lines]
    assert zeros(directory.read_round(2).masks) == int(0.9999 * (12288 + 40)) == 12326
    empty = [layer + 1 for layer, mask in directory.read_round(2).masks.items() if not mask.W.any()]
    warnings = [line for line in shown.splitlines() if "Warning" in line]
    assert warnings == [f"Warning: layer {layer} has no weights left" for layer in empty] and empty
