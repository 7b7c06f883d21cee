"""The training step of sparse networks on a CPU, compiled by numba; step.py calls it.

All of it stands in one file, because numba's cache of compiled functions looks no further.

The batch is cut into tiles of T = 16 * len(tile) images. Activations are [tile][feature][T]: a weight reads one row, as
one Vector. The images of the last tile that are not there have dy = 0, so that they are felt nowhere.

A step is a list of phases, each cut into shares: of outputs, inputs or images. Workers, who all call `run` at once,
take shares as they come, and begin a phase when all shares of the one before are done; so whoever has to wait for a
processor holds up nobody but for the share that he is at. Every sum is made within one share and in one order: the bits
do not depend on who takes it, or on the number of workers or shares.
"""

import functools
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

from sifting.architecture import EPSILON, GREY_LEVEL
from sifting.base.compiled import compiled

COLUMNS = 256  # pixels that are worked on at a time
ONE, TWO = (0,), (0, 0)  # tiles of one register, and of two
GROUP = 32  # outputs of a dense layer whose weights are together

# What the kernels know of a layer: numbers, and addresses of arrays, float32 and [n] if nothing else is said. Inputs
# that have a kept weight are live; z has rows for them alone, in their order. Weights are numbered by (block of live
# inputs, output, input), and listed a second time by (block of outputs, input, output). A dense layer has all inputs
# live, and W as [group of outputs][input][GROUP], padded with zeros. The last record stands for the pixels below the
# first layer; it has room for their gradient, and that only where the first layer is dense.
LAYER = np.dtype(
    [
        (name, np.int64)
        for name in (
            *("inputs", "outputs", "live_inputs", "rows", "output_rows", "weights"),
            *("sparse", "masked", "trained"),
            *("input_blocks", "input_block", "output_blocks"),  # how many there are; how many live inputs make one
            *("live", "live_before"),  # int32: inputs; how many live ones come before input i, [inputs + 1]
            *("starts", "inputs_of"),  # int32: where weights of (block, output) start; rows of z
            *("turned_starts", "outputs_of", "turned"),  # int32: the same by (block, input); numbers of weights
            *("output_shares", "live_shares", "input_shares"),  # int64: where each begins, and the last one's end
            *("W", "mask_W", "b", "mask_b", "gamma", "beta", "running_mean", "running_variance"),
            *("W_slots", "b_slots", "gamma_slots", "beta_slots"),  # Adam's two averages of each value
            *("mean", "deviation", "shift", "bias"),  # deviation: 1 / sqrt(variance + epsilon)
            *("z", "y", "dy"),  # [tile][rows][T], [tile][output_rows][T]; y after the activation
            *("products", "turned_W", "dW", "db", "dgamma", "dbeta"),  # products: W * gamma of its input
            *("scaled", "scaled_rows", "dy_rows"),  # dense: gamma * z + beta, as z; [image][rows]; [image][output_rows]
        )
    ]
)

NETWORK = np.dtype(
    [
        *((name, np.int64) for name in ("batch", "tiles", "pixels", "size", "exact", "adam", "first_trained")),
        *((name, np.int64) for name in ("pixel_mean", "x", "block", "item_losses", "item_correct")),
        *((name, np.float32) for name in ("decay", "rest", "rate", "adam_epsilon")),
        *((name, np.float32) for name in ("beta_1", "beta_2", "rest_1", "rest_2")),
    ]
)

PHASES = ("inputs", "products", "loss", "gradient of W", "products back", "change", "finish")
PREPARE, MULTIPLY, LOSS, GRADIENT, BACK, CHANGE, FINISH = range(len(PHASES))
WAITING = len(PHASES)
BOARD = 16  # int64 a phase: how many shares are taken; and, on another cache line, how many are done


# --- vectors of float32 --------------------------------------------------------------------------------------------


class Vector(types.Type):
    """Float32 in so many registers of `width`; LLVM splits them where the processor's are narrower."""

    def __init__(self, registers: int, width: int = 16) -> None:
        self.registers, self.width = registers, width
        super().__init__(f"Vector({registers}, {width})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, ir.ArrayType(ir.VectorType(ir.FloatType(), kind.width), kind.registers))


_I64, _I32, _F32 = ir.IntType(64), ir.IntType(32), ir.FloatType()
V4, V16 = Vector(1, 4), Vector(1)


def _split(builder: Any, value: Any) -> list[Any]:
    return [builder.extract_value(value, place) for place in range(value.type.count)]


def _join(builder: Any, registers: list[Any]) -> Any:
    value = ir.Constant(ir.ArrayType(registers[0].type, len(registers)), ir.Undefined)
    for place, register in enumerate(registers):
        value = builder.insert_value(value, register, place)
    return value


def _pick(builder: Any, a: Any, b: Any, places: list[int]) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_I32, len(places)), places))


def _multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """One instruction where the processor has it."""
    return builder.fadd(builder.fmul(a, b, flags=("contract",)), c, flags=("contract",))


def _pointer(kind: Any) -> Any:
    @intrinsic
    def pointer(typing: Any, address: Any) -> Any:
        """What stands at an address; indices are not checked."""

        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(types.CPointer(kind)))

        return types.CPointer(kind)(types.int64), code

    return pointer


floats, integers, longs, pixels_at = map(_pointer, (types.float32, types.int32, types.int64, types.uint8))


@intrinsic
def after(typing: Any, pointer: Any, place: Any) -> Any:
    """The pointer to pointer[place]."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.gep(arguments[0], [arguments[1]])

    return pointer(pointer, types.int64), code


def _register_at(builder: Any, kind: Vector, pointer: Any, place: Any, number: int) -> Any:
    start = builder.gep(pointer, [builder.add(place, _I64(number * kind.width))])
    return builder.bitcast(start, ir.VectorType(_F32, kind.width).as_pointer())


def _loading(kind_of: Any) -> Any:
    @intrinsic
    def load(typing: Any, pointer: Any, place: Any, tile: Any) -> Any:
        """Numbers from pointer[place] on."""
        kind = kind_of(tile)

        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            registers = []
            for number in range(kind.registers):
                registers.append(builder.load(_register_at(builder, kind, arguments[0], arguments[1], number)))
                registers[-1].align = 4
            return _join(builder, registers)

        return kind(pointer, types.int64, tile), code

    return load


load = _loading(lambda tile: Vector(tile.count))
load16, load4 = _loading(lambda tile: V16), _loading(lambda tile: V4)


@intrinsic
def store(typing: Any, pointer: Any, place: Any, vector: Any) -> Any:
    """Numbers from pointer[place] on become those of the vector."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        for number, register in enumerate(_split(builder, arguments[2])):
            builder.store(register, _register_at(builder, vector, arguments[0], arguments[1], number)).align = 4
        return context.get_dummy_value()

    return types.void(pointer, types.int64, vector), code


@intrinsic
def spread(typing: Any, number: Any, tile: Any) -> Any:
    """T equal numbers."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first = builder.insert_element(ir.Constant(ir.VectorType(_F32, 16), ir.Undefined), arguments[0], _I32(0))
        return _join(builder, tile.count * [_pick(builder, first, first, [0] * 16)])

    return Vector(tile.count)(types.float32, tile), code


def _operation(count: int, operate: Any) -> Any:
    """An operation on `count` vectors, register by register."""

    def typed(*vectors: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            operands = (_split(builder, argument) for argument in arguments)
            return _join(builder, [operate(builder, *registers) for registers in zip(*operands, strict=True)])

        return vectors[0](*vectors), code

    by_count = {
        1: lambda typing, a: typed(a),
        2: lambda typing, a, b: typed(a, b),
        3: lambda typing, a, b, c: typed(a, b, c),
        4: lambda typing, a, b, c, d: typed(a, b, c, d),
    }
    return intrinsic(by_count[count])


add = _operation(2, lambda builder, a, b: builder.fadd(a, b))
sub = _operation(2, lambda builder, a, b: builder.fsub(a, b))
mul = _operation(2, lambda builder, a, b: builder.fmul(a, b))
div = _operation(2, lambda builder, a, b: builder.fdiv(a, b))
multiply_add = _operation(3, _multiply_add)  # a * b + c
# max(a, b); that of a where neither is larger, so that a NaN in a stays.
larger = _operation(2, lambda builder, a, b: builder.select(builder.fcmp_ordered(">", b, a), b, a))
# a > b ? c : d
where_larger = _operation(4, lambda builder, a, b, c, d: builder.select(builder.fcmp_ordered(">", a, b), c, d))


@intrinsic
def transpose(
    typing: Any, source: Any, place: Any, stride: Any, target: Any, target_place: Any, target_stride: Any
) -> Any:
    """target[target_place + j * target_stride + i] = source[place + i * stride + j] for i, j < 16."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def row(first: int, i: int) -> Any:
            pointer, place, stride = arguments[first : first + 3]
            return _register_at(builder, V16, pointer, builder.add(place, builder.mul(stride, _I64(i))), 0)

        rows = []
        for i in range(16):
            rows.append(builder.load(row(0, i)))
            rows[-1].align = 4
        for size in (1, 2, 4, 8):  # swap the halves of blocks of 2, 4, 8, 16 that lie off the diagonal
            upper = [16 + j - size if j & size else j for j in range(16)]
            lower = [16 + j if j & size else j + size for j in range(16)]
            for i in (i for i in range(16) if not i & size):
                a, b = rows[i], rows[i + size]
                rows[i], rows[i + size] = _pick(builder, a, b, upper), _pick(builder, a, b, lower)
        for i in range(16):
            builder.store(rows[i], row(3, i)).align = 4
        return context.get_dummy_value()

    return types.void(source, types.int64, types.int64, target, types.int64, types.int64), code


@intrinsic
def lanes(typing: Any, a: Any, b: Any) -> Any:
    """Sixteen partial sums of the products of two vectors, register by register."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (first, *rest) = zip(*(_split(builder, each) for each in arguments), strict=True)
        result = builder.fmul(*first)
        for left, right in rest:
            result = _multiply_add(builder, left, right, result)
        return _join(builder, [result])

    return V16(a, b), code


@intrinsic
def sums(typing: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """The sums of four vectors of 16: a vector of 4."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def halve(x: Any, y: Any, size: int) -> Any:
            """Sums of neighbours `size` apart, of x and of y in turns."""
            near = [
                number + of
                for start in range(0, 16, 2 * size)
                for of in (0, 16)
                for number in range(start, start + size)
            ]
            return builder.fadd(_pick(builder, x, y, near), _pick(builder, x, y, [place + size for place in near]))

        a, b, c, d = (_split(builder, each)[0] for each in arguments)
        of_quarters = halve(halve(a, b, 1), halve(c, d, 1), 2)
        of_halves = builder.fadd(*(_pick(builder, of_quarters, of_quarters, list(range(s, s + 8))) for s in (0, 8)))
        result = builder.fadd(*(_pick(builder, of_halves, of_halves, list(range(s, s + 4))) for s in (0, 4)))
        return _join(builder, [result])

    return V4(a, b, c, d), code


@intrinsic
def total(typing: Any, vector: Any) -> Any:
    """The sum of 16 numbers: of the halves, then of theirs, and so on."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (value,), width = _split(builder, arguments[0]), 16
        while width > 1:
            width //= 2
            halves = (_pick(builder, value, value, list(range(start, start + width))) for start in (0, width))
            value = builder.fadd(*halves)
        return builder.extract_element(value, _I32(0))

    return types.float32(vector), code


def _exponential(builder: Any, x: Any) -> Any:
    """exp(x) for -inf <= x <= 0 to 2 units in the last place; exp(-87) below that. NaN stays NaN.

    x = n * log(2) + r with a whole n, so exp(x) = 2^n * exp(r), |r| <= log(2) / 2; exp(r) is its Taylor polynomial.
    """

    def constant(value: float) -> Any:
        return ir.Constant(x.type, [value] * x.type.count)

    whole = ir.VectorType(_I32, x.type.count)
    lowest = constant(-87.0)
    x = builder.select(builder.fcmp_ordered("<", x, lowest), lowest, x)
    shift = constant(1.5 * 2**23)  # numbers of this size are whole
    shifted = _multiply_add(builder, x, constant(1 / np.log(2)), shift)
    n = builder.fsub(shifted, shift)
    rest = _multiply_add(builder, n, constant(-0.693359375), x)
    rest = _multiply_add(builder, n, constant(0.693359375 - np.log(2)), rest)
    result = constant(1 / 5040)
    for factor in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0):
        result = _multiply_add(builder, result, rest, constant(factor))
    power = builder.shl(builder.bitcast(shifted, whole), ir.Constant(whole, [23] * x.type.count))
    return builder.bitcast(builder.add(builder.bitcast(result, whole), power), x.type)


exponential = _operation(1, _exponential)


# --- workers -------------------------------------------------------------------------------------------------------


@intrinsic
def _add_atomically(typing: Any, pointer: Any, number: Any) -> Any:
    """The number at the pointer before `number` is added to it."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.atomic_rmw("add", arguments[0], arguments[1], "seq_cst")

    return types.int64(pointer, types.int64), code


@intrinsic
def cycles(typing: Any) -> Any:
    """Ticks of the processor's clock."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.call(
            builder.module.declare_intrinsic("llvm.readcyclecounter", (), ir.FunctionType(_I64, ())), ()
        )

    return types.int64(), code


_give_way = types.ExternalFunction("sched_yield", types.int32())


@compiled
def finish_share(board: Any) -> None:
    _add_atomically(after(board, 8), 1)


@compiled
def take_share(board: Any) -> Any:
    """The number of a share that nobody has taken; at or beyond the number of shares: there is none."""
    return _add_atomically(board, 1)


@compiled
def wait(board: Any, shares: int) -> None:
    """Until all shares are done."""
    tries = 0
    while _add_atomically(after(board, 8), 0) < shares:
        tries += 1
        if tries > 200:
            _give_way()


# --- inputs --------------------------------------------------------------------------------------------------------


@compiled
def update_running(layer: Any, network: Any, f: int, mean: float, variance: float, started: bool) -> None:
    """running = decay * running + (1 - decay) * batch, but for the first batch, which replaces it."""
    of_means, of_variances = floats(layer.running_mean), floats(layer.running_variance)
    of_means[f] = network.decay * of_means[f] + network.rest * mean if started else mean
    of_variances[f] = network.decay * of_variances[f] + network.rest * variance if started else variance


@compiled
def use_running(layer: Any, first: int, last: int) -> None:
    """Inputs first <= f < last will be normalised with the running moments."""
    mean, deviation, shift = floats(layer.mean), floats(layer.deviation), floats(layer.shift)
    for f in range(first, last):
        mean[f], shift[f] = floats(layer.running_mean)[f], np.float32(0)
        deviation[f] = np.float32(1) / np.sqrt(floats(layer.running_variance)[f] + np.float32(EPSILON))


@compiled
def read_pixels(x: Any, network: Any, images: Any, rows: Any, shifts: Any, count: int, first: int, last: int) -> None:
    """x[image][f - first] = (pixel - mean) / 255 of the pixels first <= f < last.

    images: uint8 [all][inputs]; rows: int32 [count]; shifts: int32 [count][2] or empty, see trainer.translate.
    """
    inputs, size = network.pixels, network.size
    mean, scale = floats(network.pixel_mean), GREY_LEVEL
    for image in range(count):
        pixels, row = after(images, rows[image] * inputs), image * COLUMNS
        if shifts.size == 0:
            for f in range(first, last):
                x[row + f - first] = (np.float32(pixels[f]) - mean[f]) * scale
        else:
            down, right = shifts[image, 0], shifts[image, 1]
            for f in range(first, last):
                plane, place = f // size**2, f % size**2
                r, c = (place // size - down) % size, (place % size - right) % size
                source = (plane * size + r) * size + c
                x[row + f - first] = (np.float32(pixels[source]) - mean[source]) * scale


@compiled
def pixel_moments(layer: Any, network: Any, x: Any, first: int, last: int, started: bool, tile: Any) -> None:
    """Moments of the pixels first <= f < last over the batch, the images added as in layers.batch_moments."""
    batch = network.batch
    whole, count = batch // 4 * 4, np.float32(batch)
    mean, deviation, shift = floats(layer.mean), floats(layer.deviation), floats(layer.shift)
    moments = np.empty((3, COLUMNS), np.float32)
    found = floats(moments.ctypes.data)
    for c in range(0, last - first, 16):
        origin = load16(x, c, tile) if network.exact else spread(np.float32(0), ONE)
        average = spread(np.float32(0), ONE)
        for of_squares in range(2):
            s0 = s1 = s2 = s3 = spread(np.float32(0), ONE)
            for image in range(0, whole, 4):
                place = image * COLUMNS + c
                x0, x1 = sub(load16(x, place, tile), origin), sub(load16(x, place + COLUMNS, tile), origin)
                x2 = sub(load16(x, place + 2 * COLUMNS, tile), origin)
                x3 = sub(load16(x, place + 3 * COLUMNS, tile), origin)
                if of_squares:
                    x0, x1, x2, x3 = sub(x0, average), sub(x1, average), sub(x2, average), sub(x3, average)
                    x0, x1, x2, x3 = mul(x0, x0), mul(x1, x1), mul(x2, x2), mul(x3, x3)
                s0, s1, s2, s3 = add(s0, x0), add(s1, x1), add(s2, x2), add(s3, x3)
            s = add(add(add(s0, s1), s2), s3)
            for image in range(whole, batch):
                x0 = sub(load16(x, image * COLUMNS + c, tile), origin)
                if of_squares:
                    x0 = sub(x0, average)
                    x0 = mul(x0, x0)
                s = add(s, x0)
            s = div(s, spread(count, ONE))
            if of_squares:
                store(found, COLUMNS + c, s)
            else:
                average = s
                store(found, c, s)
                store(found, 2 * COLUMNS + c, origin)
    for f in range(first, last):
        m, v, o = moments[0, f - first], moments[1, f - first], moments[2, f - first]
        mean[f], deviation[f], shift[f] = m, np.float32(1) / np.sqrt(v + np.float32(EPSILON)), o
        update_running(layer, network, f, m + o, v, started)


@compiled
def node_moments(layer: Any, network: Any, h: Any, rows: int, f: int, started: bool, tile: Any) -> None:
    """Moments of node f of the layer below over the batch, likewise. h: [tile][rows][T]."""
    T, batch = 16 * len(tile), network.batch
    origin = h[f * T] if network.exact else np.float32(0)
    mean = np.float32(0)
    for of_squares in range(2):
        s0 = s1 = s2 = s3 = np.float32(0)
        for t in range(network.tiles):
            row = after(h, (t * rows + f) * T)
            for image in range(0, min(T, batch - t * T) // 4 * 4, 4):
                x0, x1, x2, x3 = row[image], row[image + 1], row[image + 2], row[image + 3]
                x0, x1, x2, x3 = x0 - origin, x1 - origin, x2 - origin, x3 - origin
                if of_squares:
                    x0, x1, x2, x3 = x0 - mean, x1 - mean, x2 - mean, x3 - mean
                    x0, x1, x2, x3 = x0 * x0, x1 * x1, x2 * x2, x3 * x3
                s0, s1, s2, s3 = s0 + x0, s1 + x1, s2 + x2, s3 + x3
        s = s0 + s1 + s2 + s3
        for image in range(batch // 4 * 4, batch):
            x0 = h[(image // T * rows + f) * T + image % T] - origin
            if of_squares:
                x0 = (x0 - mean) * (x0 - mean)
            s += x0
        s /= np.float32(batch)
        if not of_squares:
            mean = s
    floats(layer.mean)[f], floats(layer.shift)[f] = mean, origin
    floats(layer.deviation)[f] = np.float32(1) / np.sqrt(s + np.float32(EPSILON))
    update_running(layer, network, f, mean + origin, s, started)


@compiled
def scale(layer: Any, network: Any, first: int, last: int, tile: Any) -> None:
    """For a dense layer: gamma * z + beta of the live inputs first <= l < last, also with images as rows."""
    T, rows = 16 * len(tile), layer.rows
    z, scaled, by_image = floats(layer.z), floats(layer.scaled), floats(layer.scaled_rows)
    for t in range(network.tiles):
        for l in range(first, last):
            gamma, beta = spread(floats(layer.gamma)[l], tile), spread(floats(layer.beta)[l], tile)
            place = (t * rows + l) * T
            store(scaled, place, multiply_add(gamma, load(z, place, tile), beta))
    for l in range(first, last, 16):
        for image in range(0, network.tiles * T, 16):
            transpose(scaled, (image // T * rows + l) * T + image % T, T, by_image, image * rows + l, rows)


@compiled
def prepare_inputs(
    layers: Any, n: int, network: Any, share: int, worker: int, images: Any, rows: Any, shifts: Any, count: int,
    training: bool, started: bool, tile: Any,
) -> None:  # fmt: skip
    """z of a layer, and what its products need, of a share of the inputs and outputs.

    count: images; fewer than the batch only outside of training, where running moments normalise.
    """
    layer = layers[n]
    T = 16 * len(tile)
    z, live = floats(layer.z), integers(layer.live)
    mean, deviation, shift = floats(layer.mean), floats(layer.deviation), floats(layer.shift)
    first, last = longs(layer.input_shares)[share], longs(layer.input_shares)[share + 1]
    before = integers(layer.live_before)
    if not training:
        use_running(layer, first, last)
    if n == 0:
        x = floats(network.x + 4 * worker * network.tiles * T * COLUMNS)
        block = floats(network.block + 4 * worker * 256)
        for start in range(first, last, COLUMNS):
            stop = min(start + COLUMNS, last)
            read_pixels(x, network, images, rows, shifts, count, start, stop)
            if training:
                pixel_moments(layer, network, x, start, stop, started, tile)
            for image in range(0, count, 16):
                place = (image // T * layer.rows) * T + image % T
                for c in range(0, stop - start, 16):
                    transpose(x, image * COLUMNS + c, COLUMNS, block, 0, 16)
                    for l in range(before[start + c], before[min(start + c + 16, stop)]):
                        f = live[l]
                        row = load16(block, (f - start - c) * 16, tile)
                        row = sub(sub(row, spread(shift[f], ONE)), spread(mean[f], ONE))
                        store(z, place + l * T, mul(row, spread(deviation[f], ONE)))
    else:
        h, h_rows = floats(layers[n - 1].y), layers[n - 1].output_rows
        if training:
            for f in range(first, last):
                node_moments(layer, network, h, h_rows, f, started, tile)
        for t in range(network.tiles):
            for l in range(before[first], before[last]):
                f = live[l]
                x1 = sub(load(h, (t * h_rows + f) * T, tile), spread(shift[f], tile))
                x1 = mul(sub(x1, spread(mean[f], tile)), spread(deviation[f], tile))
                store(z, (t * layer.rows + l) * T, x1)
    first_live, last_live = before[first], before[last]
    t = network.tiles - 1
    for l in range(first_live, last_live):  # images that are not there
        for image in range(network.batch - t * T, T):
            z[(t * layer.rows + l) * T + image] = np.float32(0)
    if not layer.sparse:
        scale(layer, network, first_live, last_live, tile)
    prepare_outputs(layer, share)


@functools.partial(compiled, fastmath={"contract", "reassoc"})
def prepare_outputs(layer: Any, share: int) -> None:
    """bias = b + sum of W * beta, and products = W * gamma, of a share of the outputs; dense: bias = b."""
    first, last = longs(layer.output_shares)[share], longs(layer.output_shares)[share + 1]
    bias, b, mask_b = floats(layer.bias), floats(layer.b), floats(layer.mask_b)
    for o in range(first, min(last, layer.outputs)):  # b has no padding
        bias[o] = b[o] * mask_b[o]
    if layer.sparse:
        W, gamma, beta, products = floats(layer.W), floats(layer.gamma), floats(layer.beta), floats(layer.products)
        starts, inputs_of, live = integers(layer.starts), integers(layer.inputs_of), integers(layer.live)
        for block in range(layer.input_blocks):
            for o in range(first, last):
                place, added = block * layer.outputs + o, np.float32(0)
                for k in range(starts[place], starts[place + 1]):
                    f = live[inputs_of[k]]
                    products[k] = W[k] * gamma[f]
                    added += W[k] * beta[f]
                bias[o] += added


# --- products ------------------------------------------------------------------------------------------------------


@compiled
def add_rows(start: Any, W: Any, rows: Any, numbers: Any, k: int, end: int, tile: Any) -> Any:
    """start + sum over k of W[k] * (row numbers[k] of `rows`)."""
    T = np.int64(16 * len(tile))
    other = spread(np.float32(0), tile)
    while k + 2 <= end:
        start = multiply_add(spread(W[k], tile), load(rows, numbers[k] * T, tile), start)
        other = multiply_add(spread(W[k + 1], tile), load(rows, numbers[k + 1] * T, tile), other)
        k += 2
    if k < end:
        start = multiply_add(spread(W[k], tile), load(rows, numbers[k] * T, tile), start)
    return add(start, other)


@compiled
def multiply_sparse(layer: Any, t: int, first: int, last: int, tile: Any) -> None:
    """y of the outputs first <= o < last in tile t, before the activation."""
    T = 16 * len(tile)
    z, y = after(floats(layer.z), t * layer.rows * T), after(floats(layer.y), t * layer.output_rows * T)
    products, bias = floats(layer.products), floats(layer.bias)
    starts, inputs_of = integers(layer.starts), integers(layer.inputs_of)
    for block in range(layer.input_blocks):
        for o in range(first, last):
            k, end = np.int64(starts[block * layer.outputs + o]), np.int64(starts[block * layer.outputs + o + 1])
            if block == 0:
                store(y, o * T, add_rows(spread(bias[o], tile), products, z, inputs_of, k, end, tile))
            elif k < end:
                store(y, o * T, add_rows(load(y, o * T, tile), products, z, inputs_of, k, end, tile))


@compiled
def multiply_dense(layer: Any, t: int, first: int, last: int, tile: Any) -> None:
    """The same, first and last multiples of 4."""
    T, inputs = 16 * len(tile), layer.rows
    a, y = after(floats(layer.scaled), t * inputs * T), after(floats(layer.y), t * layer.output_rows * T)
    bias = floats(layer.bias)
    for o in range(first, last, 4):
        W = after(floats(layer.W), o // GROUP * GROUP * inputs + o % GROUP)
        y0, y1 = spread(bias[o], tile), spread(bias[o + 1], tile)
        y2, y3 = spread(bias[o + 2], tile), spread(bias[o + 3], tile)
        for i in range(inputs):
            a0 = load(a, i * T, tile)
            y0 = multiply_add(spread(W[GROUP * i], tile), a0, y0)
            y1 = multiply_add(spread(W[GROUP * i + 1], tile), a0, y1)
            y2 = multiply_add(spread(W[GROUP * i + 2], tile), a0, y2)
            y3 = multiply_add(spread(W[GROUP * i + 3], tile), a0, y3)
        store(y, o * T, y0)
        store(y, (o + 1) * T, y1)
        store(y, (o + 2) * T, y2)
        store(y, (o + 3) * T, y3)


@compiled
def multiply(layer: Any, network: Any, share: int, hidden: bool, tile: Any) -> None:
    """y of a share of the outputs, after the activation."""
    T = 16 * len(tile)
    first, last = longs(layer.output_shares)[share], longs(layer.output_shares)[share + 1]
    zero = spread(np.float32(0), tile)
    for t in range(network.tiles):
        if layer.sparse:
            multiply_sparse(layer, t, first, last, tile)
        else:
            multiply_dense(layer, t, first, last, tile)
        if hidden:
            y = after(floats(layer.y), t * layer.output_rows * T)
            for o in range(first, last):
                store(y, o * T, larger(load(y, o * T, tile), zero))


# --- loss ----------------------------------------------------------------------------------------------------------


@compiled
def find_largest(y: Any, outputs: int, tile: Any) -> Any:
    """The largest logit and its first output, of 16 images. y: [output][T]."""
    T = 16 * len(tile)
    best, place = load16(y, 0, tile), spread(np.float32(0), ONE)
    for o in range(1, outputs):
        logit = load16(y, o * T, tile)
        place = where_larger(logit, best, spread(np.float32(o), ONE), place)
        best = larger(best, logit)
    return best, place


@compiled
def count_correct(layer: Any, network: Any, item: int, labels: Any, rows: Any, count: int, tile: Any) -> None:
    """How many of 16 images have their label's logit as the first of the largest."""
    T, first = 16 * len(tile), item * 16
    y = after(floats(layer.y), first // T * layer.output_rows * T + first % T)
    _, place = find_largest(y, layer.outputs, tile)
    buffer = np.empty(16, np.float32)
    store(floats(buffer.ctypes.data), 0, place)
    correct = 0
    for image in range(min(16, count - first)):
        correct += labels[rows[first + image]] == np.int64(buffer[image])
    longs(network.item_correct)[item] = correct


@compiled
def find_loss(layer: Any, network: Any, item: int, labels: Any, rows: Any, tile: Any) -> None:
    """Loss and dy of 16 images, see trainer.cross_entropy.

    With e = exp(y - max), S = sum of (e + 1e-10) and p = e / S, of the label: loss = -log(p + 1e-30), so
    dy = p[label] / (p[label] + 1e-30) / batch * (p - one_hot(label)).
    """
    T, outputs, batch = 16 * len(tile), layer.outputs, network.batch
    first = item * 16
    offset = first // T * layer.output_rows * T + first % T
    y, dy = after(floats(layer.y), offset), after(floats(layer.dy), offset)
    best, _ = find_largest(y, outputs, tile)
    sum_e = spread(np.float32(0), ONE)
    for o in range(outputs):
        e = exponential(sub(load16(y, o * T, tile), best))
        store(dy, o * T, e)
        sum_e = add(sum_e, add(e, spread(np.float32(1e-10), ONE)))
    buffer = np.zeros((2, 16), np.float32)
    numbers = floats(buffer.ctypes.data)
    store(numbers, 0, sum_e)
    loss = np.float32(0)
    for image in range(min(16, batch - first)):
        label = labels[rows[first + image]]
        p = dy[label * T + image] / buffer[0, image]
        loss -= np.log(p + np.float32(1e-30))
        buffer[1, image] = p / (p + np.float32(1e-30)) / np.float32(batch)
    factor = div(load16(numbers, 16, tile), sum_e)
    for o in range(outputs):
        store(dy, o * T, mul(load16(dy, o * T, tile), factor))
    for image in range(min(16, batch - first)):
        dy[labels[rows[first + image]] * T + image] -= buffer[1, image]
    floats(network.item_losses)[item] = loss


# --- gradients -----------------------------------------------------------------------------------------------------


@compiled
def find_db(layer: Any, network: Any, share: int, tile: Any) -> None:
    """db, not masked yet, of a share of the outputs; dense: also dy with images as rows."""
    T, rows = 16 * len(tile), layer.output_rows
    dy, db, by_image = floats(layer.dy), floats(layer.db), floats(layer.dy_rows)
    one = spread(np.float32(1), tile)
    first, last = longs(layer.output_shares)[share], longs(layer.output_shares)[share + 1]
    for o in range(first, last):
        s = spread(np.float32(0), ONE)
        for t in range(network.tiles):
            place = (t * rows + o) * T
            s = add(s, lanes(one, load(dy, place, tile)))
        db[o] = total(s)
    if not layer.sparse:
        for o in range(first, last, 16):
            for image in range(0, network.tiles * T, 16):
                transpose(dy, (image // T * rows + o) * T + image % T, T, by_image, image * rows + o, rows)


@compiled
def find_dW(layer: Any, network: Any, share: int, tile: Any) -> None:
    """For a sparse layer: sum over the images of z * dy, of the weights of a share of the outputs."""
    T = 16 * len(tile)
    first, last = longs(layer.output_shares)[share], longs(layer.output_shares)[share + 1]
    dW, starts, inputs_of = floats(layer.dW), integers(layer.starts), integers(layer.inputs_of)
    for t in range(network.tiles):
        z, dy = after(floats(layer.z), t * layer.rows * T), after(floats(layer.dy), t * layer.output_rows * T)
        for block in range(layer.input_blocks):
            for o in range(first, last):
                k, end = np.int64(starts[block * layer.outputs + o]), np.int64(starts[block * layer.outputs + o + 1])
                if t == 0:
                    for place in range(k, end):
                        dW[place] = np.float32(0)
                d = load(dy, o * T, tile)
                while k + 4 <= end:
                    s = sums(
                        lanes(d, load(z, inputs_of[k] * np.int64(T), tile)),
                        lanes(d, load(z, inputs_of[k + 1] * np.int64(T), tile)),
                        lanes(d, load(z, inputs_of[k + 2] * np.int64(T), tile)),
                        lanes(d, load(z, inputs_of[k + 3] * np.int64(T), tile)),
                    )
                    store(dW, k, add(load4(dW, k, tile), s))
                    k += 4
                while k < end:
                    dW[k] += total(lanes(d, load(z, inputs_of[k] * np.int64(T), tile)))
                    k += 1


@compiled
def multiply_back_sparse(layer: Any, t: int, first: int, last: int, da: Any, tile: Any) -> None:
    """Gradient of gamma * z + beta of the live inputs first <= l < last in tile t, into the rows of da."""
    T = 16 * len(tile)
    dy, W, live = after(floats(layer.dy), t * layer.output_rows * T), floats(layer.turned_W), integers(layer.live)
    starts, outputs_of = integers(layer.turned_starts), integers(layer.outputs_of)
    for block in range(layer.output_blocks):
        for l in range(first, last):
            place, row = block * layer.live_inputs + l, live[l] * T
            k, end = np.int64(starts[place]), np.int64(starts[place + 1])
            if block == 0:
                store(da, row, add_rows(spread(np.float32(0), tile), W, dy, outputs_of, k, end, tile))
            elif k < end:
                store(da, row, add_rows(load(da, row, tile), W, dy, outputs_of, k, end, tile))


@compiled
def multiply_back_dense(layer: Any, t: int, first: int, last: int, da: Any, tile: Any) -> None:
    """The same, first a multiple of 4."""
    T, inputs, outputs = 16 * len(tile), layer.rows, layer.output_rows
    dy = after(floats(layer.dy), t * outputs * T)
    for i in range(first, last, 4):
        a0 = a1 = a2 = a3 = spread(np.float32(0), tile)
        for group in range(0, outputs, GROUP):
            W = after(floats(layer.W), group * inputs + GROUP * i)
            for o in range(GROUP):
                d = load(dy, (group + o) * T, tile)
                a0 = multiply_add(spread(W[o], tile), d, a0)
                a1 = multiply_add(spread(W[o + GROUP], tile), d, a1)
                a2 = multiply_add(spread(W[o + 2 * GROUP], tile), d, a2)
                a3 = multiply_add(spread(W[o + 3 * GROUP], tile), d, a3)
        store(da, i * T, a0)
        store(da, (i + 1) * T, a1)
        store(da, (i + 2) * T, a2)
        store(da, (i + 3) * T, a3)


@compiled
def multiply_back(layers: Any, n: int, network: Any, share: int, tile: Any) -> None:
    """dgamma and dbeta of a share of the live inputs, and from them dy of the layer below.

    With a = gamma * z + beta: dbeta = sum of da, dgamma = sum of da * z over the batch, and through the moments
    dx = gamma / sqrt(variance + epsilon) * (da - dbeta / batch - z * dgamma / batch).
    """
    layer, below = layers[n], layers[n - 1]
    T, rows = 16 * len(tile), below.output_rows
    first, last = longs(layer.live_shares)[share], longs(layer.live_shares)[share + 1]
    dgamma, dbeta, gamma = floats(layer.dgamma), floats(layer.dbeta), floats(layer.gamma)
    live, z, h = integers(layer.live), floats(layer.z), floats(below.y)
    one, zero = spread(np.float32(1), tile), spread(np.float32(0), tile)
    last = min(last, layer.live_inputs)
    for t in range(network.tiles):
        da = after(floats(below.dy), t * rows * T)
        if layer.sparse:
            multiply_back_sparse(layer, t, first, last, da, tile)
        else:
            multiply_back_dense(layer, t, first, last, da, tile)
    da = floats(below.dy)
    for l in range(first, last):
        s, product = spread(np.float32(0), ONE), spread(np.float32(0), ONE)
        for t in range(network.tiles):
            row = load(da, (t * rows + live[l]) * T, tile)
            s = add(s, lanes(one, row))
            product = add(product, lanes(load(z, (t * layer.rows + l) * T, tile), row))
        dbeta[l], dgamma[l] = total(s), total(product)
        f = live[l]
        factor = spread(floats(layer.deviation)[f] * gamma[f], tile)
        mean = spread(dbeta[l] / np.float32(network.batch), tile)
        slope = spread(-dgamma[l] / np.float32(network.batch), tile)
        for t in range(network.tiles):
            place = (t * rows + f) * T
            dx = sub(load(da, place, tile), mean)
            dx = mul(factor, multiply_add(load(z, (t * layer.rows + l) * T, tile), slope, dx))
            store(da, place, where_larger(load(h, place, tile), zero, dx, zero))
        t = network.tiles - 1
        for image in range(network.batch - t * T, T):
            da[(t * rows + f) * T + image] = np.float32(0)


@compiled
def find_dgamma_of_data(layer: Any, share: int, shares: int) -> None:
    """dgamma and dbeta of the inputs of the lowest layer that is trained, from its weights alone: nobody needs the
    gradient of what is below. See layers.MaskedDense.block. Shares are of blocks of inputs, in turns."""
    W, dW, db = floats(layer.W), floats(layer.dW), floats(layer.db)
    starts, inputs_of = integers(layer.starts), integers(layer.inputs_of)
    dgamma, dbeta = floats(layer.dgamma), floats(layer.dbeta)
    for block in range(share, layer.input_blocks, shares):
        first = block * layer.input_block
        for l in range(first, min(first + layer.input_block, layer.live_inputs)):
            dgamma[l], dbeta[l] = np.float32(0), np.float32(0)
        for o in range(layer.outputs):
            place = block * layer.outputs + o
            for k in range(starts[place], starts[place + 1]):
                dgamma[inputs_of[k]] += W[k] * dW[k]
                dbeta[inputs_of[k]] += W[k] * db[o]


@compiled
def turn_W(layer: Any, share: int) -> None:
    """The weights of a sparse layer in their second order, of a share of the live inputs."""
    first, last = longs(layer.live_shares)[share], longs(layer.live_shares)[share + 1]
    W, turned_W = floats(layer.W), floats(layer.turned_W)
    starts, turned = integers(layer.turned_starts), integers(layer.turned)
    for block in range(layer.output_blocks):
        place = block * layer.live_inputs
        for p in range(starts[place + first], starts[place + last]):
            turned_W[p] = W[turned[p]]


# --- update --------------------------------------------------------------------------------------------------------


@compiled
def change(values: Any, slots: Any, count: int, place: int, gradient: float, network: Any, rate: float) -> None:
    """One value by its gradient: SGD, or Adam as Keras has it. slots: [2][count]."""
    if network.adam:
        first, second = place, count + place
        slots[first] += (gradient - slots[first]) * network.rest_1
        slots[second] += (gradient * gradient - slots[second]) * network.rest_2
        values[place] -= slots[first] * rate / (np.sqrt(slots[second]) + network.adam_epsilon)
    else:
        values[place] -= rate * gradient


@compiled
def change_dense(layer: Any, network: Any, share: int, rate: float, tile: Any) -> None:
    """W of a dense layer, of a share of the outputs; dW = sum of (gamma * z + beta) * dy over images."""
    inputs, outputs = layer.rows, layer.output_rows
    W, mask, slots = floats(layer.W), floats(layer.mask_W), floats(layer.W_slots)
    a, dy = floats(layer.scaled_rows), floats(layer.dy_rows)
    step = spread(-rate, TWO)
    buffer = np.empty(GROUP, np.float32)
    for o in range(longs(layer.output_shares)[share], longs(layer.output_shares)[share + 1], GROUP):
        for i in range(0, inputs, 8):
            s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = spread(np.float32(0), TWO)
            for image in range(network.batch):
                d, of = load(dy, image * outputs + o, TWO), after(a, image * inputs + i)
                s0, s1 = multiply_add(spread(of[0], TWO), d, s0), multiply_add(spread(of[1], TWO), d, s1)
                s2, s3 = multiply_add(spread(of[2], TWO), d, s2), multiply_add(spread(of[3], TWO), d, s3)
                s4, s5 = multiply_add(spread(of[4], TWO), d, s4), multiply_add(spread(of[5], TWO), d, s5)
                s6, s7 = multiply_add(spread(of[6], TWO), d, s6), multiply_add(spread(of[7], TWO), d, s7)
            place = o * inputs + GROUP * i
            for s in (s0, s1, s2, s3, s4, s5, s6, s7):
                if layer.masked:
                    s = mul(s, load(mask, place, TWO))
                if network.adam:
                    store(floats(buffer.ctypes.data), 0, s)
                    for number in range(GROUP):
                        change(W, slots, inputs * outputs, place + number, buffer[number], network, rate)
                else:
                    store(W, place, multiply_add(step, s, load(W, place, TWO)))
                place += GROUP


@compiled
def change_layer(layer: Any, network: Any, share: int, rate: float, tile: Any) -> None:
    """W and b of a share of the outputs."""
    b, gamma, beta, db, mask_b = (
        floats(layer.b), floats(layer.gamma), floats(layer.beta), floats(layer.db), floats(layer.mask_b),
    )  # fmt: skip
    first, last = longs(layer.output_shares)[share], min(longs(layer.output_shares)[share + 1], layer.outputs)
    for o in range(first, last):
        change(b, floats(layer.b_slots), layer.outputs, o, db[o] * mask_b[o], network, rate)
    if not layer.sparse:
        change_dense(layer, network, share, rate, tile)
        return
    W, dW, slots = floats(layer.W), floats(layer.dW), floats(layer.W_slots)
    starts, inputs_of, live = integers(layer.starts), integers(layer.inputs_of), integers(layer.live)
    for block in range(layer.input_blocks):
        for o in range(first, last):
            place = block * layer.outputs + o
            for k in range(starts[place], starts[place + 1]):
                f = live[inputs_of[k]]
                change(W, slots, layer.weights, k, gamma[f] * dW[k] + beta[f] * db[o], network, rate)


@compiled
def change_inputs(layer: Any, network: Any, share: int, rate: float) -> None:
    """gamma and beta of a share of the live inputs."""
    live, gamma, beta = integers(layer.live), floats(layer.gamma), floats(layer.beta)
    last = min(longs(layer.live_shares)[share + 1], layer.live_inputs)
    for l in range(longs(layer.live_shares)[share], last):
        f, inputs = live[l], layer.inputs
        change(gamma, floats(layer.gamma_slots), inputs, f, floats(layer.dgamma)[l], network, rate)
        change(beta, floats(layer.beta_slots), inputs, f, floats(layer.dbeta)[l], network, rate)


# --- steps ---------------------------------------------------------------------------------------------------------


@compiled
def find_gradient(layer: Any, network: Any, share: int, at_end: bool, tile: Any) -> None:
    """What dy of a layer says of its outputs. at_end: nobody needs the gradient of its inputs."""
    find_db(layer, network, share, tile)
    if layer.sparse and layer.trained:
        find_dW(layer, network, share, tile)
    if layer.sparse and not at_end:
        turn_W(layer, share)


@compiled
def finish(
    layers: Any, network: Any, share: int, step: int, count: int, rate: float, training: bool, correct: Any, losses: Any
) -> None:
    """gamma and beta of a share of the live inputs; with the first one: the results of the step."""
    if training:
        for n in range(len(layers) - 1):
            if layers[n].trained:
                change_inputs(layers[n], network, share, rate)
    if share == 0:
        loss = np.float32(0)
        for item in range((count + 15) // 16):
            loss += floats(network.item_losses)[item]
            correct[step] += longs(network.item_correct)[item]
        losses[step] = loss / np.float32(network.batch)


@compiled
def learning_rate(network: Any, updates: int) -> Any:
    """That of the next update; Adam's has a factor that depends on the number of those before."""
    rate = network.rate
    if network.adam:
        times = np.float32(updates + 1)
        rate *= np.sqrt(np.float32(1) - network.beta_2**times) / (np.float32(1) - network.beta_1**times)
    return rate


@compiled
def run(
    layers: Any, networks: Any, phases: Any, worker: int, shares: int, boards: Any, images: Any, labels: Any, rows: Any,
    shifts: Any, total: int, training: bool, started: bool, updates: int, correct: Any, losses: Any, ticks: Any,
    tile: Any,
) -> None:  # fmt: skip
    """What one worker does of some steps, or of a validation, whose steps are batches without an update.

    Args:
        layers: LAYER [layers + 1]; networks: NETWORK [1].
        phases: int64 [phases][2], one of PREPARE, ... and the layer.
        boards: int64 [steps][phases][BOARD], zeros.
        images, labels: addresses of uint8 [all][inputs] and int32 [all]; rows: int32 [steps][batch], of both.
        shifts: int32 [steps][batch][2], or [steps][0][2].
        total: images of all steps; those of the last batch that are beyond do not count.
        training: False: running moments normalise.
        started: whether the running moments hold those of a batch; updates: that Adam has made.
        correct: int64 [steps], losses: float32 [steps]; are filled.
        ticks: int64 [len(PHASES) + 1]; the time that each kind of phase takes is added, then that of waiting.
        tile: (0,) * (T / 16), whose length the compiler knows.
    """
    network, last = networks[0], len(layers) - 2
    now = cycles()
    for step in range(len(rows)):
        count = min(network.batch, total - step * network.batch)
        items = (count + 15) // 16
        rate = learning_rate(network, updates + step)
        for phase in range(len(phases)):
            kind, n = phases[phase]
            board = after(longs(boards.ctypes.data), (step * len(phases) + phase) * BOARD)
            layer = layers[n]
            at_end = n == network.first_trained and layer.sparse != 0
            share = take_share(board)
            while share < shares:
                if kind == PREPARE:
                    prepare_inputs(layers, n, network, share, worker, pixels_at(images), rows[step], shifts[step],
                                   count, training, started or step > 0, tile)  # fmt: skip
                elif kind == MULTIPLY:
                    multiply(layer, network, share, n < last, tile)
                elif kind == LOSS:
                    for item in range(share, items, shares):
                        count_correct(layer, network, item, integers(labels), rows[step], count, tile)
                        if training:
                            find_loss(layer, network, item, integers(labels), rows[step], tile)
                elif kind == GRADIENT:
                    find_gradient(layer, network, share, at_end, tile)
                elif kind == BACK:
                    if at_end:
                        find_dgamma_of_data(layer, share, shares)
                    else:
                        multiply_back(layers, n, network, share, tile)
                elif kind == CHANGE:
                    for changed in range(last + 1):
                        if layers[changed].trained:
                            change_layer(layers[changed], network, share, rate, tile)
                else:
                    finish(layers, network, share, step, count, rate, training, correct, losses)
                finish_share(board)
                share = take_share(board)
            then = cycles()
            wait(board, shares)
            ticks[kind] += then - now
            now = cycles()
            ticks[WAITING] += now - then
