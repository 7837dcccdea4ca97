package multiprolab

import (
	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is how a worker sends checkpoints to main, and gets those of earlier attempts.

// lastSaved is the checkpoint of a task that comes behind it. It exists in the worker process; the
// goroutine that reads the wire uses it.
type lastSaved struct {
	of      uint64         // the id of the task
	payload *codec.Payload // the checkpoint; nil if none has come since the last task
}

// note keeps a checkpoint until its task comes.
func (l *lastSaved) note(f *wire.Frame) {
	p := payloadOf(f)
	*l = lastSaved{f.ID, &p}
}

// take returns the checkpoint of a task that has come, or nil.
func (l *lastSaved) take(id uint64) *codec.Payload {
	p := l.payload
	l.payload = nil
	if l.of != id {
		return nil
	}
	return p
}

// save implements taskHome. It does not wait.
func (b *taskInbox) save(f *wire.Frame) error {
	err := b.worker.link.Post(link.Lazily, f)
	if err == link.ErrClosed {
		return b.worker.stopCause()
	}
	return err
}

// secure implements taskHome.
func (b *taskInbox) secure() error { return b.worker.link.Secure() }
