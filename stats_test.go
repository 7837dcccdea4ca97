package multiprolab_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

var statsWorker = worker("statistician", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "stats-hold", func(ctx context.Context, path string) (int, error) {
		for ctx.Err() == nil { // until the test has removed the file
			if _, err := os.Stat(path); err != nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		return os.Getpid(), nil
	})
	multiprolab.HandleCall(w, "stats-call", func(ctx context.Context, n int) (int, error) { return n + 1, nil })
	multiprolab.Handle(w, "stats-note", func(context.Context, int) error { return nil })
	multiprolab.HandleTask(w, "stats-clock", func(ctx context.Context, _ int) (time.Duration, error) {
		begun := time.Now()
		for time.Since(begun) < 50*time.Microsecond { // work
		}
		return time.Since(begun), nil
	})
	multiprolab.HandleTask(w, "stats-add", func(ctx context.Context, n int) (int, error) { return n + 1, nil })
	return nil
})

// checkSums holds that what a snapshot counts adds up.
func checkSums(t testing.TB, s *multiprolab.Stats) {
	t.Helper()
	add := func(to *multiprolab.TaskStats, c multiprolab.TaskStats, name string) {
		assert.Equal(t, c.Received, c.Succeeded+c.Failed+c.Cancelled+c.Queued+c.Running, "%q: %+v", name, c)
		to.Received += c.Received
		to.Succeeded += c.Succeeded
		to.Failed += c.Failed
		to.Cancelled += c.Cancelled
		to.Queued += c.Queued
		to.Running += c.Running
	}
	var queues, types multiprolab.TaskStats
	for _, q := range s.Queues {
		add(&queues, q.TaskStats, q.Name)
		assert.Equal(t, q.Queued, q.Ready+q.Delayed+q.Blocked+q.Assigned, "%+v", q)
	}
	for _, typ := range s.Types {
		add(&types, typ.TaskStats, typ.Type)
		var n uint64
		for _, b := range typ.Run.Buckets {
			n += b.Count
		}
		assert.Equal(t, typ.Run.Count, n)
	}
	assert.Equal(t, s.Tasks, queues)
	assert.Equal(t, s.Tasks, types)
}

// checkWorkerSums holds that what a snapshot counts of its workers is what it counts together, in a
// program whose workers all stay.
func checkWorkerSums(t testing.TB, s *multiprolab.Stats) {
	t.Helper()
	var messages uint64
	var blocked int
	restarts := map[string]uint64{}
	for _, w := range s.Workers {
		messages += w.Messages
		blocked += w.Wire.Blocked
		if w.Index >= 0 {
			restarts[w.Pool] += uint64(w.Restarts)
		}
	}
	for _, w := range s.Workers {
		for _, r := range w.Running {
			assert.False(t, r.Since.After(s.Time), "%+v", r)
		}
	}
	assert.Equal(t, messages, s.Messages.Handled)
	assert.Equal(t, blocked, s.Wire.Blocked)
	for _, p := range s.Pools {
		assert.Equal(t, restarts[p.Name], p.Restarts)
	}
}

func TestStatsOfATaskThatRuns(t *testing.T) {
	path := t.TempDir() + "/hold"
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	l := newLab(t, nil, workers(statsWorker, 2))
	before := l.Stats()
	require.Empty(t, before.Workers)
	require.Zero(t, before.Started)
	require.NoError(t, l.Start(t.Context()))
	f, err := multiprolab.Submit[int](t.Context(), l, "stats-hold", path, nil)
	require.NoError(t, err)
	var s *multiprolab.Stats
	eventually(t, "the task to run", func() bool { s = l.Stats(); return s.Tasks.Running == 1 })
	checkSums(t, s)
	require.Len(t, s.Workers, 2)
	busy, other := s.Workers[0], s.Workers[1]
	if busy.State != multiprolab.StateBusy {
		busy, other = other, busy
	}
	require.Equal(t, multiprolab.StateBusy, busy.State)
	require.Equal(t, multiprolab.StateReady, other.State)
	require.Len(t, busy.Running, 1)
	require.Equal(t, "stats-hold", busy.Running[0].Type)
	require.WithinRange(t, busy.Running[0].Since, s.Started, s.Time)
	require.WithinRange(t, busy.Since, s.Started, s.Time)
	require.NoError(t, os.Remove(path))
	pid, err := f.Wait(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, busy.Process.PID, pid)
	eventually(t, "the outcome to count", func() bool { s = l.Stats(); return s.Tasks.Succeeded == 1 })
	checkSums(t, s)
	require.Len(t, s.Types, 1)
	held := s.Types[0]
	require.Less(t, held.Wait.Sum, s.Time.Sub(s.Started))
	require.Equal(t, "stats-hold", held.Type)
	require.EqualValues(t, 1, held.Run.Count)
	require.EqualValues(t, 1, held.Wait.Count)
	require.Len(t, held.Slowest, 1)
	require.Equal(t, busy.Name, held.Slowest[0].Worker)
	text, err := json.Marshal(s)
	require.NoError(t, err)
	var again multiprolab.Stats
	require.NoError(t, json.Unmarshal(text, &again))
	require.Equal(t, s.Types[0].Run, again.Types[0].Run)
	require.Equal(t, s.Tasks, again.Tasks)
	require.NoError(t, l.Close())
	last := l.Stats()
	checkSums(t, last)
	require.Equal(t, s.Tasks, last.Tasks)
	for _, w := range last.Workers {
		require.Equal(t, multiprolab.StateStopped, w.State, w.Name)
		require.Zero(t, w.Process.PID)
	}
}

func TestKillIsADeathFromOutside(t *testing.T) {
	path := t.TempDir() + "/hold"
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	l := startLab(t, nil, workers(statsWorker, 1))
	require.ErrorContains(t, l.Kill("nobody/3"), `"nobody/3"`)
	require.ErrorContains(t, l.Kill("main"), "Exit")
	f, err := multiprolab.Submit[int](t.Context(), l, "stats-hold", path, &multiprolab.TaskOptions{Attempts: 2})
	require.NoError(t, err)
	eventually(t, "the task to run", func() bool { return l.Stats().Tasks.Running == 1 })
	first := l.Stats().Workers[0]
	require.NoError(t, l.Kill(first.Name))
	var s *multiprolab.Stats
	eventually(t, "the second attempt to run", func() bool {
		s = l.Stats()
		return s.Tasks.Running == 1 && s.Workers[0].Life == 2
	})
	require.NoError(t, os.Remove(path))
	_, err = f.Wait(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, s.Workers[0].Restarts)
	require.Equal(t, multiprolab.CauseKill, s.Workers[0].LastDeath.Cause)
	require.Equal(t, first.Process.PID, s.Workers[0].LastDeath.PID)
	require.Contains(t, s.Workers[0].LastDeath.Err, "Main.Kill")
	require.Equal(t, map[multiprolab.DeathCause]uint64{multiprolab.CauseKill: 1}, s.Pools[0].Deaths)
	require.EqualValues(t, 1, s.Pools[0].Restarts)
	var retried uint64
	for _, typ := range s.Types {
		retried += typ.Retried
	}
	require.EqualValues(t, 1, retried)
	require.NoError(t, l.Close())
	require.Error(t, l.Kill(first.Name))
}

// TestStatsAddUpWhileWorkersAreKilled takes snapshots all the time while workers are killed, and
// holds that each adds up and that nothing that only grows ever falls. In the end all is counted,
// over all lives.
func TestStatsAddUpWhileWorkersAreKilled(t *testing.T) {
	const tasks, calls, kills = 3000, 300, 12
	l := startLab(t, nil, pool{statsWorker, &multiprolab.WorkerConfig{
		Count: 3, RestartLimit: multiprolab.RestartLimit{Restarts: -1}, RestartDelay: time.Millisecond, RestartMaxDelay: time.Millisecond,
	}})
	var over atomic.Int32
	watched := make(chan int)
	for range 2 {
		go func() { // ends when over is set
			n := 0
			last := l.Stats()
			for over.Load() == 0 {
				s := l.Stats()
				checkSums(t, s)
				checkWorkerSums(t, s)
				checkGrowth(t, last, s)
				last = s
				n++
			}
			watched <- n
		}()
	}
	var work sync.WaitGroup
	work.Go(func() {
		for i := range tasks {
			f, err := multiprolab.Submit[int](t.Context(), l, "stats-add", i, &multiprolab.TaskOptions{Attempts: 1000})
			if !assert.NoError(t, err) {
				return
			}
			if i%100 == 0 {
				_, err := f.Wait(t.Context())
				assert.NoError(t, err)
			}
		}
	})
	work.Go(func() {
		items := make([]int, tasks)
		for r, err := range multiprolab.Map[int](t.Context(), l, "stats-add", slices.Values(items), nil) {
			_, _ = r, err // an item that a death has hit has failed
		}
	})
	work.Go(func() {
		for range calls {
			_ = multiprolab.Send(t.Context(), l, statsWorker, "stats-note", 1) // as for the calls
			// Some of these meet a worker that dies.
			_, _ = multiprolab.Call[int](t.Context(), l, statsWorker, "stats-call", 1)
		}
	})
	work.Go(func() {
		for i := range kills {
			name := fmt.Sprint(statsWorker, "/", i%3)
			life := 0
			eventually(t, "the worker to have a process", func() bool {
				w := workerOf(l.Stats(), name)
				life = w.Life
				return l.Kill(name) == nil
			})
			eventually(t, "the worker to be replaced", func() bool { return workerOf(l.Stats(), name).Life > life })
		}
	})
	work.Wait()
	require.NoError(t, l.Tasks().Join(t.Context()))
	over.Store(1)
	t.Logf("%d and %d snapshots", <-watched, <-watched)
	require.NoError(t, l.Close())
	s := l.Stats()
	checkSums(t, s)
	require.Zero(t, s.Tasks.Queued+s.Tasks.Running)
	var ended, restarts, deaths, messages uint64
	var wire multiprolab.WireStats
	for _, w := range s.Workers {
		ended += w.Tasks
		restarts += uint64(w.Restarts)
		messages += w.Messages
		wire.FramesSent += w.Wire.FramesSent
		wire.BytesReceived += w.Wire.BytesReceived
		require.NotNil(t, w.LastDeath)
		require.Positive(t, w.Busy)
	}
	for cause, n := range s.Pools[0].Deaths {
		require.Contains(t, []multiprolab.DeathCause{multiprolab.CauseKill, multiprolab.CauseStart}, cause)
		deaths += n
	}
	require.Equal(t, restarts, s.Pools[0].Restarts)
	require.GreaterOrEqual(t, deaths, uint64(kills))
	require.Equal(t, messages, s.Messages.Handled)
	require.Positive(t, messages)
	require.Equal(t, wire.FramesSent, s.Wire.FramesSent)
	require.Equal(t, wire.BytesReceived, s.Wire.BytesReceived)
	var runs uint64
	for _, typ := range s.Types {
		runs += typ.Run.Count
		require.LessOrEqual(t, typ.Run.P50, typ.Run.P99)
		require.LessOrEqual(t, typ.Run.P99, typ.Run.Max)
	}
	require.Equal(t, ended, runs)
}

// TestStatsGrowWhileWorkersComeAndGo holds that what only grows never falls while instances leave
// their pool and come again, and while spares take the places of others.
func TestStatsGrowWhileWorkersComeAndGo(t *testing.T) {
	const rounds = 12
	l := startLab(t, nil, pool{statsWorker, &multiprolab.WorkerConfig{
		Count: 3, Spare: 2, RestartLimit: multiprolab.RestartLimit{Restarts: -1},
		RestartDelay: time.Millisecond, RestartMaxDelay: time.Millisecond,
	}})
	var over atomic.Bool
	var beside sync.WaitGroup
	beside.Go(func() {
		last := l.Stats()
		for !over.Load() {
			s := l.Stats()
			checkSums(t, s)
			checkTotals(t, last, s)
			last = s
		}
	})
	beside.Go(func() {
		for !over.Load() { // some of these meet a worker that dies, or leaves
			_, _ = multiprolab.Call[int](t.Context(), l, statsWorker, "stats-call", 1)
			_ = multiprolab.Send(t.Context(), l, statsWorker, "stats-note", 1)
		}
	})
	for i := range rounds {
		require.NoError(t, l.Resize(statsWorker, 1+i%3))
		name := fmt.Sprint(statsWorker, "/0")
		life := 0
		eventually(t, "the worker to be killed", func() bool {
			life = workerOf(l.Stats(), name).Life
			return l.Kill(name) == nil
		})
		eventually(t, "the worker to be replaced", func() bool {
			w := workerOf(l.Stats(), name)
			return w.Life > life && (w.State == multiprolab.StateReady || w.State == multiprolab.StateBusy)
		})
	}
	over.Store(true)
	beside.Wait()
	require.NoError(t, l.Close())
}

// workerOf returns an instance of a snapshot.
func workerOf(s *multiprolab.Stats, name string) *multiprolab.WorkerStats {
	for i := range s.Workers {
		if s.Workers[i].Name == name {
			return &s.Workers[i]
		}
	}
	return &multiprolab.WorkerStats{}
}

// checkGrowth holds that what only grows has not fallen from one snapshot to a later one.
func checkGrowth(t testing.TB, before, after *multiprolab.Stats) {
	checkTotals(t, before, after)
	grows := func(what string, a, b uint64) { checkGrows(t, what, a, b) }
	for i := range min(len(before.Workers), len(after.Workers)) {
		a, b := &before.Workers[i], &after.Workers[i]
		grows("life of "+a.Name, uint64(a.Life), uint64(b.Life))
		grows("tasks of "+a.Name, a.Tasks, b.Tasks)
		grows("messages of "+a.Name, a.Messages, b.Messages)
		grows("frames to "+a.Name, a.Wire.FramesSent, b.Wire.FramesSent)
	}
	for i := range min(len(before.Types), len(after.Types)) {
		grows("runs of "+before.Types[i].Type, before.Types[i].Run.Count, after.Types[i].Run.Count)
	}
}

// checkTotals holds that what only grows of all together has not fallen.
func checkTotals(t testing.TB, before, after *multiprolab.Stats) {
	grows := func(what string, a, b uint64) { checkGrows(t, what, a, b) }
	grows("succeeded", before.Tasks.Succeeded, after.Tasks.Succeeded)
	grows("failed", before.Tasks.Failed, after.Tasks.Failed)
	grows("handled", before.Messages.Handled, after.Messages.Handled)
	grows("frames sent", before.Wire.FramesSent, after.Wire.FramesSent)
	grows("frames received", before.Wire.FramesReceived, after.Wire.FramesReceived)
	grows("bytes sent", before.Wire.BytesSent, after.Wire.BytesSent)
	grows("bytes received", before.Wire.BytesReceived, after.Wire.BytesReceived)
	grows("writes", before.Wire.Writes, after.Wire.Writes)
	for i := range before.Pools {
		grows("restarts", before.Pools[i].Restarts, after.Pools[i].Restarts)
	}
}

// checkGrows holds that a figure has not fallen.
func checkGrows(t testing.TB, what string, before, after uint64) {
	if after < before {
		t.Errorf("%s has fallen from %d to %d", what, before, after)
	}
}

// The figures of processes are those of the system, and a worker that does nothing is told from one
// that works.
func TestStatsOfProcesses(t *testing.T) {
	l := startLab(t, nil, workers(statsWorker, 1))
	s := l.Stats()
	require.Equal(t, os.Getpid(), s.Main.PID)
	require.Positive(t, s.Workers[0].Process.PID)
	switch runtime.GOOS {
	case "linux", "darwin", "windows", "freebsd":
		for _, p := range []multiprolab.ProcessStats{s.Main, s.Workers[0].Process} {
			require.Positive(t, p.CPU)
			require.Positive(t, p.Resident)
		}
	}
	if runtime.GOOS == "linux" {
		require.Less(t, s.Workers[0].Process.Private, s.Workers[0].Process.Resident)
	}
	require.Positive(t, s.Wire.FramesSent)
	require.Positive(t, s.Wire.FramesReceived)
	require.Positive(t, s.Wire.Writes)
	require.NoError(t, l.Close())
}

// In a worker, the Main of main does not run: there is nothing to tell, and nobody to kill.
func TestStatsElsewhere(t *testing.T) {
	l := newLab(t, nil)
	s := l.Stats()
	require.Empty(t, s.Workers)
	require.ErrorContains(t, l.Kill("any/0"), "have not been started")
	require.NoError(t, l.Start(t.Context()))
	require.ErrorContains(t, l.Kill("any/0"), `"any/0"`)
	require.NoError(t, l.Close())
	require.False(t, l.Stats().Started.IsZero())
}

// TestStatsOfWorkersInThisProcess holds that workers that are goroutines have all figures but those
// of a process of their own.
func TestStatsOfWorkersInThisProcess(t *testing.T) {
	l := startLab(t, &multiprolab.Config{InProcess: true}, workers(statsWorker, 2))
	for i := range 10 {
		n, err := multiprolab.Do[int](t.Context(), l, "stats-add", i)
		require.NoError(t, err)
		require.Equal(t, i+1, n)
	}
	_, err := multiprolab.Call[int](t.Context(), l, statsWorker+"/0", "stats-call", 1)
	require.NoError(t, err)
	s := l.Stats()
	checkSums(t, s)
	require.EqualValues(t, 10, s.Types[0].Run.Count)
	require.EqualValues(t, 1, s.Messages.Handled)
	require.Equal(t, os.Getpid(), s.Workers[0].Process.PID)
	require.Equal(t, s.Main, s.Workers[0].Process)
	require.NoError(t, l.Close())
}

// A handler of main may take a snapshot.
func TestStatsFromHandler(t *testing.T) {
	l := newLab(t, nil, workers(statsWorker, 1))
	got := make(chan *multiprolab.Stats, 1)
	l.After(0, func(context.Context) error {
		got <- l.Stats()
		return nil
	})
	require.NoError(t, l.Start(t.Context()))
	require.Len(t, (<-got).Workers, 1)
	require.NoError(t, l.Close())
}

// The time that a task has run is that of its handler, by the clock of its worker, however late
// main hears of it.
func TestRunTimesAreThoseOfTheHandler(t *testing.T) {
	l := startLab(t, nil, workers(statsWorker, 1))
	var futures []*multiprolab.Future[time.Duration]
	for range 20 {
		f, err := multiprolab.Submit[time.Duration](t.Context(), l, "stats-clock", 0, nil)
		require.NoError(t, err)
		futures = append(futures, f)
	}
	var ran, longest time.Duration
	for _, f := range futures {
		d, err := f.Wait(t.Context())
		require.NoError(t, err)
		ran += d
		longest = max(longest, d)
	}
	run := l.Stats().Types[0].Run
	require.EqualValues(t, 20, run.Count)
	require.GreaterOrEqual(t, run.Sum, ran)
	require.GreaterOrEqual(t, run.Max, longest)
	require.NoError(t, l.Close())
}
