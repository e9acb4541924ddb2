"""NEPI's methods take the arguments that they took there, by place and by name."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from nepiq.controller import ExperimentController, ExperimentRunner, InvalidValue

#: The parameters of NEPI 6.1.2 and of the two versions before it; what has a default is told by
#: its value. ``...`` stands for a default that is another here.
NEPI: dict[str, tuple[list[str], dict[str, Any]]] = {
    "deploy": (
        ["guids", "wait_all_ready", "group"],
        {"guids": None, "wait_all_ready": True, "group": None},
    ),
    "discover": (["guid"], {}),
    "enable_trace": (["guid", "name"], {}),
    "filter_resources": (["rtype"], {}),
    "get": (["guid", "name"], {}),
    "get_attribute": (["guid", "name"], {}),
    "get_attributes": (["guid"], {}),
    "get_discover_time": (["guid"], {}),
    "get_failed_time": (["guid"], {}),
    "get_global": (["rtype", "name"], {}),
    "get_provision_time": (["guid"], {}),
    "get_ready_time": (["guid"], {}),
    "get_release_time": (["guid"], {}),
    "get_resource": (["guid"], {}),
    "get_resources_by_type": (["rtype"], {}),
    "get_start_time": (["guid"], {}),
    "get_stop_time": (["guid"], {}),
    "get_task": (["tid"], {}),
    "get_traces": (["guid"], {}),
    "load": (["filepath", "format"], {"format": ...}),
    "plot": (["dirpath", "format", "show"], {"dirpath": None, "format": ..., "show": False}),
    "provision": (["guid"], {}),
    "register_condition": (["guids1", "action", "guids2", "state", "time"], {"time": None}),
    "register_connection": (["guid1", "guid2"], {}),
    "register_resource": (["rtype", "guid"], {"guid": None}),
    "release": (["guids"], {"guids": None}),
    "remove_resource": (["guid"], {}),
    "save": (["dirpath", "format"], {"dirpath": None, "format": ...}),
    "schedule": (["date", "callback", "track"], {"track": False}),
    "serialize": (["format"], {"format": ...}),
    "set": (["guid", "name", "value"], {}),
    "set_global": (["rtype", "name", "value"], {}),
    "set_with_conditions": (["name", "value", "guids1", "guids2", "state", "time"], {"time": None}),
    "shutdown": ([], {}),
    "start": (["guid"], {}),
    "start_with_conditions": (["guid"], {}),
    "state": (["guid", "hr"], {"hr": False}),
    "stop": (["guid"], {}),
    "stop_with_conditions": (["guid"], {}),
    "trace": (
        ["guid", "name", "attr", "block", "offset"],
        {"attr": ..., "block": 512, "offset": 0},
    ),
    "trace_enabled": (["guid", "name"], {}),
    "wait": (["guids", "state", "quit"], {}),
    "wait_deployed": (["guids"], {}),
    "wait_finished": (["guids"], {}),
    "wait_released": (["guids"], {}),
    "wait_started": (["guids"], {}),
}  # fmt: skip
#: Those that have another name here too, which stands in their place.
OURS = {
    "load": {"filepath": "path"},
    "plot": {"dirpath": "path"},
    "save": {"dirpath": "path"},
    "wait": {"state": "states", "quit": "timeout"},
}


def parameters(method: Any) -> list[inspect.Parameter]:
    return [p for p in inspect.signature(method).parameters.values() if p.name != "self"]


@pytest.mark.parametrize("name", NEPI)
def test_nepis_arguments_are_taken(name: str) -> None:
    names, defaults = NEPI[name]
    found = parameters(getattr(ExperimentController, name))
    by_name = {parameter.name: parameter for parameter in found}
    ours = [OURS.get(name, {}).get(item, item) for item in names]
    assert [p.name for p in found if p.kind is p.POSITIONAL_OR_KEYWORD][: len(ours)] == ours
    assert set(names) <= set(by_name)
    for item in names:
        default = by_name[item].default
        if item in defaults:
            assert default is not inspect.Parameter.empty
            assert defaults[item] in (default, ...)
    # What is new is optional.
    fixed = [p.name for p in found if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    assert set(fixed) <= set(names)


def test_the_constructor() -> None:
    wanted = {
        "exp_id": None,
        "local_dir": None,
        "persist": False,
        "fm": None,
        "add_node_callback": None,
        "add_edge_callback": None,
    }
    found = parameters(ExperimentController.__init__)[: len(wanted)]
    assert {p.name: p.default for p in found} == wanted
    assert all(p.kind is p.POSITIONAL_OR_KEYWORD for p in found)
    with pytest.raises(InvalidValue, match="failure managers"):
        ExperimentController(fm=object())  # type: ignore[arg-type]


def test_the_runner() -> None:
    wanted = {
        "ec": inspect.Parameter.empty,
        "min_runs": 1,
        "max_runs": -1,
        "wait_time": 0,
        "wait_guids": (),
        "compute_metric_callback": None,
        "evaluate_convergence_callback": None,
    }
    found = parameters(ExperimentRunner.run)[: len(wanted)]
    assert {p.name: p.default for p in found} == wanted


def test_names_of_nepi_are_used(tmp_path: Any) -> None:
    ec = ExperimentController("named")
    ec.register_resource("nepiq::Null", label="one")
    assert ec.get_task(tid=1) is None
    saved = ec.save(dirpath=tmp_path)
    assert ExperimentController.load(filepath=saved).find("one") == 1
    assert ec.plot(dirpath=tmp_path) == str(tmp_path / "named.svg")
    with pytest.raises(InvalidValue):
        ec.wait("one", state="NOWHERE", quit=None)
    assert ec.wait([], state="STARTED")
