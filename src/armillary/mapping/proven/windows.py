"""The least input words that cross a boundary, compiled, the levels outside it decided.

Two rules move windows. Where a last round is short, only the innermost loop outside the boundary slides one, as
`cost_model.remainders` counts. Where all factors divide, the cost model extrapolates from the first two iterations as
Timeloop does: a move that repeats the innermost loop's displacement brings just as little, and one that leads back to
the same window brings nothing. `_may_return` and `_full` say when that can happen; then the least is counted. Instances
that share windows, or find them at a neighbour, are only told apart from those that do not: see `note_shared`.
"""

from __future__ import annotations

from pathlib import Path

from armillary.compiled import called, compilers
from armillary.mapping.proven.state import INPUTS, OUTPUTS, WEIGHTS, outer_rounds, spatial

SOURCES = (Path(__file__), Path(__file__).with_name("state.py"))
_, _inlined = compilers(*SOURCES)
_called = called(*SOURCES)

_RETURNED = 0.5
"""The least share of moves that bring words where some lead back: the innermost loop's, of two iterations or more."""


@_called
def _shares(loops, level):
    """Return whether instances below a decided level may want the same windows, though they differ in more than K."""
    for axis in range(2):
        out, tap = loops.place[axis], loops.place[axis + 2]
        if out < 0 or tap < 0:
            continue
        along_out, along_tap = spatial(loops, level, out), spatial(loops, level, tap)
        if along_out > 1 and (along_tap > 1 or (level > 0 and loops.between[loops.chosen[level, tap]] > 1)):
            return True
        if along_tap > 1 and level > 0 and loops.between[loops.chosen[level, out]] > 1:
            return True
    return False


@_called
def note_shared(loops, slides, source, shared, decided):
    """Note over which boundaries words need not be read, or need not arrive, as instances share windows.

    Levels from `decided` outwards are decided; of the others only the rules are known. What instances pass on is spread
    over those of the whole chip by the cost model, so that all of it arrives below a single instance.
    """
    levels = len(loops.chosen)
    several = False
    for level in range(levels - 1, -1, -1):
        shares = slides[level]
        if shares and level >= decided:
            shares = _shares(loops, level)
        shared[decided, level, 0] = shares
        shared[decided, level, 1] = shares and several
        several = several or loops.fanout[level, 0] * loops.fanout[level, 1] > 1
    for boundary in range(levels):
        for level in range(boundary + 1, source[boundary, INPUTS] + 1):
            shared[decided, boundary, 0] = shared[decided, boundary, 0] or shared[decided, level, 0]


@_called
def _turns(loops, level, k):
    """Return whether a decided level has a temporal loop over a dimension."""
    return loops.between[loops.chosen[level, k]] > outer_rounds(loops, level, k)


@_called
def _reach(loops, axis, moving, level):
    """Return how many rows or columns a temporal loop over outputs (0) or taps (1) moves the window, all dividing."""
    k = loops.place[axis + 2 * moving]
    return loops.window[axis, 2 + moving] * (loops.bounds[k] // loops.between[loops.chosen[level, k]])


@_called
def _counted(loops, axis, moving, boundary):
    """Return how many temporal loops over outputs or taps turn outside a boundary, and the reach of the innermost."""
    k = loops.place[axis + 2 * moving]
    count, first = 0, 0.0
    if k >= 0:
        for level in range(boundary, len(loops.chosen)):
            if _turns(loops, level, k):
                if count == 0:
                    first = _reach(loops, axis, moving, level)
                count += 1
    return count, first


@_called
def _may_return(loops, axis, boundary):
    """Return whether a loop over outputs or taps may lead a window back to where it was.

    It does if it reaches as far as the loops inside it did in one step each. Loops over one dimension alone never do,
    as each reaches at least twice as far as the next one inside. Where one of the two has a single loop, its reach must
    be a sum of the other's, or make one up.
    """
    outs, reach_out = _counted(loops, axis, 0, boundary)
    taps, reach_tap = _counted(loops, axis, 1, boundary)
    if outs == 0 or taps == 0:
        return False
    if outs > 1 and taps > 1:
        return True
    single, many = (reach_tap, 0) if taps == 1 else (reach_out, 1)
    k = loops.place[axis + 2 * many]
    inside = 0.0
    for level in range(boundary, len(loops.chosen)):
        if _turns(loops, level, k):
            reach = _reach(loops, axis, many, level)
            if reach == single + inside:
                return True
            inside += reach
            if inside == single:
                return True
    return False


@_called
def _full(loops, axis, moving, boundary, first):
    """Return the least windows brought whole where level `first` slides them, of all dimensions but the axis's one.

    They are those of the first iteration, if every loop over the axis may repeat the innermost displacement: loops over
    the other of its dimensions may, and after a loop of two iterations the next one over its own. Else only the
    innermost loop slides.
    """
    k, other = loops.place[axis + 2 * moving], loops.place[axis + 2 * (1 - moving)]
    factor = loops.between[loops.chosen[first, k]] // outer_rounds(loops, first, k)
    repeats = False
    apart = moves = 1.0
    for level in range(boundary, len(loops.chosen)):
        apart *= spatial(loops, level, k)
        moves *= loops.between[loops.chosen[level, k]] // outer_rounds(loops, level, k)
        repeats = repeats or (factor == 2 and level > first and _turns(loops, level, k))
        if other >= 0:
            apart *= spatial(loops, level, other)
            moves *= loops.between[loops.chosen[level, other]] // outer_rounds(loops, level, other)
            repeats = repeats or _turns(loops, level, other)
    return apart if repeats else apart * moves / factor


@_called
def _rows(loops, axis, boundary, moving, level):
    """Return the input rows or columns of all windows, which a loop over `moving` (0 outputs, 1 taps) slides."""
    out, tap, stride, dilation = (
        loops.window[axis, 0],
        loops.window[axis, 1],
        loops.window[axis, 2],
        loops.window[axis, 3],
    )
    tiles_out = tiles_tap = 1.0
    at = loops.place[axis]
    if at >= 0:
        tiles_out = float(
            outer_rounds(loops, level, at) if moving == 0 else loops.values[at, loops.state[boundary, at]]
        )
    at = loops.place[axis + 2]
    if at >= 0:
        tiles_tap = float(
            outer_rounds(loops, level, at) if moving == 1 else loops.values[at, loops.state[boundary, at]]
        )
    return stride * out * tiles_tap + dilation * tap * tiles_out + (1 - stride - dilation) * tiles_out * tiles_tap


@_called
def _one_window(loops, axis, boundary):
    """Return the rows or columns of the tile's window, all factors dividing."""
    found = 1.0
    for tap in range(2):
        at = loops.place[axis + 2 * tap]
        if at >= 0:
            found += (loops.bounds[at] // loops.values[at, loops.state[boundary, at]] - 1) * loops.window[axis, 2 + tap]
    return found


@_called
def _extrapolated_rows(loops, axis, moving, boundary, first, rows):
    """Return the least rows or columns of all windows if a loop of level `first` slides them, all factors dividing."""
    window, reach = _one_window(loops, axis, boundary), _reach(loops, axis, moving, first)
    if reach >= window:
        return rows * _RETURNED if _may_return(loops, axis, boundary) else rows
    return rows / window * reach + (window - reach) * _full(loops, axis, moving, boundary, first)


@_called
def input_words(loops, extrapolated, boundary):
    """Return the least rows times columns that cross a boundary."""
    levels, dims = len(loops.chosen), len(loops.bounds)
    rows = _rows(loops, 0, boundary, -1, 0)
    columns = _rows(loops, 1, boundary, -1, 0)
    least = rows * columns
    if boundary == 0:
        return least
    first = levels
    for level in range(levels - 1, boundary - 1, -1):
        for k in range(dims):
            if _turns(loops, level, k):
                first = level
    if first == levels:
        return least
    resting = loops.pattern[first]
    if resting == INPUTS:
        if extrapolated and (_may_return(loops, 0, boundary) or _may_return(loops, 1, boundary)):
            least *= _RETURNED
        return least
    if resting not in (WEIGHTS, OUTPUTS):
        return least
    moving = 0 if resting == WEIGHTS else 1
    for axis in range(2):
        at = loops.place[axis + 2 * moving]
        if at < 0 or not _turns(loops, first, at):
            continue
        own, other = (rows, columns) if axis == 0 else (columns, rows)
        if extrapolated:
            slid = _extrapolated_rows(loops, axis, moving, boundary, first, own)
        else:
            slid = _rows(loops, axis, boundary, moving, first)
        least = min(least, slid * other)
    return least
