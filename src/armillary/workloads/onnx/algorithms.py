"""From an ONNX graph to the small machine-learning algorithm that it computes, if it is one.

A graph is compared by what it computes, not by its nodes: a step of training may be written in any order. Its outputs
are a prediction (inference), or parameters after a step of gradient descent (training), which come in as inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from onnx import GraphProto

from armillary.workloads.algorithm import Algorithm, AlgorithmName
from armillary.workloads.onnx.nodes import describe, operator
from armillary.workloads.onnx.polynomials import Atom, Graph, Polynomial, UnknownError, number, single
from armillary.workloads.onnx.shapes import Tensors
from armillary.workloads.onnx.trees import TREES, tree_algorithm

_OF_FUNCTION: dict[str, AlgorithmName] = {"Sigmoid": "logistic_regression", "Sign": "svm", "positive": "svm"}


def recognized(graph: GraphProto, tensors: Tensors) -> Algorithm | str:
    """Return the algorithm that a graph computes, or why it is none: names the node at which that shows."""
    trees = [node for node in graph.node if operator(node) in TREES]
    try:
        return tree_algorithm(graph, trees[0], tensors) if trees else _linear(graph, tensors)
    except UnknownError as fault:
        return str(fault)


def _linear(graph: GraphProto, tensors: Tensors) -> Algorithm:
    known = Graph(graph, tensors)
    names = [output.name for output in graph.output if output.name in known.found]
    makers = {name: node for node in graph.node for name in node.output}
    if not names or names[0] not in makers:
        raise UnknownError("its first output is computed by no node")
    where = f"what {describe(makers[names[0]])} computes"
    outputs = [known.found[name] for name in names]
    dots = {atom for polynomial in outputs for atom in _dots(polynomial)}
    if len(dots) != 1:
        raise UnknownError(f"{where} has {len(dots)} dot products; the algorithms have one")
    dot = dots.pop()
    found = _inference(outputs, dot, known) or _training(outputs, dot, known)
    if found is None:
        raise UnknownError(
            f"{where} is neither a prediction nor a step of training of linear regression, logistic regression, a "
            "support vector machine or a recommender"
        )
    return found


def _dots(polynomial: Polynomial) -> Iterator[Atom]:
    """Yield the dot products in a polynomial."""
    for atoms, _ in polynomial.terms:
        for atom in atoms:
            if atom.kind == "dot":
                yield atom
            elif isinstance(atom.of, Polynomial):
                yield from _dots(atom.of)


def _operands(dot: Atom) -> tuple[Atom, Atom]:
    assert isinstance(dot.of, tuple)
    return dot.of


def _inference(outputs: Sequence[Polynomial], dot: Atom, known: Graph) -> Algorithm | None:
    """Return what predicts; None if nothing does."""
    if len(outputs) != 1:
        return None
    function, score = _taken_apart(outputs[0])
    rest = score.plus(single(dot), -1.0).coefficients
    if set(rest) - {()}:
        return None
    constants = [atom.name for atom in _operands(dot) if atom.kind == "constant"]
    missing = [name for name in constants if name not in known.constants]
    if missing or len(constants) > 1:
        raise UnknownError(f"the weights {(missing or constants)[0]!r} are not in the file, or there is no input")
    weights = tuple(known.constants[constants[0]].tolist()) if constants else None
    if weights is not None and len(weights) != dot.length:
        raise UnknownError(
            f"the weights {constants[0]!r} are {len(weights)} numbers for an input of {dot.length} elements; the "
            "algorithms have one result per input"
        )
    # without weights of its own, a dot product is a recommender's
    name = function or ("linear_regression" if constants else "recommender")
    return Algorithm(name, "inference", dot.length, weights=weights, bias=rest.get((), 0.0))


def _taken_apart(output: Polynomial) -> tuple[AlgorithmName | None, Polynomial]:
    """Return the algorithm whose function a prediction is, None for a plain score, and the score itself."""
    half = output.plus(number(1.0)).times(0.5)  # a class of 0 or 1 may have become one of -1 or 1
    for atom in (output.atom, half.atom):
        if atom is not None and atom.kind in _OF_FUNCTION and isinstance(atom.of, Polynomial):
            return _OF_FUNCTION[atom.kind], atom.of
    return None, output


def _training(outputs: Sequence[Polynomial], dot: Atom, known: Graph) -> Algorithm | None:
    """Return what makes a step of gradient descent for one input and its label; None if nothing does."""
    if any(atom.kind == "input" and known.input_size(atom.name) != dot.length for atom in _operands(dot)):
        return None
    steps = [_step(output, dot) for output in outputs]
    if None in steps or not 1 <= len(steps) <= 2 or len({step[1] for step in steps if step}) != 1:
        return None
    parameters = {step[0] for step in steps if step}
    assert steps[0] is not None
    factor = steps[0][1]
    labels = {atom for atoms, _ in factor.terms for atom in atoms if atom.kind == "input"} - set(_operands(dot))
    if len(parameters) != len(steps) or [known.input_size(label.name) for label in labels] != [1]:
        return None
    both = len(parameters) == 2
    found = _error(factor, single(dot), single(labels.pop()), "recommender" if both else "linear_regression")
    if found is None or (both and found[0] != "recommender"):
        return None
    name, rate, hinge = found
    return Algorithm(name, "training", dot.length, rate=rate, hinge=hinge)


def _step(output: Polynomial, dot: Atom) -> tuple[Atom, Polynomial] | None:
    """Return a parameter, and the factor of the dot product's other operand that is added to it; None if none is."""
    terms = output.coefficients
    for parameter, other in (_operands(dot), _operands(dot)[::-1]):
        if terms.get((parameter,)) != 1 or parameter.kind != "input":
            continue
        rest = {atoms: c for atoms, c in terms.items() if atoms != (parameter,)}
        if rest and all(atoms.count(other) == 1 for atoms in rest):
            factors = {tuple(atom for atom in atoms if atom != other): c for atoms, c in rest.items()}
            return parameter, Polynomial.of(factors)
    return None


def _error(
    factor: Polynomial, score: Polynomial, label: Polynomial, plain: AlgorithmName
) -> tuple[AlgorithmName, float, bool] | None:
    """Return whose error times -rate a factor is, the rate, and whether its rule is that of the hinge loss."""
    rate = max(abs(coefficient) for _, coefficient in factor.terms)
    margin, logistic = label.by(score), single(Atom("Sigmoid", of=score))
    within = single(Atom("positive", of=number(1.0).plus(margin, -1.0)))
    beyond = single(Atom("positive", of=margin.plus(label, -1.0)))
    errors: tuple[tuple[AlgorithmName, Polynomial, bool], ...] = (
        (plain, score.plus(label, -1.0), True),
        ("logistic_regression", logistic.plus(label, -1.0), True),
        ("svm", within.by(label).times(-1.0), True),
        ("svm", beyond.by(label).times(-1.0), False),
    )
    return next(((name, rate, hinge) for name, error, hinge in errors if factor == error.times(-rate)), None)
