package browsertest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/dashboard"
	"github.com/multiprolab/multiprolab/profiles"
)

// ready is how a page that shows the farm looks.
const ready = `document.querySelectorAll("#processes-table tbody tr").length === 11`

// fail has n tasks of a program fail for good.
func fail(t *testing.T, app *multiprolab.Main, n int) {
	t.Helper()
	for range n {
		_, err := app.Tasks().Submit(t.Context(), "mail", job{Fail: "550 no such user"}, twice)
		require.NoError(t, err)
	}
	require.NoError(t, app.Tasks().Join(t.Context()))
}

// The second click of a double click does not hit the task that has moved below the pointer.
func TestDoubleClick(t *testing.T) {
	app := start(t, "double")
	b := open(t, serve(t, app, everything), 1280, 900)
	b.until(ready)
	fail(t, app, 3)
	b.until(`document.querySelectorAll("#dead-list > li").length === 3`)
	click := func(detail int) {
		ask[bool](b, fmt.Sprintf(`document.querySelector("#dead-list [data-action=discard]")
			.dispatchEvent(new MouseEvent("click", { bubbles: true, detail: %d }))`, detail))
	}
	click(1)
	b.until(`document.querySelectorAll("#dead-list > li").length === 2`)
	click(2)
	click(1)
	b.until(`document.querySelectorAll("#dead-list > li").length === 1`)
	require.Len(t, app.Tasks().Dead(), 1)
	require.Empty(t, b.errors())
}

// Who works with the keyboard does not lose the place when a row goes away, and is told what has come
// of it.
func TestTheFocusStaysInTheList(t *testing.T) {
	app := start(t, "focus")
	b := open(t, serve(t, app, everything), 1280, 900)
	b.until(ready)
	fail(t, app, 2)
	b.until(`document.querySelectorAll("#dead-list > li").length === 2`)
	for left := 1; left >= 0; left-- {
		ask[bool](b, `(() => { document.querySelector("#dead-list [data-action=discard]").focus(); return true })()`)
		b.do(chromedp.KeyEvent(kb.Enter))
		b.until(fmt.Sprintf(`document.querySelectorAll("#dead-list > li").length === %d`, left))
		b.until(`document.activeElement.closest("#dead") !== null`)
		require.False(t, ask[bool](b, `"action" in document.activeElement.dataset`))
		b.shows("#announcer", "1 task is forgotten")
		ask[bool](b, `(() => { document.querySelector("#announcer").textContent = ""; return true })()`)
	}
	require.Empty(t, b.errors())
}

// An action that comes to its end after somebody has gone on does not answer the next question.
func TestALateEndLeavesTheNextQuestionAlone(t *testing.T) {
	app := start(t, "late")
	b := open(t, serve(t, app, everything), 1280, 900)
	b.until(ready)
	_, err := app.Tasks().Submit(t.Context(), "index", job{For: 4 * time.Second}, nil)
	require.NoError(t, err)
	eventually(t, "the task runs", func() bool { return len(worker(app, "indexer/0").Running) == 1 })
	b.inDrawer("indexer/0", "restart")
	b.click("#question-yes", "")
	b.until(`document.getElementById("question-yes").disabled`)
	b.click("#question-no", "")
	b.inDrawer("mailer/0", "kill")
	b.shows("#question-title", "Kill mailer/0?")
	b.shows("#announcer", "indexer/0 has been replaced")
	require.True(t, ask[bool](b, `document.getElementById("question").open`))
	require.False(t, ask[bool](b, `document.getElementById("question-yes").disabled`))
	b.yes()
	eventually(t, "the death", func() bool { return worker(app, "mailer/0").LastDeath != nil })
	require.Equal(t, 2, worker(app, "indexer/0").Life)
	require.Empty(t, b.errors())
}

// When another program comes in place of one that has ended, the page shows it.
func TestTheNextProgramIsShown(t *testing.T) {
	first, second := start(t, "first"), start(t, "second")
	page := func(app *multiprolab.Main, title string) *http.Handler {
		cfg := *everything
		cfg.Title = title
		h := dashboard.Handler(app, &cfg)
		return &h
	}
	var now atomic.Pointer[http.Handler]
	now.Store(page(first, "the first"))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(*now.Load()).ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	b := open(t, s.URL, 1280, 900)
	b.until(ready)
	fail(t, first, 1)
	b.until(`document.querySelectorAll("#dead-list > li").length === 1`)
	require.NoError(t, first.Close())
	b.shows("#connection", "the program has ended")
	now.Store(page(second, "the second"))
	b.shows("#program", "the second")
	b.until(`document.querySelector("#connection").dataset.state === "live"`)
	b.until(`document.querySelectorAll("#dead-list > li").length === 0`)
	b.until(ready)
	require.Empty(t, b.errors())
}

// A page that is opened later shows what the last minute was, also to those who do not see it.
func TestTheLastMinuteIsShownToWhoComesLater(t *testing.T) {
	app := start(t, "minute")
	url := serve(t, app, everything)
	b := open(t, url, 1280, 900)
	b.until(ready)
	_, err := multiprolab.Do[string](t.Context(), app, "index", job{For: 2 * time.Second})
	require.NoError(t, err)
	eventually(t, "the kill", func() bool { return app.Kill("mailer/1") == nil })
	lanes := `[...document.querySelectorAll("#lane-table tr")].map((tr) => tr.textContent).join()`
	b.until(`/indexer\/0\d+(\.\d)? %index/.test(` + lanes + `)`)
	b.until(lanes + `.includes("kill")`)
	late := open(t, url, 1280, 900)
	late.until(ready)
	late.until(`/indexer\/0\d+(\.\d)? %index/.test(` + lanes + `)`)
	late.until(lanes + `.includes("kill")`)
	points := `document.querySelector("#gauges .spark path:last-child").getAttribute("d").split("L").length`
	require.Greater(t, ask[int](late, points), 2)
	require.Empty(t, late.errors())
}

// A page whose stream is refused says why.
func TestARefusalIsShown(t *testing.T) {
	app := start(t, "refused")
	h := dashboard.Handler(app, nil)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/events" {
			w = struct{ http.ResponseWriter }{w} // as a middleware that cannot be flushed
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	b := open(t, s.URL, 1280, 900)
	b.shows("#connection", "no connection: dashboard: what the page is told cannot be flushed")
}

// What is held stays as it is, events as well; let go, the page has all of it.
func TestHoldHoldsEvents(t *testing.T) {
	app := start(t, "hold")
	b := open(t, serve(t, app, everything), 1280, 900)
	b.until(ready)
	b.until(`document.querySelectorAll("#events-list li").length >= 7`)
	b.click("#hold", "")
	before := ask[int](b, `document.querySelectorAll("#events-list li").length`)
	eventually(t, "the kill", func() bool { return app.Kill("mailer/1") == nil })
	eventually(t, "its next life", func() bool { return worker(app, "mailer/1").Life == 2 })
	other := open(t, server.URL+"/the/workers/", 800, 600) // it has heard of it
	other.shows("#events-list", "mailer/1 life 2")
	require.Equal(t, before, ask[int](b, `document.querySelectorAll("#events-list li").length`))
	b.click("#hold", "")
	b.shows("#events-list", "mailer/1 life 2")
	require.Empty(t, b.errors())
}

// sums is a profiles.Combiner whose profiles are texts.
type sums struct{}

func (sums) Merge(w io.Writer, parts []profiles.Part) error {
	_, err := fmt.Fprintf(w, "the sum of %d", len(parts))
	return err
}

func (sums) Delta(io.Writer, []byte, []byte) error { return context.Canceled }

// The profiles of all processes together are a click away, if there are any.
func TestTheMergedProfileIsOffered(t *testing.T) {
	app := start(t, "merged")
	links := func(cfg *dashboard.Config) string {
		b := open(t, serve(t, app, cfg), 1280, 900)
		b.until(ready)
		defer func() { require.Empty(t, b.errors()) }()
		return ask[string](b, `Promise.all([...document.querySelectorAll("#profiles a")].map(async (a) =>
			a.textContent + ": " + (a.href.endsWith("/heap") ? await (await fetch(a.href)).text() : "")))
			.then((all) => all.join(", "))`)
	}
	require.Empty(t, links(&dashboard.Config{Combine: sums{}}), "it is not allowed")
	require.Equal(t, "Profiles: ", links(everything))
	cfg := *everything
	cfg.Combine = sums{}
	require.Equal(t, "Profiles: , profile of all: , heap of all: the sum of 8, goroutine of all: ", links(&cfg))
}

// The timeline says what ran also if no snapshot has seen it run, and if snapshots are far apart.
func TestWhatTheTimelineKnows(t *testing.T) {
	b := open(t, serve(t, start(t, "model"), everything), 1280, 900)
	b.until(ready)
	known := func(interval int, types string) string {
		return ask[string](b, fmt.Sprintf(`import(new URL("model.js", document.baseURI)).then(({ Model }) => {
			const model = new Model(), none = { succeeded: 0, failed: 0, cancelled: 0, running: 0 };
			model.longest = Math.max(10, 3 * %d);
			for (const n of [0, 1, 2]) {
				model.take({
					time: new Date(1e12 + n * %[1]d * 1000).toISOString(), messages: {}, wire: {}, tasks: none,
					workers: [{ name: "w/0", index: 0, state: "busy", busy: n * 5e8 }],
					types: %[2]s.map((type) => ({ ...none, type, succeeded: n })),
				});
			}
			return model.runs.get("w/0").shares.map((s) => s.type ?? "?").join(" ");
		})`, interval, types))
	}
	require.Equal(t, "a a", known(1, `["a"]`))
	require.Equal(t, "a a", known(20, `["a"]`))
	require.Equal(t, "? ?", known(1, `["a", "b"]`))
	require.Empty(t, b.errors())
}
