package dashboard_test

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/dashboard"
)

// A server that shuts down does not wait for those who look.
func TestShutdownEndsTheStreams(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		s := httptest.NewUnstartedServer(dashboard.Handler(start(t), nil))
		s.EnableHTTP2 = protocol == "HTTP/2.0"
		s.StartTLS()
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/api/events", nil)
		require.NoError(t, err)
		resp, err := s.Client().Do(r)
		require.NoError(t, err)
		require.Equal(t, protocol, resp.Proto)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		require.NoError(t, s.Config.Shutdown(ctx), protocol)
		require.NoError(t, s.Config.Shutdown(ctx), protocol) // again
		require.NoError(t, resp.Body.Close())
		s.Close()
	}
}

// hidden is what a middleware makes of an http.ResponseWriter that does not say how to flush it.
type hidden struct{ http.ResponseWriter }

// Behind a middleware that holds everything back the page cannot be live, and says why.
func TestTheStreamNeedsAFlusher(t *testing.T) {
	h := dashboard.Handler(start(t), nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(hidden{w}, httptest.NewRequestWithContext(t.Context(), "GET", "http://localhost/api/events", nil))
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.Contains(t, w.Body.String(), "Unwrap")
	require.Contains(t, w.Header().Get("Content-Type"), "text/plain")
}

// clocked notes the last deadline.
type clocked struct {
	*httptest.ResponseRecorder

	deadline chan time.Time // each that is set
}

func (c clocked) SetWriteDeadline(t time.Time) error {
	c.deadline <- t
	return nil
}

// A deadline that was set for one message does not end the stream while there is nothing to say.
func TestNoDeadlineBetweenMessages(t *testing.T) {
	h := dashboard.Handler(start(t), &dashboard.Config{Interval: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	w := clocked{httptest.NewRecorder(), make(chan time.Time)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "http://localhost/api/events", nil))
	}()
	messages := 0
	for range 2 { // hello, and the first snapshot
		require.False(t, (<-w.deadline).IsZero())
		require.True(t, (<-w.deadline).IsZero())
		messages++
	}
	cancel()
	for open := true; open; {
		select {
		case <-w.deadline:
		case <-done:
			open = false
		}
	}
	require.Equal(t, 2, messages)
}

// stuck is an http.ResponseWriter whose client does not read.
type stuck struct {
	net.Conn

	header http.Header
}

func (s stuck) Header() http.Header { return s.header }
func (stuck) WriteHeader(int)       {}
func (stuck) FlushError() error     { return nil }

// A client that does not read is dropped, and nothing is left of it.
func TestAClientThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := dashboard.Handler(start(t), nil)
		here, there := net.Pipe()
		begun := time.Now()
		h.ServeHTTP(stuck{here, http.Header{}},
			httptest.NewRequestWithContext(t.Context(), "GET", "http://localhost/api/events", nil))
		require.GreaterOrEqual(t, time.Since(begun), 10*time.Second)
		require.NoError(t, there.Close())
		synctest.Wait()
		require.Zero(t, samplers(t))
	})
}

// past is what the tests look at in a history.
type past struct {
	Time    time.Time
	Workers []struct {
		Name    string
		Running []struct{ Type string }
	}
	Tasks struct{ Succeeded int }
}

// Who comes later is shown the last minute as well, as far as somebody has looked; so is who comes
// again.
func TestTheLastMinuteIsKept(t *testing.T) {
	app := start(t)
	url := serve(t, app, &dashboard.Config{Interval: 100 * time.Millisecond})
	first, leave := stream(t, url)
	await(t, first, "sample", nil)
	_, err := multiprolab.Do[string](t.Context(), app, "fail", "")
	require.NoError(t, err)
	await(t, first, "sample", func(data string) bool { return strings.Contains(data, `"succeeded":1`) })
	history := func() (all []past) {
		messages, leave := stream(t, url)
		defer leave()
		require.NoError(t, json.Unmarshal([]byte(await(t, messages, "history", nil)), &all))
		return all
	}
	all := history()
	require.Len(t, all[0].Workers, 2)
	require.Zero(t, all[0].Tasks.Succeeded)
	leave()
	require.Eventually(t, func() bool { return samplers(t) == 0 }, patience, time.Millisecond)
	require.Equal(t, all[0].Time, history()[0].Time)
}

// Wherever the page is mounted, no path leads out of there, and a method that is not served gets an
// answer that says which one is.
func TestPathsAndMethods(t *testing.T) {
	url := serve(t, start(t), &dashboard.Config{Allow: dashboard.AllowAll})
	a := ask(t, "GET", url+"debug/pprof", "", nil)
	require.Equal(t, "pprof/", a.header.Get("Location"))
	for path := range strings.FieldsSeq("api/../api//stats debug//pprof/ .//index.html api/stats/ nothing/ %2e%2e/") {
		a := ask(t, "GET", url+path, "", nil)
		if to := a.header.Get("Location"); to != "" {
			require.True(t, strings.HasPrefix(to, "/a/b/"), "%s leads to %s", path, to)
		} else {
			require.Equal(t, http.StatusNotFound, a.status, path)
		}
	}
	for path := range strings.FieldsSeq("api/stats api/dead api/events api/stderr?worker=worker/0 index.html " +
		"debug/pprof/main/heap") {
		require.Equal(t, http.StatusOK, ask(t, "HEAD", url+path, "", nil).status, path)
		for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "TRACE"} {
			a := ask(t, method, url+path, "", nil)
			require.Equal(t, http.StatusMethodNotAllowed, a.status, "%s %s", method, path)
			require.Equal(t, "GET, HEAD", a.header.Get("Allow"))
		}
	}
	for _, method := range []string{"GET", "HEAD", "PUT", "OPTIONS"} {
		a := ask(t, method, url+"api/actions/kill", "", nil)
		require.Equal(t, http.StatusMethodNotAllowed, a.status, method)
		require.Equal(t, "POST", a.header.Get("Allow"))
	}
}

// An action has the time that it takes, whatever the server's WriteTimeout.
func TestActionsOutlastTheWriteTimeout(t *testing.T) {
	app := multiprolab.New(&multiprolab.Config{InProcess: true, Name: "slow"})
	app.RegisterWorker("worker", func(ctx context.Context, w *multiprolab.Worker) error {
		if w.Life() > 1 {
			<-time.After(300 * time.Millisecond) // the new life takes its time
		}
		return nil
	}, nil)
	require.NoError(t, app.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, app.Close()) })
	s := httptest.NewUnstartedServer(dashboard.Handler(app, &dashboard.Config{Allow: dashboard.AllowAll}))
	s.Config.WriteTimeout = 50 * time.Millisecond
	s.Start()
	t.Cleanup(s.Close)
	a := ask(t, "POST", s.URL+"/api/actions/restart", `{"worker": "worker"}`, nil)
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.Contains(t, a.body, "replaced")
}

// A panic of Config.Allow is that of its request alone: who looks goes on, and nothing is done.
func TestAllowPanics(t *testing.T) {
	app := start(t)
	bury(t, app, "no")
	s := httptest.NewUnstartedServer(dashboard.Handler(app, &dashboard.Config{
		Interval: time.Millisecond,
		Allow: func(r *http.Request, _ dashboard.Action) bool {
			if r.Header.Get("User") == "" {
				panic("nobody")
			}
			return true
		},
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	t.Cleanup(s.Close)
	for range 100 { // more than may look at the same time
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/api/events", nil)
		require.NoError(t, err)
		_, err = http.DefaultClient.Do(r)
		require.Error(t, err)
	}
	require.Eventually(t, func() bool { return samplers(t) == 0 }, patience, time.Millisecond)
	require.Equal(t, http.StatusOK, ask(t, "GET", s.URL+"/api/stats", "", nil).status)
	untouched(t, app)
}

// Behind a reverse proxy that changes the name and the path the page is live, and those who use it may
// do what is allowed, in browsers that send an Origin alone, too; other sites may not.
func TestBehindAProxy(t *testing.T) {
	app := start(t)
	bury(t, app, "no")
	behind := httptest.NewServer(dashboard.Handler(app, &dashboard.Config{
		Allow: dashboard.AllowAll, Hosts: []string{"*", "admin.example.com"}, Interval: time.Millisecond,
	}))
	t.Cleanup(behind.Close)
	to, err := url.Parse(behind.URL)
	require.NoError(t, err)
	proxy := httptest.NewServer(http.StripPrefix("/deep/inside", &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) },
	}))
	t.Cleanup(proxy.Close)
	page := proxy.URL + "/deep/inside/"
	messages, leave := stream(t, page)
	for range 3 {
		await(t, messages, "sample", nil)
	}
	leave()
	for origin, status := range map[string]int{
		"https://evil.example":                   http.StatusForbidden,
		"https://admin.example.com.evil.example": http.StatusForbidden,
		"null":                                   http.StatusForbidden,
		"http://admin.example.com":               http.StatusUnprocessableEntity, // done: there is no such task
		"https://admin.example.com":              http.StatusUnprocessableEntity,
	} {
		a := ask(t, "POST", page+"api/actions/discard", `{"ids": ["0"]}`, func(r *http.Request) {
			r.Host = "admin.example.com"
			r.Header.Set("Origin", origin)
		})
		require.Equal(t, status, a.status, "%s: %s", origin, a.body)
		a = ask(t, "POST", page+"api/actions/discard", `{"ids": ["0"]}`, func(r *http.Request) {
			r.Header.Set("Origin", origin)
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		})
		require.Equal(t, http.StatusForbidden, a.status, origin)
	}
	untouched(t, app)
}
