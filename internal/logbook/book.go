// Package logbook is the way of the log of a worker to the handler of main's log, at both ends. It
// knows how much of a log may be on its way and what becomes of the rest, in which order main hands
// on what has come, and from which level on a worker sends records. It does not know processes or
// tasks, how a record is packed, or what is told to people: it is given what it needs of them.
package logbook

import (
	"context"
	"log/slog"
	"time"

	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/logpack"
	"github.com/multiprolab/multiprolab/internal/ring"
)

const (
	// mostOwnRecords is how many records of main's own events wait behind those of workers.
	mostOwnRecords = 1 << 10
	// eventPatience is how long an event of main's own waits for its record to be written.
	eventPatience = 250 * time.Millisecond
	// flushPatience is how long Flush waits for the handler to take another record.
	flushPatience = 5 * time.Second
)

// Options are what a Book is told. None of them changes later.
type Options struct {
	// Logger is main's log.
	Logger *slog.Logger
	// Errors is how errors cross that are values in a record.
	Errors *logpack.Errors
	// Lost is the text of the warning that records of a worker are lost.
	Lost string
	// Dropped is the text of the warning that records are lost of workers that have ended.
	Dropped string
	// Missed is the text of the warning that records of main's own events are lost.
	Missed string
}

// Book hands the records of the workers' logs and of main's own events to the handler of main's
// log, one after the other, on a goroutine of its own: a handler that takes its time holds up
// neither a wire nor a life, and may itself wait for a worker, or for what main does with it. It
// exists in main. Any goroutine may use it.
type Book struct {
	// options are what the book was told. They never change.
	options Options
	// ctx is what the handler is called with, which tells it from other contexts: see calls. It
	// never changes.
	ctx context.Context

	mu      lockorder.Mutex[lockorder.Leaf] // guards every field below, and those of Life that say so
	entries ring.Ring[entry]                // the records that wait, the oldest first
	own     int                             // how many of them are of main's own events
	missed  uint64                          // how many of main's own were lost, and nobody was told
	busy    bool                            // the goroutine runs
	stuck   bool                            // the handler has not returned for eventPatience
	moved   chan struct{}                   // closed when it returns next; nil if nobody waits for that
	idle    chan struct{}                   // closed when nothing waits any more; nil if nobody waits for that
	handled uint64                          // how many records were handed to the handler
	orphans int64                           // how many bytes of the records are of workers that have ended
	dropped uint64                          // how many of those were dropped, and nobody was told
}

// entry is a record that waits for the handler. It exists in main. Who has it may touch it.
type entry struct {
	own  *slog.Record  // the record, if it is of main's own; nil for that of a worker
	done chan struct{} // closed when it was handed over, if somebody waits for that; else nil
	from *Life         // whose record it is; nil for one of main's own
	at   Origin        // which worker that was
	task uint64        // the task that it was logged for, or 0
	typ  string        // the type of that task
	lost uint64        // how many records of the same origin were lost before it
	cost int64         // how many bytes of credit it holds
	body []byte        // the packed record; empty if only the number of lost ones is told
}

// bookKey is the key of the Book in the context with which it calls the handler.
type bookKey struct{}

// New returns a Book in which nothing waits.
func New(o Options) *Book {
	b := &Book{options: o}
	b.ctx = context.WithValue(context.Background(), bookKey{}, b)
	return b
}

// calls reports whether ctx is what the book calls the handler with. If a record comes with it from
// a worker, the handler leads to the worker's logger, as it does after slog.SetDefault with that: a
// record that went on would come back for ever.
func (b *Book) calls(ctx context.Context) bool { return ctx != nil && ctx.Value(bookKey{}) == b }

// wants reports whether main's handler takes a record of a level that a worker in this process logs
// under ctx.
func (b *Book) wants(ctx context.Context, level slog.Level) bool {
	if b.calls(ctx) {
		return level >= slog.LevelInfo // it will be printed
	}
	return b.options.Logger.Enabled(b.ctx, level)
}

// push adds an entry, and starts the goroutine if it does not run. The caller holds mu.
func (b *Book) push(e entry) {
	b.entries.Push(e)
	if !b.busy {
		b.busy = true
		go b.run() // ends when nothing waits any more; Flush waits for it
	}
}

// Log hands over a record of main's own, behind those that wait. If there are none, it returns when
// the handler has the record, so that this is out whatever the program does next. If too many wait,
// it waits until the handler has taken one. But a handler that does not return holds nobody up for
// long: it may wait for the caller. Then records are lost.
func (b *Book) Log(r slog.Record) {
	e := entry{own: &r}
	b.mu.Lock()
	for b.own == mostOwnRecords {
		if b.stuck {
			b.missed++
			b.mu.Unlock()
			return
		}
		b.await()
	}
	e.lost, b.missed = b.missed, 0
	if !b.busy {
		e.done = make(chan struct{})
	}
	b.own++
	b.push(e)
	b.mu.Unlock()
	if e.done == nil || goroutine.Within(e.done, eventPatience) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stuck = !goroutine.Closed(e.done)
}

// await waits until the handler has returned, or has not for eventPatience. The caller holds mu,
// which is free meanwhile.
func (b *Book) await() {
	if b.moved == nil {
		b.moved = make(chan struct{})
	}
	moved := b.moved
	b.mu.Unlock()
	goroutine.Within(moved, eventPatience)
	b.mu.Lock()
	b.stuck = !goroutine.Closed(moved)
}

// run hands over records until none waits.
func (b *Book) run() {
	for {
		b.mu.Lock()
		e, ok := b.entries.Pop()
		dropped := b.dropped
		b.dropped = 0
		switch {
		case ok:
		case b.missed > 0: // no further record of main's own has told it
			e.own, e.lost, b.missed = &slog.Record{}, b.missed, 0
			b.own++
		default:
			b.busy = false
			if b.idle != nil {
				close(b.idle)
				b.idle = nil
			}
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
		goroutine.Finally(func() { b.hand(&e, dropped) }, func(goexit bool) {
			b.settle(&e)
			if goexit {
				go b.run() // in place of this goroutine, which the handler has ended
			}
		})
	}
}

// hand hands one record to the handler. dropped is how many of other workers were dropped before.
func (b *Book) hand(e *entry, dropped uint64) {
	log := b.options.Logger
	if dropped > 0 {
		log.WarnContext(b.ctx, b.options.Dropped, "count", dropped)
	}
	if e.own != nil {
		if e.lost > 0 {
			log.WarnContext(b.ctx, b.options.Missed, "count", e.lost)
		}
		if e.own.Message != "" {
			b.handle(*e.own)
		}
		return
	}
	first := []slog.Attr{slog.String("worker", e.at.Worker), slog.Int("pid", e.at.PID), slog.Int("life", e.at.Life)}
	if e.lost > 0 {
		log.LogAttrs(b.ctx, slog.LevelWarn, b.options.Lost, append(first, slog.Uint64("count", e.lost))...)
	}
	if len(e.body) == 0 {
		return
	}
	if e.task != 0 {
		first = append(first, slog.Group("task", "id", e.task, "type", e.typ))
	}
	r, err := logpack.Read(e.body, b.options.Errors, first...)
	if err != nil {
		e.from.writer.Violated(lie("%v", err))
		return
	}
	b.handle(r)
}

// handle calls the handler.
func (b *Book) handle(r slog.Record) {
	if h := b.options.Logger.Handler(); h.Enabled(b.ctx, r.Level) {
		_ = h.Handle(b.ctx, r) // package slog drops the errors of handlers, too: there is nobody to tell
	}
}

// settle gives back the room that a record has held.
func (b *Book) settle(e *entry) {
	b.mu.Lock()
	b.handled++
	b.stuck = false
	for _, waits := range []chan struct{}{b.moved, e.done} {
		if waits != nil {
			close(waits)
		}
	}
	b.moved = nil
	if e.own != nil {
		b.own--
		b.mu.Unlock()
		return
	}
	pay := b.release(e)
	b.mu.Unlock()
	if pay > 0 {
		b.pay(e.from, pay)
	}
}

// Flush waits until the handler has all records, as long as it takes any.
func (b *Book) Flush() {
	var seen uint64
	for first := true; ; first = false {
		b.mu.Lock()
		if !b.busy || !first && b.handled == seen {
			b.mu.Unlock()
			return
		}
		seen = b.handled
		if b.idle == nil {
			b.idle = make(chan struct{})
		}
		idle := b.idle
		b.mu.Unlock()
		goroutine.Within(idle, flushPatience)
	}
}
