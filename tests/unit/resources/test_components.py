"""What an application is made of, on a fake host."""

from __future__ import annotations

import pytest

from nepiq.controller.errors import HostError, InvalidValue
from nepiq.controller.model import Content
from nepiq.controller.resources.linux.application import Application
from nepiq.controller.resources.linux.compiler_output import first_errors
from nepiq.controller.resources.linux.origins import Code, Origins, ScriptArguments, Sources
from nepiq.controller.testing import Harness

SHA = "0123456789abcdef" * 4


def application(**attributes: object) -> Harness[Application]:
    return Harness(Application, node=Harness("linux::Node"), **attributes)


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("", []),
        ("./a", ["a"]),
        ("a/b/; /c ;", ["b", "c"]),
        (["a;b", "~/c d"], ["a;b", "c d"]),
        (f"https://host/x%20y.tgz?v=1#sha256={SHA};http://h/z", ["x y.tgz", "z"]),
        ("git+https://host/path/name.git@0123abc", ["name"]),
        ("git+ssh://git@host/name@0123abc", ["name"]),
    ],
)
def test_origins(value: object, names: list[str]) -> None:
    assert [origin.name for origin in Sources.parse(value)] == names


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "must be a path or URL"),
        ([3], "must be a path or URL"),
        ("..", "end in a name"),
        ("a;b/a", "two are 'a'"),
        ("a\nb", "unlike"),
        ("https://host/", "end in a name"),
        ("https://host/..%2f..%2fetc", "end in a name"),
        ("https://host/x#sha256=12", "checksums like"),
        ("https://user:secret@host/x", "without passwords"),
        ("ftp://host/x", "URLs of http"),
        ("file:///etc/passwd", "URLs of http"),
        ("http://[/x", "valid URLs"),
        ("git+https://host/x", "at a commit"),
        ("git+https://host/x@main", "at a commit"),
        ("git+ext::sh -c id@1234567", "URL of http"),
    ],
)
def test_origins_that_are_none(value: object, message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        Sources.parse(value)


def test_only_sources_are_repositories() -> None:
    with pytest.raises(InvalidValue, match="unlike 'git"):
        Origins.parse("git+https://host/x@1234567")


def test_code_is_text_or_a_path() -> None:
    assert Code.parse("int x;\nint y;\n").text == "int x;\nint y;\n"
    assert [origin.name for origin in Code.parse("hello.c")] == ["hello.c"]
    with pytest.raises(InvalidValue, match="at most 200000 bytes"):
        Code.parse("x\n" * 200_000)


def test_arguments() -> None:
    assert ScriptArguments.parse(["-v", 3, 0.5, ""]) == ("-v", "3", "0.5", "")
    options = {"count": 3, "v": True, "quiet": False, "none": None, "i": ["a", "b"]}
    assert ScriptArguments.parse(options) == ("--count=3", "-v", "-i", "a", "-i", "b")
    for wrong in ("-v", {"-v": 1}, [True], [None], ["a\0"], {"a": {}}):
        with pytest.raises(InvalidValue):
            ScriptArguments.parse(wrong)


def test_contents_come_from_the_client() -> None:
    with pytest.raises(Exception, match="cannot be set"):
        application(contents={})
    for wrong in ("x" * 64, "../" + SHA[3:]):
        app = application(files="a")
        app.attributes["contents"] = {"a": {"sha256": wrong, "size": 5000}}
        with pytest.raises(InvalidValue, match="must have contents"):
            app.deploy()


# -- deployments -----------------------------------------------------------------------------------


def test_the_host_is_asked_once_if_it_has_everything() -> None:
    app = application(files="a", build="make", command="./x")
    app.host.answer('eval "', "done")
    app.deploy()
    (call,) = [call for call in app.host.calls if 'eval "' in call.command]
    assert call.command.splitlines()[:2] == ["# carry a -> ${SHARE}/a", "# build once a host: make"]
    app.start()
    assert app.host.commands[-1] == "./x"


def test_what_is_left_to_do_is_done_and_announced() -> None:
    app = application(files="a", build="make", install="cp x ${BIN}", sudo=True)
    content = Content(SHA, 5000)
    app.attributes["contents"] = {"a": {"sha256": SHA, "size": 5000}}
    app.host.answer(
        'eval "',
        *(f"todo content {SHA}\n", f"todo content {SHA}\n"),
        *("todo build\n", "todo build\n", "done\n"),
        *("todo install\n", "todo install\n", "done\n"),
        "done\n",
    )
    app.deploy()
    told = [call.verb for call in app.host.calls if call.verb in ("run", "keep")]
    assert told.count("keep") == 1
    assert told.index("keep") == 2
    kept = next(call for call in app.host.calls if call.verb == "keep")
    assert (kept.command, kept.options["size"]) == (content.sha256, content.size)
    scripts = [call for call in app.host.calls if 'eval "' in call.command]
    verbs = [call.stdin.decode().splitlines()[-1] for call in scripts]
    assert [verb for verb in verbs if verb != "look"] == ["build_once", "install_once"]
    assert [call.options["sudo"] for call in scripts if call.options["sudo"]] == [True]
    assert scripts[verbs.index("install_once")].options["sudo"]
    assert scripts[verbs.index("build_once")].options["timeout"] == 3600.0
    assert app.attributes["activity"] == ""


def test_a_failure_names_the_trace() -> None:
    app = application(build="make")
    app.host.answer('eval "', "failed build 2\ncc1: note\nx.c:3:5: error: no\nmake: *** Error 1")
    with pytest.raises(
        HostError, match=r"cannot build \(exit code 2\): x.c:3:5: error: no"
    ) as caught:
        app.deploy()
    assert "trace build_stderr" in caught.value.hint


def test_an_application_of_a_command_alone_has_no_deployment() -> None:
    app = application(command="true")
    app.deploy()
    assert [call.verb for call in app.host.calls] == ["prepare"]


def test_a_program_of_ns3_brings_files_too() -> None:
    program = Harness(
        "linux::ns3::Program", node=Harness("linux::Node"), program="/opt/x", files="a", perHost=0
    )
    program.host.answer('eval "', "done\n")
    program.deploy()
    assert [call.command.split("\n")[0] for call in program.host.calls if call.verb == "run"] == [
        "# carry a -> ${SHARE}/a",
        "test -x /opt/x",
    ]
    assert "build" not in program.cls.attributes


def test_builds_share_what_is_the_same() -> None:
    def key(**attributes: object) -> str:
        return application(**attributes).rm.assembly().key

    assert key(build="make") == key(build="make", command="other", install="x")
    assert key(build="make") != key(build="make", env="A=1")
    assert key(build="make", code="a\n") != key(build="make", code="b\n")
    assert key(build="make", files="a") != key(build="make", libs="a")
    assert key(command="x") == ""


def test_first_errors() -> None:
    assert first_errors("gcc ...\nx.c:1:2: error: a\nx.c:9: warning: b") == "x.c:1:2: error: a"
    assert first_errors("Makefile:3: *** missing separator.  Stop.") == (
        "Makefile:3: *** missing separator.  Stop."
    )
    assert first_errors("ld: undefined reference to `f'\ncollect2: error: ld").startswith("ld: ")
    assert first_errors("a\nb\nc") == "b; c"
    assert first_errors("") == ""
