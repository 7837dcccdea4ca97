package multiprolab

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/multiprolab/multiprolab/internal/pack"
)

// This file is how an error travels between main and a worker: packed, in a form of a fixed shape.
// Its size is bounded, whatever the error, so that a frame with an error always fits, and so are
// the depth and the lengths of what is read, for it may come from a worker that lies.

const (
	// maxErrorSize is the greatest length of an error on the wire, in bytes. It is far below
	// link.LeastLimit.
	maxErrorSize = 64 << 10
	// maxErrorText is how much of the text of one error crosses the wire, in bytes.
	maxErrorText = 48 << 10
	// maxErrorDepth is how deep errors hold each other.
	maxErrorDepth = 8
	// maxErrorParts is the greatest number of attempts, causes or names in one error.
	maxErrorParts = 256
)

// errTooDeep stands for what is too deep in an error to cross, or malformed.
var errTooDeep = errors.New("and so on")

// wireSentinels are the sentinels that keep their identity. Their places are their numbers on the
// wire: both ends are the same program.
var wireSentinels = append([]error{ErrStopped, ErrExit, ErrQueueFull, ErrBacklog, ErrCallCycle, ErrCancelled, ErrNoTask,
	ErrLeaseLost, ErrNotWorker}, stdSentinels...)

// carriedError is an error that came from another process: its text, and what it wrapped there that
// is known here. It exists in the process that it came to.
type carriedError struct {
	text string
	is   []error
}

func (e *carriedError) Error() string   { return e.text }
func (e *carriedError) Unwrap() []error { return e.is }

// errorCut is how much of an error is written. The zero value writes all.
type errorCut struct {
	text     int  // bytes of each text; 0: maxErrorText
	stderr   int  // bytes of the last stderr; 0: maxErrorText
	earlier  int  // bytes of every other stderr; 0: as stderr
	parts    int  // attempts and causes, the last of them; 0: maxErrorParts
	notInner bool // nothing that is wrapped
}

// errorCuts are tried until an error fits: first all attempts but the last lose their stderr, then
// the last one does, then there are fewer attempts.
var errorCuts = []errorCut{
	{},
	{earlier: 1 << 10},
	{earlier: 1},
	{text: 8 << 10, earlier: 1, stderr: 16 << 10},
	{text: 1 << 10, earlier: 1, stderr: 4 << 10},
	{text: 1 << 10, earlier: 1, stderr: 1 << 10, parts: 16},
	{text: 256, earlier: 1, stderr: 1, parts: 2},
	{text: 256, earlier: 1, stderr: 1, parts: 1, notInner: true},
}

// marshalError lays out an error for the wire, in at most maxErrorSize bytes.
func marshalError(err error) (b []byte) {
	defer guardError(err, func(text string) { b = pack.Marshal(&errorPacking{err: errors.New(text)}) })
	for _, cut := range errorCuts {
		e := errorPacking{err: err, cut: cut}
		if b := pack.Marshal(&e); len(b) <= maxErrorSize {
			return b
		}
	}
	return pack.Marshal(&errorPacking{err: errors.New(cutText(textOfError(err), 256))})
}

// guardError is deferred where the methods of a user's error are called: it says in a text what
// becomes of one that panics. An error is a value like any other, and must not end main.
func guardError(err error, otherwise func(text string)) {
	if r := recover(); r != nil {
		otherwise(cutText(fmt.Sprintf("an error of type %T, whose methods panic: %v", err, r), maxErrorText/2))
	}
}

// textOfError is err.Error(), or what there is to say of an error whose Error method panics.
func textOfError(err error) (text string) {
	defer guardError(err, func(otherwise string) { text = otherwise })
	return err.Error()
}

// unmarshalError reads what marshalError wrote, from a process that is not to be trusted. It never
// returns nil.
func unmarshalError(b []byte) error {
	var e errorPacking
	if len(b) > 2*maxErrorSize {
		return fmt.Errorf("multiprolab: an error came that is too large: %d bytes", len(b))
	}
	if err := pack.Unmarshal(b, &e); err != nil {
		return fmt.Errorf("multiprolab: an error came that cannot be read: %w", err)
	}
	return e.err
}

// errorPacking is an error that is being written or read.
type errorPacking struct {
	err   error // not nil, but while it is read
	cut   errorCut
	depth int
	early bool // it is not the last of the attempts
}

// packedError is marshalError of an error that may be nil: a failed setup function's, say. It is
// empty then.
func packedError(err error) string {
	if err == nil {
		return ""
	}
	return string(marshalError(err))
}

// Pack describes the layout.
func (e *errorPacking) Pack(p *pack.Packing) {
	if e.depth > maxErrorDepth {
		if p.Reading() {
			p.Fail()
		}
		e.err = errTooDeep
	}
	kind := textError
	if !p.Reading() {
		kind = e.classify()
	}
	pack.Number(p, &kind)
	switch kind {
	case textError:
		var text string
		if !p.Reading() {
			text = textOfError(e.err)
		}
		e.text(p, &text)
		if p.Reading() {
			e.err = errors.New(text)
		}
	case wrappedError:
		e.packWrapped(p)
	case stdStructError:
		e.packStruct(p)
	case errnoError:
		number, _ := e.err.(syscall.Errno)
		pack.Number(p, &number)
		e.err = number
	case netClosedError:
		e.err = &closedError{}
	case sentinelItself:
		number := slices.IndexFunc(wireSentinels, func(s error) bool { return s == e.err })
		pack.Number(p, &number)
		if number < 0 || number >= len(wireSentinels) {
			p.Fail()
			break
		}
		e.err = wireSentinels[number]
	case remoteError:
		packAs(e, p, e.packRemote)
	case diedError:
		packAs(e, p, e.packDied)
	case memoryError:
		packAs(e, p, func(p *pack.Packing, m *MemoryLimitError) {
			pack.Number(p, &m.Limit)
			pack.Flag(p, &m.Kernel)
			e.text(p, &m.Group)
			e.died(p, &m.Died)
		})
	case hangError:
		packAs(e, p, func(p *pack.Packing, h *HangError) {
			e.text(p, &h.Running)
			pack.Number(p, &h.For)
			pack.Number(p, &h.Limit)
			pack.Flag(p, &h.Silent)
			e.died(p, &h.Died)
		})
	case startError:
		packAs(e, p, func(p *pack.Packing, s *StartError) {
			e.text(p, &s.Worker)
			pack.Number(p, &s.PID)
			e.text(p, &s.Reason)
			pack.Flag(p, &s.permanent)
			e.inner(p, &s.Err)
		})
	case limitError:
		packAs(e, p, e.packLimit)
	case attemptsError:
		packAs(e, p, func(p *pack.Packing, a *AttemptsError) {
			e.text(p, &a.Type)
			e.list(p, &a.Attempts, &a.missing)
		})
	case noWorkerError:
		packAs(e, p, func(p *pack.Packing, n *NoWorkerError) {
			e.text(p, &n.Type)
			e.inner(p, &n.Err)
		})
	case timeoutError:
		packAs(e, p, func(p *pack.Packing, t *TimeoutError) {
			e.text(p, &t.Worker)
			pack.Number(p, &t.PID)
			e.text(p, &t.Type)
			pack.Number(p, &t.Timeout)
			pack.Flag(p, &t.Killed)
			e.text(p, &t.Stopped)
			e.stderr(p, &t.Stderr)
		})
	case unknownTypeError:
		packAs(e, p, func(p *pack.Packing, u *UnknownTypeError) {
			e.text(p, &u.Receiver)
			e.text(p, &u.Verb)
			e.text(p, &u.Type)
			e.text(p, &u.Queue)
			e.names(p, &u.Known)
		})
	case unknownReceiverError:
		packAs(e, p, func(p *pack.Packing, u *UnknownReceiverError) {
			e.text(p, &u.Receiver)
			e.names(p, &u.Known)
		})
	case sizeError:
		packAs(e, p, func(p *pack.Packing, s *SizeError) {
			e.text(p, &s.Type)
			pack.Number(p, &s.Size)
			pack.Number(p, &s.Limit)
		})
	case decodeError:
		packAs(e, p, func(p *pack.Packing, d *DecodeError) {
			e.text(p, &d.Receiver)
			e.text(p, &d.Type)
			e.inner(p, &d.Err)
		})
	case encodeError:
		packAs(e, p, func(p *pack.Packing, d *EncodeError) {
			e.text(p, &d.Receiver)
			e.text(p, &d.Type)
			e.text(p, &d.GoType)
			e.inner(p, &d.Err)
		})
	case signalError:
		packAs(e, p, packSignal)
	case configError:
		packAs(e, p, func(p *pack.Packing, c *ConfigError) {
			var value string
			if !p.Reading() {
				value = fmt.Sprint(c.Value)
			}
			e.text(p, &c.Field)
			e.text(p, &value)
			e.text(p, &c.Reason)
			if p.Reading() {
				c.Value = value
			}
		})
	default:
		p.Fail()
	}
	if e.err == nil { // it is malformed
		e.err = errTooDeep
	}
}

// packAs packs an error of a type by its fields.
func packAs[T any, E interface {
	*T
	error
}](e *errorPacking, p *pack.Packing, fields func(p *pack.Packing, v E)) {
	var v T
	if !p.Reading() {
		v = *e.err.(E) // a copy: what is cut, is cut there
	}
	fields(p, &v)
	if p.Reading() {
		e.err = E(&v)
	}
}
