"""linux::Impairment: delay, loss, rate and more of what interfaces send."""
# ruff: noqa: N815 - attributes have the style of NEPI's names

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from ....errors import HostError, InvalidValue
from ....model import (
    ANY,
    Action,
    Attribute,
    Change,
    Connection,
    Context,
    Duration,
    Facts,
    Flag,
    Launch,
    ResourceManager,
    device_name,
    link_alias,
)
from . import drivers
from .configured import Configured
from .drivers import NETEM, RELAY, TBF, Driver, Sender
from .effect import Effect
from .ends import Linked, LinkEnd
from .program import archive
from .values import InterfaceName, Rate

BOTH, OUT, IN = "both", "out", "in"
_BUCKET = "a rate and independent losses without a seed only"
_KERNEL_MODULES = (
    "install the kernel's module sch_netem: package kernel-modules-extra (Fedora) or "
    "linux-modules-extra-<release> (Ubuntu); or leave driver empty and strict False"
)


class Impairment(Configured, rtype="linux::Impairment"):
    """An impairment of a link, or of what an interface sends and receives.

    Connected to a link it acts on what both ends send. Connected to an interface that a resource
    has made, or to a node with ``interface``, it acts on what that sends, and on what it receives
    by an interface of kind ifb. It is in force from the deployment to the release, and all values
    can be changed meanwhile, also by conditions.

    The driver is chosen by the host: tc-netem(8); without it a token bucket (tc-tbf(8)) and nft(8)
    for a rate and independent losses; else the relay, a program of nepiq that holds packets, for up
    to about 60 000 packets a second on a host. The relay needs root, python3 3.8, and a kernel of
    5.17 with nf_tables and nfnetlink_queue; it acts on what is sent by Ethernet only. If it ends,
    the first impairment on its host fails.
    """

    leading = "prepares"
    called_for = {"do_start": ("prepares",), "do_stop": ("prepares",)}

    interface = Attribute(
        InterfaceName, help="Name of an interface of the node, if connected to one.",
        flags=Flag.DESIGN,
    )  # fmt: skip
    direction = Attribute(
        str,
        BOTH,
        help="Of an interface: impair what it sends (out), what it receives (in), or both.",
        allowed=(BOTH, OUT, IN),
        flags=Flag.DESIGN,
    )
    delay = Attribute(Duration, 0, help="Delay in each direction.", range=(0, 3600))
    rtt = Attribute(Duration, help="Delay of both directions together, instead of delay.")
    jitter = Attribute(
        Duration, 0, help="Greatest difference from the delay, evenly distributed.", range=(0, 3600)
    )
    loss = Attribute(float, 0.0, help="Packets lost, in percent.", range=(0, 100))
    lossBurst = Attribute(
        float,
        0.0,
        help="Mean number of packets lost in a row, after Gilbert; 0: independent losses.",
        range=(0, 10**6),
    )
    reorder = Attribute(
        float, 0.0, help="Packets that are not delayed, in percent.", range=(0, 100)
    )
    duplicate = Attribute(float, 0.0, help="Packets that arrive twice, in percent.", range=(0, 100))
    rate = Attribute(Rate, help="Greatest rate in each direction, as 10mbit; unlimited by default.")
    queue = Attribute(
        int,
        help="Packets that are delayed or wait at most; 1.5 x rate x delay by default, of 1500 "
        "bytes each.",
        range=(1, 10**7),
    )
    seed = Attribute(
        int,
        help="Start of the random numbers, together with the label: the same packets have the same "
        "fate in each run. Without effect in a netem before Linux and iproute2 6.7.",
        range=(0, 2**63 - 1),
        flags=Flag.DESIGN,
    )
    driver = Attribute(
        str,
        "",
        help="netem, tbf+nft or relay; after the deployment: the one in use. Chosen by the host if "
        "empty.",
        allowed=("", NETEM, TBF, RELAY),
        flags=Flag.DESIGN,
    )
    strict = Attribute(
        bool,
        False,
        help="Fail rather than use another driver than netem, or one without the seed.",
        flags=Flag.DESIGN,
    )
    applied = Attribute(
        str, help="The values in force, as read back from the host.", flags=Flag.NO_WRITE
    )
    seeded = Attribute(
        bool,
        False,
        help="Whether the driver was given the seed.",
        flags=Flag.NO_WRITE | Flag.RESERVED,
    )
    prepares = Attribute(
        bool,
        False,
        help="Whether it brings the relay to its host, for all.",
        flags=Flag.NO_WRITE | Flag.RESERVED,
    )

    target = Connection(
        ANY,
        required=True,
        help="The link or interface, or the machine or emulated host with interface.",
    )

    def shared_work(self) -> str:
        """Return the name of what one impairment does for all on its host: bring the relay.

        Whether they need it is the same for all with that name.
        """
        if self.driver == RELAY:
            return "relay"
        if self.driver or self.strict or not self._effect(self._given()).needs_more_than_rate:
            return ""
        return "relay without netem"

    def validate(self, conditional: Collection[Action]) -> None:
        """Check that it has one place to act on, and values that go together."""
        del conditional
        target = self.target
        if not isinstance(target, Linked) and not _is_host(target):
            raise InvalidValue(
                "connect it to a link, to an interface, or to a node and set interface",
                where=self.label,
            )
        if _is_host(target) != bool(self.interface):
            raise InvalidValue(
                "interface names one of a node; links and interfaces need no name",
                where=self.label,
            )
        if self._is_link and self.direction != BOTH:
            raise InvalidValue("direction is of interfaces", where=self.label)
        self._check(self._given())
        if self.strict and self.driver not in ("", NETEM):
            raise InvalidValue(f"strict refuses driver {self.driver}", where=self.label)

    def configuration(self, context: Context) -> Sequence[Change]:
        """Return what impairs each sender, by a driver that the host has."""
        driver = self._choose(context)
        if self.driver == RELAY and self.prepares:
            context.host.write(self._paths(context)[0], archive())
        changes = list(self._redirection(context)) if self._receives else []
        return [*changes, *driver.make(self._senders())]

    def do_deploy(self, context: Context) -> None:
        """Impair the senders, and compare what is in force then."""
        self._make(context, self.configuration(context), anew=True)

    def do_start(self, context: Context) -> Launch | None:
        """Watch the relay, for all on the host: this resource fails if it ends."""
        driver = self._driver(context)
        return context.host.supervise(driver.watch) if isinstance(driver, drivers.Relay) else None

    def do_stop(self, context: Context) -> None:
        """End the watch; packets are impaired until the release."""
        if self.driver == RELAY:
            context.host.end()

    def do_release(self, context: Context) -> None:
        """Undo it."""
        if self.driver == RELAY and self.prepares:
            context.host.clear()
        super().do_release(context)

    def do_set(self, context: Context, name: str, value: Any) -> None:
        """Change a value that is in force."""
        if name not in Effect._fields and name not in ("rtt", "lossBurst"):
            return
        values = {**self._given(), name: value}
        if name in ("delay", "rtt"):
            values["rtt" if name == "delay" else "delay"] = None
        self._check(values)
        former, driver = self._effect(self._given()), self._driver(context)
        if self.driver == TBF and self._effect(values).needs_more_than_rate:
            raise HostError(
                f"{name} cannot be set: the driver {TBF} has {_BUCKET}",
                hint="give it some delay before the deployment, or driver=relay",
            )
        changes = list(driver.change(self._senders(values), former))
        self._make(context, changes, anew=False, values=values)
        if name == "rtt":
            self.delay = Duration(0)
        elif name == "delay":
            self.rtt = None

    def _make(
        self,
        context: Context,
        changes: Sequence[Change],
        *,
        anew: bool,
        values: dict[str, Any] | None = None,
    ) -> None:
        driver, senders = self._driver(context), self._senders(values)
        shown = context.host.configure(changes, anew=anew, report=driver.show(senders))
        driver.check(senders, shown)
        seed = f", seed {self.seed}" if self.seeded else ""
        self.applied = f"{senders[0].effect}{seed}"

    def _given(self) -> dict[str, Any]:
        names = ("delay", "rtt", "jitter", "loss", "lossBurst", "reorder", "duplicate", "rate")
        return {name: getattr(self, name) for name in (*names, "queue")}

    def _check(self, values: dict[str, Any]) -> None:
        if values["rtt"] and values["delay"]:
            raise InvalidValue("set either delay or rtt", where=self.label)
        if values["rtt"] and self.direction != BOTH:
            raise InvalidValue("rtt is of both directions; set delay", where=self.label)
        if values["reorder"] and not (values["delay"] or values["rtt"]):
            raise InvalidValue("reorder needs a delay that packets can escape", where=self.label)
        if values["lossBurst"] and not (0 < values["loss"] < 100 and values["lossBurst"] >= 1):
            raise InvalidValue(
                "lossBurst is at least 1, and needs a loss below 100", where=self.label
            )

    def _effect(self, values: dict[str, Any]) -> Effect:
        return Effect(
            delay=values["rtt"] / 2 if values["rtt"] else values["delay"] or 0.0,
            jitter=values["jitter"] or 0.0,
            loss=values["loss"] or 0.0,
            burst=values["lossBurst"] or 0.0,
            reorder=values["reorder"] or 0.0,
            duplicate=values["duplicate"] or 0.0,
            rate=float(values["rate"] or 0),
            queue=values["queue"] or 0,
            seed=self.seed,
        )

    def _senders(self, values: dict[str, Any] | None = None) -> list[Sender]:
        effect = self._effect(values or self._given())
        alias = link_alias(self.run_id, self.guid)
        return [
            Sender(
                end,
                effect._replace(seed=self._seed_of(side)),
                device_name(self.run_id, self.guid, side),
                alias,
            )
            for end, side in zip(self._ends(), "ab", strict=False)
        ]

    def _seed_of(self, side: str) -> int | None:
        """Return the seed of one side: directions and impairments are independent of each other."""
        if not self.seeded:
            return None
        text = f"{self.seed} {self.label} {side}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")

    @property
    def _is_link(self) -> bool:
        target = self.target
        return isinstance(target, Linked) and len(target.link_ends()) > 1

    @property
    def _receives(self) -> bool:
        return not self._is_link and self.direction != OUT

    def _ends(self) -> list[LinkEnd]:
        """Return the interfaces whose sending is impaired."""
        if self._is_link:
            return self._interfaces()
        (interface,) = self._interfaces()
        received = LinkEnd(device_name(self.run_id, self.guid, "i"), interface.netns)
        ends = {OUT: [interface], IN: [received], BOTH: [interface, received]}
        return ends[str(self.direction)]

    def _interfaces(self) -> list[LinkEnd]:
        target = self.target
        if isinstance(target, Linked):
            return target.link_ends()
        netns = target.network_namespace() if target.emulates else ""
        return [LinkEnd(str(self.interface), netns)]

    def _redirection(self, context: Context) -> Iterator[Change]:
        """Yield the interface that sends what is received, and its way to there."""
        kinds = context.host.facts.link_kinds
        if kinds is not None and "ifb" not in kinds:
            raise HostError(
                f"the kernel {context.host.facts.kernel} has no ifb for what is received",
                hint="install the kernel's module ifb, or set direction to out",
            )
        (interface,), received = self._interfaces(), device_name(self.run_id, self.guid, "i")
        device, netns = interface
        yield Change(f"link add {received} type ifb", f"link del {received}", netns=netns)
        yield Change(f"link set {received} up", netns=netns)
        undo = f"qdisc del dev {device} ingress"
        yield Change(f"qdisc add dev {device} ingress", undo, tool="tc", netns=netns)
        action = f"action mirred egress redirect dev {received}"
        every = f"filter add dev {device} parent ffff: protocol all u32 match u32 0 0 {action}"
        yield Change(every, tool="tc", netns=netns)

    def _choose(self, context: Context) -> Driver:
        facts = context.host.facts
        effect = self._effect(self._given())
        has_netem = facts.qdiscs is None or NETEM in facts.qdiscs
        wanted = self.driver or (NETEM if has_netem or self.strict else "")
        if wanted == NETEM and not has_netem:
            raise HostError(f"the kernel {facts.kernel} has no netem", hint=_KERNEL_MODULES)
        if not wanted:
            wanted = RELAY if effect.needs_more_than_rate else TBF
        if wanted == TBF and effect.needs_more_than_rate:
            raise HostError(f"{TBF} has {_BUCKET}", hint="leave driver empty")
        if wanted == RELAY and self._receives:
            raise HostError(
                "the relay impairs what interfaces send only",
                hint="set direction to out, connect it to a link, or use a kernel with netem",
            )
        if wanted == RELAY and effect.rate > drivers.CEILING:
            raise HostError(
                f"the relay carries up to {drivers.CEILING / 1e6:g} Mbit/s, not "
                f"{effect.rate / 1e6:g} Mbit/s",
                hint="set a lower rate, or use a kernel with netem",
            )
        if wanted != NETEM and effect.rate:
            _require(facts, "tbf")
        if wanted == RELAY and context.host.lacks("python3"):
            raise HostError("the relay needs python3 on the host", hint="install python3")
        self.driver = wanted
        self.seeded = self.seed is not None and self._takes_seed(context)
        return self._driver(context)

    def _takes_seed(self, context: Context) -> bool:
        """Return whether the driver can be given a seed.

        Raises:
            HostError: it cannot, and substitutes are refused.
        """
        if self.driver != NETEM:
            return self.driver == RELAY
        kernel = context.host.facts.kernel
        tc = context.host.version("tc", "-V") or "no tc"
        if drivers.Netem.has_seed(kernel, tc):
            return True
        need = "Linux and iproute2 6.7 or newer"
        if self.strict:
            raise HostError(
                f"netem cannot be given a seed there: Linux {kernel}, {tc}",
                hint=f"use {need}, leave seed out, or set strict to False",
            )
        context.log.warning("seed has no effect: netem needs %s, not %s and %s", need, kernel, tc)
        return False

    def _driver(self, context: Context) -> Driver:
        if self.driver == RELAY:
            return drivers.Relay(*self._paths(context))
        return drivers.Netem() if self.driver == NETEM else drivers.Tbf()

    def _paths(self, context: Context) -> tuple[str, str]:
        """Return the paths of the relay's program and socket, in the run's directory."""
        directory = context.run_dir.rsplit("/", 2)[0]
        return f"{directory}/.relay.pyz", f"{directory}/.relay.sock"


def _require(facts: Facts, qdisc: str) -> None:
    if facts.qdiscs is not None and qdisc not in facts.qdiscs:
        raise HostError(
            f"the kernel {facts.kernel} has no {qdisc}",
            hint=f"install the kernel's module sch_{qdisc}",
        )


def _is_host(target: ResourceManager) -> bool:
    return "linux::Node" in (target.rtype, target.emulates)
