"""What `import armillary` offers."""

import pytest

import armillary


@pytest.mark.parametrize("name", armillary.__all__)
def test_everything_offered_is_there_and_says_what_it_is(name):
    assert getattr(armillary, name).__doc__
    assert name in dir(armillary)


def test_an_unknown_name_is_refused_with_those_that_there_are():
    with pytest.raises(AttributeError, match=r"has no attribute 'Sutdy'; it offers .*'Study'"):
        armillary.Sutdy  # noqa: B018
