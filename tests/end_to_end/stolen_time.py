"""How much of a virtual machine's processor its host gave to others meanwhile: what such a machine does late may be no fault of the
program's."""

from __future__ import annotations

import psutil


class StolenTime:
    """Counts from its making on."""

    def __init__(self) -> None:
        self._before = psutil.cpu_times()

    @property
    def percent(self) -> float:
        """Of the time in which a processor was wanted; 0 where the system does not tell."""
        now = psutil.cpu_times()
        spent = {name: after - before for name, before, after in zip(now._fields, self._before, now, strict=True)}
        stolen = spent.get("steal", 0.0)
        # Guests' time is counted among the user's already.
        wanted = sum(value for name, value in spent.items() if name not in ("idle", "iowait", "guest", "guest_nice"))
        return 100 * stolen / wanted if wanted > 0 else 0.0
