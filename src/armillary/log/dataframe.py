"""Evaluations as a pandas data frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armillary.log.columns import objects
from armillary.log.schema import CONTEXT_PREFIX, EVALUATIONS, FAILURE_COLUMN, SPACE_COLUMN, Header
from armillary.types import Evaluations

if TYPE_CHECKING:
    import pandas as pd


def to_dataframe(rows: Evaluations) -> pd.DataFrame:
    """Return one row per evaluation, under the names that columns have in a log.

    Parameters come first, then metrics, `feasible`, `failure` (why not, in words; None if feasible), and the rest.

    Raises:
        ArmillaryError: if two columns share a name.
    """
    import pandas as pd  # takes half a second, which those who read a log otherwise need not wait

    Header.of(rows, EVALUATIONS)
    failures = objects([None if ok else str(rows.failure(row)) for row, ok in enumerate(rows.feasible)])
    plain = {name: getattr(rows, name) for name in Evaluations.PLAIN_COLUMNS if name != "feasible"}
    return pd.DataFrame(
        {
            **rows.design,
            **rows.metrics,
            "feasible": rows.feasible,
            FAILURE_COLUMN: failures,
            **{CONTEXT_PREFIX + name: column for name, column in rows.context.items()},
            **plain,
            SPACE_COLUMN: rows.space,
        }
    )
