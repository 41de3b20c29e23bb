"""The inputs of Starlight: one golden row, and that a mapping has one encoding."""

import numpy as np
import pytest
import torch

from armillary.cost_model.batch import MappingBatch
from armillary.hardware.mapping import Mapping
from armillary.hardware.templates.gemmini import SPACE
from armillary.mapping.mapspace import MapSpace
from armillary.spaces.samplers import sample
from armillary.surrogates.starlight.encoding import NAMES, UnitCube, checked_rows, inputs_of
from armillary.types import ArmillaryError
from surrogates.starlight.samples import ACCELERATORS, LAYERS, codes, rows

DESIGN = {"dim": 16, "accumulator_kib": 64, "scratchpad_kib": 256}
# DRAM turns Q outside K outside R; N, C, P and S do not turn there and stand outside, in this order
MAPPING = "L3[WIO] Q7 K8 R3 - L2[WI] C2 S3 K16X - L1[O] P5 C4 C12X - L0[W] Q14 P11"
GOLDEN = (
    *(16, 64, 256),
    *(3, 1, 4, 5, 2, 0, 6),  # of N K C P Q R S
    *(1, 1, 1, 11, 14, 1, 1),  # registers
    *(1, 1, 4, 5, 1, 1, 1),  # accumulator
    *(1, 1, 2, 1, 1, 1, 3),  # scratchpad
    *(1, 8, 1, 1, 7, 3, 1),  # dram
    *(12, 16),
)


def encoded(*texts, **more):
    return inputs_of({**DESIGN, **more}, texts)


def test_a_golden_row():
    assert len(NAMES) == 40
    assert dict(zip(NAMES, encoded(MAPPING)[0].tolist(), strict=True)) == dict(zip(NAMES, GOLDEN, strict=True))


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_texts_mappings_and_batches_are_encoded_alike(layer):
    space = MapSpace(ACCELERATORS[1].hierarchy(), layer)
    coded = codes(space, 40, np.random.default_rng(0))
    mappings = [space.mapping(code) for code in coded]
    of_batch = inputs_of(DESIGN, space.decode(coded))
    assert np.array_equal(inputs_of(DESIGN, mappings), of_batch)
    assert np.array_equal(inputs_of(DESIGN, [str(m) for m in mappings]), of_batch)


def test_the_factors_multiply_to_the_bounds_and_the_places_are_an_order():
    inputs = rows().inputs
    volumes = inputs[:, 10:].prod(axis=1)
    assert set(volumes) == {16 * 8 * 16 * 16 * 9, 64 * 32 * 4 * 4 * 9, 64 * 64 * 32}
    assert np.array_equal(np.sort(inputs[:, 3:10], axis=1), np.tile(np.arange(7.0), (len(inputs), 1)))
    assert len(np.unique(inputs[:, 3:10], axis=0)) > 100


def test_what_the_rows_share_is_given_once():
    batch = MappingBatch.of([Mapping.parse(MAPPING)])
    two = MappingBatch.of([Mapping.parse(MAPPING), Mapping.parse(MAPPING.replace("Q7 K8", "K8 Q7"))])
    shared = MappingBatch(**{**vars(two), "temporal": batch.temporal, "spatial": batch.spatial})
    found = inputs_of({**DESIGN, "dim": np.array([4, 8])}, shared)
    assert found[0].tolist() == [4, *GOLDEN[1:]]
    assert found[1, :3].tolist() == [8, 64, 256]
    assert found[1, 3:10].tolist() == [3, 2, 4, 5, 1, 0, 6]  # Q and K have changed places
    assert found[1, 10:].tolist() == list(GOLDEN[10:])


def test_columns_come_from_coded_designs():
    codes = sample(SPACE, 2, "random", 0)
    found = inputs_of(SPACE.columns(codes), [MAPPING, MAPPING])
    assert found[:, :3].tolist() == [[d[n] for n in DESIGN] for d in (x.as_dict() for x in SPACE.designs(codes))]


def test_groups_count_as_a_batch():
    groups = encoded(MAPPING.replace("K8", "G6").replace("C2 S3", "G2 S3"))
    batch = encoded(MAPPING.replace("K8", "N6").replace("C2 S3", "N2 S3"))
    assert np.array_equal(groups, batch)
    both = encoded(MAPPING.replace("Q7 K8", "G3 N2 Q7"))[0]
    assert both[NAMES.index("N_dram")] == 6
    assert both[NAMES.index("N_place")] == 2  # where its own loop stands


def test_what_is_no_mapping_of_gemmini_is_refused():
    with pytest.raises(ArmillaryError, match="have 3 levels; Starlight knows the 4 of gemmini"):
        encoded("L2[WIO] K8 - L1[WIO] N1 - L0[WIO] N1")
    with pytest.raises(ArmillaryError, match="unrolls a loop at level registers"):
        encoded(MAPPING + " K2X")
    with pytest.raises(ArmillaryError, match="no mapping"):
        inputs_of(DESIGN, [])
    with pytest.raises(ArmillaryError, match=r"column 'dim' has 3 rows, the mappings have 1"):
        encoded(MAPPING, dim=np.array([4, 8, 16]))
    with pytest.raises(ArmillaryError, match=r"column 'scratchpad_kib' of the accelerators is missing"):
        inputs_of({"dim": 4, "accumulator_kib": 8}, [MAPPING])


def test_the_scaler_maps_training_rows_onto_the_unit_cube():
    inputs = rows().inputs[:300]
    cube = UnitCube.of(inputs)
    scaled = cube(inputs).numpy()
    varied = inputs.min(axis=0) < inputs.max(axis=0)
    assert (scaled.min(axis=0) == 0).all()
    assert np.array_equal(scaled.max(axis=0), varied.astype(float))
    assert not varied.all()
    middle = (inputs.min(axis=0) + inputs.max(axis=0)) / 2
    assert cube(middle[None])[0].numpy() == pytest.approx(varied / 2)
    assert cube(inputs).dtype == torch.float64


def test_the_scaler_may_take_logarithms_of_all_but_the_places():
    inputs = rows().inputs[:300]
    cube = UnitCube.of(inputs, logged=True)
    scaled, dim, place = cube(inputs).numpy(), NAMES.index("dim"), NAMES.index("Q_place")
    assert set(scaled[:, dim]) == {0.0, 0.5, 1.0}  # of 4, 8 and 16
    assert np.array_equal(scaled[:, place], UnitCube.of(inputs)(inputs)[:, place].numpy())
    inputs = inputs.copy()
    inputs[3, NAMES.index("K_dram")] = 0
    with pytest.raises(ArmillaryError, match=r"input K_dram of row 3 is 0.0; it must be positive"):
        cube(inputs)


def test_rows_that_are_none_are_refused():
    inputs, values = rows().inputs[:4].copy(), rows().low[:4].copy()
    checked_rows(inputs, values)
    with pytest.raises(ArmillaryError, match=r"inputs have shape \[4, 39\]; it must be \[rows, 40\]"):
        checked_rows(inputs[:, :-1], values)
    with pytest.raises(ArmillaryError, match=r"values have shape \[3\]; it must be \[4\]"):
        checked_rows(inputs, values[:3])
    with pytest.raises(ArmillaryError, match="1 training rows are too few"):
        checked_rows(inputs[:1], values[:1])
    values[2] = -np.inf
    with pytest.raises(ArmillaryError, match=r"value of row 2 is -inf"):
        checked_rows(inputs, values)
    inputs[1, 2] = np.nan
    with pytest.raises(ArmillaryError, match=r"input scratchpad_kib of row 1 is nan"):
        UnitCube.of(inputs[:1])(inputs)
