"""The examples of docs/extending.md, run as they stand there: files of their names, then the commands; and extensions
that are not as the page says, each refused in one line."""

import dataclasses
import itertools
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from synthetic import SPECS, made_round, masked_run, write_input

from postprocess import ahead, reproduce
from postprocess.figures import FIGURES
from postprocess.figures.__main__ import main as figures
from postprocess.observables import OBSERVABLES
from postprocess.rates import Rate
from postprocess.summary import main as summary
from sifting import datasets
from sifting.base import extensions
from sifting.datasets import DATASETS
from sifting.datasets.image_set import ImageSet
from sifting.datasets.source import Facts
from sifting.errors import DataError, InputError
from sifting.experiment.keys import integer, key
from sifting.inputs import read_experiment
from sifting.methods import METHODS, Scored
from sifting.methods.initialisation import checked_scores
from sifting.network.rounds import Mask, MaskedNetwork
from sifting.runs import history
from sifting.runs.directory import RunDirectory
from sifting.training import api
from sifting.training.plan import plan

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)(?: title=\"([\w.]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECTIONS = {text.partition("\n")[0]: text for text in PAGE.split("\n## ")[1:]}


def follow(section: str, folder: Path) -> list[str]:
    """Write the files of a section, and run its commands; what each printed."""
    printed = []
    for language, name, content in BLOCK.findall(SECTIONS[section]):
        if name:
            (folder / name).write_text(content, encoding="utf-8")
        if language == "sh":
            for command in content.splitlines():
                result = execute(command, folder)
                assert result.returncode == 0, f"{command}\n{result.stderr}"
                printed.append(result.stdout)
    return printed


def execute(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program, *arguments = command.split()
    assert program == "python"
    environment = dict(os.environ, XDG_CACHE_HOME=str(folder / "cache"))
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)  # which sifting has set here, as it imported TensorFlow
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_a_pruning_score(tmp_path):
    follow("A pruning score", tmp_path)
    run = RunDirectory(tmp_path / "runs" / "disc", "IMP")
    assert run.rounds() == [1, 2]
    mask = run.read_round(2).masks[0].W.reshape(3, 32, 32, 64)
    assert mask.sum() == 3 * 32 * 32 * 64 - int(0.97 * 3 * 32 * 32 * 64)
    rows, columns = np.nonzero(mask[0, :, :, 0])
    assert np.ptp(rows) <= 12 and np.ptp(columns) <= 12  # 3 % of the pixels lie within about 3 of the centre
    np.testing.assert_array_equal(run.read_round(2).masks[1].W, 1)


@pytest.mark.slow
def test_a_criterion(tmp_path):
    """Half of what is left goes in each round, what moved least, and a second look trains nothing."""
    for _ in range(2):
        follow("A criterion, round by round", tmp_path)
    run = RunDirectory(tmp_path / "runs" / "movement", "IMP")
    assert run.rounds() == [0, 1, 2]
    rounds = [run.read_round(number) for number in run.rounds()]
    assert [result.masks[0].W.mean() for result in rounds] == [1, 0.5, 0.25]
    for result, following in itertools.pairwise(rounds):
        start, end = (found.parameters[0].W for found in (rounds[0].checkpoints[0], result.checkpoints[-1]))
        moved, left, kept = np.abs(end - start), result.masks[0].W > 0, following.masks[0].W > 0
        assert not np.any(kept & ~left) and moved[kept].min() >= moved[left & ~kept].max()
        assert following.masks[0].b.all() and following.masks[1].W.all()


@pytest.mark.slow
def test_a_data_set(tmp_path):
    follow("A data set", tmp_path)
    for prefix in ("IMP", "clone"):
        run = RunDirectory(tmp_path / "runs" / "gratings", prefix)
        assert run.rounds() == [0, 1, 2] and run.read_round(0).masks[0].W.shape == (3072, 64)
        assert run.read_record()["images"].count("gratings") == 1
    assert RunDirectory(tmp_path / "runs" / "gratings", "IMP").read_round(2).best_validation_error < 0.05


def test_an_observable(tmp_path):
    masked_run(tmp_path / "runs" / "quickstart", True, 0.4)
    *tables, analysed = follow("An observable", tmp_path)
    for output in (*tables, analysed.partition("angle")[2].partition("\n\n")[0]):
        titles, *_, last = (re.split("  +", line.strip()) for line in output.splitlines() if "  " in line)
        assert titles[-2:] == ["overlap", "unused [%]"] and float(last[-1]) > 0


def test_an_observable_that_raises_leaves_the_rest(tmp_path, monkeypatch, capsys):
    """In tables and records, one line names it, the run and the round; what is no number is said in the same way."""
    wrong = [lambda result: 1 / 0, lambda result: "x", lambda result: result.number]
    for name, value in zip(("a", "b", "c"), wrong, strict=True):
        monkeypatch.setitem(OBSERVABLES, name, value)
    run = masked_run(tmp_path, True, 0.4, rounds=2)
    assert summary([str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert [line.split()[-3:] for line in shown.out.splitlines()[1:3]] == [["-", "-", "0.00"], ["-", "-", "1.00"]]
    where = f"sifting: {run}, round"
    assert shown.err.splitlines() == [
        line
        for number in (0, 1)
        for line in (
            f"{where} {number}: OBSERVABLES['a'] raises ZeroDivisionError: division by zero",
            f"{where} {number}: OBSERVABLES['b'] gives an object of class str; accepted: a number, nan included",
        )
    ]
    found = api.Run(run).history()
    assert found["c"].tolist() == found["round"].tolist() and np.isnan(found["a"]).all()
    text = history.header(run.read_round(0).specs, OBSERVABLES)
    assert text.endswith(",a,b,c\n") and list(found) == text.strip().split(",")
    monkeypatch.setitem(OBSERVABLES, "d", 3)
    with pytest.raises(InputError, match=r"OBSERVABLES\['d'\] is 3; accepted: a function of a round, or an Observable"):
        api.Run(run).history()
    experiment = api.load_experiment(changes={"Network.arch": "f4:x", "IMP.prune_ratio": 0.5})
    with pytest.raises(InputError, match=r"OBSERVABLES\['d'\] is 3"):  # before anything is trained
        plan(experiment)
    monkeypatch.delitem(OBSERVABLES, "d")
    for name in ("density", "connected_1", "a,b"):
        monkeypatch.setitem(OBSERVABLES, name, len)
        with pytest.raises(InputError, match=f"'{name}'.: accepted: a name that no column of PREFIX_history.csv has"):
            api.Run(run).history()
        monkeypatch.delitem(OBSERVABLES, name)


@pytest.mark.slow
def test_a_figure(tmp_path):
    quickstart = "inputs/quickstart.in inputs/small.in --set IO.prefix=IMP"  # of seconds, in place of a minute's
    assert execute(f"python -m sifting.run {quickstart}", tmp_path).returncode == 0
    follow("A figure", tmp_path)
    for picture in (tmp_path / "runs" / "quickstart" / "IMP_widths.png", tmp_path / "figures" / "small" / "widths.png"):
        written = json.loads(picture.with_suffix(".json").read_text())
        assert written["figure"] == "widths" and written["title"].startswith("RF width of the nodes")
        assert len(written["numbers"]["C_in"]) == len(written["numbers"]["width"]) > 0
        assert picture.stat().st_size > 5000


def test_every_section_is_tested():
    assert list(SECTIONS) == [
        "A pruning score",
        "A criterion, round by round",
        "A data set",
        "An observable",
        "A figure",
    ]


def test_parts_of_analyse_are_no_registry():
    from postprocess.analyse import PARTS

    line = r"sifting_extensions.py: PARTS\['mine'\]; accepted: OBSERVABLES\['mine'\] of postprocess.observables, a fun"
    with pytest.raises(InputError, match=line):
        PARTS["mine"] = len


def test_where_the_extension_is_missing_the_line_says_so(refuse, in_tmp_path):
    (in_tmp_path / "own.in").write_text("[Disc]\n")
    line = refuse("own.in")
    assert "[Disc]: unknown section; accepted: [IO]," in line
    needs = "a section of your own needs its sifting_extensions.py in this folder or on PYTHONPATH"
    assert line.endswith(f"[Scale]; {needs}")


# --- method sections -----------------------------------------------------------------------------------------------


class Base(Scored):
    def score(self, network, x, labels):
        return {}


class Misspelt(Scored):
    def scores(self, network, x, labels):
        return {}


class Undecorated(Base):
    seed: int = key(0, integer(0), "of the centres")


class WithoutType(Base):
    seed = key(0, integer(0), "of the centres")


@dataclass(frozen=True)
class Plain(Base):
    seed: int = 0


CLASS = "a class that derives from sifting.methods.Scored or ScoredRounds"
DECORATOR = "has the key seed, but is no dataclass; accepted: @dataclass(frozen=True) above class"


def test_a_class_that_cannot_be_a_section(tmp_path, monkeypatch):
    for name, registered, problem in [
        ("Misspelt", Misspelt, "has no score; accepted: a class that defines it as a method"),
        ("Undecorated", Undecorated, f"{DECORATOR} Undecorated"),
        ("WithoutType", WithoutType, f"{DECORATOR} WithoutType"),
        ("Plain", Plain, "does not say what seed accepts; accepted: a key(default, kind, help) of sifting.methods"),
        ("Ring", Base, "is the class Base; accepted: METHODS['Base'], the name of the class"),
        ("Facts", Facts, f"is <class 'sifting.datasets.source.Facts'>; accepted: {CLASS}"),
        ("Disc", None, f"is None; accepted: {CLASS}"),
    ]:
        with monkeypatch.context() as patch:
            patch.setitem(METHODS, name, registered)
            with pytest.raises(InputError) as error:
                read_experiment([str(write_input(tmp_path))])
        assert str(error.value) == f"sifting_extensions.py: METHODS[{name!r}] {problem}"


def test_a_class_without_keys_needs_no_decorator_and_is_a_section_while_it_is_registered(tmp_path, monkeypatch):
    (tmp_path / "base.in").write_text("[Network]\narch = f4:x\n[Base]\nsparsity = 0.5\n")
    with monkeypatch.context() as patch:
        patch.setitem(METHODS, "Base", Base)
        assert read_experiment([str(tmp_path / "base.in")]).method == Base(prune=(True, True), sparsity=(0.5,))
    with pytest.raises(InputError, match=r"\[Base\] .*unknown section; accepted: .*\[Cavity\], \[Scale\];"):
        read_experiment([str(tmp_path / "base.in")])


# --- scores --------------------------------------------------------------------------------------------------------


GOOD = np.zeros((3072, 4))
LAYERS = "a dict from layer to Mask, for some of [0], which [Disc] prune names"


@pytest.mark.parametrize(
    ("scores", "line"),
    [
        (None, f"None; accepted: {LAYERS}"),
        (GOOD, f"float64 [3072, 4]; accepted: {LAYERS}"),
        ({}, f"scores for []; accepted: {LAYERS}"),
        ({0: Mask(GOOD), 1: Mask(np.zeros((4, 10)))}, f"scores for [0, 1]; accepted: {LAYERS}"),
        ({0: GOOD}, "float64 [3072, 4] for layer 0; accepted: a Mask of scores"),
        ({0: Mask(GOOD.T)}, "W = float64 [4, 3072] for layer 0; accepted: an array of numbers [3072, 4]"),
        ({0: Mask(GOOD.astype(str))}, "W = <U32 [3072, 4] for layer 0; accepted: an array of numbers [3072, 4]"),
        ({0: Mask([1.0])}, "W = an object of class list for layer 0; accepted: an array of numbers [3072, 4]"),
        ({0: Mask(GOOD, np.zeros(5))}, "b = float64 [5] for layer 0; accepted: an array of numbers [4]"),
    ],
)
def test_scores_that_do_not_fit_the_network(scores, line):
    with pytest.raises(InputError) as error:
        checked_scores("Disc", scores, MaskedNetwork(SPECS, (3, 32, 32), {}, made_round(0).masks))
    assert str(error.value) == f"[Disc] score gives {line}"


# --- data sets -----------------------------------------------------------------------------------------------------

FACTS = Facts(train_images=20, val_images=10, shape=(3, 4, 4), classes=2)
IMAGES = ImageSet(
    images=np.zeros((20, 48), np.uint8),
    labels=np.zeros(20, np.int32),
    val_images=np.zeros((10, 48), np.uint8),
    val_labels=np.ones(10, np.int32),
    mean=np.zeros(48, np.float32),
    shape=(3, 4, 4),
    classes=2,
    source="gratings",
)


class Gratings:
    """A data set that agrees with its facts."""

    def __init__(self, facts=FACTS, images=IMAGES):
        self._facts, self._images = facts, images

    def facts(self, data):
        return self._facts

    def identity(self, experiment):
        return {"dataset": "Gratings"}

    def load(self, experiment, report):
        return self._images


class WithoutFacts:
    identity, load = Gratings.identity, Gratings.load


@pytest.fixture
def gratings(tmp_path, monkeypatch):
    """gratings(registered, *changes) -> the experiment of a data set Gratings."""

    def gratings(registered, *changes):
        monkeypatch.setitem(DATASETS, "Gratings", registered)
        return read_experiment([str(write_input(tmp_path, "Data.dataset=Gratings", "Network.val_size=5", *changes))])

    return gratings


SOURCE = "accepted: an object, not a class, with the methods facts, identity and load"
OF_FACTS = "accepted: Facts of sifting.datasets.source, shape (channels, height, width)"


def test_a_data_set_that_is_none_is_refused_before_it_is_loaded(gratings):
    wrong = dataclasses.replace(FACTS, shape=(4, 4))
    for registered, problem in [
        (Gratings, f" is an object of class type; {SOURCE}"),
        (WithoutFacts(), f" is an object of class WithoutFacts; {SOURCE}"),
        (Gratings((20, 10)), f": facts gives (20, 10); {OF_FACTS}"),
        (Gratings(wrong), f": facts gives {wrong!r}; {OF_FACTS}"),
    ]:
        with pytest.raises(DataError) as error:
            datasets.planned(gratings(registered))
        assert str(error.value) == f"sifting_extensions.py: DATASETS['Gratings']{problem}"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"shape": (3, 8, 8)}, "shape = (3, 8, 8); accepted: (3, 4, 4), as facts says"),
        ({"classes": 3}, "classes = 3; accepted: 2, as facts says"),
        ({"mean": np.zeros(48)}, "mean = float64 [48]; accepted: float32 [48]"),
        ({"images": np.zeros((20, 16), np.uint8)}, "images = uint8 [20, 16]; accepted: uint8 [20, 48]"),
        ({"val_images": None}, "val_images = None; accepted: uint8 [10, 48]"),
        ({"images": np.zeros((25, 48), np.uint8)}, "images = uint8 [25, 48]; accepted: uint8 [20, 48]"),
        ({"labels": np.zeros(19, np.int32)}, "labels = int32 [19]; accepted: int32 [20]"),
        ({"labels": np.full(20, 2, np.int32)}, "labels from 2 to 2; accepted: 0 to 1"),
        ({"val_labels": np.full(10, -1, np.int32)}, "val_labels from -1 to -1; accepted: 0 to 1"),
    ],
)
def test_images_that_are_not_as_facts_says(gratings, changes, problem):
    """Also where a transformation reads them first."""
    for clone in ("none", "gaussian"):
        experiment = gratings(Gratings(images=dataclasses.replace(IMAGES, **changes)), f"Data.clone={clone}")
        with pytest.raises(DataError) as error:
            datasets.load(experiment, lambda line: None)
        assert str(error.value) == f"[Data] dataset = Gratings: load gives {problem}"


def test_images_that_are_no_image_set(gratings):
    with pytest.raises(DataError, match="load gives an object of class tuple; accepted: sifting.datasets.image_set.Im"):
        datasets.load(gratings(Gratings(images=(IMAGES.images, IMAGES.labels))), lambda line: None)


def test_images_that_are_as_facts_says(gratings):
    found = datasets.load(gratings(Gratings()), pytest.fail)
    np.testing.assert_array_equal(found.images, IMAGES.images)
    np.testing.assert_array_equal(found.val_labels, np.ones(5))


def test_a_typo_in_the_name_of_a_data_set_lists_ones_own(gratings, monkeypatch):
    accepted = (
        "'Grating': accepted: ImageNet32 or ImageNet64 or CIFAR10 or EdgeCollage32 or npz or folder or hf or Gratings"
    )
    with pytest.raises(InputError) as error:
        gratings(Gratings(), "Data.dataset=Grating")
    needs = "; a data set of your own needs its sifting_extensions.py in this folder or on PYTHONPATH"
    assert str(error.value).endswith(accepted + needs)
    monkeypatch.setitem(sys.modules, extensions.NAME, ModuleType(extensions.NAME))
    with pytest.raises(InputError) as error:
        gratings(Gratings(), "Data.dataset=Grating")
    assert str(error.value).endswith(accepted)


# --- figures -------------------------------------------------------------------------------------------------------

TITLE, ROLES, DRAW = '"""Widths."""\n', "ROLES = {}\n", "def draw(runs, options):\n    return None\n"
NO_MODULE = "accepted: the name of a module in this folder or on PYTHONPATH, without .py"
NO_FIGURE = (
    "accepted: a module with a docstring, ROLES, such as {'imp': 'inputs/quickstart.in'}, and draw(runs, options)"
)
FIGURE_PROBLEMS = [
    ("no_module", None, "there is no module no_module; " + NO_MODULE),
    ("no_folder.widths", None, "there is no module no_folder; " + NO_MODULE),
    ("own_1.py", TITLE + ROLES + DRAW, "there is no module own_1.py; " + NO_MODULE),
    ("own_2", ROLES + DRAW, NO_FIGURE),
    ("own_3", TITLE + DRAW, NO_FIGURE),
    ("own_4", TITLE + "ROLES = ['imp']\n" + DRAW, NO_FIGURE),
    ("own_5", TITLE + ROLES, NO_FIGURE),
]


@pytest.fixture
def own_figure(in_tmp_path, monkeypatch):
    """own_figure(module, code) registers a figure "widths"."""
    monkeypatch.setattr(ahead, "measured_rate", lambda experiment: Rate(1.0, 1.0))

    def own_figure(module: str, code: str | None) -> None:
        if code is not None:
            Path(f"{module.removesuffix('.py')}.py").write_text(code)
        monkeypatch.syspath_prepend(in_tmp_path)
        monkeypatch.setitem(FIGURES, "widths", module)

    return own_figure


def test_a_module_that_is_no_figure(own_figure, refusal, monkeypatch):
    for module, code, problem in FIGURE_PROBLEMS:
        own_figure(module, code)
        for command in (figures, reproduce.main):
            assert f"sifting_extensions.py: FIGURES['widths'] = {module!r}: {problem}" in refusal(command, "widths")
    monkeypatch.setitem(FIGURES, "widths", len)
    assert "FIGURES['widths'] is <built-in function len>; accepted: the name of a module" in refusal(figures, "widths")


def test_a_module_that_the_figure_misses_is_a_matter_of_its_own(own_figure):
    own_figure("own_6", TITLE + "import no_such_module\n" + ROLES + DRAW)
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        figures(["widths"])


def test_a_list_has_all_other_figures(own_figure, capsys):
    others = set(FIGURES)
    own_figure("no_module", None)
    for command in (figures, reproduce.main):
        assert command(["--list"]) == 0
        *lines, last = capsys.readouterr().out.splitlines()
        assert last == f"widths: sifting_extensions.py: FIGURES['widths'] = 'no_module': {FIGURE_PROBLEMS[0][2]}"
        assert others <= {line.split()[0] for line in lines} <= others | {"figure", "all"}
    own_figure("own_7", TITLE + "ROLES = {'imp': 'own.in'}\n" + DRAW)
    assert reproduce.main(["--list"]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert last == "widths: of input files that are not here; accepted: postprocess.figures widths RUN_DIR"


def test_what_draw_gives(own_figure, tmp_path, refusal):
    for number, (result, given) in enumerate(
        [
            ("None", "None"),
            ("Figure()", "an object of class Figure"),
            ("Figure(), [1]", "an object of class Figure and an object of class list"),
            ("Figure().subplots(), {}", "an object of class Axes and an object of class dict"),
        ]
    ):
        code = f"from matplotlib.figure import Figure\n{ROLES}\ndef draw(runs, options):\n    return {result}\n"
        own_figure(f"drawing_{number}", TITLE + code)
        expected = f"widths: draw gives {given}; accepted: a Figure and a dict of its numbers\n"
        assert refusal(figures, "widths").endswith(expected) and not list(tmp_path.glob("widths.*"))
