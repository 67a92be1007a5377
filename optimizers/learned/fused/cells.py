"""The kernel of the LSTMs: all layers for LANES coordinates at a time, whose gates never leave the registers."""

import numpy as np

from l2obench.optimizers.learned.fused.compiling import ONE, Array, compiled
from l2obench.optimizers.learned.fused.gradient_inputs import Preprocessing, write_inputs
from l2obench.optimizers.learned.fused.sigmoids import (
    MINUS_TWO,
    exponential_linear_unit,
    next_cell,
    next_hidden,
)
from l2obench.optimizers.learned.fused.vectors import LANES, fetch_ahead, load, multiply_add, spread, store

# Numbers of a cache line.
LINE = 16
Sizes = tuple[int, int, int, int]
"""Inputs; units of the layer with ELU below the cells, 0 without one; units of a layer of cells; layers of cells."""


@compiled(in_order=True)
def _pack(phi: Array, sizes: Sizes, packed: Array) -> None:
    """Weights in the order in which the kernel reads them: of each unit the four biases, then four for each input.

    Signs are those that `next_cell` wants. What is below the cells, and the output, stay as they are.
    """
    inputs, below, units, layers = sizes
    width = below if below else inputs
    begin = below * (inputs + 1)
    for k in range(begin):
        packed[k] = phi[k]
    for _ in range(layers):
        width += units
        bias = begin + 4 * units * width
        at = begin
        for j in range(units):
            for gate in range(4):
                sign = MINUS_TWO if gate == 3 else -ONE
                row = gate * units + j
                packed[at + gate] = sign * phi[bias + row]
                for k in range(width):
                    packed[at + 4 * (k + 1) + gate] = sign * phi[begin + row * width + k]
            at += 4 * (width + 1)
        begin, width = at, units
    for k in range(begin, len(phi)):
        packed[k] = phi[k]


@compiled(in_order=True)
def _step_below(packed: Array, inputs: int, units: int, x: Array, y: Array) -> None:
    """y ← ELU(weights x + bias), for one tile.

    Args:
        packed: weights `[units, inputs]`, then biases.
        inputs: of the layer.
        units: likewise.
        x: `[inputs · LANES]`.
        y: `[units · LANES]`; written.
    """
    for j in range(units):
        total = spread(packed[units * inputs + j])
        for k in range(inputs):
            total = multiply_add(spread(packed[j * inputs + k]), load(x, k * LANES), total)
        store(y, j * LANES, exponential_linear_unit(total))


@compiled(in_order=True)
def _step_layer(
    packed: Array, at: int, units: int, width: int, x: Array, hidden: Array, cell: Array, first: int, stride: int,
    y: Array,
) -> int:  # fmt: skip
    """One layer of cells on one tile; where the weights of the next one begin.

    Args:
        packed: all weights, from `_pack`.
        at: where those of this layer begin.
        units: of the layer.
        width: its inputs, and its units.
        x: inputs and hidden state, `[width · LANES]`.
        hidden: of all coordinates; written.
        cell: likewise.
        first: where the tile begins in them.
        stride: from unit to unit.
        y: the next hidden state once more, `[units · LANES]`; written.
    """
    for j in range(units):
        place = first + j * stride
        # Rows are so far apart that the processor does not see what is read next: this halves the time in memory.
        for line in range(LANES, 2 * LANES, LINE):
            fetch_ahead(hidden, place + line)
            fetch_ahead(cell, place + line)
        i, f, o, candidate = spread(packed[at]), spread(packed[at + 1]), spread(packed[at + 2]), spread(packed[at + 3])
        for k in range(width):
            at += 4
            value = load(x, k * LANES)
            i = multiply_add(spread(packed[at]), value, i)
            f = multiply_add(spread(packed[at + 1]), value, f)
            o = multiply_add(spread(packed[at + 2]), value, o)
            candidate = multiply_add(spread(packed[at + 3]), value, candidate)
        at += 4
        following = next_cell(i, f, candidate, load(cell, place))
        activation = next_hidden(o, following)
        store(cell, place, following)
        store(hidden, place, activation)
        store(y, j * LANES, activation)
    return at


@compiled()
def _copy(rows: int, count: int, source: Array, begin: int, stride: int, target: Array, first: int, step: int) -> None:
    """Copy `count` numbers of each row.

    Args:
        rows: how many.
        count: numbers of each.
        source: from `begin` on, rows being `stride` apart.
        begin: of the first row.
        stride: from row to row.
        target: from `first` on, rows being `step` apart; written.
        first: of the first row.
        step: from row to row.
    """
    for k in range(rows):
        for lane in range(count):
            target[first + k * step + lane] = source[begin + k * stride + lane]


@compiled(entry=True, in_order=True)
def step_cells(
    phi: Array, sizes: Sizes, preprocessing: Preprocessing, x: Array, begin: int, hidden: Array, cell: Array,
    coordinates: int, output: Array,
) -> None:  # fmt: skip
    """One step of some coordinates.

    Args:
        phi: meta-parameters of each network in a row: weights `[units, inputs]` and biases of each layer, then those of
            the output, `[networks, …]`.
        sizes: of the layers.
        preprocessing: how the inputs come from a gradient.
        x: inputs `[inputs, some]`, or the gradient, `[1, some]`.
        begin: which coordinate the first one is, counted over all networks.
        hidden: of all coordinates, `[layers · networks · units · coordinates]`; written.
        cell: likewise.
        coordinates: of each network.
        output: `[some]`; written.
    """
    inputs, below, units, layers = sizes
    networks, some = len(phi), len(output)
    packed, values = np.empty(phi.shape[1], np.float32), x.ravel()
    width = below if below else inputs
    given = np.zeros(inputs * LANES, np.float32)
    now = np.zeros((max(width, units) + units) * LANES, np.float32)
    top = np.zeros(units * LANES, np.float32)
    # A tile that is not full has its state here meanwhile.
    own_hidden, own_cell = np.zeros(layers * units * LANES, np.float32), np.zeros(layers * units * LANES, np.float32)
    own_output = np.zeros(LANES, np.float32)
    start, packed_network = 0, -1
    while start < some:
        network, place_in_network = divmod(begin + start, coordinates)
        if network != packed_network:
            _pack(phi[network], sizes, packed)
            packed_network = network
        count = min(LANES, some - start, coordinates - place_in_network)
        is_full = count == LANES
        origin, of_layer = network * units * coordinates + place_in_network, networks * units * coordinates
        h, c, out, first, stride, next_layer = hidden, cell, output, origin, coordinates, of_layer
        if not is_full:
            for layer in range(layers):
                place, own = origin + layer * of_layer, layer * units * LANES
                _copy(units, count, hidden, place, coordinates, own_hidden, own, LANES)
                _copy(units, count, cell, place, coordinates, own_cell, own, LANES)
            h, c, out, first, stride, next_layer = own_hidden, own_cell, own_output, 0, LANES, units * LANES
        at = below * (inputs + 1)
        if preprocessing[0]:
            _copy(1, count, values, start, some, given, 0, LANES)
            write_inputs(preprocessing, given, now)
        elif below:
            _copy(inputs, count, values, start, some, given, 0, LANES)
            _step_below(packed, inputs, below, given, now)
        else:
            _copy(inputs, count, values, start, some, now, 0, LANES)
        entering = width
        for layer in range(layers):
            place = first + layer * next_layer
            for k in range(units):
                store(now, (entering + k) * LANES, load(h, place + k * stride))
            at = _step_layer(packed, at, units, entering + units, now, h, c, place, stride, top)
            for k in range(units):
                store(now, k * LANES, load(top, k * LANES))
            entering = units
        total = spread(packed[at + units])
        for k in range(units):
            total = multiply_add(spread(packed[at + k]), load(top, k * LANES), total)
        store(out, 0 if not is_full else start, total)
        if not is_full:
            for layer in range(layers):
                place, own = origin + layer * of_layer, layer * units * LANES
                _copy(units, count, own_hidden, own, LANES, hidden, place, coordinates)
                _copy(units, count, own_cell, own, LANES, cell, place, coordinates)
            output[start : start + count] = own_output[:count]
        start += count
