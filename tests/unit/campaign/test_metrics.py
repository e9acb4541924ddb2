"""Metrics find values in figures and traces, and give a reason where there is none."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
import types
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nepiq.controller import InvalidValue
from nepiq.controller.campaign import metrics as module
from nepiq.controller.campaign.metrics import Measured, Metric, evaluate, parse_all
from nepiq.controller.campaign.samples import KINDS, TAKES, Text, plain, take
from nepiq.controller.errors import (
    HostUnreachable,
    RedisUnreachable,
    TraceNotFound,
    UnknownAttribute,
    UnknownResource,
)

if TYPE_CHECKING:
    from tests.conftest import Need

PING = """\
PING 127.0.0.1 (127.0.0.1) 56(84) bytes of data.
64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=0.031 ms
64 bytes from 127.0.0.1: icmp_seq=2 ttl=64 time=0.045 ms
64 bytes from 127.0.0.1: icmp_seq=3 ttl=64 time=0.050 ms

3 packets transmitted, 3 received, 0% packet loss, time 2031ms
"""
REPORT = {
    "end": {
        "streams": [{"bytes": 10, "ok": True}, {"bytes": 20, "ok": False}],
        "sum": {"seconds": 2.5, "nothing": None},
    }
}
# As ns-3 writes it: the flow of a classifier has the same name.
FLOWS = """<?xml version="1.0" ?>
<FlowMonitor>
  <FlowStats>
    <Flow flowId="1" delaySum="+4.0e+06ns" txBytes="3000" rxBytes="2000" lostPackets="1">
    </Flow>
    <Flow flowId="2" delaySum="+1.0e+06ns" txBytes="500" rxBytes="500" lostPackets="0">
    </Flow>
  </FlowStats>
  <Ipv4FlowClassifier>
    <Flow flowId="1" sourceAddress="10.0.0.1" destinationAddress="10.0.0.2" />
  </Ipv4FlowClassifier>
</FlowMonitor>
"""
TABLE = 'time,delay,note\n1,2.5,"a, b"\n2,,c\n3,4.5,d\n'


class View:
    """An experiment that has ended, with its figures and traces."""

    def __init__(self) -> None:
        self.figures: dict[tuple[str, str], Any] = {
            ("ping", "avg"): 0.042,
            ("ping", "received"): 3,
            ("ping", "loss"): None,
        }
        self.traces: dict[tuple[str, str], Any] = {
            ("ping", "stdout"): PING,
            ("server", "report.json"): json.dumps(REPORT),
            ("simulation", "flowsXml"): FLOWS,
            ("simulation", "flows"): TABLE,
            ("simulation", "empty"): "",
            ("simulation", "large"): "x" * (module.LARGEST + 1),
        }
        self.reads: Counter[str] = Counter()

    def get(self, guid: str, name: str, /) -> Any:
        if guid not in ("ping", "server"):
            raise UnknownResource(guid, ["ping", "server"])
        if (guid, name) not in self.figures:
            raise UnknownAttribute(name, ["avg", "received"])
        return self.figures[guid, name]

    def trace(self, guid: str, name: str, /, attr: str, block: int, offset: int, text: bool) -> Any:
        assert (attr, offset, text) == ("stream", 0, False)
        self.reads[name] += 1
        content = self.traces.get((guid, name), TraceNotFound(name, ["stdout"]))
        if isinstance(content, Exception):
            raise content
        return content.encode()[:block]


def value(metric: Metric) -> Any:
    measured = evaluate({"m": metric}, View())
    assert measured.reasons == {}
    return measured.values["m"]


def reason(metric: Metric) -> str:
    measured = evaluate({"m": metric}, View())
    assert measured.values == {"m": None}
    return measured.reasons["m"]


def of_xml(attribute: str, **more: str) -> Metric:
    pattern = rf'<Flow [^>]*\b{attribute}="\+?([\d.e+]+)(?:ns)?"'
    return Metric("simulation", "flowsXml", regex=pattern, **more)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (Metric("ping", figure="avg"), 0.042),
        (Metric("ping", figure="received"), 3),
        (Metric("ping", figure="received", kind="float"), 3.0),
        (Metric("ping", "stdout", regex=r"([\d.]+)% packet loss"), 0),
        (Metric("ping", "stdout", regex=r"time=([\d.]+)", take="first"), 0.031),
        (Metric("ping", "stdout", regex=r"time=([\d.]+)", take="last"), 0.05),
        (Metric("ping", "stdout", regex=r"time=([\d.]+)", take="mean"), 0.042),
        (Metric("ping", "stdout", regex=r"time=([\d.]+)", take="median"), 0.045),
        (Metric("ping", "stdout", regex=r"^64 bytes", take="count"), 3),
        (Metric("ping", "stdout", regex=r"nothing", take="count"), 0),
        (Metric("ping", "stdout", regex=r"^PING \S+"), "PING 127.0.0.1"),
        (Metric("ping", "stdout", regex=r"(\d) received", kind="str"), "3"),
        (Metric("ping", "stdout", regex=r"3 received, (0)", kind="bool"), False),
        (Metric("server", "report.json", jsonpath="$.end.sum.seconds"), 2.5),
        (Metric("server", "report.json", jsonpath="$.end.streams[*].bytes", take="sum"), 30),
        (Metric("server", "report.json", jsonpath="$.end.streams[?@.ok==true].bytes"), 10),
        (Metric("server", "report.json", jsonpath="$..ok", take="first"), True),
        (of_xml("rxBytes", take="sum"), 2500),
        (of_xml("delaySum", take="sum"), 5e6),
        (Metric("simulation", "flows", csv="delay", take="mean"), 3.5),
        (Metric("simulation", "flows", csv="note", take="first"), "a, b"),
        (Metric("simulation", "flows", csv="time", take="max"), 3),
    ],
)
def test_values(metric: Metric, expected: Any) -> None:
    result = value(metric)
    assert result == pytest.approx(expected) if isinstance(expected, float) else result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        (Metric("ping", figure="loss"), "loss of ping has no value"),
        (Metric("ping", figure="avgg"), "unknown attribute 'avgg' (did you mean 'avg'"),
        (Metric("pong", figure="avg"), "unknown resource 'pong' (did you mean 'ping'"),
        (Metric("ping", "stderr", regex="x"), "unknown trace 'stderr'"),
        (Metric("ping", "stdout", regex="xyz"), "nothing in stdout of ping matches xyz"),
        (
            Metric("ping", "stdout", regex="time=([0-9.]+)"),
            "stdout of ping: 3 values match; choose",
        ),
        (Metric("ping", "stdout", regex="PING", kind="int"), "'PING' is not of kind int"),
        (Metric("ping", "stdout", regex="0[.]031", kind="int"), "0.031 is not a whole number"),
        (Metric("ping", "stdout", regex="bytes", take="mean"), "'bytes' is not a number"),
        (Metric("ping", "stdout", jsonpath="$.a"), "stdout of ping is not JSON: Expecting value"),
        (Metric("server", "report.json", jsonpath="$.end.cpu"), "matches $.end.cpu"),
        (Metric("server", "report.json", jsonpath="$.end.sum"), "is not a number, text or truth"),
        (Metric("server", "report.json", jsonpath="$.end.sum.nothing"), "has no value"),
        (Metric("simulation", "flows", csv="dely"), "no column 'dely' (did you mean 'delay'"),
        (Metric("simulation", "empty", csv="delay"), "empty of simulation is empty"),
        (Metric("simulation", "large", regex="x"), "has more than 16 MiB"),
        (Metric(function="no_such_module:f"), "cannot be imported: ModuleNotFoundError"),
        (Metric(function="json:no_such"), "has no attribute 'no_such'"),
        (Metric(function="math:pi"), "is not a function"),
    ],
)
def test_reasons(metric: Metric, text: str) -> None:
    assert text in reason(metric)


def test_each_trace_is_read_once() -> None:
    view = View()
    paths = ["$.end.sum.seconds", "$.end.streams[0].bytes", "$.nothing"]
    metrics = {
        f"m{n}": Metric("server", "report.json", jsonpath=path) for n, path in enumerate(paths)
    }
    metrics["text"] = Metric("server", "report.json", regex="seconds")
    measured = evaluate(metrics, view)
    assert view.reads == {"report.json": 1}
    assert measured.values == {"m0": 2.5, "m1": 10, "m2": None, "text": "seconds"}
    assert str(measured) == "m2: nothing in report.json of server matches $.nothing"


def test_a_trace_that_is_missing_is_asked_for_once_and_leaves_the_others() -> None:
    view = View()
    gone = [Metric("ping", "gone", regex=text) for text in "ab"]
    measured = evaluate({"a": gone[0], "b": gone[1], "c": Metric("ping", figure="avg")}, view)
    assert set(measured.reasons) == {"a", "b"}
    assert measured.values["c"] == 0.042
    assert view.reads["gone"] == 1


@pytest.mark.parametrize("error", [HostUnreachable("gone"), RedisUnreachable("gone")])
def test_what_may_succeed_later_is_raised(error: Exception) -> None:
    view = View()
    view.traces["ping", "stdout"] = error
    with pytest.raises(type(error)):
        evaluate({"m": Metric("ping", "stdout", regex="x")}, view)


@pytest.fixture
def functions() -> Any:
    """A module of functions that a worker can import."""
    made = types.ModuleType("metrics_of_a_test")
    sys.modules[made.__name__] = made
    yield made
    del sys.modules[made.__name__]


def test_a_function_gets_the_experiment(functions: Any, need: Need) -> None:
    need("numpy", importlib.util.find_spec("numpy"), "the extra pandas")
    import numpy as np

    functions.double = lambda ec: 2 * ec.get("ping", "avg")
    functions.array = lambda ec: np.float32(1.5)
    functions.none = lambda ec: None
    functions.broken = lambda ec: 1 / 0
    functions.ends = lambda ec: sys.exit("enough")
    functions.lists = lambda ec: [1, 2]
    functions.nan = lambda ec: math.nan
    names = ("double", "array", "none", "broken", "ends", "lists", "nan")
    metrics = parse_all({name: f"metrics_of_a_test:{name}" for name in names})
    measured = evaluate(metrics, View())
    assert measured == Measured(
        dict(zip(names, (0.084, 1.5, None, None, None, None, None), strict=True)),
        {
            "none": "metrics_of_a_test:none has no value",
            "broken": "ZeroDivisionError: division by zero",
            "ends": "SystemExit: enough",
            "lists": "metrics_of_a_test:lists: [1, 2] is not a number, text or truth value",
            "nan": "metrics_of_a_test:nan: nan is not finite",
        },
    )
    assert type(measured.values["array"]) is float


@pytest.mark.parametrize(
    ("data", "metric"),
    [
        ("ping.avg", Metric("ping", figure="avg")),
        ("my.label.avg", Metric("my.label", figure="avg")),
        ("a.b:c.d", Metric(function="a.b:c.d")),
        ({"label": "a", "trace": "b", "regex": "c"}, Metric("a", "b", regex="c")),
    ],
)
def test_parsing(data: object, metric: Metric) -> None:
    assert Metric.parse(data) == metric
    assert Metric.parse(json.loads(json.dumps(metric.to_data()))) == metric
    assert Metric.parse(metric) is metric


def test_data_has_only_what_was_given() -> None:
    assert Metric("a", "b", csv="c", take="mean").to_data() == {
        "label": "a",
        "trace": "b",
        "csv": "c",
        "take": "mean",
    }


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("avg", "m: a metric cannot be 'avg' (write label.figure or module:function)"),
        (7, "a metric cannot be 7"),
        ({}, "exactly one of figure, regex, jsonpath, csv, function, script: it has none"),
        ({"label": "a", "trace": "b", "regex": "c", "csv": "d"}, "it has regex and csv"),
        ({"label": "a", "regexp": "c"}, "has no 'regexp' (did you mean 'regex'"),
        ({"label": "a", "regex": "c"}, "a: a metric with regex needs the name of a trace"),
        ({"label": "a", "trace": "b", "figure": "c"}, "a metric with figure has no trace"),
        ({"label": "a b", "figure": "c"}, "'a b' cannot be used as label"),
        ({"function": "nothing"}, "function of a metric cannot be 'nothing'"),
        ({"function": "a:b", "label": "c"}, "has neither label nor trace"),
        ({"script": "value", "trace": "c"}, "a metric with script has neither label nor trace"),
        ({"label": "a", "trace": "b", "regex": "("}, "regex of a metric cannot be '('"),
        ({"label": "a", "trace": "b", "regex": "(a)(b)"}, "has 2 groups"),
        ({"label": "a", "trace": "b", "jsonpath": "$["}, "jsonpath of a metric cannot be '$['"),
        ({"label": "a", "trace": "b", "csv": "c", "take": "best"}, "take of a metric cannot be"),
        ({"label": "a", "trace": "b", "csv": "c", "kind": "list"}, "kind of a metric cannot be"),
        ({"label": "a", "trace": "b", "csv": 7}, "csv of a metric must be text"),
    ],
)
def test_what_is_wrong_is_refused_when_it_is_given(data: object, text: str) -> None:
    with pytest.raises(InvalidValue) as raised:
        parse_all({"m": data})
    assert text in str(raised.value)


def test_a_function_of_a_script_is_known_by_its_name() -> None:
    assert Metric.parse(len).to_data() == {"script": "len"}
    assert Metric.parse({"script": "len"}) == Metric.parse(len)


def test_the_name_of_a_metric_is_checked() -> None:
    with pytest.raises(InvalidValue, match="'a b' cannot be used as the name of a metric"):
        parse_all({"a b": "ping.avg"})


@given(
    st.lists(st.floats(-1e9, 1e9) | st.integers(-(10**9), 10**9), min_size=1),
    st.sampled_from(sorted(set(TAKES) - {"only", "count"})),
)
def test_text_of_numbers_gives_what_numbers_give(values: list[float], way: str) -> None:
    texts = [Text(repr(value)) for value in values]
    assert take(texts, way) == take(values, way)
    assert take(texts, way, "float") == pytest.approx(take([float(v) for v in values], way))


@given(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.text().map(Text),
    st.sampled_from(["", *KINDS]),
)
def test_a_plain_value_is_of_its_kind_or_refused(item: Any, kind: str) -> None:
    try:
        result = plain(item, kind)
    except (ValueError, OverflowError):
        return
    assert result is None if item is None else type(result) in (int, float, str, bool)
    if result is not None and kind:
        assert type(result).__name__ == kind
    json.loads(json.dumps(result, allow_nan=False))
