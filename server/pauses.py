"""What would stop a live process for a tenth of a second, done before anybody speaks.

A full collection of Python's garbage looks at every object there is, with the interpreter held: 80 to 110 ms in the media process, once or
twice in a session's first seconds. No packet leaves meanwhile, and a browser makes its sound buffer longer for a quarter of a minute. What
is loaded once and for all is therefore taken out of the collector's sight; what a session makes and drops is little. The same goes for
modules that are loaded at their first use.
"""

from __future__ import annotations

import gc


def leave_out_of_collections() -> None:
    """What lives now stays to the end: no collection looks at it again."""
    gc.collect()
    gc.freeze()


def prepare_for_sessions() -> None:
    """In the media process, before the first session: load all that one needs. Takes half a second."""
    import server.performance
    import server.session  # noqa: F401
    from server.dtls import TolerantCertificate

    # The first certificate loads the backends of `cryptography`.
    TolerantCertificate.generateCertificate()
    leave_out_of_collections()
