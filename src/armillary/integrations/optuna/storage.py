"""Storages of Optuna's: opened, and their studies found, or told what is wrong."""

from __future__ import annotations

from pathlib import Path

import optuna
from optuna.storages import BaseStorage, get_storage
from optuna.study import Study

from armillary.types import ArmillaryError

_SQLITE = "sqlite:///"


def opened(storage: str | BaseStorage) -> BaseStorage:
    """Return the storage of an address; a file of SQLite is made if it is not there.

    Raises:
        ArmillaryError: if it cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if not isinstance(storage, str):
        return storage
    if "://" not in storage:
        raise ArmillaryError(f"{storage!r} is no address of a storage; write one such as sqlite:///runs.db")
    try:
        return get_storage(storage)
    except Exception as fault:  # each kind of database raises errors of its own
        last = str(fault).strip().splitlines()[0] if str(fault).strip() else type(fault).__name__
        raise ArmillaryError(f"{without_password(storage)}: cannot be opened: {last}") from fault


def study_of(storage: str, name: str | None) -> Study:
    """Return a study of a storage that is there: the one that is named, or the only one.

    Raises:
        ArmillaryError: if there is no such storage or study, or several and none is named.
    """
    if storage.startswith(_SQLITE) and not Path(storage.removeprefix(_SQLITE)).is_file():
        raise ArmillaryError(f"{storage}: no such file")
    place = opened(storage)
    known = optuna.study.get_all_study_names(place)
    if name is None:
        if len(known) != 1:
            told = f"holds the studies {known}; name one with --study-name" if known else "holds no study"
            raise ArmillaryError(f"{without_password(storage)}: {told}")
        name = known[0]
    if name not in known:
        raise ArmillaryError(f"{without_password(storage)}: study {name!r} is not there; choose one of {known}")
    return optuna.load_study(study_name=name, storage=place)


def without_password(address: str) -> str:
    """Return an address as messages may show it."""
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
