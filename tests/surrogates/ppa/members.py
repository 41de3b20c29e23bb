"""Members that tests of what uses the ensemble of layouts make do with."""

from armillary.surrogates.auto.process import Process
from armillary.surrogates.ppa import stack
from armillary.surrogates.ppa.surrogate import Ppa


def with_one_member(patch):
    """Let the ensemble have one member and few folds: its weights are not what is tested here."""
    patch.setattr(Ppa, "members", (Process,))
    patch.setattr(stack, "_MANY_FOLDS", 2)
