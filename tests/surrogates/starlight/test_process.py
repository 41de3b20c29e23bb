import numpy as np

from armillary.surrogates.starlight.process import ErrorProcess


def test_a_feature_that_never_varied_changes_nothing():
    rng = np.random.default_rng(0)
    features = np.column_stack([rng.random((30, 2)), np.full(30, np.log2(50.0)), np.full(30, np.log2(16.0))])
    errors = features[:, 0] - 0.5
    process = ErrorProcess.tuned(features, errors, 0)
    other = features.copy()
    other[:, 2:] = [np.log2(200.0), 2.0]
    for found, known in zip(process.predict(other), process.predict(features), strict=True):
        np.testing.assert_array_equal(found, known)
    assert np.abs(process.predict(features)[0] - errors).max() < 0.1
