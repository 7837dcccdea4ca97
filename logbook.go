package multiprolab

import (
	"context"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/logpack"
	"github.com/multiprolab/multiprolab/internal/mail"
	"github.com/multiprolab/multiprolab/internal/ring"
	"github.com/multiprolab/multiprolab/internal/wire"
)

const (
	// mostOrphans is how many bytes of the logs of workers that have ended wait for the handler.
	// Beyond it the oldest are dropped, so that workers that die again and again beside a handler
	// that does not return do not fill main's memory.
	mostOrphans = mail.KeptWindows * logWindow
	// mostOwnRecords is how many records of main's own events wait behind those of workers.
	mostOwnRecords = 1 << 10
	// logFlush is how long the end of the program waits for the handler of the log to take another
	// record.
	logFlush = 5 * time.Second
)

// logbook hands the records of the workers' logs to the handler of main's log, one after the other,
// on a goroutine of its own: a handler that takes its time holds up neither a wire nor a life, and
// may itself wait for a worker. It exists in main. Any goroutine may use it.
type logbook struct {
	// config has the logger. It never changes.
	config *Config
	// ctx is what the handler is called with, which tells it from other contexts: see calls. It
	// never changes.
	ctx context.Context

	mu      lockorder.Mutex[lockorder.Leaf] // guards every field below, and those of logLife that say so
	entries ring.Ring[logEntry]             // the records that wait, the oldest first
	own     int                             // how many of them are of main's own events
	busy    bool                            // the goroutine runs
	idle    chan struct{}                   // closed when nothing waits any more; nil if nobody waits for that
	handled uint64                          // how many records were handed to the handler
	orphans int64                           // how many bytes of the records are of workers that have ended
	dropped uint64                          // how many of those were dropped, and nobody was told
}

// logLife is the log of one life of a worker. It exists in main. The logbook's mutex guards rules,
// credit and over.
type logLife struct {
	writer logWriter     // the life; does not change
	rules  *mail.Account // what the life may send; the logbook's mutex guards it
	credit mail.Credit   // what it has sent; the logbook's mutex guards it
	over   bool          // the life has ended; the logbook's mutex guards it
	told   atomic.Int64  // the least level that the worker was told
}

// logWriter is a life of a worker as the logbook knows it. Any goroutine may call it, and no method
// waits.
type logWriter interface {
	// pid returns the number of the process.
	pid() int
	// place returns which instance the life is.
	place() *seat
	// tellLog posts a frame for which no room is needed.
	tellLog(f *wire.Frame)
	// lied ends the worker because of what a record has in it.
	lied(err error)
}

// logEntry is a record that waits for the handler. It exists in main. Who has it may touch it.
type logEntry struct {
	own  func()   // logs an event of main's own; nil for the record of a worker
	from *logLife // whose record it is; nil for one of main's own
	at   *seat    // which worker that was
	task uint64   // the task that it was logged for, or 0
	typ  string   // the type of that task
	lost uint64   // how many records were lost before it
	cost int64    // how many bytes of credit it holds
	body []byte   // the packed record; empty if only the number of lost ones is told
}

// logbookKey is the key of the logbook in the context with which it calls the handler.
type logbookKey struct{}

// newLogbook returns a logbook in which nothing waits.
func newLogbook(cfg *Config) *logbook {
	b := &logbook{config: cfg}
	b.ctx = context.WithValue(context.Background(), logbookKey{}, b)
	return b
}

// calls implements hostLog: it reports whether ctx is what the logbook calls the handler with. If a
// record comes with it from a worker, the handler leads to the worker's logger, as it does after
// slog.SetDefault with that: a record that went on would come back for ever.
func (b *logbook) calls(ctx context.Context) bool { return ctx != nil && ctx.Value(logbookKey{}) == b }

// wants implements hostLog.
func (b *logbook) wants(ctx context.Context, level slog.Level) bool {
	if b.calls(ctx) {
		return level >= slog.LevelInfo // it will be printed
	}
	return b.config.Logger.Enabled(b.ctx, level)
}

// newLogLife opens the log of a life.
func newLogLife(w logWriter) *logLife {
	l := &logLife{writer: w, rules: mail.NewAccount(logWindow)}
	l.rules.Open(&l.credit)
	return l
}

// level returns the least level that the handler takes now.
func (b *logbook) level() int { return int(leastLevel(b.config.Logger.Handler())) }

// tellLevel tells the worker from which level on main wants records, if that has changed.
func (b *logbook) tellLevel(l *logLife) {
	if level := b.level(); l.told.Swap(int64(level)) != int64(level) {
		l.writer.tellLog(wire.NewLogRoom(0, level))
	}
}

// take takes in a record of a worker. It returns an error if there was no room for it. The reader
// calls it.
func (b *logbook) take(l *logLife, f *wire.Frame) error {
	e := logEntry{from: l, at: l.writer.place(), task: f.ID, typ: f.Type, lost: f.LostBefore(), body: f.Body}
	e.cost = f.Cost()
	if len(e.body) > logpack.MaxSize {
		return lie("a record of its log has %d bytes: at most %d may cross", len(e.body), logpack.MaxSize)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if l.rules.Charge(&l.credit, e.cost) != mail.Charged {
		return lie("it sent records of its log for which there was no room")
	}
	b.push(e)
	return nil
}

// push adds an entry, and starts the goroutine if it does not run. The caller holds mu.
func (b *logbook) push(e logEntry) {
	b.entries.Push(e)
	if !b.busy {
		b.busy = true
		go b.run() // ends when nothing waits any more; flush waits for it
	}
}

// behind logs an event of main's own: at once, or behind the records of workers that wait.
func (b *logbook) behind(log func()) {
	b.mu.Lock()
	waits := b.busy && b.own < mostOwnRecords
	if waits {
		b.own++
		b.push(logEntry{own: log})
	}
	b.mu.Unlock()
	if !waits {
		log()
	}
}

// run hands over records until none waits.
func (b *logbook) run() {
	for {
		b.mu.Lock()
		e, ok := b.entries.Pop()
		dropped := b.dropped
		b.dropped = 0
		if !ok {
			b.busy = false
			if b.idle != nil {
				close(b.idle)
				b.idle = nil
			}
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
		finally(func() { b.hand(&e, dropped) }, func(goexit bool) {
			b.settle(&e)
			if goexit {
				go b.run() // in place of this goroutine, which the handler has ended
			}
		})
	}
}

// hand hands one record to the handler. dropped is how many of other workers were dropped before.
func (b *logbook) hand(e *logEntry, dropped uint64) {
	if dropped > 0 {
		b.config.Logger.WarnContext(b.ctx, "multiprolab: records of workers that have ended are lost, for the handler "+
			"of the log is behind", "count", dropped)
	}
	if e.own != nil {
		e.own()
		return
	}
	first := []slog.Attr{
		slog.String("worker", e.at.slot.name), slog.Int("pid", e.from.writer.pid()), slog.Int("life", e.at.life),
	}
	if e.lost > 0 {
		b.config.Logger.LogAttrs(b.ctx, slog.LevelWarn, "multiprolab: records of the worker are lost, for the handler "+
			"of the log is behind", append(first, slog.Uint64("count", e.lost))...)
	}
	if len(e.body) == 0 {
		return
	}
	if e.task != 0 {
		first = append(first, slog.Group("task", "id", e.task, "type", e.typ))
	}
	r, err := logpack.Read(e.body, logErrors, first...)
	if err != nil {
		e.from.writer.lied(lie("%v", err))
		return
	}
	if h := b.config.Logger.Handler(); h.Enabled(b.ctx, r.Level) {
		_ = h.Handle(b.ctx, r) // package slog drops the errors of handlers, too: there is nobody to tell
	}
}

// settle gives back the room that a record has held.
func (b *logbook) settle(e *logEntry) {
	b.mu.Lock()
	b.handled++
	if e.own != nil {
		b.own--
		b.mu.Unlock()
		return
	}
	pay := b.release(e)
	b.mu.Unlock()
	if pay > 0 {
		level := b.level()
		e.from.told.Store(int64(level))
		e.from.writer.tellLog(wire.NewLogRoom(uint64(pay), level))
	}
}

// release notes that a record of a worker is not kept any more, and returns how many bytes of room
// the worker is to be told of. The caller holds mu.
func (b *logbook) release(e *logEntry) (pay int64) {
	l := e.from
	due := l.rules.Grant(&l.credit, e.cost)
	if l.over {
		b.orphans -= e.cost
		return 0
	}
	if due {
		pay = l.rules.Pay()
	}
	return pay
}

// end notes that nothing more comes from a life. lost is how many records it has lost and not told.
func (b *logbook) end(l *logLife, lost int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l.over = true
	if lost > 0 {
		b.push(logEntry{from: l, at: l.writer.place(), lost: uint64(lost)})
	}
	b.orphans += l.credit.Kept()
	if b.orphans <= mostOrphans {
		return
	}
	b.entries.Remove(func(e logEntry) bool {
		if b.orphans <= mostOrphans || e.from == nil || !e.from.over {
			return false
		}
		b.release(&e)
		b.dropped += min(e.lost, math.MaxUint32) + uint64(min(1, len(e.body)))
		return true
	})
}

// flush waits until the handler has all records, as long as it takes any.
func (b *logbook) flush() {
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
		timer := time.NewTimer(logFlush)
		select {
		case <-idle:
		case <-timer.C:
		}
		timer.Stop()
	}
}
