// The stream of snapshots, and its state: "connecting", "live", "lost", "ended".

const again = 2000; // ms after which a refused stream is asked for again; the browser does the rest by itself

/** live calls take(data) for each message, and tell(state, text) for each change of the stream. */
export function live({ hello, sample, happened, tell }) {
  let ended = false;
  const open = () => {
    const source = new EventSource("api/events");
    source.addEventListener("hello", (e) => {
      tell("live");
      hello(JSON.parse(e.data));
    });
    source.addEventListener("sample", (e) => {
      tell("live");
      sample(JSON.parse(e.data));
    });
    source.addEventListener("events", (e) => happened(JSON.parse(e.data)));
    source.addEventListener("ended", (e) => {
      ended = true;
      source.close();
      tell("ended", JSON.parse(e.data));
    });
    source.onerror = () => {
      if (ended) return;
      tell("lost");
      if (source.readyState === EventSource.CLOSED) setTimeout(open, again);
    };
  };
  open();
}
