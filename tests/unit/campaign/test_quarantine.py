"""Hosts leave a campaign and come back, in simulated laboratories.

A laboratory is a few hosts with their faults. Runs go to free hosts in turn; time passes with runs.
"""

from __future__ import annotations

import json
import math
import random
from collections import deque
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nepiq.controller.campaign import fisher
from nepiq.controller.campaign.causes import Blame
from nepiq.controller.campaign.health import Health
from nepiq.controller.campaign.quarantine import Limits, Quarantine, Verdict, VerdictKind
from nepiq.controller.campaign.row import FAILED, FINISHED

Fault = Callable[[str, float, random.Random], Blame | None]


class Laboratory:
    """Hosts with faults, and a campaign on them. Failures of hosts are repeated elsewhere."""

    def __init__(self, hosts: int, faults: dict[str, Fault], seed: int = 1) -> None:
        self.names = [f"host{number}" for number in range(hosts)]
        self.faults = faults
        self.quarantine = Quarantine(hosts)
        self.random = random.Random(seed)
        self.at = 0.0
        self.verdicts: list[Verdict] = []
        self.results: dict[str, str] = {}
        self.runs: dict[str, int] = dict.fromkeys(self.names, 0)

    def run(self, points: int, repetitions: int = 1, wrong: tuple[str, ...] = ()) -> None:
        """Carry out all points; those that are wrong fail by a command wherever they run."""
        queue = deque(
            (f"p{number}", repetition)
            for repetition in range(repetitions)
            for number in range(points)
        )
        while queue:
            point, repetition = queue.popleft()
            if point in self.quarantine.points:
                self.results[f"{point}/{repetition}"] = "at fault"
                continue
            host = self._next_host()
            blame = self._blame(host, point) if point not in wrong else Blame.EXPERIMENT
            outcome = FAILED if blame else FINISHED
            self.verdicts += self.quarantine.record(host, point, outcome, blame, self.at)
            if blame is Blame.HOST:
                queue.append((point, repetition))
            else:
                self.results[f"{point}/{repetition}"] = outcome

    def _blame(self, host: str, point: str) -> Blame | None:
        faults = [self.faults[name] for name in (host, point) if name in self.faults]
        blames = [fault(host, self.at, self.random) for fault in faults]
        return next(filter(None, blames), None)

    def _next_host(self) -> str:
        self.at += 1.0
        for host in self.quarantine.due(self.at):
            ok = host not in self.faults or self.faults[host](host, self.at, self.random) is None
            self.verdicts += self.quarantine.probed(host, ok=ok, at=self.at)
        free = [name for name in self.names if name not in self.quarantine.hosts]
        host = min(free, key=lambda name: (self.runs[name], self.random.random()))
        self.runs[host] += 1
        return host

    def of(self, kind: VerdictKind) -> list[str]:
        """The hosts or points of the verdicts of a kind, in order."""
        return [verdict.host or verdict.point for verdict in self.verdicts if verdict.kind is kind]


def refuses(host: str, at: float, chance: random.Random) -> Blame | None:
    return Blame.HOST


def each_third(host: str, at: float, chance: random.Random) -> Blame | None:
    return Blame.EXPERIMENT if chance.random() < 1 / 3 else None


def is_down(begin: float, end: float) -> Fault:
    return lambda host, at, chance: Blame.HOST if begin <= at < end else None


def test_the_laboratory_of_eight_hosts() -> None:
    """One refuses logins, one fails each third command, one is down for a while."""
    faults = {"host0": refuses, "host1": each_third, "host3": is_down(150, 170)}
    lab = Laboratory(8, faults)
    lab.run(60, 10, wrong=("p7",))
    quarantined = lab.of(VerdictKind.QUARANTINED)
    assert set(quarantined) <= {"host0", "host3"}
    assert quarantined[0] == "host0"
    assert list(lab.quarantine.hosts) == ["host0"]
    assert [suspect.host for suspect in lab.quarantine.suspects()] == ["host1"]
    assert lab.quarantine.points == []
    # Each point is done; one third of those on host1, and the wrong ones, have failed.
    assert len(lab.results) == 600
    assert lab.runs["host0"] <= 5
    assert all(lab.results[f"p7/{n}"] == FAILED for n in range(10))


def test_a_host_is_judged_by_failures_of_two_points() -> None:
    quarantine = Quarantine(10)
    for at in range(5):
        assert quarantine.record("a", "p", FAILED, Blame.HOST, at) == []
    (verdict,) = quarantine.record("a", "q", FAILED, Blame.HOST, 5)
    assert verdict == Verdict(VerdictKind.QUARANTINED, "a", until=65.0)
    assert quarantine.hosts == {"a": 65.0}
    assert quarantine.due(64.9) == []
    assert quarantine.due(65.0) == ["a"]


def test_failures_that_are_not_of_the_host_do_not_count() -> None:
    quarantine = Quarantine(10)
    for number in range(50):
        for blame in (Blame.EXPERIMENT, Blame.TIMEOUT, Blame.WORKER, None):
            assert quarantine.record("a", f"p{number}", FAILED, blame, number) == []
        assert quarantine.record("a", f"q{number}", "cancelled", Blame.HOST, number) == []
    assert quarantine.hosts == {}


def lose(quarantine: Quarantine, host: str, at: float) -> list[Verdict]:
    """Let three runs fail on a host."""
    return [
        verdict
        for number in range(3)
        for verdict in quarantine.record(host, f"{host}-{number}", FAILED, Blame.HOST, at)
    ]


def test_the_time_in_quarantine_doubles_up_to_an_hour() -> None:
    quarantine = Quarantine(10)
    (verdict,) = lose(quarantine, "a", 0.0)
    pauses = [verdict.until]
    for _ in range(8):
        at = verdict.until
        (verdict,) = quarantine.probed("a", ok=False, at=at)
        pauses.append(verdict.until - at)
    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


def test_a_host_that_flaps_stays_away_longer_each_time_until_it_is_sound() -> None:
    quarantine = Quarantine(10)
    for pause in (60, 120, 240):
        (verdict,) = lose(quarantine, "a", 0.0)
        assert verdict.until == pause
        assert quarantine.probed("a", ok=True, at=pause) == [Verdict(VerdictKind.BACK, "a")]
    for number in range(Limits().runs):
        quarantine.record("a", f"p{number}", FINISHED, None, 0.0)
    (verdict,) = lose(quarantine, "a", 0.0)
    assert verdict.until == 60


@pytest.mark.parametrize(("size", "most"), [(1, 1), (3, 1), (8, 1), (10, 2), (50, 10)])
def test_at_most_a_fifth_of_the_hosts_are_in_quarantine(size: int, most: int) -> None:
    quarantine = Quarantine(size)
    kinds = [lose(quarantine, f"host{number}", 0.0)[0].kind for number in range(size)]
    assert kinds == [VerdictKind.QUARANTINED] * most + [VerdictKind.TOO_MANY] * (size - most)
    assert len(quarantine.hosts) == most


def test_a_point_that_fails_on_three_hosts_is_at_fault_and_its_hosts_are_not() -> None:
    lab = Laboratory(10, {"p3": refuses})
    lab.run(200)
    assert lab.of(VerdictKind.POINT_AT_FAULT) == ["p3"]
    assert lab.of(VerdictKind.QUARANTINED) == []
    assert lab.results.pop("p3/0") == "at fault"
    assert set(lab.results.values()) == {FINISHED}


def test_a_network_that_is_down_is_not_the_fault_of_points() -> None:
    lab = Laboratory(10, {f"host{number}": is_down(50, 150) for number in range(10)})
    lab.run(200)
    assert lab.of(VerdictKind.POINT_AT_FAULT) == []
    assert len(lab.of(VerdictKind.TOO_MANY)) > 10
    assert set(lab.results.values()) == {FINISHED}


def test_a_host_that_left_for_a_point_at_fault_comes_back_at_once() -> None:
    quarantine = Quarantine(10)
    quarantine.record("a", "q", FAILED, Blame.HOST, 0.0)
    quarantine.record("a", "p", FAILED, Blame.HOST, 1.0)
    (verdict,) = quarantine.record("a", "p", FAILED, Blame.HOST, 2.0)
    assert verdict.kind is VerdictKind.QUARANTINED
    kinds = [
        [verdict.kind for verdict in quarantine.record(host, "p", FAILED, Blame.HOST, 3.0)]
        for host in "bcd"
    ]
    assert kinds == [[], [], [VerdictKind.POINT_AT_FAULT, VerdictKind.BACK]]
    assert quarantine.hosts == {}
    assert quarantine.points == ["p"]
    # It may be tried again by the user, and has finished.
    quarantine.record("e", "p", FINISHED, None, 9.0)
    assert quarantine.points == []


def test_no_sound_laboratory_has_suspects() -> None:
    """A twentieth of all commands fail, on all hosts alike: hosts differ by chance only."""
    faults: dict[str, Fault] = {
        f"host{number}": lambda host, at, chance: (
            Blame.EXPERIMENT if chance.random() < 0.05 else None
        )
        for number in range(20)
    }
    suspected = 0
    for seed in range(100):
        lab = Laboratory(20, faults, seed)
        lab.run(40, 10)
        suspected += bool(lab.quarantine.suspects())
    assert suspected <= 1  # one in a thousand is expected


def test_a_wrong_command_makes_no_suspect() -> None:
    """All repetitions of the wrong point run on one host, or on all."""
    quarantine = Quarantine(8)
    for number in range(300):
        quarantine.record(f"host{number % 8}", f"p{number}", FINISHED, None, 0.0)
    for _ in range(30):
        quarantine.record("host1", "wrong", FAILED, Blame.EXPERIMENT, 0.0)
    assert quarantine.suspects() == []
    for number in range(30):
        quarantine.record(f"host{number % 3}", "other", FAILED, Blame.EXPERIMENT, 0.0)
    assert quarantine.suspects() == []


def test_one_point_repeated_shows_a_suspect() -> None:
    lab = Laboratory(8, {"host1": each_third})
    lab.run(1, 400)
    (suspect,) = lab.quarantine.suspects()
    assert (suspect.host, suspect.elsewhere[0]) == ("host1", 0)
    assert suspect.failed[0] / suspect.failed[1] == pytest.approx(1 / 3, abs=0.15)


def test_the_state_is_json_and_goes_on_elsewhere() -> None:
    one = other = Quarantine(8)
    for number in range(200):
        blame = {0: Blame.HOST, 1: Blame.EXPERIMENT}.get(number % 8)
        result = (f"host{number % 8}", f"p{number // 3}", FAILED if blame else FINISHED, blame)
        expected = one.record(*result, number)
        if number == 0:
            other = Quarantine(8)
            other.record(*result, number)
        else:
            other = Quarantine.from_data(8, json.loads(json.dumps(other.to_data())))
            assert other.record(*result, number) == expected
    assert other.hosts == one.hosts != {}
    assert other.suspects() == one.suspects() != []


def test_the_health_of_a_campaign_names_who_is_in_trouble() -> None:
    assert Health.from_data(None).lines() == []
    lab = Laboratory(10, {"host0": refuses, "host1": each_third, "p3": refuses})
    lab.run(60, 10)
    health = Health.from_data({"size": 10, **lab.quarantine.to_data()})
    assert list(health.quarantined) == ["host0"]
    assert [suspect.host for suspect in health.suspects] == ["host1"]
    assert health.points == ["p3"]
    subjects = [line.split()[:2] for line in health.lines()]
    assert subjects == [["host", "host0"], ["host", "host1"], ["point", "p3"]]


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdefghij"),
            st.sampled_from("pqrst"),
            st.sampled_from([None, *Blame]),
            st.booleans(),
        ),
        max_size=200,
    )
)
def test_the_share_holds_whatever_happens(
    results: list[tuple[str, str, Blame | None, bool]],
) -> None:
    quarantine = Quarantine(10)
    for at, (host, point, blame, ok) in enumerate(results):
        quarantine.record(host, point, FAILED if blame else FINISHED, blame, at)
        assert len(quarantine.hosts) <= 2
        for due in quarantine.due(at):
            quarantine.probed(due, ok=ok, at=at)
    assert set(quarantine.points) <= set("pqrst")


class TestFisher:
    def test_the_lady_who_tastes_tea(self) -> None:
        assert fisher.tail(3, 4, 1, 4) == pytest.approx(17 / 70)
        assert fisher.tail(4, 4, 0, 4) == pytest.approx(1 / 70)

    @given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
    def test_is_the_tail_of_the_hypergeometric_distribution(
        self, failed: int, ok: int, other_failed: int, other_ok: int
    ) -> None:
        total, other_total, failures = failed + ok, other_failed + other_ok, failed + other_failed
        ways = sum(
            math.comb(total, k) * math.comb(other_total, failures - k)
            for k in range(failed, failures + 1)
        )
        exact = Fraction(ways, math.comb(total + other_total, failures))
        assert fisher.tail(failed, total, other_failed, other_total) == pytest.approx(float(exact))
