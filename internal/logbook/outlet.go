package logbook

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/logpack"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// patience is how long a worker waits for room for a record of its log. After that, records are
// lost without a wait until there is room: so a handler of main that waits for the worker does not
// wait for ever.
const patience = 5 * time.Second

// Outlet is a worker's end of the way of its log. Until Open is called, records are printed on
// stderr. It exists in the worker process. Any goroutine may use it; all but room and least is set
// before the worker lives, and does not change then.
type Outlet struct {
	// Errors is how errors cross that are values in a record.
	Errors *logpack.Errors
	// Task returns the task that ctx belongs to, or 0 and "".
	Task func(ctx context.Context) (id uint64, typ string)
	// Main is the Book of main, if that is the same process: it knows whether the handler takes a
	// record. It is nil in a process of its own, which goes by what main has told.
	Main *Book

	link  *link.Link      // the worker's end of its wire; nil before Open
	dying <-chan struct{} // closed when the worker must end at once
	room  room            // the room that main has; it guards itself
	least atomic.Int64    // the least level of the records that main wants
}

// Open leads the log to main, which has told how many bytes it has room for, and from which level
// on it wants records. No record waits for room once dying is closed.
func (o *Outlet) Open(l *link.Link, dying <-chan struct{}, window, level int) {
	o.link, o.dying = l, dying
	o.least.Store(int64(level))
	o.room.open(int64(window), wire.NewLog(0, "", 0, nil).Cost(), l.Miss)
}

// Give takes in a LogRoom frame of main. It runs on the goroutine that reads the wire.
func (o *Outlet) Give(f *wire.Frame) {
	bytes, level := f.LogRoom()
	o.least.Store(int64(level))
	if lost := o.room.give(bytes); lost > 0 {
		o.link.Tell(link.Soon, wire.NewLog(0, "", lost, nil))
	}
}

// Untold returns how many records were lost of which main was not told, and will be told now.
func (o *Outlet) Untold() int { return o.room.untold() }

// Handler returns the handler whose records go to main.
func (o *Outlet) Handler() slog.Handler { return &handler{outlet: o} }

// handler is the handler of a worker's logger. It exists in the worker process, and never changes.
type handler struct {
	outlet *Outlet        // where the records go
	prefix logpack.Prefix // what the logger has gathered
}

// Enabled implements slog.Handler.
func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	if main := h.outlet.Main; main != nil {
		return main.wants(ctx, level)
	}
	return int64(level) >= h.outlet.least.Load()
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{h.outlet, h.prefix.With(h.outlet.Errors, attrs)}
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.outlet, h.prefix.WithGroup(name)}
}

// memories has the memory in which records are packed.
var memories = sync.Pool{New: func() any { b := make([]byte, 0, 1<<10); return &b }}

// mostMemory is the size in bytes above which the memory of a record is not used again.
const mostMemory = 16 << 10

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	memory := memories.Get().(*[]byte)
	packed := logpack.Append((*memory)[:0], h.outlet.Errors, &r, &h.prefix)
	err := h.outlet.send(ctx, packed)
	if cap(packed) <= mostMemory {
		*memory = packed
		memories.Put(memory)
	}
	return err
}

// send sends a packed record to main, or prints it if that is not possible any more.
func (o *Outlet) send(ctx context.Context, packed []byte) error {
	if o.link == nil || o.Main != nil && o.Main.calls(ctx) {
		return o.print(ctx, packed)
	}
	var id uint64
	var typ string
	if ctx != nil {
		id, typ = o.Task(ctx)
	}
	f := wire.NewLog(id, typ, 0, packed)
	lost, ok := o.reserve(f.Cost())
	switch {
	case !ok && lost == 0:
		return nil
	case !ok:
		f = wire.NewLog(0, "", 0, nil)
	}
	f.LoseBefore(lost)
	if o.link.Post(link.Lazily, f) != nil { // the link is closed, for a record always fits
		return o.print(ctx, packed)
	}
	return o.link.Secure()
}

// print prints a record that cannot go to main.
func (o *Outlet) print(ctx context.Context, packed []byte) error {
	r, err := logpack.Read(packed, o.Errors)
	if err != nil {
		return err
	}
	return slog.NewTextHandler(os.Stderr, nil).Handle(ctx, r)
}

// reserve takes room for a record of n bytes, or waits for it. It returns how many lost records
// main is to be told of now, and reports false if this one is lost.
func (o *Outlet) reserve(n int64) (lost uint64, ok bool) {
	lost, grown, ok := o.room.take(n, false)
	if ok || grown == nil {
		return lost, ok
	}
	o.link.Push() // what was posted lazily is what has to be handled
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for grown != nil {
		select {
		case <-grown:
			lost, grown, ok = o.room.take(n, false)
			timer.Reset(patience)
		case <-timer.C:
			lost, grown, ok = o.room.take(n, true)
		case <-o.dying:
			lost, grown, ok = o.room.take(n, true)
		}
	}
	return lost, ok
}
