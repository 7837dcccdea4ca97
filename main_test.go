package multiprolab_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/multiprolabtest"
)

// patience is how long a test waits for what must come. It bounds a failure, not a success.
const patience = 30 * time.Second

// setups are the setup functions of all workers of all tests. A test file adds its own in an
// initialiser:
//
//	var _ = worker("name", func(ctx context.Context, w *multiprolab.Worker) error { ... })
//
// The re-executed test binary becomes the one that the test asked for.
var setups = map[string]func(context.Context, *multiprolab.Worker) error{}

// worker adds a setup function under the name that tests start it by, and returns the name.
func worker(name string, setup func(context.Context, *multiprolab.Worker) error) string {
	if setups[name] != nil {
		panic("two test workers are named " + name)
	}
	setups[name] = setup
	return name
}

// theirMain is, in the process of a worker, the Main that does not run there.
var theirMain *multiprolab.Main

func TestMain(m *testing.M) {
	// Race-built workers would sleep a second at exit, each.
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
	becomeLiar()
	multiprolabtest.Hook(func() *multiprolab.Main {
		app := multiprolab.New(nil)
		theirMain = app
		for name, setup := range setups {
			if role := proc.Current(); role == nil || slices.Contains(role.Path, name) { // there are thousands of processes
				app.RegisterWorker(name, setup, nil)
			}
		}
		return app
	})
	if scenario := os.Getenv("MULTIPROLAB_TEST_MAIN"); scenario != "" {
		scenarios[scenario]() // a whole main process, for tests of its death and its signals
		os.Exit(0)
	}
	heedSignals()
	_ = flag.Set("test.parallel", "4") // unless the command line says otherwise: they wait more than they compute
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if left := children(); code == 0 && len(left) > 0 {
			fmt.Fprintln(os.Stderr, "processes are left after all tests:", left)
			code = 1
		}
		_ = os.RemoveAll(programDir())
		os.Exit(code)
	}))
}

// scenarios are main processes that tests start as processes of their own, with startMain.
var scenarios = map[string]func(){}

// scenario adds a main process.
func scenario(name string, run func()) string {
	scenarios[name] = run
	return name
}

// mainProcess is a scenario that runs.
type mainProcess struct {
	*exec.Cmd
	out    *buffer
	exited chan struct{} // closed when it has been waited for
	err    error         // of Wait
}

// startMain runs a scenario in a process group of its own. Its stdout and stderr gather in out. It
// is killed at the end of the test.
func startMain(t *testing.T, scenario string, env ...string) *mainProcess {
	t.Helper()
	require.Contains(t, scenarios, scenario)
	exe, err := os.Executable()
	require.NoError(t, err)
	p := &mainProcess{Cmd: exec.Command(exe), out: &buffer{}, exited: make(chan struct{})}
	p.Env = append(append(os.Environ(), "MULTIPROLAB_TEST_MAIN="+scenario), env...)
	p.Stdout, p.Stderr = p.out, p.out
	p.SysProcAttr = ownGroup()
	p.WaitDelay = 10 * time.Second
	require.NoError(t, p.Start())
	go func() { // ends with the process; the clean-up waits for it
		defer close(p.exited)
		p.err = p.Wait()
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.exited
		if t.Failed() {
			t.Logf("output of scenario %s:\n%s", scenario, p.out)
		}
	})
	return p
}

// wait waits for the end of the scenario.
func (p *mainProcess) wait(t *testing.T) error {
	t.Helper()
	await(t, p.exited, "the main process to end")
	return p.err
}

// pool says which workers an app of a test has.
type pool struct {
	name string
	cfg  *multiprolab.WorkerConfig
}

func workers(name string, count int) pool {
	return pool{name, &multiprolab.WorkerConfig{Count: count}}
}

// lab is an app under test: its events and what its workers print.
type lab struct {
	*multiprolab.Main
	stdout *buffer
	stderr *buffer
	log    *buffer

	mu     sync.Mutex
	events []multiprolab.Event
	news   chan struct{}
}

// newLab makes an app with workers from setups. What cfg leaves open is set up for a test: output
// and log go to buffers, which are printed if the test fails.
func newLab(t testing.TB, cfg *multiprolab.Config, pools ...pool) *lab {
	t.Helper()
	l := &lab{stdout: &buffer{}, stderr: &buffer{}, log: &buffer{}, news: make(chan struct{}, 1)}
	var c multiprolab.Config
	if cfg != nil {
		c = *cfg
	}
	if c.Stdout == nil {
		c.Stdout = l.stdout
	}
	if c.Stderr == nil {
		c.Stderr = l.stderr
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.NewTextHandler(l.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	userEvent := c.OnEvent
	c.OnEvent = func(e multiprolab.Event) {
		l.mu.Lock()
		l.events = append(l.events, e)
		l.mu.Unlock()
		select {
		case l.news <- struct{}{}:
		default:
		}
		if userEvent != nil {
			userEvent(e)
		}
	}
	l.Main = multiprolab.New(&c)
	for _, p := range pools {
		require.Contains(t, setups, p.name)
		l.RegisterWorker(p.name, setups[p.name], p.cfg)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s\nstdout of the workers:\n%s\nstderr of the workers:\n%s", l.log, l.stdout, l.stderr)
		}
	})
	return l
}

// startLab is newLab and Start. At the end of the test it closes the app, and checks that nothing
// is left of its workers.
func startLab(t testing.TB, cfg *multiprolab.Config, pools ...pool) *lab {
	t.Helper()
	l := newLab(t, cfg, pools...)
	require.NoError(t, l.Start(context.Background()))
	t.Cleanup(func() {
		_ = l.Close() // a test that cares closes it before
		l.checkGone(t)
	})
	return l
}

// checkGone checks that no process that the app started is left, not even as a zombie.
func (l *lab) checkGone(t testing.TB) {
	t.Helper()
	for _, e := range l.all() {
		if s, ok := e.(*multiprolab.WorkerStarted); ok && s.PID != os.Getpid() && alive(s.PID) {
			t.Errorf("process %d of worker %s is left", s.PID, s.Worker)
		}
	}
}

func (l *lab) all() []multiprolab.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]multiprolab.Event(nil), l.events...)
}

// waitEvent waits until an event of type E has come for which ok is true, and returns the first.
func waitEvent[E multiprolab.Event](t testing.TB, l *lab, ok func(E) bool) E {
	t.Helper()
	timeout := time.After(patience)
	for {
		for _, e := range l.all() {
			if e, is := e.(E); is && (ok == nil || ok(e)) {
				return e
			}
		}
		select {
		case <-l.news:
		case <-timeout:
			var none E
			require.FailNow(t, fmt.Sprintf("no event %T came", none), "events: %+v", l.all())
		}
	}
}

// await waits for c to be closed, or to deliver.
func await[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		require.FailNow(t, "waited in vain for "+what)
		panic("not reached")
	}
}

// eventually waits until ok is true: for what other processes do, and nobody tells.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, patience, 2*time.Millisecond, what)
}

// bounded is a context that bounds what a test waits for.
func bounded(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// buffer is a bytes.Buffer for many goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

var _ io.Writer = (*buffer)(nil)

// children returns the processes whose parent is this one. Linux only; elsewhere it returns nil.
func children() []int {
	entries, _ := os.ReadDir("/proc")
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // state, ppid, ...
		if len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid()) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// openFiles returns the number of file descriptors of this process. Linux only.
func openFiles(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}

// The worker of most tests: it does what it is asked to, as a task, a call or a message of the same
// name.
var _ = worker("lab", func(ctx context.Context, w *multiprolab.Worker) error {
	state := 0
	multiprolab.HandleTask(w, "pid", func(ctx context.Context, _ struct{}) (int, error) { return os.Getpid(), nil })
	multiprolab.HandleTask(w, "echo", func(ctx context.Context, s string) (string, error) { return s, nil })
	multiprolab.HandleTask(w, "bytes", func(ctx context.Context, b []byte) ([]byte, error) { return b, nil })
	multiprolab.HandleTask(w, "double", func(ctx context.Context, n int) (int, error) { return 2 * n, nil })
	multiprolab.HandleTask(
		w,
		"fail",
		func(ctx context.Context, text string) (int, error) { return 0, errors.New(text) },
	)
	multiprolab.HandleTask(w, "die", func(ctx context.Context, how string) (int, error) { die(how); return 0, nil })
	multiprolab.HandleTask(w, "spin", func(ctx context.Context, _ struct{}) (int, error) {
		for n := 0; ; n++ {
			runtime.KeepAlive(n)
		}
	})
	// block tells main, with a message "blocked" of its pid, that it has begun, and returns when
	// its context ends.
	multiprolab.HandleTask(w, "block", func(ctx context.Context, _ struct{}) (int, error) {
		if err := multiprolab.Send(ctx, w, "main", "blocked", os.Getpid()); err != nil {
			return 0, err
		}
		<-ctx.Done()
		return 0, context.Cause(ctx)
	})
	multiprolab.HandleCall(
		w,
		"call-pid",
		func(ctx context.Context, _ struct{}) (int, error) { return os.Getpid(), nil },
	)
	multiprolab.HandleCall(w, "call-echo", func(ctx context.Context, s string) (string, error) { return s, nil })
	multiprolab.HandleCall(w, "call-bytes", func(ctx context.Context, b []byte) ([]byte, error) { return b, nil })
	multiprolab.HandleCall(
		w,
		"call-die",
		func(ctx context.Context, how string) (int, error) { die(how); return 0, nil },
	)
	multiprolab.HandleCall(
		w,
		"call-fail",
		func(ctx context.Context, text string) (int, error) { return 0, errors.New(text) },
	)
	multiprolab.HandleCall(w, "state", func(ctx context.Context, _ struct{}) (int, error) { return state, nil })
	multiprolab.Handle(w, "add", func(ctx context.Context, n int) error { state += n; return nil })
	multiprolab.Handle(w, "msg-die", func(ctx context.Context, how string) error { die(how); return nil })
	multiprolab.Handle(w, "msg-fail", func(ctx context.Context, text string) error { return errors.New(text) })
	multiprolab.Handle(w, "print", func(ctx context.Context, text string) error { fmt.Println(text); return nil })
	return nil
})

// die ends the process in one of the ways that processes end.
func die(how string) {
	switch how {
	case "exit 0":
		os.Exit(0)
	case "exit 1":
		os.Exit(1)
	case "exit 3":
		os.Exit(3)
	case "panic":
		panic("a test panics")
	case "stray panic":
		done := make(chan struct{})
		go func() {
			defer close(done)
			panic("a stray goroutine panics")
		}()
		<-done
	case "nil":
		var p *int
		*p = 1
	case "SIGKILL", "SIGSEGV", "SIGTERM":
		signalSelf(how)
	case "stack overflow":
		debug.SetMaxStack(1 << 16) // a gigabyte takes seconds
		var f func(int) int
		f = func(n int) int { return f(n+1) + 1 }
		f(0)
	default:
		panic("no such death: " + how)
	}
	select {}
}
