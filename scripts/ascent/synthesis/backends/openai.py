"""Answers from a server that speaks OpenAI's protocol: POST <address>/chat/completions."""

import os
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from ...errors import AscentError
from ...settings.synthesis import Openai as Settings
from ..answers import Answer, Failure, Request

# What may be otherwise in a moment, besides every 5xx: a time-out of the server, a conflict, too early, too many
# requests.
PASSING = {408, 409, 425, 429}
# Seconds: to connect, and the longest that a back-off grows to.
CONNECT_S, LONGEST_S = 30.0, 60.0
# Characters of what a server says that are kept.
_SAID = 300


class Openai:
    """The requests in flight to one server."""

    def __init__(self, settings: Settings, folder: None = None):
        self.settings, self.identity, self.window = settings, None, 2 * settings.concurrency
        self._url = f"{settings.address.rstrip('/')}/chat/completions"
        self._key = _key(settings)
        self._pace = Pace(60 / settings.requests_per_minute if settings.requests_per_minute else 0.0)
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=settings.concurrency))
        self._session.auth = _Bearer(self._key)
        self._pool = ThreadPoolExecutor(settings.concurrency)
        self._running: dict[Future, str] = {}

    def __enter__(self) -> "Openai":
        return self

    def __exit__(self, *_) -> None:
        self._pace.stop()
        self._pool.shutdown(cancel_futures=True)
        self._session.close()

    def submit(self, key: str, request: Request) -> None:
        """Take a request."""
        self._running[self._pool.submit(self._ask, request)] = key

    def finished(self) -> list[tuple[str, Answer | Failure]]:
        """Wait for answers. Raises AscentError for what no other request would change: a wrong key, address or
        model."""
        done, _ = wait(self._running, return_when=FIRST_COMPLETED)
        return [(self._running.pop(future), future.result()) for future in done]

    def _ask(self, request: Request) -> Answer | Failure:
        """Send a request until it is answered, refused, or has failed too often."""
        body, failure = self._body(request), Failure("never asked")
        for attempt in range(self.settings.retries + 1):
            if not self._pace.wait():
                break
            answer, told = self._send(body)
            if isinstance(answer, Answer) or told is None:
                return answer
            failure = answer
            delay = min(self.settings.backoff_s * 2**attempt, LONGEST_S)
            if attempt < self.settings.retries and not self._pace.sleep(max(delay, told)):
                break
        return failure

    def _body(self, request: Request) -> dict[str, Any]:
        settings = self.settings
        body = {
            "model": settings.model,
            "messages": [{"role": role, "content": text} for role, text in request.messages],
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_tokens": settings.max_tokens,
            "seed": request.seed,
        }
        if settings.answer_format == "json_schema":
            schema = {"name": "answer", "strict": True, "schema": request.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif settings.answer_format == "json_object":
            body["response_format"] = {"type": "json_object"}
        return body | settings.extra

    def _send(self, body: dict[str, Any]) -> tuple[Answer | Failure, float | None]:
        """Send a request once. Return the answer; or why there is none, with the seconds that the server says to wait,
        or None if sending it again would change nothing."""
        timeouts = (min(CONNECT_S, self.settings.timeout_s), self.settings.timeout_s)
        try:
            response = self._session.post(self._url, json=body, timeout=timeouts, allow_redirects=False)
        except requests.Timeout:
            return Failure("time-out"), 0.0
        except requests.RequestException as error:
            return Failure("connection lost", self._shown(type(error).__name__)), 0.0
        status = response.status_code
        if status == 200:
            try:
                return self._answer(response.json()), None
            except (ValueError, LookupError, TypeError, AttributeError):
                return Failure("broken response", self._shown(response.text)), 0.0
        failure = Failure(f"HTTP {status}", self._shown(response.text))
        if status in PASSING or status >= 500:
            seconds = retry_after(response.headers.get("Retry-After"))
            if seconds and status in (429, 503):  # it is about all requests
                self._pace.pause(seconds)
            return failure, seconds
        if status in (401, 402, 403):
            cause = f"the key in {self.settings.key}" if self.settings.key else "`key`, since none was sent"
            raise AscentError(
                f"{self._url}: the server refuses access ({failure.reason}: {failure.said}); check {cause}."
            )
        if status == 404 or status < 400:
            raise AscentError(
                f"{self._url}: nothing answers there as '{self.settings.model}' ({failure.reason}: {failure.said});"
                " check the generator's `address`, which ends in the version (/v1), and `model`."
            )
        return failure, None

    def _answer(self, body: dict[str, Any]) -> Answer:
        choice, usage = body["choices"][0], body.get("usage") or {}
        text = choice["message"].get("content") or ""
        if not isinstance(text, str):
            raise TypeError
        counts = [usage.get(name) or 0 for name in ("prompt_tokens", "completion_tokens")]
        # A server that repeats the key in an answer must not bring it into a file.
        return Answer(self._without_key(text), choice.get("finish_reason") != "length", *counts)

    def _shown(self, text: str) -> str:
        return self._without_key(" ".join(text.split()))[:_SAID]

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "[key]") if self._key else text


class Pace:
    """When the next request may be sent: `interval` seconds after the last one, and not before a pause is over."""

    def __init__(self, interval: float):
        self._interval, self._next = interval, 0.0
        self._lock, self._stopped = threading.Lock(), threading.Event()

    def wait(self) -> bool:
        """Wait for one's turn; return whether it came before the end."""
        while True:
            with self._lock:
                now = time.monotonic()
                if now >= self._next:
                    self._next = now + self._interval
                    return not self._stopped.is_set()
                left = self._next - now
            if not self.sleep(left):
                return False

    def pause(self, seconds: float) -> None:
        """Let nobody send for this many seconds."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)

    def sleep(self, seconds: float) -> bool:
        """Sleep; return False as soon as the end has come."""
        return not self._stopped.wait(seconds)

    def stop(self) -> None:
        """End all waiting."""
        self._stopped.set()


class _Bearer(AuthBase):
    """The key in a header; without one, none, so that nothing is taken from a .netrc file."""

    def __init__(self, key: str | None):
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request


def _key(settings: Settings) -> str | None:
    if settings.key is None:
        return None
    key = os.environ.get(settings.key, "").strip()
    if not key:
        raise AscentError(
            f"{settings.key}: the generator's `key` names this environment variable, which is not set; export it before"
            " the run."
        )
    return key


def retry_after(header: str | None) -> float:
    """Return the seconds that a Retry-After header says, as a number or a date (RFC 9110, 10.2.3); 0 without one."""
    if not header:
        return 0.0
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(header)
    except ValueError:
        return 0.0
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
