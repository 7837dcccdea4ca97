package logbook

import (
	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/mail"
)

// room is the room that main has for the worker's log. It exists in the worker process. Any
// goroutine may use it.
type room struct {
	mu     lockorder.Mutex[lockorder.Leaf] // guards every field below
	window mail.Window                     // the room that is left for records
	notice int64                           // the room that a notice takes of records that are lost
	spare  int64                           // the room that is kept for such a notice, if none is on its way
	grown  chan struct{}                   // closed when there is more room; nil if nobody waits
	stuck  bool                            // a record has waited in vain, and no room has come since
	lost   uint64                          // how many records were lost of which main was not told
	all    uint64                          // how many records were lost
	miss   func(all uint64)                // leaves all where it outlives this process
}

// open takes in how many bytes of the log main has room for, how many a notice takes, and what
// leaves the number of lost records where it outlives this process.
func (r *room) open(window, notice int64, miss func(all uint64)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notice, r.spare, r.miss = notice, notice, miss
	r.window.Resize(window - notice)
	r.window.Open(window - notice)
}

// take takes room for a record. It returns how many records were lost before it and true; or a
// channel that is closed when there is more room; or, if the record is lost, neither: but how many
// are, if main can be told of them now, for a worker that dies tells nothing later. last says that
// the record waits no longer.
func (r *room) take(n int64, last bool) (lost uint64, grown <-chan struct{}, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.window.Take(n):
		lost, r.lost = r.lost, 0
		return lost, nil, true
	case last || r.stuck:
		r.stuck = true
		r.lost++
		r.all++
		r.miss(r.all)
		if r.spare >= r.notice {
			r.spare -= r.notice
			lost, r.lost = r.lost, 0
		}
		return lost, nil, false
	case r.grown == nil:
		r.grown = make(chan struct{})
	}
	return 0, r.grown, false
}

// give takes in room that main gives back. It returns how many records were lost, if main can be
// told of them now: a notice may say so then.
func (r *room) give(bytes uint64) (lost uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	spare := min(bytes, uint64(r.notice-r.spare))
	if bytes == 0 || bytes > spare && !r.window.Give(bytes-spare) {
		return 0
	}
	r.spare += int64(spare)
	r.stuck = false
	if r.grown != nil {
		close(r.grown)
		r.grown = nil
	}
	if r.lost > 0 && r.window.Take(r.notice) {
		lost, r.lost = r.lost, 0
	}
	return lost
}

// untold returns how many records were lost of which main was not told, and will be told now.
func (r *room) untold() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	lost := r.lost
	r.lost = 0
	return int(lost)
}
