"""How commands show what several goals trade."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from armillary.console import print_table, tell

if TYPE_CHECKING:
    from armillary.studies.fronts import Front

_FRONT_SHOWN = 12


def front_rows(front: Front) -> list[dict[str, Any]]:
    """Return the designs of a front: objectives, parameters, whether it is the preferred one."""
    names = [objective.metric for objective in front.objectives]
    return [
        {**dict(zip(names, values, strict=True)), **row.design.as_dict(), "preferred": place == front.preferred}
        for place, (values, row) in enumerate(zip(front.values.tolist(), front.rows.to_list(), strict=True))
    ]


def show_front(front: Front) -> None:
    """Show the front, of a long one the ends and what lies between evenly, the preferred design always."""
    import numpy as np

    rows = front_rows(front)
    places = np.unique(np.linspace(0, len(rows) - 1, min(_FRONT_SHOWN, len(rows))).round().astype(int))
    tell(
        f"\n{len(rows)} design{'s' if len(rows) > 1 else ''} on the front"
        + (f", {len(places)} shown" if len(places) < len(rows) else "")
    )
    names = [objective.metric for objective in front.objectives]
    shown = sorted({*places.tolist(), front.preferred})
    print_table(
        [
            {**{name: f"{rows[k][name]:.4g}" for name in names}, "": "preferred" if rows[k]["preferred"] else ""}
            for k in shown
        ]
    )
