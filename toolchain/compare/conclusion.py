"""A comparison in plain words: who is best under which view, who is on the front, who is never worth choosing."""

from collections.abc import Callable, Sequence

from toolchain.compare.measure import AGAINST, Comparison, Measured
from toolchain.energy import BASELINES

__all__ = ["AXES", "cost_in_words", "conclusion"]

AXES = {
    "energy": "energy (upper bound over the memory policies)",
    "cycles": "clock cycles",
    "size": "memory of the core",
    "sop": "synaptic operations",
}
"""What ``AGAINST`` says, for people."""
_LOW = "energy if membranes stay put (lower bound)"
_HIGH = "energy if membranes move with every operation (upper bound)"


def _energy(value: float) -> str:
    """pJ as nJ or µJ."""
    return f"{value / 1e6:,.3g} µJ" if value >= 1e6 else f"{value / 1e3:,.3g} nJ"


def cost_in_words(one: Measured, against: str) -> str:
    """One of ``AGAINST`` with its unit."""
    value = AGAINST[against](one)
    if against == "energy":
        return _energy(value)
    if against == "size":
        return f"{value / 8192:,.4g} KiB"
    return f"{value:,.0f} {'cycles' if against == 'cycles' else 'operations'}"


def _names(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _least(candidates: Sequence[Measured], cost: Callable[[Measured], float]) -> list[Measured]:
    """All that share the least cost."""
    least = min(cost(one) for one in candidates)
    return [one for one in candidates if cost(one) == least]


def _best_lines(comparison: Comparison) -> list[str]:
    """The most accurate, and who costs least, views with the same winner in one line."""
    best = _least(comparison.candidates, lambda one: -one.accuracy)
    lines = [
        f"most accurate: {_names([one.name for one in best])}, {best[0].accuracy:.2f} %; on {comparison.images:,} images chance "
        f"moves that by ±{comparison.chance:.2g} points"
    ]
    views: dict[str, Callable[[Measured], float]] = {
        _LOW: lambda one: one.energy_low,
        _HIGH: lambda one: one.energy_high,
        **{AXES[axis]: cost for axis, cost in AGAINST.items() if axis != "energy"},
    }
    winners: dict[tuple[str, ...], list[str]] = {}
    same = []
    for view, cost in views.items():
        found = _least(comparison.candidates, cost)
        if len(found) == len(comparison.candidates):
            same.append(view)
        else:
            winners.setdefault(tuple(one.name for one in found), []).append(view)
    accuracy = {one.name: one.accuracy for one in comparison.candidates}
    for names, views_won in winners.items():
        won = (
            views_won
            if not {_LOW, _HIGH} <= set(views_won)
            else ["energy", *(v for v in views_won if v not in (_LOW, _HIGH))]
        )
        reached = "" if len(names) > 1 else f", at {accuracy[names[0]]:.2f} %"
        lines.append(f"least {_names(won)}: {_names(names)}{reached}")
    if same:
        lines.append(f"all alike in {_names(same)}")
    return lines


def _front_lines(comparison: Comparison) -> list[str]:
    axis = comparison.against
    on = comparison.front()
    steps = [f"{one.name} ({one.accuracy:.2f} %, {cost_in_words(one, axis)})" for one in on]
    lines = [f"the front of accuracy against {AXES[axis]}, from cheap to accurate: {', '.join(steps)}"]
    others = {name: {one.name for one in comparison.front(name)} for name in AGAINST if name != axis}
    differing = [name for name, members in others.items() if members != {one.name for one in on}]
    for name in differing:
        members = [one.name for one in comparison.front(name)]
        lines.append(f"against {AXES[name]} the front is {_names(members)}")
    if others and not differing:
        lines.append(f"against {_names([AXES[name] for name in others])} it is the same front")
    return lines


def _beaten_lines(comparison: Comparison) -> list[str]:
    """Who is never worth choosing, and who only under this view."""
    lines = []
    ever = list(zip(comparison.candidates, comparison.never, strict=True))
    never = [f"{one.name} (by {' = '.join(by)})" for one, by in ever if by]
    if never:
        lines.append(
            f"never worth choosing, since another is nowhere worse in accuracy, energy, cycles, operations and memory: {', '.join(never)}"
        )
    else:
        lines.append("none is beaten in everything at once")
    only = [
        f"{one.name} (by {' = '.join(by)})"
        for one, by, worse in zip(comparison.candidates, comparison.beaten(), comparison.never, strict=True)
        if by and not worse
    ]
    if only:
        lines.append(f"beaten in accuracy and {AXES[comparison.against]} only: {', '.join(only)}")
    return lines


def _verdict_line(comparison: Comparison) -> str:
    baselines = {one.baseline for one in comparison.candidates}
    if None in baselines:
        return f"profile {comparison.profile.name} knows no ANN to compare with"
    label = _names(sorted(BASELINES[name] for name in baselines if name))
    chosen = {
        verdict: [one.name for one in comparison.candidates if one.verdict == verdict]
        for verdict in ("SNN", "ANN", "depends")
    }
    if len(chosen["ANN"]) == len(comparison.candidates):
        return f"the ANN ({label}) costs less than any candidate whatever the memory policies"
    said = {
        "SNN": "{} cost less than the ANN whatever the memory policies",
        "depends": "for {} it depends on the memory policies",
        "ANN": "the ANN costs less than {}",
    }
    parts = [text.format(_names(chosen[verdict])) for verdict, text in said.items() if chosen[verdict]]
    return f"against the ANN ({label}): {'; '.join(parts)}"


def conclusion(comparison: Comparison) -> list[str]:
    """Lines without capital and full stop."""
    return [
        *_best_lines(comparison),
        *_front_lines(comparison),
        *_beaten_lines(comparison),
        _verdict_line(comparison),
    ]
