package multiprolab

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/errpack"
	"github.com/multiprolab/multiprolab/internal/logpack"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// barrier is a handler that takes nothing until it is opened.
type barrier struct {
	slog.Handler
	open chan struct{}
}

func (b barrier) Handle(ctx context.Context, r slog.Record) error {
	<-b.open
	return b.Handler.Handle(ctx, r)
}

// However many lives of a worker log as much as they may beside a handler that does not return, main
// keeps a bounded part of it. When the handler goes on, the log says what was dropped.
func TestLogsOfDeadWorkersAreBounded(t *testing.T) {
	var out bytes.Buffer
	b := barrier{slog.NewTextHandler(&out, nil), make(chan struct{})}
	th := newTheatre(t, nil, map[string]WorkerConfig{"w": {}})
	th.cfg.Logger = slog.New(b)
	r := slog.NewRecord(time.Now(), slog.LevelInfo, "record", 0)
	r.AddAttrs(slog.String("ballast", strings.Repeat("x", logpack.MaxSize-1000)))
	said := 0
	for range 3 * mostOrphans / logWindow {
		w := th.enter("w/0")
		for room := true; room; {
			err := w.try(wire.NewLog(0, "", 0, logpack.Append(nil, logErrors, &r, &logpack.Prefix{})))
			if room = err == nil; room {
				said++
			} else {
				require.ErrorContains(t, err, "there was no room")
			}
		}
		th.logs.end(w.log, 1)
	}
	th.logs.mu.Lock()
	kept := th.logs.orphans
	th.logs.mu.Unlock()
	require.LessOrEqual(t, kept, int64(mostOrphans))
	close(b.open)
	th.logs.flush()
	require.Zero(t, th.logs.orphans)
	require.Contains(t, out.String(), "records of workers that have ended are lost")
	arrived := strings.Count(out.String(), "msg=record ")
	require.Greater(t, arrived, mostOrphans/logpack.MaxSize/2)
	require.Less(t, arrived, said)
}

// A record that is larger than any honest one is not kept.
func TestLogsOfALiarAreBounded(t *testing.T) {
	th := newTheatre(t, nil, map[string]WorkerConfig{"w": {}})
	err := th.enter("w/0").try(wire.NewLog(0, "", 0, make([]byte, logpack.MaxSize+1)))
	require.ErrorContains(t, err, "a record of its log has")
	th.logs.mu.Lock()
	defer th.logs.mu.Unlock()
	require.False(t, th.logs.busy)
}

// An error that is too long for the way of errors crosses in a record all the same.
func TestLongErrorInALog(t *testing.T) {
	long := errors.New(strings.Repeat("x", errpack.MaxSize))
	r := slog.NewRecord(time.Now(), 0, "", 0)
	r.AddAttrs(slog.Any("err", long), slog.Any("short", errors.New("short")))
	got, err := logpack.Read(logpack.Append(nil, logErrors, &r, &logpack.Prefix{}), logErrors)
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, slog.NewTextHandler(&out, nil).Handle(t.Context(), got))
	require.Contains(t, out.String(), " err="+long.Error()+" short=short\n")
}

// Main is told at once that records are lost, although there is no room for them, and of all of
// them in the end; what is told never takes more room than main has.
func TestLostRecordsAreTold(t *testing.T) {
	var l workerLogs
	l.open(1000, 100)
	lost, wait, ok := l.take(450, false)
	require.Equal(t, []any{uint64(0), true, true}, []any{lost, wait == nil, ok})
	lost, wait, ok = l.take(450, false)
	require.Equal(t, []any{uint64(0), true, true}, []any{lost, wait == nil, ok})
	_, wait, ok = l.take(1, false)
	require.False(t, ok)
	require.NotNil(t, wait)
	lost, wait, ok = l.take(1, true)
	require.Equal(t, []any{uint64(1), true, false}, []any{lost, wait == nil, ok}, "told in the room that was kept")
	for range 3 {
		lost, wait, ok = l.take(1, false)
		require.Equal(t, []any{uint64(0), true, false}, []any{lost, wait == nil, ok})
	}
	require.Zero(t, l.give(100, 100), "the room that is kept comes first")
	lost, _, _ = l.take(1, true)
	require.EqualValues(t, 4, lost)
	_, _, _ = l.take(1, true)
	require.EqualValues(t, 1, l.give(450, 100))
	require.Zero(t, l.untold())
	require.Zero(t, l.give(1<<20, 100), "more than main can have")
}

// The level that a worker is told is the least that main's handler takes.
func TestLeastLevel(t *testing.T) {
	for _, l := range []slog.Level{-100, -64, -63, -8, -4, -1, 0, 4, 8, 9, 63, 64} {
		got := leastLevel(slog.NewTextHandler(&bytes.Buffer{}, &slog.HandlerOptions{Level: l}))
		require.Equal(t, max(l, min(l, got)), l)
		if l > -mostLevel {
			require.Equal(t, l, got)
		}
	}
	require.Greater(t, leastLevel(slog.DiscardHandler), slog.Level(1000))
}
