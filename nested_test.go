package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/internal/proc"
)

// The worker that runs a Main of its own, with workers that are processes.
var _ = worker("outer", func(ctx context.Context, w *multiprolab.Worker) error {
	inner := multiprolab.New(&multiprolab.Config{Name: "inner"})
	inner.RegisterWorker("inner-lab", setups["lab"], &multiprolab.WorkerConfig{Count: 2})
	if err := inner.Start(ctx); err != nil {
		return err
	}
	w.OnExit(func(context.Context) error { return inner.Close() })
	multiprolab.HandleTask(w, "inner-pids", func(ctx context.Context, _ struct{}) ([]int, error) {
		pids := []int{os.Getpid()}
		for i := range 2 {
			pid, err := multiprolab.Call[int](ctx, inner, fmt.Sprint("inner-lab/", i), "call-pid", nil)
			if err != nil {
				return nil, err
			}
			pids = append(pids, pid)
		}
		return pids, nil
	})
	multiprolab.HandleTask(w, "inner-double", func(ctx context.Context, n int) (int, error) {
		return multiprolab.Do[int](ctx, inner, "double", n)
	})
	return nil
})

// G05: a worker runs a pool of its own, in real processes, which end with it.
func TestG05_NestedMain(t *testing.T) {
	t.Parallel()
	l := startLab(t, nil, workers("outer", 2), workers("lab", 1))
	var pids []int
	for range 20 {
		n, err := multiprolab.Do[int](bounded(t), l, "inner-double", 21)
		require.NoError(t, err)
		require.Equal(t, 42, n)
		got, err := multiprolab.Do[[]int](bounded(t), l, "inner-pids", nil)
		require.NoError(t, err)
		pids = append(pids, got...)
	}
	pids = append(pids, os.Getpid())
	slices.Sort(pids)
	pids = slices.Compact(pids)
	require.Contains(t, []int{4, 7}, len(pids)) // this process, and three or both times three
	require.NoError(t, l.Close())
	for _, pid := range pids {
		if pid != os.Getpid() {
			eventually(t, "the end of all", func() bool { return !alive(pid) })
		}
	}
}

// The inner workers do not outlive an outer one that is killed.
func TestG05_NestedMainDies(t *testing.T) {
	t.Parallel()
	l := startLab(t, nil, workers("outer", 1))
	pids, err := multiprolab.Do[[]int](bounded(t), l, "inner-pids", nil)
	require.NoError(t, err)
	require.Len(t, pids, 3)
	require.NoError(t, killProcess(pids[0]))
	for _, pid := range pids {
		eventually(t, "the end of all", func() bool { return !alive(pid) })
	}
	n, err := multiprolab.Do[int](bounded(t), l, "inner-double", 4)
	require.NoError(t, err)
	require.Equal(t, 8, n)
}

// The worker whose setup runs a Main with the same worker, and so on for ever, if nothing stopped
// it.
var _ = worker("doll", func(ctx context.Context, w *multiprolab.Worker) error {
	n, _ := strconv.Atoi(os.Getenv("DOLL"))
	if n > 8 { // the guard of the test itself against a fork bomb
		return errors.New("the dolls do not end")
	}
	depth, _ := strconv.Atoi(os.Getenv("DOLL_DEPTH"))
	inner := multiprolab.New(&multiprolab.Config{Name: "inner", MaxDepth: depth})
	inner.RegisterWorker("doll", setups["doll"], &multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{Env: []string{fmt.Sprint("DOLL=", n+1)}}})
	defer inner.Close()
	return inner.Start(ctx)
})

// G05: the depth is limited, and the error says how deep it is and which field to raise.
func TestG05_DepthLimit(t *testing.T) {
	for _, depth := range []int{0, 1, 2} {
		t.Run(fmt.Sprint(depth), func(t *testing.T) {
			want := depth
			if depth == 0 {
				want = 3
			}
			l := newLab(
				t,
				&multiprolab.Config{MaxDepth: depth},
				pool{"doll", &multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{Env: []string{"DOLL=1", fmt.Sprint("DOLL_DEPTH=", depth)}}}},
			)
			err := l.Start(t.Context())
			require.ErrorContains(t, err, "Config.MaxDepth")
			require.ErrorContains(t, err, fmt.Sprint(want, " deep"))
			require.ErrorContains(t, err, strings.Repeat("doll > ", want-1)+"doll is")
			require.NotContains(t, err.Error(), "do not end")
			l.checkGone(t)
		})
	}
}

// G05: Run or Start of the worker's own Main inside its setup function is an error, and no fork
// bomb.
func runAgain() {
	app := multiprolab.New(nil)
	again := func(ctx context.Context, w *multiprolab.Worker) error {
		fmt.Println("Run says:", app.Run(ctx))
		fmt.Println("Start says:", app.Start(ctx))
		multiprolab.HandleTask(w, "x", func(context.Context, int) (int, error) { return 7, nil })
		return nil
	}
	app.RegisterWorker("again", again, nil)
	if err := app.Start(context.Background()); err != nil {
		fmt.Println("main:", err)
		os.Exit(1)
	}
	n, err := multiprolab.Do[int](context.Background(), app, "x", 1)
	fmt.Println("main:", n, err, app.Close())
}

// Before TestMain and its hook this process may be one that never comes to them.
func init() {
	switch os.Getenv("MULTIPROLAB_TEST_NO_HOOK") {
	case "run-again":
		testing.Init()
		proc.AllowTestBinary()
		runAgain()
		os.Exit(0)
	case "no-hook":
		testing.Init()
		app := multiprolab.New(nil)
		app.RegisterWorker("lab", setups["lab"], nil)
		fmt.Println("Start says:", app.Start(context.Background()))
		fmt.Println("Run says:", multiprolab.New(nil).Run(context.Background()))
		in := multiprolab.New(&multiprolab.Config{InProcess: true})
		in.RegisterWorker("lab", setups["lab"], nil)
		fmt.Println("in process:", in.Start(context.Background()), in.Close())
		os.Exit(0)
	}
}

// runBeforeTestMain runs this binary so that it never comes to TestMain, and returns what it
// prints.
func runBeforeTestMain(t *testing.T, what string) string {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(bounded(t), exe)
	cmd.Env = append(os.Environ(), "MULTIPROLAB_TEST_NO_HOOK="+what)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

func TestG05_RunInSetup(t *testing.T) {
	out := runBeforeTestMain(t, "run-again")
	require.Regexp(t, "Run says: .*make a new one with New", out)
	require.Regexp(t, "Start says: .*make a new one with New", out)
	require.Contains(t, out, "main: 7 <nil> <nil>")
	require.Equal(t, 1, strings.Count(out, "Run says"))
}

// A test binary whose TestMain has no hook starts no workers, and says what to call; in one process
// it may.
func TestTestBinaryWithoutHook(t *testing.T) {
	out := runBeforeTestMain(t, "no-hook")
	require.Regexp(t, "Start says: .*test binary.*multiprolabtest.Main in TestMain.*Config.InProcess", out)
	require.Regexp(t, "Run says: .*test binary", out)
	require.Contains(t, out, "in process: <nil> <nil>")
}
