package multiprolab_test

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// lookedAt is what the methods that look into a program say of a worker of it: what they have
// found, or their errors.
type lookedAt struct {
	Kill, Dump, Profile, Stderr, Record string
	Workers                             int // in Stats
	Started                             bool
}

// lookAt looks at a worker of a program, and kills it in the end. Dump and Profile have that time.
func lookAt(m *multiprolab.Main, worker string, d time.Duration) (l lookedAt) {
	ctx := context.Background()
	if d > 0 {
		bounded, cancel := context.WithTimeout(ctx, d)
		defer cancel()
		ctx = bounded
	}
	text := func(found string, err error) string {
		if err != nil {
			return "error: " + err.Error()
		}
		return found
	}
	s := m.Stats()
	l.Workers, l.Started = len(s.Workers), !s.Started.IsZero()
	stacks, err := m.Dump(ctx, worker)
	l.Dump = text(strings.SplitN(stacks, " ", 2)[0], err)
	l.Profile = text("profile", m.Profile(ctx, io.Discard, worker, "heap", nil))
	printed, err := m.Stderr(worker)
	l.Stderr = text("printed: "+printed, err)
	l.Record = text("record", m.WriteRecord(io.Discard))
	l.Kill = text("killed", m.Kill(worker))
	return l
}

var _ = worker("looker", func(ctx context.Context, w *multiprolab.Worker) error {
	theirs := theirMain
	multiprolab.HandleCall(w, "look-here", func(_ context.Context, worker string) (lookedAt, error) {
		return lookAt(theirs, worker, 0), nil
	})
	inner := multiprolab.New(&multiprolab.Config{Name: "inner-looked"})
	inner.RegisterWorker("inner-lab", setups["lab"], nil)
	if err := inner.Start(ctx); err != nil {
		return err
	}
	w.OnExit(func(context.Context) error { return inner.Close() })
	multiprolab.HandleCall(w, "look-inside", func(_ context.Context, worker string) (lookedAt, error) {
		return lookAt(inner, worker, 0), nil
	})
	return nil
})

// checkLooked checks what was seen. A text after "error: " is part of the error.
func checkLooked(t *testing.T, want, got lookedAt) {
	t.Helper()
	for _, c := range [][3]string{
		{"Kill", want.Kill, got.Kill}, {"Dump", want.Dump, got.Dump}, {"Profile", want.Profile, got.Profile},
		{"Stderr", want.Stderr, got.Stderr}, {"WriteRecord", want.Record, got.Record},
	} {
		if strings.HasPrefix(c[1], "error: ") {
			require.True(t, strings.HasPrefix(c[2], "error: "), "%v", c)
			require.Contains(t, c[2], strings.TrimPrefix(c[1], "error: "), "%v", c)
		} else {
			require.Equal(t, c[1], c[2], "%v", c)
		}
	}
	require.Equal(t, want.Workers, got.Workers)
	require.Equal(t, want.Started, got.Started)
}

// TestLookingFromWhereverOneMay calls all methods that look into a program at all times, in all
// processes, for workers in all states: each has a result, or an error that says why not.
func TestLookingFromWhereverOneMay(t *testing.T) {
	all := func(text string) lookedAt {
		return lookedAt{Kill: text, Dump: text, Profile: text, Stderr: text, Record: text}
	}
	well := lookedAt{"killed", "goroutine", "profile", "printed: ", "record", 1, true}
	const unstarted = "error: multiprolab: the workers have not been started: call Run or Start first"
	t.Run("a Main that New has not made", func(t *testing.T) {
		checkLooked(t, all(unstarted), lookAt(new(multiprolab.Main), "lab/0", 0))
	})
	t.Run("before the start and after the end", func(t *testing.T) {
		l := newLab(t, nil, workers("lab", 1))
		before := all(unstarted)
		before.Record = "record"
		checkLooked(t, before, lookAt(l.Main, "lab/0", 0))
		before.Dump, before.Profile = "goroutine", "profile"
		checkLooked(t, before, lookAt(l.Main, "main", 0))
		require.NoError(t, l.Start(t.Context()))
		require.NoError(t, l.Close())
		const stopped = "error: multiprolab: stopped"
		checkLooked(t, lookedAt{stopped, stopped, stopped, "printed: ", "record", 1, true}, lookAt(l.Main, "lab/0", 0))
		unknown := lookedAt{stopped, "goroutine", "profile", `error: no receiver is named "main"`, "record", 1, true}
		checkLooked(t, unknown, lookAt(l.Main, "main", 0))
	})
	t.Run("in the process of a worker", func(t *testing.T) {
		l := startLab(t, nil, workers("looker", 1))
		for _, worker := range []string{"main", "looker/0"} {
			got, err := multiprolab.Call[lookedAt](bounded(t), l, "looker", "look-here", worker)
			require.NoError(t, err)
			here := all("error: this is the process of worker looker")
			if worker == "main" {
				here.Kill = "error: "
			}
			checkLooked(t, here, got)
		}
		got, err := multiprolab.Call[lookedAt](bounded(t), l, "looker", "look-inside", "inner-lab/0")
		require.NoError(t, err)
		checkLooked(t, well, got)
		require.NoError(t, l.Close())
	})
	t.Run("names", func(t *testing.T) {
		l := startLab(t, nil, pool{"lab", &multiprolab.WorkerConfig{Spare: 1}})
		eventually(t, "the spare to stand by", func() bool {
			return workerOf(l.Stats(), "lab/spare.0").State == multiprolab.StateSpare
		})
		known := `error: "lab/7"`
		checkLooked(t, lookedAt{known, known, known, known, "record", 2, true}, lookAt(l.Main, "lab/7", 0))
		aPool := "error: lab is a pool: name one of its workers, such as lab/0"
		checkLooked(t, lookedAt{aPool, aPool, aPool, aPool, "record", 2, true}, lookAt(l.Main, "lab", 0))
		spare := well
		spare.Workers = 2
		checkLooked(t, spare, lookAt(l.Main, "lab/spare.0", 0))
		eventually(t, "another spare to stand by", func() bool {
			w := workerOf(l.Stats(), "lab/spare.0")
			return w.State == multiprolab.StateSpare && w.Life == 2 && w.LastDeath.Cause == multiprolab.CauseKill
		})
		require.Equal(t, 1, workerOf(l.Stats(), "lab/0").Life)
		require.NoError(t, l.Close())
	})
	t.Run("goroutines", func(t *testing.T) {
		l := startLab(t, &multiprolab.Config{InProcess: true}, workers("lab", 1))
		checkLooked(t, well, lookAt(l.Main, "lab/0", 0))
		require.NoError(t, l.Close())
	})
	t.Run("a worker in its setup", func(t *testing.T) {
		l := newLab(t, &multiprolab.Config{Shutdown: multiprolab.KillAll}, workers("stuck-in-setup", 1))
		started := make(chan error, 1)
		go func() { started <- l.Start(context.Background()) }()
		t.Cleanup(func() { _ = l.Close(); <-started; l.checkGone(t) })
		eventually(t, "the setup function to run", func() bool {
			s := l.Stats()
			return len(s.Workers) == 1 && s.Workers[0].State == multiprolab.StateSetup
		})
		checkLooked(t, well, lookAt(l.Main, "stuck-in-setup/0", 0))
	})
	t.Run("a worker that says nothing", func(t *testing.T) {
		l := newLab(t, &multiprolab.Config{Shutdown: multiprolab.KillAll},
			pool{"lab", &multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{Env: []string{silence}}}})
		started := make(chan error, 1)
		go func() { started <- l.Start(context.Background()) }()
		t.Cleanup(func() { _ = l.Close(); <-started; l.checkGone(t) })
		eventually(t, "the process to start", func() bool {
			s := l.Stats()
			return len(s.Workers) == 1 && s.Workers[0].Process.PID > 0
		})
		silent := "error: worker lab/0 has no process that could be asked yet: it is starting"
		checkLooked(t, lookedAt{"killed", silent, silent, "printed: ", "record", 1, true}, lookAt(l.Main, "lab/0", 0))
	})
}

// silence is in the environment of a process that does nothing until it is killed.
const silence = "MULTIPROLAB_TEST_SILENT=1"

func init() {
	if os.Getenv("MULTIPROLAB_TEST_SILENT") != "" {
		for { // until it is killed
			time.Sleep(time.Hour)
		}
	}
}
