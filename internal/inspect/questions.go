package inspect

import (
	"context"
	"errors"
	"io"
	"sync"
)

// maxOpen is how many questions of one worker may be open.
const maxOpen = 8

// errBusy is the error of one question too many.
var errBusy = errors.New("8 dumps and profiles of the worker are under way: wait for the end of one of them")

// Questions are what one life of a worker has been asked and has not answered. It exists in main.
// Any goroutine may use it.
type Questions struct {
	// mu guards every other field.
	mu sync.Mutex
	// last is the number of the last question.
	last uint64
	// open are the questions whose last piece has not come, by their numbers.
	open map[uint64]*asked
}

// asked is one question, in main. The mutex of the Questions guards all but its channel.
type asked struct {
	// pieces has room for all pieces that may be on the way, and the last one.
	pieces chan Piece
	// window is how many pieces the worker may still send before it is told that one was taken.
	window int
	// left is how many bytes it may still send.
	left int64
	// cancelled says that nobody takes the pieces.
	cancelled bool
}

// Wire is how main tells the worker of its questions. Its functions never wait.
type Wire struct {
	// Ask asks a question under a number.
	Ask func(id uint64, q *Question)
	// Taken says that a piece of the answer was taken.
	Taken func(id uint64)
	// Cancel takes the question back.
	Cancel func(id uint64)
}

// Put asks a question, and writes the answer to w, until the answer is complete, ctx ends, or gone
// is closed because the worker is gone: then it returns the error that lost makes.
func (qs *Questions) Put(
	ctx context.Context, q *Question, w io.Writer, to Wire, gone <-chan struct{}, lost func() error,
) error {
	id, one, err := qs.begin(q)
	if err != nil {
		return err
	}
	to.Ask(id, q)
	for {
		var p Piece
		select {
		case p = <-one.pieces:
		default:
			select {
			case p = <-one.pieces:
			case <-ctx.Done():
				qs.cancel(id)
				to.Cancel(id)
				return context.Cause(ctx)
			case <-gone:
				if len(one.pieces) > 0 {
					continue
				}
				return lost()
			}
		}
		switch {
		case p.Failed:
			return q.failure(p.Error())
		case len(p.Data) > 0:
			if _, err := w.Write(p.Data); err != nil {
				qs.cancel(id)
				to.Cancel(id)
				return err
			}
		}
		if p.Last {
			return nil
		}
		qs.taken(id)
		to.Taken(id)
	}
}

// begin opens a question.
func (qs *Questions) begin(q *Question) (id uint64, one *asked, err error) {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	if len(qs.open) >= maxOpen {
		return 0, nil, errBusy
	}
	if qs.open == nil {
		qs.open = map[uint64]*asked{}
	}
	qs.last++
	one = &asked{pieces: make(chan Piece, Window+1), window: Window, left: q.Limit}
	qs.open[qs.last] = one
	return qs.last, one, nil
}

// cancel notes that nobody takes further pieces.
func (qs *Questions) cancel(id uint64) {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	if one := qs.open[id]; one != nil {
		one.cancelled = true
	}
}

// taken allows the worker another piece.
func (qs *Questions) taken(id uint64) {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	if one := qs.open[id]; one != nil {
		one.window++
	}
}

// Take takes in a piece that the worker has sent, which is not trusted. It returns false if nothing
// has allowed the piece. It never waits.
func (qs *Questions) Take(id uint64, p Piece) bool {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	one := qs.open[id]
	if one == nil || len(p.Data) > PieceSize || p.Failed && (!p.Last || len(p.Data) > maxFailure) {
		return false
	}
	if !p.Last {
		if one.window--; one.window < 0 || len(p.Data) == 0 {
			return false
		}
	}
	if !p.Failed {
		if one.left -= int64(len(p.Data)); one.left < 0 {
			return false
		}
	}
	if p.Last {
		delete(qs.open, id)
	}
	if !one.cancelled {
		one.pieces <- p // there is room for Window and the last one
	}
	return true
}
