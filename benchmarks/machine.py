"""What a measurement was made on."""

from __future__ import annotations

import os
import platform
import resource
from importlib.metadata import version
from pathlib import Path

import psutil


def describe() -> str:
    """Return the processor, the cores that this process may use, its threads, memory and versions, in one line."""
    import torch

    memory_gb = psutil.virtual_memory().total / 1e9
    return (
        f"{processor()}, {len(os.sched_getaffinity(0))} cores, {torch.get_num_threads()} threads, {memory_gb:.0f} GB, "
        f"Python {platform.python_version()}, torch {version('torch')}, load {os.getloadavg()[0]:.1f}"
    )


def processor() -> str:
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def peak_mb() -> float:
    """Return the most memory that was resident in this process so far, in megabytes (2**20 bytes).

    Linux hands ru_maxrss down from the parent through exec, so the process's own mark is read where there is one.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    marks = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return (marks[0] if marks else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024
