"""PRIME's figures 3, 5 to 9 and 11 to 14, drawn from our evaluator: a page and a CSV file each.

Figures 3 and 11 to 14 show MobileNetEdgeTPU, 8 all nine applications; 5 and 6 the cost of searches beside PRIME's, for
one application and for seven at 100 mm2; 7 the cost of P3BO beside the firefly's; 9 and 12 where feasible designs lie.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from armillary.atomic_file import replaced
from armillary.benchmarks.figures import write
from armillary.benchmarks.prime.calibration import calibration
from armillary.benchmarks.prime.curves import curve, curve_part
from armillary.benchmarks.prime.runs import Runs, evaluations, joint_values
from armillary.benchmarks.prime.scenarios import ALL, AREA_MM2, EDGE, TABLE_4, Task
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, in_processes
from armillary.hardware.templates.edge_tpu import SPACE
from armillary.reports.theme import INFEASIBLE, LEGAL, ROLE_COLOURS, blank
from armillary.spaces.samplers import sample

Columns = Mapping[str, Sequence[Any] | NDArray[Any]]
_ALONE = Task((EDGE,), (EDGE,), AREA_MM2)
_SEVEN = TABLE_4[4]
_SAMPLES = 50_000
_SHOWN = 1500  # points of a t-SNE map
_CURVE_SEARCHES = ("firefly", "mbo", "bayesian")
_SLOW_FIGURES = frozenset({"figure6", "figure7", "figure9", "figure14-published"})
_ARRIVED = 1.01  # latency over a search's last one, from which on it hardly improves


def run(options: BenchOptions) -> BenchResult:
    """Draw every figure; what took long is kept and read again.

    `--quick` leaves out those of several applications (6 and 9), of P3BO (7), and the last, for which PRIME trains
    once more, and shows no Bayesian search.
    """
    steps: Mapping[str, Callable[[BenchOptions], Check]] = {
        "figure3": latencies,
        "figure5": cost_alone,
        "figure6": cost_of_seven,
        "figure7": cost_of_p3bo,
        "figure8": plateaus,
        "figure9": map_of_joint_designs,
        "figure11": core_memory,
        "figure12": map_of_designs,
        "figure13": overestimation,
        "figure14": conservatism,
        "figure14-published": conservatism_as_published,
    }
    if options.quick:
        steps = {name: step for name, step in steps.items() if name not in _SLOW_FIGURES}
    _curves(options)
    checks = []
    for done, step in enumerate(steps.values()):
        options.on_progress("figures", done, len(steps))
        checks.append(step(options))
    options.on_progress("figures", len(steps), len(steps))
    rows = [
        {"figure": name, "page": str(options.out / f"{name}.html"), "data": str(options.out / f"{name}.csv")}
        for name in steps
    ]
    return BenchResult(
        rows=rows,
        checks=checks,
        notes=["Latencies are of our own evaluator, searches of one seed."],
        preface=[
            f"Size: {len(steps)} figures, one seed; about 8 min of one core with `--quick`, an hour for all of them, "
            "from an empty folder."
        ],
    )


def latencies(options: BenchOptions) -> Check:
    """Figure 3: latencies of feasible designs, and how many are not."""
    rows = _random_designs(options)
    feasible = rows.feasible
    runtime = 1e3 * rows.metrics["runtime_s"][feasible]
    figure = blank()
    bins = np.geomspace(runtime.min(), runtime.max(), 60)
    counts, edges = np.histogram(runtime, bins)
    met = counts > 0  # a logarithmic axis has no zero
    middles, widths = np.sqrt(edges[1:] * edges[:-1]), np.diff(edges)
    figure.add_bar(x=middles[met], y=counts[met], width=widths[met], name="feasible", marker={"color": LEGAL})
    infeasible = int((~feasible).sum())
    figure.add_bar(
        x=[3 * runtime.max()],
        y=[infeasible],
        width=[runtime.max()],
        name=f"infeasible, {infeasible / len(feasible):.0%}",
        marker={"color": INFEASIBLE},
    )
    title = f"Figure 3: {len(feasible):,} random designs on MobileNetEdgeTPU; infeasible ones stand on the right"
    columns = {"latency_ms": edges[:-1], "designs": counts}
    _keep(options, "figure3", figure, columns, title, "Latency, ms", "Designs", "xy")
    share = infeasible / len(feasible)
    return Check("share of infeasible designs, Figure 3", share, "0.6 to 0.9; the dataset: 0.77", 0.6 <= share <= 0.9)


def cost_alone(options: BenchOptions) -> Check:
    """Figure 5: evaluations that a search needs beside PRIME's 256, one application."""
    return _cost(options, _ALONE, "figure5", "MobileNetEdgeTPU", 0.07)


def cost_of_seven(options: BenchOptions) -> Check:
    """Figure 6: the same for seven applications together at 100 mm2."""
    return _cost(options, _SEVEN, "figure6", "seven applications at 100 mm2", 0.07)


def cost_of_p3bo(options: BenchOptions) -> Check:
    """Figure 7: how many evaluations P3BO and the firefly take to come within 1% of where they end, one application.

    The paper shows the time of their simulations, 3.1 times as long for P3BO, and latencies 18% higher.
    """
    figure, columns, spent = blank(), {}, {}
    for method in ("firefly", "p3bo"):
        columns[method] = 1e3 * curve(Runs.of(options), method, _ALONE)
        _add_steps(figure, method, columns[method])
        spent[method] = 1 + int(np.argmax(columns[method] <= _ARRIVED * columns[method][-1]))
    title = "Figure 7: best latency of P3BO and the firefly by evaluations, MobileNetEdgeTPU"
    _keep(options, "figure7", figure, columns, title, "Legal evaluations", "Best latency, ms", "xy")
    share = spent["p3bo"] / spent["firefly"]
    return Check("P3BO's evaluations over the firefly's, Figure 7", share, "above 1; published: 3.1", share > 1)


def plateaus(options: BenchOptions) -> Check:
    """Figure 8: how the firefly converges on each application."""
    figure, columns, late = blank(), {}, []
    for name in ALL:
        found = curve(Runs.of(options), "firefly", Task((name,), (name,), AREA_MM2))
        columns[name] = 1e3 * found
        _add_steps(figure, name, columns[name])
        late.append(found[-max(2, len(found) // 8)] / found[-1] - 1)
    width = max(len(column) for column in columns.values())
    padded = {name: np.pad(c, (0, width - len(c)), constant_values=np.nan) for name, c in columns.items()}
    title = "Figure 8: best latency of the firefly search on nine applications"
    _keep(options, "figure8", figure, padded, title, "Legal evaluations", "Best latency, ms", "xy")
    worst = float(max(late))
    return Check("gain of the last eighth of a firefly search, at most", worst, "below 5%: a plateau", worst < 0.05)


def map_of_joint_designs(options: BenchOptions) -> Check:
    """Figure 9: designs that are legal for all applications among infeasible ones, and the best known."""
    task = TABLE_4[-1]
    codes = sample(SPACE, 20_000, "random", options.seed)
    legal = np.isfinite(joint_values(codes, task))
    best = np.array([Runs.of(options).one("firefly", task, options.seed)["codes"]])
    good, bad = codes[legal][:_SHOWN], codes[~legal][:_SHOWN]
    title = "Figure 9: t-SNE of designs, legal for all nine applications or not; the star is the best found"
    return _map(options, "figure9", good, bad, title, best, float(legal.mean()))


def core_memory(options: BenchOptions) -> Check:
    """Figure 11: how the latency answers to the size of the core memory."""
    rows = _random_designs(options)
    size = rows.design["core_memory_bytes"].astype(float)
    figure, means = blank("none"), []
    sizes = np.unique(size)
    for value in sizes:
        chosen = rows.feasible & (size == value)
        runtime = 1e3 * rows.metrics["runtime_s"][chosen]
        figure.add_box(y=runtime, name=f"{value / 1024:g} KiB", marker={"color": LEGAL}, boxpoints=False)
        means.append(float(np.median(runtime)) if len(runtime) else float("nan"))
    title = "Figure 11: latency of random feasible designs on MobileNetEdgeTPU by the size of their core memory"
    _keep(options, "figure11", figure, {"bytes": sizes, "median_ms": means}, title, "Core memory", "Latency, ms", "y")
    span = float(np.nanmax(means) / np.nanmin(means))
    return Check("median latencies over the sizes of the core memory, largest over smallest", span, "above 1", span > 1)


def map_of_designs(options: BenchOptions) -> Check:
    """Figure 12: feasible designs in a sea of infeasible ones."""
    rows = _random_designs(options)
    codes = SPACE.encode_columns(rows.design)
    share = float(rows.feasible.mean())
    shown = round(2 * _SHOWN * share)
    title = "Figure 12: t-SNE of random designs on MobileNetEdgeTPU"
    good, bad = codes[rows.feasible][:shown], codes[~rows.feasible][: 2 * _SHOWN - shown]
    return _map(options, "figure12", good, bad, title, None, share)


def overestimation(options: BenchOptions) -> Check:
    """Figure 13: what a standard surrogate promises of its best designs, and what they hold."""
    below = _calibration(options, "standard", "figure13", "Figure 13: the best 256 designs by a standard surrogate")
    return Check("standard: best designs that are worse than predicted", below, "above 0.5", below > 0.5)


def conservatism(options: BenchOptions) -> Check:
    """Figure 14: the same of PRIME, which should promise too little."""
    below = _calibration(options, "prime", "figure14", "Figure 14: the best 256 designs by PRIME")
    return Check("PRIME: best designs that are worse than predicted", below, "below 0.5", below < 0.5)


def conservatism_as_published(options: BenchOptions) -> Check:
    """Figure 14 with the alpha and beta that Table 19 has for this application, instead of those chosen here."""
    title = "Figure 14: the best 256 designs by PRIME, alpha 0.01 and beta 5 as in Table 19"
    below = _calibration(options, "prime", "figure14-published", title, alphas=(0.01,), betas=(5.0,))
    return Check("PRIME as in Table 19: best designs that are worse than predicted", below, "below 0.5", below < 0.5)


def _random_designs(options: BenchOptions) -> Any:
    codes = sample(SPACE, _SAMPLES, "random", options.seed)
    return evaluations(codes, EDGE)


def _curves(options: BenchOptions) -> None:
    """Run the searches that the figures show and that were not run before, on all cores."""
    tasks = (_ALONE,) if options.quick else (_ALONE, _SEVEN)
    shown = [(method, task) for task in tasks for method in _searches(options)]
    shown += [] if options.quick else [("p3bo", _ALONE)]
    shown += [("firefly", Task((name,), (name,), AREA_MM2)) for name in ALL]
    runs, quiet = Runs.of(options), Runs.of(options.quiet())
    jobs = {curve_part(runs, *job).path: partial(curve, quiet, *job) for job in shown}
    in_processes(jobs, partial(options.on_progress, "searches"))


def _searches(options: BenchOptions) -> tuple[str, ...]:
    return tuple(method for method in _CURVE_SEARCHES if not (options.quick and method == "bayesian"))


def _cost(options: BenchOptions, task: Task, name: str, what: str, published: float) -> Check:
    runs = Runs.of(options)
    prime = runs.one("prime", task, options.seed)
    figure, columns = blank(), {}
    for method in _searches(options):
        columns[method] = 1e3 * curve(runs, method, task)
        _add_steps(figure, method, columns[method])
    point = {"x": [prime["evaluations"]], "y": [1e3 * prime["runtime_s"]]}
    figure.add_scatter(**point, name="PRIME", mode="markers", marker={"symbol": "star", "size": 16})
    title = f"{name.replace('figure', 'Figure ')}: best latency by evaluations, {what}"
    _keep(options, name, figure, columns, title, "Legal evaluations", "Best latency, ms", "xy")
    share = prime["evaluations"] / len(columns["firefly"])
    return Check(
        f"PRIME's evaluations over the firefly's full budget, {what}",
        share,
        f"at most {published:.0%}",
        share <= published,
    )


def _add_steps(figure: go.Figure, name: str, curve: NDArray[np.float64]) -> None:
    """Add the best latency after each legal evaluation, which holds until a better one is met."""
    figure.add_scatter(x=np.arange(1, len(curve) + 1), y=curve, name=name, mode="lines", line={"shape": "hv"})


def _map(
    options: BenchOptions,
    name: str,
    good: NDArray[np.int64],
    bad: NDArray[np.int64],
    title: str,
    best: NDArray[np.int64] | None,
    share: float,
) -> Check:
    """Draw designs in the plane such that neighbours stay neighbours."""
    parts = [good, bad] + ([] if best is None else [best])
    unit = np.concatenate(parts) / (np.array(SPACE.cardinalities) - 1)
    place = TSNE(n_components=2, random_state=options.seed, init="pca", perplexity=30).fit_transform(unit)
    kinds = np.repeat(["legal", "illegal", "best"][: len(parts)], [len(part) for part in parts])
    figure = blank()
    for kind, colour, size in (("illegal", INFEASIBLE, 4), ("legal", LEGAL, 5), ("best", ROLE_COLOURS["winner"], 16)):
        chosen = kinds == kind
        if chosen.any():
            symbol = "star" if kind == "best" else "circle"
            marker = {"color": colour, "size": size, "symbol": symbol, "opacity": 0.75}
            figure.add_scatter(x=place[chosen, 0], y=place[chosen, 1], name=kind, mode="markers", marker=marker)
    _keep(options, name, figure, {"x": place[:, 0], "y": place[:, 1], "kind": kinds}, title, "t-SNE 1", "t-SNE 2", "")
    return Check(f"share of random designs that are legal, {name}", share, "above 0 and below 0.5", 0 < share < 0.5)


def _calibration(options: BenchOptions, method: str, name: str, title: str, **settings: tuple[float, ...]) -> float:
    """Draw predicted against measured latencies of proposals; return the share measured above the prediction."""
    found = calibration(Runs.of(options), method, _ALONE, **settings)
    predicted, measured = 1e3 * found.predicted_s, 1e3 * found.measured_s
    legal = np.isfinite(measured)
    figure = blank()
    figure.add_scatter(
        x=measured[legal],
        y=predicted[legal],
        mode="markers",
        name="proposals",
        marker={"color": ROLE_COLOURS["winner"]},
    )
    shown = np.concatenate([measured[legal], predicted])
    ends = [float(shown.min()), float(shown.max())]
    line = {"dash": "dot", "color": "#8a95a3"}
    figure.add_scatter(x=ends, y=ends, mode="lines", name="predicted = measured", line=line)
    columns = {"measured_ms": measured, "predicted_ms": predicted}
    _keep(options, name, figure, columns, title, "Measured latency, ms", "Predicted latency, ms", "xy")
    return float((measured > predicted).mean())  # an illegal design is infinitely worse


def _keep(
    options: BenchOptions, name: str, figure: go.Figure, columns: Columns, title: str, x: str, y: str, logarithmic: str
) -> None:
    write(figure, options.out / f"{name}.html", title=title, x=x, y=y, logarithmic=logarithmic)
    with replaced(options.out / f"{name}.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=False))
