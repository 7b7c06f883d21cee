"""ImageNet32 and ImageNet64: the downsampled ImageNet of Chrabaszcz et al. 2017 (image-net.org)."""

from sifting.datasets import semantic
from sifting.datasets.official import Official

TRAIN_IMAGES = 1_281_167
VAL_IMAGES = 50_000
CLASSES = 1000
BATCHES = 10


def _imagenet(size: int) -> Official:
    """The set of images of `size` x `size` pixels. Classes are in the order of ILSVRC2012_ID, class = label - 1."""
    return Official(
        name=f"ImageNet{size}",
        size=size,
        labels=range(1, CLASSES + 1),
        train_images=TRAIN_IMAGES,
        val_images=VAL_IMAGES,
        training_files=tuple(f"train_data_batch_{number}" for number in range(1, BATCHES + 1)),
        validation_file="val_data",
        has_mean=True,
        origin="the downsampled ImageNet of Chrabaszcz et al. 2017: get its archives for training and validation at "
        "image-net.org and unpack both there",
        prepared_name=f"imagenet_resized/{size}x{size}",
        prepared_validation="validation",
        class_names=tuple(f"{wordnet_id} {word}" for wordnet_id, _, word in semantic.read_table()),
        semantic=semantic.imagenet(),
    )


IMAGENET32, IMAGENET64 = _imagenet(32), _imagenet(64)
