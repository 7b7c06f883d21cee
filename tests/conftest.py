"""What the tests share: nothing of the user's is touched, disks are not waited for, commands run in this process."""

import gc
import shutil
from pathlib import Path

import pytest
from absl import flags
from absl.testing import flagsaver
from synthetic import REFERENCE

from sifting import run as module
from sifting.runs.directory import RunDirectory


@pytest.fixture(autouse=True, scope="session")
def undisturbed(tmp_path_factory):
    """A cache folder of the test run, and files that count as written before the disk says so.

    What imports have made stays: to look through all of it for garbage, as after a run, takes a quarter of a second.
    """
    flags.FLAGS.mark_as_parsed()
    gc.freeze()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "freeze", lambda: None)
        patch.setattr(gc, "unfreeze", lambda: None)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr("sifting.base.files.os.fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """The tiny experiment as it stands, never interrupted: (directory, session). Do not write there."""
    from tiny_runs import run  # imports TensorFlow

    return run(tmp_path_factory.mktemp("tiny") / "whole")


@pytest.fixture
def in_tmp_path(tmp_path, monkeypatch) -> Path:
    """A user at work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(capsys):
    """command(*arguments) -> (exit code, output, errors): `python -m sifting.run` in this process."""

    def command(*arguments) -> tuple[int, str, str]:
        with flagsaver.flagsaver():
            try:
                code = module.main(module._parse_flags(["run", *map(str, arguments)]))
            except SystemExit as stop:
                code = stop.code
        return code, *capsys.readouterr()

    return command


@pytest.fixture
def accepted(monkeypatch) -> type[Exception]:
    """An exception that comes in place of training: nothing was refused, and TensorFlow would be imported now."""

    class Accepted(Exception):
        pass

    def stop():
        raise Accepted

    monkeypatch.setattr("sifting.training.launch.native_messages_hidden", stop)
    return Accepted


@pytest.fixture
def refuse(tmp_path, command, accepted):
    """refuse(*arguments) -> the line, without its "sifting: "; checks all that holds for every refusal.

    That is: exit code 2, one line, TensorFlow not waited for, and nothing below tmp_path made, changed or lost, but for
    prepared images, and locks, which are empty or name the last process.
    """

    def contents() -> dict[str, bytes | None]:
        paths = {path.relative_to(tmp_path): path for path in tmp_path.rglob("*") if not path.name.endswith("_lock")}
        kept = {name: path for name, path in paths.items() if name.parts[0] != "cache"}
        return {str(name): path.read_bytes() if path.is_file() else None for name, path in kept.items()}

    def refuse(*arguments) -> str:
        before = contents()
        code, _, error = command(*arguments)
        assert code == 2, error
        assert error.startswith("sifting: ") and error.endswith("\n") and error.count("\n") == 1
        assert contents() == before
        return error.removeprefix("sifting: ").rstrip("\n")

    return refuse


@pytest.fixture
def refusal(tmp_path, capsys):
    """refusal(main, *arguments) -> the one line with which a command refuses them.

    Nothing below tmp_path is new, but for arrays of rounds, which may have been computed before.
    """

    def contents():
        return {path for path in tmp_path.rglob("*") if "_analysis_" not in path.name}

    def refusal(main, *arguments) -> str:
        before = contents()
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # of a command line that cannot be parsed
            code = stop.code
        printed = capsys.readouterr()
        assert code == 2 and printed.err.startswith(("sifting: ", "crosscheck: ")) and printed.err.count("\n") == 1, (
            printed.err
        )
        assert contents() == before
        return printed.err

    return refusal


@pytest.fixture
def reference(tmp_path) -> RunDirectory:
    """A copy of the run that the TF1 code wrote: 8x8 images, f48:f32:x, rounds 0 to 5."""
    return RunDirectory(shutil.copytree(REFERENCE, tmp_path / "run"), "IMP")
