"""`python -m ml_models.inspection MEGAPIXELS`: look at the picture on standard input, in a process of its own.

Whatever a hostile file does, to memory, to time or to a decoder's own memory safety, it does to this process alone. It
answers with JSON: an object without an error where the picture can be read, else its code, message and details.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from contextlib import suppress
from pathlib import Path

from ml_models.errors import StyleTransferError, UnreadablePictureError
from ml_models.images import inspect_picture

#: The interpreter and its libraries take 60; decoders with a thread a core want stacks for them.
BASE_MB = 500
#: The costliest of the formats, a WebP with transparency, takes 15.3.
BYTES_A_PIXEL = 16
#: The file, the copy that Pillow reads and the one that some decoders make.
COPIES = 4
CPU_LIMIT_S = 30
NICENESS = 10
OOM_SCORE = 500


def memory_limit_mb(file_bytes: int, max_megapixels: float) -> int:
    """Return the address space that looking at such a file may take, in megabytes."""
    return round(BASE_MB + BYTES_A_PIXEL * max_megapixels + COPIES * file_bytes / 1e6)


def main(max_megapixels: float) -> None:
    os.nice(NICENESS)
    with suppress(OSError):
        # The kernel takes this one first where memory ends.
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    data = sys.stdin.buffer.read()
    limit = memory_limit_mb(len(data), max_megapixels) * 1_000_000
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    # Past the first the process ends by SIGXCPU: SIGKILL is left to mean that somebody else ended it.
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer: dict[str, object] = {}
    try:
        inspect_picture(data, max_megapixels)
    except MemoryError:
        error: StyleTransferError = UnreadablePictureError("the file wants more memory than such a picture needs")
        answer = {"code": error.code, "message": str(error), "details": {}}
    except StyleTransferError as found:
        answer = {"code": found.code, "message": str(found), "details": found.details}
    print(json.dumps(answer))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
