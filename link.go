package multiprolab

import (
	"errors"
	"io"
	"sync"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// ownChunk is the size in bytes from which a body is written from where it is instead of being copied behind its header.
const ownChunk = 32 << 10

// leastLimit is the least limit of a wire in bytes, whatever Config.MaxMessageSize says: it limits users' bodies, and type definitions and
// errors must pass as well.
const leastLimit = 1 << 20

// maxLinkDefs bounds the type definitions that the other end may introduce.
const maxLinkDefs = 4096

var errLinkClosed = errors.New("multiprolab: the wire is closed")

// link is one end of the wire between main and one worker process: one in main for each life of a worker, one in the
// worker. Any goroutine may post; one goroutine runs writeLoop and one runs readLoop.
type link struct {
	codec   *codec.Codec
	w       io.Writer
	r       *wire.Reader
	maxBody int

	writing sync.Mutex // held by the goroutine that writes; taken before mu

	mu      sync.Mutex
	chunks  [][]byte        // waiting to be written, in order
	spare   []byte          // a written chunk, to be filled again
	sent    map[uint64]bool // definitions that the other end has
	closed  error           // why nothing is posted any more
	broken  error           // the error of the pipe: nothing is written any more
	wake    chan struct{}   // tells writeLoop that there are chunks, or that the link is closed
	defined int             // by the other end; used by readLoop only
}

func newLink(c *codec.Codec, r io.Reader, w io.Writer, maxBody int) *link {
	maxBody = max(maxBody, leastLimit)
	return &link{codec: c, w: w, r: wire.NewReader(r, maxBody), maxBody: maxBody, sent: map[uint64]bool{}, wake: make(chan struct{}, 1)}
}

// post queues a frame for the writer and never waits. The definitions that its body needs go ahead of it, once.
func (l *link) post(f *wire.Frame) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.postLocked(f)
}

// postLast is post, and closes the link in the same moment: nothing can come behind the frame.
func (l *link) postLast(f *wire.Frame) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.postLocked(f); err != nil {
		return err
	}
	l.closed = errLinkClosed
	return nil
}

func (l *link) postLocked(f *wire.Frame) error {
	if err := f.Check(l.maxBody); err != nil {
		return err
	}
	if l.closed != nil {
		return l.closed
	}
	if f.Defs != 0 && f.Encoding == codec.GobValue && !l.sent[f.Defs] {
		if blob := l.codec.Definitions(f.Defs); blob != nil {
			l.append(&wire.Frame{Kind: wire.Defs, Defs: f.Defs, Body: blob})
		}
		l.sent[f.Defs] = true
	}
	l.append(f)
	wakeUp(l.wake)
	return nil
}

func (l *link) append(f *wire.Frame) {
	last := len(l.chunks) - 1
	if last < 0 || cap(l.chunks[last])-len(l.chunks[last]) < wire.HeaderSize || len(l.chunks[last]) >= ownChunk {
		l.chunks = append(l.chunks, l.spare[:0])
		l.spare = nil
		last++
	}
	if len(f.Body) < ownChunk {
		l.chunks[last] = wire.Append(l.chunks[last], f)
		return
	}
	l.chunks[last] = wire.AppendHead(l.chunks[last], f)
	l.chunks = append(l.chunks, f.Body[:len(f.Body):len(f.Body)]) // full, so that nothing is appended to it
}

// writeLoop writes what is posted, all that has gathered at a time, until close. It returns the first error of the pipe.
func (l *link) writeLoop() error {
	for range l.wake {
		if err := l.flush(); err != nil {
			return err
		}
		if l.finished() {
			return nil
		}
	}
	return nil
}

// flush writes everything that was posted before, on the calling goroutine, so that it is in the pipe when flush returns.
func (l *link) flush() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	for {
		l.mu.Lock()
		chunks, broken := l.chunks, l.broken
		l.chunks = nil
		l.mu.Unlock()
		if len(chunks) == 0 || broken != nil {
			return broken
		}
		for _, c := range chunks {
			if _, err := l.w.Write(c); err != nil {
				l.close(err)
				l.mu.Lock()
				l.broken = err
				l.mu.Unlock()
				return err
			}
		}
		if c := chunks[0]; cap(c) <= 2*ownChunk {
			l.mu.Lock()
			l.spare = c[:0]
			l.mu.Unlock()
		}
	}
}

func (l *link) finished() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed != nil && len(l.chunks) == 0
}

// close refuses further frames with err. writeLoop ends once it has written what was posted before.
func (l *link) close(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed == nil {
		l.closed = err
	}
	wakeUp(l.wake)
}

// readLoop hands each frame to handle until the stream ends or handle returns an error. The frame belongs to handle.
// Definitions are stored here, before the values that need them.
func (l *link) readLoop(handle func(f *wire.Frame) error) error {
	for {
		f := new(wire.Frame)
		if err := l.r.Next(f); err != nil {
			return err
		}
		if f.Kind != wire.Defs {
			if err := handle(f); err != nil {
				return err
			}
			continue
		}
		if l.defined++; l.defined > maxLinkDefs {
			return &wireViolation{"more type definitions came than the limit of 4096"}
		}
		if id, err := l.codec.Define(f.Body); err != nil {
			return &wireViolation{err.Error()}
		} else if id != f.Defs {
			return &wireViolation{"type definitions came under an id that is not theirs"}
		}
		l.mu.Lock()
		l.sent[f.Defs] = true // who defined it has it
		l.mu.Unlock()
	}
}

// limit sets the greatest length of a body in bytes, in both directions. Only readLoop's goroutine may call it.
func (l *link) limit(maxBody int) {
	maxBody = max(maxBody, leastLimit)
	l.r.Limit(maxBody)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.maxBody = maxBody
}

// wireViolation reports frames that are well formed and make no sense.
type wireViolation struct{ reason string }

func (e *wireViolation) Error() string { return e.reason }

// wakeUp wakes the one goroutine that waits on a channel of capacity 1.
func wakeUp(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// payloadOf returns the body of a frame for the codec.
func payloadOf(f *wire.Frame) codec.Payload {
	return codec.Payload{Encoding: f.Encoding, Defs: f.Defs, Data: f.Body}
}

// setPayload makes p the body of a frame.
func setPayload(f *wire.Frame, p codec.Payload) {
	f.Encoding, f.Defs, f.Body = p.Encoding, p.Defs, p.Data
}
