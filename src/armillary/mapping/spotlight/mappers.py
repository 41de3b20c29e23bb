"""The searches of mappings onto `spotlight` chips, by name.

An evaluator is told the name, so that its rows can tell how their mappings were found.
"""

from __future__ import annotations

from functools import partial

from armillary.mapping.spotlight.dabo import DaboMaps
from armillary.mapping.spotlight.features import RAW_SW, SPOTLIGHT_SW, FeatureSpace, union
from armillary.mapping.spotlight.fixed import FixedSpace, GridMaps
from armillary.mapping.spotlight.local import DISTINCT, LocalMaps
from armillary.mapping.spotlight.mapspace import NVDLA
from armillary.mapping.spotlight.search import GENETIC, RANDOM, Mapper
from armillary.registry import Registry

PRIOR_SHARE = 0.5
"""Share of the candidates of Spotlight and Spotlight-A that follow a known dataflow, and share of them that fill the
array; the chapter has none."""
_TILES = 12
_HERE = "armillary.mapping.spotlight.mappers"

MAPPERS = Registry(
    "mapper",
    "armillary.mappers",
    {
        "dabo": f"{_HERE}:DABO",
        "dabo-all": f"{_HERE}:DABO_ALL",
        "dabo-fixed": f"{_HERE}:DABO_FIXED",
        "dabo-vanilla": f"{_HERE}:DABO_VANILLA",
        "dataflows": f"{_HERE}:DATAFLOWS",
        "exact": f"{_HERE}:EXACT",
        "genetic": f"{_HERE}:GENETIC",
        "grid": f"{_HERE}:GRID",
        "intrinsic": f"{_HERE}:INTRINSIC",
        "random": f"{_HERE}:RANDOM",
        "thorough": f"{_HERE}:THOROUGH",
    },
)


def dabo_mapper(name: str, features: FeatureSpace, *, samples: int = 100, prior_share: float = PRIOR_SHARE) -> Mapper:
    """Return the mapper that searches with daBO in a feature space, from mappings of other chips where it has them."""
    return Mapper(name, partial(DaboMaps, features=features, prior_share=prior_share), samples=samples, warm=True)


THOROUGH = Mapper("thorough", LocalMaps, samples=3000, batch=100, space=DISTINCT, warm=True, balanced=True)
EXACT = Mapper("exact", LocalMaps, samples=2000, batch=100, space=DISTINCT, warm=True, balanced=True)
"""That of Spotlight-exact: as `THOROUGH`, with fewer samples, as it starts from the best mappings of other chips."""
DABO = dabo_mapper("dabo", SPOTLIGHT_SW)
DABO_VANILLA = dabo_mapper("dabo-vanilla", RAW_SW, prior_share=0.0)
DABO_ALL = dabo_mapper("dabo-all", union(SPOTLIGHT_SW, RAW_SW))
DABO_FIXED = Mapper("dabo-fixed", partial(DaboMaps, features=SPOTLIGHT_SW, near=0), space=FixedSpace)
DATAFLOWS = Mapper("dataflows", RANDOM.make, samples=_TILES, space=FixedSpace)
"""That of ConfuciuX: random tile factors in three dataflows."""
INTRINSIC = Mapper("intrinsic", RANDOM.make, samples=_TILES, space=partial(FixedSpace, flows=(NVDLA,)))
"""That of HASCO: one matrix-multiply intrinsic."""
GRID = Mapper("grid", GridMaps, samples=500, batch=100)
__all__ = ["GENETIC", "MAPPERS", "RANDOM", "THOROUGH", "Mapper", "dabo_mapper"]
