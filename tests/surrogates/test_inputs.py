import numpy as np
import pytest

from armillary.hardware.templates.edge_tpu import EDGE_TPU, SPACE
from armillary.spaces.samplers import sample
from armillary.spaces.space import Parameter, Space
from armillary.surrogates.inputs import Inputs, encoded
from armillary.surrogates.rows import Rows
from armillary.workloads import zoo
from armillary.workloads.context import context_of

CODES = sample(SPACE, 400, "random", 0)
CONTEXTS = [context_of(zoo.build(name)) for name in ("mobilenet_v2", "t_rnn_enc")]
NAMES = tuple(CONTEXTS[0].as_dict())


def inputs(contexts, derived=True, space=SPACE):
    rows = Rows(CODES, np.arange(len(CODES)) % len(contexts), np.empty(0))
    return Inputs.of(space, NAMES, np.array([c.vector() for c in contexts]), [rows], derived), rows


def test_amounts_are_encoded_by_their_logarithm():
    space = Space("s", (Parameter("n", (1, 2, 16)), Parameter("kind", ("a", "b"), kind="categorical")))
    x = encoded(space, np.array([[1, 0], [2, 1]]))
    assert x.tolist() == [[0, 1, 0, 1, 0, 0.25, 0], [0, 0, 1, 0, 1, 1, 1]]


@pytest.mark.parametrize("several", [False, True])
def test_what_is_derived_is_standardised_over_the_rows_that_were_trained_on(several):
    made, rows = inputs(CONTEXTS if several else CONTEXTS[:1])
    x = made.of_rows(rows).numpy()
    assert x.shape == (len(CODES), made.width)
    derived = x[:, -10:]
    np.testing.assert_allclose(derived.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(derived.std(axis=0), 1, rtol=1e-4)


def test_one_design_and_workload_has_the_same_inputs_among_rows_and_alone():
    made, rows = inputs(CONTEXTS)
    alone = made(CODES[1:2], CONTEXTS[1].vector())
    np.testing.assert_array_equal(alone.numpy()[0], made.of_rows(rows).numpy()[1])


def test_without_what_is_derived_there_is_the_design_and_the_context():
    narrow, _ = inputs(CONTEXTS, derived=False)
    wide, _ = inputs(CONTEXTS)
    assert wide.width == narrow.width + 10
    assert narrow(CODES, CONTEXTS[0].vector()).shape == (len(CODES), narrow.width)
    plain = Space(SPACE.name, SPACE.parameters)
    assert plain == SPACE  # what is derived tells no spaces apart
    assert inputs(CONTEXTS, space=plain)[0].width == narrow.width


def test_the_sizes_of_a_single_workload_do_not_matter():
    known, _ = inputs(CONTEXTS[:1])
    for contexts in (np.full((1, len(NAMES)), np.nan), np.empty((1, 0))):
        names = NAMES[: contexts.shape[1]]
        rows = [Rows(CODES, np.zeros(len(CODES), dtype=int), np.empty(0))]
        unknown = Inputs.of(SPACE, names, contexts, rows, True)
        np.testing.assert_allclose(unknown(CODES, None).numpy(), known(CODES, None).numpy(), atol=1e-5)


def test_the_roofs_of_the_published_edge_tpu():
    codes = SPACE.encode([EDGE_TPU])
    told = {"compute_ops": np.array(2.0**30), "parameter_mb": np.array(8.0)}
    compute, _, pe_memory, _, pes, peak, *_ = SPACE.derived(codes, told)[0]
    assert (pes, peak) == (4, 14)  # 16 PEs, 4 cores of 64 lanes of 4 each
    assert compute == 30 - 14
    assert 2**pe_memory == 16 * 2 * 2**20 / 8
