"""What a fault is: how it begins and ends, and what it explains."""
import dataclasses
import typing

# Kinds of failed requests that a node without a network explains: nobody answers, or nobody is reached.
SILENT = frozenset({"timeout", "unreachable"})
AGENT, MOUNTER, OPERATOR, ENGINE = "agent", "mounter", "operator", "llama-server"


@dataclasses.dataclass(frozen=True)
class Explains:
    """What may go wrong because of a fault, from its beginning until `after` seconds beyond its end."""

    failures: frozenset[str] = frozenset()
    """Kinds of failed requests, as steady.py names them."""
    ends: frozenset[str] = frozenset()
    """Programs whose processes may end."""
    after: float = 0


def nothing(world: object, planned: "Planned") -> None:
    """The begin or end of a fault that has none."""


@dataclasses.dataclass(frozen=True)
class Fault:
    """One kind of fault, or of change. `begin` and `end` get the world and the plan's line; an AssertionError from either of them is a
    broken promise."""

    name: str
    begin: typing.Callable = nothing
    end: typing.Callable = nothing
    hold: tuple[float, float] = (0, 0)
    """Seconds between begin and end, the fewest and the most."""
    explains: Explains = Explains()
    needs_node: bool = False


@dataclasses.dataclass(frozen=True)
class Planned:
    """A fault that is to happen: for how long, to which node, and how long nothing happens after it."""

    number: int
    fault: Fault
    node: str
    hold: float
    pause: float

    def __str__(self) -> str:
        return f"{self.fault.name} ({self.node})" if self.node else self.fault.name


@dataclasses.dataclass
class Happened:
    """A fault that happened. Times are seconds since the soak began; `ended` is None while it lasts."""

    name: str
    node: str
    explains: Explains
    began: float
    ended: float | None = None
    recovered: float | None = None
    """Seconds from its end until all was well."""

    def covers(self, first: float, last: float) -> bool:
        """Whether a moment between `first` and `last` is one that this fault explains something of."""
        return self.began <= last and (self.ended is None or first <= self.ended + self.explains.after)

    def __str__(self) -> str:
        return f"{self.name} ({self.node})" if self.node else self.name
