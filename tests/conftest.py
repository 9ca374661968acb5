"""What processes of pytest, side by side or in the background, need from the system."""

import os
import signal


def pytest_configure() -> None:
    # A shell starts a background job with interrupts ignored, and what tests start and interrupt would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # They divide the machine's cores among the simulators they build.
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        os.environ.setdefault("BUILD_JOBS", str(max(1, (os.cpu_count() or 1) // workers)))
