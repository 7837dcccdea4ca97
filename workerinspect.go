package multiprolab

import (
	"github.com/multiprolab/multiprolab/internal/inspect"
	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// inspected takes what main asks about stacks and profiles of this process, or says of its answer.
// It runs on the goroutine that reads the wire, also while a handler spins, and never waits: others
// look for the answer and send it.
func (w *Worker) inspected(f *wire.Frame) error {
	id := f.ID
	switch {
	case f.Flags&wire.FlagWait != 0:
		w.answers.Taken(id)
	case f.Flags&wire.FlagSoft != 0:
		w.answers.Cancel(id)
	default:
		var q inspect.Question
		if err := life.Unpack(f, &q); err != nil {
			return err
		}
		w.answers.Begin(id, &q, func(p inspect.Piece) {
			f := &wire.Frame{Kind: wire.Inspect, ID: id, Body: p.Data}
			if p.Last {
				f.Flags |= wire.FlagSoft
			}
			if p.Failed {
				f.Flags |= wire.FlagError
			}
			w.link.Tell(link.Soon, f)
		})
	}
	return nil
}
