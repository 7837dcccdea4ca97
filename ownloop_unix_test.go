//go:build unix

package multiprolab_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/multiprolab/multiprolab"
)

// The stuck main has something on its loop that never returns, whatever its context says.
var _ = scenario("stuck", func() {
	var app *multiprolab.Main
	cfg := &multiprolab.Config{Logger: inTheirOwnWords(), KillTimeout: 50 * time.Millisecond}
	stuck := func() { fmt.Println("it is stuck"); select {} }
	what := os.Getenv("STUCK")
	switch what {
	case "event":
		cfg.OnEvent = func(multiprolab.Event) { stuck() }
	case "own signal": // the program wants it, too
		signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM)
		what = "action"
	}
	app = multiprolab.New(cfg)
	app.RegisterWorker("bell", setups["bell"], nil)
	switch what {
	case "action":
		app.After(0, func(context.Context) error { stuck(); return nil })
	case "close": // on another goroutine, for which the action waits
		app.After(0, func(context.Context) error {
			closed := make(chan error)
			go func() { closed <- app.Close() }()
			fmt.Println("it is stuck")
			return <-closed
		})
	case "message":
		multiprolab.Handle(app, "rung", func(context.Context, struct{}) error { stuck(); return nil })
		app.After(0, func(ctx context.Context) error { return multiprolab.Send(ctx, app, "bell", "ring", nil) })
	case "call":
		multiprolab.HandleCall(app, "asked", func(context.Context, struct{}) (int, error) { stuck(); return 0, nil })
		app.After(0, func(ctx context.Context) error { return multiprolab.Send(ctx, app, "bell", "ask", nil) })
	}
	fmt.Println("Run returned:", app.Run(context.Background()))
})

// says reports whether the output of a scenario has the text.
func (p *mainProcess) says(text string) bool { return strings.Contains(p.out.String(), text) }

// startedPIDs are the pids in the records of the workers that a scenario has started.
func (p *mainProcess) startedPIDs(t *testing.T) (pids []int) {
	t.Helper()
	for _, found := range regexp.MustCompile(`worker started" worker=\S+ pid=(\d+)`).FindAllStringSubmatch(p.out.String(), -1) {
		pid, err := strconv.Atoi(found[1])
		require.NoError(t, err)
		pids = append(pids, pid)
	}
	require.NotEmpty(t, pids)
	return pids
}

// A second SIGINT or SIGTERM ends the program by that signal, whatever it waits for, and leaves no
// worker.
func TestSecondSignalEndsTheProgram(t *testing.T) {
	for _, c := range []struct{ what, first, second, doing string }{
		{"action", "SIGINT", "SIGINT", "an action"},
		{"action", "SIGINT", "SIGTERM", "an action"},
		{"close", "SIGTERM", "SIGTERM", "an action"},
		{"message", "SIGTERM", "SIGINT", `message \"rung\"`},
		{"call", "SIGINT", "SIGINT", `call \"asked\"`},
		{"event", "SIGTERM", "SIGTERM", "Config.OnEvent"},
		{"own signal", "SIGTERM", "SIGTERM", "an action"},
	} {
		t.Run(c.what+" "+c.first+" "+c.second, func(t *testing.T) {
			p := startMain(t, "stuck", "STUCK="+c.what)
			eventually(t, "it to be stuck", func() bool { return p.says("it is stuck") })
			require.NoError(t, signalProcess(p.Process.Pid, c.first))
			eventually(t, "the first signal to be seen", func() bool { return p.says("mode=FinishRunning") })
			require.NoError(t, signalProcess(p.Process.Pid, c.second))
			err := p.wait(t)
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit)
			require.Equal(t, c.second, unix.SignalName(exit.Sys().(syscall.WaitStatus).Signal()), "%v", err)
			require.Contains(t, p.out.String(), "level=ERROR")
			require.Contains(t, p.out.String(), "the program does not end")
			require.Contains(t, p.out.String(), "the loop of main, which runs "+c.doing)
			require.NotContains(t, p.out.String(), "Run returned")
			for _, pid := range p.startedPIDs(t) {
				eventually(t, "the end of the worker", func() bool { return !alive(pid) })
			}
		})
	}
}
