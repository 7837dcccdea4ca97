package logbook

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/logpack"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// texts has errors cross as their texts.
var texts = &logpack.Errors{
	Pack:   func(err error) []byte { return []byte(err.Error()) },
	Unpack: func(packed []byte) error { return errors.New(string(packed)) },
}

// newBook returns a Book whose log has a handler.
func newBook(h slog.Handler) *Book {
	return New(Options{Logger: slog.New(h), Errors: texts, Lost: "some are lost", Dropped: "some are dropped", Missed: "some are missed"})
}

// newWriter returns a life whose wire leads nowhere. What it did wrong is sent to violated.
func newWriter(violated chan<- error) Writer {
	return Writer{
		Link:     link.New(&codec.Codec{}, bytes.NewReader(nil), io.Discard, link.Options{}),
		Origin:   func() Origin { return Origin{Worker: "w/0", PID: 7, Life: 3} },
		Violated: func(err error) { violated <- err },
	}
}

// packed returns a record with a text and so much ballast.
func packed(text string, ballast int) []byte {
	r := slog.NewRecord(time.Now(), slog.LevelInfo, text, 0)
	r.AddAttrs(slog.String("ballast", strings.Repeat("x", ballast)))
	return logpack.Append(nil, texts, &r, &logpack.Prefix{})
}

// barrier is a handler that takes nothing until it is opened.
type barrier struct {
	slog.Handler
	open chan struct{}
}

func (b barrier) Handle(ctx context.Context, r slog.Record) error {
	<-b.open
	return b.Handler.Handle(ctx, r)
}

// However many lives of a worker log as much as they may beside a handler that does not return,
// main keeps a bounded part of it. When the handler goes on, the log says what was dropped.
func TestLogsOfDeadWorkersAreBounded(t *testing.T) {
	var out bytes.Buffer
	h := barrier{slog.NewTextHandler(&out, nil), make(chan struct{})}
	b := newBook(h)
	record := packed("record", logpack.MaxSize-1000)
	said := 0
	for range 3 * mostOrphans / Window {
		l := NewLife(newWriter(nil))
		for room := true; room; {
			err := b.Take(l, wire.NewLog(0, "", 0, record))
			if room = err == nil; room {
				said++
			} else {
				require.ErrorContains(t, err, "there was no room")
			}
		}
		b.End(l, 1)
	}
	b.mu.Lock()
	kept := b.orphans
	b.mu.Unlock()
	require.LessOrEqual(t, kept, int64(mostOrphans))
	close(h.open)
	b.Flush()
	require.Zero(t, b.orphans)
	require.Contains(t, out.String(), "some are dropped")
	arrived := strings.Count(out.String(), "msg=record ")
	require.Greater(t, arrived, mostOrphans/logpack.MaxSize/2)
	require.Less(t, arrived, said)
}

// What workers that die say of lost records is bounded, too, if that is all that they say.
func TestNoticesOfDeadWorkersAreBounded(t *testing.T) {
	var out bytes.Buffer
	h := barrier{slog.NewTextHandler(&out, nil), make(chan struct{})}
	b := newBook(h)
	const most = mostOrphans / 256 // what a frame costs at least
	l := NewLife(newWriter(nil))
	for range most + 100 {
		l = NewLife(l.writer)
		b.End(l, 1)
	}
	b.mu.Lock()
	kept := b.entries.Len()
	b.mu.Unlock()
	require.LessOrEqual(t, kept, most)
	close(h.open)
	b.Flush()
	require.Zero(t, b.orphans)
	require.Contains(t, out.String(), "some are dropped")
	require.LessOrEqual(t, strings.Count(out.String(), "some are lost"), most+1)
}

// A record that is larger than any honest one is not kept.
func TestLogsOfALiarAreBounded(t *testing.T) {
	b := newBook(slog.DiscardHandler)
	var lies *link.Violation
	err := b.Take(NewLife(newWriter(nil)), wire.NewLog(0, "", 0, make([]byte, logpack.MaxSize+1)))
	require.ErrorAs(t, err, &lies)
	require.ErrorContains(t, err, "a record of its log has")
	b.mu.Lock()
	defer b.mu.Unlock()
	require.False(t, b.busy)
}

// A record that cannot be read ends the worker that has sent it, and no other record is lost.
func TestGarbledRecord(t *testing.T) {
	var out bytes.Buffer
	b, violated := newBook(slog.NewTextHandler(&out, nil)), make(chan error, 1)
	l := NewLife(newWriter(violated))
	require.NoError(t, b.Take(l, wire.NewLog(0, "", 0, []byte{0xff})))
	require.NoError(t, b.Take(l, wire.NewLog(0, "", 0, packed("honest", 1))))
	b.Flush()
	var lies *link.Violation
	require.ErrorAs(t, <-violated, &lies)
	require.Contains(t, out.String(), "msg=honest ")
}

// Records have where they come from as their first attributes, come in the order in which they were
// taken, and main's own events stand among them where they happened.
func TestOrderOfTheLog(t *testing.T) {
	var out bytes.Buffer
	plain := slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	h := barrier{plain, make(chan struct{})}
	b := newBook(h)
	l := NewLife(newWriter(nil))
	event := func(text string) slog.Record { return slog.NewRecord(time.Now(), slog.LevelInfo, text, 0) }
	require.NoError(t, b.Take(l, wire.NewLog(5, "typ", 0, packed("first", 1))))
	b.Log(event("event"))
	require.NoError(t, b.Take(l, wire.NewLog(0, "", 2, packed("second", 1))))
	b.End(l, 1)
	close(h.open)
	b.Flush()
	b.Log(event("at once"))
	const from = " worker=w/0 pid=7 life=3"
	require.Equal(t, strings.Join([]string{
		"level=INFO msg=first" + from + " task.id=5 task.type=typ ballast=x",
		"level=INFO msg=event",
		`level=WARN msg="some are lost"` + from + " count=2",
		"level=INFO msg=second" + from + " ballast=x",
		`level=WARN msg="some are lost"` + from + " count=1",
		`level=INFO msg="at once"`,
	}, "\n")+"\n", out.String())
}

// Main is told at once that records are lost, although there is no room for them, and of all of
// them in the end; what is told never takes more room than main has.
func TestLostRecordsAreTold(t *testing.T) {
	var r room
	var all uint64
	r.open(1000, 100, func(n uint64) { all = n })
	lost, wait, ok := r.take(450, false)
	require.Equal(t, []any{uint64(0), true, true}, []any{lost, wait == nil, ok})
	lost, wait, ok = r.take(450, false)
	require.Equal(t, []any{uint64(0), true, true}, []any{lost, wait == nil, ok})
	_, wait, ok = r.take(1, false)
	require.False(t, ok)
	require.NotNil(t, wait)
	lost, wait, ok = r.take(1, true)
	require.Equal(t, []any{uint64(1), true, false}, []any{lost, wait == nil, ok}, "told in the room that was kept")
	for range 3 {
		lost, wait, ok = r.take(1, false)
		require.Equal(t, []any{uint64(0), true, false}, []any{lost, wait == nil, ok})
	}
	require.Zero(t, r.give(100), "the room that is kept comes first")
	lost, _, _ = r.take(1, true)
	require.EqualValues(t, 4, lost)
	_, _, _ = r.take(1, true)
	require.EqualValues(t, 1, r.give(450))
	require.Zero(t, r.untold())
	require.Zero(t, r.give(1<<20), "more than main can have")
	require.EqualValues(t, 6, all, "what is told does not count anew")
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

// What a life has left behind of lost records, and has not told, is told when it is over; a number
// that cannot be is not believed.
func TestLostRecordsOfALifeThatCouldNotSaySo(t *testing.T) {
	for _, c := range []struct {
		told, missed uint64
		bye          int
		want         string
	}{
		{2, 7, 0, "count=5\n"}, {2, 2, 0, ""}, {2, 7, 5, "count=5\n"}, {0, 0, 3, "count=3\n"}, {2, 0, 0, ""}, {0, 1 << 63, 0, ""},
	} {
		var out bytes.Buffer
		b := newBook(slog.NewTextHandler(&out, nil))
		l := NewLife(newWriter(nil))
		require.NoError(t, b.Take(l, wire.NewLog(0, "", c.told, packed("record", 1))))
		b.Flush()
		out.Reset()
		b.Missed(l, c.missed)
		b.End(l, c.bye)
		b.Flush()
		require.True(t, strings.HasSuffix(out.String(), c.want), out.String())
		require.Equal(t, c.want != "", out.Len() > 0, out.String())
	}
}

// A handler that does not return holds up who logs for main no longer than for one record, and
// keeps a bounded number of them; the log says how many are lost, in their place.
func TestOwnRecordsBesideAHandlerThatDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		h := barrier{slog.NewTextHandler(&out, nil), make(chan struct{})}
		b := newBook(h)
		event := func(text string) { b.Log(slog.NewRecord(time.Now(), slog.LevelInfo, text, 0)) }
		began := time.Now()
		for range mostOwnRecords + 5 {
			event("event")
		}
		require.Equal(t, eventPatience, time.Since(began))
		close(h.open)
		synctest.Wait()
		event("last")
		b.Flush()
		const missed = ` level=WARN msg="some are missed" count=5`
		require.Equal(t, mostOwnRecords, strings.Count(out.String(), "msg=event\n"))
		require.Equal(t, 1, strings.Count(out.String(), missed), "without a further event as well")
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		require.True(t, strings.HasSuffix(lines[len(lines)-2], missed))
		require.True(t, strings.HasSuffix(lines[len(lines)-1], "msg=last"))
	})
}

// A handler that goes on loses no record of main's own, however many come at once.
func TestOwnRecordsBesideAHandlerThatGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got atomic.Int32
		b := newBook(slowly{slog.DiscardHandler, &got})
		for range 2*mostOwnRecords + 5 {
			b.Log(slog.NewRecord(time.Now(), slog.LevelInfo, "event", 0))
		}
		b.Flush()
		require.EqualValues(t, 2*mostOwnRecords+5, got.Load())
	})
}

// slowly is a handler that takes some time for each record, and counts them.
type slowly struct {
	slog.Handler
	got *atomic.Int32
}

func (slowly) Enabled(context.Context, slog.Level) bool { return true }

func (s slowly) Handle(context.Context, slog.Record) error {
	time.Sleep(eventPatience / 2) // in a bubble
	s.got.Add(1)
	return nil
}

// levels is a handler that takes the records from a level on. If it is asked for that level, and
// has a gate, it stands there before it gives the last answer of which the level is made.
type levels struct {
	slog.Handler
	from  *slog.LevelVar
	asked *atomic.Int32
	gate  chan chan struct{}
}

func (l levels) Enabled(_ context.Context, level slog.Level) bool {
	takes := level >= l.from.Level()
	if l.asked.Add(-1) == 0 {
		open := make(chan struct{})
		l.gate <- open
		<-open
	}
	return takes
}

func (l levels) Handle(context.Context, slog.Record) error { return nil }

// However what a worker is told of the level comes together, it hears in the end from which level
// on main wants records.
func TestLevelsThatAreToldAtOnce(t *testing.T) {
	h := levels{slog.DiscardHandler, new(slog.LevelVar), new(atomic.Int32), make(chan chan struct{})}
	h.from.Set(slog.LevelDebug)
	var told bytes.Buffer
	w := newWriter(nil)
	w.Link = link.New(&codec.Codec{}, bytes.NewReader(nil), &told, link.Options{})
	b, l := newBook(h), NewLife(w)
	require.EqualValues(t, slog.LevelDebug, b.Level(l))
	h.asked.Store(9) // how often leastLevel asks
	over := make(chan struct{})
	go func() { // ends with TellLevel
		defer close(over)
		b.TellLevel(l)
	}()
	open := <-h.gate
	h.from.Set(slog.LevelInfo)
	for range 4 {
		require.NoError(t, b.Take(l, wire.NewLog(0, "", 0, packed("record", 100_000))))
	}
	b.Flush()
	h.from.Set(slog.LevelDebug)
	close(open)
	<-over
	b.TellLevel(l)
	require.NoError(t, w.Link.Flush())
	in, f, last := wire.NewReader(&told, 0), new(wire.Frame), 100
	for in.Next(f) == nil {
		if _, level := f.LogRoom(); f.Kind == wire.LogRoom {
			last = level
		}
	}
	require.EqualValues(t, slog.LevelDebug, last)
}
