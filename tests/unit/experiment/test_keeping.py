"""Experiments are saved and loaded without any Redis."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from nepiq.controller import (
    DocumentError,
    ExperimentController,
    InvalidValue,
    ResourceAction,
    ResourceState,
    Settings,
)

NOWHERE = Settings(broker_url="redis://127.0.0.1:1/0", state_url="redis://127.0.0.1:1/0")


@pytest.fixture
def ec() -> ExperimentController:
    made = ExperimentController("kept", settings=NOWHERE)
    made.set_global("linux::Application", "okExitCodes", "any")
    node = made.register_resource("linux::Node", label="here")
    server = made.register_resource("linux::Application", 7, "server", connectedTo=node)
    client = made.register_resource("linux::Application", connectedTo=node, command="true")
    made.register_condition(
        client, ResourceAction.START, [server, node], ResourceState.STARTED, "2s"
    )
    return made


def load(path: str | Path, form: str | None = None) -> ExperimentController:
    return ExperimentController.load(path, form, settings=NOWHERE)


@pytest.mark.parametrize("suffix", ["yaml", "yml", "json"])
def test_save_and_load(ec: ExperimentController, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"other.{suffix}"
    assert ec.save(path) == str(path)
    made = load(path)
    assert (made.exp_id, made.resources, made.find("server")) == ("kept", [1, 7, 8], 7)
    assert made.state("server") is ResourceState.NEW
    assert made.get("application-8", "okExitCodes") == "any"
    assert made.serialize() == ec.serialize()
    again = tmp_path / f"again.{suffix}"
    made.save(str(again))
    assert again.read_bytes() == path.read_bytes()


def test_where_it_is_saved(
    ec: ExperimentController, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ec.save() == "kept.yaml"
    assert ec.save(format="json") == "kept.json"
    assert load("kept.json").serialize() == Path("kept.yaml").read_text()
    assert ec.save("description.txt", "yaml") == "description.txt"
    assert load("description.txt", "yaml").resources == [1, 7, 8]


def test_in_a_directory_each_time_is_a_file(ec: ExperimentController, tmp_path: Path) -> None:
    paths = [ec.save(str(tmp_path)), ec.save(tmp_path / "new" / "one", "json")]
    paths += [ec.save(tmp_path), ec.save(tmp_path)]
    assert len(set(paths)) == 4
    assert re.fullmatch(r"kept_\d{14}(-\d)?\.yaml", Path(paths[0]).name)
    assert re.fullmatch(r"kept_\d{14}\.json", Path(paths[1]).name)
    assert Path(paths[1]).parent == tmp_path / "new" / "one"


def test_a_file_is_replaced_as_a_whole(ec: ExperimentController, tmp_path: Path) -> None:
    path, link = tmp_path / "kept.yaml", tmp_path / "link.yaml"
    path.write_text("old")
    path.chmod(0o600)
    link.symlink_to(path)
    ec.save(link)
    assert link.is_symlink()
    assert path.read_text() == ec.serialize()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(tmp_path.iterdir()) == [path, link]


def test_without_a_name_it_has_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "pings.yaml"
    path.write_text("nepiq: 1")
    assert load(path).exp_id == "pings"
    odd = tmp_path / "my pings.yaml"
    odd.write_text("nepiq: 1")
    assert load(odd).exp_id.startswith("exp-")


def test_what_reading_refuses(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="no such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(InvalidValue, match=r"suffix '\.txt'"):
        load(tmp_path / "none.txt")
    with pytest.raises(InvalidValue, match="is a directory"):
        load(tmp_path, "yaml")
    path = tmp_path / "wrong.yaml"
    path.write_text("nepiq: 1\nresources:\n  a: {type: x}\n  b: {typ: y}\n")
    with pytest.raises(DocumentError) as caught:
        load(path)
    assert [error.where for error in caught.value.errors] == [f"{path}:3:13", f"{path}:4:3"]
    with pytest.raises(InvalidValue, match="format 'toml'"):
        load(path, "toml")


def test_what_writing_refuses(ec: ExperimentController, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="format 'xml' cannot be written"):
        ec.serialize("xml")
    with pytest.raises(InvalidValue, match="cannot be written"):
        ec.save(tmp_path / "kept.xml")
    with pytest.raises(InvalidValue, match=r"suffix '\.txt'"):
        ec.save(tmp_path / "kept.txt")
    with pytest.raises(InvalidValue, match="cannot be written: no such file"):
        ec.save(tmp_path / "none" / "kept.yaml")
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidValue, match="cannot be created"):
        ec.save(tmp_path / "file" / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_nepi_saved_is_loaded_with_warnings(caplog: pytest.LogCaptureFixture) -> None:
    saved = Path(__file__).parents[1] / "model" / "nepi" / "ping.xml"
    assert load(saved).resources == [1, 2, 7]
    assert [record.message for record in caplog.records] == [
        f"{saved}:8:9: attribute 'ip' is obsolete and ignored"
    ]
