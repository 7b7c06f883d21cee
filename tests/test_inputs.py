"""Input files: what layering, --set and [Scale] give, and that the reference's files mean what they meant."""

import dataclasses
from pathlib import Path

import pytest
from synthetic import write_input

from sifting import inputs, methods
from sifting.architecture import LayerToken
from sifting.experiment.sections import Reclass
from sifting.inputs import read_experiment

ROOT = Path(__file__).parent.parent
SMALL = ROOT / "inputs" / "small.in"

MINIMAL = "[Network]\narch = f8:x\n[IMP]\n"

# The keys of the reference and their defaults, as its users know them; of those that have any.
REFERENCE_DEFAULTS = """
IO.save_dir=. IO.prefix=IMP
Data.dataset=ImageNet32 Data.dataloc=./ImageNet Data.preload=true Data.data_ratio=1.0 Data.reclass=n
Network.steps=100000 Network.batch_size=1000 Network.val_size=1000 Network.validate_step=100 Network.minimizer=SGD
Network.learning_rate=0.1 Network.init_sparsity=0.0 Network.batch_norm_beta=0.99
Network.restart=false Network.rest_it=1 Network.restart_weights_step=-1
IMP.prune=T:T IMP.prune_ratio=0.3 IMP.weights_step=1000 IMP.prune_step=100000
IMP.stop_ratio=0.0 IMP.max_iterations=1000
"""


@pytest.fixture
def read(tmp_path):
    """read(text, ..., assignments=[]): the experiment of files with these texts: 0.in, 1.in, ..."""

    def reader(*texts, assignments=()):
        paths = [tmp_path / f"{number}.in" for number in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text)
        return read_experiment(list(map(str, paths)), assignments)

    return reader


# --- the reference's files -----------------------------------------------------------------------------------------


def sample_file(data: str) -> str:
    """A file in the words of the reference's public samples, which differ in [Data] alone."""
    return f"""
[IO]
save_dir = .
prefix   = IMP

{data}

[Network]
arch          = f1024:f1024:f1024:x   # three hidden layers
steps         = 100000
batch_size    = 1000
val_size      = 10000
validate_step = 100
minimizer     = SGD
learning_rate = 1e-1

[IMP]
prune        = T:T:T:F
prune_ratio  = 0.3
weights_step = 1000
stop_ratio   = 0.2
"""


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("", {}),
        ("[Data]", {}),
        ("[Data]\ndata_ratio = 0.3", {"data_ratio": 0.3}),
        ("[Data]\nreclass = m,10", {"reclass": Reclass("m", 10)}),
        ("[Data]\nreclass = f,10,classes.dat", {"reclass": Reclass("f", 10, "classes.dat")}),
    ],
)
def test_sample_files_of_the_reference_run_unchanged(read, data, expected):
    experiment = read(sample_file(data))
    hidden = LayerToken("f", (1024,))
    assert experiment.network.arch == (hidden, hidden, hidden, LayerToken("x", ()))
    assert vars(experiment.network) == vars(inputs.Network(experiment.network.arch)) | {"val_size": 10000}
    assert experiment.method == methods.IMP((True, True, True, False), prune_step=100000, stop_ratio=0.2)
    assert experiment.data == dataclasses.replace(inputs.Data(), **expected, image_size=32, collage_classes=10)
    assert experiment.io == inputs.IO()


def test_defaults_are_those_of_the_reference(read):
    settings = read(MINIMAL).settings()
    found = {f"{section}.{key}={text}" for section, keys in settings.items() for key, (_, text) in keys.items()}
    assert found >= set(REFERENCE_DEFAULTS.split())
    assert not settings["Network"].keys() & {"rest_weights_file", "rest_mask_file"}


def test_defaults_that_depend_on_other_keys(read):
    """prune_step follows steps, prune the depth of arch, the files of a restart save_dir and rest_it."""
    experiment = read(
        "[IO]\nsave_dir = there\nprefix = mine\n[Network]\narch = c3,4:p2,2:f8:x\nsteps = 5000\nrestart = yes\n"
        "rest_it = 4\n[IMP]\n"
    )
    assert experiment.method.prune == (True,) * 4 and experiment.method.prune_step == 5000
    assert Path(experiment.network.rest_weights_file) == Path("there/mine_itdata_0.pkl")
    assert Path(experiment.network.rest_mask_file) == Path("there/mine_itdata_3.pkl")


METHOD_DEFAULTS = {
    "OneShot": {"weights_step": 1000, "prune_step": 100000, "scope": "layerwise", "dense_run": None, "rounds": None},
    "SNIP": {"images": 10000, "scope": "global", "moments": "batch", "dense": True, "prune": (True, True)},
    "SynFlow": {"iterations": 100, "scope": "global", "dense": True, "prune": (True, True)},
    "Random": {"scope": "layerwise", "weights_step": 0, "dense": True, "like": None},
    "GraSP": {"images": 10000, "scope": "global", "temperature": 200.0, "moments": "batch", "dense": True},
    "LayerByLayer": {"layers": 2, "first_layer": 1, "freeze": "mask_and_weights", "prune_ratio": 0.3},
    "Cavity": {"prune": (True, False), "images": 10000, "prune_ratio": 0.3, "weights_step": 1000},
}


def test_defaults_of_the_other_methods(read):
    """As docs/methods.md and the papers say. The sections with levels have no default for these."""
    for name, expected in METHOD_DEFAULTS.items():
        levels = "" if name in ("LayerByLayer", "Cavity") else "sparsity = 0.9\n"
        experiment = read(f"[Network]\narch = f8:x\n[{name}]\n{levels}")
        assert experiment.method_name == name and type(experiment.method) is methods.METHODS[name]
        assert {key: getattr(experiment.method, key) for key in expected} == expected


def test_where_a_restart_begins_by_default(read):
    """Round by round: behind the round before; methods with levels: at the dense one."""
    for name, number in (("IMP", 4), ("Cavity", 4), ("SNIP", 0), ("OneShot", 0)):
        levels = "prune_ratio = 0.3\nrounds = 9\n" if number == 0 else ""
        text = f"[Network]\narch = f8:x\nrestart = yes\nrest_it = 5\n[{name}]\n{levels}"
        assert Path(read(text).network.rest_mask_file) == Path(f"IMP_itdata_{number}.pkl")


def test_levels_are_given_in_two_ways(read):
    """The levels of [IMP]: 0.3 of what remains goes, again and again."""
    text = "[Network]\narch = f8:x\ninit_sparsity = 0.1\n[SynFlow]\n"
    assert read(text + "sparsity = 0.3, 0.51,0.972\n").method.levels(0.1) == (0.3, 0.51, 0.972)
    assert read(text + "sparsity = 0.9\n").method.levels(0.1) == (0.9,)
    by_ratio = read(text + "prune_ratio = 0.3\nrounds = 3\n").method
    assert by_ratio.levels(0.1) == pytest.approx((0.37, 0.559, 0.6913), abs=1e-15)
    imp = read(text.replace("SynFlow", "IMP") + "max_iterations = 4\n").method
    assert list(imp.sparsities(0.1)) == list(by_ratio.sparsities(0.1)) == [0.1, *by_ratio.levels(0.1)]


def test_both_names_of_restart_weights_step(read):
    assert read(MINIMAL.replace("[IMP]", "rest_file_step = 2\n[IMP]")).network.restart_weights_step == 2
    layered = read(MINIMAL.replace("[IMP]", "restart_weights_step = 2\n[IMP]"), "[Network]\nrest_file_step = 0\n")
    assert layered.network.restart_weights_step == 0


SPELLINGS = [
    ("Network.steps", "1e5", 100000),
    ("Network.steps", "3.0e3", 3000),
    ("Network.learning_rate", "1E-1", 0.1),
    ("Network.restart", "no", False),
    ("Data.preload", "False", False),
    ("Data.preload", "on", True),
    ("Data.reclass", "m , 10", Reclass("m", 10)),
    ("Data.reclass", "f,10,folder with, comma/classes.dat", Reclass("f", 10, "folder with, comma/classes.dat")),
    ("IO.save_dir", "results/50%", "results/50%"),
    ("IO.prefix", "run#3", "run#3"),
    ("IMP.weights_step", "0", 0),
    ("IMP.prune", "T : F", (True, False)),
    ("IMP.prune", "T", (True,)),
    ("Network.STEPS", "2000", 2000),
    ("Network.init_deviation", "layer", "layer"),
    ("Network.init_deviation", "2e-2", 0.02),
]


def test_spellings(read):
    for key, text, value in SPELLINGS:
        section, _, name = key.partition(".")
        for experiment in (
            read(MINIMAL, f"[{section}]\n{name} = {text}  # a comment\n"),
            read(MINIMAL, assignments=[f"{key}={text}"]),
        ):
            found = getattr(experiment.sections()[section], name.lower())
            assert found == value and type(found) is type(value)


# --- layers --------------------------------------------------------------------------------------------------------


def test_later_files_and_then_assignments_override_key_by_key(read):
    base = "[Network]\narch = f8:x\nsteps = 5000\nbatch_size = 50\nval_size = 7\n[IMP]\nprune_ratio = 0.5\n"
    experiment = read(
        base,
        "[Network]\nsteps = 6000\nbatch_size = 60\n[IO]\nprefix = second\n",
        "[Network]\nbatch_size = 70\n",
        assignments=["Network.batch_size=80", "Network.seed=3", "Network.seed = 4"],
    )
    network = experiment.network
    assert (network.val_size, network.steps, network.batch_size, network.seed) == (7, 6000, 80, 4)
    assert experiment.io.prefix == "second" and experiment.method.prune_ratio == 0.5


def test_the_method_may_stand_in_any_file(read):
    assert read("[Network]\narch = f8:x\n", "[IMP]\nprune_ratio = 0.2\n").method.prune_ratio == 0.2
    assert read("[Network]\narch = f8:x\n", assignments=["IMP.prune_ratio=0.2"]).method.prune_ratio == 0.2


def test_a_wrong_value_that_is_overridden_does_no_harm(read):
    """What counts is the merged file; so a base file may leave something for the user to fill in."""
    assert read(MINIMAL.replace("f8:x", "TO BE CHOSEN"), "[Network]\narch = f9:x\n").network.arch[0].numbers == (9,)


# --- [Scale] -------------------------------------------------------------------------------------------------------

SCALED = """
[Network]
arch = c3,64,2:p2,2:f1024:f256:x
steps = 100000
batch_size = 1000
val_size = 10000
validate_step = 200
[IMP]
weights_step = 2000
prune_step = 50000
"""


def test_scale_multiplies_widths_steps_batch_and_images(read):
    """Kernel sizes, strides and pooling windows stay; so do depth, pruning settings and learning rate."""
    plain = read(SCALED)
    scaled = read(SCALED, "[Scale]\nwidth = 0.125\nsteps = 0.02\nbatch = 0.1\nimages = 0.25\n")
    assert ":".join(map(str, scaled.network.arch)) == "c3,8,2:p2,2:f128:f32:x"
    changed = {"steps": 2000, "validate_step": 4, "batch_size": 100, "val_size": 2500, "arch": scaled.network.arch}
    assert vars(scaled.network) == vars(plain.network) | changed
    assert vars(scaled.method) == vars(plain.method) | {"weights_step": 40, "prune_step": 1000}
    assert vars(scaled.data) == vars(plain.data) | {"data_ratio": 0.25}
    assert scaled.io == plain.io


def test_scale_multiplies_the_number_of_embedded_images(read):
    collage = SCALED + "[Data]\ndataset = EdgeCollage32\ncollage_images = 60000\ncollage_val_images = 20000\n"
    scaled = read(collage, "[Scale]\nimages = 0.25\n")
    changed = {"collage_images": 15000, "collage_val_images": 5000}
    assert vars(scaled.data) == vars(read(collage).data) | changed and scaled.network.val_size == 2500


def test_scale_acts_on_the_merged_file_wherever_it_stands(read):
    scale = "[Scale]\nwidth = 0.5\nsteps = 0.1\n"
    for texts in ([scale, SCALED], [SCALED, scale], [SCALED + scale]):
        assert read(*texts).network.steps == 10000
        assert read(*texts, assignments=["Network.steps=200000"]).network.steps == 20000
        assert read(*texts, assignments=["Scale.steps=1"]).network.steps == 100000


def test_scale_keeps_zero_zero_and_positive_numbers_positive(read):
    tiny = "[Scale]\nwidth = 1e-9\nbatch = 1e-9\nsteps = 1e-4\n"
    scaled = read(SCALED, "[IMP]\nweights_step = 0\n", tiny)
    assert scaled.method.weights_step == 0 and scaled.network.validate_step == 1
    assert ":".join(map(str, scaled.network.arch)) == "c3,1,2:p2,2:f1:f1:x"
    assert scaled.network.batch_size == 2  # batch normalisation needs two
    for factor, step in ((1e-3, 2), (9e-4, 2), (7e-4, 1)):  # 2, 1.8, 1.4: rounded
        assert read(SCALED, f"[Scale]\nsteps = {factor}\n").method.weights_step == step


def test_scale_multiplies_the_steps_and_images_of_every_method(read):
    """The sparsities, ratios and numbers of rounds and iterations stay."""
    for name, keys, scaled in [
        ("OneShot", "sparsity = 0.5\nweights_step = 1000", {"weights_step": 20, "prune_step": 2000}),
        ("Random", "sparsity = 0.5\nweights_step = 1000", {"weights_step": 20}),
        ("Random", "sparsity = 0.5", {"weights_step": 0}),
        ("SNIP", "prune_ratio = 0.3\nrounds = 7", {"images": 2500}),
        ("GraSP", "sparsity = 0.5\nimages = 4", {"images": 2}),  # batch normalisation needs two
        ("SynFlow", "sparsity = 0.5\niterations = 50", {}),
        ("LayerByLayer", "prune_step = 50000", {"weights_step": 20, "prune_step": 1000}),
        ("Cavity", "weights_step = 3000", {"weights_step": 60, "images": 2500}),
    ]:
        text = f"[Network]\narch = f8:x\n[{name}]\n{keys}\n"
        found = read(text, "[Scale]\nsteps = 0.02\nimages = 0.25\nbatch = 0.1\nwidth = 2\n").method
        assert vars(found) == vars(read(text).method) | scaled, name


# --- writing -------------------------------------------------------------------------------------------------------

ROUND_TRIPS = [
    "[IMP]\nscope = global\nprune_step = 77777\n[Network]\nseed = 5\nlearning_rate = 3e-4\ninit_deviation = common\n",
    "[IMP]\nprune = T\n[Data]\nreclass = f,10,classes.dat\ndata_ratio = 0.30000000000000004\n[IO]\nprefix = é#1\n",
    "[IMP]\n[Network]\nrestart = 1\nrest_it = 3\nrest_mask_file = other/IMP_itdata_2.pkl\n",
    "[IMP]\n[Scale]\nwidth = 0.25\nsteps = 0.1\nimages = 0.1\n[Network]\narch = c3,8,1:c3,8:p2,2:f16:x\n",
    "[OneShot]\nprune_ratio = 0.3\nrounds = 4\ndense_run = runs/imp 1\nscope = global\n",
    "[SNIP]\nsparsity = 0.1, 0.30000000000000004\nmoments = initial\ndense = no\nimages = 50\n",
    "[SynFlow]\nsparsity = 0.9\niterations = 7\n[Network]\ninit_deviation = 0.07\n",
    "[Random]\nlike = runs/imp\nweights_step = 7\n",
    "[LayerByLayer]\nlayers = 1\nfreeze = mask\nstop_ratio = 0.25\n[IO]\ncheckpoint_seconds = 0.5\n",
    "[GraSP]\nsparsity = 0.9, 0.99\ntemperature = 0.1\nscope = layerwise\n",
    "[Cavity]\nimages = 77\nmax_iterations = 3\n",
]


@pytest.mark.parametrize("text", ROUND_TRIPS)
def test_the_resolved_file_gives_the_same_experiment(read, tmp_path, text):
    """Also a scaled one, which must not be scaled twice; and the seed stays open where it was open."""
    experiment = read("[Network]\narch = f8:x\n", text)
    path = tmp_path / "resolved.in"
    path.write_text(experiment.to_text(), encoding="utf-8")
    again = read_experiment([str(path)])
    assert again == experiment and again.to_text() == experiment.to_text()


# --- documentation and the files of the repository -----------------------------------------------------------------


def test_the_tables_of_the_documentation_are_those_of_the_code():
    """When this fails: python -m sifting.inputs prints the tables that belong there."""
    text = (ROOT / "docs" / "input.md").read_text()
    assert inputs.markdown_tables() in text
    assert text.count("\n## [") == len(inputs.SECTIONS)


def test_the_clone_of_the_quickstart_differs_in_nothing_else():
    quickstart, clone = (
        read_experiment([str(ROOT / "inputs" / name)]) for name in ("quickstart.in", "quickstart_clone.in")
    )
    assert clone.data.clone == "gaussian" and clone.io.save_dir == "runs/quickstart_clone"
    same = clone.replace("Data", clone="none").replace("IO", save_dir=quickstart.io.save_dir)
    assert same == quickstart and quickstart.network.seed is not None


def test_small_in_shrinks_the_main_experiment():
    small = read_experiment([str(ROOT / "inputs" / "imp_3l1k.in"), str(SMALL)])
    assert ":".join(map(str, small.network.arch)) == "f128:f128:f128:x"
    assert (small.network.steps, small.network.batch_size, small.network.val_size) == (1500, 100, 2000)
    assert (small.method.weights_step, small.method.prune_step) == (15, 1500)
    assert (small.data.collage_images, small.data.collage_val_images) == (12000, 10000)
    assert small.io.prefix == "small"
    assert (small.method.prune_ratio, small.method.stop_ratio) == (0.3, 0.2)


def test_an_empty_value_unsets_a_way_to_give_levels(tmp_path):
    """So that an override, or --set, can choose another way: sparsity in the file, like on the command line."""
    path = write_input(tmp_path, method="Random")
    assert read_experiment([str(path)]).method.sparsity
    method = read_experiment([str(path)], ["Random.sparsity=", "Random.like=somewhere"]).method
    assert method.sparsity is None and method.like == "somewhere"
