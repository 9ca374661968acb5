"""Processes of pytest that run side by side divide the machine's cores among the simulators they build."""

import os


def pytest_configure() -> None:
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        os.environ.setdefault("BUILD_JOBS", str(max(1, (os.cpu_count() or 1) // workers)))
