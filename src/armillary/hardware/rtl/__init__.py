"""Hardware that is generated: sources and generators, a folder a platform."""

from armillary.registry import Registry

PLATFORMS = Registry(
    "platform",
    "armillary.platforms",
    {
        "axiline": "armillary.hardware.rtl.axiline.generator:PLATFORM",
        "gemmini": "armillary.hardware.rtl.gemmini.generator:PLATFORM",
        "genesys": "armillary.hardware.rtl.genesys.generator:PLATFORM",
        "tabla": "armillary.hardware.rtl.tabla.generator:PLATFORM",
        "vta": "armillary.hardware.rtl.vta.generator:PLATFORM",
    },
)
"""By template."""
