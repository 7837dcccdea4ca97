package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"
	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/multiprolabtest"
)

// asTop makes the test binary the program itself.
const asTop = "MULTIPROLAB_TOP_TEST"

func TestMain(m *testing.M) {
	multiprolabtest.Hook(newApp)
	if os.Getenv(asTop) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func newApp() *multiprolab.Main {
	app := multiprolab.New(nil)
	app.RegisterWorker("halver", func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "halve", func(_ context.Context, n int) (int, error) { return n / 2, nil })
		return nil
	}, &multiprolab.WorkerConfig{Count: 2})
	return app
}

// page serves the figures of a program that works, as the page does, until gone.
func page(t *testing.T) (url string, app *multiprolab.Main, gone *atomic.Bool) {
	t.Helper()
	app, gone = newApp(), &atomic.Bool{}
	multiprolabtest.Start(t, app)
	for n := range 5 {
		half, err := multiprolab.Do[int](t.Context(), app, "halve", n)
		require.NoError(t, err)
		require.Equal(t, n/2, half)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/lab/api/stats" || gone.Load() {
			http.NotFound(w, r)
			return
		}
		if err := json.NewEncoder(w).Encode(app.Stats()); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL + "/lab", app, gone
}

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe, args...)
	cmd.Env = append(os.Environ(), asTop+"=1", "TERM=xterm-256color")
	return cmd
}

// TestOnATerminal: the picture is live, the keys do what they say, and it outlives the program.
func TestOnATerminal(t *testing.T) {
	url, app, gone := page(t)
	cmd := command(t, "-every", "20ms", url)
	file, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 30, Cols: 120})
	require.NoError(t, err)
	screen := vt10x.New(vt10x.WithSize(120, 30), vt10x.WithWriter(file))
	drawn := make(chan struct{})
	go func() { // ends with the program, whose end is an error of the terminal
		defer close(drawn)
		_, _ = io.Copy(screen, file)
	}()
	shows := func(what string, ok func(lines []string) bool) {
		t.Helper()
		require.Eventually(t, func() bool { return ok(strings.Split(screen.String(), "\n")) },
			time.Minute, 10*time.Millisecond, "%s", what)
	}
	first := func(lines []string) string {
		for i, l := range lines {
			if strings.HasPrefix(l, "WORKER") {
				return strings.Fields(lines[i+1] + " -")[0]
			}
		}
		return ""
	}
	shows("the workers, the queue and the type", func(lines []string) bool {
		all := strings.Join(lines, "\n")
		return strings.Contains(all, "2 workers  tasks: 0 running, 0 queued, 5 done") && first(lines) == "halver/0" &&
			strings.Contains(all, "halver/1") && strings.Contains(all, "default") && strings.Contains(all, "halve ")
	})
	press := func(key string) {
		t.Helper()
		_, err := file.WriteString(key)
		require.NoError(t, err)
	}

	before := app.Stats().Workers[1].Process.PID
	require.NoError(t, app.Kill("halver/1"))
	shows("the replacement", func(lines []string) bool {
		for _, l := range lines {
			if f := strings.Fields(l); len(f) > 3 && f[0] == "halver/1" && f[1] == "ready" {
				return app.Stats().Workers[1].Process.PID != before
			}
		}
		return false
	})

	press(" ")
	shows("that it stands", func(lines []string) bool { return strings.HasPrefix(lines[0], "STOPPED at ") })
	press(" ")
	shows("that it goes on", func(lines []string) bool { return strings.HasPrefix(lines[0], "2 workers") })

	gone.Store(true)
	shows("that there is no answer, above the last picture", func(lines []string) bool {
		return strings.HasPrefix(lines[0], "NO ANSWER since ") && first(lines) == "halver/0"
	})
	press("q")
	require.NoError(t, cmd.Wait())
	require.NoError(t, file.Close())
	<-drawn
}

// TestIntoAPipe: one picture, and no control character.
func TestIntoAPipe(t *testing.T) {
	url, _, _ := page(t)
	out, err := command(t, "-every", "10ms", strings.TrimPrefix(url, "http://")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "2 workers  tasks: 0 running, 0 queued, 5 done")
	require.Regexp(t, `(?m)^halver/0 +ready `, string(out))
	require.Regexp(t, `(?m)^default +0 +0 +0 +0`, string(out))
	require.Regexp(t, `(?m)^halve +5 +0 +0 `, string(out))
	require.NotContains(t, string(out), "\x1b")
}

// TestWhatIsNoPage: each has an error that says what to give.
func TestWhatIsNoPage(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/object/api/stats":
			_, _ = io.WriteString(w, "{}") // a test sees what the client makes of it
		case "/html/api/stats":
			_, _ = io.WriteString(w, "<html>")
		default:
			http.NotFound(w, r)
		}
	}))
	defer other.Close()
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no URL":           {nil, 2, "usage: multiprolab-top"},
		"another scheme":   {[]string{"ftp://x"}, 2, "give the URL of the page, such as http://127.0.0.1:8080"},
		"nobody":           {[]string{"127.0.0.1:1"}, 1, "refused"},
		"nothing there":    {[]string{other.URL}, 1, "404 Not Found: is the page mounted there?"},
		"another object":   {[]string{other.URL + "/object"}, 1, "no snapshot of multiprolab"},
		"something else":   {[]string{other.URL + "/html"}, 1, "is the page mounted there?"},
		"a time too short": {[]string{"-every", "1us", other.URL}, 2, "usage: multiprolab-top"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := command(t, c.args...)
			out, err := cmd.CombinedOutput()
			require.Error(t, err)
			require.Equal(t, c.code, cmd.ProcessState.ExitCode(), "%s", out)
			require.Contains(t, string(out), c.says)
		})
	}
}

// TestHostileServer: what it says is text, in an error and in the picture.
func TestHostileServer(t *testing.T) {
	const hostile = "\x1b]0;title\x07\x1b[2J\u009b31m\u202e"
	status := func(w http.ResponseWriter) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 500 "+hostile+"\r\nContent-Length: 0\r\n\r\n") // a test sees what comes
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/500/api/stats":
			status(w)
		case "/away/api/stats":
			w.Header()["Location"] = []string{"http://127.0.0.1:1/\u009b31m"}
			w.WriteHeader(http.StatusFound)
		default:
			s := multiprolab.Stats{
				Time: time.Now(),
				Workers: []multiprolab.WorkerStats{{
					Name: hostile, State: hostile, Running: []multiprolab.RunningStats{{Kind: hostile, Type: hostile}},
				}},
				Queues: []multiprolab.QueueStats{{Name: hostile}},
				Types:  []multiprolab.TypeStats{{Type: hostile, Slowest: []multiprolab.SlowTask{{Worker: hostile}}}},
			}
			if err := json.NewEncoder(w).Encode(&s); err != nil {
				t.Error(err)
			}
		}
	}))
	defer server.Close()
	for _, path := range []string{"/500", "/away", ""} {
		out, err := command(t, "-every", "10ms", server.URL+path).CombinedOutput()
		require.Equal(t, path != "", err != nil, "%q", out)
		for _, no := range []string{"\x1b", "\x07", "\u009b", "\u202e"} {
			require.NotContains(t, string(out), no, "%s", path)
		}
	}
}

// TestPasswordIsNotShown: who gives one in the URL finds it in no error.
func TestPasswordIsNotShown(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, ok := r.BasicAuth(); !ok || password != "hunter2" {
			t.Error("the password has not come")
		}
		http.Error(w, "", http.StatusInternalServerError)
	}))
	defer server.Close()
	out, err := command(t, strings.Replace(server.URL, "://", "://me:hunter2@", 1)+"/#tasks").CombinedOutput()
	require.Error(t, err)
	require.NotContains(t, string(out), "hunter2")
	require.Contains(t, string(out), "500 Internal Server Error")
	require.NotContains(t, string(out), "is the page mounted there", "it is, and has failed")
	out, err = command(t, "http://me:hunter2@127.0.0.1:1:1").CombinedOutput()
	require.Error(t, err)
	require.NotContains(t, string(out), "hunter2")
}

// TestDumbTerminal: one picture, as into a pipe.
func TestDumbTerminal(t *testing.T) {
	url, _, _ := page(t)
	cmd := command(t, "-every", "10ms", url)
	cmd.Env = append(cmd.Env, "TERM=dumb")
	file, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 30, Cols: 120})
	require.NoError(t, err)
	out, _ := io.ReadAll(file) // the end of the program is an error of the terminal
	require.NoError(t, cmd.Wait())
	require.NoError(t, file.Close())
	require.Contains(t, string(out), "2 workers  tasks: 0 running, 0 queued, 5 done")
	require.NotContains(t, string(out), "\x1b")
}

// TestPictureOfAnySize: it has no more lines than there is room for, the first one is always there,
// and so is something of the queues and the types, however many workers there are.
func TestPictureOfAnySize(t *testing.T) {
	s := &multiprolab.Stats{
		Time: time.Now(), Queues: make([]multiprolab.QueueStats, 3), Types: make([]multiprolab.TypeStats, 40),
	}
	for i := range 200 {
		s.Workers = append(s.Workers, multiprolab.WorkerStats{Name: fmt.Sprint("w/", i), State: "ready"})
	}
	for height := range 60 {
		for _, width := range []int{0, 1, 7, 40, 200} {
			p := &picture{now: s, width: width, height: height}
			text := p.text()
			lines := strings.Split(text, "\n")
			if height == 0 {
				require.Greater(t, len(lines), 240)
				continue
			}
			require.LessOrEqual(t, len(lines), height)
			for _, l := range lines {
				require.LessOrEqual(t, len(l), cmp.Or(width, 1000))
			}
			require.True(t, strings.HasPrefix(lines[0], "0 workers"[:min(9, cmp.Or(width, 9)-1)]), "%q", lines[0])
			if height >= 20 && width == 200 {
				for _, has := range []string{"WORKER", "QUEUE", "TYPE", "w/0", "more workers", "more types"} {
					require.Contains(t, text, has, "%d", height)
				}
			}
		}
	}
}

// TestKeysAreShown: who sees the picture sees the keys.
func TestKeysAreShown(t *testing.T) {
	p := &picture{now: &multiprolab.Stats{Time: time.Now()}, width: 100, height: 30}
	require.Contains(t, p.text(), "q ends  space stops  sort by: w worker  t tasks  p processor  m memory")
}

// TestProgramThatIsStartedAgain: what it has counted before is not its rate.
func TestProgramThatIsStartedAgain(t *testing.T) {
	at := time.Now()
	old := &multiprolab.Stats{Time: at, Started: at, Tasks: multiprolab.TaskStats{Succeeded: 5}}
	later := at.Add(time.Second)
	now := &multiprolab.Stats{Time: later, Started: later, Tasks: multiprolab.TaskStats{Succeeded: 1000}}
	p := &picture{now: old}
	p.Update(came{stats: now})
	require.NotContains(t, p.text(), "/s")
}
