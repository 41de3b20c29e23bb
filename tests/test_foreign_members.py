"""Members of other packages: what they may get wrong, and that one package's fault is no other's."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from unittest.mock import patch

import pytest
import typer

from armillary import evaluators, surrogates
from armillary.cli import app, main
from armillary.hardware import templates
from armillary.metrics import METRICS, OURS
from armillary.registry import Registry
from armillary.types import ArmillaryError, Fidelity, Metric

GOOD = """
from armillary.evaluators.kind import EvaluatorKind
from armillary.hardware.template import Template
from armillary.spaces.space import Parameter, Space
from armillary.types import Cost, Fidelity, Metric

NOISE = Metric("dB")
NUMBER = 3
TEMPLATE = Template("theirs", Space("theirs", (Parameter("a", (1, 2)),)))
OTHER = EvaluatorKind("theirs", Fidelity.RTL, "theirs", "1", Cost.SECONDS, lambda spec, options: None)
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs a package of modules and entry points, as pip does."""

    def installed(entries, name="stranger", **modules):
        for module, text in modules.items():
            (tmp_path / f"{module}.py").write_text(text)
            monkeypatch.delitem(sys.modules, module, raising=False)
        info = tmp_path / f"{name}-2.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.5\n")
        groups = (f"[{g}]\n" + "".join(f"{n} = {path}\n" for n, path in of.items()) for g, of in entries.items())
        (info / "entry_points.txt").write_text("\n".join(groups))
        monkeypatch.syspath_prepend(tmp_path)

    return installed


def command(*arguments):
    """Return status, output and messages of a command."""
    out, err = io.StringIO(), io.StringIO()
    with (
        redirect_stdout(out),
        redirect_stderr(err),
        patch.object(sys, "argv", ["armillary", *arguments]),
        pytest.raises(SystemExit) as stop,
    ):
        main()
    return stop.value.code, out.getvalue(), err.getvalue()


def test_a_module_may_fail_in_any_way_when_it_is_imported(install):
    install({"armillary.colours": {"sky": "stranger_broken:x"}}, stranger_broken="1 / 0")
    with pytest.raises(ArmillaryError, match="'sky' at stranger_broken:x cannot be loaded: ZeroDivisionError"):
        Registry("colour", "armillary.colours", {}).load("sky")


def test_a_fault_of_our_own_module_stays_one(install):
    install({}, stranger_broken="1 / 0")
    with pytest.raises(ZeroDivisionError):
        Registry("colour", "armillary.colours", {"sky": "stranger_broken:x"}).load("sky")


def test_says_what_a_member_is_instead(install):
    install({"armillary.colours": {"sky": "stranger:NUMBER"}}, stranger=GOOD)
    with pytest.raises(ArmillaryError, match="colour 'sky' at stranger:NUMBER is no Metric, it is a int"):
        Registry("colour", "armillary.colours", {}).load("sky", Metric)
    install({"armillary.surrogates": {"odd": "stranger:NUMBER"}}, "odd")
    with pytest.raises(ArmillaryError, match=r"surrogate 'odd' .* is no SurrogateKind"):
        surrogates.kind_of("odd")
    assert "odd" not in surrogates.savable()


def test_tells_which_package_brings_a_member(install):
    install({"armillary.colours": {"sky": "stranger:NUMBER", "sea": "stranger:NUMBER"}}, stranger=GOOD)
    colours = Registry("colour", "armillary.colours", {"sea": "math:pi"})
    assert colours.packages("sky") == {"stranger": "2.5"}
    assert colours.packages("sea") == colours.packages("sand") == {}


def test_metrics_are_loaded_one_by_one(install):
    entries = {"noise_db": "stranger:NOISE", "broken_mw": "stranger_broken:x", "delay_cycles": "stranger:NOISE"}
    install({"armillary.metrics": entries}, stranger=GOOD, stranger_broken="1 / 0")
    metrics = type(METRICS)()
    assert list(metrics) == [*OURS, "broken_mw", "noise_db"]
    assert len(metrics) == len(OURS) + 2
    assert metrics["noise_db"].unit == "dB"
    assert metrics["delay_cycles"] == OURS["delay_cycles"]
    assert "broken_mw" in metrics
    with pytest.raises(ArmillaryError, match="metric 'broken_mw'"):
        metrics["broken_mw"]
    assert metrics.get("unheard_of") is None


def test_one_broken_template_hides_no_other(install):
    entries = {"theirs": "stranger:TEMPLATE", "broken": "stranger_broken:x", "odd": "stranger:NUMBER"}
    install({"armillary.templates": entries}, stranger=GOOD, stranger_broken="1 / 0")
    status, out, err = command("templates", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert status == 0
    assert rows["theirs"]["designs"] == 2
    assert rows["edge_tpu"]["fidelities"] == ["analytical"]
    assert rows["broken"]["space"] == rows["odd"]["space"] == "cannot be loaded"
    assert "warning: template 'broken' at stranger_broken:x cannot be loaded: ZeroDivisionError" in err
    assert "warning: template 'odd' is no Template, it is a int" in err
    assert "broken" in command("templates")[1]


def test_shows_a_template_without_law_budget_baseline_or_evaluator(install):
    install({"armillary.templates": {"theirs": "stranger:TEMPLATE"}}, stranger=GOOD)
    content = json.loads(command("templates", "show", "theirs", "--json")[1])
    assert (content["baseline"], content["laws"], content["limits"], content["budgets"]) == (None, [], {}, {})
    assert content["evaluators"] == []
    assert "theirs: 2 designs\n" in command("templates", "show", "theirs")[1]


def test_a_template_is_registered_under_its_own_name(install):
    install({"armillary.templates": {"mine": "stranger:TEMPLATE"}}, stranger=GOOD)
    with pytest.raises(ArmillaryError, match="template 'mine' calls itself 'theirs'"):
        templates.load("mine")


def test_evaluators_are_registered_by_template_and_fidelity(install):
    entries = {"theirs.fast": "stranger:OTHER", "theirs": "stranger:OTHER", "theirs.analytical": "stranger:OTHER"}
    install({"armillary.evaluators": entries}, stranger=GOOD)
    assert evaluators.fidelities("theirs") == ["analytical"]
    with pytest.raises(ArmillaryError, match=r"\['theirs', 'theirs.fast'\] should be named theirs.FIDELITY"):
        evaluators.kind_of("theirs", Fidelity.PHYSICAL)
    with pytest.raises(ArmillaryError, match=r"'theirs\.analytical' says that it is theirs\.rtl"):
        evaluators.kind_of("theirs", Fidelity.ANALYTICAL)
    assert evaluators.fidelities("edge_tpu") == ["analytical"]


@pytest.mark.parametrize(("kind", "ours"), [("surrogates", "hurdle"), ("optimizers", "random")])
def test_lists_what_other_packages_bring_without_loading_it(install, kind, ours):
    install({f"armillary.{kind}": {"theirs": "stranger_broken:x"}}, stranger_broken="1 / 0")
    rows = {row["name"]: row["from"] for row in json.loads(command(kind, "--json")[1])}
    assert rows["theirs"] == "stranger_broken:x"
    assert rows[ours].startswith(f"armillary.{kind}.")


def test_help_lists_members_from_the_registry_where_they_may_be_others():
    found = set()
    for name, of_command in typer.main.get_command(app).commands.items():
        for option in of_command.params:
            if option.name in ("surrogate", "optimizer", "template"):
                assert f"ne of {{{option.name}s}}" in option.help, (name, option.help)
                found.add(option.name)
    assert found == {"surrogate", "optimizer", "template"}
