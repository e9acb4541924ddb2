"""What ``nepiq clean`` makes of records and marks on a host."""

from __future__ import annotations

from nepiq.controller.model.configuration import run_mark
from nepiq.workers.upkeep.kernel_remains import NOBODY, parse

OURS, THEIRS, LOST = "20260101000000000001", "20260101000000000002", "20260101000000000003"


def test_each_run_has_what_bears_its_mark() -> None:
    mark = run_mark(OURS)
    found = parse(
        [
            f"space\tnq-{mark}-7",
            f"link\tnq{mark}8\t",
            f"link\ttap0\tnepiq:{OURS}.9",
            f"table\tinet nq_{mark}_9",
            f"record\t{OURS}-1\t1\t7 8 9",
        ],
        (),
    )
    assert list(found) == [OURS]
    assert found[OURS].nodes == {1}
    assert found[OURS].marks == {mark}
    assert sorted(found[OURS].things) == [
        "configuration of 7",
        "configuration of 8",
        "configuration of 9",
        f"interface nq{mark}8",
        "interface tap0",
        f"namespace nq-{mark}-7",
        f"table inet nq_{mark}_9",
    ]


def test_what_another_has_a_record_of_is_not_found() -> None:
    mark = run_mark(THEIRS)
    lines = [
        f"space\tnq-{mark}-7",
        f"link\tnq{mark}8\tnepiq:{THEIRS}.8",
        f"table\tip nq{mark}",
        f"record\t{THEIRS}-1\t0\t7 8",
    ]
    assert parse(lines, ()) == {}
    assert parse(lines, [THEIRS]) == {}


def test_a_run_is_known_by_redis_or_by_an_alias() -> None:
    space = f"space\tnq-{run_mark(LOST)}-7"
    assert list(parse([space], ())) == [NOBODY]
    assert list(parse([space], [LOST])) == [LOST]
    assert list(parse([space, f"link\tbr0\tnepiq:{LOST}.5"], ())) == [LOST]


def test_a_name_alone_is_no_mark() -> None:
    lines = ["link\tnqdecoy00\t", "table\tinet nq_decoy0", "table\tinet filter", "space\tnq-decoy"]
    assert parse(lines, ()) == {}
    # Unless something else has the same mark, and a form that is ours alone.
    found = parse([*lines, "space\tnq-decoy0-5"], ())
    assert found[NOBODY].things == [
        "namespace nq-decoy0-5",
        "interface nqdecoy00",
        "table inet nq_decoy0",
    ]


def test_routes_are_nobodys_unless_a_record_is_of_one() -> None:
    route = "route\troute -4 blackhole 198.51.100.0/24"
    assert parse([route], ())[NOBODY].things == ["route -4 blackhole 198.51.100.0/24"]
    assert parse([route, "routed"], ()) == {}


def test_lines_that_no_host_prints_are_passed_over() -> None:
    lines = ["", "space\tnq-abc", "record\t../x-1\t1\t", "link\t" + "x" * 16 + "\tnepiq:1.1", "x"]
    assert parse(lines, ()) == {}
