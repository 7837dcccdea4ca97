package dashboard_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"runtime/pprof"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/dashboard"
)

// patience is how long anything here may take. It is no measure of speed.
const patience = 30 * time.Second

// start starts a program of two workers, whose tasks fail with the text that they get, if they get
// any.
func start(t *testing.T) *multiprolab.Main {
	app := multiprolab.New(&multiprolab.Config{InProcess: true, Name: "dashboard"})
	app.RegisterWorker("worker", func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "fail", func(_ context.Context, text string) (string, error) {
			if text != "" {
				return "", errors.New(text)
			}
			return w.Name(), nil
		})
		return nil
	}, &multiprolab.WorkerConfig{Count: 2})
	require.NoError(t, app.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, app.Close()) })
	return app
}

// serve serves the page under a prefix.
func serve(t *testing.T, app *multiprolab.Main, cfg *dashboard.Config) (url string) {
	mux := http.NewServeMux()
	mux.Handle("/a/b/", http.StripPrefix("/a/b", dashboard.Handler(app, cfg)))
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL + "/a/b/"
}

// answered is the answer to a request.
type answered struct {
	status int
	header http.Header
	body   string
}

// ask sends a request; change may change it before.
func ask(t *testing.T, method, url, body string, change func(r *http.Request)) answered {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if change != nil {
		change(r)
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := (&http.Client{CheckRedirect: stay}).Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answered{resp.StatusCode, resp.Header, string(text)}
}

// bury submits a task that fails, and waits until it is in the list of the dead.
func bury(t *testing.T, app *multiprolab.Main, text string) (id uint64) {
	t.Helper()
	before := len(app.Tasks().Dead())
	_, err := multiprolab.DoWith[string](t.Context(), app, "fail", text, &multiprolab.TaskOptions{
		Attempts: 2, Retry: multiprolab.RetryPolicy{First: time.Millisecond},
	})
	require.Error(t, err)
	require.Eventually(t, func() bool { return len(app.Tasks().Dead()) == before+1 }, patience, time.Millisecond)
	return app.Tasks().Dead()[before].ID
}

// The page works under a prefix, with all that it refers to and nothing from elsewhere, and lets
// the browser run nothing that is not a file of it.
func TestThePageIsWhole(t *testing.T) {
	url := serve(t, start(t), nil)
	index := ask(t, "GET", url, "", nil)
	require.Equal(t, http.StatusOK, index.status)
	require.NotContains(t, index.body, "style=")
	require.NotRegexp(t, `\bon\w+=`, index.body)
	policy := index.header.Get("Content-Security-Policy")
	for part := range strings.SplitSeq("default-src 'none'; script-src 'self'; style-src 'self'; frame-ancestors 'none'; "+
		"require-trusted-types-for 'script'", "; ") {
		require.Contains(t, policy, part)
	}
	require.NotContains(t, policy, "unsafe")

	files := os.DirFS("assets")
	seen := 0
	require.NoError(t, fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		seen++
		a := ask(t, "GET", url+name, "", nil)
		require.Equal(t, http.StatusOK, a.status, name)
		require.NotEmpty(t, a.header.Get("Content-Type"), name)
		require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
		again := ask(
			t,
			"GET",
			url+name,
			"",
			func(r *http.Request) { r.Header.Set("If-None-Match", a.header.Get("ETag")) },
		)
		require.Equal(t, http.StatusNotModified, again.status, name)
		for _, address := range regexp.MustCompile(`(?:https?:)?//[a-z0-9.-]+\.[a-z]+`).FindAllString(a.body, -1) {
			require.Equal(t, "http://www.w3.org", address, "%s: nothing comes from elsewhere", name)
		}
		refers := regexp.MustCompile(`(?:from|href=|src=) ?"\./?([\w.]+)"|(?:href|src)="([\w.]+)"`)
		for _, m := range refers.FindAllStringSubmatch(a.body, -1) {
			_, err := fs.Stat(files, m[1]+m[2])
			require.NoError(t, err, "%s refers to it", name)
		}
		require.NotRegexp(t, `innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(`, a.body, name)
		return nil
	}))
	require.Greater(t, seen, 10)

	require.Equal(t, http.StatusNotFound, ask(t, "GET", url+"..%2fdashboard.go", "", nil).status)
	require.Equal(t, http.StatusNotFound, ask(t, "GET", url+"nothing.js", "", nil).status)
}

// Whatever a prefix is stripped to, the page is found, with the slash that its names need.
func TestMounted(t *testing.T) {
	h := dashboard.Handler(start(t), nil)
	for name, c := range map[string]struct {
		h        http.Handler
		path     string
		location string
	}{
		"at the root":             {h, "/", ""},
		"below a prefix":          {http.StripPrefix("/x/y", h), "/x/y/", ""},
		"without its slash":       {http.StripPrefix("/x/y", h), "/x/y", "./y/"},
		"stripped with the slash": {http.StripPrefix("/x/y/", h), "/x/y/", ""},
		"a file, so stripped":     {http.StripPrefix("/x/y/", h), "/x/y/app.js", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			r := httptest.NewRequest("GET", c.path, nil)
			r.Host = "localhost:8080"
			c.h.ServeHTTP(w, r)
			require.Equal(t, c.location, w.Header().Get("Location"))
			if c.location == "" {
				require.Equal(t, http.StatusOK, w.Code)
			}
		})
	}
}

// The data is what the methods of Main return.
func TestTheDataIsThatOfStats(t *testing.T) {
	app := start(t)
	url := serve(t, app, nil)
	id := bury(t, app, "the first\nand the rest")
	_, err := multiprolab.Do[string](t.Context(), app, "fail", "")
	require.NoError(t, err)

	a := ask(t, "GET", url+"api/stats", "", nil)
	require.Equal(t, "application/json", a.header.Get("Content-Type"))
	var got multiprolab.Stats
	d := json.NewDecoder(strings.NewReader(a.body))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&got))
	require.Len(t, got.Workers, 2)
	text := func(s *multiprolab.Stats) string { // without what two readings may tell differently
		s.Time, s.Main, s.Wire = time.Time{}, multiprolab.ProcessStats{}, multiprolab.WireStats{}
		for i := range s.Workers {
			s.Workers[i].Process, s.Workers[i].Wire = multiprolab.ProcessStats{}, multiprolab.WireStats{}
		}
		for i := range s.Queues {
			s.Queues[i].Rate = 0 // falls as time passes
		}
		j, err := json.Marshal(s)
		require.NoError(t, err)
		return string(j)
	}
	require.JSONEq(t, text(app.Stats()), text(&got))

	var dead struct {
		Total int
		Tasks []struct {
			ID, Queue, Type, Cause string
			At                     time.Time
			Attempts               []struct{ Worker, Error string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(ask(t, "GET", url+"api/dead", "", nil).body), &dead))
	require.Equal(t, 1, dead.Total)
	require.Equal(t, strconv.FormatUint(id, 10), dead.Tasks[0].ID)
	require.Equal(t, "fail", dead.Tasks[0].Type)
	require.Len(t, dead.Tasks[0].Attempts, 2)
	require.Contains(t, dead.Tasks[0].Attempts[1].Error, "the first\nand the rest")
	require.NotContains(t, dead.Tasks[0].Cause, "\n")

	require.Equal(t, http.StatusOK, ask(t, "GET", url+"api/stderr?worker=worker/1", "", nil).status)
	require.Equal(t, http.StatusNotFound, ask(t, "GET", url+"api/stderr?worker=other/1", "", nil).status)
}

// orders are all actions, with a body that would do something.
var orders = map[dashboard.Action]string{
	dashboard.Retry: `{"all": true}`, dashboard.Discard: `{"all": true}`, dashboard.Pause: `{"queue": "default"}`,
	dashboard.Resize: `{"worker": "worker", "size": 5}`, dashboard.Restart: `{"worker": "worker"}`,
	dashboard.Kill: `{"worker": "worker/0"}`, dashboard.Dump: `{"worker": "worker/0"}`,
}

// untouched holds that no action has done anything to a program with one dead task.
func untouched(t *testing.T, app *multiprolab.Main) {
	t.Helper()
	s := app.Stats()
	require.Len(t, s.Workers, 2)
	require.Len(t, app.Tasks().Dead(), 1)
	for _, w := range s.Workers {
		require.Equal(t, 1, w.Life)
		require.NotEqual(t, multiprolab.StateStopping, w.State)
	}
	for _, q := range s.Queues {
		require.False(t, q.Paused)
	}
}

// Without a configuration the page only looks.
func TestActionsAreRefusedByDefault(t *testing.T) {
	app := start(t)
	bury(t, app, "no")
	url := serve(t, app, nil)
	for action, body := range orders {
		a := ask(t, "POST", url+"api/actions/"+string(action), body, nil)
		require.Equal(t, http.StatusForbidden, a.status, action)
		require.Contains(t, a.body, "Config.Allow", action)
	}
	require.Equal(t, http.StatusForbidden, ask(t, "POST", url+"api/actions/resume", `{"queue": "default"}`, nil).status)
	require.Equal(t, http.StatusForbidden, ask(t, "GET", url+"debug/pprof/worker/0/heap", "", nil).status)
	untouched(t, app)
}

// Config.Allow is asked for each request, with the action.
func TestAllow(t *testing.T) {
	app := start(t)
	bury(t, app, "no")
	url := serve(t, app, &dashboard.Config{Allow: func(r *http.Request, a dashboard.Action) bool {
		return a == dashboard.Pause && r.Header.Get("User") == "ada"
	}})
	for action, body := range orders {
		ada := func(r *http.Request) { r.Header.Set("User", "ada") }
		want := http.StatusForbidden
		if action == dashboard.Pause {
			want = http.StatusOK
		}
		require.Equal(
			t,
			http.StatusForbidden,
			ask(t, "POST", url+"api/actions/"+string(action), body, nil).status,
			action,
		)
		require.Equal(t, want, ask(t, "POST", url+"api/actions/"+string(action), body, ada).status, action)
	}
	require.True(t, app.Stats().Queues[0].Paused)
}

// What another site makes the browser of somebody send does nothing and tells nothing, also if
// everything is allowed, and under a name that the other site has given to this address.
func TestOtherSites(t *testing.T) {
	app := start(t)
	bury(t, app, "no")
	url := serve(t, app, &dashboard.Config{Allow: dashboard.AllowAll, Hosts: []string{"admin.example.com"}})
	foreign := map[string]func(r *http.Request){
		"another site":            func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"another port":            func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		"another origin":          func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
		"no origin":               func(r *http.Request) { r.Header.Set("Origin", "null") },
		"another name":            func(r *http.Request) { r.Host = "evil.example" },
		"another name, our port":  func(r *http.Request) { r.Host = "evil.example:8080" },
		"a name that looks alike": func(r *http.Request) { r.Host = "127.0.0.1.evil.example" },
		"no name":                 func(r *http.Request) { r.Host = "-" },
		"a form": func(r *http.Request) {
			r.Header.Set("Content-Type", "text/plain")
		},
	}
	for name, change := range foreign {
		for action, body := range orders {
			status := ask(t, "POST", url+"api/actions/"+string(action), body, change).status
			require.Contains(
				t,
				[]int{http.StatusForbidden, http.StatusMisdirectedRequest, http.StatusUnsupportedMediaType},
				status,
				"%s, %s",
				name,
				action,
			)
		}
		if strings.Contains(name, "name") || strings.Contains(name, "site") || strings.Contains(name, "port") {
			for path := range strings.FieldsSeq(
				"api/stats api/events api/dead api/stderr?worker=worker/0 debug/pprof/worker/0/heap",
			) {
				require.Contains(
					t,
					[]int{http.StatusForbidden, http.StatusMisdirectedRequest},
					ask(t, "GET", url+path, "", change).status,
					name,
				)
			}
		}
	}
	untouched(t, app)
	for host := range strings.FieldsSeq(
		"admin.example.com ADMIN.example.com:80 localhost:1 [::1]:8080 10.1.2.3 app.localhost",
	) {
		require.Equal(t, http.StatusOK, ask(t, "GET", url, "", func(r *http.Request) { r.Host = host }).status, host)
	}
}

// Each action does what it says, and says why it does not.
func TestActions(t *testing.T) {
	app := start(t)
	url := serve(t, app, &dashboard.Config{Allow: dashboard.AllowAll})
	do := func(action, body string, status int, says string) {
		t.Helper()
		a := ask(t, "POST", url+"api/actions/"+action, body, nil)
		require.Equal(t, status, a.status, a.body)
		require.Contains(t, a.body, says)
	}
	first, second := bury(t, app, "one"), bury(t, app, "two")
	do("pause", `{"queue": "default"}`, http.StatusOK, "queue default is paused")
	do("retry", fmt.Sprintf(`{"ids": ["%d"]}`, first), http.StatusOK, "1 task is back in the queue")
	require.Len(t, app.Tasks().Dead(), 1)
	require.EqualValues(t, 1, app.Tasks().Stats().Queued)
	do("discard", fmt.Sprintf(`{"ids": ["%d"]}`, second), http.StatusOK, "1 task is forgotten")
	do("discard", `{"all": true}`, http.StatusUnprocessableEntity, "no such dead task")
	do("resume", `{"queue": "default"}`, http.StatusOK, "queue default goes on")
	require.Eventually(t, func() bool { return len(app.Tasks().Dead()) == 1 }, patience, time.Millisecond)
	do("retry", `{"all": true}`, http.StatusOK, "1 task is back")

	do("resize", `{"worker": "worker", "size": 3}`, http.StatusOK, "pool worker has 3 workers")
	require.Len(t, app.Stats().Workers, 3)
	do("restart", `{"worker": "worker/1"}`, http.StatusOK, "worker/1 has been replaced")
	require.Equal(t, 2, app.Stats().Workers[1].Life)
	require.Equal(t, http.StatusOK, ask(t, "GET", url+"debug/pprof/worker/0/heap", "", nil).status)
	require.Contains(t, ask(t, "GET", url+"debug/pprof/main/", "", nil).body, "goroutine")
	do("dump", `{"worker": "main"}`, http.StatusOK, "goroutine ")

	for _, wrong := range []struct{ action, body, says string }{
		{"resize", `{"worker": "worker", "size": 0}`, "at least one"},
		{"resize", `{"worker": "worker", "size": 1000000}`, "more than 1000"},
		{"resize", `{"worker": "nobody", "size": 2}`, "nobody"},
		{"restart", `{"worker": ""}`, `"worker"`},
		{"restart", `{"worker": "nobody"}`, "nobody"},
		{"kill", `{"worker": "nobody/0"}`, "nobody/0"},
		{"kill", `{}`, "worker"},
		{"dump", `{"worker": "nobody/0"}`, "nobody/0"},
		{"retry", `{}`, `"ids"`},
		{"discard", `{}`, `"ids"`},
		{"discard", `{"ids": ["x"]}`, "no id"},
		{"discard", `{"ids": ["1"], "all": true}`, "not both"},
		{"pause", `{}`, `"queue"`},
		{"resume", `{}`, `"queue"`},
	} {
		do(wrong.action, wrong.body, http.StatusUnprocessableEntity, wrong.says)
	}
	do("explode", `{}`, http.StatusNotFound, "explode")
	do("kill", `{`, http.StatusBadRequest, "body")
	do("kill", `{"worker": "`+strings.Repeat("x", 1<<20)+`"}`, http.StatusBadRequest, "body")
}

// message is a server-sent event.
type message struct{ name, data string }

// stream opens the stream of a client. It returns what comes until the end of the test, of the
// stream, or of leave.
func stream(t *testing.T, url string) (messages <-chan message, leave func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", url+"api/events", nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	c := make(chan message)
	go func() {
		defer close(c)
		defer resp.Body.Close()
		var m message
		lines := bufio.NewReader(resp.Body)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			switch name {
			case "event":
				m.name = value
			case "data":
				m.data = value
			case "":
				select {
				case c <- m:
				case <-ctx.Done():
					return
				}
				m = message{}
			}
		}
	}()
	return c, cancel
}

// await returns the next message of a name for which ok is true.
func await(t *testing.T, messages <-chan message, name string, ok func(data string) bool) string {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case m, open := <-messages:
			require.True(t, open, "the stream has ended without %s", name)
			if m.name == name && (ok == nil || ok(m.data)) {
				return m.data
			}
		case <-late:
			require.FailNow(t, "waited in vain for "+name)
		}
	}
}

// samplers returns how many goroutines take snapshots.
func samplers(t *testing.T) int {
	var b bytes.Buffer
	require.NoError(t, pprof.Lookup("goroutine").WriteTo(&b, 2))
	return strings.Count(b.String(), "dashboard.(*watch).run(")
}

// All who look share one goroutine, and there is none when nobody looks.
func TestOneGoroutineForAll(t *testing.T) {
	app := start(t)
	url := serve(
		t,
		app,
		&dashboard.Config{
			Interval: time.Millisecond,
			Title:    "the title",
			Allow: func(_ *http.Request, a dashboard.Action) bool {
				return a == dashboard.Retry
			},
		},
	)
	require.Zero(t, samplers(t))
	for range 2 { // it comes again
		var leaves []func()
		for range 3 {
			messages, leave := stream(t, url)
			leaves = append(leaves, leave)
			hello := await(t, messages, "hello", nil)
			require.Contains(t, hello, `"title":"the title","allow":["retry"]`)
			sample := await(t, messages, "sample", nil)
			var got struct{ Stats multiprolab.Stats }
			require.NoError(t, json.Unmarshal([]byte(sample), &got))
			require.Len(t, got.Stats.Workers, 2)
			require.Contains(t, await(t, messages, "events", nil), `"title":"ready"`) // those from before as well
			await(t, messages, "sample", nil)
		}
		require.Equal(t, 1, samplers(t))
		for _, leave := range leaves {
			leave()
		}
		require.Eventually(t, func() bool { return samplers(t) == 0 }, patience, time.Millisecond)
	}
}

// The stream says what happens, and in the end that the program has ended, and why. Who comes later
// is shown the last state.
func TestTheStreamEndsWithTheProgram(t *testing.T) {
	app := start(t)
	url := serve(t, app, &dashboard.Config{Interval: time.Millisecond})
	messages, _ := stream(t, url)
	await(t, messages, "sample", nil)
	require.NoError(t, app.Restart(t.Context(), "worker/1"))
	await(t, messages, "events", func(data string) bool { return strings.Contains(data, `"title":"stopped"`) })
	require.NoError(t, app.Close())
	require.Contains(t, await(t, messages, "ended", nil), "exit")
	_, open := <-messages
	require.False(t, open)

	late, _ := stream(t, url)
	await(t, late, "sample", nil)
	await(t, late, "ended", nil)
	require.Eventually(t, func() bool { return samplers(t) == 0 }, patience, time.Millisecond)
	require.Equal(t, http.StatusOK, ask(t, "GET", url+"api/stats", "", nil).status)
}

// Before the start there is a page, too.
func TestBeforeTheStart(t *testing.T) {
	app := multiprolab.New(&multiprolab.Config{InProcess: true, Name: "later"})
	url := serve(t, app, nil)
	messages, leave := stream(t, url)
	await(t, messages, "sample", nil)
	leave()
	require.Equal(t, http.StatusOK, ask(t, "GET", url+"api/stats", "", nil).status)
	require.JSONEq(t, `{"total": 0, "tasks": []}`, ask(t, "GET", url+"api/dead", "", nil).body)
}

// There is a bound to how many look.
func TestTooManyClients(t *testing.T) {
	url := serve(t, start(t), nil)
	for range 64 {
		messages, _ := stream(t, url)
		await(t, messages, "hello", nil)
	}
	require.Equal(t, http.StatusServiceUnavailable, ask(t, "GET", url+"api/events", "", nil).status)
}

func ExampleHandler() {
	app := multiprolab.New(&multiprolab.Config{InProcess: true, Name: "shown"})
	app.RegisterWorker("worker", func(context.Context, *multiprolab.Worker) error { return nil }, nil)
	page := dashboard.Handler(app, &dashboard.Config{
		// who may do what is for the program to say: here, those on this machine may pause queues
		Allow: func(r *http.Request, a dashboard.Action) bool {
			return a == dashboard.Pause && strings.HasPrefix(r.RemoteAddr, "127.0.0.1:")
		},
	})
	mux := http.NewServeMux()
	mux.Handle("/workers/", http.StripPrefix("/workers", page))
	server := httptest.NewServer(mux) // http.ListenAndServe("127.0.0.1:8080", mux)
	defer server.Close()

	if err := app.Start(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	defer app.Close()
	resp, err := http.Get(server.URL + "/workers/api/stats")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	var stats multiprolab.Stats
	fmt.Println(json.NewDecoder(resp.Body).Decode(&stats), stats.Workers[0].Name, stats.Workers[0].State)
	// Output: <nil> worker/0 ready
}
