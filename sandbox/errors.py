"""What the sandbox refuses, and with which words."""

from __future__ import annotations


class ApiError(Exception):
    """A call of the Bot API that fails: its code, its description and, for 429, `retry_after`."""

    def __init__(self, code: int, description: str, *, retry_after: int | None = None) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.retry_after = retry_after

    def payload(self) -> dict[str, object]:
        answer: dict[str, object] = {"ok": False, "error_code": self.code, "description": self.description}
        if self.retry_after is not None:
            answer["parameters"] = {"retry_after": self.retry_after}
        return answer


class ChatError(Exception):
    """Something a user tried that a Telegram client would not do; the text is a sentence for that user."""


def bad_request(text: str) -> ApiError:
    return ApiError(400, f"Bad Request: {text}")
