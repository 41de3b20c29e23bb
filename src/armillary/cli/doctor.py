"""What this machine has."""

from __future__ import annotations

from typing import Any

from armillary.cli.shared import Json, Seed, app
from armillary.console import print_result, print_table, tell


@app.command()
def doctor(as_json: Json = False, seed: Seed = 0) -> None:  # noqa: ARG001
    """Tell which tools are there, in which versions, and what to install for what is not."""
    import platform
    from dataclasses import asdict

    import armillary
    from armillary import cores
    from armillary.tools.inventory import caches, inventory

    parts = inventory()
    content: dict[str, Any] = {
        "armillary": armillary.__version__,
        "python": platform.python_version(),
        "machine": platform.platform(),
        "cores": cores.available(),
        "parts": [asdict(part) for part in parts],
        "caches": [{"folder": folder, "files": files, "bytes": size} for folder, files, size in caches()],
    }

    def show() -> None:
        tell(f"armillary {content['armillary']}, Python {content['python']}, {content['cores']} cores")
        tell(f"{content['machine']}\n")
        there = [{"part": p.name, "found": p.found, "for": p.use} for p in parts if p.found]
        missing = [{"missing": p.name, "for": p.use, "to get it": p.install} for p in parts if not p.found]
        print_table(there)
        if missing:
            tell()
            print_table(missing)
        if content["caches"]:
            tell()
            print_table(content["caches"])

    print_result(content, as_json, show)
