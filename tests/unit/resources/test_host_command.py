"""HostCommand and BuiltCommand as bases of types that launch one command, on a fake host."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from nepiq.controller.errors import InvalidValue
from nepiq.controller.model import Action, Attribute, Content, Context, Flag, Launch
from nepiq.controller.resources.linux.assembly import Part
from nepiq.controller.resources.linux.built_command import BuiltCommand
from nepiq.controller.resources.linux.host_command import HostCommand
from nepiq.controller.testing import Harness


class Beacon(HostCommand):
    """A command of the type itself, with a file of its own."""

    message = Attribute(str, help="Text of its file.", flags=Flag.DESIGN)

    called_for = {"do_deploy": (*HostCommand.called_for["do_deploy"], "message")}

    def parts(self) -> list[Part]:
        if not self.message:
            return super().parts()
        content = Content.of(self.message.encode())
        part = Part.carried("share", "message", "text", content, executable=False)
        return [*super().parts(), part]

    def do_start(self, context: Context) -> Launch:
        return self.launch(context, "beacon ${SHARE}/message", self.variables)


class Compiled(BuiltCommand):
    """A command of the type itself, which is built."""

    def local_paths(self) -> Sequence[str]:
        return [*super().local_paths(), "own.c"]

    def do_start(self, context: Context) -> Launch:
        return self.launch(context, "./compiled", self.variables)


def test_a_command_has_its_files_and_variables() -> None:
    node = Harness("linux::Node", env="A=1 B=2")
    beacon = Harness(Beacon, node=node, message="hello", env="B=3", sudo=True)
    beacon.host.answer('eval "', "done\n")
    beacon.deploy()
    beacon.start()
    (assembly,) = (call for call in beacon.host.calls if 'eval "' in call.command)
    assert "carry text -> ${SHARE}/message" in assembly.command
    (call,) = (call for call in beacon.host.calls if call.verb == "supervise")
    assert (call.env, call.options["sudo"]) == ({"A": "1", "B": "3"}, True)
    assert call.command.endswith("; beacon ${SHARE}/message")


def test_a_command_without_files_has_no_deployment() -> None:
    beacon = Harness(Beacon, node=Harness("linux::Node"))
    beacon.deploy()
    assert [call.verb for call in beacon.host.calls] == ["prepare"]


def test_the_bases_have_no_command_of_a_user() -> None:
    given = {"command", "script", "arguments", "code", "build", "install"}
    assert not given & set(Beacon.attributes)
    assert given & set(Compiled.attributes) == {"code", "build", "install"}


def test_a_built_command_brings_its_code() -> None:
    node = Harness("linux::Node")
    compiled = Harness(Compiled, node=node, code="./x.c", build="cc", files="data")
    assert compiled.rm.local_paths() == ["data", "./x.c", "own.c"]
    assert [(part.place, part.name) for part in compiled.rm.parts()] == [
        ("share", "data"),
        ("home", "code"),
    ]
    with pytest.raises(InvalidValue, match="EXP_HOME"):
        Harness(Compiled, node=node, build="ls ${EXP_HOME}").deploy()


def test_time_limits_count_what_is_carried_and_built() -> None:
    def limit(rtype: type[HostCommand], **stored: object) -> float:
        return rtype.load(guid=1, attributes=stored).deadline_for(Action.DEPLOY)

    carried = {"data": Content("0" * 64, 20_000_000)._asdict()}
    assert limit(Beacon, contents=carried) == limit(Beacon) + 200.0
    assert limit(Compiled, build="cc", buildTimeout="60s") == limit(Compiled) + 120.0
