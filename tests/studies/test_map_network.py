from pathlib import Path

import pytest

from armillary.hardware.bits import Bits
from armillary.hardware.hierarchy import load_hierarchy
from armillary.hardware.mapping import Mapping
from armillary.hardware.timeloop import architecture_yaml, mapping_yaml, problem_yaml
from armillary.studies.map_network import (
    map_as_given,
    map_by_search,
    read_hierarchy,
    read_mappings,
    read_problem,
    with_bits,
    write_mappings,
)
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer, LayerUse, Workload

GEMMINI = Path(__file__).parents[2] / "examples" / "gemmini_16.yaml"
TWO = Workload("two", (LayerUse(Layer("a", "gemm", K=16, C=16, P=8), 3), LayerUse(Layer("b", "gemm", K=8, C=4))))
TEXTS = {
    "a": "L3[WIO] N1 - L2[WI] N1 K16X - L1[O] P8 C16X - L0[W] N1",
    "b": "L3[WIO] N1 - L2[WI] N1 K8X - L1[O] N1 C4X - L0[W] N1",
}


@pytest.fixture
def gemmini():
    return load_hierarchy(GEMMINI)


def searched(chip, workload, **options):
    given = {"method": "genetic", "goal": "edp", "budget": 500, "seed": 0, **options}
    return map_by_search(chip, workload, on_progress=lambda *_: None, **given)


def test_every_layer_gets_a_mapping(gemmini):
    layers = searched(gemmini, TWO)
    assert [layer.use.layer.name for layer in layers] == ["a", "b"]
    assert all(layer.failure is None and layer.delay_cycles > 0 for layer in layers)
    assert layers[0].bound(gemmini) in {"compute", "DRAM", "Scratchpad", "Accumulator", "Registers"}


def test_uneven_tiles_are_searched_reported_and_read_again(gemmini, tmp_path):
    file = tmp_path / "uneven.yaml"
    text = GEMMINI.read_text()
    assert text.count("name: Scratchpad") == 1
    file.write_text(text.replace("name: Scratchpad", "name: Scratchpad\n    uneven: true"))
    uneven = read_hierarchy(file)
    layers = searched(uneven, TWO, method="annealing", goal="energy")
    for layer, even in zip(layers, searched(gemmini, TWO, method="annealing", goal="energy"), strict=True):
        assert layer.energy_pj <= even.energy_pj
        assert layer.bound(uneven) in {"compute", "DRAM", "Scratchpad", "Accumulator", "Registers"}
    saved = tmp_path / "mappings.yaml"
    assert write_mappings(layers, saved) == 2
    again = map_as_given(uneven, TWO, read_mappings(str(saved), TWO, uneven))
    assert [layer.energy_pj for layer in again] == [layer.energy_pj for layer in layers]
    with pytest.raises(ArmillaryError, match="the mapping has 4 levels, hierarchy gemmini_16 has 5"):
        map_as_given(uneven, TWO, {name: Mapping.parse(text) for name, text in TEXTS.items()})


def test_a_layer_that_cannot_be_mapped_does_not_stop_the_others(gemmini):
    levels = list(gemmini.levels)
    levels[2] = levels[2].model_copy(
        update={"capacity_words": 4, "rules": levels[2].rules.model_copy(update={"factors": {"P": 8}})}
    )
    narrow = gemmini.model_copy(update={"levels": tuple(levels)})
    layers = searched(narrow, Workload("w", (LayerUse(Layer("wide", "gemm", K=4, C=4, P=8)),)))
    assert layers[0].mapping is None
    assert "Accumulator.capacity_words is exceeded most often" in str(layers[0].failure)


def test_given_mappings_are_costed(gemmini):
    one_each = [Workload(use.layer.name, (use,)) for use in TWO.layers]
    given = {w.name: read_mappings(TEXTS[w.name], w, gemmini)[w.name] for w in one_each}
    layers = map_as_given(gemmini, TWO, given)
    # DRAM moves 8 words a cycle: 256 + 128 + 128 words of a, 32 + 4 + 8 of b
    assert [layer.delay_cycles for layer in layers] == [64, 6]
    assert [float(layer.costs.utilization) for layer in layers] == [2048 / 64 / 256, 32 / 6 / 256]
    assert [str(layer.mapping) for layer in layers] == list(TEXTS.values())


def test_a_file_of_mappings_is_read(tmp_path, gemmini):
    path = tmp_path / "m.yaml"
    path.write_text("".join(f"{name}: '{text}'\n" for name, text in TEXTS.items()))
    assert {name: str(m) for name, m in read_mappings(str(path), TWO, gemmini).items()} == TEXTS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: 'L1[WIO] K2'", r"m\.yaml: a: mapping .*is called L1"),
        ("- a", r"holds no mappings"),
        ("a: [", r"is no YAML"),
        ("{}", None),
    ],
)
def test_a_wrong_file_of_mappings_is_named(content, message, tmp_path, gemmini):
    path = tmp_path / "m.yaml"
    path.write_text(content)
    if message is None:
        with pytest.raises(ArmillaryError, match=r"layer 'a' has no mapping; layer 'b' has no mapping"):
            map_as_given(gemmini, TWO, read_mappings(str(path), TWO, gemmini))
        return
    with pytest.raises(ArmillaryError, match=message):
        read_mappings(str(path), TWO, gemmini)


def test_what_does_not_fit_is_told_at_once(gemmini):
    given = read_mappings(TEXTS["b"], Workload("one", (LayerUse(Layer("a", "gemm", K=16, C=16, P=8)),)), gemmini)
    with pytest.raises(ArmillaryError, match=r"layer 'b' has no mapping; layer a: the factors of K multiply to 8"):
        map_as_given(gemmini, TWO, given)
    with pytest.raises(ArmillaryError, match="workload two has 2 layers; give a YAML file"):
        read_mappings(TEXTS["a"], TWO, gemmini)
    with pytest.raises(ArmillaryError, match="neither 'search', a mapping nor a file"):
        read_mappings("serch", TWO, gemmini)


def test_widths_are_those_of_the_run_or_of_a_layer(gemmini):
    own = gemmini.model_copy(update={"bits": Bits(I=4, O=16)})
    chip, workload = with_bits(own, TWO, ["b:W=2", "W=4,O=8", "a:int8"])
    assert chip == gemmini.model_copy(update={"bits": Bits(W=4, I=4, O=8)})
    assert [use.layer.bits for use in workload.layers] == [Bits.parse("int8"), Bits(W=2)]
    assert [use.count for use in workload.layers] == [3, 1]
    assert with_bits(own, TWO, []) == (own, TWO)


def test_a_layers_name_may_have_a_colon(gemmini):
    named = Workload("w", (LayerUse(Layer("x:0", "gemm", K=4)),))
    assert with_bits(gemmini, named, ["x:0:W=4"])[1].layers[0].layer.bits == Bits(W=4)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["c:W=4"], r"--bits 'c:W=4': workload two has no layer 'c'; it has \['a', 'b'\]"),
        (["W=4", "I=4"], r"--bits 'I=4': the whole run has bits already"),
        (["a:W=4", "a:I=4"], r"--bits 'a:I=4': layer 'a' has bits already"),
        (["a:W=0"], r"--bits 'a:W=0': bits: W=0 is not allowed"),
        ([":W=4"], r"has no layer ''"),
    ],
)
def test_wrong_widths_are_told(texts, message, gemmini):
    with pytest.raises(ArmillaryError, match=message):
        with_bits(gemmini, TWO, texts)


def test_timeloops_files_are_read_where_ours_are(gemmini, tmp_path):
    layer = Layer("conv", "conv", K=16, C=16, P=8, Q=6, R=3, S=3, stride_h=2)
    mapping = searched(gemmini, Workload("one", (LayerUse(layer),)))[0].mapping
    for name, text in (
        ("arch", architecture_yaml(gemmini)), ("conv", problem_yaml(layer)), ("map", mapping_yaml(mapping, gemmini)),
    ):  # fmt: skip
        (tmp_path / f"{name}.yaml").write_text(text)
    chip, workload = read_hierarchy(tmp_path / "arch.yaml"), read_problem(tmp_path / "conv.yaml")
    assert [level.name for level in chip.levels] == [level.name for level in gemmini.levels]
    assert workload.layers[0].layer == layer
    assert read_mappings(str(tmp_path / "map.yaml"), workload, chip) == {"conv": mapping}
    assert read_hierarchy(GEMMINI) == gemmini
