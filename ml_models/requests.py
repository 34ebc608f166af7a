"""What every algorithm asks of a request before it reads a picture."""

from __future__ import annotations

import math
from collections.abc import Collection

from ml_models.contract import MAX_STROKE_SCALE, MIN_SIZE_PX, MIN_STROKE_SCALE, StyleTransferRequest
from ml_models.errors import InvalidRequestError
from ml_models.registry import Algorithm


def check_request(request: StyleTransferRequest, algorithm: Algorithm) -> None:
    """Raise InvalidRequestError for the first field that is out of its range; encoder and device are not looked at."""

    def within(field: str, value: float, low: float, high: float) -> None:
        if not low <= value <= high:
            raise InvalidRequestError(f"{field}={value} is not allowed: give {low} to {high}", field=field)

    within("size_px", request.size_px, MIN_SIZE_PX, algorithm.max_size_px)
    within("strength", request.strength, 0.0, 1.0)
    within("stroke_scale", request.stroke_scale, MIN_STROKE_SCALE, MAX_STROKE_SCALE)
    within("styles", len(request.styles), algorithm.min_styles, algorithm.max_styles)
    for style in request.styles:
        if not 0 < style.weight < math.inf:
            raise InvalidRequestError(
                f"a style's weight of {style.weight} is not allowed: give more than 0", field="styles"
            )


def check_encoder(name: str, known: Collection[str]) -> str:
    """Return the name of an encoder; raise InvalidRequestError where it is none of the known ones."""
    if name not in known:
        raise InvalidRequestError(f"encoder={name!r} is not known: give one of {', '.join(known)}", field="encoder")
    return name
