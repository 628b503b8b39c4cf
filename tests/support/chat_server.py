"""A server on a socket of this machine that speaks OpenAI's protocol, with faults where a test plans them.

It answers from the request alone: an object that fits the schema in `response_format`, each text of which holds a
digest of the messages. So the same request has the same answer, whatever came before."""

import hashlib
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ChatServer:
    """The server, at `address`. `requests` are the bodies that it was sent, `headers` their headers, `times` when.

    fault: called with the number of a request and its body, returns the name of a fault, a status, or None. delay:
    seconds that an answer takes."""

    def __init__(self, fault: Callable[[int, dict], Any] = lambda number, body: None, delay: float = 0.0):
        self.fault, self.delay = fault, delay
        self.requests: list[dict] = []
        self.headers: list[dict] = []
        self.times: list[float] = []
        self.answered = self.most_at_once = self._at_once = 0
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"chat": self}))
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> "ChatServer":
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    chat: ChatServer

    def log_message(self, *_) -> None:
        pass

    def do_POST(self) -> None:
        chat = self.chat
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with chat.lock:
            number = len(chat.requests)
            chat.requests.append(body)
            chat.headers.append(dict(self.headers))
            chat.times.append(time.monotonic())
            chat._at_once += 1
            chat.most_at_once = max(chat.most_at_once, chat._at_once)
        try:
            if self.path != "/v1/chat/completions":
                self.send(404, {"error": {"message": f"no route {self.path}"}})
            else:
                time.sleep(chat.delay)
                self.answer(chat.fault(number, body), body)
        except (BrokenPipeError, ConnectionResetError):  # the client has gone
            pass
        finally:
            with chat.lock:
                chat._at_once -= 1

    def answer(self, fault: Any, body: dict) -> None:
        text, finish = json.dumps(made(body)), "stop"
        if fault == "time-out":
            time.sleep(3)
        elif fault == "busy":
            return self.send(
                429, {"error": {"message": "slow down", "echo": dict(self.headers)}}, {"Retry-After": "0.3"}
            )
        elif isinstance(fault, int):
            return self.send(fault, {"error": {"message": f"planned {fault}", "echo": dict(self.headers)}})
        elif fault == "half":
            return self.send(200, self.completion(body, text, finish), half=True)
        elif fault == "broken response":
            return self.send(200, {"object": "chat.completion", "choices": []})
        elif fault == "broken JSON":
            text = text[:-5]
        elif fault == "wrong schema":
            text = json.dumps({"question": "one field only, of another name"})
        elif fault == "empty":
            text = None
        elif fault == "cut off":
            text, finish = text[:10], "length"
        elif fault == "fenced":
            text = f"<think>{{ hm }}</think>\n```json\n{text}\n```"
        elif fault == "key":
            text = text.replace("text ", f"{self.headers['Authorization']} ")
        elif callable(fault):
            text = json.dumps(fault(body))
        elif fault is not None:
            raise ValueError(fault)
        with self.chat.lock:
            self.chat.answered += 1
        return self.send(200, self.completion(body, text, finish))

    def completion(self, body: dict, text: str | None, finish: str) -> dict:
        tokens = sum(len(message["content"]) for message in body["messages"]) // 4, len(text or "") // 4
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text},
                    "finish_reason": finish,
                    "logprobs": None,
                }
            ],
            "usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)},
        }

    def send(self, status: int, body: dict, headers: dict[str, str] | None = None, half: bool = False) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if half else content)
        if half:
            self.close_connection = True


def made(body: dict) -> dict:
    """Return an object of the request's schema."""
    digest = hashlib.sha256(json.dumps(body["messages"]).encode()).hexdigest()[:12]
    schema = body.get("response_format", {}).get("json_schema", {}).get("schema", {"properties": {}})
    return {name: _value(part, f"{digest} {name}") for name, part in schema["properties"].items()}


def _value(schema: dict, name: str) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    if schema["type"] == "integer":
        return schema.get("minimum", 0)
    if schema["type"] == "array":
        return [_value(schema["items"], f"{name} {place}") for place in range(schema.get("minItems", 0))]
    return f"text {name} of twenty characters"[: schema.get("maxLength")]
