"""How many cycles the stages between the units of the accelerator take: read off its blocks, all in one place.

A cycle of the clock is a register. Who adds a register to a block in `hardware/rtl/gemmini/blocks` counts it here; the
tests of this package hold the sums against simulations.
"""

PUSH_TO_START = 2
"""From a command's push into its queue to its unit's start: `hazards.needs`, then `core.taken`."""
FINISH_TO_START = 2
"""From the end of what a command waits for to its start: `hazards.needs`, then `core.taken`."""
FINISH_TO_PUSH = 1
"""From the end of a command to the push of one that needs its place: `hazards.used`."""
NEST = 2
"""From a unit's start to the first step of its loop nest: `nest.starts_late`, `nest.valid`."""
ASKED_TO_START = 2
"""From the last request of a load to the next one's start: `nest.valid`, then `core.taken`."""
ANSWER_TO_REQUEST = 1
"""From the last beat of a burst to the request that takes its place: `load.held`."""
SENT_TO_START = 1
"""From the cycle after the last beat of a store to the next one's start: `core.taken`."""
CONVERT = 9
"""`convert.LATENCY`."""
STORE_RAW = NEST + 3
"""From a store's start to its first beat: `accumulator.was_read`, `store.window`, `store.leaving`."""
STORE = STORE_RAW + CONVERT
"""Likewise through the conversion."""
WRITE_TO_REQUEST = 3
"""From a burst's last beat to the burst that takes its place, beside DRAM's latency: `store.held`, `leaving`."""
NEXT_PIXELS = 3
"""From the last pixel of a command to the first of the next one: `execute.hands` behind `nest.valid`, then `NEST`."""
WEIGHTS_TO_START = 2
"""From the last row of a command's weights to the next one's start: `nest.valid`, then `core.taken`."""
HANDED_TO_START = 2
"""From the hand-over of a command to the walk over pixels to the next one's start: `execute.handed`, `core.taken`."""
SUM_TO_FINISH = 2
"""Into the array and out of it, beside its 2 DIM: `execute.in_valid`, `execute.ended`."""
DRAIN = 2
"""From a block's first channel to when its results may be asked for: `execute.in_begins`, `to_ask`."""
FLUSH_TO_START = 3
"""From the flush to the next command's start, beside a cycle per pixel: `in_begins`, `idle`, `core.taken`."""
FLUSH_TO_FINISH = 2
"""From the flush to the end of a command, beside a cycle per pixel and the array: `to_ask`, `execute.ended`."""
FETCH_TO_WORD = 3
"""From a fetched beat to its word at the decoder, beside DRAM's latency: `fetch.asked`, its memory, `there`."""
CHUNK_WORDS = 32
"""Words of a fetch: `fetch.CHUNK` bytes of eight."""
END = 2
"""From the last answer to `core.done`, and the cycle in which that is seen."""
