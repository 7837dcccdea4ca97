package logbook

import (
	"fmt"
	"math"
	"sync/atomic"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/logpack"
	"github.com/multiprolab/multiprolab/internal/mail"
	"github.com/multiprolab/multiprolab/internal/wire"
)

const (
	// Window is how many bytes of a worker's log may be on their way to the handler of main. The
	// worker waits beyond it.
	Window = 512 << 10
	// mostOrphans is how many bytes of the logs of workers that have ended wait for the handler.
	// Beyond it the oldest are dropped, so that workers that die again and again beside a handler
	// that does not return do not fill main's memory.
	mostOrphans = mail.KeptWindows * Window
)

// Life is the log of one life of a worker. It exists in main. The mutex of the Book guards rules,
// credit, lost, missed and over.
type Life struct {
	writer Writer        // the life; does not change
	rules  *mail.Account // what the life may send; the mutex of the Book guards it
	credit mail.Credit   // what it has sent; the mutex of the Book guards it
	lost   uint64        // how many records it has said are lost; the mutex of the Book guards it
	missed uint64        // how many are, as it has left behind; the mutex of the Book guards it
	over   bool          // the life has ended; the mutex of the Book guards it
	told   atomic.Int64  // the least level that the worker was told last, or unsure
}

// Writer is a life of a worker as the Book knows it. Any goroutine may call its functions, and none
// waits.
type Writer struct {
	// Link is main's end of the wire.
	Link *link.Link
	// Origin tells which worker the life is now: a spare becomes another one.
	Origin func() Origin
	// Violated ends the worker because of what a record has in it.
	Violated func(err error)
}

// Origin is where a record comes from. Its fields become the first attributes of the record.
type Origin struct {
	Worker string // the name of the worker
	PID    int    // the number of the process
	Life   int    // which life of the worker it is
}

// NewLife opens the log of a life.
func NewLife(w Writer) *Life {
	l := &Life{writer: w, rules: mail.NewAccount(Window)}
	l.rules.Open(&l.credit)
	return l
}

// Level returns the least level that the handler takes now, which the caller tells the worker.
func (b *Book) Level(l *Life) int {
	level := leastLevel(b.options.Logger.Handler())
	l.told.Store(int64(level))
	return int(level)
}

// unsure stands for a level that the worker was told by one who may have been overtaken by another.
const unsure = math.MinInt64

// TellLevel tells the worker from which level on main wants records, if that has changed, or if it
// is not sure what the worker was told last. One goroutine calls it.
func (b *Book) TellLevel(l *Life) {
	level := leastLevel(b.options.Logger.Handler())
	if l.told.Swap(int64(level)) != int64(level) {
		l.writer.Link.Tell(link.Soon, wire.NewLogRoom(0, int(level)))
	}
}

// pay tells the worker that there is room again, and from which level on main wants records.
func (b *Book) pay(l *Life, bytes int64) {
	level := leastLevel(b.options.Logger.Handler())
	l.writer.Link.Tell(link.Soon, wire.NewLogRoom(uint64(bytes), int(level)))
	l.told.Store(unsure) // TellLevel may have found a later level, and told it before
}

// Take takes in a record of a worker. If there was no room for it, an error says so, which costs
// the worker its life. The reader calls it.
func (b *Book) Take(l *Life, f *wire.Frame) error {
	if len(f.Body) > logpack.MaxSize {
		return lie("a record of its log has %d bytes: at most %d may cross", len(f.Body), logpack.MaxSize)
	}
	e := entry{from: l, at: l.writer.Origin(), task: f.ID, typ: f.Type, lost: f.LostBefore(), body: f.Body}
	e.cost = f.Cost()
	b.mu.Lock()
	defer b.mu.Unlock()
	if l.rules.Charge(&l.credit, e.cost) != mail.Charged {
		return lie("it sent records of its log for which there was no room")
	}
	l.lost += e.lost
	b.push(e)
	return nil
}

// lie says that the worker has sent what no honest one sends.
func lie(format string, args ...any) error {
	return &link.Violation{Reason: fmt.Sprintf(format, args...)}
}

// release notes that a record of a worker is not kept any more, and returns how many bytes of room
// the worker is to be told of. The caller holds mu.
func (b *Book) release(e *entry) (pay int64) {
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

// Missed notes how many records of a life are lost in all, as the life has left behind it. The
// number is not to be trusted.
func (b *Book) Missed(l *Life, all uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l.missed = all
}

// End notes that nothing more comes from a life. lost is how many records it has lost and,
// as it says in the end, not told before.
func (b *Book) End(l *Life, lost int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l.over = true
	b.orphans += l.credit.Kept()
	if untold := int64(l.missed - l.lost); untold > 0 {
		lost = max(lost, int(untold))
	}
	if lost > 0 {
		e := entry{from: l, at: l.writer.Origin(), lost: uint64(lost), cost: wire.NewLog(0, "", 0, nil).Cost()}
		b.orphans += e.cost // main keeps the notice, though the life had no room for it
		b.push(e)
	}
	if b.orphans <= mostOrphans {
		return
	}
	b.entries.Remove(func(e entry) bool {
		if b.orphans <= mostOrphans || e.from == nil || !e.from.over {
			return false
		}
		b.release(&e)
		b.dropped += min(e.lost, math.MaxUint32) + uint64(min(1, len(e.body)))
		return true
	})
}
