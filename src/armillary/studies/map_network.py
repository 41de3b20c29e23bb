"""Map: every layer of a network onto a hierarchy, with a mapping that is given or searched for."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from collections.abc import Mapping as Table
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from armillary.atomic_file import replaced
from armillary.cores import available
from armillary.cost_model import Costs, evaluate
from armillary.cost_model.explain import ExplainedMapping, explain
from armillary.hardware.accelergy import with_reference
from armillary.hardware.bits import Bits
from armillary.hardware.hierarchy import Hierarchy, load_hierarchy
from armillary.hardware.mapping import Mapping
from armillary.hardware.timeloop import load_architecture, load_mapping, load_problem
from armillary.mapping.goals import Goal, Method
from armillary.mapping.judge import is_prepared, prepare
from armillary.mapping.search import Found, NoLegalMappingError, search
from armillary.tools.process import side_by_side
from armillary.types import ArmillaryError, Failure
from armillary.workloads.layer import Layer, LayerUse, Workload
from armillary.yaml_file import read_yaml

OnProgress = Callable[[str, int, int], None]
SEARCH = "search"


@dataclass(frozen=True)
class MappedLayer:
    """A layer with its mapping and costs; both are None if the search met no legal mapping.

    `gap` is how much better another mapping can be at most, as a share of the goal; None if nobody knows.
    """

    use: LayerUse
    mapping: Mapping | None
    costs: Costs | None
    failure: Failure | None
    optimal: bool = False
    gap: float | None = None

    @property
    def delay_cycles(self) -> float:
        """Delay of one run; NaN without a mapping."""
        return float("nan") if self.costs is None else float(self.costs.delay_cycles)

    @property
    def energy_pj(self) -> float:
        """Energy of one run; NaN without a mapping."""
        return float("nan") if self.costs is None else float(self.costs.energy_pj)

    def bound(self, hierarchy: Hierarchy) -> str:
        """Return what sets the delay: the compute units or the bandwidth of a level."""
        if self.costs is None:
            return ""
        cycles = self.costs.bandwidth_cycles[:, 0]
        slowest = int(cycles.argmax())
        bandwidth = hierarchy.inner_first[slowest].memory
        return bandwidth if cycles[slowest] > self.costs.compute_cycles[0] else "compute"


def map_by_search(
    hierarchy: Hierarchy,
    workload: Workload,
    *,
    method: Method,
    goal: Goal,
    budget: int | None,
    seed: int,
    perfect: bool = False,
    on_progress: OnProgress,
) -> list[MappedLayer]:
    """Return every layer with the best mapping found; one that cannot be mapped says why.

    Layers of one shape are searched for once, different ones side by side on all cores.

    Raises:
        ArmillaryError: if the method, the goal or the budget is not allowed.
    """
    if not is_prepared():
        on_progress("compiling the search, once per machine", 0, 1)
        prepare()
        on_progress("compiling the search, once per machine", 1, 1)
    shapes = {replace(use.layer, name=""): use.layer for use in reversed(workload.layers)}

    def find(layer: Layer) -> Found | NoLegalMappingError:
        try:
            return search(hierarchy, layer, method=method, goal=goal, budget=budget, seed=seed, perfect=perfect)
        except NoLegalMappingError as fault:
            return fault

    known: dict[Layer, Found | NoLegalMappingError] = {}
    with side_by_side(available()) as threads:
        for number, (shape, found) in enumerate(zip(shapes, threads.map(find, shapes.values()), strict=True)):
            on_progress("different layers", number, len(shapes))
            known[shape] = found
    on_progress("different layers", len(shapes), len(shapes))
    return [_mapped(hierarchy, use, known[replace(use.layer, name="")]) for use in workload.layers]


def _mapped(hierarchy: Hierarchy, use: LayerUse, best: Found | NoLegalMappingError) -> MappedLayer:
    if isinstance(best, NoLegalMappingError):
        return MappedLayer(use, None, None, Failure("infeasible", "mapping", use.layer.name, detail=str(best)))
    return MappedLayer(use, best.mapping, evaluate(hierarchy, use.layer, best.mapping), None, best.optimal, best.gap)


def map_as_given(hierarchy: Hierarchy, workload: Workload, mappings: Table[str, Mapping]) -> list[MappedLayer]:
    """Return every layer with the mapping given for its name; one that does not fit says why.

    Raises:
        ArmillaryError: if a layer has no mapping, a mapping no layer, or the two do not match.
    """
    names = [use.layer.name for use in workload.layers]
    unknown = sorted(set(mappings) - set(names))
    missing = [name for name in names if name not in mappings]
    faults = [f"there is no layer {name!r}" for name in unknown] + [
        f"layer {name!r} has no mapping" for name in missing
    ]
    for use in workload.layers:
        if use.layer.name in mappings:
            wrong = mappings[use.layer.name].faults(hierarchy, use.layer)
            faults += [f"layer {use.layer.name}: {fault}" for fault in wrong]
    if faults:
        raise ArmillaryError("; ".join(faults))
    found = []
    for use in workload.layers:
        mapping = mappings[use.layer.name]
        costs = evaluate(hierarchy, use.layer, mapping)
        found.append(MappedLayer(use, mapping, costs, costs.failure(0, hierarchy)))
    return found


def explain_layer(
    hierarchy: Hierarchy,
    workload: Workload,
    layer: str | None,
    mapping: str,
    *,
    budget: int | None,
    seed: int,
    perfect: bool = False,
) -> ExplainedMapping:
    """Return one layer's mapping taken apart: one that is given, or the best of a search.

    Raises:
        ArmillaryError: if there is no such layer, several and none named, or the mapping is wrong.
    """
    names = [use.layer.name for use in workload.layers]
    if layer is None and len(names) > 1:
        raise ArmillaryError(f"workload {workload.name} has {len(names)} layers; name one with --layer: {names}")
    if layer is not None and layer not in names:
        raise ArmillaryError(f"workload {workload.name} has no layer {layer!r}; it has {names}")
    use = next(use for use in workload.layers if layer in (None, use.layer.name))
    if mapping == SEARCH:
        best = search(hierarchy, use.layer, method="proven", budget=budget, seed=seed, perfect=perfect)
        return explain(hierarchy, use.layer, best.mapping)
    given = read_mappings(mapping, Workload(workload.name, (use,)), hierarchy)
    if use.layer.name not in given:
        raise ArmillaryError(f"{mapping}: has no mapping of layer {use.layer.name!r}")
    faults = list(given[use.layer.name].faults(hierarchy, use.layer))
    if faults:
        raise ArmillaryError("; ".join(faults))
    return explain(hierarchy, use.layer, given[use.layer.name])


def read_hierarchy(path: Path, *, ert: Path | None = None, art: Path | None = None) -> Hierarchy:
    """Return the hierarchy of a file, of our own form or Timeloop's, with Accelergy's tables if given.

    Raises:
        ArmillaryError: if the file cannot be read or something in it is wrong or not modelled.
    """
    hierarchy = load_architecture(path) if _has(path, "architecture") else load_hierarchy(path)
    return with_reference(hierarchy, ert=ert, art=art)


def with_bits(hierarchy: Hierarchy, workload: Workload, texts: Sequence[str]) -> tuple[Hierarchy, Workload]:
    """Return both with the widths of texts: `int8` for the whole run, `conv_1:W=4` for one layer.

    Those of the whole run come before the hierarchy's, role by role; a level's own still hold there.

    Raises:
        ArmillaryError: if a text is wrong, no layer has the name, or the same is given twice.
    """
    given: dict[str, Bits] = {}
    names = [use.layer.name for use in workload.layers]
    for text in texts:
        name, colon, spec = text.rpartition(":")
        if colon and name not in names:
            raise ArmillaryError(f"--bits {text!r}: workload {workload.name} has no layer {name!r}; it has {names}")
        if name in given:
            raise ArmillaryError(f"--bits {text!r}: {f'layer {name!r}' if name else 'the whole run'} has bits already")
        try:
            given[name] = Bits.parse(spec)
        except ArmillaryError as fault:
            raise ArmillaryError(f"--bits {text!r}: {fault}") from None
    chip = hierarchy
    if "" in given:
        chip = hierarchy.model_copy(update={"bits": given.pop("").over(hierarchy.bits)})
    return chip, replace(workload, layers=tuple(_with_own(use, given.get(use.layer.name)) for use in workload.layers))


def _with_own(use: LayerUse, bits: Bits | None) -> LayerUse:
    return use if bits is None else replace(use, layer=replace(use.layer, bits=bits.over(use.layer.bits)))


def read_problem(path: Path) -> Workload:
    """Return a workload of the one layer of a Timeloop problem file.

    Raises:
        ArmillaryError: if the file cannot be read or something in it is wrong or not modelled.
    """
    return Workload(path.stem, (LayerUse(load_problem(path).layer),))


def _has(path: Path, part: str) -> bool:
    """Return whether a file is a Timeloop document with this part; one that is no YAML is not."""
    try:
        return bool(re.search(rf"^{part}\s*:", path.read_text(), re.MULTILINE))
    except (OSError, UnicodeDecodeError):
        return False


def read_mappings(text: str, workload: Workload, hierarchy: Hierarchy) -> dict[str, Mapping]:
    """Return mappings by layer: from a YAML file of name and text, or for one layer a text or Timeloop's file.

    Raises:
        ArmillaryError: if the file or a text is wrong, or one mapping is to serve several layers.
    """
    if text.startswith("L") and "[" in text:
        if len(workload.layers) > 1:
            raise ArmillaryError(
                f"workload {workload.name} has {len(workload.layers)} layers; give a YAML file of layer name: mapping, "
                f"or {SEARCH!r}"
            )
        return {workload.layers[0].layer.name: Mapping.parse(text)}
    path = Path(text)
    if _has(path, "mapping") and len(workload.layers) == 1:
        layer = workload.layers[0].layer
        return {layer.name: load_mapping(path, hierarchy, layer)}
    return _mappings_of(path, text)


def read_mapping_texts(text: str, workload: Workload) -> dict[str, str]:
    """Return mappings by layer as text, for an evaluator that is given them: from a YAML file, or one for one layer.

    Raises:
        ArmillaryError: if the file or a text is wrong, or a mapping is of no layer of the workload.
    """
    names = [use.layer.name for use in workload.layers]
    if text.startswith("L") and "[" in text and len(names) == 1:
        found = {names[0]: Mapping.parse(text)}
    else:
        found = _mappings_of(Path(text), text)
    foreign = sorted(set(found) - set(names))
    if foreign:
        raise ArmillaryError(f"{text}: workload {workload.name} has no layer {foreign[0]!r}; it has {names}")
    return {name: str(mapping) for name, mapping in found.items()}


NOTATION = (
    "A mapping lists the memory levels, the outermost first, each with the tensors that it keeps (weights W, inputs I, "
    "outputs O) and its loops, the outermost first: K8 is eight steps along K (N batch, K output channels, C input "
    "channels, P and Q output rows and columns, R and S filter rows and columns, G groups). X and Y mark loops that "
    "are spread over the array; N1 stands for no loop; K8,5 runs eight steps, but five in the last round."
)
"""How to read a mapping's text."""


def write_mappings(layers: Sequence[MappedLayer], path: Path) -> int:
    """Write the mapping of every layer that has one, as `read_mappings` reads them; return how many.

    Raises:
        ArmillaryError: if no layer has one, or the file cannot be written.
    """
    found = {layer.use.layer.name: str(layer.mapping) for layer in layers if layer.mapping is not None}
    if not found:
        raise ArmillaryError(f"{path}: not written, as no layer has a mapping")
    with replaced(path) as unfinished:
        unfinished.write_text(yaml.safe_dump(found, sort_keys=False, width=1000))
    return len(found)


def _mappings_of(path: Path, text: str) -> dict[str, Mapping]:
    if not path.exists():
        raise ArmillaryError(f"--mapping {text!r} is neither {SEARCH!r}, a mapping nor a file")
    content = read_yaml(path)
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise ArmillaryError(f"{path}: holds no mappings; write one line `layer name: mapping` per layer")
    found = {}
    for name, line in content.items():
        try:
            found[str(name)] = Mapping.parse(line)
        except ArmillaryError as fault:
            raise ArmillaryError(f"{path}: {name}: {fault}") from None
    return found
