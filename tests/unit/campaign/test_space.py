"""Spaces: their forms, values, conditions and documents."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nepiq.controller.campaign.space import Space, point_id
from nepiq.controller.campaign.space.misfits import Misfit
from nepiq.controller.campaign.space.points import canonical
from nepiq.controller.errors import ClassNotImportable, InvalidValue

NAMES = ("a", "b", "c", "d")
values = st.lists(
    st.one_of(st.integers(-3, 3), st.sampled_from([0.5, 1.0, True, "x", "1"])),
    min_size=1,
    max_size=4,
)
grids = st.dictionaries(st.sampled_from(NAMES), values, min_size=1, max_size=3)
conditions = st.sampled_from(["a == 1", "b > 0", "a in [1, 'x'] or c == 2", "not c", "a != b"])


def ids(space: Space) -> list[str]:
    return [canonical(point) for point in space]


def check_sequence(space: Space) -> None:
    """No point twice, the length exact, the order stable, also through a document."""
    texts = ids(space)
    assert len(set(texts)) == len(texts) == len(space)
    assert [canonical(space[index]) for index in range(len(space))] == texts
    again = Space.of(json.loads(json.dumps(space.to_document())))
    assert again == space
    assert ids(again) == texts


def firsts(points: list[dict[str, Any]]) -> list[str]:
    """The ids of points without those that repeat: the reference for what a space has."""
    return list(dict.fromkeys(canonical(point) for point in points))


def product(axes: dict[str, list[Any]]) -> list[dict[str, Any]]:
    points: list[dict[str, Any]] = [{}]
    for name, items in axes.items():
        points = [{**point, name: item} for point in points for item in items]
    return points


# -- one property test for each form --------------------------------------------------------------


@settings(max_examples=50)
@given(grids)
def test_grid(axes: dict[str, list[Any]]) -> None:
    space = Space.grid(**axes)
    check_sequence(space)
    assert ids(space) == firsts(product(axes))


@settings(max_examples=50)
@given(
    st.integers(1, 5).flatmap(
        lambda n: st.dictionaries(
            st.sampled_from(NAMES),
            st.lists(st.integers(0, 2), min_size=n, max_size=n),
            min_size=1,
        )
    )
)
def test_zip(axes: dict[str, list[Any]]) -> None:
    space = Space.zip(**axes)
    check_sequence(space)
    rows = zip(*axes.values(), strict=True)
    assert ids(space) == firsts([dict(zip(axes, row, strict=True)) for row in rows])


@settings(max_examples=50)
@given(st.lists(grids, min_size=1, max_size=3))
def test_concat(parts: list[dict[str, list[Any]]]) -> None:
    space = Space.concat(*(Space.grid(**axes) for axes in parts))
    check_sequence(space)
    assert ids(space) == firsts([point for axes in parts for point in product(axes)])


@settings(max_examples=50)
@given(st.fixed_dictionaries({"a": values, "b": values, "c": values}), conditions)
def test_conditional(axes: dict[str, list[Any]], condition: str) -> None:
    space = Space.grid(**axes).when("b", condition)
    check_sequence(space)
    whole = Space.grid(**axes)
    kept = set(ids(whole.exclude(f"not ({condition})")))
    points = [
        point if canonical(point) in kept else {k: v for k, v in point.items() if k != "b"}
        for point in whole
    ]
    assert ids(space) == firsts(points)


@settings(max_examples=50)
@given(st.fixed_dictionaries({"a": values, "b": values, "c": values}), conditions)
def test_exclude(axes: dict[str, list[Any]], condition: str) -> None:
    whole = Space.grid(**axes)
    with_it, without = whole.exclude(condition), whole.exclude(f"not ({condition})")
    check_sequence(with_it)
    # Each point is in one of the two, in the order of the whole.
    assert sorted([*ids(with_it), *ids(without)]) == sorted(ids(whole))
    order = {text: index for index, text in enumerate(ids(whole))}
    assert ids(with_it) == sorted(ids(with_it), key=order.__getitem__)


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.data())
def test_random(seed: int, data: st.DataObject) -> None:
    given = {"a": [1, 2, 3], "b": "choice([tcp, udp])", "c": "randint(1, 4)"}
    count = data.draw(st.integers(1, 24))
    space = Space.random(count, seed, **given)
    check_sequence(space)
    assert len(space) == count
    assert set(ids(space)) <= set(ids(Space.grid(a=[1, 2, 3], b=["tcp", "udp"], c=range(1, 5))))
    # More points begin with the same ones.
    assert ids(Space.random(24, seed, **given))[:count] == ids(space)


@settings(max_examples=50)
@given(st.lists(st.dictionaries(st.sampled_from(NAMES), st.integers(0, 2), min_size=1), min_size=1))
def test_points(points: list[dict[str, Any]]) -> None:
    space = Space.points(points)
    check_sequence(space)
    assert ids(space) == firsts(points)


@settings(max_examples=50)
@given(st.integers(1, 64), st.integers(0, 99))
def test_sobol(count: int, seed: int) -> None:
    for given_values in ({"a": "uniform(0, 1)", "b": "linspace(0, 1, 3)"}, {"a": [1, 2, 3]}):
        space = Space.sobol(count, seed, **given_values)
        check_sequence(space)
        assert len(space) == (count if len(given_values) == 2 else min(count, len(space)))


# -- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ([1, 2, 2, 1.0], [1, 2]),
        (7, [7]),
        ("tcp", ["tcp"]),
        (range(1, 4), [1, 2, 3]),
        ("range(3)", [0, 1, 2]),
        ("range(9, 1, -3)", [9, 6, 3]),
        ("range(0, 1, 0.25)", [0, 0.25, 0.5, 0.75]),
        ("range(0, 0.4, 0.1)", [0, 0.1, 0.2, 0.3]),
        ({"range": [1, 3]}, [1, 2]),
        ("linspace(0, 1, 5)", [0, 0.25, 0.5, 0.75, 1]),
        ("linspace(0, 0.3, 4)", [0, 0.1, 0.2, 0.3]),
        ("logspace(0, 3, 4)", [1, 10, 100, 1000]),
        ("geomspace(1, 1000, 4)", [1, 10, 100, 1000]),
    ],
)
def test_values(written: Any, expected: list[Any]) -> None:
    found = [point["x"] for point in Space.grid(x=written)]
    assert found == expected
    assert list(map(type, found)) == list(map(type, expected))


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ([], "no values"),
        ([float("nan")], "must be finite"),
        ("range(1, 1)", "has no values"),
        ("range(1, 2, 0)", "step of a range"),
        ("range(1, open)", "range takes numbers, not 'open'"),
        ("range(1, open('x'))", "cannot be read"),
        ("range(1, 2, 3, 4)", "cannot take 4 arguments"),
        ("linspace(0, 1, 2.5)", "cannot have 2.5 values"),
        ("logspace(1, 1000, 3)", "smaller number"),
        ("geomspace(0, 1, 3)", "positive"),
        ({"rang": [1, 2]}, "'rang' is not a rule .*did you mean 'range'"),
        ([{1, 2}], "must be text, a number, a list or a mapping"),
    ],
)
def test_refused_values(written: Any, message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        Space.grid(x=written)


@pytest.mark.parametrize("name", ["seed", "repetition", "ec", "class", "a-b", "", "1st"])
def test_refused_names(name: str) -> None:
    with pytest.raises(InvalidValue, match="cannot be"):
        Space.grid(**{name: [1]})


def test_distributions() -> None:
    space = Space.random(
        400,
        7,
        u="uniform(10, 20)",
        g="loguniform(1, 1000)",
        z="normal(50, 2)",
        n="randint(1, 2)",
        m="choice([a, b])",
    )
    points = list(space)
    assert all(10 <= point["u"] < 20 and 1 <= point["g"] < 1000 for point in points)
    assert {(point["n"], point["m"]) for point in points} == {
        (1, "a"),
        (1, "b"),
        (2, "a"),
        (2, "b"),
    }
    # Five standard errors around the mean, and the same on both sides of a median.
    assert abs(sum(point["u"] for point in points) / 400 - 15) < 5 * 2.9 / 20
    assert abs(sum(point["z"] for point in points) / 400 - 50) < 5 * 2 / 20
    assert 150 < sum(point["g"] < 31.6 for point in points) < 250


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"x": "uniform(2, 1)"}, "x: uniform needs a lower end"),
        ({"x": "uniform(1, 1.0000000000001)"}, "too narrow"),
        ({"x": "loguniform(0, 1)"}, "positive"),
        ({"x": "normal(0, 0)"}, "positive deviation"),
        ({"x": "randint(1, 2.5)"}, "whole numbers"),
        ({"x": {"unifrom": [1, 2]}}, "not a distribution"),
        ({"x": [1, 2, 3]}, "only 3 different points, not 5"),
        ({f"x{n}": "uniform(0, 1)" for n in range(26)}, "too many"),
    ],
)
def test_refused_samples(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        Space.random(5, 0, **values)


def test_a_narrow_range_has_fewer_values_that_all_differ() -> None:
    space = Space.random(1000, 1, f="uniform(1e6, 1000001)")
    assert len({point["f"] for point in space}) == 1000


def test_first_points_of_sobol_are_those_of_scipy() -> None:
    """Points 1, 5 and 99 of ``scipy.stats.qmc.Sobol(21, scramble=False)``, scipy 1.17."""
    from nepiq.controller.campaign.space import sobol

    found = [[sobol.coordinate(index, at) / 2**32 for at in range(21)] for index in range(100)]
    assert found[1] == [0.5] * 21
    assert found[5][:6] == [0.875, 0.875, 0.125, 0.375, 0.875, 0.625]
    assert found[99][-4:] == [0.6171875, 0.4609375, 0.7109375, 0.1328125]


def test_sobol_covers_evenly() -> None:
    space = Space.sobol(64, 3, x="uniform(0, 8)", y="uniform(0, 8)")
    cells = [(int(point["x"]), int(point["y"])) for point in space]
    assert len(set(cells)) == 64


# -- conditions -----------------------------------------------------------------------------------


def test_amendments_in_order() -> None:
    space = (
        Space.grid(protocol=["batman", "olsr"], rate=[1, 2], power=[5, 10])
        .when("power", "protocol == 'batman'")
        .derive("load", "rate * power if power > 5 else rate")
        .exclude("load == 1 and protocol == 'batman'")
    )
    assert list(space) == [
        {"protocol": "batman", "rate": 1, "power": 10, "load": 10},
        {"protocol": "batman", "rate": 2, "power": 5, "load": 2},
        {"protocol": "batman", "rate": 2, "power": 10, "load": 20},
        {"protocol": "olsr", "rate": 1, "load": 1},
        {"protocol": "olsr", "rate": 2, "load": 2},
    ]


@pytest.mark.parametrize(
    ("formula", "value"),
    [
        ("n * 2 + 1", 7),
        ("-n", -3),
        ("n // 2", 1),
        ("n % 2 == 1", True),
        ("2 ** n", 8),
        ("mode + '-' + str(n)", "tcp-3"),
        ("max(n, 5, rate)", 5),
        ("round(rate * 1000)", 500),
        ("log2(2 ** n)", 3.0),
        ("absent + 1", None),
    ],
)
def test_derived_values(formula: str, value: Any) -> None:
    space = Space.grid(n=[3], mode=["tcp"], rate=[0.5], absent=[1]).when("absent", "n > 3")
    assert space.derive("x", formula)[0].get("x") == value


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("rat * 2", "unknown parameter 'rat' .*did you mean 'rate'"),
        ("rate *", "must be an expression over parameters: column"),
        ("__import__('os')", "column 1: there is no function __import__"),
        ("rate.real", "column 1: rate.real is not possible here"),
        ("[x for x in rate]", "not possible here"),
        ("rate / (rate - rate)", "has no value: .*division by zero"),
        ("mode * 1000", "cannot compute with text"),
        ("10 ** 1000", "too large"),
        ("(-8) ** 0.5", "cannot be"),
        ("max(1, key=rate)", "not possible here"),
        (7, "must be an expression over parameters"),
    ],
)
def test_refused_formulas(formula: Any, message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        list(Space.grid(rate=[1, 2], mode=["tcp"]).derive("x", formula))


def doubled(rate: float, **_: Any) -> float:
    return 2 * rate


def test_functions_of_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space.grid(rate=[1, 2]).derive("x", doubled)
    assert [point["x"] for point in space] == [2, 4]
    document = space.to_document()
    assert document["derive"] == {"x": {"call": f"{__name__}:doubled"}}
    # Only modules that the installation lists are imported from a document.
    with pytest.raises(ClassNotImportable, match="NEPIQ_IMPORTS"):
        list(Space.of(document))
    monkeypatch.setenv("NEPIQ_IMPORTS", __name__)
    assert list(Space.of(document)) == list(space)
    with pytest.raises(InvalidValue, match="cannot import"):
        space.exclude(lambda **point: False)


# -- documents ------------------------------------------------------------------------------------


def test_forms_side_by_side_are_a_product() -> None:
    space = Space.of(
        {
            "zip": {"a": [1, 2], "b": ["x", "y"]},
            "grid": {"n": "range(1, 3)"},
            "exclude": ["a == 1 and n == 2", "a == 2 and n == 1"],
        }
    )
    assert list(space) == [{"a": 1, "b": "x", "n": 1}, {"a": 2, "b": "y", "n": 2}]
    same = Space.zip(a=[1, 2], b=["x", "y"]) * Space.grid(n=[1, 2])
    assert ids(same.exclude("a == 1 and n == 2").exclude("a == 2 and n == 1")) == ids(space)


@pytest.mark.parametrize(
    ("document", "path", "message"),
    [
        ({"gird": {}}, ("gird",), "unknown key 'gird' .*did you mean 'grid'"),
        ({"grid": {"a": [1], "b": []}}, ("grid", "b"), "b: there are no values"),
        ({"concat": [{"grid": {"a": 1}}, {"zip": 3}]}, ("concat", 1, "zip"), "not a mapping"),
        ({"random": {"n": 1, "sed": 1}}, ("random", "sed"), "did you mean 'seed'"),
        ({"random": {"n": 1, "values": {}}}, ("random",), "'seed' is missing"),
        ({"random": {"n": "1", "seed": 1, "values": {}}}, ("random", "n"), "whole number"),
        (
            {"random": {"n": 1, "seed": 1, "values": {"a": "uniform(2, 1)"}}},
            ("random", "values", "a"),
            "lower end",
        ),
        ({"grid": {"a": 1}, "when": {"a": "b > 1"}}, ("when", "a"), "unknown parameter 'b'"),
        ({"grid": {"a": 1}, "exclude": ["a > 1", "b"]}, ("exclude", 1), "unknown parameter 'b'"),
        ({"zip": {"a": [1, 2], "b": [1]}}, ("zip",), "equally many values, not a 2, b 1"),
        ({"product": [{"grid": {"a": 1}}, {"grid": {"a": 2}}]}, ("product",), "in two parts"),
        ({"grid": {"a": "range(2000000000)", "b": "range(9000000)"}}, ("grid",), "cannot have"),
        ({"exclude": "a"}, (), "no points"),
    ],
)
def test_refused_documents(document: Any, path: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InvalidValue, match=message) as caught:
        Space.of(document)
    assert (caught.value.path if isinstance(caught.value, Misfit) else ()) == path


def test_replaced_values() -> None:
    space = Space.grid(rate=[1, 2], n=[1, 2]).exclude("rate == 2 and n == 1")
    assert list(space.replace({"rate": [2, 3]})) == [
        {"rate": 2, "n": 2},
        {"rate": 3, "n": 1},
        {"rate": 3, "n": 2},
    ]
    assert len(space.replace({"mode": "[1]", "more": "range(4)"})) == 12
    zipped = Space.zip(a=[1, 2], b=[3, 4])
    assert list(zipped.replace({"c": 5})) == [{"a": 1, "b": 3, "c": 5}, {"a": 2, "b": 4, "c": 5}]
    with pytest.raises(InvalidValue, match="cannot be replaced"):
        zipped.replace({"a": [7]})


def test_a_space_is_a_value() -> None:
    space = Space.grid(rate=[1, 2], n=range(3)).when("n", "rate == 1")
    assert pickle.loads(pickle.dumps(space)) == space
    assert space != Space.grid(rate=[1, 2])
    assert len({space, Space.of(space.to_document())}) == 1
    assert space[-1] == {"rate": 2}
    space[0]["rate"] = 99
    assert space[0] == {"rate": 1, "n": 0}
    with pytest.raises(IndexError):
        space[4]


# -- points ---------------------------------------------------------------------------------------


def test_ids_of_points(tmp_path: Path) -> None:
    assert point_id({"b": 1.0, "a": "x"}) == point_id({"a": "x", "b": 1})
    assert point_id({"a": True}) != point_id({"a": 1}) != point_id({"a": "1"})
    assert point_id({"a": 0.1}) != point_id({"a": 0.1 + 2**-56})
    with pytest.raises(InvalidValue, match="finite"):
        point_id({"a": float("nan")})
    # A known value, in a process with other hashes.
    code = (
        "from nepiq.controller.campaign.space import Space, point_id;"
        "s = Space.random(3, 5, a='uniform(0, 1)', b=['x', 'ü']);"
        "print([point_id(p) for p in s], point_id({'rate': 5, 'mode': 'tcp'}))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert outputs.pop().split()[-1] == "2ac7f01b9280"


def test_points_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "points.csv"
    file.write_text("rate,mode,power,fast\n1,tcp,,true\n0.5,udp,7,\n")
    expected = [{"rate": 1, "mode": "tcp", "fast": True}, {"rate": 0.5, "mode": "udp", "power": 7}]
    space = Space.points(file)
    assert list(space) == expected
    assert Space.of({"points": "points.csv"}, tmp_path) == space
    # A document of Redis does not make a worker read files.
    with pytest.raises(InvalidValue, match="not a list of points"):
        Space.of({"points": str(file)})
    file.write_text("rate,mode\n1\n")
    with pytest.raises(InvalidValue, match=r"points.csv:2: the row has more or fewer cells"):
        Space.points(file)
    with pytest.raises(InvalidValue, match="cannot be read"):
        Space.points(tmp_path / "none.csv")


class Frame:
    """What is used of a DataFrame: pandas is not needed for the tests."""

    def to_dict(self, orient: str) -> list[dict[str, Any]]:
        assert orient == "records"
        return [{"a": 1, "b": float("nan")}, {"a": 2, "b": None}, {"a": 2, "b": 0.5}]


def test_points_of_a_table() -> None:
    assert list(Space.points(Frame())) == [{"a": 1}, {"a": 2}, {"a": 2, "b": 0.5}]


# -- size and speed -------------------------------------------------------------------------------


def test_a_space_is_lazy() -> None:
    # Nothing that goes through so many would end.
    space = Space.grid(**{name: range(1000) for name in "abcde"})
    assert len(space) == 10**15
    assert space[10**14 + 7] == {"a": 100, "b": 0, "c": 0, "d": 0, "e": 7}
    assert len(Space.random(10**9, 1, x="uniform(0, 1)")) == 10**9
    assert len(json.dumps(space.to_document())) < 200


def test_the_time_grows_with_the_number_of_points() -> None:
    def spaces(count: int) -> Iterator[Space]:
        grid = Space.grid(a=range(count), b=range(100), c=range(10))
        yield grid.exclude(f"a > {count // 2} and c == 3")
        yield grid.when("c", f"a > {count // 2}")

    def least(count: int) -> float:
        def once() -> float:
            began = time.process_time()
            for space in spaces(count):
                assert 400 * count < len(space) < 1000 * count
            return time.process_time() - began

        return min(once() for _ in range(3))

    # Ten times as many take about ten times as long, and not a hundred times.
    assert least(50) < 30 * least(5)


# -- requests of users of other tools ------------------------------------------------------------


def test_hydra_1918_parameters_that_vary_together() -> None:
    space = Space.zip(model=["small", "large"], rate=[0.1, 0.01]) * Space.grid(n=[1, 2])
    assert [(point["model"], point["rate"]) for point in space] == [
        ("small", 0.1),
        ("small", 0.1),
        ("large", 0.01),
        ("large", 0.01),
    ]


def test_hydra_2851_sweeps_one_after_the_other() -> None:
    space = Space.grid(a=[1, 2], b=[1]) + Space.grid(a=[1], b=[1, 2])
    assert list(space) == [{"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 2}]


def test_sem_46_listed_combinations_and_products_in_one_campaign() -> None:
    listed = Space.points([{"nodes": 2, "rate": 54}, {"nodes": 3, "rate": 6}])
    space = Space.concat(listed, Space.grid(nodes=[10], rate=[6, 54]))
    assert [tuple(point.values()) for point in space] == [(2, 54), (3, 6), (10, 6), (10, 54)]


def test_wandb_1487_a_parameter_of_one_variant_only() -> None:
    space = Space.grid(optimizer=["sgd", "adam"], momentum=[0.8, 0.9], beta=[0.99]).when(
        "momentum", "optimizer == 'sgd'"
    )
    space = space.when("beta", "optimizer == 'adam'")
    assert list(space) == [
        {"optimizer": "sgd", "momentum": 0.8},
        {"optimizer": "sgd", "momentum": 0.9},
        {"optimizer": "adam", "beta": 0.99},
    ]
