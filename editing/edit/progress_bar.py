"""How far an edit is, on a terminal."""

from __future__ import annotations

import math
import sys
from typing import Any


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
        self._bar.update(state["step"] - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
