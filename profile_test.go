package multiprolab_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// The worker with a profile of its own that is large: a line for each of many names.
var _ = worker("profiled", func(ctx context.Context, w *multiprolab.Worker) error {
	p := pprof.NewProfile("large")
	fillProfile(p, 1)
	multiprolab.HandleCall(w, "echo", func(_ context.Context, n int) (int, error) { return n, nil })
	return guest(ctx, w)
})

// fillProfile adds many values, each on a stack of its own, to a profile.
func fillProfile(p *pprof.Profile, way int) {
	if way < 1<<12 {
		fillProfile(p, 2*way)
		func() { fillProfile(p, 2*way+1) }()
		return
	}
	p.Add(way, 0)
}

// hangsNow has a worker hang in a message, and returns when its stacks show it.
func hangsNow(t testing.TB, l *lab, how, function string) {
	t.Helper()
	require.NoError(t, multiprolab.Send(bounded(t), l, "hanger/0", "hang-message", how))
	eventually(t, "the handler to hang", func() bool {
		stacks, err := l.Dump(bounded(t), "hanger/0")
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(stacks, "goroutine "))
		return strings.Contains(stacks, "multiprolab_test."+function+"(")
	})
}

// unzipped is what is in a profile for go tool pprof.
func unzipped(t testing.TB, b []byte) string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	require.NoError(t, err)
	all, err := io.ReadAll(z)
	require.NoError(t, err)
	return string(all)
}

// TestDump: whatever the handler of a worker does, main is told of the stacks, and the worker goes
// on.
func TestDump(t *testing.T) {
	for how, function := range map[string]string{
		"loop": "hangInLoop", "empty loop": "hangInEmptyLoop", "select": "hangInSelect", "kernel": "hangInKernel",
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			l := startLab(t, &multiprolab.Config{Shutdown: multiprolab.KillAll}, workers("hanger", 1))
			hangsNow(t, l, how, function)
			var b bytes.Buffer
			require.NoError(t, l.Profile(bounded(t), &b, "hanger/0", "goroutine", &multiprolab.ProfileConfig{Debug: 1}))
			require.Contains(t, b.String(), "multiprolab_test."+function)
			require.Equal(t, "hang-message", workerOf(l.Stats(), "hanger/0").Running[0].Type)
			require.Empty(t, eventsOf[*multiprolab.WorkerFailed](l))
		})
	}
	t.Run("on one processor", func(t *testing.T) {
		t.Parallel()
		one := &multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{GOMAXPROCS: 1}}
		l := startLab(t, &multiprolab.Config{Shutdown: multiprolab.KillAll}, pool{"hanger", one})
		hangsNow(t, l, "empty loop", "hangInEmptyLoop")
	})
	t.Run("goroutines", func(t *testing.T) {
		t.Parallel()
		l := startLab(t, &multiprolab.Config{InProcess: true}, workers("hanger", 1))
		stacks, err := l.Dump(bounded(t), "hanger/0")
		require.NoError(t, err)
		require.Contains(t, stacks, "multiprolab_test.TestDump")
	})
}

// A worker is seen in its setup function, and where main waits for nothing else of it.
func TestDump_Setup(t *testing.T) {
	l := newLab(t, &multiprolab.Config{Shutdown: multiprolab.KillAll}, workers("stuck-in-setup", 1))
	started := make(chan error, 1)
	go func() { started <- l.Start(context.Background()) }()
	t.Cleanup(func() { _ = l.Close(); <-started; l.checkGone(t) })
	eventually(t, "the setup function to hang", func() bool {
		stacks, err := l.Dump(bounded(t), "stuck-in-setup/0")
		return err == nil && strings.Contains(stacks, "multiprolab_test.hangInEmptyLoop(")
	})
}

var _ = worker("stuck-in-setup", func(context.Context, *multiprolab.Worker) error {
	hangInEmptyLoop()
	return nil
})

// TestProfile: each profile of a worker that spins shows it, and is whole.
func TestProfile(t *testing.T) {
	l := startLab(t, &multiprolab.Config{Shutdown: multiprolab.KillAll}, workers("hanger", 1))
	hangsNow(t, l, "empty loop", "hangInEmptyLoop")
	for _, name := range []string{"heap", "allocs", "goroutine", "threadcreate", "block", "mutex"} {
		var b, text bytes.Buffer
		require.NoError(t, l.Profile(bounded(t), &b, "hanger/0", name, &multiprolab.ProfileConfig{GC: true}), name)
		require.NotEmpty(t, unzipped(t, b.Bytes()), name)
		require.NoError(t, l.Profile(bounded(t), &text, "hanger/0", name, &multiprolab.ProfileConfig{Debug: 1}), name)
		require.Regexp(t, "profile:|^---", text.String())
		if name == "goroutine" {
			require.Contains(t, text.String(), "multiprolab_test.hangInEmptyLoop")
		}
	}
	cfg := &multiprolab.ProfileConfig{Duration: 100 * time.Millisecond}
	eventually(t, "samples of a worker that spins", func() bool {
		var b bytes.Buffer
		require.NoError(t, l.Profile(bounded(t), &b, "hanger/0", "cpu", cfg))
		return strings.Contains(unzipped(t, b.Bytes()), "multiprolab_test.hangInEmptyLoop")
	})
	var b bytes.Buffer
	require.NoError(t, l.Profile(bounded(t), &b, "hanger/0", "trace", cfg))
	require.True(t, strings.HasPrefix(b.String(), "go 1."))
	require.NoError(t, l.Profile(bounded(t), &b, "main", "heap", nil))
	require.Empty(t, eventsOf[*multiprolab.WorkerFailed](l))
}

// However slow it is to write a large profile, the worker's messages and calls go on meanwhile.
func TestProfile_SlowWriter(t *testing.T) {
	l := startLab(t, nil, workers("profiled", 1))
	var whole, slow bytes.Buffer
	cfg := &multiprolab.ProfileConfig{Debug: 1}
	require.NoError(t, l.Profile(bounded(t), &whole, "profiled/0", "large", cfg))
	require.Greater(t, whole.Len(), 1<<20)
	calls := 0
	require.NoError(t, l.Profile(bounded(t), writerFunc(func(p []byte) (int, error) {
		for i := range 10 {
			n, err := multiprolab.Call[int](bounded(t), l, "profiled", "echo", i)
			require.NoError(t, err)
			require.Equal(t, i, n)
			calls++
		}
		return slow.Write(p)
	}), "profiled/0", "large", cfg))
	require.Equal(t, whole.Len(), slow.Len())
	require.Greater(t, calls, 100)
}

type writerFunc func(p []byte) (int, error)

func (w writerFunc) Write(p []byte) (int, error) { return w(p) }

// TestProfile_Errors: what cannot be had is an error that says why, and never a wait without end.
func TestProfile_Errors(t *testing.T) {
	l := newLab(t, nil, workers("profiled", 1), workers("hanger", 1))
	ctx := bounded(t)
	profile := func(worker, name string, cfg *multiprolab.ProfileConfig) error {
		return l.Profile(ctx, io.Discard, worker, name, cfg)
	}
	require.ErrorContains(t, profile("profiled/0", "heap", nil), "call Run or Start first")
	require.NoError(t, profile("main", "heap", nil), "main is there")
	require.NoError(t, l.Start(context.Background()))
	t.Cleanup(func() { _ = l.Close(); l.checkGone(t) })
	for _, c := range []struct {
		worker, name string
		cfg          *multiprolab.ProfileConfig
		says         string
	}{
		{"nobody/0", "heap", nil, `no receiver is named "nobody/0"`},
		{"profiled/1", "heap", nil, `no receiver is named "profiled/1"`},
		{"profiled", "heap", nil, "profiled is a pool: name one of its workers, such as profiled/0"},
		{"profiled/0", "", nil, "give it a name"},
		{"profiled/0", "heap", &multiprolab.ProfileConfig{Duration: 1}, "ProfileConfig.Duration is 1ns"},
		{"profiled/0", "cpu", &multiprolab.ProfileConfig{Duration: -1}, "ProfileConfig.Duration is -1ns"},
		{"profiled/0", "heap", &multiprolab.ProfileConfig{MaxSize: -1}, "ProfileConfig.MaxSize is -1"},
		{"profiled/0", "nonsense", nil, `there is no profile "nonsense": the process has allocs, block, cpu`},
		{"main", "nonsense", nil, `there is no profile "nonsense"`},
		{"profiled/0", "large", &multiprolab.ProfileConfig{MaxSize: 1000}, "larger than the limit of 1000 bytes"},
	} {
		require.ErrorContains(t, profile(c.worker, c.name, c.cfg), c.says, "%v", c)
	}
	var unknown *multiprolab.UnknownReceiverError
	_, err := l.Dump(ctx, "nobody/0")
	require.ErrorAs(t, err, &unknown)

	hour := &multiprolab.ProfileConfig{Duration: time.Hour}
	for _, name := range []string{"cpu", "trace"} { // one of each at a time; its end is that of its context
		first, cancel := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- l.Profile(first, io.Discard, "profiled/0", name, hour) }()
		short := &multiprolab.ProfileConfig{Duration: time.Nanosecond}
		eventually(t, "the second profile to be refused", func() bool {
			err = profile("profiled/0", name, short)
			return err != nil
		})
		require.ErrorContains(t, err, "wait for the end of the other one")
		require.ErrorContains(t, err, "of worker profiled/0 (pid ")
		cancel()
		require.ErrorIs(t, await(t, ended, "the first profile to end"), context.Canceled)
		eventually(t, "the worker to end it", func() bool { return profile("profiled/0", name, short) == nil })
	}

	died := make(chan error, 1) // a worker that dies in the middle
	go func() { died <- profile("profiled/0", "cpu", hour) }()
	eventually(t, "the profile to begin", func() bool {
		stacks, err := l.Dump(ctx, "profiled/0")
		return err == nil && strings.Contains(stacks, "pprof.profileWriter")
	})
	kill(t, waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Worker == "profiled/0" }).PID)
	require.ErrorContains(t, await(t, died, "the profile to end"), "it has ended before its answer was complete")
	waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Worker == "profiled/0" && e.Life == 2 })
	require.NoError(t, profile("profiled/0", "heap", nil), "the next life")
	require.NoError(t, l.Close())
	require.ErrorIs(t, profile("profiled/0", "heap", nil), multiprolab.ErrStopped)
}

// A worker that answers with what makes no sense is killed, and who waits for the profile is told.
func TestProfile_Liar(t *testing.T) {
	l := startLab(t, nil, workers("hostile", 1))
	ended := make(chan error, 1)
	go func() {
		hour := &multiprolab.ProfileConfig{Duration: time.Hour}
		ended <- l.Profile(bounded(t), io.Discard, "hostile/0", "cpu", hour)
	}()
	eventually(t, "the profile to begin", func() bool {
		stacks, err := l.Dump(bounded(t), "hostile/0")
		return err == nil && strings.Contains(stacks, "pprof.profileWriter")
	})
	_, err := multiprolab.Do[string](bounded(t), l, "attack", "a piece of a profile that is too long")
	var died *multiprolab.WorkerDiedError
	require.ErrorAs(t, err, &died)
	require.Contains(t, died.Reason, "a frame came that nothing had allowed: Inspect")
	require.ErrorContains(t, await(t, ended, "the profile to end"), "it has ended before its answer was complete")
}

// A spare that stands by is seen as well.
func TestDump_Spare(t *testing.T) {
	l := startLab(t, nil, pool{"profiled", &multiprolab.WorkerConfig{Spare: 1}})
	eventually(t, "the spare to stand by", func() bool {
		stacks, err := l.Dump(bounded(t), "profiled/spare.0")
		return err == nil && strings.HasPrefix(stacks, "goroutine ")
	})
}

func kill(t testing.TB, pid int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	require.NoError(t, err)
	require.NoError(t, p.Kill())
}
