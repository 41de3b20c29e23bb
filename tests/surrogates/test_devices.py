import numpy as np
import pytest
import torch

from armillary import surrogates
from armillary.evaluators.edge_tpu.evaluator import EdgeTpuEvaluator
from armillary.evaluators.physical.space import joint
from armillary.hardware.templates.axiline import SPACE as AXILINE
from armillary.hardware.templates.axiline import TEMPLATE as AXILINE_TEMPLATE
from armillary.hardware.templates.edge_tpu import SPACE, TEMPLATE
from armillary.log.store import InMemoryLog
from armillary.spaces.samplers import sample
from armillary.surrogates.devices import device_of
from armillary.types import ArmillaryError
from armillary.workloads import zoo

LAYOUTS = joint(AXILINE_TEMPLATE).space
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.parametrize("name", ["tpu", "cuda:x", ""])
def test_a_device_of_another_kind_is_refused(name):
    with pytest.raises(ArmillaryError, match="is not allowed; choose cpu, or cuda for a GPU"):
        device_of(name)


@pytest.mark.parametrize("name", surrogates.names())
def test_every_surrogate_can_be_told_where_to_predict(name, monkeypatch):
    own = {"ppa-gcn": AXILINE, "ppa-rtl": AXILINE, "ppa-transfer": LAYOUTS}  # they read the RTL of designs
    space = own.get(name, SPACE)
    surrogates.load(name)(space=space, seed=0, device="cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ArmillaryError, match="sees no GPU"):
        surrogates.load(name)(space=space, seed=0, device="cuda")


@needs_gpu
@pytest.mark.parametrize("name", ["coms", "deep-ensemble", "hurdle"])
def test_a_gpu_predicts_what_the_cpu_does(name):
    rows = EdgeTpuEvaluator().evaluate_codes(sample(SPACE, 600, "random", 0), zoo.build("mobilenet_v2"))
    said = []
    for device in ("cpu", "cuda"):
        model = surrogates.load(name)(space=SPACE, seed=0, steps=60, device=device)
        model.fit(InMemoryLog(rows), TEMPLATE.problem("runtime_s", {"area_mm2": 29.0}))
        said.append(model.predict(sample(SPACE, 500, "random", 1)))
    np.testing.assert_allclose(said[1].mean, said[0].mean, rtol=1e-3)
    np.testing.assert_allclose(said[1].p_feasible, said[0].p_feasible, atol=1e-3)
