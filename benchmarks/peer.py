"""The Python peers: multiprocessing.Pipe, multiprocessing.Pool and concurrent.futures.ProcessPoolExecutor.

Reads one request per line from stdin, a JSON object with the field "op", and answers each with one line. Times are taken here,
in the main process of the Python program.
"""

import concurrent.futures
import dataclasses
import itertools
import json
import math
import multiprocessing
import os
import struct
import sys
import time

SEEDS = 16


@dataclasses.dataclass
class Item:
    id: int
    name: str
    tags: list
    value: float
    active: bool
    when: int


def sample(n):
    return Item(
        (1 << 40) + n,
        "holiday/2019/IMG_4711.jpeg",
        ["thumbnail", "landscape", "shared-album"],
        math.pi * (n % 1024 + 1),
        n % 2 == 0,
        1_700_000_000_000_000_000 + n,
    )


def echo(x):
    return x


def spin(task):
    x, steps = task
    for _ in range(steps):
        x = (x * 1103515245 + 12345) & 0x7FFFFFFF
    return x


def pid_of_worker(_):
    return os.getpid()


# What a worker at the end of a Pipe does.


def echo_items(conn):
    while (m := conn.recv()) is not None:
        conn.send(m)


def echo_blocks(conn):
    while m := conn.recv_bytes():
        conn.send_bytes(m)


def count_items(conn):
    while True:
        n = total = 0
        while (m := conn.recv()) is not None:
            if m is False:
                return
            n += 1
            total += m.id
        conn.send((n, total))


def count_blocks(conn):
    while True:
        n = total = 0
        while m := conn.recv_bytes():
            if len(m) == 1:
                return
            n += 1
            total += len(m) + struct.unpack_from("<Q", m)[0] + m[-1]
        conn.send((n, total))


def ask_items(conn):
    while n := conn.recv():
        times = []
        for k in range(n):
            want = sample(k)
            begin = time.perf_counter_ns()
            conn.send(want)
            got = conn.recv()
            times.append(time.perf_counter_ns() - begin)
            if got != want:
                raise SystemExit("an item came back changed")
        conn.send(times)


def calibrate(task, batch, conn):
    """Thirty batches, of which a low quantile counts: other programs on this machine make some slower than they are."""
    spin(task)
    times = []
    for _ in range(30):
        begin = time.perf_counter_ns()
        for _ in range(batch):
            spin(task)
        times.append((time.perf_counter_ns() - begin) / batch)
    conn.send(sorted(times)[6])
    conn.close()


def task_ns(steps):
    """The nanoseconds of one task while two processes do nothing else."""
    pipes = [multiprocessing.Pipe() for _ in range(2)]
    workers = [multiprocessing.Process(target=calibrate, args=((1, steps), max(1, 10000 // steps), child)) for _, child in pipes]
    for w in workers:
        w.start()
    times = [main.recv() for main, _ in pipes]
    for w in workers:
        w.join()
    return sum(times) / len(times)


class Main:
    def __init__(self):
        self.pool = self.executor = None
        self.processes, self.pipes = [], []
        self.steps = {}

    def worker(self, target):
        main, child = multiprocessing.Pipe()
        p = multiprocessing.Process(target=target, args=(child,), daemon=True)
        p.start()
        child.close()
        self.processes.append(p)
        self.pipes.append(main)

    def start(self, r):
        kind, workers = r["kind"], r["workers"]
        if kind == "pool":
            self.pool = multiprocessing.Pool(workers)
        elif kind == "executor":
            self.executor = concurrent.futures.ProcessPoolExecutor(workers)
        elif kind == "relay":
            self.worker(ask_items)
            self.worker(echo_items)
        else:
            self.worker({"item": echo_items, "block": echo_blocks, "items": count_items, "blocks": count_blocks}[kind])
        return {}

    def caller(self, size):
        if self.pool:
            return lambda m: self.pool.apply(echo, (m,))
        if self.executor:
            return lambda m: self.executor.submit(echo, m).result()
        conn = self.pipes[0]
        if size:

            def call(m):
                conn.send_bytes(m)
                return conn.recv_bytes()

        else:

            def call(m):
                conn.send(m)
                return conn.recv()

        return call

    def call(self, r):
        size = r["size"]
        call = self.caller(size)
        end = time.perf_counter_ns() + r["budget"]
        times = []
        block = os.urandom(size)
        for k in itertools.count():
            want = block if size else sample(k)
            begin = time.perf_counter_ns()
            got = call(want)
            now = time.perf_counter_ns()
            times.append(now - begin)
            if got != want:
                raise SystemExit("a message came back changed")
            if now >= end and k >= 9:
                return {"times": times}

    def stream(self, r):
        size, n, conn = r["size"], r["n"], self.pipes[0]
        begin = time.perf_counter_ns()
        want = 0
        if size:
            block = bytearray(os.urandom(size))
            for k in range(n):
                struct.pack_into("<Q", block, 0, k)
                want += size + k + block[-1]
                conn.send_bytes(block)
            conn.send_bytes(b"")
        else:
            for k in range(n):
                item = sample(k)
                want += item.id
                conn.send(item)
            conn.send(None)
        if conn.recv() != (n, want):
            raise SystemExit("the receiver has counted something else")
        return {"ns": time.perf_counter_ns() - begin}

    def relay(self, r):
        a, b = self.pipes
        a.send(r["n"])
        for _ in range(r["n"]):
            b.send_bytes(a.recv_bytes())
            a.send_bytes(b.recv_bytes())
        return {"times": a.recv()}

    def farm(self, r):
        us, n, chunk = r["us"], r["n"], r["chunk"]
        if us not in self.steps:
            self.steps[us] = max(1, round(1000 * us / ((task_ns(10200) - task_ns(200)) / 10000) - 3))
        steps = self.steps[us]
        each = task_ns(steps)
        expected = [spin((s + 1, steps)) for s in range(SEEDS)]
        want = sum(expected[k % SEEDS] for k in range(n))
        tasks = ((k % SEEDS + 1, steps) for k in range(n))
        begin = time.perf_counter_ns()
        if self.pool:
            results = self.pool.imap_unordered(spin, tasks, chunksize=chunk)
        else:
            results = self.executor.map(spin, tasks, chunksize=chunk)
        got = sum(results)
        ns = time.perf_counter_ns() - begin
        if got != want:
            raise SystemExit("the sum of the results is wrong")
        return {"ns": ns, "task": each}

    def first(self, r):
        """Start one worker, until its first reply."""
        begin = time.perf_counter_ns()
        self.start({"kind": r["kind"], "workers": 1})
        want = sample(1)
        got = self.caller(0)(want)
        ns = time.perf_counter_ns() - begin
        if got != want:
            raise SystemExit("an item came back changed")
        if self.pool:
            pid = self.pool.apply(pid_of_worker, (0,))
        elif self.executor:
            pid = self.executor.submit(pid_of_worker, 0).result()
        else:
            pid = self.processes[0].pid
        return {"ns": ns, "pid": pid}

    def stop(self, r):
        if self.pool:
            self.pool.close()
            self.pool.join()
        if self.executor:
            self.executor.shutdown()
        for p in self.processes:
            p.terminate()
            p.join()
        self.__init__()
        return {}


def main():
    m = Main()
    for line in sys.stdin:
        r = json.loads(line)
        print(json.dumps(getattr(m, r["op"])(r)), flush=True)
    m.stop({})


if __name__ == "__main__":
    main()
