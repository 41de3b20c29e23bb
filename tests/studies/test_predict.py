"""What a model of whole designs expects of the rows of a file."""

import csv

import numpy as np
import pytest

from armillary import surrogates
from armillary.hardware.templates.edge_tpu import SPACE, TEMPLATE
from armillary.problems.problem import Problem
from armillary.studies.predict import predict_rows, with_predictions
from armillary.studies.subject import Shipped
from armillary.surrogates import model_file
from armillary.types import ArmillaryError, Prediction
from armillary.workloads import zoo
from armillary.workloads.context import context_of


class Known:
    """Expects of a design the sum of its codes, of two workloads differently."""

    space, feature_names = SPACE, ()
    problem = Problem.minimising(SPACE, "runtime_s")

    def predict(self, designs, context):
        scale = 2.0 if context == context_of(zoo.build("unet")) else 1.0
        total = scale * designs.sum(axis=1).astype(float)
        return Prediction(mean=total, std=np.full(len(designs), 5.0), p_feasible=1 / (1 + total))

    def unlike(self, context):
        return "unlike what it learned from" if context == context_of(zoo.build("unet")) else None


@pytest.fixture
def model(tmp_path, monkeypatch):
    path = tmp_path / "model.pt"
    model_file.save(path, "known", SPACE, Known.problem, {}, {})
    monkeypatch.setattr(surrogates, "read", lambda *_: Known())
    return path


def written(path, codes, workloads):
    rows = [
        {"workload": name, "note": "x", **d.as_dict()} for d, name in zip(SPACE.designs(codes), workloads, strict=True)
    ]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def codes(n, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(0, count, n) for count in SPACE.cardinalities], axis=1)


def test_each_row_is_predicted_on_its_workload(model, tmp_path):
    designs = codes(6)
    designs[0] = 0
    names = ["unet", "mobilenet_v2"] * 3
    rows = written(tmp_path / "rows.csv", designs, names)
    found = predict_rows(Shipped("edge_tpu"), model, rows, None, {})
    mean = designs.sum(axis=1) * np.array([2.0, 1.0] * 3)
    np.testing.assert_allclose(found.mean, mean)
    np.testing.assert_allclose(found.high, mean + 1.6449 * 5, rtol=1e-4)
    np.testing.assert_allclose(found.low, np.maximum(mean - 1.6449 * 5, 0), rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(found.p_feasible, 1 / (1 + mean))
    assert found.low[0] == 0  # no runtime is negative
    assert (found.metric, found.names["workload"]) == ("runtime_s", names)
    assert found.warnings == (f"{rows}: columns that are not used: note", "unlike what it learned from")
    assert found.to_list()[1] == {
        "line": 3, "workload": "mobilenet_v2", "mean": mean[1], "low": pytest.approx(found.low[1]),
        "high": pytest.approx(found.high[1]), "p_feasible": pytest.approx(1 / (1 + mean[1])),
    }  # fmt: skip


def test_predictions_stand_beside_what_the_file_held(model, tmp_path):
    rows = written(tmp_path / "rows.csv", codes(3), ["unet"] * 3)
    out = tmp_path / "out.csv"
    for source in (rows, out):  # once more over what was written
        with_predictions(source, predict_rows(Shipped("edge_tpu"), model, source, None, {}), out)
    with out.open() as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == [
        "workload", "note", *SPACE.names, "predicted_runtime_s", "predicted_low", "predicted_high", "p_feasible"
    ]  # fmt: skip
    assert [float(row["predicted_runtime_s"]) for row in found] == (2.0 * codes(3).sum(axis=1)).tolist()
    assert found[0]["note"] == "x"


def test_an_unknown_workload_is_named(model, tmp_path):
    rows = written(tmp_path / "rows.csv", codes(1), ["unett"])
    with pytest.raises(ArmillaryError, match=r"'unett'.*did you mean unet"):
        predict_rows(Shipped("edge_tpu"), model, rows, None, {})


def test_a_design_outside_of_the_space_is_named(model, tmp_path):
    rows = written(tmp_path / "rows.csv", codes(1), ["unet"])
    name = SPACE.names[0]
    value = TEMPLATE.baseline[name]
    text = rows.read_text().splitlines()
    cells = text[1].split(",")
    cells[2] = "77777"
    rows.write_text("\n".join([text[0], ",".join(cells)]))
    with pytest.raises(
        ArmillaryError, match=rf"rows\.csv: row 2: {name}='77777' is not allowed; choose one of .*{value}"
    ):
        predict_rows(Shipped("edge_tpu"), model, rows, None, {})
