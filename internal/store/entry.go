package store

import (
	"fmt"
	"strconv"

	"github.com/multiprolab/multiprolab/internal/queue"
)

// maxDropped is how many ids of dropped tasks are kept in any case: those of a whole queue that is
// cancelled at once.
const maxDropped = 1 << 20

// Entry is a task of the rules with its place in a Backend, if there is one. It exists in main; the
// lock of the rules guards it. A million of them may wait.
type Entry struct {
	// Task is the task as the rules know it.
	queue.Task
	// id is its id in the Backend; empty without one.
	id string
	// lease is its lease, from when it was fetched to the end of the attempt; otherwise nil.
	lease *Lease
}

// Lease returns the lease under which the task is worked on, or nil if the Backend has it, or there
// is none.
func (e *Entry) Lease() *Lease { return e.lease }

// entries are the tasks that a Backend has and that have not ended, by their ids there. It exists
// in main; the lock of the rules guards it.
type entries struct {
	// run begins the ids of the tasks of this run.
	run string
	// last is the number of the task that was stored last in this run.
	last uint64
	// lane is the lane whose name was asked for last.
	lane queue.Lane
	// named is the name of the queue of lane in the Backend, or empty before the first question.
	named string
	// byID are the tasks. Those without a lease are to be fetched.
	byID map[string]*Entry
	// dropped are the ids of tasks that have ended before they were fetched. Some never come: the
	// Backend could not be told of them, or another main has fetched them.
	dropped map[string]bool
	// older are ids as in dropped, from before there were as many of those as most: what is older
	// yet is forgotten.
	older map[string]bool
	// most is maxDropped. It never changes but in tests.
	most int
}

// newEntries returns no entries. run begins the ids of those to come.
func newEntries(run string) entries {
	return entries{run: run, byID: map[string]*Entry{}, dropped: map[string]bool{}, most: maxDropped}
}

// enter takes a task that is to be stored, and gives it an id that no other task has.
func (s *entries) enter(e *Entry) (id string) {
	s.last++
	e.id = fmt.Sprintf("%s-%d", s.run, s.last)
	s.byID[e.id] = e
	return e.id
}

// arrived returns the task with the id of one that was fetched, or nil if it is none of this run,
// and whether it is one that has ended before.
func (s *entries) arrived(id string) (e *Entry, dropped bool) {
	dropped = s.dropped[id] || s.older[id]
	delete(s.dropped, id)
	delete(s.older, id)
	return s.byID[id], dropped
}

// end takes out a task that has ended. If it has not been fetched, and drop is set, its id is noted
// for when it comes.
func (s *entries) end(e *Entry, drop bool) {
	fetched := e.lease != nil
	e.lease = nil
	if s.byID[e.id] != e {
		return
	}
	delete(s.byID, e.id)
	if fetched || !drop {
		return
	}
	if len(s.dropped) >= s.most {
		s.older, s.dropped = s.dropped, map[string]bool{}
	}
	s.dropped[e.id] = true
}

// laneName returns what the queue of a lane is called in a Backend.
func laneName(l queue.Lane) string {
	return l.Queue + "/" + l.Type + "/" + strconv.Itoa(int(l.Priority))
}

// name returns the name for a lane. Consecutive tasks are mostly of the same lane, so the last name
// is kept.
func (s *entries) name(l queue.Lane) string {
	if s.lane != l || s.named == "" {
		s.lane, s.named = l, laneName(l)
	}
	return s.named
}
