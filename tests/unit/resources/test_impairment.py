"""linux::Impairment on fake hosts: drivers that this kernel may lack, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import pytest

from nepiq.controller.errors import HostError, InvalidValue
from nepiq.controller.testing import Call, FakeHost, Harness

WITH_NETEM = ("netem", "pfifo_fast", "tbf")
WITHOUT = ("pfifo_fast", "tbf")


def host_with(qdiscs: tuple[str, ...] | None) -> FakeHost:
    host = FakeHost()
    host.facts = dataclasses.replace(
        host.facts, qdiscs=qdiscs, kernel="6.1.0-test", link_kinds=("ifb", "veth")
    )
    return host


def netem(limit: int, **options: Any) -> list[dict[str, Any]]:
    """Return what tc shows of a discipline."""
    return [{"kind": "netem", "root": True, "options": {"limit": limit, **options}}]


def delayed(delay: float, jitter: float = 0) -> dict[str, Any]:
    return {"delay": {"delay": delay, "jitter": jitter, "correlation": 0}}


def interface(qdiscs: tuple[str, ...] | None, **attributes: Any) -> Harness[Any]:
    node = Harness("linux::Node", host=host_with(qdiscs))
    attributes = {"direction": "out", **attributes}
    return Harness("linux::Impairment", target=node, interface="eth7", **attributes)


def link(qdiscs: tuple[str, ...] | None, **attributes: Any) -> Harness[Any]:
    node = Harness("linux::Node", host=host_with(qdiscs))
    ends = [Harness("netns::Node", node=node) for _ in "ab"]
    made = Harness("netns::Link", ends=ends, name1="left", name2="right")
    return Harness("linux::Impairment", target=made, **attributes)


def configured(harness: Harness[Any]) -> list[str]:
    calls = [call for call in harness.host.calls if call.verb == "configure"]
    return [change.command for change in calls[-1].options["changes"]]


def deploy(harness: Harness[Any], *shown: Any) -> list[str]:
    harness.host.answer("qdisc|printf", "".join(json.dumps(value) for value in shown))
    harness.deploy()
    return configured(harness)


def test_netem_has_all_of_it() -> None:
    """The length of the queue is 1.5 x rate x delay, not netem's 1000 packets."""
    impairment = interface(
        WITH_NETEM, delay="40ms", jitter="5ms", loss=1, reorder=2, duplicate=3, rate="50mbit"
    )
    shown = netem(
        282, **delayed(0.04, 0.005), **{"loss-random": {"loss": 0.01}, "rate": {"rate": 6250000}}
    )
    (line,) = deploy(impairment, shown)
    head, _, options = line.partition(" netem ")
    assert head.startswith("qdisc add dev eth7 root handle ")
    assert options == (
        "limit 282 delay 40000us 5000us loss 1% duplicate 3% reorder 2% rate 50000000bit"
    )
    assert impairment.rm.driver == "netem"
    assert impairment.rm.applied.startswith("delay 40 ms, jitter 5 ms, loss 1%")


def test_both_ends_of_a_link_from_one_statement() -> None:
    impairment = link(WITH_NETEM, rtt="50ms", loss=10, lossBurst=5)
    shown = netem(31250, **delayed(0.025))
    lines = deploy(impairment, shown, shown)
    assert [line.split(" handle ")[0] for line in lines] == [
        "qdisc add dev left root",
        "qdisc add dev right root",
    ]
    assert all(line.endswith("delay 25000us loss gemodel 2.22222% 20%") for line in lines)
    changes = impairment.host.calls[-1].options["changes"]
    assert len({change.netns for change in changes}) == 2
    assert all(change.undo.startswith("qdisc del dev ") for change in changes)


def test_values_change_while_it_is_in_force() -> None:
    """Half the delay (CORE 22); ``rtt`` and ``delay`` replace each other."""
    impairment = link(WITH_NETEM, rtt="50ms")
    deploy(impairment, *[netem(31250, **delayed(0.025))] * 2)
    impairment.host.answer("qdisc", json.dumps(netem(15625, **delayed(0.0125))) * 2)
    impairment.set("rtt", "25ms")
    assert all(line.startswith("qdisc change dev ") for line in configured(impairment))
    assert all(line.endswith("limit 15625 delay 12500us") for line in configured(impairment))
    impairment.host.answer("qdisc", json.dumps(netem(1250, **delayed(0.001))) * 2)
    impairment.set("delay", "1ms")
    assert impairment.rm.rtt is None


def test_a_rate_is_lifted() -> None:
    """netem keeps the rate that it has unless it is given another one."""
    impairment = link(WITH_NETEM, delay="10ms", rate="1Mbit", queue=100)
    rated = {**delayed(0.01), "rate": {"rate": 125000}}
    deploy(impairment, *[netem(100, **rated)] * 2)
    impairment.host.answer("qdisc", json.dumps(netem(100, **delayed(0.01))) * 2)
    impairment.set("rate", None)
    assert all(line.endswith("delay 10000us rate 0bit") for line in configured(impairment))
    impairment.host.answer("qdisc", json.dumps(netem(100, **delayed(0.02))) * 2)
    impairment.set("delay", "20ms")
    assert all(line.endswith("delay 20000us") for line in configured(impairment))


def test_tc_shows_no_jitter_without_a_delay() -> None:
    lines = deploy(interface(WITH_NETEM, jitter="5ms", queue=100), netem(100))
    assert "delay 0us 5000us" in lines[-1]


def test_what_is_in_force_is_compared() -> None:
    with pytest.raises(HostError, match=r"eth7: netem has delay 0\.03, not 0\.04"):
        deploy(interface(WITH_NETEM, delay="40ms"), netem(50000, **delayed(0.03)))
    with pytest.raises(HostError, match="the host shows '' of an impairment"):
        deploy(interface(WITH_NETEM, delay="40ms"))


@pytest.mark.parametrize("attributes", [{"strict": True}, {"driver": "netem"}])
def test_a_kernel_without_netem_is_reported(attributes: dict[str, Any]) -> None:
    """Nothing "runs and does nothing" (chaos-mesh 1389)."""
    impairment = interface(WITHOUT, delay="40ms", **attributes)
    with pytest.raises(HostError, match=r"6\.1\.0-test has no netem.*sch_netem.*modules-extra"):
        impairment.deploy()
    assert configured_nothing(impairment)


def configured_nothing(harness: Harness[Any]) -> bool:
    return not [call for call in harness.host.calls if call.verb == "configure"]


def test_a_bucket_and_nft_for_rate_and_loss() -> None:
    impairment = interface(WITHOUT, rate="20mbit", loss=2.5)
    lines = deploy(impairment, [{"kind": "tbf", "options": {"rate": 2500000}}])
    assert impairment.rm.driver == "tbf+nft"
    assert lines[0].endswith(" tbf rate 20000000bit burst 16000b limit 166000b")
    assert lines[-1].endswith(" out numgen random mod 1000000 < 25000 drop")
    impairment.set("loss", 0)
    assert configured(impairment)[-1].startswith("flush chain netdev ")
    with pytest.raises(HostError, match="a rate and independent losses without a seed only"):
        interface(WITHOUT, delay=1, driver="tbf+nft").deploy()


def test_the_relay_for_the_rest() -> None:
    impairment = interface(WITHOUT, delay="20ms", rate="10mbit")
    bucket = [{"kind": "tbf", "options": {"rate": 1250000}}]
    lines = deploy(impairment, bucket)
    assert impairment.rm.driver == "relay"
    (call,) = [call for call in impairment.host.calls if call.verb == "configure"]
    request = call.options["changes"][0].line
    assert '"add":' in request
    assert '"delay":0.02' in request
    assert f'"via":"{lines[1].split()[2]}"' in request
    assert lines[2].endswith(" root tbf rate 10000000bit burst 16000b limit 166000b")
    assert impairment.host.files["/home/user/.nepiq/run/1/.relay.pyz"][:2] == b"PK"


def test_the_relay_has_a_ceiling() -> None:
    with pytest.raises(HostError, match="the relay carries up to 600 Mbit/s, not 10000 Mbit/s"):
        interface(WITHOUT, delay="20ms", rate="10gbit").deploy()


def test_the_relay_needs_python() -> None:
    impairment = interface(WITHOUT, delay="20ms")
    impairment.host.absent.add("python3")
    with pytest.raises(HostError, match="python3"):
        impairment.deploy()


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"delay": 1, "rtt": 1}, "either delay or rtt"),
        ({"rtt": 1}, "rtt is of both directions"),
        ({"reorder": 5}, "reorder needs a delay"),
        ({"lossBurst": 5}, "needs a loss"),
        ({"loss": 5, "lossBurst": 0.5}, "at least 1"),
        ({"strict": True, "driver": "relay"}, "strict refuses driver relay"),
    ],
)
def test_values_that_do_not_go_together(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        interface(WITH_NETEM, **attributes).deploy()


def test_it_needs_a_place_to_act_on() -> None:
    node = Harness("linux::Node")
    with pytest.raises(InvalidValue, match="interface names one of a node"):
        Harness("linux::Impairment", target=node, delay=1).deploy()
    null = Harness("nepiq::Null")
    with pytest.raises(InvalidValue, match="connect it to a link"):
        Harness("linux::Impairment", target=null, delay=1).deploy()


def test_what_an_interface_receives() -> None:
    """netem acts on what is sent; an ifb sends what was received."""
    impairment = interface(WITH_NETEM, direction="both", rtt="80ms")
    lines = deploy(impairment, *[netem(50000, **delayed(0.04))] * 2)
    received = lines[0].split()[2]
    assert lines[:3] == [
        f"link add {received} type ifb",
        f"link set {received} up",
        "qdisc add dev eth7 ingress",
    ]
    assert f"redirect dev {received}" in lines[3]
    assert [line.split()[3] for line in lines[4:]] == ["eth7", received]
    assert len(received) <= 15
    with pytest.raises(HostError, match="the relay impairs what interfaces send only"):
        interface(WITHOUT, direction="in", delay=1).deploy()
    impairment = interface(WITH_NETEM, direction="in", delay=1)
    impairment.host.facts = dataclasses.replace(impairment.host.facts, link_kinds=("veth",))
    with pytest.raises(HostError, match=r"6\.1\.0-test has no ifb"):
        impairment.deploy()


def test_what_brings_the_relay_uses_it() -> None:
    """One that has a rate only must not do it for others."""
    work = [
        interface(WITHOUT, **settings).rm.shared_work()
        for settings in (
            {"rate": "1mbit"},
            {"delay": "5ms"},
            {"delay": "5ms", "driver": "relay"},
            {"delay": "5ms", "driver": "netem"},
            {"delay": "5ms", "strict": True},
        )
    ]
    assert work == ["", "relay without netem", "relay", "", ""]


def test_a_delay_where_there_is_only_a_rate_is_refused() -> None:
    impairment = interface(WITHOUT, rate="1mbit")
    deploy(impairment, [{"kind": "tbf", "options": {"rate": 125000}}])
    with pytest.raises(HostError, match=r"delay cannot be set: the driver tbf\+nft has a rate"):
        impairment.set("delay", "5ms")


def seeded(tc: str, qdiscs: tuple[str, ...] = WITH_NETEM, **attributes: Any) -> Harness[Any]:
    """An impairment with a seed, on a kernel whose netem takes one."""
    impairment = link(qdiscs, **{"loss": 1, "seed": 7, "label": "lossy", **attributes})
    impairment.host.versions["tc"] = f"tc utility, iproute2-{tc}, libbpf 1.3.0"
    impairment.host.facts = dataclasses.replace(impairment.host.facts, kernel="6.8.0-31-generic")
    return impairment


def two_netems(call: Call) -> str:
    """Return what tc shows of both ends of a link."""
    options = {"limit": 100, "loss-random": {"loss": 0.01}}
    seeds = re.findall(r" seed (\d+)", call.command) or [None, None]
    return "".join(
        json.dumps([{"kind": "netem", "options": {**options, "seed": seed and int(seed)}}])
        for seed in seeds
    )


def test_a_seed_for_each_direction_by_the_label() -> None:
    found = []
    for label in ("lossy", "lossy", "other"):
        impairment = seeded("6.9.0", label=label)
        impairment.host.answer("qdisc", two_netems)
        impairment.deploy()
        assert impairment.rm.applied == "loss 1%, queue 100, seed 7"
        found.append([line.partition(" seed ")[2] for line in configured(impairment)])
    assert found[0] == found[1]
    assert len({seed for seeds in found for seed in seeds if seed.isdecimal()}) == 4
    impairment.set("loss", 1)
    assert [line.partition(" seed ")[2] for line in configured(impairment)] == found[2]


def test_a_netem_without_a_seed() -> None:
    impairment = seeded("6.1.0")
    impairment.host.answer("qdisc", two_netems)
    impairment.deploy()
    assert impairment.rm.applied == "loss 1%, queue 100"
    strict = seeded("6.1.0", strict=True)
    with pytest.raises(HostError, match=r"given a seed there: Linux 6\.8.*iproute2-6\.1\.0"):
        strict.deploy()
    assert not [text for text in configured(strict) if "netem" in text]


def test_a_seed_needs_the_relay_where_there_is_no_netem() -> None:
    impairment = seeded("6.1.0", WITHOUT)
    deploy(impairment, *[[]] * 2)
    assert impairment.rm.driver == "relay"
    call = [call for call in impairment.host.calls if call.verb == "configure"][-1]
    assert len(set(re.findall(r'"seed":(\d+)', call.options["changes"][0].line))) == 2
    assert impairment.rm.applied.endswith(", seed 7")
    with pytest.raises(HostError, match="independent losses without a seed only"):
        seeded("6.1.0", WITHOUT, driver="tbf+nft").deploy()
    assert seeded("6.1.0", WITHOUT).rm.shared_work() == "relay without netem"
