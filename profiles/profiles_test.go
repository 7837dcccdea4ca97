package profiles_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/multiprolabtest"
	"github.com/multiprolab/multiprolab/profiles"
)

// spinHere spins. The profiles name it.
func spinHere(ctx context.Context) {
	for ctx.Err() == nil {
	}
}

func newApp() *multiprolab.Main {
	app := multiprolab.New(&multiprolab.Config{Shutdown: multiprolab.KillAll})
	setup := func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.Handle(w, "spin", func(ctx context.Context, _ struct{}) error { spinHere(ctx); return nil })
		return nil
	}
	app.RegisterWorker("spinner", setup, &multiprolab.WorkerConfig{Count: 2})
	app.RegisterWorker("spinner/inner", setup, &multiprolab.WorkerConfig{Spare: 1})
	return app
}

func TestMain(m *testing.M) {
	multiprolabtest.Hook(newApp)
	os.Exit(m.Run())
}

func start(t *testing.T) *multiprolab.Main {
	t.Helper()
	app := newApp()
	require.NoError(t, app.Start(context.Background()))
	t.Cleanup(func() { _ = app.Close() }) // it tells that workers that spin were killed
	require.Eventually(t, func() bool {   // Start does not wait for the spare
		_, err := app.Dump(t.Context(), "spinner/inner/spare.0")
		return err == nil
	}, 30*time.Second, time.Millisecond)
	return app
}

// get asks a handler for a path.
func get(t *testing.T, h http.Handler, method, path string) *http.Response {
	t.Helper()
	r := httptest.NewRecorder()
	h.ServeHTTP(r, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	return r.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return string(b)
}

// The real tool reads the profiles of a worker that spins, through main.
func TestTool(t *testing.T) {
	app := start(t)
	require.NoError(t, multiprolab.Send(context.Background(), app, "spinner/1", "spin", nil))
	mux := http.NewServeMux()
	mux.Handle("/debug/pprof/", profiles.Handler(app, nil))
	server := httptest.NewServer(mux)
	defer server.Close()
	top := func(path string) string {
		url := server.URL + "/debug/pprof/" + path
		cmd := exec.Command("go", "tool", "pprof", "-top", "-symbolize=none", "-nodefraction=0", url)
		cmd.Env = append(os.Environ(), "PPROF_TMPDIR="+t.TempDir())
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		require.NoError(t, err, "%s", &stderr)
		return string(out)
	}
	for try := 0; ; try++ { // a busy machine may give it no time in a second
		out := top("spinner/1/profile?seconds=1")
		if strings.Contains(out, "profiles_test.spinHere") {
			break
		}
		require.Less(t, try, 20, out)
	}
	require.Contains(t, top("spinner/0/goroutine"), "Type: goroutine")
	require.Contains(t, top("spinner/inner/0/heap"), "Type: inuse_space")
	require.Contains(t, top("main/allocs"), "Type: alloc_space")
}

// Each form of an answer has its headers; traces and texts come as net/http/pprof has them.
func TestForms(t *testing.T) {
	h := profiles.Handler(start(t), nil)
	r := get(t, h, "GET", "/debug/pprof/spinner/0/trace?seconds=0.01")
	require.Equal(t, http.StatusOK, r.StatusCode)
	require.Equal(t, "application/octet-stream", r.Header.Get("Content-Type"))
	require.Equal(t, `attachment; filename="spinner_0-trace"`, r.Header.Get("Content-Disposition"))
	require.True(t, strings.HasPrefix(body(t, r), "go 1."))
	for path, want := range map[string]string{
		"spinner/0/goroutine?debug=2":   "goroutine 1 [",
		"spinner/0/goroutine?debug=1":   "goroutine profile: total ",
		"spinner/0/heap?debug=1&gc=1":   "heap profile: ",
		"spinner/inner/0/block?debug=1": "--- contention:",
		"main/threadcreate?debug=1":     "threadcreate profile: total ",
		"spinner/0/cmdline":             os.Args[0],
	} {
		for _, prefix := range []string{"/debug/pprof/", "/"} { // the second as with http.StripPrefix
			r := get(t, h, "GET", prefix+path)
			require.Equal(t, http.StatusOK, r.StatusCode, path)
			require.Equal(t, "text/plain; charset=utf-8", r.Header.Get("Content-Type"), path)
			require.Contains(t, body(t, r), want, path)
		}
	}
	r = get(t, h, "HEAD", "/debug/pprof/spinner/0/profile?seconds=3600") // it does not wait
	require.Equal(t, http.StatusOK, r.StatusCode)
	require.Equal(t, `attachment; filename="spinner_0-cpu"`, r.Header.Get("Content-Disposition"))
}

// The pages have links that lead somewhere.
func TestIndex(t *testing.T) {
	h := profiles.Handler(start(t), nil)
	for path, links := range map[string][]string{
		"":           {"main/", "spinner/0/", "spinner/1/", "spinner/inner/0/", "spinner/inner/spare.0/"},
		"spinner/":   {"0/", "1/"},
		"spinner/0/": {"goroutine?debug=1", "heap?debug=1", "profile", "trace", "goroutine?debug=2"},
		"main/":      {"threadcreate?debug=1"},
	} {
		r := get(t, h, "GET", "/debug/pprof/"+path)
		require.Equal(t, http.StatusOK, r.StatusCode, path)
		require.Equal(t, "text/html; charset=utf-8", r.Header.Get("Content-Type"))
		page := body(t, r)
		for _, link := range links {
			require.Contains(t, page, `<a href="`+link+`">`, path)
			if link != "profile" && link != "trace" {
				require.Equal(t, http.StatusOK, get(t, h, "GET", "/debug/pprof/"+path+link).StatusCode, path+link)
			}
		}
	}
	for path, to := range map[string]string{"spinner/0": "0/", "main": "main/", "spinner": "spinner/"} {
		r := get(t, h, "GET", "/debug/pprof/"+path)
		require.Equal(t, http.StatusMovedPermanently, r.StatusCode)
		require.Equal(t, to, r.Header.Get("Location"))
	}
}

// What cannot be served is an answer with the right status that says what to do.
func TestErrors(t *testing.T) {
	app := start(t)
	h := profiles.Handler(app, nil)
	for _, c := range []struct {
		method, path string
		status       int
		says         string
	}{
		{"POST", "main/heap", http.StatusMethodNotAllowed, "only GET"},
		{"GET", "nobody/0/heap", http.StatusNotFound, "there is no worker"},
		{"GET", "spinner/7/heap", http.StatusNotFound, "there is no worker"},
		{"GET", "../../etc/passwd", http.StatusNotFound, "there is no worker"},
		{"GET", "main/<script>", http.StatusNotFound, `there is no profile "<script>"`},
		{"GET", "spinner/1/nonsense", http.StatusNotFound, `there is no profile "nonsense"`},
		{"GET", "main/heap?seconds=x", http.StatusBadRequest, "seconds="},
		{"GET", "main/heap?seconds=0", http.StatusBadRequest, "seconds="},
		{"GET", "main/heap?seconds=-1", http.StatusBadRequest, "seconds="},
		{"GET", "main/heap?seconds=NaN", http.StatusBadRequest, "seconds="},
		{"GET", "main/profile?seconds=1e99", http.StatusBadRequest, "more than a day"},
		{"GET", "main/heap?seconds=1", http.StatusNotImplemented, "Config.Combine"},
		{"GET", "heap", http.StatusNotImplemented, "name one worker, such as main"},
		{"GET", "spinner/heap", http.StatusNotImplemented, "name one worker, such as spinner/0"},
		{"GET", "spinner/trace", http.StatusBadRequest, "name one worker, such as spinner/0"},
		{"GET", "heap?debug=1", http.StatusBadRequest, "leave debug out"},
	} {
		r := get(t, h, c.method, "/debug/pprof/"+c.path)
		require.Equal(t, c.status, r.StatusCode, c.path)
		require.Equal(t, "text/plain; charset=utf-8", r.Header.Get("Content-Type"), "no browser takes it for a page")
		require.Equal(t, "nosniff", r.Header.Get("X-Content-Type-Options"))
		require.Empty(t, r.Header.Get("Content-Disposition"))
		require.Contains(t, body(t, r), c.says, c.path)
	}
	_ = app.Close() // it tells that the workers were killed
	require.Equal(t, http.StatusServiceUnavailable, get(t, h, "GET", "/debug/pprof/spinner/0/heap").StatusCode)
	require.Equal(t, http.StatusOK, get(t, h, "GET", "/debug/pprof/main/heap").StatusCode)
}

// What is no number is as if it were not there, as net/http/pprof has it.
func TestParametersThatAreNoNumbers(t *testing.T) {
	h := profiles.Handler(start(t), nil)
	for path, kind := range map[string]string{
		"main/heap?debug=x":                 "application/octet-stream",
		"main/heap?gc=-1":                   "application/octet-stream",
		"main/goroutine?debug=-1":           "text/plain; charset=utf-8",
		"spinner/0/trace?seconds=x":         "application/octet-stream",
		"spinner/0/trace?seconds=0&debug=1": "application/octet-stream",
		"spinner/0/trace?seconds=NaN":       "application/octet-stream",
	} {
		r := get(t, h, "GET", "/debug/pprof/"+path)
		require.Equal(t, http.StatusOK, r.StatusCode, path)
		require.Equal(t, kind, r.Header.Get("Content-Type"), path)
		require.NotEmpty(t, body(t, r), path)
	}
}

// A profile takes its time, also if the server has a WriteTimeout that is shorter.
func TestProfilesOutlastTheWriteTimeout(t *testing.T) {
	h := profiles.Handler(start(t), nil)
	for name, c := range map[string]struct {
		h      http.Handler
		path   string
		status int
	}{
		"longer":  {h, "spinner/0/trace?seconds=0.4", http.StatusOK},
		"default": {h, "spinner/0/trace", http.StatusOK},
		"no way": {http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(struct{ http.ResponseWriter }{w}, r) // as a middleware without Unwrap does
		}), "spinner/0/profile", http.StatusBadRequest},
	} {
		server := httptest.NewUnstartedServer(c.h)
		server.Config.WriteTimeout = 200 * time.Millisecond
		server.Start()
		r, err := http.Get(server.URL + "/debug/pprof/" + c.path)
		require.NoError(t, err, name)
		require.Equal(t, c.status, r.StatusCode, name)
		if c.status != http.StatusOK {
			require.Contains(t, body(t, r), "WriteTimeout of 200ms", name)
		} else {
			require.NotEmpty(t, body(t, r), name)
		}
		require.NoError(t, r.Body.Close())
		server.Close()
	}
}

// combiner notes what it gets.
type combiner struct {
	parts []profiles.Part
	err   error
}

func (c *combiner) Merge(w io.Writer, parts []profiles.Part) error {
	c.parts = parts
	if c.err != nil {
		return c.err
	}
	_, err := io.WriteString(w, "merged")
	return err
}

func (c *combiner) Delta(w io.Writer, before, after []byte) error {
	if len(before) == 0 || len(after) == 0 {
		return errors.New("a profile is missing")
	}
	_, err := io.WriteString(w, "delta")
	return err
}

// A Combiner gets the profiles of all workers, those of one pool, and what was before and after.
func TestCombine(t *testing.T) {
	c := &combiner{}
	h := profiles.Handler(start(t), &profiles.Config{Combine: c})
	workers := func(path, want string) (names []string) {
		r := get(t, h, "GET", "/debug/pprof/"+path)
		require.Equal(t, http.StatusOK, r.StatusCode)
		require.Equal(t, want, body(t, r))
		for _, p := range c.parts {
			require.NoError(t, p.Err)
			require.NotEmpty(t, p.Profile)
			names = append(names, p.Worker)
		}
		return names
	}
	require.Equal(t, []string{"main", "spinner/0", "spinner/1", "spinner/inner/0", "spinner/inner/spare.0"},
		workers("heap", "merged"))
	require.Equal(t, []string{"spinner/0", "spinner/1"}, workers("spinner/profile?seconds=0.01", "merged"))
	workers("spinner/heap?seconds=0.01", "merged")
	require.Equal(t, "delta", string(c.parts[0].Profile))
	c.parts = nil
	workers("spinner/0/heap?seconds=0.01", "delta")
	require.Contains(t, body(t, get(t, h, "GET", "/debug/pprof/")), `<a href="profile">`)
	require.Equal(t, http.StatusOK, get(t, h, "GET", "/debug/pprof/nonsense").StatusCode)
	require.ErrorContains(t, c.parts[0].Err, `there is no profile "nonsense"`)
	c.err = errors.New("they do not fit")
	r := get(t, h, "GET", "/debug/pprof/heap")
	require.Equal(t, http.StatusInternalServerError, r.StatusCode)
	require.Equal(t, "they do not fit\n", body(t, r))
}

// broken is an http.ResponseWriter whose client goes away in the middle.
type broken struct{ *httptest.ResponseRecorder }

func (b broken) Write(p []byte) (int, error) {
	return len(p) / 2, errors.New("the client is gone")
}

// An answer that breaks off is not taken for whole: the connection ends.
func TestBrokenOff(t *testing.T) {
	h := profiles.Handler(start(t), nil)
	require.PanicsWithError(t, http.ErrAbortHandler.Error(), func() {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/spinner/0/heap", nil)
		h.ServeHTTP(broken{httptest.NewRecorder()}, r)
	})
}

// collector is a Combiner that keeps what it is given.
type collector struct{ parts []profiles.Part }

func (c *collector) Merge(_ io.Writer, parts []profiles.Part) error {
	c.parts = parts
	return nil
}

func (c *collector) Delta(w io.Writer, _, after []byte) error {
	_, err := w.Write(after)
	return err
}

// However many workers there are, a request keeps a bounded size of their profiles; the others are
// named, and say why they are left out.
func TestRoomForPartsIsBounded(t *testing.T) {
	var c collector
	h := profiles.Handler(start(t), &profiles.Config{Combine: &c})
	require.Equal(t, http.StatusOK, get(t, h, "GET", "/heap").StatusCode)
	require.Len(t, c.parts, 5, "the workers, the spare and main")
	size := 0
	for _, p := range c.parts {
		require.NoError(t, p.Err)
		size += len(p.Profile)
	}
	room := size / 2
	profiles.WithRoom(h, int64(room))
	require.Equal(t, http.StatusOK, get(t, h, "GET", "/heap").StatusCode)
	require.Len(t, c.parts, 5)
	size, left := 0, 0
	for _, p := range c.parts {
		require.NotEmpty(t, p.Worker)
		if p.Err != nil {
			require.ErrorContains(t, p.Err, "ask for fewer workers")
			require.Empty(t, p.Profile)
			left++
		}
		size += len(p.Profile)
	}
	require.Positive(t, left)
	require.LessOrEqual(t, size, room)
}

// The real tool needs no symbol service, and says nothing of that it finds none.
func TestToolWithoutSymbolService(t *testing.T) {
	mux := http.NewServeMux()
	asked := make(chan string, 100)
	h := profiles.Handler(start(t), nil)
	mux.HandleFunc("/debug/pprof/", func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		h.ServeHTTP(w, r)
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	cmd := exec.Command("go", "tool", "pprof", "-top", "-symbolize=remote", "-nodefraction=0",
		server.URL+"/debug/pprof/spinner/0/goroutine")
	cmd.Env = append(os.Environ(), "PPROF_TMPDIR="+t.TempDir())
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "runtime.gopark")
	close(asked)
	for path := range asked {
		require.Equal(t, "/debug/pprof/spinner/0/goroutine", path)
	}
}
