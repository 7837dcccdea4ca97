package inspect

import (
	"context"
	"errors"
	"sync"
)

const (
	// PieceSize is the greatest length of a piece in bytes.
	PieceSize = 64 << 10
	// Window is how many pieces of an answer may be on the way.
	Window = 4
	// maxFailure is the greatest length of the text of an error in bytes.
	maxFailure = 4 << 10
)

// Piece is a part of an answer.
type Piece struct {
	// Data is the part. It is empty only in a last piece.
	Data []byte
	// Last says that no further piece comes.
	Last bool
	// Failed says that Data is the text of the error that has ended the answer. Last is set then,
	// too.
	Failed bool
}

// Answers are what a worker is about to answer. It exists in the worker process. Any goroutine may
// use it.
type Answers struct {
	// mu guards running.
	mu sync.Mutex
	// running are the answers that have not come to their end, by the numbers of their questions.
	running map[uint64]*answer
}

// answer is one answer that has not come to its end, in a worker.
type answer struct {
	// stop ends the context of the answer.
	stop context.CancelFunc
	// news has room for one: it tells the goroutine of the answer that a field below has changed.
	news chan struct{}

	// mu guards every field below.
	mu sync.Mutex
	// full are the pieces that wait for room.
	full [][]byte
	// part is the piece that is being filled.
	part []byte
	// room is how many pieces may be sent.
	room int
	// done says that part is the last piece, or that err is set.
	done bool
	// err is the error that the answer has ended with, or nil.
	err error
}

// Begin answers a question under a number, on goroutines of its own. It hands each piece to post,
// which must not wait.
func (a *Answers) Begin(id uint64, q *Question, post func(Piece)) {
	ctx, cancel := context.WithCancel(context.Background())
	one := &answer{stop: cancel, news: make(chan struct{}, 1), room: Window}
	a.mu.Lock()
	if a.running == nil {
		a.running = map[uint64]*answer{}
	}
	a.running[id] = one
	a.mu.Unlock()
	go func() { // ends with the time of the question, or when it is taken back
		one.finish(q.Answer(ctx, one))
	}()
	go func() { // ends with the last piece
		one.send(ctx, post)
		cancel()
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.running, id)
	}()
}

// Taken notes that main has taken a piece of an answer.
func (a *Answers) Taken(id uint64) {
	if one := a.find(id); one != nil {
		one.change(func() { one.room++ })
	}
}

// Cancel ends an answer that main does not want any more. A last piece is sent all the same.
func (a *Answers) Cancel(id uint64) {
	if one := a.find(id); one != nil {
		one.stop()
	}
}

func (a *Answers) find(id uint64) *answer {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.running[id]
}

// change changes the answer, and tells the goroutine that sends it.
func (o *answer) change(fn func()) {
	o.mu.Lock()
	fn()
	o.mu.Unlock()
	select {
	case o.news <- struct{}{}:
	default: // it is told already
	}
}

// Write implements io.Writer. It never waits: the limit of the question bounds what gathers.
func (o *answer) Write(p []byte) (int, error) {
	o.change(func() {
		for rest := p; len(rest) > 0; {
			if o.part == nil {
				o.part = make([]byte, 0, min(PieceSize, max(len(rest), PieceSize/16)))
			}
			n := min(len(rest), PieceSize-len(o.part))
			o.part, rest = append(o.part, rest[:n]...), rest[n:]
			if len(o.part) == PieceSize {
				o.full, o.part = append(o.full, o.part), nil
			}
		}
	})
	return len(p), nil
}

func (o *answer) finish(err error) { o.change(func() { o.done, o.err = true, err }) }

// send posts the pieces, each when there is room for it.
func (o *answer) send(ctx context.Context, post func(Piece)) {
	gone := ctx.Done()
	for {
		p, ok := o.next(gone == nil)
		if ok {
			post(p)
			if p.Last {
				return
			}
			continue
		}
		select {
		case <-o.news:
		case <-gone:
			gone = nil
		}
	}
}

// next returns the next piece that may be sent, if there is one. Nobody wants the data of an answer
// that is cancelled.
func (o *answer) next(cancelled bool) (p Piece, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.done && o.err != nil:
		text := o.err.Error()
		return Piece{Data: []byte(text[:min(len(text), maxFailure)]), Last: true, Failed: true}, true
	case cancelled:
		o.full, o.part = nil, nil
		return Piece{Data: []byte(context.Canceled.Error()), Last: true, Failed: true}, o.done
	case len(o.full) > 0 && o.room > 0:
		p, o.full[0], o.full = Piece{Data: o.full[0]}, nil, o.full[1:]
		o.room--
		return p, true
	case len(o.full) == 0 && o.done:
		return Piece{Data: o.part, Last: true}, true
	}
	return Piece{}, false
}

// Error returns the error of a piece that has failed.
func (p Piece) Error() error { return errors.New(string(p.Data)) }
