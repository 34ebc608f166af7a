"""Installing VGG19 from every kind of source, over a real server on loopback, and refusing what is not it."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import struct
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ml_models.encoders import choose_encoder, load_vgg19
from ml_models.errors import WeightsError
from ml_models.weights import VGG19_SHA256, VGG19_SHAPES, install_vgg19, load_verified

LAYERS_BYTES = sum(4 * torch.Size(shape).numel() for shape in VGG19_SHAPES.values())
TAIL_VALUES = 2_000_000
ASSETS = Path(os.environ.get("STYLE_ASSETS") or Path(__file__).parents[2] / "../shared/assets")
REAL_LAYERS = ASSETS / "weights/vgg19_first_11_layers.safetensors"


class Server(ThreadingHTTPServer):
    """Serves one body; counts its bytes; may ignore ranges or break off."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = b""
        self.ranges = True
        self.break_after: int | None = None
        self.served = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/vgg19.pth"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        body = self.server.body
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if self.server.ranges and asked:
            first, last = int(asked[1]), min(int(asked[2]), len(body) - 1)
            part = body[first : last + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
        else:
            part = body
            self.send_response(200)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        limit = self.server.break_after
        if limit is not None:
            part = part[: max(0, limit - self.server.served)]
        self.server.served += len(part)
        self.wfile.write(part)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def layers() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name, shape in VGG19_SHAPES.items()}


@pytest.fixture(scope="module")
def sha256(layers: dict[str, torch.Tensor]) -> str:
    return hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in layers.values())).hexdigest()


@pytest.fixture(scope="module")
def files(layers: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The network with a larger tail in each format; half of it before, half after the layers."""
    folder = tmp_path_factory.mktemp("vgg19")
    state: OrderedDict[str, torch.Tensor] = OrderedDict()
    state["classifier.6.weight"] = torch.zeros(TAIL_VALUES // 2)
    for name, tensor in layers.items():
        state[f"features.{name}"] = torch.nn.Parameter(tensor, requires_grad=False)
    state["classifier.6.bias"] = torch.zeros(TAIL_VALUES // 2)
    state["classifier.counter"] = torch.zeros(7, dtype=torch.int64)
    paths = {kind: folder / f"{kind}.pth" for kind in ("zip", "legacy")}
    torch.save(state, paths["zip"])
    torch.save(state, paths["legacy"], _use_new_zipfile_serialization=False)
    paths["2017"] = folder / "2017.pth"
    save_as_in_2017(state, paths["2017"])
    paths["safetensors"] = folder / "short.safetensors"
    save_file(layers, paths["safetensors"])
    return paths


def save_as_in_2017(state: OrderedDict[str, torch.Tensor], path: Path) -> None:
    """What torch 0.1 wrote, which torchvision's file is: _rebuild_tensor, storages of a GPU, old parameters."""
    floats = {name: tensor.data for name, tensor in state.items() if tensor.dtype == torch.float32}
    keys = {str(9_000 - index): tensor.flatten() for index, tensor in enumerate(floats.values())}
    key_of = {tensor.data_ptr(): key for key, tensor in keys.items()}

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: object) -> object:
            if not isinstance(value, torch.UntypedStorage):
                return None
            kind = torch.cuda.FloatStorage if len(key_of) % 2 else torch.FloatStorage
            return "storage", kind, key_of[value.data_ptr()], "cuda:0", value.nbytes() // 4, None

        def reducer_override(self, value: object) -> object:
            if isinstance(value, torch.nn.Parameter):
                return torch.nn.Parameter, (value.data, False), (False, False, OrderedDict())
            if isinstance(value, torch.Tensor):
                place = value.untyped_storage(), value.storage_offset(), tuple(value.shape), value.stride()
                return torch._utils._rebuild_tensor, place
            return NotImplemented

    with path.open("wb") as file:
        for head in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}):
            pickle.dump(head, file, 2)
        mixed = {
            name: torch.nn.Parameter(tensor, requires_grad=False) if name.endswith("bias") else tensor
            for name, tensor in floats.items()
        }
        Pickler(file, 2).dump(OrderedDict(mixed))
        pickle.dump(sorted(keys), file, 2)
        for key in sorted(keys):
            file.write(struct.pack("<q", keys[key].numel()) + keys[key].numpy().tobytes())


def test_torch_itself_reads_what_the_test_calls_2017(files: dict[str, Path], layers: dict[str, torch.Tensor]) -> None:
    state = torch.load(files["2017"], map_location="cpu", weights_only=True)
    assert all(torch.equal(state[f"features.{name}"], tensor) for name, tensor in layers.items())


def assert_installed(path: Path, layers: dict[str, torch.Tensor], sha256: str) -> None:
    loaded = load_verified(path, VGG19_SHAPES, sha256)
    assert list(loaded) == list(VGG19_SHAPES)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in layers.items())
    assert os.listdir(path.parent) == [path.name]
    assert set(load_file(path)) == set(VGG19_SHAPES)


@pytest.mark.parametrize("kind", ["legacy", "2017", "zip", "safetensors"])
def test_ranges_fetch_little_more_than_the_layers(kind, files, server, layers, sha256, tmp_path) -> None:  # type: ignore[no-untyped-def]
    server.body = files[kind].read_bytes()
    seen: list[tuple[int, int]] = []
    path = install_vgg19(server.url, lambda *done: seen.append(done), path=tmp_path / "a" / "v", sha256=sha256)
    assert_installed(path, layers, sha256)
    assert LAYERS_BYTES <= server.served < LAYERS_BYTES + 500_000
    assert seen == sorted(seen)
    assert seen[-1] == (LAYERS_BYTES, LAYERS_BYTES)


@pytest.mark.parametrize("kind", ["legacy", "2017", "zip", "safetensors"])
def test_without_ranges_the_whole_file_is_fetched(kind, files, server, layers, sha256, tmp_path) -> None:  # type: ignore[no-untyped-def]
    server.body, server.ranges = files[kind].read_bytes(), False
    seen: list[tuple[int, int]] = []
    path = install_vgg19(server.url, lambda *done: seen.append(done), path=tmp_path / "v", sha256=sha256)
    assert_installed(path, layers, sha256)
    assert server.served == len(server.body)
    assert (len(server.body), len(server.body)) in seen


@pytest.mark.parametrize("kind", ["legacy", "2017", "zip", "safetensors"])
def test_a_path_works_too(kind, files, layers, sha256, tmp_path) -> None:  # type: ignore[no-untyped-def]
    assert_installed(install_vgg19(str(files[kind]), path=tmp_path / "v", sha256=sha256), layers, sha256)


def assert_refused(match: str, folder: Path, source: str, sha256: str) -> None:
    """It is refused in words, what was there stays, and nothing else is left."""
    for earlier in (b"earlier", None):
        path = folder / "pretrained" / "v"
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        if earlier:
            path.write_bytes(earlier)
        with pytest.raises(WeightsError, match=match):
            install_vgg19(source, path=path, sha256=sha256)
        assert (path.read_bytes() if path.exists() else None) == earlier
        assert os.listdir(path.parent) == (["v"] if earlier else [])


@pytest.mark.parametrize("ranges", [True, False])
def test_one_other_byte_is_refused(ranges, files, server, layers, sha256, tmp_path) -> None:  # type: ignore[no-untyped-def]
    body = files["legacy"].read_bytes()
    place = body.index(layers["5.weight"].numpy().tobytes()) + 1000
    server.body, server.ranges = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :], ranges
    assert_refused("SHA-256", tmp_path, server.url, sha256)


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("broken_after", [0, 5_000, 1_000_000])
def test_a_broken_connection_leaves_nothing(broken_after, ranges, files, server, sha256, tmp_path) -> None:  # type: ignore[no-untyped-def]
    server.body, server.ranges, server.break_after = files["zip"].read_bytes(), ranges, broken_after
    assert_refused("broke off", tmp_path, server.url, sha256)


def test_an_address_that_does_not_answer(tmp_path: Path, sha256: str) -> None:
    with Server() as closed:
        url = closed.url
    assert_refused("cannot be reached", tmp_path, url, sha256)
    assert_refused("cannot be read", tmp_path, str(tmp_path / "missing.pth"), sha256)


def test_a_pickle_that_asks_for_code_is_refused_and_not_run(tmp_path: Path, sha256: str) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "trapped"),)

    trap = tmp_path / "trap.pth"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save({"features.0.weight": Trap()}, trap, _use_new_zipfile_serialization=False)
    assert_refused(r"mkdir, which no weights need", tmp_path, str(trap), sha256)
    torch.save({"features.0.weight": Trap()}, trap)
    assert_refused(r"mkdir, which no weights need", tmp_path, str(trap), sha256)
    trap.write_bytes(pickle.dumps(Trap()))
    assert_refused(r"mkdir, which no weights need", tmp_path, str(trap), sha256)
    assert not (tmp_path / "trapped").exists()


def test_files_that_are_no_vgg19_are_refused(layers: dict[str, torch.Tensor], tmp_path: Path, sha256: str) -> None:
    file = tmp_path / "file"
    for body in (b"", b"<html>", b"PK\x03\x04 no zip", b"\x80\x02 no pickle", bytes(100)):
        file.write_bytes(body)
        assert_refused("give", tmp_path, str(file), sha256)
    torch.save({**layers, "5.weight": layers["5.weight"].half()}, file)
    assert_refused("5.weight is missing", tmp_path, str(file), sha256)
    torch.save({**layers, "7.bias": torch.zeros(64)}, file)
    assert_refused("7.bias has the shape", tmp_path, str(file), sha256)


def test_load_verified_refuses_other_digests_names_and_shapes(
    files: dict[str, Path], layers: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match=r"short.safetensors has the SHA-256"):
        load_verified(files["safetensors"], VGG19_SHAPES, VGG19_SHA256)
    with pytest.raises(WeightsError, match=r"other tensors than expected \(10.bias\)"):
        load_verified(files["safetensors"], {**VGG19_SHAPES, "10.bias": (255,)}, None)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(files["safetensors"].read_bytes()[:-4])
    for path in (broken, tmp_path / "missing.safetensors"):
        with pytest.raises(WeightsError, match=path.name):
            load_verified(path, VGG19_SHAPES, None)
    save_file({**layers, "0.bias": layers["0.bias"].to(torch.int32)}, broken)
    with pytest.raises(WeightsError, match=r"0\.bias"):
        load_verified(broken, VGG19_SHAPES, None)


def test_vgg19_that_is_not_installed_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("ml_models.weights.VGG19_PATH", tmp_path / "missing")
    load_vgg19.cache_clear()
    with pytest.raises(WeightsError, match=r"python main.py weights vgg19"):
        load_vgg19()
    assert choose_encoder(None) == "slim"


@pytest.mark.skipif(not REAL_LAYERS.exists(), reason="the assets are not here")
def test_the_real_layers_have_the_real_digest(tmp_path: Path) -> None:
    path = install_vgg19(str(REAL_LAYERS), path=tmp_path / "v")
    assert sum(tensor.numel() for tensor in load_verified(path, VGG19_SHAPES, VGG19_SHA256).values()) == 555_328
