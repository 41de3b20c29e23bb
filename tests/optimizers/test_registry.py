import subprocess
import sys

import pytest

from armillary import optimizers, surrogates
from armillary.types import ArmillaryError


@pytest.mark.parametrize("registry", [optimizers, surrogates])
def test_every_member_loads_and_names_are_sorted(registry):
    assert registry.names() == sorted(registry.names())
    assert all(callable(registry.load(name)) for name in registry.names())


def test_a_wrong_name_hints_at_the_near_one():
    with pytest.raises(ArmillaryError, match=r"optimizer 'firefy' is unknown; did you mean 'firefly'\?"):
        optimizers.load("firefy")


def test_listing_loads_no_torch():
    code = (
        "import sys; from armillary import optimizers, surrogates; optimizers.names(); surrogates.names(); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
