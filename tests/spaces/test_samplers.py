import numpy as np
import pytest

from armillary.hardware.templates.edge_tpu import SPACE
from armillary.spaces.samplers import SAMPLERS, sample, sample_existing
from armillary.spaces.space import Parameter, Space
from armillary.types import ArmillaryError


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
@pytest.mark.parametrize("n", [1, 7, 64, 1000])
def test_samples_are_designs_and_repeat_with_the_seed(sampler, n):
    codes = sample(SPACE, n, sampler, 3)
    assert codes.shape == (n, 10)
    assert (codes >= 0).all()
    assert (codes < SPACE.cardinalities).all()
    assert (codes == sample(SPACE, n, sampler, 3)).all()
    assert n == 1 or (codes != sample(SPACE, n, sampler, 4)).any()


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_every_value_is_drawn_equally_often(sampler):
    codes = sample(SPACE, 4096, sampler, 0)
    for i, cardinality in enumerate(SPACE.cardinalities):
        counts = np.bincount(codes[:, i], minlength=cardinality)
        assert counts == pytest.approx(4096 / cardinality, rel=0.35)


def test_refuses_an_unknown_sampler_and_no_sample():
    with pytest.raises(ArmillaryError, match=r"'lattice' is unknown; choose one of \['halton'"):
        sample(SPACE, 4, "lattice", 0)
    for n in (0, -1, 2**30 + 1):
        with pytest.raises(ArmillaryError, match=f"samples={n} is not allowed"):
            sample(SPACE, n, "sobol", 0)
    with pytest.raises(ArmillaryError, match="did you mean 'sobol'"):
        sample(SPACE, 4, "sobel", 0)


@pytest.mark.parametrize("sampler", ["random", "sobol", "halton"])
def test_more_samples_extend_fewer(sampler):
    assert (sample(SPACE, 300, sampler, 1)[:77] == sample(SPACE, 77, sampler, 1)).all()


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_designs_that_exist_are_different_and_found_to_the_last(sampler):
    space = Space("squares", (Parameter("a", (1, 2, 3, 4)), Parameter("b", (1, 2, 3, 4))))

    def exists(codes):
        return codes[:, 0] >= codes[:, 1]

    every = sample_existing(space, 10, sampler, 1, exists)
    assert exists(every).all()
    assert len(np.unique(every, axis=0)) == 10
    np.testing.assert_array_equal(every, sample_existing(space, 10, sampler, 1, exists))
    with pytest.raises(ArmillaryError, match="are 10 of the 16 in squares that can be built; ask for fewer"):
        sample_existing(space, 11, sampler, 1, exists)
    assert len(np.unique(sample_existing(space, 16, sampler, 1, None), axis=0)) == 16
