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


def is_written(space: str) -> bool:
    """Return whether a platform writes the RTL of a space's designs; a space is named after its template."""
    return template_of(space) in PLATFORMS.names()


def template_of(space: str) -> str:
    """Return the template that a space is named after, with or without knobs of the back end."""
    return space.partition(".")[0]
