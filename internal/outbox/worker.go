package outbox

import (
	"time"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/mail"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is what a worker tells main of what has come to it, and of its waits for room.

// Receipts is what a worker tells main, whose outbox waits for it, of the messages that it has got:
// which room is free again, and which messages have left its inbox. Its rules are mail.Receipts. It
// exists in the worker process. Any goroutine may use it, and no method waits.
type Receipts struct {
	mu     lockorder.Mutex[lockorder.Receipts] // guards every other field
	rules  mail.Receipts                       // what main is to be told
	link   *link.Link                          // the wire to main; nil before Open
	window int64                               // how many bytes main may send before it gets credit back
	prompt bool                                // main is told of each message at once, for no black box tells it
}

// Open says by which wire main is told, before the first message comes. window is how many bytes
// main may send before it gets credit back. With prompt set it is told of each message at once.
func (r *Receipts) Open(l *link.Link, window int64, prompt bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.link, r.window, r.prompt = l, window, prompt
}

// Give gathers bytes of room that a message gives back, and tells main when a quarter of the window
// has gathered; Flush does when the worker is idle. gone says that the message has left the inbox,
// told that main has been told already what became of it. A call has the serial 0: its caller is
// told what becomes of it.
func (r *Receipts) Give(serial uint64, bytes int64, gone, told bool) {
	gone = gone && serial > 0
	r.mu.Lock()
	due := r.rules.Credit(bytes, r.window)
	alone := false
	if gone {
		before := r.rules.UpTo()
		alone = !r.rules.Done(serial) && !told
		if now := r.rules.UpTo(); now != before {
			r.link.Count(now) // main reads the count if this process dies before it has sent the credit
		}
	}
	prompt := gone && r.prompt
	l := r.link
	r.mu.Unlock()
	if alone {
		l.Tell(link.Lazily, wire.NewCreditAlone(serial))
	}
	if due || prompt {
		r.Flush()
	}
	if prompt {
		l.Push()
	}
}

// Flush tells main what Give has gathered.
func (r *Receipts) Flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if bytes, upTo, ok := r.rules.Take(); ok {
		r.link.Tell(link.Lazily, wire.NewCredit(bytes, upTo))
	}
}

// Starving is the waits for room of a worker's loop, of which main is asked whether they may go on.
// It exists in the worker process. Any goroutine may use it.
type Starving struct {
	mu lockorder.Mutex[lockorder.Leaf] // guards waits
	// waits are where main's refusals go, by the numbers of the waits.
	waits map[uint64]chan error
}

// starveTime is the time after which main is asked again whether a wait for room may go on: mostly
// the messages that were on their way have been taken by then.
const starveTime = 50 * time.Millisecond

// Begin begins a wait, which has a number. It calls ask, which asks main, and calls it again after
// each starveTime. It returns a channel for the error that says that the loop must not wait, and a
// function for the end of the wait.
func (s *Starving) Begin(id uint64, ask func()) (refused <-chan error, over func()) {
	ch, ended := make(chan error, 1), make(chan struct{})
	s.mu.Lock()
	if s.waits == nil {
		s.waits = map[uint64]chan error{}
	}
	s.waits[id] = ch
	s.mu.Unlock()
	ask()
	go func() { // ends with the wait
		again := time.NewTicker(starveTime)
		defer again.Stop()
		for {
			select {
			case <-again.C:
				ask()
			case <-ended:
				return
			}
		}
	}()
	return ch, func() {
		close(ended)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.waits, id)
	}
}

// Refuse takes in that main has refused a wait. What comes too late, or again, is dropped.
func (s *Starving) Refuse(id uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch := s.waits[id]; ch != nil && len(ch) == 0 {
		ch <- err
	}
}
