package multiprolab

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/mail"
)

// workerLogs is the room that main has for the worker's log. It exists in the worker process. Any
// goroutine may use it.
type workerLogs struct {
	// least is the least level of the records that main wants.
	least atomic.Int64
	// main knows whether main's handler takes a record. It is nil in a process of its own, which
	// goes by least. It does not change once the worker lives.
	main hostLog

	mu     lockorder.Mutex[lockorder.Leaf] // guards every field below
	window mail.Window                     // the room that is left for records
	notice int64                           // the room that a notice takes of records that are lost
	spare  int64                           // the room that is kept for such a notice, if none is on its way
	grown  chan struct{}                   // closed when there is more room; nil if nobody waits
	stuck  bool                            // a record has waited in vain, and no room has come since
	lost   uint64                          // how many records were lost of which main was not told
}

// hostLog is the log of main as a worker in the same process knows it. Any goroutine may call it.
type hostLog interface {
	// wants reports whether main's handler takes a record of a level that is logged under ctx.
	wants(ctx context.Context, level slog.Level) bool
	// calls reports whether main's handler itself logs under ctx, and so leads back to the worker.
	calls(ctx context.Context) bool
}

// open takes in how many bytes of the log main has room for, and how many a notice takes.
func (l *workerLogs) open(room, notice int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notice, l.spare = notice, notice
	l.window.Resize(room - notice)
	l.window.Open(room - notice)
}

// take takes room for a record. It returns how many records were lost before it and true; or a
// channel that is closed when there is more room; or, if the record is lost, neither: but how many
// are, if main can be told of them now, for a worker that dies tells nothing later. last says that
// the record waits no longer.
func (l *workerLogs) take(n int64, last bool) (lost uint64, grown <-chan struct{}, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.window.Take(n):
		lost, l.lost = l.lost, 0
		return lost, nil, true
	case last || l.stuck:
		l.stuck = true
		l.lost++
		if l.spare >= l.notice {
			l.spare -= l.notice
			lost, l.lost = l.lost, 0
		}
		return lost, nil, false
	case l.grown == nil:
		l.grown = make(chan struct{})
	}
	return 0, l.grown, false
}

// give takes in room that main gives back. It returns how many records were lost, if main can be
// told of them now: a record of n bytes may say so then.
func (l *workerLogs) give(bytes uint64, n int64) (lost uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	spare := min(bytes, uint64(l.notice-l.spare))
	if bytes == 0 || bytes > spare && !l.window.Give(bytes-spare) {
		return 0
	}
	l.spare += int64(spare)
	l.stuck = false
	if l.grown != nil {
		close(l.grown)
		l.grown = nil
	}
	if l.lost > 0 && l.window.Take(n) {
		lost, l.lost = l.lost, 0
	}
	return lost
}

// untold returns how many records were lost of which main was not told, and will be told now.
func (l *workerLogs) untold() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	lost := l.lost
	l.lost = 0
	return int(lost)
}
