//go:build unix

package multiprolab_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// inTheirOwnWords is the logger of scenarios: everything goes to stderr, where the test finds it.
func inTheirOwnWords() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// must is for scenarios, which have no test to fail.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// The doomed main has workers of all kinds, and ends as it is told at the gate. It never closes its
// app.
var _ = scenario("doomed", func() {
	addr, ctx := os.Getenv(gateVar), context.Background()
	app := multiprolab.New(&multiprolab.Config{Logger: inTheirOwnWords()})
	app.RegisterWorker(
		"guest",
		setups["guest"],
		&multiprolab.WorkerConfig{Count: 4, Process: multiprolab.ProcessConfig{Env: []string{"GOMAXPROCS=1", gateVar + "="}}},
	)
	app.RegisterWorker("parent", setups["parent"], nil)
	multiprolab.Handle(app, "boom", func(context.Context, struct{}) error { panic("a handler of main panics") })
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	for _, label := range []string{"busy", "spinning", "stopped"} {
		must(multiprolab.Submit[string](ctx, app, "visit", visit{addr, label}, nil))
	}
	must(multiprolab.Submit[string](ctx, app, "family", visit{addr, "family"}, nil))
	must(multiprolab.Do[int](ctx, app, "stray", visit{addr, "idle"}))
	how := must(visit{addr, "main"}.wait())
	switch how {
	case "return":
		return
	case "panic in a goroutine":
		go panic("a goroutine of main panics")
		select {}
	case "panic in a handler":
		if err := multiprolab.Send(ctx, app, "main", "boom", nil); err != nil {
			panic(err)
		}
		select {}
	default:
		die(how)
	}
})

// TestD01_MainDies: every worker dies with main, however main dies, whatever the worker does at
// that time; and so do the processes that its handlers have started. A10: a panic in main, in a
// handler or elsewhere, ends main as it ends any program, with its stack.
func TestD01_MainDies(t *testing.T) {
	for _, c := range []struct {
		how    string
		status string
		text   []string
	}{
		{"SIGKILL", "signal: killed", nil},
		{"SIGTERM", "signal: terminated", nil}, // with Start signals are left to the program
		{"exit 3", "exit status 3", nil},
		{"return", "", nil},
		{"panic", "exit status 2", []string{"panic: a test panics", "goroutine 1 ", "orphans_unix_test.go"}},
		{"panic in a goroutine", "exit status 2", []string{"panic: a goroutine of main panics", "goroutine "}},
		{"panic in a handler", "exit status 2", []string{"panic: a handler of main panics", "goroutine ", "orphans_unix_test.go"}},
	} {
		t.Run(c.how, func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			p := startMain(t, "doomed", gateVar+"="+g.addr())
			visitors := map[string]*visitor{}
			for range 6 {
				v := g.next(t)
				label, _, _ := strings.Cut(v.label, " ")
				visitors[label] = v
			}
			require.Len(t, visitors, 6)
			require.Equal(t, p.Process.Pid, visitors["main"].pid)
			pids := visitors["family"].children(t)
			for label, v := range visitors {
				if label != "main" {
					pids = append(pids, v.pid)
				}
			}
			visitors["spinning"].tell("spin")
			stop(t, visitors["stopped"].pid)

			visitors["main"].tell(c.how)
			err := p.wait(t)
			if c.status == "" {
				require.NoError(t, err)
			} else {
				require.EqualError(t, err, c.status)
			}
			for _, text := range c.text {
				require.Contains(t, p.out.String(), text)
			}
			for label, v := range visitors {
				await(t, v.lost, "the end of the worker that is "+label)
			}
			gone(t, "a process", pids...)
		})
	}
}

// The run of this main is ended by signals. It has two guests, and more tasks than they can do.
var _ = scenario("signalled", func() {
	addr, ctx := os.Getenv(gateVar), context.Background()
	app := multiprolab.New(
		&multiprolab.Config{Logger: inTheirOwnWords(), ShutdownTimeout: forever, Shutdown: multiprolab.DrainQueue},
	)
	app.RegisterWorker("guest", setups["guest"], &multiprolab.WorkerConfig{Count: 2, Process: multiprolab.ProcessConfig{Env: []string{gateVar + "="}}})
	app.Action(forever, func(context.Context) error {
		for i := range 7 {
			label := "held"
			if i >= 2 {
				label = "queued"
			}
			f := must(multiprolab.Submit[string](ctx, app, "visit", visit{addr, label}, nil))
			go func() { // ends with the task
				text, err := f.Wait(ctx)
				fmt.Printf("outcome of %s: %q, %v\n", label, text, err)
			}()
		}
		must(visit{addr, "main"}.wait()) // all have been submitted
		return nil
	})
	err := app.Run(ctx)
	fmt.Printf("Run returned: %v\n", err)
	for _, pid := range children() {
		fmt.Println("a child is left:", pid)
	}
})

// heldAndMain waits until two tasks are held, and main has queued the others.
func (g *gate) heldAndMain(t *testing.T) (held []*visitor) {
	for range 3 {
		if v := g.next(t); v.label == "main" {
			v.tell("go on")
		} else {
			require.Equal(t, "held", v.label)
			held = append(held, v)
		}
	}
	require.Len(t, held, 2)
	return held
}

// TestD02_CtrlC covers X3 as well: after one Ctrl-C, which the whole process group gets, the
// workers finish what they are doing and begin nothing else, also where the config says to drain
// the queue; then main ends without an error.
func TestD02_CtrlC(t *testing.T) {
	for _, signal := range []string{"SIGINT", "SIGTERM"} {
		t.Run(signal, func(t *testing.T) {
			g := newGate(t)
			p := startMain(t, "signalled", gateVar+"="+g.addr())
			held := g.heldAndMain(t)
			for _, v := range held {
				require.NoError(t, signalProcess(v.pid, "SIGINT")) // as if it were in the group
			}
			require.NoError(t, signalGroup(p.Process.Pid, signal))
			eventually(t, "the end of what is queued", func() bool {
				return strings.Count(p.out.String(), `outcome of queued: "", multiprolab: stopped`) == 5
			})
			require.NotContains(t, p.out.String(), "outcome of held")
			for _, v := range held {
				require.NoError(t, signalProcess(v.pid, "SIGINT")) // still deaf
				v.tell("finished")
			}
			require.NoError(t, p.wait(t))
			out := p.out.String()
			require.Equal(t, 2, strings.Count(out, `outcome of held: "finished", <nil>`))
			require.Contains(t, out, "Run returned: <nil>")
			require.NotContains(t, out, "a child is left")
			require.NotContains(t, out, "level=ERROR")
			g.quiet(t)
			for _, v := range held {
				gone(t, "a worker", v.pid)
			}
		})
	}
}

// TestD02_SecondCtrlC: a second one kills at once, and Run says whom.
func TestD02_SecondCtrlC(t *testing.T) {
	for _, signals := range [][]string{{"SIGINT", "SIGINT"}, {"SIGTERM", "SIGINT"}, {"SIGINT", "SIGTERM"}} {
		t.Run(strings.Join(signals, ", "), func(t *testing.T) {
			g := newGate(t)
			p := startMain(t, "signalled", gateVar+"="+g.addr())
			held := g.heldAndMain(t)
			require.NoError(t, signalProcess(p.Process.Pid, signals[0]))
			eventually(t, "the end of what is queued", func() bool {
				return strings.Count(p.out.String(), `outcome of queued: "", multiprolab: stopped`) == 5
			})
			require.NoError(t, signalProcess(p.Process.Pid, signals[1]))
			require.NoError(t, p.wait(t))
			out := p.out.String()
			require.Contains(t, out, "Run returned: multiprolab: workers had to be killed: ")
			for _, v := range held {
				require.Contains(t, out, fmt.Sprintf("(pid %d): the program was told to end at once", v.pid))
				await(t, v.lost, "the worker to be gone")
				gone(t, "a worker", v.pid)
			}
			require.NotContains(t, out, "a child is left")
			g.quiet(t)
		})
	}
}

// A main whose worker is not ready is ended like any other.
var _ = scenario("unready", func() {
	app := multiprolab.New(&multiprolab.Config{Logger: inTheirOwnWords(), StartTimeout: forever, SetupTimeout: forever,
		OnEvent: func(e multiprolab.Event) {
			if s, ok := e.(*multiprolab.WorkerStarted); ok {
				fmt.Println("started", s.PID)
			}
		}})
	app.RegisterWorker(
		"misfit",
		setups["misfit"],
		&multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{Env: []string{os.Getenv("MULTIPROLAB_TEST_UNREADY")}}},
	)
	fmt.Println("Run returned:", app.Run(context.Background()))
})

// testUnready starts the scenario with a worker that hangs, and kills main when the worker has been
// started.
func testUnready(t *testing.T, hang string) {
	p := startMain(t, "unready", "MULTIPROLAB_TEST_UNREADY="+hang)
	var pid int
	eventually(t, "the start of the worker", func() bool {
		_, after, found := strings.Cut(p.out.String(), "started ")
		if !found || !strings.Contains(after, "\n") {
			return false
		}
		_, err := fmt.Sscanf(after, "%d", &pid)
		return err == nil
	})
	require.NoError(t, signalProcess(p.Process.Pid, "SIGKILL"))
	require.EqualError(t, p.wait(t), "signal: killed")
	gone(t, "the worker", pid)
}

// TestD01_InSetup: a worker that hangs in its setup function dies with main as well.
func TestD01_InSetup(t *testing.T) { testUnready(t, misfitVar+"=hang") }
