package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// beforeRun is the environment variable that makes a worker process of these tests do something
// else than to reach Run.
const beforeRun = "MULTIPROLAB_TEST_BEFORE_RUN"

func init() {
	switch how := os.Getenv(beforeRun); how {
	case "":
	case "hang":
		select {}
	default:
		die(how)
	}
}

// The misfit does in its setup function what its environment says.
const misfitVar = "MULTIPROLAB_TEST_MISFIT"

var errMisfit = errors.New("there is no database here")

var _ = worker("misfit", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "misfit", func(context.Context, int) (int, error) { return 0, nil })
	switch how := os.Getenv(misfitVar); how {
	case "error":
		return fmt.Errorf("open: %w", errMisfit)
	case "hang":
		select {}
	case "hang softly":
		<-ctx.Done()
		return context.Cause(ctx)
	case "none":
	default:
		die(how)
	}
	return nil
})

// TestA09_StartFails: whatever keeps a worker from becoming ready, Start returns an error with the
// cause, ends the siblings, and fails what was submitted meanwhile for that reason.
func TestA09_StartFails(t *testing.T) {
	env := func(name, value string) []string { return []string{name + "=" + value} }
	for _, c := range []struct {
		name   string
		cfg    multiprolab.WorkerConfig
		reason string // of the StartError
		noPID  bool
		died   bool // the cause is a WorkerDiedError
		code   int
		text   []string      // in the whole error
		limit  time.Duration // of its start, if it has to be short
	}{
		{name: "it exits before Run", cfg: multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{Env: env(beforeRun, "exit 3")}}, reason: "its process ended before it reached Run",
			died: true, code: 3},
		{name: "it returns before Run", cfg: multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{Env: env(beforeRun, "exit 0")}}, reason: "its process ended before it reached Run",
			died: true, code: 0},
		{name: "it panics before Run", cfg: multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{Env: env(beforeRun, "panic")}}, reason: "its process ended before it reached Run",
			died: true, code: 2, text: []string{"panic: a test panics", "goroutine 1 ", "start_test.go"}},
		{name: "it hangs before Run", cfg: multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{Env: env(beforeRun, "hang")}}, reason: "it did not reach Run within 2s",
			died: true, code: -1, text: []string{"Config.StartTimeout"}, limit: 2 * time.Second},
		{name: "setup returns an error", cfg: multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{Env: env(misfitVar, "error")}}, reason: "its setup function returned an error",
			text: []string{"open: there is no database here"}},
		{name: "setup panics", cfg: multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{Env: env(misfitVar, "panic")}}, reason: "its process ended in its setup function",
			died: true, code: 2, text: []string{"panic: a test panics", "goroutine 1 ", "start_test.go"}},
		{name: "setup exits", cfg: multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{Env: env(misfitVar, "exit 3")}}, reason: "its process ended in its setup function",
			died: true, code: 3},
		{name: "setup exits with 0", cfg: multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{Env: env(misfitVar, "exit 0")}}, reason: "its process ended in its setup function",
			died: true, code: 0, text: []string{"os.Exit(0)"}},
		{name: "setup hangs", cfg: multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{Env: env(misfitVar, "hang")}}, reason: "its setup function did not return within 1s",
			died: true, code: -1, text: []string{"Config.SetupTimeout"}, limit: time.Second},
		{name: "there is no such directory", cfg: multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{Dir: filepath.Join("no", "such", "dir")}}, reason: "its process could not be started",
			noPID: true, text: []string{filepath.Join("no", "such", "dir")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := countFiles(t)
			c.cfg.Count = 2
			var l *lab
			pending := make(chan *multiprolab.Future[int], 1)
			l = newLab(t, &multiprolab.Config{
				StartTimeout: c.limit, SetupTimeout: c.limit, ShutdownTimeout: 100 * time.Millisecond,
				// on the loop of main, before anything is known of the misfit's tasks
				OnEvent: func(e multiprolab.Event) {
					if s, ok := e.(*multiprolab.WorkerStarted); ok && s.Worker == "lab/0" {
						f, err := multiprolab.Submit[int](context.Background(), l, "misfit", 1, nil)
						if err == nil {
							pending <- f
							return
						}
						// The failure was faster than this event: the task is refused for the same
						// reason.
						var start *multiprolab.StartError
						if !errors.As(err, &start) {
							t.Errorf("a task was refused because of %v", err)
						}
					}
				},
			}, workers("lab", 1), pool{"misfit", &c.cfg})
			err := l.Start(context.Background())
			var start *multiprolab.StartError
			require.ErrorAs(t, err, &start)
			require.Contains(t, []string{"misfit/0", "misfit/1"}, start.Worker)
			require.Contains(t, start.Reason, c.reason)
			require.Equal(t, c.noPID, start.PID == 0)
			require.Contains(t, err.Error(), start.Worker)
			var died *multiprolab.WorkerDiedError
			require.Equal(t, c.died, errors.As(err, &died), "the cause: %v", err)
			told := err.Error() // one line
			if died != nil {
				told += died.Stderr // and the stacks
			}
			for _, text := range c.text {
				require.Contains(t, told, text)
			}
			if c.died {
				if runtime.GOOS == "windows" && c.code == -1 {
					c.code = died.ExitCode
				}
				require.Equal(t, c.code, died.ExitCode)
				require.Equal(t, start.PID, died.PID)
			}
			if c.noPID {
				require.ErrorIs(t, err, fs.ErrNotExist)
			}
			if c.name == "setup returns an error" {
				var remote *multiprolab.RemoteError
				require.ErrorAs(t, err, &remote)
				require.Equal(t, "*fmt.wrapError", remote.GoType)
			}

			l.checkGone(t)
			require.LessOrEqual(t, len(starts(l, "lab/0")), 1)
			require.LessOrEqual(
				t,
				len(starts(l, "misfit/0"))+len(starts(l, "misfit/1")),
				2,
				"a worker that never was ready was started again",
			)
			select {
			case s := <-pending:
				await(t, s.Done(), "the outcome of the pending task")
				err := s.Result(context.Background(), nil)
				require.ErrorAs(t, err, &start, "the pending task must fail with the reason")
			default:
			}
			_, err = multiprolab.Submit[int](bounded(t), l, "echo", "x", nil)
			require.ErrorIs(t, err, multiprolab.ErrStopped)
			require.Equal(t, files, countFiles(t), "open files")
			require.ErrorAs(t, l.Close(), &start, "Close returns what Start returned")
		})
	}
}

// starts returns the events of the starts of one instance.
func starts(l *lab, name string) (found []*multiprolab.WorkerStarted) {
	for _, e := range l.all() {
		if s, ok := e.(*multiprolab.WorkerStarted); ok && s.Worker == name {
			found = append(found, s)
		}
	}
	return found
}

// countFiles returns the number of open files, or 0 where it cannot be known.
func countFiles(t *testing.T) int {
	if runtime.GOOS != "linux" {
		return 0
	}
	return openFiles(t)
}

// A mortal is well in its first life, and in no other.
const mortalVar = "MULTIPROLAB_TEST_MORTAL"

var _ = worker("mortal", func(ctx context.Context, w *multiprolab.Worker) error {
	if w.Life() > 1 {
		switch how := os.Getenv(mortalVar); how {
		case "error":
			return errMisfit
		case "none":
		default:
			die(how)
		}
	}
	multiprolab.HandleTask(w, "mortal-visit", func(_ context.Context, v visit) (string, error) { return v.wait() })
	return nil
})

// TestA09_CrashLoop: a worker that cannot live on is not started for ever: the limit ends Run, with
// the last cause.
func TestA09_CrashLoop(t *testing.T) {
	for _, c := range []struct {
		how  string
		text string
	}{
		{"exit 0", "its process ended in its setup function"},
		{"panic", "panic: a test panics"},
		{"error", errMisfit.Error()},
		{"removed", "its process could not be started"},
	} {
		t.Run(c.how, func(t *testing.T) {
			cfg := &multiprolab.WorkerConfig{
				RestartLimit:    multiprolab.RestartLimit{Restarts: 2},
				RestartDelay:    1,
				RestartMaxDelay: 1,
				Process:         multiprolab.ProcessConfig{Env: []string{mortalVar + "=" + c.how}},
			}
			restarts := 2
			started := 4 // the first death was in the middle of a task, and does not count
			if c.how == "removed" {
				cfg.Process.Env, cfg.Process.Dir, started, restarts = []string{
					mortalVar + "=none",
				}, filepath.Join(
					t.TempDir(),
					"gone",
				), 1, 0
				require.NoError(t, os.Mkdir(cfg.Process.Dir, 0o700))
			}
			g := newGate(t)
			l := newLab(t, nil, pool{"mortal", cfg}, workers("guest", 1))
			require.NoError(t, l.Start(context.Background()))
			defer l.Close()
			running := l.submit(t, "mortal-visit", g.visit("first"), nil)
			v := g.expect(t, "first")
			pending := l.submit(t, "mortal-visit", g.visit("never"), nil)
			held := l.submit(t, "visit-soft", g.visit("sibling"), nil)
			sibling := g.expect(t, "sibling")
			behind := l.submit(t, "visit-soft", g.visit("never"), nil)
			if cfg.Process.Dir != "" {
				require.NoError(t, os.Remove(cfg.Process.Dir))
			}
			v.tell("die exit 1")

			_, err := outcome(t, running)
			var died *multiprolab.WorkerDiedError
			require.ErrorAs(t, err, &died)
			_, err = outcome(t, pending)
			var limit *multiprolab.RestartLimitError
			require.ErrorAs(t, err, &limit, "the pending task must fail with the reason")
			_, err = outcome(t, behind)
			require.ErrorIs(t, err, multiprolab.ErrStopped)
			require.ErrorAs(t, err, &limit, "so must that of a sibling")
			sibling.tell("finished")
			text, err := outcome(t, held)
			require.NoError(t, err, "what is running is finished")
			require.Equal(t, "finished", text)

			err = l.Wait(bounded(t))
			require.ErrorAs(t, err, &limit)
			require.Equal(t, "mortal/0", limit.Worker)
			require.Equal(t, restarts, limit.Restarts)
			require.Equal(
				t,
				restarts == 0,
				limit.Permanent,
				"a directory that is missing will be missing the next time",
			)
			require.Len(t, limit.Causes, restarts+1)
			require.ErrorContains(t, err, c.text)
			var start *multiprolab.StartError
			require.ErrorAs(t, err, &start)
			require.Len(t, starts(l, "mortal/0"), started)
			l.checkGone(t)
			g.quiet(t)
			_, err = multiprolab.Submit[string](bounded(t), l, "mortal-visit", g.visit("never"), nil)
			require.ErrorIs(t, err, multiprolab.ErrStopped)
		})
	}
}

// TestA09_RestartWindow: deaths that are further apart than the window do not add up.
func TestA09_DeathsWithinLimit(t *testing.T) {
	l := startLab(t, nil, pool{"lab", &multiprolab.WorkerConfig{RestartLimit: multiprolab.RestartLimit{Restarts: 1, Window: 1}}}) // a nanosecond
	for life := 2; life < 5; life++ {
		_, err := multiprolab.Do[int](bounded(t), l, "die", "exit 1")
		require.Error(t, err)
		waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Life == life })
	}
	require.NoError(t, l.Close())
}

// TestStart_EndedBefore: Start does not say that all is well when the workers were ended before
// they were ready.
func TestStart_EndedBefore(t *testing.T) {
	cause := errors.New("the caller has changed its mind")
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	l := newLab(t, &multiprolab.Config{OnEvent: func(e multiprolab.Event) {
		if _, ok := e.(*multiprolab.WorkerStarted); ok {
			cancel(cause)
		}
	}}, pool{"misfit", &multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{Env: []string{misfitVar + "=hang softly"}}}}, workers("lab", 1))
	require.ErrorIs(t, l.Start(ctx), multiprolab.ErrStopped)
	l.checkGone(t)

	l = newLab(t, nil, workers("lab", 1))
	cancel(cause)
	require.ErrorIs(t, l.Start(ctx), cause)
	require.Empty(t, l.all())
	require.NoError(t, newLab(t, nil, workers("lab", 1)).Close(), "Close before Start does nothing")
}
