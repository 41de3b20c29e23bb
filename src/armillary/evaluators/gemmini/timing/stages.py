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
NEST = 4
"""From a unit's start to the first step of its loops: `nest.opened`, `starts_late`, `valid`, then `fifo.there`."""
ASK = 1
"""From there to a load's first request: `load.asks_any`."""
ASKED_TO_START = 2
"""From the last request of a load to the next one's start: `load.asks_any`, then `core.taken`."""
ANSWER_TO_REQUEST = 2
"""From the last beat of a burst to the request that takes its place: `gather.there`, then `load.held`."""
LOADED = 2
"""From a load's last beat to its end: `gather.there`, then `load.finish`. No beat of the next load is taken before."""
SENT_TO_START = 1
"""From the cycle after the last beat of a store to the next one's start: `core.taken`."""
CONVERT = 9
"""`convert.LATENCY`."""
STORE_RAW = NEST + 5
"""From a store's start to its first beat: `store.walking`, `came`, `there`, `window`, `leaving`."""
STORE = STORE_RAW + CONVERT
"""Likewise through the conversion."""
WRITE_TO_REQUEST = 3
"""From a burst's last beat to the burst that takes its place, beside DRAM's latency: `store.held`, `leaving`."""
NEXT_PIXELS = NEST
"""From the last pixel of a command to the first of the next one: the walk, a step ahead, is handed over meanwhile."""
NEXT_WEIGHTS = 1
"""From a tile's first pixel to the first row of the next tile's weights: `weight_walk.loaded`."""
TILES_AHEAD = 2
"""Tiles of weights that the walk over them is ahead: `weight_walk.tiles_ahead`."""
TILES_TO_START = 2
"""From the step of the last tile to the next command's start: `nest.valid`, then `core.taken`."""
HANDED_TO_START = 2
"""From a command's hand-over to the walk over pixels to the next one's start: `weight_walk.handed`, `core.taken`."""
SUM_TO_FINISH = 2
"""Into the array and out of it, beside its 2 DIM: `execute.add`, `execute.finish`."""
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
