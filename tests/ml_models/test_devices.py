"""Where a run takes place: the fastest that is there, and a clear word about what is not."""

import pytest
import torch

from ml_models.contract import DEVICES
from ml_models.devices import choose_device, half_precision
from ml_models.errors import InvalidRequestError


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"),
    [(False, False, "cpu"), (True, False, "cuda"), (False, True, "mps"), (True, True, "cuda")],
)
def test_auto_is_the_fastest_that_is_there(cuda: bool, mps: bool, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device("auto").type == chosen


def test_a_device_that_is_not_there_is_refused_with_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InvalidRequestError, match="cpu"):
        choose_device("cuda")
    with pytest.raises(InvalidRequestError, match=", ".join(DEVICES)):
        choose_device("abacus")


@pytest.mark.parametrize(("has", "precision"), [(True, torch.bfloat16), (False, torch.float32)])
def test_halves_only_where_the_processor_has_them(
    has: bool, precision: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert half_precision(torch.device("cpu")) is precision
    assert half_precision(torch.device("mps")) is torch.float32
