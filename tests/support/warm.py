"""A Python that starts warm: a server has imported the large libraries, and forks for each command that it is sent.

`start(folder, owner)` starts the server and returns the path of a program to call in place of `python`. Its process is
a client: it hands the command, its environment and its open files to the server, passes signals on, and ends as the
fork does; when it is killed, the server kills the fork. Scripts, modules and processes that multiprocessing spawns are
run so; all else in a new interpreter.

All forks hash strings alike. Where two runs are to agree in whatever order a set has, one of them starts cold, or by a
server of another PYTHONHASHSEED."""

import contextlib
import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

# What takes seconds.
IMPORTS = """
torch torch.distributed.run deepspeed deepspeed.runtime.zero.muon.original_muon peft duckdb datasets faiss mteb polars
scipy.stats sentence_transformers snakemake.cli sklearn.cluster sklearn.linear_model matplotlib.pyplot jinja2 jsonschema
transformers.models.bert.modeling_bert transformers.models.auto.modeling_auto
""".split()
# A fork has none of its parent's threads and may wait for them for ever. The server computes nothing, so that it has
# none but one that polars starts when it is imported, which removes what polars has spilled to a disk.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
ONE_THREAD |= dict.fromkeys(("_RJEM_MALLOC_CONF", "JE_ARROW_MALLOC_CONF"), "background_thread:false")
THREADS = {"polars-ooc-clea"}
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
FLAGS = ("-u", "-B")
SPAWNED = "from multiprocessing.spawn import spawn_main"
START_SECONDS = 300
MOVED = 512  # above the descriptors that a command has


def start(folder: Path, owner: int, **environment: str) -> str:
    """Start a server in a folder, unless one is there; it ends with the process `owner`. Returns the program to
    call."""
    import fcntl

    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "socket").exists():
            _start(folder, owner, environment)
    return str(folder / "python")


def _start(folder: Path, owner: int, environment: dict[str, str]) -> None:
    program = folder / "python"
    program.write_text(f"#!{sys.executable} -IS\n{Path(__file__).read_text()}")
    program.chmod(0o755)
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, __file__, folder, str(owner)],
            env=os.environ | ONE_THREAD | {"HF_HUB_OFFLINE": "1"} | environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    end = time.monotonic() + START_SECONDS
    while not (folder / "socket").exists():
        if server.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"the warm Python has not started: {(folder / 'log').read_text()}")
        time.sleep(0.05)


# ---------------------------------------------------------------- the client


def call(program: Path, arguments: list[str]) -> int:
    """Run a command in a fork of the server; return its status, or end by the signal that ended it."""
    words = list(arguments)
    while words and words[0] in FLAGS:
        words.pop(0)
    spawned = words[:1] == ["-c"] and words[1].startswith(SPAWNED)
    if not words or not (words[0].endswith(".py") or words[0] == "-m" or spawned):
        os.execv(sys.executable, [sys.executable, *arguments])
    files = [number for number in [int(path.name) for path in Path("/dev/fd").iterdir()] if _is_open(number)]
    command = {
        "words": words,
        "folder": str(Path.cwd()),
        "environment": dict(os.environ),
        "umask": os.umask(0),
        "files": files,
    }
    command["ignored"] = [int(number) for number in FORWARDED if signal.getsignal(number) == signal.SIG_IGN]
    server = socket.socket(socket.AF_UNIX)
    server.connect(str(program.with_name("socket")))
    socket.send_fds(server, [b"."], files)
    server.sendall(json.dumps(command).encode() + b"\n")
    for number in FORWARDED:
        signal.signal(number, lambda number, _: server.sendall(b"%d\n" % number))
    parent = os.getppid()
    while spawned and not select.select([server], [], [], 1)[0]:
        if os.getppid() != parent:  # the fork, whose parent is the server, does not see it
            return 1
    answer = server.makefile().readline()
    if not answer:
        raise SystemExit("the warm Python has ended")
    status = int(answer)
    if status < 0:
        signal.signal(-status, signal.SIG_DFL) if -status != signal.SIGKILL else None
        os.kill(os.getpid(), -status)
    return status


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False  # that of the listing itself
    return True


# ---------------------------------------------------------------- the server


def serve(folder: Path, owner: int) -> None:
    sys.path.pop(0)  # this folder
    path = list(sys.path)
    for name in IMPORTS:
        __import__(name)
    if more := _threads() - THREADS:
        raise SystemExit(f"these threads run after the imports: {', '.join(sorted(more))}")
    import gc

    gc.collect()
    gc.freeze()  # else each fork would copy all that its collector looks at
    woken, wake = socket.socketpair()
    for end in (woken, wake):
        end.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(folder / "starting"))
    listening.listen(64)
    (folder / "starting").rename(folder / "socket")
    watched = selectors.DefaultSelector()
    watched.register(listening, selectors.EVENT_READ)
    watched.register(woken, selectors.EVENT_READ)
    forks: dict[int, socket.socket] = {}
    try:
        while _lives(owner):
            for key, _ in watched.select(timeout=2):
                if key.fileobj is listening:
                    client, _ = listening.accept()
                    command, files = _receive(client)
                    pid = os.fork()
                    if pid == 0:
                        signal.set_wakeup_fd(-1)
                        watched.close()
                        for other in (listening, woken, wake, client, *forks.values()):
                            other.close()
                        _run(str(folder / "python"), path, command, files)
                    for number in files:
                        os.close(number)
                    forks[pid] = client
                    watched.register(client, selectors.EVENT_READ, pid)
                elif key.fileobj is woken:
                    woken.recv(4096)
                    _reap(forks, watched)
                elif key.data in forks:
                    numbers = _numbers(key.fileobj)
                    for number in numbers or [signal.SIGKILL]:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(key.data, number)
                    if not numbers:
                        watched.unregister(key.fileobj)
    finally:
        for pid in forks:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _threads() -> set[str]:
    """The names of this process's other threads; none where the system does not tell."""
    tasks = Path("/proc/self/task").glob("*/comm")
    return {name.read_text().strip() for name in tasks if name.parent.name != str(os.getpid())}


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _receive(client: socket.socket) -> tuple[dict, list[int]]:
    _, files, *_ = socket.recv_fds(client, 1, 250)
    with client.makefile() as lines:
        return json.loads(lines.readline()), files


def _numbers(client: socket.socket) -> list[int]:
    """The signals to pass on; none when the client has ended."""
    try:
        return [int(word) for word in client.recv(4096).split()]
    except ConnectionError:
        return []


def _reap(forks: dict[int, socket.socket], watched: selectors.BaseSelector) -> None:
    while forks:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        client = forks.pop(pid)
        with contextlib.suppress(OSError):
            client.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
        with contextlib.suppress(KeyError):
            watched.unregister(client)
        client.close()


# ---------------------------------------------------------------- the fork


def _run(program: str, path: list[str], command: dict, files: list[int]) -> None:
    """Do in a fork what a new interpreter would do, and end."""
    status = 1
    try:
        os.setsid()
        _take(files, command["files"])
        status = _main(program, path, command)
    except BaseException as error:
        status = _status(error)
    finally:
        with contextlib.suppress(BaseException):
            import atexit
            import threading

            threading._shutdown()
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _take(files: list[int], numbers: list[int]) -> None:
    import fcntl

    moved = [fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, MOVED) for file in files]
    for file in files:
        os.close(file)
    for file, number in zip(moved, numbers, strict=True):
        os.dup2(file, number)
        os.close(file)


def _main(program: str, path: list[str], command: dict) -> int:
    import multiprocessing
    import runpy

    import torch

    words = command["words"]
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in command["ignored"]:
        signal.signal(number, signal.SIG_IGN)
    os.environ.clear()
    os.environ.update(command["environment"])
    os.umask(command["umask"])
    os.chdir(command["folder"])
    given = [str(Path(entry).resolve()) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:] = [*given, *path]
    sys.executable, sys.orig_argv = program, [program, *words]
    multiprocessing.set_executable(program)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    for entry in given:
        if Path(entry, "sitecustomize.py").exists():
            runpy.run_path(str(Path(entry, "sitecustomize.py")))
    if words[0] == "-m":
        sys.path.insert(0, command["folder"])
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    elif words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        exec(words[1], {"__name__": "__main__"})
    else:
        sys.path.insert(0, str(Path(words[0]).resolve().parent))
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")
    return 0


def _status(error: BaseException) -> int:
    if not isinstance(error, SystemExit):
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    print(error.code, file=sys.stderr)
    return 1


if __name__ == "__main__":
    if Path(__file__).name == "python":
        raise SystemExit(call(Path(__file__).resolve(), sys.argv[1:]))
    serve(Path(sys.argv[1]), int(sys.argv[2]))
