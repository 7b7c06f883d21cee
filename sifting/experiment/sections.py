"""The sections that every input file can have: one frozen dataclass each, every key with its type, range, default and
help. Those that name a method are in sifting.methods."""

from dataclasses import dataclass

from sifting import architecture
from sifting.experiment.keys import (
    FRACTION,
    LARGEST_INTEGER,
    POSITIVE,
    Kind,
    anything,
    boolean,
    choice,
    integer,
    key,
    number,
    path,
    text,
    whole_choice,
)

RECLASS_NAMES = ("semantic", "random", "5semantic5random", "partial_semantic")
NAMED_CLASSES = 10
MOMENT_IMAGES = 2000  # of validation_moments = exact, see docs/fidelity.md


@dataclass(frozen=True)
class Reclass:
    """A map of the data set's classes c = 0, 1, ... to `classes` new ones.

    rule: "n" none; "m" c mod classes; "f" `file` holds a comma-separated class id for every c; or one of
    RECLASS_NAMES, see datasets.reclass.
    """

    rule: str = "n"
    classes: int = 0
    file: str = ""

    def __str__(self) -> str:
        if self.rule in RECLASS_NAMES:
            return self.rule
        return ",".join(
            [self.rule, *([str(self.classes)] if self.classes else []), *([self.file] if self.file else [])]
        )


def _parse_reclass(value: str) -> Reclass:
    rule, *rest = (part.strip() for part in value.split(",", 2))
    if rule == "n" and not rest:
        return Reclass()
    if rule in RECLASS_NAMES and not rest:
        return Reclass(rule, NAMED_CLASSES)
    if len(rest) != {"m": 1, "f": 2}.get(rule):
        raise ValueError
    classes = integer(2).parse(rest[0])
    return Reclass(rule, classes, path("a file").parse(rest[1]) if rule == "f" else "")


ARCH = Kind(architecture.parse_arch, architecture.ACCEPTED, lambda tokens: ":".join(map(str, tokens)))
RECLASS = Kind(_parse_reclass, f"n, or m,K, or f,K,FILE with K >= 2 classes, or {', or '.join(RECLASS_NAMES)}")


DEVIATION = Kind(
    lambda value: value if value in ("layer", "common") else POSITIVE.parse(value), "layer, common, or a number > 0"
)
DATASET = Kind(str, "the name of a data set, see docs/data.md")  # datasets.DATASETS has the names


def _same_order(recorded: str, new: str) -> bool:
    """Files may move between two parts of a run, but TensorFlow Datasets has the images in another order."""
    return (recorded.partition(":")[0] == "tfds") == (new.partition(":")[0] == "tfds")


@dataclass(frozen=True)
class IO:
    """Where results go."""

    save_dir: str = key(".", path("a folder"), "output folder, created if missing")
    prefix: str = key(
        "IMP",
        text("a file name without '/'", lambda value: value != "" and "/" not in value),
        "prefix of every output file; several runs with different prefixes can share a folder",
    )
    checkpoint_seconds: float = key(
        300.0,
        number("a number of seconds >= 0", lambda value: value >= 0),
        "time between two checkpoints of the round in progress",
    )
    cache_dir: str = key(
        "", path("a folder", lambda value: True), "folder of prepared images; empty: the user's cache folder"
    )
    check_resources: bool = key(
        True, boolean(), "refuse what takes more memory or disk than is free, by the estimates of --dry_run"
    )
    tensorboard: bool = key(
        True, boolean(), "write event files into save_dir/PREFIX_tensorboard, see docs/interoperability.md"
    )


@dataclass(frozen=True)
class Data:
    """Which images, and which classes."""

    dataset: str = key(
        "ImageNet32",
        DATASET,
        "the images; EdgeCollage32 is made on the spot and needs no files; npz, folder: your own; hf: of Hugging Face",
    )
    dataloc: str = key(
        "./ImageNet",
        path("a folder, an .npz file, tfds, tfds:DATA_DIR, or a name on Hugging Face"),
        "ImageNet32/64, CIFAR10: folder of the unpacked official files; or what TensorFlow Datasets has prepared, in "
        "its default folder or in DATA_DIR; npz: the file; folder: the folder of class folders; hf: NAME, "
        "NAME:CONFIG or a folder; see docs/data.md",
        continues=_same_order,
    )
    image_size: int = key(
        None,
        integer(1, 1024),
        "folder, hf: images are cropped and shrunk to squares of so many pixels; default: 32, but hf as they are",
    )
    preload: bool = key(
        True,
        boolean(),
        "true: all images on the device, as uint8; false: streamed from disk, same results",
        continues=anything,
    )
    data_ratio: float = key(
        1.0,
        number("a number > 0 and <= 1", lambda value: 0 < value <= 1),
        "fraction of the training images: the first int(ratio*n) in file order",
    )
    reclass: Reclass = key(
        Reclass(),
        RECLASS,
        "class map of c = 0, 1, ...: n none; m,K c mod K; f,K,FILE ids 0..K-1 of all c, comma-separated, from FILE "
        "(relative to the working directory); names: ten super-classes of ImageNet's 1000 classes, see docs/data.md",
    )
    clone: str = key(
        "none", choice("none", "gaussian"), "gaussian: replace the images by a Gaussian clone per class and channel"
    )
    clone_images: int = key(
        100000, integer(2), "number of training images, the first ones, to which the clone is fitted"
    )
    clone_images_per_class: int = key(
        None, integer(2), "if given, instead of clone_images: the first so many training images of each class"
    )
    clone_ridge: float = key(
        0.0,
        number("a number >= 0", lambda value: value >= 0),
        "added to the variance of each pixel of the clone, in squared grey levels",
    )
    clone_seed: int = key(0, integer(0), "seed of the clone's samples")
    rotate: float = key(
        0.0,
        number("any number of degrees", lambda value: True),
        "degrees by which all images are turned counter-clockwise; the input of pixels without a source is 0, see "
        "docs/data.md",
    )
    translate: int = key(
        0,
        integer(0),
        "training images are shifted down and to the right, each by 0 to so many pixels, drawn anew in every step, "
        "with periodic boundaries; less than the size of the images; not for convolutions",
    )
    collage_class: str = key(
        "sharpness",
        choice("sharpness", "orientation", "motif"),
        "EdgeCollage32: what tells its classes apart, see docs/data.md",
    )
    collage_size: int = key(
        32, whole_choice(32, 64), "EdgeCollage32: pixels along a side; 64: more cells of the same size"
    )
    collage_classes: int = key(
        None,
        whole_choice(10, 100),
        "EdgeCollage32: number of classes; 100: ten families of ten members; default: 10, but 100 with a reclass of "
        "the names above",
    )
    collage_images: int = key(60000, integer(1), "EdgeCollage32: number of training images")
    collage_val_images: int = key(10000, integer(1), "EdgeCollage32: number of validation images")
    collage_seed: int = key(0, integer(0), "EdgeCollage32: seed of the images (the layout is always the same)")


@dataclass(frozen=True)
class Network:
    """The network and its training."""

    arch: tuple[architecture.LayerToken, ...] = key((), ARCH, "layers, such as f1024:f1024:f1024:x; required")
    steps: int = key(100000, integer(1), "training steps of each round", scaled="steps")
    batch_size: int = key(1000, integer(2), "images a step, drawn with replacement", scaled="batch", least=2)
    val_size: int = key(
        1000,
        integer(1),
        "number of validation images, the first ones; by default all, if they are fewer",
        scaled="images",
    )
    validate_step: int = key(100, integer(1), "steps between two validations", scaled="steps")
    validation_moments: str = key(
        "stored",
        choice("stored", "exact"),
        "what normalises at validation: stored, the running moments, as in the reference; exact, the moments of "
        f"{MOMENT_IMAGES} training images under the weights as they are, which do not lag, see docs/fidelity.md",
    )
    minimizer: str = key("SGD", choice("SGD", "Adam"), "Adam: beta 0.9 and 0.999, epsilon 1e-8")
    learning_rate: float = key(0.1, POSITIVE, "constant learning rate")
    init_deviation: str | float = key(
        "layer",
        DEVIATION,
        "standard deviation of the initial weights: layer, sqrt(2 / (n_in + n_out)) of each layer; common, the root "
        "mean square of these over all weights; or a number, for all layers",
    )
    init_distribution: str = key(
        "normal", choice("normal", "uniform"), "of the initial weights: around 0, with the standard deviation above"
    )
    init_sparsity: float = key(
        0.0, FRACTION, "probability with which each weight of a prunable layer starts masked (biases never)"
    )
    batch_norm_beta: float = key(0.99, FRACTION, "decay of the running moments")
    restart: bool = key(False, boolean(), "go on from stored rounds, as the next four keys say")
    rest_it: int = key(1, integer(1), "number given to the first round after the restart")
    rest_weights_file: str = key(
        None, path("a file"), "its first stored checkpoint is the rewind point; default: save_dir/PREFIX_itdata_0.pkl"
    )
    rest_mask_file: str = key(
        None,
        path("a file"),
        "weights, ratios and masks to prune from; default: save_dir/PREFIX_itdata_(rest_it-1).pkl for methods that "
        "prune round by round, save_dir/PREFIX_itdata_0.pkl for those with levels",
    )
    restart_weights_step: int = key(
        -1,
        integer(-LARGEST_INTEGER),
        "which stored checkpoint of rest_mask_file to prune from: 0 first, -1 last; also rest_file_step",
    )
    seed: int = key(None, integer(0), "seed of all random draws; default: drawn once and recorded")
    jit_compile: bool | None = key(
        None,
        boolean(),
        "compile the training loop with XLA; default: true, but false with convolutions on a CPU, where XLA is slow",
        continues=anything,
    )
    sparse: str = key(
        "auto",
        choice("auto", "never", "always"),
        "on a CPU, train layers by their kept weights alone: auto, large ones that keep at most 40 %; always, all that "
        "are pruned; never: the same numbers to rounding, see docs/performance.md",
        continues=anything,
    )
    deterministic: bool = key(False, boolean(), "TensorFlow's deterministic kernels: slower on a GPU")
    tf32: bool = key(False, boolean(), "allow TF32 matrix products on GPUs that have them (errors near 1e-3)")
    centring: str = key(
        "reference",
        choice("reference", "exact"),
        "reference: the reference's batch-norm formula; exact: constant features become exactly zero",
    )

    @property
    def first_round(self) -> int:
        """0, or the first round after a restart."""
        return self.rest_it if self.restart else 0


@dataclass(frozen=True)
class Scale:
    """Factors that shrink (or grow) an experiment; applied once all files are merged."""

    width: float = key(1.0, POSITIVE, "factor on the nodes and kernels of every hidden layer")
    steps: float = key(1.0, POSITIVE, "factor on steps, weights_step, prune_step and validate_step")
    batch: float = key(1.0, POSITIVE, "factor on batch_size")
    smallest_batch: int = key(
        2, integer(2), "batch_size is not scaled below this (nor changed, if it is smaller): tiny batches do not train"
    )
    images: float = key(1.0, POSITIVE, "factor on the numbers of training images, val_size and a method's images")
