package browsertest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/dashboard"
)

// everything allows everything, and tells the page ten times a second what has changed.
var everything = &dashboard.Config{Allow: dashboard.AllowAll, Interval: 100 * time.Millisecond, Title: "the farm"}

// twice has a task of the mailers tried twice, so that it is dead after that.
var twice = &multiprolab.TaskOptions{
	Queue:    "mail",
	Attempts: 2,
	Retry:    multiprolab.RetryPolicy{First: time.Millisecond},
}

// click clicks at the element of a selector of CSS, or at the one of these whose text it is.
func (b *tab) click(selector, text string) {
	b.t.Helper()
	b.until(fmt.Sprintf(`(() => {
		const found = [...document.querySelectorAll(%q)].find((e) => !%q || e.textContent === %q);
		if (!found || !found.checkVisibility() || found.disabled) return false;
		found.scrollIntoView({ block: "center" });
		found.click();
		return true;
	})()`, selector, text, text))
}

// shows waits until the text of an element has a part.
func (b *tab) shows(selector, text string) {
	b.t.Helper()
	b.until(fmt.Sprintf(`document.querySelector(%q)?.textContent.includes(%q)`, selector, text))
}

// row is a row of the table of processes, as cells by the titles of their columns.
type row = map[string]string

// rows returns a table as it is shown, by the first cell of each row.
func (b *tab) rows(table string) map[string]row {
	b.t.Helper()
	return ask[map[string]row](b, fmt.Sprintf(`(() => {
		const table = document.getElementById(%q), rows = {};
		const titles = [...table.tHead.rows[0].cells].map((c) => c.textContent);
		for (const tr of table.tBodies[0].rows) {
			if (tr.className === "detail") continue;
			const cells = [...tr.cells].map((c, i) => [titles[i], c.textContent]);
			rows[tr.cells[0].textContent] = Object.fromEntries(cells);
		}
		return rows;
	})()`, table))
}

// drawer opens what is below the row of a process, if it is not open.
func (b *tab) drawer(name string) {
	b.t.Helper()
	b.until(fmt.Sprintf(`(() => {
		const button = [...document.querySelectorAll("#processes-table .open")].find((e) => e.textContent === %q);
		if (button?.getAttribute("aria-expanded") === "false") button.click();
		return button?.getAttribute("aria-expanded") === "true";
	})()`, name))
}

// inDrawer clicks at a button below the row of a process.
func (b *tab) inDrawer(name, action string) {
	b.t.Helper()
	b.drawer(name)
	b.until(fmt.Sprintf(`(() => {
		const opens = [...document.querySelectorAll("#processes-table .open")];
		const row = opens.find((e) => e.textContent === %q).closest("tr");
		row.nextElementSibling.querySelector("[data-action=%s]").click();
		return true;
	})()`, name, action))
}

// yes answers the question that the page asks.
func (b *tab) yes() {
	b.t.Helper()
	b.until(`document.getElementById("question").open`)
	b.click("#question-yes", "")
	b.until(`!document.getElementById("question").open`)
}

// worker returns what Stats says of a worker.
func worker(app *multiprolab.Main, name string) *multiprolab.WorkerStats {
	s := app.Stats()
	if i := slices.IndexFunc(s.Workers, func(w multiprolab.WorkerStats) bool { return w.Name == name }); i >= 0 {
		return &s.Workers[i]
	}
	return nil
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, patience, 10*time.Millisecond, what)
}

// While workers are killed, from the page and from outside, the page shows what Stats says, is never
// blank, and nothing in it goes wrong.
func TestThePageAgreesWithStats(t *testing.T) {
	app := start(t, "agree")
	stop := till(app)
	b := open(t, serve(t, app, everything), 1280, 900)
	b.until(`document.querySelectorAll("#processes-table tbody tr").length === 11`)
	ask[bool](b, `(() => { // notes the least that was ever shown
		const count = () => document.querySelectorAll("#processes-table tbody tr:not(.detail)").length;
		window.least = count();
		new MutationObserver(() => { window.least = Math.min(window.least, count()) })
			.observe(document.body, { childList: true, subtree: true });
		return true;
	})()`)
	for i := range 6 {
		name := fmt.Sprintf("renderer/%d", i%4)
		life := worker(app, name).Life
		if i%2 == 0 {
			b.inDrawer(name, "kill")
			b.yes()
		} else {
			eventually(t, "a process to kill", func() bool { return app.Kill(name) == nil })
		}
		eventually(t, "its next life", func() bool {
			w := worker(app, name)
			return w.Life > life && w.State == multiprolab.StateReady || w.State == multiprolab.StateBusy
		})
		b.until(
			fmt.Sprintf(
				`[...document.querySelectorAll("#events-list li")].some((e) => e.textContent.includes("failed %s"))`,
				name,
			),
		)
	}
	stop()
	require.NoError(t, app.Tasks().Join(t.Context()))

	var shownTypes, shownQueues map[string]row
	b.until(`document.querySelector("#connection").dataset.state === "live"`)
	begun := time.Now()
	for { // what is shown is at most a snapshot behind
		s, workers := app.Stats(), b.rows("processes-table")
		shownTypes, shownQueues = b.rows("types-table"), b.rows("queues-table")
		wrong := disagreement(s, workers, shownTypes, shownQueues)
		if wrong == "" {
			break
		}
		require.Less(t, time.Since(begun), patience, wrong)
	}
	require.EqualValues(t, 11, ask[int](b, `window.least`))
	require.Empty(t, b.errors())
}

// disagreement returns where the page does not show what Stats says.
func disagreement(s *multiprolab.Stats, workers, types, queues map[string]row) string {
	number := func(text string) string { return strings.ReplaceAll(text, ",", "") }
	for _, w := range s.Workers {
		got := workers[w.Name]
		state, _, _ := strings.Cut(got["State"], " ")
		have := fmt.Sprintln(number(got["PID"]), got["Restarts"], number(got["Tasks"]), state)
		if want := fmt.Sprintln(w.Process.PID, w.Restarts, w.Tasks, w.State); have != want {
			return fmt.Sprintf("%s: %s is shown, %s is so", w.Name, have, want)
		}
		if w.LastDeath != nil && !strings.HasPrefix(got["Last death"], string(w.LastDeath.Cause)+", ") {
			return fmt.Sprintf("%s: the last death is shown as %q", w.Name, got["Last death"])
		}
	}
	for _, x := range s.Types {
		got := types[x.Type]
		have := fmt.Sprintln(number(got["Succeeded"]), number(got["Failed"]), number(got["Retried"]))
		if want := fmt.Sprintln(x.Succeeded, x.Failed, x.Retried); have != want {
			return fmt.Sprintf("type %s: %s is shown, %s is so", x.Type, have, want)
		}
	}
	for _, q := range s.Queues {
		of := queues[q.Name]
		have := fmt.Sprintln(number(of["Ready"]), number(of["Throttled"]), number(of["Dead"]))
		if want := fmt.Sprintln(q.Ready, q.Throttled, q.Dead); have != want {
			return fmt.Sprintf("queue %s: %s is shown, %s is so", q.Name, have, want)
		}
	}
	return ""
}

// Each button does what it says, by mouse or keyboard, and what has the focus keeps it.
func TestButtons(t *testing.T) {
	app := start(t, "buttons")
	b := open(t, serve(t, app, everything), 1280, 900)
	b.until(`document.querySelectorAll("#processes-table tbody tr").length === 11`)
	fail := func(n int) {
		for range n {
			_, err := app.Tasks().Submit(t.Context(), "mail", job{Fail: "550 no such user"}, twice)
			require.NoError(t, err)
		}
		require.NoError(t, app.Tasks().Join(t.Context()))
	}
	dead := func() int { return len(app.Tasks().Dead()) }

	fail(3)
	b.until(`document.querySelectorAll("#dead-list > li").length === 3`)
	b.shows("#dead-list .cause", "550 no such user")
	b.click("#dead-list .open", "")
	b.shows("#dead-list pre", "550 no such user")
	b.click("#queues-table button", "Pause") // that of the first queue
	eventually(t, "the pause", func() bool { return paused(app) == 1 })
	b.click("#queues-table button", "Resume")
	eventually(t, "the end of the pause", func() bool { return paused(app) == 0 })

	b.click("#dead-list button", "Discard")
	b.until(`document.querySelectorAll("#dead-list > li").length === 2`)
	require.Equal(t, 2, dead())
	before := time.Now()
	b.click("#dead-list button", "Retry")
	eventually(t, "it has failed again", func() bool { return dead() == 2 && app.Tasks().Dead()[1].At.After(before) })
	b.until(`document.querySelectorAll("#dead-list > li").length === 2`)
	b.click("#dead-tools button", "Discard all")
	b.shows("#question-title", "Discard all 2 dead tasks?")
	b.click("#question-no", "")
	require.Equal(t, 2, dead())
	b.click("#dead-tools button", "Discard all")
	b.yes()
	require.Zero(t, dead())
	b.until(`document.querySelectorAll("#dead-list > li").length === 0`)

	b.inDrawer("renderer", "resize")
	b.until(`document.getElementById("question").open`)
	ask[bool](b, `(() => { document.querySelector("#question-number input").value = 5; return true })()`)
	b.yes()
	b.until(`[...document.querySelectorAll("#processes-table .open")].some((e) => e.textContent === "renderer/4")`)
	require.NotNil(t, worker(app, "renderer/4"))
	b.inDrawer("renderer", "resize")
	b.until(`document.getElementById("question").open`)
	ask[bool](b, `(() => { document.querySelector("#question-number input").value = 0; return true })()`)
	b.click("#question-yes", "")
	b.shows("#question-error", "at least one worker")
	b.click("#question-no", "")

	life := worker(app, "mailer/0").Life
	b.inDrawer("mailer/0", "restart")
	b.yes()
	require.Equal(t, life+1, worker(app, "mailer/0").Life)
	b.inDrawer("mailer/1", "kill")
	b.yes()
	eventually(t, "the death", func() bool {
		d := worker(app, "mailer/1").LastDeath
		return d != nil && d.Cause == multiprolab.CauseKill
	})

	require.Contains(
		t,
		ask[string](
			b,
			`fetch([...document.querySelectorAll("#processes-table a")].find((e) => e.href.includes("mailer/1")).href)
				.then((r) => r.text())`,
		),
		"heap",
	)
	b.inDrawer("indexer/0", "dump")
	b.until(`[...document.querySelectorAll("#processes-table pre")].some((e) => e.textContent.includes("goroutine 1"))`)
	_, err := app.Tasks().Submit(t.Context(), "index", job{Print: "a line of it"}, nil)
	require.NoError(t, err)
	b.until(
		`[...document.querySelectorAll("#processes-table pre")].some((e) => e.textContent.includes("a line of it"))`,
	)

	// sorted by a column, either way, and as before
	sorts := func() string {
		return ask[string](
			b,
			`[...document.querySelectorAll("#processes-table th[aria-sort]")]
				.map((e) => e.textContent + " " + e.getAttribute("aria-sort")).join()`,
		)
	}
	require.Empty(t, sorts())
	b.click("#processes-table thead button", "Restarts")
	require.Equal(t, "Restarts descending", sorts())
	b.click("#processes-table thead button", "Restarts")
	require.Equal(t, "Restarts ascending", sorts())
	b.click("#processes-table thead button", "Restarts")
	require.Empty(t, sorts())

	// held, the page stays as it is; let go, it shows the present
	b.click("#hold", "")
	b.shows("#connection", "held at")
	fail(1)
	require.Never(
		t,
		func() bool { return ask[int](b, `document.querySelectorAll("#dead-list > li").length`) > 0 },
		time.Second,
		100*time.Millisecond,
	)
	b.click("#hold", "")
	b.until(`document.querySelectorAll("#dead-list > li").length === 1`)

	// by keyboard: Enter opens the row that has the focus, which stays there while rows change
	ask[bool](
		b,
		`(() => {
			[...document.querySelectorAll("#processes-table .open")].find((e) => e.textContent === "renderer/2").focus();
			return true;
		})()`,
	)
	b.do(chromedp.KeyEvent(kb.Enter))
	b.until(`document.activeElement.getAttribute("aria-expanded") === "true"`)
	seen := ask[string](b, `document.getElementById("uptime").textContent`)
	require.NoError(t, app.Resize("renderer", 2))
	require.NoError(t, app.Resize("renderer", 3))
	b.until(`document.getElementById("uptime").textContent !== ` + strconv.Quote(seen))
	require.Contains(
		t,
		[]string{"renderer/2", ""},
		ask[string](b, `document.activeElement === document.body ? "" : document.activeElement.textContent`),
	)

	for _, want := range []string{"Light", "Dark", "Auto"} {
		b.click("#theme", "")
		b.shows("#theme", want)
	}
	require.Empty(
		t,
		slices.DeleteFunc(b.errors(), func(e string) bool { return strings.Contains(e, "422") }),
	) // the size of 0
}

// paused returns how many queues are paused.
func paused(app *multiprolab.Main) (n int) {
	for _, q := range app.Stats().Queues {
		if q.Paused {
			n++
		}
	}
	return n
}

// What somebody can put into an error, a panic or a line of output is text, however long it is.
func TestHostileTexts(t *testing.T) {
	app := start(t, "hostile")
	cfg := *everything
	cfg.Title = hostile
	b := open(t, serve(t, app, &cfg), 1280, 900)
	b.until(`document.querySelectorAll("#processes-table tbody tr").length === 11`)
	long := hostile + strings.Repeat("<b>bold", 1<<17)
	for _, j := range []job{{Fail: hostile}, {Fail: long}, {Panic: hostile}, {Print: hostile}, {Print: long}} {
		_, err := app.Tasks().Submit(t.Context(), "mail", j, twice)
		require.NoError(t, err)
		require.NoError(t, app.Tasks().Join(t.Context()))
	}
	for _, name := range []string{"mailer/0", "mailer/1"} {
		b.drawer(name)
	}
	b.until(`document.querySelectorAll("#dead-list > li").length === 3`)
	ask[bool](
		b,
		`(() => {
		for (const e of document.querySelectorAll("#dead-list .open, #events-list .open")) e.click();
		return true;
	})()`,
	)
	b.shows("#dead-list", `<img src=x onerror="window.owned=1"><script>`)
	b.shows("#events-list", `<img src=x onerror=`)
	b.shows("#processes-table", `<b>bold<b>bold`)
	b.shows("#program", `<img src=x`)
	text := ask[string](b, `document.body.textContent`)
	require.NotContains(t, text, "\x1b")
	require.NotContains(t, text, "\u202e")
	require.NotContains(t, text, "\x00")
	require.Less(t, len(text), 1<<20)
	require.Zero(t, ask[int](b, `document.querySelectorAll("img, body script, b").length`))
	require.False(t, ask[bool](b, `"owned" in window`))
	require.LessOrEqual(t, ask[int](b, `document.documentElement.scrollWidth`), 1280)
	require.Empty(t, b.errors())
}

// Another site that somebody has open at the same time gets nothing out of the page, and does
// nothing by it.
func TestOtherOrigins(t *testing.T) {
	app := start(t, "origins")
	url := serve(t, app, everything)
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(
			w,
			`<iframe id=frame src="`+url+`"></iframe>
			<form id=form method=post enctype="text/plain" target=_blank action="`+url+`api/actions/kill">
			<input name='{"worker":"renderer/0","x":"' value='"}'></form>`,
		)
	}))
	t.Cleanup(evil.Close)
	b := open(t, evil.URL, 800, 600)
	order := `{"worker": "renderer/0", "size": 9, "queue": "mail", "all": true}`
	for _, action := range []string{"kill", "resize", "restart", "pause"} {
		for _, options := range []string{
			`{method: "POST", body: %q}`,
			`{method: "POST", mode: "no-cors", body: %q}`,
			`{method: "POST", headers: {"Content-Type": "application/json"}, body: %q}`,
			`{method: "POST", mode: "no-cors", credentials: "include", body: %q}`,
		} {
			got := ask[string](
				b,
				fmt.Sprintf(
					`fetch(%q, `+options+`).then((r) => r.type + " " + r.status, () => "refused")`,
					url+"api/actions/"+action,
					order,
				),
			)
			require.Contains(t, []string{"refused", "opaque 0"}, got)
		}
	}
	ask[bool](b, `(() => { document.getElementById("form").submit(); return true })()`)
	require.Equal(
		t,
		"refused",
		ask[string](b, fmt.Sprintf(`fetch(%q).then((r) => r.text(), () => "refused")`, url+"api/stats")),
	)
	require.Equal(t, "error", ask[string](b, fmt.Sprintf(`new Promise((done) => {
		const source = new EventSource(%q);
		source.onmessage = () => done("message");
		source.addEventListener("sample", () => done("sample"));
		source.onerror = () => done("error");
	})`, url+"api/events")))
	require.True(
		t,
		ask[bool](
			b,
			`(() => { try { return !document.getElementById("frame").contentDocument } catch { return true } })()`,
		),
	)

	// the page itself is served meanwhile, and nothing has happened
	b.do(chromedp.Navigate(url))
	b.until(`document.querySelectorAll("#processes-table tbody tr").length === 11`)
	s := app.Stats()
	require.Len(t, s.Workers, 7)
	for _, w := range s.Workers {
		require.Equal(t, 1, w.Life, w.Name)
	}
	require.Zero(t, paused(app))
}

// On a phone nothing is wider than the screen; what is shown has names for those who do not see it,
// and can be told from its ground in either colours.
func TestPhone(t *testing.T) {
	app := start(t, "phone")
	stop := till(app)
	defer stop()
	b := open(t, serve(t, app, everything), 360, 740)
	b.do(chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile, chromedp.EmulateTouch))
	b.until(
		`document.querySelectorAll("#processes-table tbody tr").length === 11 &&
			document.querySelectorAll("#types-table tbody tr").length > 1`,
	)
	b.drawer("renderer")
	b.drawer("renderer/0")
	for _, scheme := range []string{"light", "dark"} {
		b.scheme(scheme)
		require.Empty(
			t,
			ask[string](
				b,
				`[...document.querySelectorAll("body *")].filter((e) => e.checkVisibility() &&
			e.getBoundingClientRect().right > 361 && !e.closest(".scroll, nav, .unseen, .grow"))
			.map((e) => e.tagName + " " + e.id + " " + e.className).join(", ")`,
			),
		)
		require.LessOrEqual(t, ask[int](b, `document.documentElement.scrollWidth`), 360)
		require.Empty(t, ask[string](b, contrast), scheme)
	}
	require.Empty(
		t,
		ask[string](
			b,
			`[...document.querySelectorAll("button, a, input")].filter((e) => e.checkVisibility() &&
				!(e.getAttribute("aria-label") || e.textContent || e.closest("label"))).map((e) => e.outerHTML).join()`,
		),
	)
	require.Empty(
		t,
		ask[string](
			b,
			`[...document.querySelectorAll("#processes-table tbody tr:not(.detail)")].map((tr) => tr.cells[0])
				.filter((cell) => cell.tagName !== "TH" || cell.scope !== "row").map((e) => e.textContent).join()`,
		),
	)
	require.Equal(t, 1, ask[int](b, `document.querySelectorAll("h1").length`))
	require.Equal(t, 1, ask[int](b, `document.querySelectorAll("[aria-live]").length`))
	require.Empty(t, b.errors())
}

// contrast lists the pairs of colours that people with weak eyes could not tell apart: text needs 4.5
// to 1, by the Web Content Accessibility Guidelines 2.2, 1.4.3.
const contrast = `(() => {
	const probe = document.body.appendChild(document.createElement("i")), wrong = [];
	const light = (name) => {
		probe.style.color = "var(" + name + ")";
		const linear = (x) => (x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
		const [r, g, b] = getComputedStyle(probe).color.match(/[\d.]+/g).map((x) => linear(x / 255));
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const pairs = "ink paper, quiet paper, quiet ground, bad paper, warn paper, accent-ink accent, paper bad";
	for (const [ink, ground] of pairs.split(", ").map((p) => p.split(" ").map((name) => "--" + name))) {
		const a = light(ink), b = light(ground), ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < 4.5) wrong.push(ink + " on " + ground + ": " + ratio.toFixed(2));
	}
	probe.remove();
	return wrong.join(", ");
})()`

// When the connection breaks the page says so, keeps what it shows, and comes back; when the program
// ends, it says that.
func TestTheEndIsShown(t *testing.T) {
	app := start(t, "end")
	b := open(t, serve(t, app, everything), 1280, 900)
	b.until(`document.querySelectorAll("#processes-table tbody tr").length === 11`)
	server.CloseClientConnections()
	b.until(`document.querySelector("#announcer").textContent.startsWith("no connection since")`)
	b.until(`document.querySelector("#connection").dataset.state === "live"`)
	require.Equal(t, 11, ask[int](b, `document.querySelectorAll("#processes-table tbody tr").length`))

	require.NoError(t, app.Close())
	b.shows("#connection", "the program has ended")
	require.Equal(t, 11, ask[int](b, `document.querySelectorAll("#processes-table tbody tr").length`))
	b.shows("#processes-table", "stopped")
	server.Close()
	require.Equal(t, "ended", ask[string](b, `document.querySelector("#connection").dataset.state`))
	require.Empty(
		t,
		slices.DeleteFunc(b.errors(), func(e string) bool { return strings.Contains(e, "ERR_") }),
	) // the broken connection
}

// TestPictures keeps pictures of the page with work on it, in light and dark, and on a phone.
func TestPictures(t *testing.T) {
	app := start(t, "pictures")
	stop := till(app)
	defer stop()
	cfg := *everything
	cfg.Title, cfg.Interval = "studio", time.Second
	b := open(t, serve(t, app, &cfg), 1280, 1176) // up to the end of a panel
	up := func(pattern string) { b.until(pattern + `.test(document.getElementById("uptime").textContent)`) }
	up(`/up (1\d|[2-9]\d) s/`)
	if *pictures != "" {
		up(`/up [4-9]\d s/`)
		up(`/up 1 min/`) // the timeline is full
	}
	for _, scheme := range []string{"light", "dark"} {
		b.scheme(scheme)
		ask[bool](b, `new Promise((done) => new MutationObserver(() => done(true))
			.observe(document.getElementById("uptime"), { childList: true, characterData: true, subtree: true }))`)
		b.present("dashboard-" + scheme)
		b.shoot("whole-" + scheme)
	}
	b.do(chromedp.EmulateViewport(360, 740, chromedp.EmulateScale(2), chromedp.EmulateMobile))
	b.drawer("renderer/1")
	b.until(`document.getElementById("lanes").getBoundingClientRect().right < 361`)
	b.shoot("phone")
	require.Empty(t, b.errors())
}
