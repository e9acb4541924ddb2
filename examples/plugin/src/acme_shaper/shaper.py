"""acme::TrafficShaper: delay, loss and rate of what a network interface sends."""

from __future__ import annotations

import shlex
from typing import Any

from nepiq.controller.errors import HostError, InvalidValue
from nepiq.controller.model import (
    Attribute,
    Connection,
    Context,
    Duration,
    Flag,
    Later,
    Name,
    ResourceManager,
    Retry,
    Trace,
)


class Rate(str):
    """A bit rate as tc(8) reads it, such as ``10mbit``."""

    @classmethod
    def parse(cls, value: Any) -> Rate:
        """Accept digits and one of the units bit, kbit, mbit and gbit."""
        text = value if isinstance(value, str) else ""
        digits = text.removesuffix("bit").rstrip("kmg")
        if not text.endswith("bit") or not digits.isdecimal():
            raise InvalidValue("must be a rate like 10mbit")
        return cls(text)


class TrafficShaper(ResourceManager, rtype="acme::TrafficShaper"):
    """Delays, drops and slows what a network interface sends, while it is STARTED."""

    interface = Attribute(Name, required=True, help="Name of the interface.", flags=Flag.DESIGN)
    delay = Attribute(Duration, "0s", help="Delay added to each packet.")
    loss = Attribute(float, 0.0, help="Packets dropped, in percent.", range=(0, 100))
    rate = Attribute(Rate, help="Greatest rate; not limited if not given.")
    driver = Attribute(str, help="The interface's driver, as reported.", flags=Flag.NO_WRITE)

    statistics = Trace(help="What tc counted until the stop.", file="statistics.txt")

    node = Connection("linux::Node", required=True, help="The machine that has the interface.")

    retries = {"do_start": Retry(2, "1s")}  # another program may hold the lock of tc

    def do_discover(self, context: Context) -> None:
        """Look for tc and the interface."""
        host = context.host
        if host.run("command -v tc", check=False, mutates=False).code:
            raise HostError("tc is not installed", hint="install the package iproute2")
        if self.interface not in host.listdir("/sys/class/net"):
            raise HostError(f"there is no interface {self.interface}")
        path = f"/sys/class/net/{self.interface}/device/driver"
        link = host.run(f"readlink {shlex.quote(path)}", check=False, mutates=False)
        self.driver = link.text.rpartition("/")[2]

    def do_deploy(self, context: Context) -> Later | None:
        """Wait until the interface is up."""
        state = context.host.read(f"/sys/class/net/{self.interface}/operstate")
        if state.strip() == b"down":
            context.log.info("interface %s is down", self.interface)
            return Later("1s")
        return None

    def do_start(self, context: Context) -> None:
        """Put the rule in place; ``replace`` makes it safe to do twice."""
        self._tc(context, "replace", self._rule())

    def do_set(self, context: Context, name: str, value: Any) -> None:
        """Change a rule that is in place; one that is not will be made with the new value."""
        shown = context.host.run(f"tc qdisc show dev {self._device}", mutates=False)
        if "netem" in shown.text:
            self._tc(context, "change", self._rule(**{name: value}))

    def do_stop(self, context: Context) -> None:
        """Keep what was counted, then remove the rule."""
        counted = context.host.run(f"tc -s qdisc show dev {self._device}", mutates=False)
        context.host.write("statistics.txt", counted.stdout)
        self._tc(context, "delete")

    def do_release(self, context: Context) -> None:
        """Remove the rule, if it is still there."""
        self._tc(context, "delete", check=False)

    @property
    def _device(self) -> str:
        return shlex.quote(self.interface)

    def _rule(self, **changed: Any) -> str:
        delay = changed.get("delay", self.delay)
        loss = changed.get("loss", self.loss)
        rate = changed.get("rate", self.rate)
        rule = f" netem delay {delay * 1e6:.0f}us loss {loss:g}%"
        return f"{rule} rate {rate}" if rate else rule

    def _tc(self, context: Context, verb: str, rule: str = "", *, check: bool = True) -> None:
        context.host.run(f"tc qdisc {verb} dev {self._device} root{rule}", check=check)
