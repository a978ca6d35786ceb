"""Entry of the console script: make sure that the packages beside this one are ours, then hand over."""

import importlib.util
import signal
import sys
from pathlib import Path

__all__ = ["main", "shadowed", "stop_alike"]


def shadowed() -> str | None:
    """The first of ``hdl`` and ``sim`` that is not imported from beside ``toolchain``, as a message."""
    ours = Path(__file__).resolve().parent.parent
    for name in ("hdl", "sim"):
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).resolve().parent if spec is not None and spec.origin else None
        if found is None and spec is not None and spec.submodule_search_locations:
            found = Path(next(iter(spec.submodule_search_locations))).resolve()
        if found != ours / name:
            return (
                f"the package {name} is {'missing' if found is None else f'shadowed by {found}'}, must be {ours / name}; "
                "take that folder's parent off PYTHONPATH, or install Spikeloom again"
            )
    return None


def stop_alike() -> None:
    """Have a plain kill and a closed terminal end a run as Ctrl-C does, so that temporary files and child tools go with it.

    What the caller has ignored, as nohup does, stays ignored.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def main() -> None:
    """Run the command line."""
    stop_alike()
    problem = shadowed()
    if problem:
        print(f"error: {problem}", file=sys.stderr)
        raise SystemExit(2)
    try:
        from toolchain.cli import run
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        raise SystemExit(130) from None
    code = run()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said; the interpreter only tidies up
    raise SystemExit(code)
