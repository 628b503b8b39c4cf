"""A real SLURM on this machine: a controller with its accounting, one CPU node, eight nodes of eight virtual H100s, and
on demand a node that binds tasks to this machine's processors.

`python tests/slurm/cluster.py start FOLDER` starts one, `stop FOLDER` ends it; tests use `with Cluster(folder):`.
Everything lies in the folder, except links in /etc/slurm and the nodes' names in /etc/hosts, which go when the cluster
does."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

# The daemons, and what apt-get calls, lie in folders that a root's PATH may lack.
os.environ["PATH"] += f"{os.pathsep}/usr/sbin{os.pathsep}/sbin"
PACKAGES = ("slurm-wlm", "slurmdbd", "munge", "mariadb-server")
# As many GPU nodes as trainings are there at a time, so that none waits for another's node or takes it.
NODES = ("cpu01", *(f"gpu{number:02d}" for number in range(1, 9)))
# Started on demand, as large as this machine: tasks can be bound to processors that exist only.
BOUND = "bound01"
PORTS = {"slurmctld": 16817, "slurmdbd": 16819, "mariadbd": 13306} | {
    node: 17001 + i for i, node in enumerate((*NODES, BOUND))
}
JOB_FIELDS = (
    "JobID",
    "State",
    "Partition",
    "NodeList",
    "AllocTRES",
    "ReqMem",
    "Timelimit",
    "Start",
    "Comment",
    "WorkDir",
)
ETC = Path("/etc/slurm")
LINKS = ("slurm.conf", "gres.conf")
MARK = "TEST_CLUSTER_DAEMON"  # in the environment of each daemon and its slurmstepds, not of jobs
HOSTS = Path("/etc/hosts")
HOSTS_LINE = f"\n127.0.0.1 {' '.join((*NODES, BOUND))} # a cluster of tests\n"

# CPUs and memory are declared larger than the machine has (config_overrides). A node that is silent for 10 s is lost, a
# job past its limit has 10 s to end, a requeued one waits 15 s (cred_expire), and `squeue` shows ended jobs for five
# minutes, which Snakemake's executor needs.
SLURM_CONF = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=15
CryptoType=crypto/munge
MpiDefault=none
ReturnToService=2
SlurmctldPort={slurmctld}
SlurmctldPidFile={folder}/run/slurmctld.slurm
SlurmdPidFile={folder}/run/%n.slurm
SlurmdSpoolDir={folder}/spool/%n
StateSaveLocation={folder}/state
SlurmdTimeout=10
KillWait=10
MinJobAge=300
TaskPlugin=task/{plugin}
ProctrackType=proctrack/linuxproc
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={slurmdbd}
AccountingStoragePass={folder}/munge.socket
AccountingStorageEnforce=associations
AccountingStorageTRES=gres/gpu,gres/gpu:h100
AccountingStoreFlags=job_comment
NodeName=cpu01 NodeHostname={host} NodeAddr=127.0.0.1 Port={cpu01} CPUs=64 RealMemory=256000
NodeName=gpu[01-08] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{gpu01}-{gpu08}] \\
  CPUs=128 RealMemory=1024000 Gres=gpu:h100:8
NodeName=bound01 NodeHostname={host} NodeAddr=127.0.0.1 Port={bound01} CPUs={processors} RealMemory=4000
PartitionName=cpu Nodes=cpu01 Default=YES MaxTime=1-00:00:00
PartitionName=gpu Nodes=gpu[01-08] MaxTime=2-00:00:00 PriorityTier=10 PreemptMode=OFF
PartitionName=bound Nodes=bound01 MaxTime=60
PartitionName=preemptible Nodes=gpu[01-08] MaxTime=2-00:00:00 PriorityTier=1 PreemptMode=REQUEUE
"""
# Plain files in place of devices: slurmd writes to its log that it cannot guard them, and goes on.
GRES_CONF = """
AutoDetect=off
NodeName=gpu[01-08] Name=gpu Type=h100 File={folder}/dev/nvidia[0-7]
"""
SLURMDBD_CONF = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={slurmdbd}
SlurmUser=root
PidFile={folder}/run/slurmdbd.slurm
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={mariadbd}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
"""


class ClusterError(Exception):
    """One sentence on what is in the way."""


def missing() -> str | None:
    """Return why no cluster can run here, in one sentence, or None. Installs the packages where that is possible."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a test cluster needs Linux and root"
    programs = ("slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd", "sacct")
    if all(map(shutil.which, programs)):
        return None
    if not shutil.which("apt-get"):
        return "a test cluster needs SLURM, munge and MariaDB, and installs them on Debian only"
    install = ("apt-get", "install", "--yes", "--no-install-recommends", *PACKAGES)
    for command in (install, ("apt-get", "update"), install):
        subprocess.run(command, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, capture_output=True)
        if all(map(shutil.which, programs)):
            return None
    return f"a test cluster needs {', '.join(PACKAGES)}, which apt-get cannot install here"


def wait_for(condition: Callable, seconds: float, what: str):
    """Return the condition's first true value; raise ClusterError when it has none in time."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise ClusterError(f"{what}: not within {seconds:g} s")
        time.sleep(0.2)
    return value


class Cluster:
    """A cluster in a folder. Any process can end it: the folder holds the process id of each daemon."""

    def __init__(self, folder: Path):
        self.folder = folder.resolve()
        self.environment = os.environ | {"SLURM_CONF": str(self.folder / "etc/slurm.conf")}

    def __enter__(self) -> "Cluster":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    # ------------------------------------------------------------ starting and stopping

    def start(self) -> None:
        """Start all daemons and wait until every node is idle. Raises ClusterError when something is in the way."""
        self._refuse_another()
        try:
            self._write_configuration()
            self._start_munged()
            self._start_mariadb()
            self._start_slurm()
        except BaseException:
            self.stop()
            raise

    def _write_configuration(self) -> None:
        for name in ("etc/bound", "run", "log", "spool", "state", "dev"):
            (self.folder / name).mkdir(parents=True)
        for number in range(8):
            (self.folder / f"dev/nvidia{number}").touch()
        values = {
            "folder": self.folder,
            "host": socket.gethostname().split(".")[0],
            "processors": os.cpu_count(),
        } | PORTS
        for name, text in (("slurm", SLURM_CONF), ("gres", GRES_CONF), ("slurmdbd", SLURMDBD_CONF)):
            path = self.folder / f"etc/{name}.conf"
            path.touch(mode=0o600 if name == "slurmdbd" else 0o644)
            path.write_text(text.format(plugin="none", **values))
        # A node reads which plugin binds its tasks in its own configuration.
        (self.folder / "etc/bound/slurm.conf").write_text(SLURM_CONF.format(plugin="affinity", **values))
        (self.folder / "etc/bound/gres.conf").write_text(GRES_CONF.format(**values))
        ETC.mkdir(exist_ok=True)
        for name in LINKS:  # the inner srun of a job looks here
            (ETC / name).symlink_to(self.folder / "etc" / name)
        HOSTS.write_text(HOSTS.read_text() + HOSTS_LINE)

    def stop(self) -> None:
        """End every job and daemon, and take away what lies outside the folder."""
        for node in (*NODES, BOUND):
            self.kill_node(node)
        for name in ("slurmctld", "slurmdbd", "mariadbd", "munged"):
            self._end(name)
        if (ETC / "slurm.conf").is_symlink() and (ETC / "slurm.conf").readlink().is_relative_to(self.folder):
            for name in LINKS:
                (ETC / name).unlink(missing_ok=True)
            if not any(ETC.iterdir()):
                ETC.rmdir()
            HOSTS.write_text(HOSTS.read_text().replace(HOSTS_LINE, ""))

    def _refuse_another(self) -> None:
        if self.folder.exists() and any(self.folder.iterdir()):
            raise ClusterError(f"{self.folder}: is not empty; give another folder")
        self._clear_dead()
        for link in (ETC / name for name in LINKS):
            if link.is_symlink():
                raise ClusterError(
                    f"{link}: leads to {link.readlink()}; end that cluster first: {__file__} stop FOLDER"
                )
            if link.exists():
                raise ClusterError(
                    f"{link}: belongs to a cluster that this machine is part of; run the tests on another one"
                )
        for name, port in PORTS.items():
            with socket.socket() as taken:
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    taken.bind(("127.0.0.1", port))
                except OSError:
                    raise ClusterError(
                        f"port {port}, for {name}: another program listens there; end it first"
                    ) from None

    def _clear_dead(self) -> None:
        """Take away what a cluster of these tests left outside its folder when it was killed with all its daemons."""
        link = ETC / "slurm.conf"
        if link.is_symlink() and HOSTS_LINE in HOSTS.read_text():
            other = Cluster(link.readlink().parent.parent)
            if not any(other._running(name) for name in PORTS):
                other.stop()

    def _start_munged(self) -> None:
        (self.folder / "etc/munge.key").write_bytes(os.urandom(128))
        (self.folder / "etc/munge.key").chmod(0o600)
        files = {"key-file": "etc/munge.key", "socket": "munge.socket", "pid-file": "run/munged.munge"}
        files |= {"log-file": "log/munge", "seed-file": "run/munge.seed"}
        # --force: as root, in a folder that only root can enter.
        self._daemon(
            "munged",
            "munged",
            "--foreground",
            "--force",
            *(f"--{key}={self.folder / path}" for key, path in files.items()),
        )
        wait_for((self.folder / "munge.socket").exists, 10, "munged")

    def _start_mariadb(self) -> None:
        data, where = self.folder / "mariadb", self.folder / "run/mariadb.socket"
        install = (
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={data}",
            "--auth-root-authentication-method=normal",
        )
        self.run(*install, "--user=root", "--skip-test-db")
        options = (f"--datadir={data}", f"--socket={where}", f"--port={PORTS['mariadbd']}", "--bind-address=127.0.0.1")
        memory = ("--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900")  # slurmdbd asks for the second
        self._daemon("mariadbd", "mariadbd", "--no-defaults", "--user=root", *options, *memory)
        client = ("mariadb", "--no-defaults", f"--socket={where}", "--user=root", "--execute")
        wait_for(lambda: self._try(*client, "select 1"), 30, "mariadbd")
        grant = "grant all on slurm_acct_db.* to slurm@localhost identified by 'slurm'"
        self.run(*client, grant)

    def _start_slurm(self) -> None:
        self._daemon("slurmdbd", "slurmdbd", "-D")
        wait_for(lambda: self._try("sacctmgr", "--immediate", "add", "cluster", "test"), 30, "slurmdbd")
        self.run("sacctmgr", "--immediate", "add", "account", "my-team")
        self.run("sacctmgr", "--immediate", "add", "user", "root", "account=my-team")
        self._daemon("slurmctld", "slurmctld", "-D")
        self.start_nodes(*NODES)

    # ------------------------------------------------------------ nodes

    def start_nodes(self, *nodes: str) -> None:
        """Start the slurmd of each node and wait until the controller gives it work."""
        for node in nodes:
            self._daemon(node, "slurmd", "-D", "-N", node)
        working = ("idle", "mix", "alloc")
        for node in nodes:
            wait_for(lambda node=node: self.run("sinfo", "-h", "-n", node, "-o", "%t").split()[0] in working, 60, node)

    def kill_node(self, node: str) -> None:
        """End a node at once, with all that runs on it, as a machine that loses its power."""
        self._end(node, signal.SIGKILL)
        while left := self._processes(node):
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)

    def _processes(self, node: str) -> set[int]:
        """The process ids of a node's job steps: slurmstepds, which have their slurmd's environment, and all below
        them."""
        parents, found = {}, set()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended
                state, parent = process.joinpath("stat").read_text().rpartition(")")[2].split()[:2]
                if state != "Z":
                    parents[int(process.name)] = int(parent)
                    if f"{MARK}={self.folder / node}".encode() in process.joinpath("environ").read_bytes().split(b"\0"):
                        found.add(int(process.name))
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found

    # ------------------------------------------------------------ commands

    def run(self, *command: str) -> str:
        """Run a command of the cluster; return what it prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise ClusterError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def sacct(self) -> list[dict[str, str]]:
        """Every job of accounting, oldest first: a value for each of JOB_FIELDS; the comment is known when the job has
        ended."""
        table = self.run("sacct", "-X", "--duplicates", "--noheader", "--parsable2", f"--format={','.join(JOB_FIELDS)}")
        return [dict(zip(JOB_FIELDS, line.split("|"), strict=True)) for line in table.splitlines()]

    def squeue(self) -> list[dict[str, str]]:
        """Every job that waits or runs, with the fields of accounting that a controller knows."""
        fields = {"JobID": "%i", "State": "%T", "NodeList": "%N", "Comment": "%k", "WorkDir": "%Z"}
        table = self.run("squeue", "--noheader", f"--format={'|'.join(fields.values())}")
        return [dict(zip(fields, line.split("|"), strict=True)) for line in table.splitlines()]

    def _try(self, *command: str) -> bool:
        return subprocess.run(command, env=self.environment, capture_output=True).returncode == 0

    # ------------------------------------------------------------ daemons

    def _daemon(self, name: str, *command: str) -> None:
        environment = self.environment | {MARK: str(self.folder / name)}
        if name == BOUND:
            environment["SLURM_CONF"] = str(self.folder / "etc/bound/slurm.conf")
        with (self.folder / f"log/{name}").open("ab") as log:
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        (self.folder / f"run/{name}.pid").write_text(str(process.pid))

    def _running(self, name: str) -> int | None:
        """The process id of a daemon that runs."""
        path = self.folder / f"run/{name}.pid"
        if not path.exists():
            return None
        pid = int(path.read_text())
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return None
        return pid if name.encode() in command else None  # else the number is another program's by now

    def _end(self, name: str, number: int = signal.SIGTERM) -> None:
        if pid := self._running(name):
            os.kill(pid, number)
            wait_for(lambda: not self._running(name), 30, f"the end of {name}")
        (self.folder / f"run/{name}.pid").unlink(missing_ok=True)


def main() -> None:
    if len(sys.argv) != 3 or sys.argv[1] not in ("start", "stop"):
        raise SystemExit(__doc__)
    cluster = Cluster(Path(sys.argv[2]))
    if sys.argv[1] == "stop":
        cluster.stop()
    elif reason := missing():
        raise SystemExit(f"error: {reason}")
    else:
        cluster.start()
        print(f"export SLURM_CONF={cluster.environment['SLURM_CONF']}")


if __name__ == "__main__":
    try:
        main()
    except ClusterError as error:
        raise SystemExit(f"error: {error}") from None
