package multiprolab_test

import (
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"

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
	multiprolab.HandleTask(w, "stats-add", func(ctx context.Context, n int) (int, error) { return n + 1, nil })
	return nil
})

// checkSums holds that what a snapshot counts adds up.
func checkSums(t testing.TB, s *multiprolab.Stats) {
	t.Helper()
	add := func(to *multiprolab.TaskStats, c multiprolab.TaskStats, name string) {
		require.Equal(t, c.Received, c.Succeeded+c.Failed+c.Cancelled+c.Queued+c.Running, "%q: %+v", name, c)
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
		require.Equal(t, q.Queued, q.Ready+q.Delayed+q.Blocked+q.Assigned, "%+v", q)
	}
	for _, typ := range s.Types {
		add(&types, typ.TaskStats, typ.Type)
		var n uint64
		for _, b := range typ.Run.Buckets {
			n += b.Count
		}
		require.Equal(t, typ.Run.Count, n)
	}
	require.Equal(t, s.Tasks, queues)
	require.Equal(t, s.Tasks, types)
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
