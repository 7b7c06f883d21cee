"""The event files of a run, as TensorBoard itself reads them."""

import io

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG, parse_session_start_info_plugin_data
from tiny_runs import interrupt, rounds_of, run

from sifting.errors import RunDirectoryError
from sifting.inputs import read_experiment
from sifting.network.rounds import density, layer_counts
from sifting.runs.directory import RunDirectory
from sifting.runs.history import columns
from sifting.training.tensorboard import GrowingCurves, event_paths, write_round

SIZES = {"scalars": 0, "images": 0, "tensors": 0}  # keep all events


@pytest.fixture
def finished(whole):
    """The directory of a tiny run, never interrupted."""
    return whole[0]


def read(directory, folder: str) -> EventAccumulator:
    return EventAccumulator(str(directory.tensorboard_folder / folder), size_guidance=SIZES).Reload()


def scalars(directory, folder: str) -> dict[str, list[tuple[int, float]]]:
    events = read(directory, folder)
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def all_scalars(directory) -> dict:
    return {path.name: scalars(directory, path.name) for path in sorted(directory.tensorboard_folder.iterdir())}


def test_scalars_over_the_rounds(finished):
    found = scalars(finished, "rounds")
    rounds = rounds_of(finished)
    counts = [layer_counts(result.masks, result.specs) for result in rounds]
    expected = {
        "validation_error/best": [result.best_validation_error for result in rounds],
        "validation_error/last": [result.validation_errors[-1] for result in rounds],
        "training_error/last": [np.mean(result.training_errors[6:11]) for result in rounds],
        "density/pruned layers": [density(result.masks, result.specs) for result in rounds],
        **{f"density/layer {i + 1}": [row[i].density for row in counts] for i in range(3)},
        **{f"connected nodes/layer {i + 1}": [row[i].connected for row in counts] for i in range(3)},
    }
    assert sorted(found) == sorted(expected)
    for tag, values in expected.items():
        assert [step for step, _ in found[tag]] == [0, 1, 2, 3]
        np.testing.assert_allclose([value for _, value in found[tag]], values, rtol=1e-6, err_msg=tag)


def test_observables_of_ones_own_are_scalars_over_the_rounds(finished, tmp_path):
    """And so metrics under HPARAMS."""
    directory, result = RunDirectory(tmp_path, "IMP"), finished.read_round(1)
    directory.write_round(result)
    write_round(directory, result, result.image_shape, {"overlap": 2.5, "undefined": np.nan})
    found = scalars(directory, "rounds")
    assert found["observables/overlap"] == [(1, 2.5)] and np.isnan(found["observables/undefined"][0][1])


def test_scalars_over_the_steps_of_a_round(finished):
    for result in rounds_of(finished):
        found, table = scalars(finished, f"round_{result.number:03d}"), columns(result)
        assert sorted(found) == ["training_error", "validation_error"]
        for tag, name in (("training_error", "mean_training_error"), ("validation_error", "validation_error")):
            steps, values = zip(*found[tag], strict=True)
            np.testing.assert_array_equal(steps, table["step"])
            np.testing.assert_array_equal(np.array(values, np.float32), table[name])


def test_the_plate_shows_the_masks_of_the_most_connected_nodes(finished):
    """4 x 4 pixels are enlarged eightfold; the first tile is the most connected node's, a gap of one pixel after it."""
    events = read(finished, "rounds").Images("masks of the most connected nodes/layer 1")
    assert [event.step for event in events] == [0, 1, 2, 3]
    mask = rounds_of(finished)[3].masks[0].W
    plate = np.asarray(Image.open(io.BytesIO(events[3].encoded_image_string)))
    assert plate.shape == (32, 6 * 33 - 1, 3) and np.all(plate[:, 32] == 255)
    nodes = sorted(range(6), key=lambda node: -np.count_nonzero(mask[:, node]))
    for place, node in enumerate(nodes):
        tile = plate[::8, 33 * place : 33 * place + 32 : 8]
        np.testing.assert_array_equal(tile, 255 * mask[:, node].reshape(3, 4, 4).transpose(1, 2, 0))


def test_the_settings_are_an_input_file_that_gives_the_experiment(finished, tmp_path):
    """Once, with the first round; the run's own seed in it."""
    (event,) = read(finished, "rounds").Tensors("settings")
    text = event.tensor_proto.string_val[0].decode()
    assert event.step == 0 and text.startswith("```\n[IO]\n") and text.endswith("```")
    (tmp_path / "again.in").write_text(text.strip("`"))
    assert read_experiment([str(tmp_path / "again.in")]).network.seed == 1


def test_the_settings_are_hyper_parameters(finished):
    """Each key that is set, as the number, switch or text that it is; where results go is none."""
    content = read(finished, "rounds").PluginTagToContent("hparams")[SESSION_START_INFO_TAG]
    parameters = parse_session_start_info_plugin_data(content).hparams
    assert parameters["Network.steps"].number_value == 12
    assert parameters["IMP.prune_ratio"].number_value == 0.3 and parameters["Network.seed"].number_value == 1
    assert parameters["Network.jit_compile"].WhichOneof("kind") == "bool_value"
    assert parameters["Network.arch"].string_value == "f6:f5:x" and parameters["IMP.prune"].string_value == "T:T:F"
    assert "Network.rest_weights_file" not in parameters
    assert not [name for name in parameters if name.startswith("IO.")]


def test_rounds_trained_without_are_made_up_for_and_the_others_stay(finished, tmp_path):
    directory, _ = run(tmp_path / "run", "IO.tensorboard=false", "IMP.max_iterations=2")
    assert not directory.tensorboard_folder.exists()
    run(tmp_path / "run", "IMP.max_iterations=3")
    written = {path: path.stat().st_mtime_ns for path in directory.tensorboard_folder.rglob("events*")}
    assert len(written) == 6
    run(tmp_path / "run")
    assert all_scalars(directory) == all_scalars(finished)
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_what_a_killed_process_left_unfinished_is_no_event_file(finished, tmp_path):
    directory, _ = run(tmp_path / "run", "IMP.max_iterations=1")
    last, _ = event_paths(directory, 0)
    (last.parent / "unfinished").write_bytes(last.read_bytes()[:50])
    last.unlink()  # the pickle was stored, its events were not
    directory, session = run(tmp_path / "run")
    assert [call for call in session.trained if call[0] == 0] == [] and all_scalars(directory) == all_scalars(finished)


def test_a_run_that_ends_again_leaves_no_more_than_one_that_was_never_interrupted(finished, tmp_path):
    """A process killed right behind the last round's pickle leaves its checkpoint, and curves that grew. A checkpoint
    of a round that is not asked for any more stays."""
    directory, _ = interrupt(tmp_path / "run", 3, 6)
    left = directory.progress_path.read_bytes()
    run(tmp_path / "run", "IMP.max_iterations=2")
    assert directory.progress_path.read_bytes() == left
    run(tmp_path / "run")
    directory.progress_path.write_bytes(left)
    GrowingCurves(directory, 3, 7)
    run(tmp_path / "run")
    ours, theirs = ({path.relative_to(run.folder) for path in run.folder.rglob("*")} for run in (directory, finished))
    assert ours == theirs


def test_a_round_in_progress_shows_what_it_will_have(finished, tmp_path):
    """A process that saved before step 5, was killed after step 10, and was continued from step 5 on: each piece of
    training has a file of its own, and TensorBoard makes of them what the finished round has so far, once."""
    directory = RunDirectory(tmp_path / "run", "IMP")

    def interrupted(step):
        interrupt(tmp_path / "run", 2, step)
        return directory.progress_path.read_bytes()

    early = interrupted(4)
    directory.progress_path.unlink()  # the round begins anew
    interrupted(11)
    directory.progress_path.write_bytes(early)
    interrupted(11)
    folder = directory.tensorboard_folder / "round_002"
    assert [path.suffix for path in sorted(folder.iterdir())] == [".from_000000000", ".from_000000005"]
    assert scalars(directory, "round_002") == scalars(finished, "round_002")

    run(tmp_path / "run")
    assert [path.name for path in folder.iterdir()] == ["events.out.tfevents.000002"]
    assert all_scalars(directory) == all_scalars(finished)


def test_removed_rounds_take_their_events_along(tmp_path):
    directory, _ = run(tmp_path / "run", "IMP.max_iterations=3")
    foreign = directory.tensorboard_folder / "rounds" / "events.out.tfevents.1.somebody.else"
    foreign.touch()
    GrowingCurves(directory, 3, 7)
    directory.remove_rounds(1)
    left = sorted(path for path in directory.tensorboard_folder.rglob("*") if path.name != "rounds")
    assert left == sorted([event_paths(directory, 0)[1].parent, *event_paths(directory, 0), foreign])


def test_a_convolution_has_no_plate(tmp_path):
    directory, _ = run(tmp_path / "run", "Network.arch=c3,2:f5:x", "IMP.max_iterations=1")
    assert read(directory, "rounds").Tags()["images"] == []


def test_a_file_that_cannot_be_written_is_refused_in_one_line(finished, tmp_path):
    directory = RunDirectory(tmp_path, "IMP")
    directory.write_round(finished.read_round(0))
    directory.tensorboard_folder.touch()
    with pytest.raises(RunDirectoryError, match="IO. tensorboard = false, then the same command") as error:
        write_round(directory, finished.read_round(0), (3, 4, 4))
    assert "\n" not in str(error.value)
