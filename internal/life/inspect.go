package life

import (
	"context"
	"errors"
	"io"

	"github.com/multiprolab/multiprolab/internal/inspect"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/pack"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is how a worker is asked for its stacks and profiles while it goes on. The goroutine
// that reads the wire there takes the question, also while a handler spins, and others answer it.

// ErrEnded reports a worker that has ended before its answer was complete.
var ErrEnded = errors.New("it has ended before its answer was complete")

// Inspect asks the worker a question and writes its answer to w.
func (l *Life) Inspect(ctx context.Context, q *inspect.Question, w io.Writer) error {
	say := func(f *wire.Frame) { l.link.Tell(link.Soon, f) }
	to := inspect.Wire{
		Ask: func(id uint64, q *inspect.Question) {
			say(&wire.Frame{Kind: wire.Inspect, ID: id, Body: pack.Marshal(q)})
		},
		Taken:  func(id uint64) { say(&wire.Frame{Kind: wire.Inspect, ID: id, Flags: wire.FlagWait}) },
		Cancel: func(id uint64) { say(&wire.Frame{Kind: wire.Inspect, ID: id, Flags: wire.FlagSoft}) },
	}
	return l.questions.Put(ctx, q, w, to, l.read, func() error { return ErrEnded })
}

// Stopped returns the signal that has stopped the process, such as "SIGSTOP", or "".
func (l *Life) Stopped() string { return l.body.Stopped() }

func (l *Life) takeInspect(f *wire.Frame) error {
	p := inspect.Piece{Data: f.Body, Last: f.Flags&wire.FlagSoft != 0, Failed: f.Flags&wire.FlagError != 0}
	if !l.questions.Take(f.ID, p) {
		return unasked(f)
	}
	return nil
}
