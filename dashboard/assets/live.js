// The stream of snapshots, and its state: "connecting", "live", "lost", "ended".

const again = 2000, // ms after which a refused stream is asked for again; the browser does the rest by itself
  seldom = 5000; // ms after which it is looked whether another program has come in place of one that has ended

/** live calls take(data) for each message, and tell(state, detail) for each change of the stream. */
export function live({ hello, history, sample, happened, tell }) {
  let program = null,
    ended = null; // the program that has ended, until another one is there
  const open = () => {
    const source = new EventSource("api/events");
    const take = (name, f) => source.addEventListener(name, (e) => f(JSON.parse(e.data)));
    const later = (ms) => {
      source.close();
      setTimeout(open, ms);
    };
    take("hello", (page) => {
      if (ended && page.program === ended) return later(seldom);
      ended = null;
      program = page.program;
      tell("live");
      hello(page);
    });
    take("history", (list) => ended || history(list));
    take("sample", (s) => ended || sample(s));
    take("events", (list) => ended || happened(list));
    take("ended", (detail) => {
      later(seldom);
      if (ended) return;
      ended = program;
      tell("ended", detail);
    });
    source.onerror = async () => {
      if (!ended) tell("lost");
      if (source.readyState !== EventSource.CLOSED) return;
      later(again);
      const cause = await refusal();
      if (!ended && cause) tell("lost", { cause });
    };
  };
  open();
}

/** refusal returns the text with which the stream is refused, which an EventSource does not tell. */
async function refusal() {
  const enough = new AbortController();
  try {
    const answer = await fetch("api/events", { signal: enough.signal });
    return answer.ok ? "" : await answer.text();
  } catch {
    return "";
  } finally {
    enough.abort();
  }
}
