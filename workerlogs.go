package multiprolab

import (
	"context"
	"log"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/logpack"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// logPatience is how long a worker waits for room for a record of its log. After that, records are
// lost without a wait until there is room: so a handler of main that waits for the worker does not
// wait for ever.
const logPatience = 5 * time.Second

// Logger returns a logger whose records go to Config.Logger of main, whole and in order, with the
// attributes "worker", "pid" and "life" and, if they are logged with the context of a task, "task",
// a group of "id" and "type". A record is on its way when the logger returns, and main gets it
// whatever becomes of this process then. While 512 KiB of records wait for the handler of main,
// logging waits with them, up to 5 seconds; records that are lost then are counted, and main's log
// says so. If the worker dies meanwhile, it says that some are lost, and not how many. A record of
// more than 128 KiB is cut, and has an attribute "!CUT". The level is that of main's handler, of
// which a worker hears within WorkerConfig.HeartbeatTimeout if it changes. Records of the workers
// of a Main in this worker have the attributes of both, this one's first.
//
// In a process of its own, slog.Default is this logger, but see Config.WorkerLogs.
func (w *Worker) Logger() *slog.Logger { return slog.New(&workerLog{worker: w}) }

// workerLog is the handler of Worker.Logger. It exists in the worker process, and never changes.
type workerLog struct {
	worker *Worker        // the worker
	prefix logpack.Prefix // what the logger has gathered
}

// Enabled implements slog.Handler.
func (h *workerLog) Enabled(ctx context.Context, level slog.Level) bool {
	if main := h.worker.logs.main; main != nil {
		return main.wants(ctx, level)
	}
	return int64(level) >= h.worker.logs.least.Load()
}

// WithAttrs implements slog.Handler.
func (h *workerLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &workerLog{h.worker, h.prefix.With(logErrors, attrs)}
}

// WithGroup implements slog.Handler.
func (h *workerLog) WithGroup(name string) slog.Handler {
	return &workerLog{h.worker, h.prefix.WithGroup(name)}
}

// logMemory has the memory in which records are packed.
var logMemory = sync.Pool{New: func() any { b := make([]byte, 0, 1<<10); return &b }}

// mostLogMemory is the size in bytes above which the memory of a record is not used again.
const mostLogMemory = 16 << 10

// Handle implements slog.Handler.
func (h *workerLog) Handle(ctx context.Context, r slog.Record) error {
	memory := logMemory.Get().(*[]byte)
	packed := logpack.Append((*memory)[:0], logErrors, &r, &h.prefix)
	err := h.send(ctx, packed)
	if cap(packed) <= mostLogMemory {
		*memory = packed
		logMemory.Put(memory)
	}
	return err
}

// send sends a packed record to main, or prints it if that is not possible any more.
func (h *workerLog) send(ctx context.Context, packed []byte) error {
	w := h.worker
	if main := w.logs.main; w.link == nil || main != nil && main.calls(ctx) {
		return printRecord(ctx, packed)
	}
	var id uint64
	var typ string
	if ctx != nil {
		if s := anyScopeOf(ctx); s != nil {
			if t, ok := s.work.(*Task); ok {
				id, typ = t.ID, t.Type
			}
		}
	}
	f := wire.NewLog(id, typ, 0, packed)
	lost, ok := w.takeLogRoom(f.Cost())
	switch {
	case !ok && lost == 0:
		return nil
	case !ok:
		f = wire.NewLog(0, "", 0, nil)
	}
	f.LoseBefore(lost)
	if w.link.Post(link.Lazily, f) != nil { // the link is closed, for a record always fits
		return printRecord(ctx, packed)
	}
	return w.tellFirst()
}

// printRecord prints a record that cannot go to main.
func printRecord(ctx context.Context, packed []byte) error {
	r, err := logpack.Read(packed, logErrors)
	if err != nil {
		return err
	}
	return slog.NewTextHandler(os.Stderr, nil).Handle(ctx, r)
}

// takeLogRoom takes room for a record of n bytes, or waits for it. It returns how many lost records
// main is to be told of now, and reports false if this one is lost.
func (w *Worker) takeLogRoom(n int64) (lost uint64, ok bool) {
	lost, grown, ok := w.logs.take(n, false)
	if ok || grown == nil {
		return lost, ok
	}
	w.link.Push() // what was posted lazily is what has to be handled
	patience := time.NewTimer(logPatience)
	defer patience.Stop()
	for grown != nil {
		select {
		case <-grown:
			lost, grown, ok = w.logs.take(n, false)
			patience.Reset(logPatience)
		case <-patience.C:
			lost, grown, ok = w.logs.take(n, true)
		case <-w.whole.Done():
			lost, grown, ok = w.logs.take(n, true)
		}
	}
	return lost, ok
}

// logRoom takes in what main says about the worker's log. It runs on the goroutine that reads the
// wire.
func (w *Worker) logRoom(f *wire.Frame) {
	bytes, level := f.LogRoom()
	w.logs.least.Store(int64(level))
	notice := wire.NewLog(0, "", 0, nil)
	if lost := w.logs.give(bytes, notice.Cost()); lost > 0 {
		notice.LoseBefore(lost)
		w.link.Tell(link.Soon, notice)
	}
}

// openLog takes in what main wants of the worker's log, before the setup function runs.
func (w *Worker) openLog(wanted *life.Log) {
	w.logs.least.Store(int64(wanted.Level))
	w.logs.open(int64(wanted.Window), wire.NewLog(0, "", 0, nil).Cost())
	if !w.role.process || WorkerLogs(wanted.Mode) == ForwardNone {
		return
	}
	out, flags, prefix := log.Writer(), log.Flags(), log.Prefix()
	slog.SetDefault(w.Logger()) // which has package log write to it as well
	if WorkerLogs(wanted.Mode) == ForwardSlog {
		log.SetOutput(out)
		log.SetFlags(flags)
		log.SetPrefix(prefix)
	}
}
