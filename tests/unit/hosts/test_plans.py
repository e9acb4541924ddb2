"""Plans: how many processes the changes of several resources take."""

from __future__ import annotations

import json
import re

from nepiq.workers.hosts.configuration import compose


def groups(*requests: list[tuple[str, str, str, str]]) -> list[tuple[str, str, str]]:
    """The processes of a plan: tool, network namespace, and owners of the changes."""
    items = [
        json.dumps({"guid": guid, "token": 1, "mark": "abcdef", "anew": True, "changes": rows})
        for guid, rows in enumerate(requests)
    ]
    text = compose([item.encode() for item in items])[1].decode()
    return re.findall(r"^group (\S+) (\S+) '([^']*)'", text, re.MULTILINE)


def link(left: str, right: str) -> list[tuple[str, str, str, str]]:
    return [
        ("ip", "-", f"link add name a netns {left} type veth peer name b netns {right}", ""),
        ("ip", left, "", "link del dev a"),
        ("ip", left, "link set dev a up", ""),
        ("ip", right, "link set dev b up", ""),
        ("ip", right, "address add 10.0.0.2/30 dev b", ""),
    ]


def test_the_links_of_a_plan_take_one_process_in_each_namespace() -> None:
    assert groups(link("n1", "n2"), link("n2", "n3"), link("n3", "n1")) == [
        ("ip", "-", "1.0 2.0 3.0"),
        ("ip", "n1", "1.1 3.1 3.1"),
        ("ip", "n2", "1.1 1.1 2.1"),
        ("ip", "n3", "2.1 2.1 3.1"),
    ]


def test_what_may_depend_on_another_namespace_keeps_its_place() -> None:
    moved = [
        ("ip", "-", "link add v type dummy", "link del v"),
        ("ip", "-", "link set v netns n1", ""),
        ("ip", "n1", "link set v up", ""),
        ("ip", "n1", "link set v netns n2", ""),
        ("ip", "n2", "link set v up", ""),
        ("tc", "n2", "qdisc add dev v root tbf", ""),
        ("ip", "n2", "address add 10.0.0.1 dev v", ""),
        ("sh", "n2", "true", ""),
    ]
    assert groups(moved) == [
        ("ip", "-", "1.0 1.1"),
        ("ip", "n1", "1.1"),
        ("ip", "n1", "1.1"),
        ("ip", "n2", "1.1"),
        ("tc", "n2", "1.1"),
        ("ip", "n2", "1.1"),
        ("sh", "n2", "1.1"),
    ]
