"""The fake of a host with its line channels, for tests of resource classes."""

from __future__ import annotations

import base64
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import CommandError, FencedError, FileMissing, HostError
from ..model.configuration import Change
from ..model.contents import Content
from ..model.facts import Facts, Interface
from ..model.host import USUAL_LIFE, Exit, Launch, Life, Result
from ..model.pools import HostLease
from .fake_clock import FakeClock

#: The answer of a fake host to a command: a Result, its standard output, its exit code, an error
#: to raise, or a function that returns one of these.
Answer = Result | str | bytes | int | Exception | Callable[["Call"], Any]


#: The facts of a fake host, unless a test sets others.
FACTS = Facts(
    hostname="fake",
    system="Linux 6.1.0",
    cpus=2,
    boot_id="boot-1",
    home="/home/user",
    user="user",
    addresses=("10.0.0.1",),
    kernel="6.1.0",
    arch="x86_64",
    memory=4 << 30,
    interfaces={"eth0": Interface("up", "02:00:00:00:00:01", 1500, ("10.0.0.1/24",))},
    qdiscs=("fq_codel", "netem", "pfifo_fast", "tbf"),
    link_kinds=("bridge", "dummy", "veth"),
    clock_offset=0.0,
    clock_error=0.001,
)


@dataclass(frozen=True)
class Call:
    """A call of a method of the fake host.

    Attributes:
        verb: the method, such as ``run`` or ``supervise``.
        command: the command, or the path.
        stdin: the input of the command, or the content written.
        env: the environment variables.
        options: the other arguments.
    """

    verb: str
    command: str = ""
    stdin: bytes = b""
    env: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class _Process:
    started: float
    ok_exit_codes: Sequence[int] | None
    stopped: bool = False
    exit: Exit | None = None


class FakeChannel:
    """A line channel to a program that is a function from an input line to output lines."""

    def __init__(self, program: Callable[[bytes], Iterable[bytes]]) -> None:
        self._program = program
        self._answers: list[bytes] = []
        self.sent: list[bytes] = []
        self.closed = False

    def send(self, line: bytes) -> None:
        """Call the program with a line."""
        self.sent.append(line)
        self._answers.extend(self._program(line))

    def lines(self) -> Iterator[bytes]:
        """Yield the output lines of the program so far."""
        while self._answers and not self.closed:
            yield self._answers.pop(0)

    def close(self) -> None:
        """End the program."""
        self.closed = True


class FakeHost:
    """A fake machine that records calls and returns prepared answers.

    Every command succeeds without output unless :meth:`answer` sets another answer. Files are
    kept in memory. A supervised command runs until :meth:`exit`, or ends at once if there is an
    answer for it.

    Attributes:
        calls: all calls, in order.
        files: content by absolute path.
        facts: the facts of the machine.
        run_dir: the run directory of the resource that acts.
        fenced: set it to True to let every call that changes something raise FencedError.
        absent: names of programs that it lacks.
        versions: lines with the version of programs, by name.
        clock: the clock for the ages of processes.
        started: whether a start of the resource counts as successful (``NEPIQ_STARTED``); None
            for what became of the processes it has launched.
    """

    def __init__(self, *, clock: FakeClock | None = None) -> None:
        self.calls: list[Call] = []
        self.files: dict[str, bytes] = {}
        self.facts = FACTS
        self.run_dir = "/home/user/.nepiq/run/1/1/1"
        self.fenced = False
        self.absent: set[str] = set()
        self.versions: dict[str, str] = {}
        self.started: bool | None = None
        self.clock = clock or FakeClock()
        self._answers: list[tuple[re.Pattern[str], list[Answer]]] = []
        self._programs: list[tuple[re.Pattern[str], Callable[[bytes], Iterable[bytes]]]] = []
        self._processes: dict[str, _Process] = {}
        self._launched: list[tuple[str, _Process]] = []

    def _has_started(self) -> bool:
        if self.started is not None:
            return self.started
        resource = posixpath.dirname(self.run_dir)
        return any(
            process.exit is None or process.exit.outcome != "FAILED"
            for run_dir, process in self._launched
            if posixpath.dirname(run_dir) == resource
        )

    @property
    def commands(self) -> list[str]:
        """The commands that were run, supervised or opened, in order."""
        return [call.command for call in self.calls if call.verb in {"run", "supervise", "open"}]

    def answer(self, pattern: str, *answers: Answer) -> None:
        """Set the answers to commands that contain a match of a regular expression.

        Args:
            pattern: the regular expression; of several that match, the last one set is used.
            answers: used one after the other; the last one is repeated.
        """
        self._answers.insert(0, (re.compile(pattern), list(answers)))

    def program(self, pattern: str, program: Callable[[bytes], Iterable[bytes]]) -> None:
        """Set the program behind opened commands that contain a match of ``pattern``."""
        self._programs.insert(0, (re.compile(pattern), program))

    def exit(self, code: int, *, stdout: bytes = b"", stderr: bytes = b"") -> Exit:
        """End the supervised process of the current run directory.

        Raises:
            LookupError: it has no supervised process.
        """
        process = self._processes[self.run_dir]
        success = process.ok_exit_codes is None or code in process.ok_exit_codes
        outcome = "STOPPED" if process.stopped else "FINISHED" if success else "FAILED"
        reason = f"exit code {code}" if outcome == "FAILED" else ""
        outputs = {"stdout": stdout, "stderr": stderr}
        self.files.update({self._path(name): data for name, data in outputs.items()})
        process.exit = Exit(code, outcome, 0.0, reason, outputs)
        return process.exit

    # --- the Host protocol

    def run(
        self,
        command: str,
        *,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        timeout: float | None = None,
        check: bool = True,
        mutates: bool = True,
        sudo: bool = False,
        started_only: bool = False,
    ) -> Result:
        """Return the answer set for a command; by default exit code 0 without output."""
        if started_only and not self._has_started():
            return Result(0)
        options = {"cwd": cwd, "timeout": timeout, "mutates": mutates, "sudo": sudo}
        if started_only:
            options["started_only"] = True
        call = self._record("run", command, stdin, env, options, mutates=mutates)
        result = _result(self._answer_to(call))
        if check and result.code:
            raise CommandError(command, result.code, result.stderr.decode("utf-8", "replace"))
        return result

    def supervise(
        self,
        command: str,
        *,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        ok_exit_codes: Sequence[int] | None = (0,),
        started_when: str = "",
        start_timeout: float = 30.0,
        sudo: bool = False,
        life: Life = USUAL_LIFE,
    ) -> Launch:
        """Launch a command, or adopt the process launched in this run directory."""
        options = {
            "ok_exit_codes": ok_exit_codes,
            "started_when": started_when,
            "start_timeout": start_timeout,
            "sudo": sudo,
            **({} if life.is_usual else {"life": life}),
        }
        call = self._record("supervise", command, stdin or b"", env, options)
        running = self._processes.get(self.run_dir)
        if running is not None:
            return Launch(self.clock() - running.started, running.exit, adopted=True)
        answer = self._answer_to(call)
        process = self._processes[self.run_dir] = _Process(self.clock(), ok_exit_codes)
        self._launched.append((self.run_dir, process))
        if answer is not None:
            result = _result(answer)
            self.exit(result.code, stdout=result.stdout, stderr=result.stderr)
        return Launch(exit=process.exit)

    def configure(self, changes: Sequence[Change], *, anew: bool = True, report: str = "") -> str:
        """Record the changes, a line each; the answer to them is what ``report`` prints."""
        lines = [str(change) for change in changes]
        options = {"changes": list(changes), "anew": anew, "report": report}
        result = _result(
            self._answer_to(self._record("configure", "\n".join(lines), options=options))
        )
        if result.code:
            raise HostError(result.stderr.decode("utf-8", "replace") or f"code {result.code}")
        return " ".join(result.text.split())

    def unconfigure(self) -> None:
        """Record the call."""
        self._record("unconfigure")

    def end(self, *, grace: float = 10.0) -> None:
        """End the supervised process of this run directory."""
        self._record("end", options={"grace": grace})
        process = self._processes.get(self.run_dir)
        if process is not None and process.exit is None:
            process.stopped = True
            self.exit(143)

    def clear(self, *, grace: float = 5.0) -> None:
        """End all processes of the resource."""
        self._record("clear", options={"grace": grace})
        self._processes.pop(self.run_dir, None)

    def read(self, path: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return the content of a file in memory."""
        self._record("read", path, mutates=False)
        full = self._path(path)
        if full not in self.files:
            raise FileMissing(f"there is no file {full}")
        data = self.files[full][offset:]
        return data if length is None else data[:length]

    def write(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """Write a file in memory."""
        self._record("write", path, data, options={"mode": mode})
        self.files[self._path(path)] = data

    def put(self, source: str, path: str, *, mode: int = 0o644) -> None:
        """Copy a real file into memory."""
        self._record("put", path, options={"source": source, "mode": mode})
        self.files[self._path(path)] = Path(source).read_bytes()

    def get(self, path: str, target: str) -> None:
        """Copy a file in memory to a real one."""
        Path(target).write_bytes(self.read(path))

    def keep(self, content: Content) -> str:
        """Record the call; return the path, where the content's bytes are if they are known."""
        self._record("keep", content.sha256, options={"size": content.size, "kind": content.kind})
        path = f"{self.run_dir.rsplit('/', 4)[0]}/.usr/content/{content.sha256}"
        self.files[path] = base64.b64decode(content.data)
        return path

    def listdir(self, path: str = ".") -> Sequence[str]:
        """Return the names in a directory in memory."""
        self._record("listdir", path, mutates=False)
        base = self._path(path).rstrip("/") + "/"
        inside = (name[len(base) :] for name in self.files if name.startswith(base))
        return sorted({name.partition("/")[0] for name in inside})

    def lacks(self, program: str) -> bool:
        """Return whether a program is one of :attr:`absent`."""
        return program in self.absent

    def version(self, program: str, option: str) -> str | None:
        """Return the version of a program in :attr:`versions`, by default empty."""
        del option
        return None if program in self.absent else self.versions.get(program, "")

    def open(self, command: str) -> FakeChannel:
        """Return a channel to the program set for the command."""
        self._record("open", command)
        for pattern, program in self._programs:
            if pattern.search(command):
                return FakeChannel(program)
        return FakeChannel(lambda _: ())

    def prepare(
        self,
        *,
        clean_experiment: bool = False,
        clean_processes: bool = False,
        clean_home: bool = False,
        mode: int = 0o700,
        lease: HostLease | None = None,
        remove: bool = False,
    ) -> None:
        """Record the call."""
        options = {
            "clean_experiment": clean_experiment,
            "clean_processes": clean_processes,
            "clean_home": clean_home,
            "mode": mode,
            **({} if lease is None else {"lease": lease}),
            **({"remove": True} if remove else {}),
        }
        self._record("prepare", options=options)

    def dismantle(self, *, remove: bool = False) -> None:
        """End all processes, and fence the host: nothing can be changed afterwards."""
        self._record("dismantle", options={"remove": remove}, mutates=False)
        self._processes.clear()
        self.fenced = True

    # --- inside

    def _record(
        self,
        verb: str,
        command: str = "",
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        mutates: bool = True,
    ) -> Call:
        call = Call(verb, command, stdin, env or {}, options or {})
        self.calls.append(call)
        if mutates and self.fenced:
            raise FencedError("a newer attempt has acted, or the run has ended")
        return call

    def _answer_to(self, call: Call) -> Any:
        for pattern, answers in self._answers:
            if pattern.search(call.command):
                answer: Any = answers.pop(0) if len(answers) > 1 else answers[0]
                if callable(answer):
                    answer = answer(call)
                if isinstance(answer, Exception):
                    raise answer
                return answer
        return None

    def _path(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(self.run_dir, path))


def _result(answer: Any) -> Result:
    if isinstance(answer, Result):
        return answer
    if isinstance(answer, int):
        return Result(answer)
    if isinstance(answer, str):
        return Result(0, answer.encode())
    return Result(0, answer or b"")
