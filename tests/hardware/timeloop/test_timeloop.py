import csv
import gzip
import json

import pytest
from hypothesis import given, settings

from armillary.hardware.bits import Bits
from armillary.hardware.hierarchy import Hierarchy, Level
from armillary.hardware.mapping import Mapping
from armillary.hardware.timeloop import (
    architecture_yaml,
    load_architecture,
    load_mapping,
    load_problem,
    mapping_yaml,
    problem_yaml,
)
from armillary.hardware.timeloop.document import dump
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer
from cost_model.test_cost import cases

TREE = """
architecture:
  version: 0.3
  subtree:
    - name: system
      local:
        - {name: Mem, class: DRAM, attributes: {width: 256, block-size: 32, word-bits: 8, shared_bandwidth: 16}}
      subtree:
        - name: chip
          local:
            - {name: Glob, class: smartbuffer_SRAM, attributes: {depth: 1024, width: 64, word-bits: 8, n_banks: 2}}
          subtree:
            - name: PE[0..11]
              local:
                - {name: Spad, class: smartbuffer_RF, attributes: {depth: 16, width: 8, word-bits: 8, meshX: 4}}
                - {name: mac, class: intmac, attributes: {datawidth: 8, meshX: 4}}
"""
NODES = """
architecture:
  version: 0.4
  nodes:
    - !Container {name: system}
    - !Component {name: Mem, class: DRAM, attributes: {width: 256, block_size: 32, word_bits: 8, shared_bandwidth: 16}}
    - !Component {name: Glob, class: SRAM, attributes: {depth: 1024, width: 64, word_bits: 8}}
    - !Container {name: PE, spatial: {meshX: 4, meshY: 3}}
    - !Component
      name: Spad
      class: regfile
      attributes: {depth: 16, width: 8, word_bits: 8, multiple_buffering: 2}
      constraints: {dataspace: {keep: [Weights], bypass: [Inputs, Outputs]}}
    - !Component {name: mac, class: intmac, attributes: {datawidth: 8}}
"""
GEMM = """
problem:
  shape:
    name: gemm
    dimensions: [M, N, K]
    data-spaces:
      - {name: A, projection: [[[M]], [[K]]]}
      - {name: B, projection: [[[K]], [[N]]]}
      - {name: Z, projection: [[[M]], [[N]]], read-write: True}
  instance: {M: 6, N: 5, K: 4}
"""
CONV = """
problem:
  shape: cnn-layer
  instance: {C: 3, K: 8, R: 7, S: 5, P: 10, Q: 12, N: 2, Wstride: 2, Hstride: 3, Wdilation: 4, Hdilation: 1}
"""


@pytest.fixture
def written(tmp_path):
    def write(text, name="file.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_a_tree_becomes_a_hierarchy(written):
    chip = load_architecture(written(TREE))
    assert [(x.name, x.kind, x.capacity_words, x.fanout) for x in chip.levels] == [
        ("Mem", "dram", None, (1, 1)),
        ("Glob", "sram", 8192, (4, 3)),
        ("Spad", "regfile", 16, (1, 1)),
    ]
    assert chip.levels[0].shared_bandwidth == 16
    assert [level.block_words for level in chip.levels] == [32, 8, 1]


def test_a_list_of_nodes_becomes_a_hierarchy(written):
    chip = load_architecture(written(NODES))
    assert [(x.name, x.keeps, x.fanout, x.buffers) for x in chip.levels] == [
        ("Mem", "WIO", (1, 1), 1),
        ("Glob", "WIO", (4, 3), 1),
        ("Spad", "W", (1, 1), 2),
    ]


def test_uneven_tiles_are_refused(written):
    chip = load_architecture(written(NODES))
    uneven = chip.levels[1].model_copy(update={"uneven": True})
    chip = Hierarchy(name="chip", levels=(chip.levels[0], uneven, chip.levels[2]))
    with pytest.raises(ArmillaryError, match=r"level Glob\.inner: Timeloop has no part_of='Glob', no uneven tiles"):
        architecture_yaml(chip)


@pytest.mark.parametrize(
    ("where", "message"),
    [("chip", "hierarchy chip: Timeloop has no bits='P=32'"), ("level", "level Mem: Timeloop has")],
)
def test_widths_by_role_are_not_written(where, message):
    own = {where: Bits(P=32)}
    chip = Hierarchy(name="chip", levels=(Level(name="Mem", bits=own.get("level")),), bits=own.get("chip"))
    with pytest.raises(ArmillaryError, match=message):
        architecture_yaml(chip)


@pytest.mark.parametrize("version", ["0.3", "0.4"])
@settings(max_examples=40, deadline=None)
@given(case=cases())
def test_what_is_written_is_read_again(version, tmp_path_factory, case):
    chip, layer, mapping = case
    folder = tmp_path_factory.mktemp("timeloop")
    plain = [{"multicast": True, "spatial_reduction": True, "energy": None} for _ in chip.levels]
    chip = Hierarchy(name="chip", levels=tuple(x.model_copy(update=p) for x, p in zip(chip.levels, plain, strict=True)))
    (folder / "chip.yaml").write_text(architecture_yaml(chip, version))
    if version == "0.3":  # which says in the mapping what is kept
        everything = tuple(level.model_copy(update={"keeps": "WIO"}) for level in chip.levels)
        chip = chip.model_copy(update={"levels": everything})
    assert load_architecture(folder / "chip.yaml") == chip
    if layer.groups > 1:
        with pytest.raises(ArmillaryError, match="Timeloop's cnn-layer shape has none"):
            problem_yaml(layer, version)
        return
    (folder / "small.yaml").write_text(problem_yaml(layer, version))
    problem = load_problem(folder / "small.yaml")
    assert [getattr(problem.layer, f) for f in ("N", "K", "C", "P", "Q", "R", "S", "stride_h", "dilation_w")] == [
        getattr(layer, f) for f in ("N", "K", "C", "P", "Q", "R", "S", "stride_h", "dilation_w")
    ]
    (folder / "map.yaml").write_text(mapping_yaml(mapping, chip, version))
    assert load_mapping(folder / "map.yaml", chip, problem) == mapping


def test_timeloops_own_mappings_are_read(shared_data, written):
    with gzip.open(shared_data / "timeloop" / "reference.csv.gz", "rt", newline="") as file:
        csv.field_size_limit(10**9)
        rows = list(csv.DictReader(file))
    for row in rows:
        levels = tuple(
            Level(name=x["name"], keeps=x["keep"], fanout=tuple(x["fanout_below_xy"]))
            for x in json.loads(row["arch_json"])
        )
        sizes = {d: int(row[d]) for d in "NKCPQRS"}
        path = written(dump(json.loads(row["mapping_yaml"])))
        ours = load_mapping(path, Hierarchy(name="h", levels=levels), Layer("l", "conv", **sizes))
        turning = Mapping.parse(row["mapping"])
        assert str(ours).replace(" N1", "") == str(turning).replace(" N1", "")


def test_in_timeloops_shape_p_goes_with_the_width(written):
    layer = load_problem(written(CONV)).layer
    assert (layer.stride_h, layer.stride_w, layer.dilation_h, layer.dilation_w) == (2, 3, 4, 1)
    assert (layer.P, layer.R, layer.Q, layer.S, layer.kind) == (10, 7, 12, 5, "conv")


def test_a_matrix_product_is_known_by_its_tensors(written):
    problem = load_problem(written(GEMM))
    assert problem.names == {"M": "K", "K": "C", "N": "N"}
    assert problem.tensors == {"A": "W", "B": "I", "Z": "O"}
    assert problem.layer.macs == 6 * 5 * 4
    assert problem.layer.kind == "gemm"


@pytest.mark.parametrize("version", ["0.3", "0.4"])
def test_remainders_are_read_and_written_as_timeloop_has_them(version, written):
    chip = Hierarchy(name="h", levels=(Level(name="A", fanout=(4, 1)), Level(name="B")))
    text = (
        "mapping:\n- {target: A, type: temporal, factors: K=3 C2}\n"
        "- {target: A, type: spatial, factors: 'K=4,3 C=1', split: 7}\n"
        "- {target: B, type: temporal, factors: ['C=2,1']}\n"
    )
    layer = Layer("l", "gemm", K=11, C=3)
    mapping = load_mapping(written(text), chip, layer)
    assert str(mapping) == "L1[WIO] C2 K3 K4,3X - L0[WIO] C2,1"
    assert load_mapping(written(mapping_yaml(mapping, chip, version)), chip, layer) == mapping


def test_a_factor_of_zero_is_the_rest(written):
    chip = Hierarchy(name="h", levels=(Level(name="A"), Level(name="B")))
    text = (
        "mapping:\n- {target: A, type: temporal, factors: K=0 C2}\n- {target: B, type: temporal, factors: 'K=4 C=3'}\n"
    )
    mapping = load_mapping(written(text), chip, Layer("l", "gemm", K=12, C=6))
    assert str(mapping) == "L1[WIO] C2 K3 - L0[WIO] C3 K4"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("class: DRAM", "class: flux"), r"local\[0\]\.class: 'flux' is not modelled"),
        (("n_banks: 2", "compression: rle"), r"attributes\.compression: 'rle' is not modelled"),
        (("depth: 1024", "depth: 0"), r"attributes\.depth: 0 is not allowed"),
        (("version: 0.3", "version: 0.9"), r"architecture\.version: '0\.9' is not read"),
        (("class: intmac", "class: SRAM"), r"needs one compute component, the innermost; has \[\]"),
        (("shared_bandwidth: 16", "shared_bandwidth: -1"), r"shared_bandwidth: -1 is not allowed"),
        (("architecture:", "design:"), r"has no 'architecture' at its top, but \['design'\]"),
        (
            ("subtree:\n        - name: chip", "subtree:\n        - {name: twin}\n        - name: chip"),
            r"several branches",
        ),
    ],
)
def test_what_an_architecture_has_that_we_have_not_is_refused(change, message, written):
    assert change[0] in TREE
    with pytest.raises(ArmillaryError, match=message):
        load_architecture(written(TREE.replace(*change, 1)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("!Container {name: system}", "!Parallel {nodes: []}"), r"nodes\[0\]: !Parallel is not modelled"),
        (("keep: [Weights]", "keep: [Psums]"), r"dataspace\.keep: 'Psums' is not modelled"),
        (("{dataspace:", "{temporal: {}, dataspace:"), r"constraints\.temporal: .* is not modelled"),
    ],
)
def test_what_nodes_have_that_we_have_not_is_refused(change, message, written):
    assert change[0] in NODES
    with pytest.raises(ArmillaryError, match=message):
        load_architecture(written(NODES.replace(*change)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CONV.replace("N: 2,", ""), r"problem\.instance\.N: is missing"),
        (CONV.replace("N: 2,", "N: two,"), r"problem\.instance\.N: 'two' is not allowed"),
        (CONV.replace("N: 2,", "N: 2, T: 4,"), r"problem\.instance\.T: 4 is not modelled"),
        (
            CONV.replace("N: 2,", "N: 2, densities: {Weights: 0.5},"),
            r"Weights: 0\.5 is not modelled; tensors are",
        ),
        (GEMM.replace("[[[M]], [[K]]]", "[[[M]], [[K, s], [M, t]], [[N], [K], [M]]]"), r"is not modelled"),
        (GEMM.replace(", read-write: True", ""), r"not modelled|needs two read tensors"),
        ("problem: 3", r"problem: 3 is not allowed; write keys and values"),
    ],
)
def test_what_a_problem_has_that_we_have_not_is_refused(text, message, written):
    with pytest.raises(ArmillaryError, match=message):
        load_problem(written(text))


@pytest.mark.parametrize(
    ("directive", "message"),
    [
        ("{target: Z, type: temporal, factors: K=12}", r"mapping\[0\]\.target: 'Z' is unknown; the hierarchy has"),
        ("{target: A, type: skew, factors: K=12}", r"mapping\[0\]\.type: 'skew' is not modelled"),
        ("{target: A, type: temporal, factors: 'K=4,5'}", r"'K=4,5' is not modelled"),
        ("{target: A, type: temporal, factors: X=4}", r"'X=4' is not modelled"),
        ("{target: A, type: temporal, factors: K=12, permutation: KXC}", r"permutation: 'X' is no dimension"),
        ("{target: A, type: bypass, bypass: [Psums]}", r"bypass: 'Psums' is not modelled"),
        ("{target: A, type: temporal, factors: K=12, no_reuse: 1}", r"no_reuse: 1 is not modelled"),
        ("{target: A, type: temporal, factors: K=6}", r"the factors of K multiply to 6, layer l has K=12"),
    ],
)
def test_what_a_mapping_has_that_we_have_not_is_refused(directive, message, written):
    chip = Hierarchy(name="h", levels=(Level(name="A"), Level(name="B")))
    with pytest.raises(ArmillaryError, match=message):
        load_mapping(written(f"mapping:\n- {directive}\n"), chip, Layer("l", "gemm", K=12))


def test_several_faults_are_told_at_once(written):
    text = TREE.replace("depth: 1024", "depth: 0").replace("n_banks: 2", "skew: 2")
    with pytest.raises(ArmillaryError, match=r"skew.*"):
        load_architecture(written(text))
