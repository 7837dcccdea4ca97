// The Node peer: child_process.fork with its channel, in the "advanced" or the "json" serialization.
//
// Reads one request per line from stdin, a JSON object with the field "op", and answers each with one line. Times are taken here, in the main
// process of the Node program.
"use strict";
const { fork } = require("node:child_process");
const readline = require("node:readline");

const seeds = 16;
const now = () => Number(process.hrtime.bigint());

function sample(n) {
  return {
    id: 2 ** 40 + n,
    name: "holiday/2019/IMG_4711.jpeg",
    tags: ["thumbnail", "landscape", "shared-album"],
    value: Math.PI * ((n % 1024) + 1),
    active: n % 2 === 0,
    when: 1_700_000_000_000 + n,
  };
}

function same(a, b) {
  return a.id === b.id && a.name === b.name && a.tags.join() === b.tags.join() && a.value === b.value && a.active === b.active && a.when === b.when;
}

function spin(seed, steps) {
  let x = seed;
  for (let i = 0; i < steps; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
  }
  return x >>> 0;
}

function timeOf(steps, times) {
  const begin = now();
  let x = 0;
  for (let i = 0; i < times; i++) x += spin(1 + (i % seeds), steps);
  return x === 0 ? 0 : (now() - begin) / times;
}

// The worker.
function worker() {
  let messages = 0;
  let sum = 0;
  let answered; // of the item that this worker has asked for
  const ask = (m) =>
    new Promise((resolve) => {
      answered = resolve;
      process.send(m);
    });
  process.on("message", async (m) => {
    switch (m.op) {
      case "echo":
        process.send(m);
        break;
      case "item":
        messages++;
        sum += m.item.id;
        break;
      case "block":
        messages++;
        sum += m.block.length + m.block.readUInt32LE(0) + m.block[m.block.length - 1];
        break;
      case "mark":
        process.send({ messages, sum });
        messages = sum = 0;
        break;
      case "spin":
        process.send({ id: m.id, result: spin(m.seed, m.steps) });
        break;
      case "calibrate":
        spin(1, 1e6);
        // Other programs on this machine make some of the times longer than they are: a low quantile counts.
        process.send({ ns: Array.from({ length: 30 }, () => timeOf(m.steps, m.times)).sort((a, b) => a - b)[6] });
        break;
      case "relay": {
        const times = [];
        for (let k = 0; k < m.n; k++) {
          const want = sample(k);
          const begin = now();
          const got = await ask({ op: "echo", item: want });
          times.push(now() - begin);
          if (!same(got.item, want)) throw new Error("an item came back changed");
        }
        process.send({ op: "times", times });
        break;
      }
      case "answer":
        answered(m);
        break;
    }
  });
  process.on("disconnect", () => process.exit(0));
}

// The main process.
const children = [];
let serialization = "advanced";
const steps = new Map();

function startWorker() {
  const child = fork(__filename, ["worker"], { serialization, stdio: ["ignore", "inherit", "inherit", "ipc"] });
  child.waiting = [];
  child.on("message", (m) => child.waiting.shift()(m));
  child.receive = () => new Promise((resolve) => child.waiting.push(resolve));
  child.ask = (m) => {
    const r = child.receive();
    child.send(m);
    return r;
  };
  children.push(child);
  return child;
}

const operations = {
  start(r) {
    serialization = r.kind;
    for (let i = 0; i < r.workers; i++) startWorker();
    return {};
  },

  async call(r) {
    const child = children[0];
    const block = Buffer.alloc(r.size, 7);
    const times = [];
    const end = now() + r.budget;
    for (let k = 0; ; k++) {
      const want = sample(k);
      const message = r.size ? { op: "echo", block } : { op: "echo", item: want };
      const begin = now();
      const got = await child.ask(message);
      const done = now();
      times.push(done - begin);
      if (r.size ? !block.equals(got.block) : !same(got.item, want)) throw new Error("a message came back changed");
      if (done >= end && k >= 9) return { times };
    }
  },

  async stream(r) {
    const child = children[0];
    const pause = r.size ? Math.max(1, Math.floor((4 << 20) / r.size)) : 1000; // messages until the channel has taken them
    const block = Buffer.alloc(r.size, 7);
    let want = 0;
    const begin = now();
    for (let k = 0; k < r.n; k++) {
      let message;
      if (r.size) {
        block.writeUInt32LE(k, 0);
        want += r.size + k + block[r.size - 1];
        message = { op: "block", block };
      } else {
        const item = sample(k);
        want += item.id;
        message = { op: "item", item };
      }
      if (k % pause === pause - 1) await new Promise((resolve) => child.send(message, resolve));
      else child.send(message);
    }
    const seen = await child.ask({ op: "mark" });
    if (seen.messages !== r.n || seen.sum !== want) throw new Error("the receiver has counted something else");
    return { ns: now() - begin };
  },

  async relay(r) {
    const [a, b] = children;
    a.send({ op: "relay", n: r.n });
    for (;;) {
      const m = await a.receive();
      if (m.op === "times") return { times: m.times };
      const answer = await b.ask(m);
      answer.op = "answer";
      a.send(answer);
    }
  },

  async farm(r) {
    const calibrate = async (n, times) => {
      const both = await Promise.all(children.slice(0, 2).map((c) => c.ask({ op: "calibrate", steps: n, times })));
      return both.reduce((s, m) => s + m.ns, 0) / both.length;
    };
    if (!steps.has(r.us)) steps.set(r.us, Math.max(1, Math.round((1000 * r.us) / ((await calibrate(10000, 50)) / 10000))));
    const n = steps.get(r.us);
    const task = await calibrate(n, Math.ceil(500 / r.us));
    let want = 0;
    const expected = Array.from({ length: seeds }, (_, s) => spin(s + 1, n));
    for (let k = 0; k < r.n; k++) want += expected[k % seeds];
    let next = 0;
    let got = 0;
    const begin = now();
    await Promise.all(
      children.map(async (child) => {
        const inFlight = Array.from({ length: 16 }, async () => {
          while (next < r.n) {
            const k = next++;
            const r = await child.ask({ op: "spin", id: k, seed: (k % seeds) + 1, steps: n });
            got += r.result; // not in one expression, which would read got before the wait
          }
        });
        await Promise.all(inFlight);
      }),
    );
    const ns = now() - begin;
    if (got !== want) throw new Error("the sum of the results is wrong");
    return { ns, task };
  },

  async first(r) {
    serialization = r.kind;
    const begin = now();
    const child = startWorker();
    const want = sample(1);
    const got = await child.ask({ op: "echo", item: want });
    const ns = now() - begin;
    if (!same(got.item, want)) throw new Error("an item came back changed");
    return { ns, pid: child.pid };
  },

  async stop() {
    const gone = children.map((c) => new Promise((resolve) => c.once("exit", resolve)));
    for (const c of children) c.disconnect();
    await Promise.all(gone);
    children.length = 0;
    return {};
  },
};

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const r = JSON.parse(line);
    process.stdout.write(JSON.stringify(await operations[r.op](r)) + "\n");
  }
  await operations.stop();
}

if (process.argv[2] === "worker") worker();
else main();
