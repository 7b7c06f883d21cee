"""Movies: every frame shows the arrays of its round, nodes keep their places, and problems are one line.

The run is the one that the TF1 code wrote: 8x8 images, 48 nodes in the first layer, rounds 0 to 5.
"""

import json

import numpy as np
import pytest
from matplotlib.animation import writers
from PIL import Image

from postprocess.command_line import plain
from postprocess.connectivity import input_connections, select_nodes
from postprocess.figures import base, drawing, movies
from postprocess.figures.__main__ import main
from postprocess.figures.animation import Movie
from sifting.network.rounds import density
from sifting.runs.directory import RunDirectory

ROUNDS, SIZE, ZOOM = 6, 8, 8  # a pixel of a mask is drawn on 8 x 8: 4 of the plate, twice as large
TILE = SIZE * ZOOM + 2
COLUMNS = 7  # of 48 nodes


@pytest.fixture
def no_ffmpeg(monkeypatch):
    monkeypatch.setattr(writers, "is_available", lambda name: name != "ffmpeg")


def draw(run: RunDirectory, **options) -> tuple[Movie, dict]:
    """The movie, and its numbers as JSON has them."""
    with drawing.figure_style():
        movie, numbers = movies.draw({"imp": [run]}, base.Options(**options))
        return movie, json.loads(json.dumps(plain(numbers), allow_nan=False))


def plate_pixels(movie: Movie, picture: np.ndarray, place: int) -> np.ndarray:
    """The left (0) or right (1) plate, cut out of a frame, uint8 [height, width, 3]."""
    box = movie.figure.axes[place].get_window_extent()
    top, bottom = (round(len(picture) - y) for y in (box.y1, box.y0))
    return picture[top:bottom, round(box.x0) : round(box.x1)]


def tile_of(plate: np.ndarray, position: int) -> np.ndarray:
    """One node of a plate, a pixel of the mask each, uint8 [S, S, 3]; all pixels that it is drawn on are equal."""
    y, x = (TILE * index for index in divmod(position, COLUMNS))
    tile = plate[y : y + SIZE * ZOOM, x : x + SIZE * ZOOM].reshape(SIZE, ZOOM, SIZE, ZOOM, 3)
    assert (tile == tile[:, :1, :, :1]).all()
    return tile[:, 0, :, 0]


def as_image(values: np.ndarray) -> np.ndarray:
    """[3*S*S] -> [S, S, 3]."""
    return values.reshape(3, SIZE, SIZE).transpose(1, 2, 0)


def test_frames_show_the_arrays(reference):
    movie, numbers = draw(reference)
    assert movie.frames == ROUNDS == len(numbers["frames"])
    nodes = select_nodes(input_connections(reference.read_round(5).masks[0].W), count=225)
    assert numbers["nodes"] == nodes.tolist() and numbers["most_connected_in"]["round"] == 5  # nearest to 1 %
    for frame in range(ROUNDS):
        movie.show(frame)
        movie.figure.canvas.draw()
        picture = np.asarray(movie.figure.canvas.buffer_rgba())[:, :, :3]
        masks, weights = (plate_pixels(movie, picture, place) for place in range(2))
        result = reference.read_round(frame)
        mask = result.masks[0].W
        for position, node in enumerate(nodes):
            np.testing.assert_array_equal(tile_of(masks, position), 255 * as_image(mask[:, node]))
            masked = as_image(mask[:, node] * result.checkpoints[-1].parameters[0].W[:, node].astype(float))
            scaled = 255 * (0.5 + masked / (2 * np.abs(masked).max()))
            np.testing.assert_allclose(tile_of(weights, position), scaled, atol=0.501)
        u, accuracy = density(result.masks, result.specs), 1 - float(result.best_validation_error)
        found = numbers["frames"][frame]
        assert found["C_in"] == input_connections(mask)[nodes].tolist()
        assert (found["round"], found["u"], found["accuracy"]) == (frame, u, pytest.approx(accuracy))
        (title,) = movie.figure.texts
        assert title.get_text() == (
            f"round {frame},  u = {100 * u:.3g} %,  best validation accuracy {100 * accuracy:.1f} %"
        )
        curve, marker = movie.figure.axes[2].lines
        np.testing.assert_allclose(marker.get_xydata(), [[100 * u, 100 * accuracy]], rtol=1e-6)
        np.testing.assert_allclose(curve.get_xydata()[frame], [100 * u, 100 * accuracy], rtol=1e-6)


def test_frames_are_an_even_number_of_pixels(reference, monkeypatch):
    for count in (1, 2, 5, 48):
        monkeypatch.setattr(movies, "NODES", count)
        movie, numbers = draw(reference)
        assert len(numbers["nodes"]) == count
        assert all(length % 2 == 0 for length in movie.figure.canvas.get_width_height())


def test_nodes_of_another_round(reference):
    movie, numbers = draw(reference, round=2)
    nodes = select_nodes(input_connections(reference.read_round(2).masks[0].W), count=225)
    assert numbers["nodes"] == nodes.tolist() != draw(reference)[1]["nodes"]
    assert movie.figure.axes[0].get_title(loc="left") == "masks, the most connected of round 2 first"


def test_gif(reference, tmp_path, capsys):
    """Masks are exact in its colours; the last frame is held; equal runs are equal bytes."""
    files = [tmp_path / f"{n}.gif" for n in range(2)]
    for file in files:
        assert main(["movies", str(reference.folder), "--output", str(file)]) == 0
    *progress, picture, beside = capsys.readouterr().out.splitlines()[: ROUNDS + 3]
    assert progress[-1] == "round 5, 6 of 6" and (picture, beside) == (str(files[0]), str(tmp_path / "0.json"))
    assert files[0].read_bytes() == files[1].read_bytes()
    about = json.loads((tmp_path / "0.json").read_text())
    assert about["figure"] == "movies" and len(about["numbers"]["frames"]) == ROUNDS

    movie, numbers = draw(reference)
    with Image.open(files[0]) as gif:
        assert gif.size == movie.figure.canvas.get_width_height() and gif.n_frames == ROUNDS
        for frame in range(ROUNDS):
            gif.seek(frame)
            assert gif.info["duration"] == (500 if frame < ROUNDS - 1 else 3500)
            pixels = np.asarray(gif.convert("RGB"))
            masks, weights = (plate_pixels(movie, pixels, place) for place in range(2))
            mask = reference.read_round(frame).masks[0].W
            for position, node in enumerate(numbers["nodes"]):
                np.testing.assert_array_equal(tile_of(masks, position), 255 * as_image(mask[:, node]))
            movie.show(frame)
            exact = movie.figure.axes[1].images[0].get_array()
            assert (
                np.linalg.norm(weights[::2, ::2] - exact.astype(float), axis=2).max() < 48
            )  # about half a step in all


@pytest.mark.skipif(not writers.is_available("ffmpeg"), reason="needs ffmpeg")
def test_mp4(reference, capsys):
    assert main(["movies", str(reference.folder)]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [str(reference.path(f"movies.{k}")) for k in ("mp4", "json")]
    assert b"ftyp" in reference.path("movies.mp4").read_bytes()[:16]


def test_without_ffmpeg(reference, no_ffmpeg, capsys):
    assert main(["movies", str(reference.folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "mp4 needs ffmpeg, which is not there: the movie is a GIF"
    assert lines[-2] == str(reference.path("movies.gif"))
    assert reference.path("movies.gif").read_bytes().startswith(b"GIF89a")


def test_ffmpeg_that_fails(reference, tmp_path, monkeypatch, refusal):
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho something >&2\necho no encoder >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    error = refusal(main, "movies", reference.folder, "--output", tmp_path / "x.mp4")
    assert error == f"sifting: {tmp_path / 'x.mp4'}: ffmpeg fails (no encoder); accepted: a name that ends in .gif\n"


def test_problems_are_one_line(reference, monkeypatch, no_ffmpeg, refusal):
    line = refusal(main, "movies", reference.folder, "--output", reference.folder / "x.mp4")
    assert "x.mp4: needs ffmpeg, which is not there; accepted: a name that ends in .gif" in line
    monkeypatch.setattr(movies, "select_nodes", lambda connections, count: np.array([], int))
    line = refusal(main, "movies", reference.folder)
    assert line.endswith("no node keeps 2 connections in round 5; accepted: another --round\n")
