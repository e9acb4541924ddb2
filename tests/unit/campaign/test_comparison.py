"""Comparisons of campaigns and of the levels of a factor."""

from __future__ import annotations

import importlib.util
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.benchmarks import coverage

from nepiq.controller.campaign.comparison import Difference, compare
from nepiq.controller.campaign.hypotheses import holm
from nepiq.controller.campaign.row import Row
from nepiq.controller.campaign.table import Table
from nepiq.controller.cli import main
from nepiq.controller.errors import CampaignError, InvalidValue

if TYPE_CHECKING:
    from tests.conftest import Need

# Hours of sleep with two drugs: Student (1908), the data set "sleep" of R. t.test() of R 4.3 has
# the results below.
SLEEP = (
    [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0],
    [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4],
)


@pytest.fixture(scope="module", autouse=True)
def _scipy(need: Need) -> None:
    need("scipy", importlib.util.find_spec("scipy"), "the extra statistics")


def row(parameters: dict[str, Any], repetition: int, metrics: dict[str, Any], **other: Any) -> Row:
    values = {"campaign": "c", "seed": 100 + repetition, "run_id": "", **other}
    return Row(
        point=str(parameters),
        parameters=parameters,
        repetition=repetition,
        metrics=metrics,
        **values,
    )


def table(rows: list[Row]) -> Table:
    return Table.of_rows(lambda: rows)


def sleep(*, seeds: bool) -> Table:
    return table(
        [
            row(
                {"drug": drug},
                number,
                {"hours": value},
                seed=number if seeds else 10 * drug + number,
            )
            for drug, values in enumerate(SLEEP, 1)
            for number, value in enumerate(values)
        ]
    )


def only(found: Any) -> Difference:
    [difference] = found
    return difference


def test_common_seeds_are_pairs() -> None:
    found = only(compare(sleep(seeds=True), by="drug"))
    assert (found.first, found.second, found.paired, found.counts) == (1, 2, True, (10, 10))
    assert found.difference == pytest.approx(1.58)
    assert found.p == pytest.approx(0.00283289)
    assert found.interval == pytest.approx((0.7001142, 2.4598858))
    assert found.answer == "higher"


def test_other_seeds_are_compared_by_welch() -> None:
    found = only(compare(sleep(seeds=False), by="drug"))
    assert (found.paired, found.difference) == (False, pytest.approx(1.58))
    assert found.p == pytest.approx(0.07939414)
    assert found.interval == pytest.approx((-0.2054832, 3.3654832))
    assert found.answer == "undecided"
    refused = only(compare(sleep(seeds=False), by="drug", paired=True))
    assert (refused.answer, refused.reason) == ("none", "no common seeds")
    assert only(compare(sleep(seeds=True), by="drug", paired=False)).p == found.p


def test_no_difference_beyond_a_margin() -> None:
    def rows(spread: float) -> list[Row]:
        chance = random.Random(4)
        return [
            row({"kind": kind}, number, {"rate": chance.gauss(100, spread)})
            for kind in ("a", "b")
            for number in range(20)
        ]

    assert only(compare(table(rows(1.0)), by="kind", margin="2%")).answer == "equal"
    assert only(compare(table(rows(1.0)), by="kind", margin=2)).answer == "equal"
    # Not significant is not equal.
    wide = only(compare(table(rows(9.0)), by="kind", margin="2%"))
    assert (wide.answer, wide.is_equal) == ("undecided", False)
    # A difference that there is, and that does not matter.
    shifted = [
        row(item.parameters, item.repetition, {"rate": item.metrics["rate"] + shift})
        for item in rows(0.1)
        for shift in [0.5 if item.parameters["kind"] == "b" else 0]
    ]
    small = compare(table(shifted), by="kind", margin="2%")
    assert (only(small).answer, only(small).is_equal) == ("higher", True)
    assert "higher, by less than 2%" in str(small)


def test_the_margin_is_that_of_two_one_sided_tests() -> None:
    """Equal at 5 % means that the interval of 90 % is inside the margin."""
    bounds = only(compare(sleep(seeds=True), by="drug", confidence=0.9)).interval
    assert bounds is not None
    for margin, answer in ((bounds[1] + 1e-9, True), (bounds[1] - 1e-9, False)):
        assert only(compare(sleep(seeds=True), by="drug", margin=margin)).is_equal is answer


def test_holm() -> None:
    # p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") of R.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_many_metrics_are_adjusted() -> None:
    chance = random.Random(2)
    rows = [
        row({"kind": kind}, number, {f"m{n}": chance.gauss(0, 1) for n in range(40)})
        for kind in ("a", "b")
        for number in range(10)
    ]
    alone = [only(compare(table(rows), by="kind", metrics=[f"m{n}"])).answer for n in range(40)]
    together = [item.answer for item in compare(table(rows), by="kind")]
    assert alone.count("undecided") < 40 == together.count("undecided")


def design(metric: Callable[[str, int, int], float]) -> list[Row]:
    return [
        row({"protocol": protocol, "rate": rate}, number, {"delay": metric(protocol, rate, number)})
        for protocol in ("olsr", "batman", "static")
        for rate in (6, 54)
        for number in range(1, 6)
    ]


def test_points_differ_by_design() -> None:
    """The rate adds 1000 to the delay; the protocols differ by 1 at one rate, by 3 at the other."""
    effects = {"batman": 0, "olsr": 1, "static": 0}
    chance = random.Random(3)
    rows = design(
        lambda protocol, rate, number: (
            1000 * (rate == 54)
            + effects[protocol] * (3 if rate == 54 else 1)
            + 10 * number
            + chance.gauss(0, 0.1)
        )
    )
    found = list(compare(table(rows), by="protocol"))
    assert [(item.first, item.second) for item in found] == [
        ("batman", "olsr"),
        ("batman", "static"),
        ("olsr", "static"),
    ]
    assert (found[0].counts, found[0].runs, found[0].paired) == ((5, 5), 20, True)
    assert found[0].difference == pytest.approx(2, abs=0.3)
    assert [item.answer for item in found] == ["higher", "undecided", "lower"]
    apart = compare(table(rows), by="protocol", each=["rate"], against="batman")
    assert [(item.at, item.second) for item in apart] == [
        ({"rate": 6}, "olsr"),
        ({"rate": 6}, "static"),
        ({"rate": 54}, "olsr"),
        ({"rate": 54}, "static"),
    ]
    assert [item.difference for item in apart][::2] == pytest.approx([1, 3], abs=0.3)


def test_runs_without_a_counterpart() -> None:
    rows = design(lambda protocol, rate, number: number + (protocol == "olsr") + rate)
    rows[0] = row(rows[0].parameters, 1, {}, outcome="failed")
    rows[-1] = row(rows[-1].parameters, 5, {"delay": None})
    found = list(compare(table(rows), by="protocol"))
    assert [(item.runs, item.unused) for item in found] == [(18, 1), (18, 1), (16, 2)]
    # Constant differences have no variance.
    assert [item.difference for item in found] == [1, 0, -1]
    assert [item.p for item in found] == [0, 1, 0]
    text = str(compare(table(rows), by="protocol"))
    assert "left out: 1 run not finished" in text
    assert "2 runs without a counterpart" in text


def test_a_point_without_values_leaves_the_others() -> None:
    rows = [
        row(
            {"protocol": protocol, "n": n},
            number,
            {"delay": value},
            seed=number + 10 * len(protocol),
        )
        for protocol in ("aodv", "dsdvs")
        for n in (1, 2)
        for number in range(4)
        for value in ([None] if n == 2 and protocol == "aodv" else [number + len(protocol)])
    ]
    for paired in (False, None):
        found = only(compare(table(rows), by="protocol", paired=paired))
        assert (found.difference, found.runs, found.unused) == (1, 8, 4)


def test_parameters_that_follow_the_factor() -> None:
    rows = [
        row({"protocol": name, "daemon": f"{name}d"}, number, {"m": number + chance})
        for name, chance in (("babel", 0), ("ospf", 1))
        for number in range(4)
    ]
    found = compare(table(rows), by="protocol")
    assert found.confounded == ["daemon"]
    assert only(found).counts == (4, 4)


def test_two_campaigns() -> None:
    def campaign(name: str, shift: float) -> Table:
        chance = random.Random(name)
        return table(
            [
                row(
                    {"rate": rate, "queue": name},
                    number,
                    {"delay": rate + shift + chance.gauss(0, 0.1)},
                    campaign=name,
                )
                for rate in ([1, 2] if shift else [1.0, 2.0, 3.5])
                for number in range(5)
            ]
        )

    found = compare(campaign("before", 0), campaign("after", 1))
    assert (only(found).first, only(found).second) == ("before", "after")
    assert only(found).difference == pytest.approx(1, abs=0.2)
    assert (only(found).runs, only(found).unused) == (20, 5)
    assert found.confounded == ["queue"]
    same = compare(campaign("one", 0), campaign("one", 0))
    assert (only(same).first, only(same).second, only(same).p) == ("first", "second", 1)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, InvalidValue, "two campaigns, or one and by="),
        ({"by": "protcol"}, InvalidValue, "unknown parameter 'protcol'.*'protocol'"),
        ({"by": "protocol", "metrics": ["dela"]}, InvalidValue, "unknown metric 'dela'.*'delay'"),
        ({"by": "protocol", "metrics": ["word"]}, InvalidValue, "metric 'word' is text"),
        ({"by": "protocol", "each": ["x"]}, InvalidValue, "unknown parameter 'x'"),
        ({"by": "protocol", "against": "x"}, InvalidValue, "no level 'x'"),
        ({"by": "protocol", "margin": "x"}, InvalidValue, "margin must be a positive number"),
        ({"by": "protocol", "margin": "-5%"}, InvalidValue, "margin must be a positive number"),
        ({"by": "protocol", "confidence": 95}, InvalidValue, "between 0 and 1"),
        ({"by": "size"}, CampaignError, "fewer than two values"),
    ],
)
def test_errors(options: dict[str, Any], error: type[Exception], message: str) -> None:
    rows = [
        row({"protocol": protocol, "size": 1}, number, {"delay": number, "word": "x"})
        for protocol in "ab"
        for number in range(3)
    ]
    with pytest.raises(error, match=message):
        compare(table(rows), **options)


def test_too_few_runs_are_no_answer() -> None:
    rows = [row({"kind": kind}, 1, {"m": 1}) for kind in "ab"]
    found = compare(table(rows), by="kind")
    assert (only(found).answer, only(found).reason) == ("none", "fewer than two repetitions")
    assert "not known: fewer than two repetitions" in str(found)
    failed = [row({"kind": kind}, 1, {"m": 1}, outcome="failed") for kind in "ab"]
    with pytest.raises(CampaignError, match="no run of 'a' has finished"):
        compare(table(failed), by="kind")


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = design(lambda protocol, rate, number: number**2 % 7 + (protocol == "olsr") * number)
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(item.to_json() + "\n" for item in rows))
    command = ["campaign", "compare", str(file), "--by", "protocol", "--against", "batman"]
    assert main([*command, "--each", "rate", "--margin", "5%"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["metric", "rate", "first", "second"]
    assert [line.split()[:4] for line in lines[1:3]] == [
        ["delay", "6", "batman", "olsr"],
        ["delay", "6", "batman", "static"],
    ]
    assert main([*command, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data == json.loads(
        json.dumps(table(rows).compare("protocol", against="batman").to_data())
    )
    assert data["differences"][0]["interval"][0] < 3 < data["differences"][0]["interval"][1]
    assert main([*command, "--metric", "delya"]) != 0
    assert "did you mean 'delay'" in capsys.readouterr().err


# -- figures of docs/campaigns-results.md, with fewer campaigns -----------------------------------


@pytest.mark.parametrize("metric", coverage.METRICS, ids=lambda metric: metric.name)
def test_intervals_have_the_truth(metric: coverage.Metric) -> None:
    # Three standard deviations of a share of 300 around 95 %.
    assert coverage.covered(metric, coverage.RUNS, 300) == pytest.approx(0.955, abs=0.04)


def test_stopping_early_costs_coverage() -> None:
    modes = next(metric for metric in coverage.METRICS if "two modes" in metric.name)
    early, late = (coverage.stopped(modes, least, 300) for least in (3, coverage.RUNS))
    assert early.share < 0.8
    assert late.share > 0.9
    assert early.runs < late.runs < 1.3 * coverage.RUNS


def test_common_seeds_need_half_the_runs() -> None:
    pairs, same, twice = (
        coverage.power(number, 200, common=common)
        for number, common in ((40, True), (40, False), (80, False))
    )
    assert pairs.width == pytest.approx(twice.width, rel=0.05)
    assert pairs.width == pytest.approx(same.width / 2**0.5, rel=0.05)
    assert pairs.share == pytest.approx(twice.share, abs=0.08)
    assert pairs.share > same.share + 0.1
