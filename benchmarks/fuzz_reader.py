"""`python -m benchmarks.fuzz_reader [FOLDER] [-max_total_time=300 ...]`: the reader under a fuzzer guided by coverage.

Atheris (`pip install atheris`) follows which lines of the reader and of Pillow's Python an input reaches, and mutates
those that reach new ones. FOLDER keeps them from run to run; it begins with the sound pictures of the tests. Options
are those of libFuzzer. An input that crashes, hangs or takes more than the memory allowed ends the run and is written
to the current folder.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

LIMITS = ("-timeout=20", "-rss_limit_mb=600", "-max_len=60000")


def main() -> None:
    import atheris

    with atheris.instrument_imports(include=["PIL", "ml_models.images", "pillow_heif"]):
        import tests.fuzzing.target as target
    from tests.fuzzing.pictures import sound_pictures

    options = [argument for argument in sys.argv[1:] if argument.startswith("-")]
    folders = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    folder = Path(folders[0] if folders else tempfile.mkdtemp(prefix="pictures-"))
    folder.mkdir(parents=True, exist_ok=True)
    for index, data in enumerate(sound_pictures()):
        (folder / f"sound-{index:02}").write_bytes(data)

    def one(data: bytes) -> None:
        target.read(data)

    atheris.Setup([sys.argv[0], *LIMITS, *options, str(folder)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
