"""How far long work is, on a terminal."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class ProgressBar:
    """A bar for each stage of each round."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._stage = ""

    def __call__(self, state: dict[str, Any]) -> None:
        from tqdm import tqdm

        stage = f"round {state['round']}/{state['rounds']}, {state['stage']}" if state["rounds"] > 1 else str(state["stage"])
        if stage != self._stage:
            self.close()
            self._stage = stage
            self._bar = tqdm(total=state["steps"], desc=stage, file=sys.stderr, disable=not sys.stderr.isatty())
        if not math.isnan(state.get("psnr_db", math.nan)):
            self._bar.set_postfix_str(f"PSNR {state['psnr_db']:.1f} dB", refresh=False)
        elif state.get("loss") is not None:
            self._bar.set_postfix_str(f"loss {state['loss']:.4f}", refresh=False)
        self._bar.update(state["step"] - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def until_interrupted(work: Callable[[ProgressBar], T]) -> T | None:
    """What `work` returns, a bar shown meanwhile; None, after a line that says how to go on, where it was interrupted."""
    bar = ProgressBar()
    try:
        return work(bar)
    except KeyboardInterrupt:
        print("\ninterrupted; run the same command again to go on", flush=True)
        return None
    finally:
        bar.close()
