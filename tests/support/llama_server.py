"""llama.cpp's own server, out of the package xllamacpp, in a process of its own: `python llama_server.py MODEL PORT
[KEY]`."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def llama_server(model: Path, log: Path, key: str = "") -> Iterator[str]:
    """Start a server of a GGUF file; yield its address. It answers 503 while it loads the model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("w") as said:
        command = [sys.executable, __file__, str(model), str(port), key]
        process = subprocess.Popen(command, stdout=said, stderr=said)
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def serve(model: str, port: str, key: str = "") -> None:
    """Serve for as long as the process lives."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path, parameters.port, parameters.api_keys = model, int(port), [key] * bool(key)
    # Of four requests at a time, each sees a quarter of the context.
    parameters.n_ctx, parameters.n_parallel, parameters.cpuparams.n_threads = 4096, 4, 2
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    while True:
        time.sleep(60)


if __name__ == "__main__":
    serve(*sys.argv[1:])
