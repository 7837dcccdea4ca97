package life

import (
	"encoding/hex"
	"errors"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// Converse reads and writes the wire until it ends. What comes before the cookie is no part of the
// wire: it goes to stray. Each frame goes to handle, which calls Take. The goroutines that Converse
// starts end with the wire: at the latest when Drain closes it.
func (l *Life) Converse(cookie string, stray func([]byte), handle link.Handler) {
	go func() { // ends when the link is closed, or the pipe is
		_ = l.link.WriteLoop() // an error of the pipe is not the verdict: the exit status is
		close(l.wrote)
	}()
	go func() { // ends when the pipe has been read to its end, or is closed
		mark, _ := hex.DecodeString(cookie) // it is main's own
		err := l.link.SkipPast(mark, stray)
		if err == nil {
			err = l.link.ReadLoop(handle)
		}
		l.readEnded(err)
	}()
}

// Conversed says that the wire has been read to its end and that nothing more is written to it. It
// is for who has read and written the wire without Converse, as tests do.
func (l *Life) Conversed(err error) {
	close(l.wrote)
	l.readEnded(err)
}

// readEnded notes why the wire is not read any more, and ends a worker that has broken it.
func (l *Life) readEnded(err error) {
	defer close(l.read)
	l.known.mu.Lock()
	l.known.readErr = err
	l.known.mu.Unlock()
	var violation *link.Violation
	var corrupt *wire.CorruptError
	var size *wire.SizeError
	if errors.As(err, &violation) || errors.As(err, &corrupt) || errors.As(err, &size) {
		l.kill(Reason{Cause: BrokeWire, Err: err})
	}
}
