package console_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/console"
)

// TestWorkersWhileOneIsKilled: the live table shows who works, also after a death, and Workers ends
// with its context.
func TestWorkersWhileOneIsKilled(t *testing.T) {
	app, s := started(t), newScreen(t)
	ctx, cancel := context.WithCancel(t.Context())
	shown := make(chan error, 1)
	go func() {
		shown <- console.Workers(ctx, app, &console.Config{Label: "the lab", Terminal: &console.Terminal{File: s.file}})
	}()
	picture := func(what string, ok func(string) bool) {
		t.Helper()
		require.Eventually(t, func() bool { return ok(s.state.String()) }, time.Minute, 10*time.Millisecond, "%s", what)
	}
	picture("the table", func(p string) bool {
		return strings.Contains(p, "the lab  2 workers") && strings.Contains(p, "halver/1") &&
			strings.Contains(p, "ready")
	})
	require.NoError(t, app.Kill("halver/1"))
	picture("the replacement", func(p string) bool {
		for line := range strings.Lines(p) {
			if f := strings.Fields(line); len(f) > 0 && f[0] == "halver/1" {
				return strings.Contains(line, "ready") && f[len(f)-1] == "1" // restarts
			}
		}
		return false
	})
	cancel()
	require.ErrorIs(t, <-shown, context.Canceled)
	require.Contains(t, strings.Join(s.last(t), "\n"), "halver/0", "the last picture stays")
}

// TestTableBelowABar: the bar and the workers are one picture.
func TestTableBelowABar(t *testing.T) {
	t.Setenv("LC_ALL", "C")
	app, s := started(t), newScreen(t)
	results := multiprolab.Map[int](t.Context(), app, "halve", numbers(6), nil)
	for range console.ProgressWith(results, &console.Config{
		Total: 6, Workers: app, Terminal: &console.Terminal{File: s.file},
	}) {
	}
	lines := s.last(t)
	require.Len(t, lines, 4, "%q", lines)
	require.Contains(t, lines[0], "6 of 6")
	require.Regexp(t, `^WORKER +STATE +FOR +PID +CPU +MEMORY +TASKS +MESSAGES +RESTARTS +DOES$`, lines[1])
	require.Regexp(t, `^halver/0 `, lines[2])
	require.Regexp(t, `^halver/1 `, lines[3])
}

// TestTables: figures, rates between two snapshots, and names that come from anybody.
func TestTables(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	hostile := "\x1b[2J\x07" + strings.Repeat("ü", 1000) + "\u202e"
	before := &multiprolab.Stats{
		Time: at,
		Workers: []multiprolab.WorkerStats{
			{Name: "w/0", Life: 2, Tasks: 10, Process: multiprolab.ProcessStats{CPU: time.Second}},
		},
		Queues: []multiprolab.QueueStats{{Name: "q", TaskStats: multiprolab.TaskStats{Succeeded: 100}}},
		Types:  []multiprolab.TypeStats{{Type: hostile}},
	}
	now := &multiprolab.Stats{
		Time: at.Add(2 * time.Second),
		Workers: []multiprolab.WorkerStats{
			{
				Name: "w/0", State: multiprolab.StateBusy, Since: at.Add(-time.Hour), Life: 2, Tasks: 13, Restarts: 1,
				Process: multiprolab.ProcessStats{PID: 77, CPU: 2 * time.Second, Resident: 12 << 20},
				Running: []multiprolab.RunningStats{{Kind: "task", Type: hostile, Since: at}, {}, {}},
			},
			{
				Name: "w/1", State: multiprolab.StateFailed, Since: at,
				LastDeath: &multiprolab.DeathStats{Cause: multiprolab.CausePanic, Err: hostile},
			},
		},
		Queues: []multiprolab.QueueStats{
			{
				Name:      "q",
				Ready:     5,
				Paused:    true,
				Oldest:    90 * time.Second,
				TaskStats: multiprolab.TaskStats{Succeeded: 700},
			},
			{},
			{Name: "r", Ready: 5, Throttled: 2},
		},
		Types: []multiprolab.TypeStats{{
			Type: hostile, TaskStats: multiprolab.TaskStats{Failed: 4},
			Run:     multiprolab.Histogram{Count: 4, P50: 1234 * time.Microsecond, P99: 2 * time.Second},
			Slowest: []multiprolab.SlowTask{{Worker: "w/0", Run: 2 * time.Second}},
		}},
		Tasks: multiprolab.TaskStats{Running: 1, Queued: 5, Succeeded: 700, Failed: 4},
	}

	w := console.Table(now, before, 0)
	require.Len(t, w, 3)
	require.Regexp(
		t,
		`^w/0 +busy +1h00m +77 +50% +12 MiB +1.5/s +0.0/s +1  task \?\[2J\?ü+~ for 2.0s, and 2 more$`,
		w[1],
	)
	require.Regexp(t, `^w/1 +failed +2.0s +0  has died: panic$`, w[2])
	require.Regexp(t, `^q +paused +5 +0 +0 +0 +1m30s +300/s$`, console.Queues(now, before, 0)[1])
	require.Regexp(t, `^\(others\) +0 +0 +0 +0$`, console.Queues(now, before, 0)[2])
	require.Regexp(t, `^r +throttled +5 +0 +0 +0$`, console.Queues(now, before, 0)[3])
	require.Regexp(t, `^\?\[2J\?ü+~ +0 +4 +0 +0 +1.23ms +2s +2.0/s  2s on w/0$`, console.Types(now, before, 0)[1])
	require.Equal(t, "1 worker  tasks: 1 running, 5 queued, 700 done, 4 failed  352/s", console.Summary(now, before))

	for _, lines := range [][]string{
		console.Table(now, nil, 33), console.Queues(now, nil, 33), console.Types(now, nil, 33),
	} {
		for _, line := range lines {
			require.LessOrEqual(t, len([]rune(line)), 33)
			require.NotContains(t, line, "\x1b")
		}
	}
	require.NotContains(t, console.Summary(now, nil), "/s")
}
