#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The fault drill: whatever happens to a job, running it again gives the bytes of the undisturbed run, and nothing stays behind.

drill.py [--short] [--seed N] [--only NAME,...] [--kills N] BUILD

Prints one line for each kind of fault: how often it was made, how the jobs took it, and whether all that must hold did.
Exit code 1 when something did not; the directory of the case is then kept.
"""
import argparse
import collections
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "cli"))
sys.dont_write_bytecode = True
import corpora  # noqa: E402

RECIPE = """name: drill
seed: 7
sources:
  - {{name: pairs, shards: "{0}/pairs/{{00000..00003}}.tar", kind: pairs, weight: 0.5, columns: [similarity], where: "similarity > 0.22"}}
  - {{name: docs, shards: {0}/docs.tar, kind: interleaved, weight: 0.2}}
  - {{name: chat, shards: {0}/chat.json, images: {0}/chat-images.tar, kind: chat, weight: 0.1}}
  - {{name: text, shards: {0}/text.jsonl, kind: text, weight: 0.2}}
dedup: {{threshold: 24, text: true}}
balance: {{unit: samples, max_epochs: 2}}
image: {{policy: center_crop, size: {1}, format: webp, effort: {2}}}
output: {{stage: align, dir: out, work: work, shard_samples: 12, frame_size: 16KiB}}
"""
LAUNCH = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1",
          "OMPI_MCA_pml": "ob1", "OMPI_MCA_hwloc_base_binding_policy": "none", "OMPI_MCA_mpi_yield_when_idle": "1"}
OPEN_MPI = ("vader_segment", "osc_rdma", "osc_sm", "sm_segment", "openmpi")
# A fault at a call ends the job with one of these, or it goes well.
DOCUMENTED = {0, 1, 2, 3, 75}


class Broken(Exception):
    """Something that must hold did not."""


class Outcome:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err


class Drill:
    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        self.bin = os.path.abspath(os.path.join(options.build, "bin"))
        self.shim = os.path.abspath(os.path.join(options.build, "tests", "inject.so"))
        self.root = tempfile.mkdtemp(prefix="plait-drill.", dir=os.environ.get("TMPDIR"))
        self.launcher = os.path.join(self.root, "launcher")
        os.mkdir(self.launcher)
        self.inputs = os.path.join(self.root, "in")
        self.rows, self.cases, self.stuck_launchers = [], 0, 0
        self.env = dict(os.environ, **LAUNCH, PATH=self.bin + ":" + os.environ["PATH"], LC_ALL="C.UTF-8",
                        OMPI_MCA_orte_tmpdir_base=self.launcher)
        self.own_shm = os.environ.get("DRILL_OWN_SHM") == "1"

    # ---- places and runs ----

    def place(self, size=160, effort=4):
        """A fresh directory with a recipe and a temporary directory of its own."""
        self.cases += 1
        where = os.path.join(self.root, f"case{self.cases}")
        os.makedirs(os.path.join(where, "tmp"))
        with open(os.path.join(where, "r.yaml"), "w", encoding="utf-8") as f:
            f.write(RECIPE.format(self.inputs, size, effort))
        return where

    def environment(self, where, extra=None):
        return dict(self.env, TMPDIR=os.path.join(where, "tmp"), **(extra or {}))

    def start(self, where, argv, extra=None):
        return subprocess.Popen(argv, cwd=where, env=self.environment(where, extra), stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def run(self, where, argv, extra=None, limit=120):
        try:
            done = subprocess.run(argv, cwd=where, env=self.environment(where, extra), stdin=subprocess.DEVNULL,
                                  capture_output=True, timeout=limit, check=False)
        except subprocess.TimeoutExpired as late:
            raise Broken(f"{' '.join(argv)} hangs: {(late.stderr or b'').decode(errors='replace')[-400:]}") from late
        return Outcome(done.returncode, done.stdout, done.stderr.decode(errors="replace"))

    def job(self, ranks):
        launch = ["mpirun", "--oversubscribe", "-n", str(ranks)] if ranks > 1 else []
        return launch + ["plait-run", "-q", "-j1", "r.yaml"]

    def injected(self, where, **what):
        self.log = os.path.join(where, "faults")
        if os.path.exists(self.log):
            os.unlink(self.log)
        extra = {"INJECT_" + name.upper(): str(value) for name, value in what.items()}
        return dict(extra, LD_PRELOAD=self.shim, INJECT_LOG=self.log)

    def calls_of(self, where, **what):
        """How many matching calls an undisturbed run makes."""
        count = os.path.join(self.root, "count")
        fresh(self, where)
        done = self.run(where, self.job(1), self.injected(where, program="plait-run", count=count, **what))
        if done.code != 0:
            raise Broken(f"counting calls: {done.code} {done.err}")
        with open(count, encoding="ascii") as f:
            return int(f.read())

    def hits(self):
        return os.path.getsize(self.log) if os.path.exists(self.log) else 0

    # ---- what must hold ----

    @staticmethod
    def bytes_of(where):
        """Every file of the results but plait's own records: name -> hash."""
        found = {}
        for top in ("out", "work"):
            for directory, inner, names in os.walk(os.path.join(where, top)):
                inner[:] = [d for d in inner if d != ".plait"]
                for name in names:
                    path = os.path.join(directory, name)
                    with open(path, "rb") as f:
                        found[os.path.relpath(path, where)] = hashlib.sha256(f.read()).hexdigest()
        return found

    def inputs_now(self):
        state = []
        for directory, _, names in os.walk(self.inputs):
            for name in names:
                info = os.stat(os.path.join(directory, name))
                state.append((os.path.join(directory, name), info.st_size, info.st_mtime_ns))
        return sorted(state)

    def check_clean(self, where):
        strays = []
        for directory, _, names in os.walk(where):
            strays += [os.path.join(directory, n) for n in names if n.startswith(".tmp-")]
        # mpi.*: scripts/check gives each mpirun a directory of its own.
        strays += [os.path.join(where, "tmp", n) for n in os.listdir(os.path.join(where, "tmp")) if not n.startswith("mpi.")]
        strays += [n for n in set(os.listdir(where)) - {"r.yaml", "tmp", "out", "work", "faults", "report.json"}]
        # What Open MPI leaves behind when it is killed is not ours.
        strays += [f"/dev/shm/{n}" for n in os.listdir("/dev/shm") if self.own_shm and not n.startswith(OPEN_MPI)]
        if strays:
            raise Broken("stray files: " + " ".join(strays))
        if self.inputs_now() != self.inputs_before:
            raise Broken("the inputs are not what they were")

    def check_same(self, where):
        found = self.bytes_of(where)
        if found != self.reference:
            names = sorted(n for n in set(found) | set(self.reference) if found.get(n) != self.reference.get(n))
            raise Broken("not the bytes of the undisturbed run: " + " ".join(names[:8]))
        self.check_clean(where)

    def check_account(self, where):
        with open(os.path.join(where, "report.json"), encoding="utf-8") as f:
            steps = json.load(f)["steps"]
        for step in steps:
            for kind in ("samples", "images"):
                a = step["account"].get(kind)
                if a and a["in"] != a["out"] + sum(a.get("dropped", {}).values()):
                    raise Broken(f"the account of {step['step']} does not add up: {a}")

    def complete(self, where, force=False):
        """The same command again, now undisturbed: the undisturbed bytes, and an account that adds up. force: where it refuses to replace what
        is there and says --force, with that."""
        again = self.job(1) + ["--report", "report.json"]
        last = self.run(where, again)
        forced = force and last.code == 3 and "--force" in last.err
        if forced:
            last = self.run(where, again + ["--force"])
        if last.code != 0:
            raise Broken(f"the rerun failed with {last.code}: {last.err[-600:]}")
        self.check_same(where)
        self.check_account(where)
        return forced

    def check_message(self, outcome, what):
        if outcome.code not in DOCUMENTED:
            raise Broken(f"{what}: exit code {outcome.code}: {outcome.err[-600:]}")
        if outcome.code != 0 and "error: " not in outcome.err and "usage" not in outcome.err:
            raise Broken(f"{what}: exit code {outcome.code} without a message: {outcome.err[-400:]}")

    # ---- the account of the drill ----

    def row(self, fault, times, outcomes, checks):
        text = ", ".join(f"{n} {name}" for name, n in sorted(outcomes.items(), key=lambda x: -x[1]))
        self.rows.append((fault, times, text, checks))
        print(f"{fault:<58} {times:>6}  {text}; {checks}", flush=True)

    def prepare(self):
        corpora.whole_set(self.inputs)
        self.inputs_before = self.inputs_now()
        where = self.place()
        began = time.monotonic()
        first = self.run(where, self.job(1))
        if first.code != 0:
            raise Broken("the undisturbed run failed: " + first.err)
        self.length = time.monotonic() - began
        self.reference = self.bytes_of(where)
        self.check_clean(where)
        self.spare = where


def descendants(pid):
    found, at = [], [pid]
    while at:
        try:
            with open(f"/proc/{at[-1]}/task/{at[-1]}/children", encoding="ascii") as f:
                at[-1:] = more = [int(x) for x in f.read().split()]
            found += more
        except OSError:
            at.pop()
    return found


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="ascii") as f:
            return f.read().strip()
    except OSError:
        return ""


def parent_of(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return int(f.read().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def lives(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


# ---- SIGKILL ----

def kill_one(drill, where, ranks, length):
    """Start the job, kill one of its processes after a random time. What was killed, and how the job ended (None: too late)."""
    job = drill.start(where, drill.job(ranks))
    moment = drill.random.uniform(0.05, 0.9) * length
    wanted = drill.random.choice(["rank", "rank", "worker", "worker", "nursery"])
    time.sleep(moment)
    mine = descendants(job.pid) if ranks > 1 else [job.pid] + descendants(job.pid)
    tools = {"rank": [], "worker": [], "nursery": []}
    for pid in filter(lives, mine):
        name, above = name_of(pid), name_of(parent_of(pid))
        if name == "plait-run" and above != "plait-run":
            tools["rank"].append(pid)
        if name in ("plait-nursery", "plait-codec"):
            tools["worker" if above == "plait-nursery" else "nursery"].append(pid)
    if not tools[wanted]:
        wanted = next((kind for kind in tools if tools[kind]), None)
    if wanted is None:
        job.wait()
        return None, job.returncode
    victim = drill.random.choice(tools[wanted])
    try:
        os.kill(victim, signal.SIGKILL)
    except ProcessLookupError:
        wanted = None
    try:
        code = job.wait(timeout=60)
    except subprocess.TimeoutExpired as late:
        if ranks == 1 or any(lives(p) for p in descendants(job.pid)):
            raise Broken(f"the job hangs after SIGKILL of a {wanted}") from late
        # All of plait is gone: mpirun hangs in its own end (seen in PMIx_server_finalize when a rank dies in its first moments).
        drill.stuck_launchers += 1
        job.kill()
        code = job.wait()
    for _ in range(500):
        if not any(lives(p) for p in mine):
            return wanted, code
        time.sleep(0.01)
    raise Broken("processes outlived the job: " + " ".join(f"{p} {name_of(p)}" for p in mine if lives(p)))


def drill_kills(drill):
    """Each job is killed again and again until it is done; then the bytes are compared."""
    want = drill.options.kills or (6 if drill.options.short else 200)
    kills, ends, done = collections.Counter(), collections.Counter(), 0
    where = None
    while sum(kills.values()) < want or where is not None:
        if where is None:
            where = drill.place(160, 4)
        ranks = drill.random.choice([1, 2, 3])
        victim, code = kill_one(drill, where, ranks, drill.length)
        if victim == "rank" and code == 0:   # it had done its work
            victim = None
        if victim:
            kills[victim] += 1
            ends["went on" if code == 0 else "ended"] += 1
            if victim == "worker" and code != 0:
                raise Broken(f"a killed worker ended the job with {code}")
            if victim != "worker" and code == 0 and not os.path.exists(os.path.join(where, "out", "dataset.json")):
                raise Broken("exit code 0 without a data set")
        if code == 0:
            drill.check_same(where)
        if code == 0 or sum(kills.values()) >= want:
            drill.complete(where)
            shutil.rmtree(where)
            where, done = None, done + 1
    for victim, n in sorted(kills.items()):
        drill.row(f"SIGKILL of a {victim} at a random moment, 1-3 ranks", n, {"killed": n}, "see below")
    if drill.stuck_launchers:
        drill.row("mpirun itself hangs when all ranks are gone", drill.stuck_launchers, {"killed after 60 s": drill.stuck_launchers}, "see README")
    drill.row("all kills together", sum(kills.values()), ends, f"{done} data sets finished by reruns, bytes equal, none lost")


# ---- calls that fail ----

def one_fault(drill, where, ranks, limit=120, **what):
    """One run with faults, and one without; how the first ended."""
    extra = drill.injected(where, program="plait-run", **what)
    first = drill.run(where, drill.job(ranks), extra, limit)
    name = " ".join(f"{k}={v}" for k, v in what.items())
    hit = drill.hits()
    drill.check_message(first, name)
    if first.code == 0:
        drill.check_same(where)
    drill.complete(where)
    return hit, first


def fresh(drill, where):
    for name in ("out", "work"):
        shutil.rmtree(os.path.join(where, name), ignore_errors=True)


def drill_calls(drill):
    """Every kind of failing call, at many places: in the outputs, in the inputs, in all files."""
    short = drill.options.short
    kinds = [("read", "EIO"), ("read", "EINTR"), ("read", "short"), ("write", "ENOSPC"), ("write", "EIO"), ("write", "EINTR"),
             ("write", "short"), ("open", "EIO"), ("open", "EINTR"), ("rename", "EIO"), ("rename", "ENOSPC"), ("fsync", "EIO"),
             ("fsync", "ENOSPC"), ("fsync", "EINTR"), ("close", "EIO"), ("close", "ENOSPC"), ("close", "EINTR"), ("mmap", "ENOMEM")]
    where = drill.place(96, 0)
    first = drill.run(where, drill.job(1))
    kept, drill.reference = drill.reference, drill.bytes_of(where)
    # The short form takes every other kind, which ones the seed tells.
    for call, fault in kinds[drill.options.seed % 2::2] if short else kinds:
        outcomes, total, runs = collections.Counter(), 0, 0
        soft = fault in ("short", "EINTR") and call in ("read", "write")
        for place in ("outputs", "inputs"):
            if place == "inputs" and call in ("write", "rename", "fsync"):
                continue
            prefix = where if place == "outputs" else drill.inputs
            most = 0 if soft else drill.calls_of(where, calls=call, prefix=prefix)
            for i in range((0 if most == 0 and not soft else 1) if short else (4 if most or soft else 0)):
                fresh(drill, where)
                what = {"calls": call, "fault": fault, "prefix": prefix, "seed": drill.random.randrange(1 << 30)}
                if soft:
                    what["rate"] = 3
                else:
                    what["nth"] = drill.random.randint(1, most)
                hit, end = one_fault(drill, where, 2 if i % 2 else 1, **what)
                total, runs = total + hit, runs + 1
                if soft and end.code != 0:
                    raise Broken(f"{call} {fault}: exit code {end.code}: {end.err[-500:]}")
                outcomes["went well" if end.code == 0 else f"exit {end.code}"] += 1
        drill.row(f"{call}: {fault}, in outputs and inputs ({runs} runs)", total, outcomes, "reruns: bytes equal")
    drill.reference = kept
    shutil.rmtree(where)


# ---- memory that ends ----

def small_tools(drill):
    """Commands that are over soon, with what they print undisturbed; those that write start from the tables in work."""
    where = drill.spare
    shard, corpus, tar = "out/000000.tar.zst", "work/pairs", os.path.join(drill.inputs, "pairs", "00001.tar")
    key = drill.run(where, ["plait-ls", tar]).out.split()[0].decode()
    with open(os.path.join(where, "picture.jpg"), "wb") as f:
        f.write(corpora.encoded(corpora.picture(3)))
    return [("hash", ["plait-hash", "-j1", "picture.jpg"]), ("ls", ["plait-ls", "-l", shard]), ("cat", ["plait-cat", shard, "--number", "3"]),
            ("show", ["plait-show", tar]), ("stat", ["plait-stat", "out"]), ("why", ["plait-why", key, corpus]),
            ("sql", ["plait-sql", corpus, "-e", "select status, count(*) from samples group by status order by 1"]),
            ("filter", ["plait-filter", "-q", "-w", "similarity > 0.22", corpus]),
            ("balance", ["plait-balance", "-q", "-c", "r.yaml", "--work", "work", "-o", "plan.json"])]


def nth_allocations(drill, where, name, argv):
    """Fail the 1st, 2nd, ... allocation until the tool asks for no more. Runs, how they ended."""
    whole = drill.run(where, argv)
    if whole.code != 0:
        raise Broken(f"{name} alone: {whole.code} {whole.err}")
    outcomes, n, runs = collections.Counter(), 1, 0
    while True:
        # libarchive 3.6 ends the process itself when it gets no memory: what its own calls do is not ours to mend.
        extra = drill.injected(where, calls="alloc", nth=n, spare="libarchive", program="plait-" + name)
        end = drill.run(where, argv, extra, 30)
        if drill.hits() == 0:
            break
        drill.check_message(end, f"allocation {n} of {name}")
        if end.code == 0 and end.out != whole.out:
            raise Broken(f"allocation {n} of {name}: exit code 0, but another output")
        if any(x.startswith(".tmp-") for _, _, names in os.walk(where) for x in names):
            raise Broken(f"allocation {n} of {name}: a temporary file stays")
        outcomes["went well" if end.code == 0 else f"exit {end.code}"] += 1
        runs += 1
        n += 1 if not drill.options.short else 1 + n // 3
    again = drill.run(where, argv)
    if again.code != 0 or again.out != whole.out:
        raise Broken(f"{name} after the failures: another output, or {again.code}")
    return runs, outcomes


def drill_memory(drill):
    for name, argv in small_tools(drill):
        runs, outcomes = nth_allocations(drill, drill.spare, name, argv)
        which = "many an" if drill.options.short else "every"
        drill.row(f"plait {name}: {which} allocation fails once", runs, outcomes, "message and code, no crash, same output after")


# ---- what happens to files ----

def wait_for(path, job, limit=60):
    end = time.monotonic() + limit
    while not os.path.exists(path) and job.poll() is None:
        if time.monotonic() > end:
            raise Broken(f"'{path}' did not come")
        time.sleep(0.002)


def end_of(job, what, limit=90):
    try:
        _, err = job.communicate(timeout=limit)
    except subprocess.TimeoutExpired as late:
        job.kill()
        raise Broken(f"{what}: the job hangs") from late
    return Outcome(job.returncode, b"", err.decode(errors="replace"))


def background(drill, where, argv, extra=None):
    return subprocess.Popen(argv, cwd=where, env=drill.environment(where, extra), stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def drill_truncated(drill):
    """A shard gets shorter while it is read."""
    outcomes, runs = collections.Counter(), 2 if drill.options.short else 12
    for i in range(runs):
        where = drill.place()
        shutil.copytree(drill.inputs, os.path.join(where, "in"))
        with open(os.path.join(where, "r.yaml"), "w", encoding="utf-8") as f:
            f.write(RECIPE.format("in", 160, 4))
        shard = os.path.join(where, "in", "pairs", f"{i % 4:05d}.tar")
        whole, info = open(shard, "rb").read(), os.stat(shard)
        job = background(drill, where, drill.job(1 + i % 2))
        wait_for(os.path.join(where, ("work/pairs/.plait/lock", "out/000001.tar.zst")[i % 2]), job)
        time.sleep(drill.random.uniform(0, 0.1))
        os.truncate(shard, drill.random.randrange(len(whole)))
        end = end_of(job, "a shard truncated while it is read")
        drill.check_message(end, "a shard truncated while it is read")
        outcomes["went well" if end.code == 0 else f"exit {end.code}"] += 1
        with open(shard, "r+b") as f:
            f.write(whole)
        os.utime(shard, ns=(info.st_atime_ns, info.st_mtime_ns))
        last = drill.run(where, drill.job(1))
        if last.code == 3 and "--force" in last.err:   # only the end of the archive was cut off, and the job was done
            last = drill.run(where, drill.job(1) + ["--force"])
        if last.code != 0:
            raise Broken(f"the rerun with the whole shard failed with {last.code}: {last.err[-400:]}")
        shards = {n: h for n, h in drill.bytes_of(where).items() if n.endswith(".zst")}
        if shards != {n: h for n, h in drill.reference.items() if n.endswith(".zst")}:
            raise Broken("not the shards of the undisturbed run")
        shutil.rmtree(where)
    drill.row("a shard truncated while it is read", runs, outcomes, "whole again: bytes equal")


def drill_removed(drill):
    """The output directory goes away under the job."""
    outcomes, runs = collections.Counter(), 3 if drill.options.short else 15
    for i in range(runs):
        where = drill.place()
        job = background(drill, where, drill.job(1 + i % 3))
        gone = ("out", "work", "work/docs")[i % 3]
        wait_for(os.path.join(where, gone, ".plait/lock"), job)
        time.sleep(drill.random.uniform(0, drill.length / 2))
        shutil.rmtree(os.path.join(where, gone), ignore_errors=True)
        end = end_of(job, "the output directory removed")
        drill.check_message(end, f"'{gone}' removed")
        outcomes["too late to matter" if end.code == 0 else f"exit {end.code}"] += 1
        if drill.complete(where, force=True):   # shards that were written after the records of the others were gone are not taken for ours
            outcomes["rerun wanted --force"] += 1
        shutil.rmtree(where)
    drill.row("output directory, work directory or a corpus removed", runs, outcomes, "reruns: bytes equal")


def drill_clocks(drill):
    outcomes, total, runs = collections.Counter(), 0, 0
    for i in range(2 if drill.options.short else 12):
        where = drill.place()
        calls = "clock" if i % 2 else "clock,steady"
        extra = drill.injected(where, calls=calls, rate=5, seed=drill.random.randrange(1 << 30), program="plait-run")
        end = drill.run(where, drill.job(2 if i % 2 else 1), extra)
        total, runs = total + drill.hits(), runs + 1
        if end.code != 0:
            raise Broken(f"clocks that jump: exit code {end.code}: {end.err[-500:]}")
        outcomes["went well"] += 1
        drill.check_same(where)
        shutil.rmtree(where)
    drill.row(f"clocks jump: -2 days ... +10 years ({runs} runs)", total, outcomes, "bytes equal, no image late")


def drill_two_jobs(drill):
    """Two jobs on one output: the second says who is there and leaves; after a kill nobody is there."""
    outcomes, runs = collections.Counter(), 2 if drill.options.short else 10
    for i in range(runs):
        where = drill.place()
        first = background(drill, where, drill.job(2))
        wait_for(os.path.join(where, "work/.plait/lock"), first)
        time.sleep(drill.random.uniform(0.02, drill.length / 3))
        second = drill.run(where, drill.job(1 + i % 2))
        if first.poll() is None or second.code != 0:
            if second.code != 3 or "writes to this directory" not in second.err or "since" not in second.err:
                raise Broken(f"the second job: exit code {second.code}: {second.err[-400:]}")
            outcomes["second: exit 3, names the first"] += 1
        end = end_of(first, "the first of two jobs")
        if end.code != 0:
            raise Broken(f"the first of two jobs failed: {end.err[-400:]}")
        drill.check_same(where)
        shutil.rmtree(where)
    drill.row("two jobs started on the same output", runs, outcomes, "first undisturbed, bytes equal")


CASES = {"kills": drill_kills, "calls": drill_calls, "memory": drill_memory, "truncated": drill_truncated, "removed": drill_removed,
         "clocks": drill_clocks, "two-jobs": drill_two_jobs}


def own_shared_memory():
    """Begin again with a /dev/shm of our own where that is allowed, so that every stray file in it is the jobs'."""
    inner = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs tmpfs /dev/shm && exec "$@"', "sh"]
    if os.environ.get("DRILL_OWN_SHM") is None and subprocess.run(inner + ["true"], capture_output=True, check=False).returncode == 0:
        os.environ["DRILL_OWN_SHM"] = "1"
        os.execvp("unshare", inner + [sys.executable] + sys.argv)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a few of each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("build")
    options = parser.parse_args()
    own_shared_memory()
    drill = Drill(options)
    failed = False
    drill.prepare()
    for name in drill.options.only.split(","):
        try:
            CASES[name](drill)
        except Broken as why:
            failed = True
            print(f"{name}: BROKEN: {why}\n  in {drill.root}/case{drill.cases}", flush=True)
    if not failed:
        shutil.rmtree(drill.root)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
