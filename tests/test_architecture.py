"""Arch strings and layer specs: shapes and parameter counts that can be checked by hand."""

import pytest

from sifting.architecture import LayerSpec, LayerToken, build_specs, layer_outputs, parse_arch

COLOUR = (3, 32, 32)


def specs_of(arch, prune=(), shape=COLOUR, classes=10):
    return build_specs(parse_arch(arch), prune, shape, classes)


def test_tokens_hold_letter_and_numbers_and_print_as_they_were_written():
    assert parse_arch("c3,8:c5,4,2:p2,2:f100:x") == (
        LayerToken("c", (3, 8)),
        LayerToken("c", (5, 4, 2)),
        LayerToken("p", (2, 2)),
        LayerToken("f", (100,)),
        LayerToken("x", ()),
    )
    assert [str(token) for token in parse_arch(" c5,4,2 : f100 :x")] == ["c5,4,2", "f100", "x"]


def test_dense_specs_by_hand():
    specs = specs_of("f1024:f512:x", (True, True, False), classes=1000)
    assert specs == (
        LayerSpec("f", (3072, 1024), True),
        LayerSpec("f", (1024, 512), True),
        LayerSpec("x", (512, 1000), False),
    )
    # weights + n_out biases + n_in each of gamma and beta
    assert [spec.parameters for spec in specs] == [
        3072 * 1024 + 1024 + 2 * 3072,
        1024 * 512 + 512 + 2 * 1024,
        512 * 1000 + 1000 + 2 * 512,
    ]
    assert [spec.nodes for spec in specs] == [1024, 512, 1000]


def test_x_alone_is_a_network():
    assert specs_of("x", (True,)) == (LayerSpec("x", (3072, 10), True),)


def test_convolution_and_pool_shapes_by_hand():
    # 32 -c3-> 30 -p2,2-> 15 -c5,,2-> 6 = (15 - 5) // 2 + 1 -p3,2-> 2 = (6 - 3) // 2 + 1, with 7 channels
    specs = specs_of("c3,8:p2,2:c5,7,2:p3,2:f6:x", (True,) * 6)
    assert [spec.shape for spec in specs] == [(3, 3, 3, 8, 1), (2, 2), (5, 5, 8, 7, 2), (3, 2), (7 * 2 * 2, 6), (6, 10)]
    assert [spec.weight_shape for spec in specs] == [(3, 3, 3, 8), (), (5, 5, 8, 7), (), (28, 6), (6, 10)]
    assert [spec.parameters for spec in specs] == [216, 0, 1400, 0, 28 * 6 + 6 + 2 * 28, 6 * 10 + 10 + 2 * 6]
    assert [spec.nodes for spec in specs] == [8, 0, 7, 0, 6, 10]
    assert [spec.is_dense for spec in specs] == [False, False, False, False, True, True]
    assert [spec.has_weights for spec in specs] == [True, False, True, False, True, True]


def test_height_and_width_are_kept_apart():
    specs = specs_of("c2,1:p2,1:f3:x", shape=(2, 4, 6))
    assert specs[2].shape == (1 * 2 * 4, 3)


def test_a_window_as_large_as_its_input_leaves_one_pixel():
    assert specs_of("c4,5:f2:x", shape=(3, 4, 4))[1].shape == (5, 2)
    assert specs_of("p4,1:f2:x", shape=(3, 4, 4))[1].shape == (3, 2)


def test_missing_prune_flags_are_false_and_a_pool_is_never_prunable():
    flags = [spec.prunable for spec in specs_of("c3,2:p2,2:f4:f4:x", (True, True, True))]
    assert flags == [True, False, True, False, False]


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("", "unknown layer ''"),
        ("f10", "output layer x"),
        ("f10:x:x", "output layer x"),
        ("x:f10:x", "output layer x"),
        ("f10::x", "unknown layer ''"),
        ("g10:x", "unknown layer 'g10'"),
        ("F10:x", "unknown layer 'F10'"),
        ("f:x", "layer 'f' is not fN"),
        ("f0:x", "layer 'f0' has a size that is not 1 ... 1000000"),
        ("f99999999999:x", "layer 'f99999999999' has a size"),
        ("f٣:x", "layer 'f٣' is not fN"),
        ("f4;f4:x", "layer 'f4;f4' is not fN"),
        ("f-3:x", "layer 'f-3' is not fN"),
        ("f1e3:x", "layer 'f1e3' is not fN"),
        ("f10:x10", "layer 'x10' is not x"),
        ("c3:x", "layer 'c3' is not cK,F"),
        ("c3,4,0:x", "layer 'c3,4,0' has a size"),
        ("c3,4,1,1:x", "layer 'c3,4,1,1' is not cK,F"),
        ("p2:x", "layer 'p2' is not pK,S"),
        ("f10:c3,4:x", "cannot follow a dense layer"),
        ("f10:p2,2:x", "cannot follow a dense layer"),
    ],
)
def test_a_bad_arch_string_is_refused_with_the_layer_named(arch, message):
    with pytest.raises(ValueError, match=message):
        parse_arch(arch)


@pytest.mark.parametrize(("arch", "layer"), [("c9,4:x", "c9,4"), ("c7,4:p3,1:x", "p3,1"), ("p9,2:x", "p9,2")])
def test_a_window_larger_than_its_input_is_refused(arch, layer):
    with pytest.raises(ValueError, match=f"layer '{layer}' is larger than its input"):
        specs_of(arch, shape=(3, 8, 8))


def test_layer_outputs_by_hand():
    """32 x 32 pixels: 5 x 5 kernels leave 28, pooling 14; then a dense layer."""
    specs = build_specs(parse_arch("c5,6:p2,2:f7:x"), (), (3, 32, 32), 10)
    assert layer_outputs(specs, (3, 32, 32)) == [6 * 28 * 28, 6 * 14 * 14, 7, 10]
