package multiprolab

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/multiprolab/multiprolab/backend"
	"github.com/multiprolab/multiprolab/internal/pack"
)

// This file is how an error travels between main and a worker: packed, in a form of a fixed shape.
// Its size is bounded, whatever the error, so that a frame with an error always fits. When an error
// is read, its depth and its lengths are bounded, too, because it may come from a worker that lies.
// What kinds of errors there are on the wire is in wireerrorkinds.go, and how parts of them are
// packed is in wireerrorparts.go.

const (
	// maxErrorSize is the greatest length of an error on the wire, in bytes. It is far below
	// link.LeastLimit.
	maxErrorSize = 64 << 10
	// maxErrorText is how many bytes of the text of one error cross the wire.
	maxErrorText = 48 << 10
	// maxErrorDepth is how many levels deep errors may hold each other.
	maxErrorDepth = 8
	// maxErrorParts is the greatest number of attempts, causes or names in one error.
	maxErrorParts = 256
)

// errTooDeep stands for a part of an error that is too deep to cross, or malformed.
var errTooDeep = errors.New("and so on")

// wireSentinels are the sentinels that keep their identity. An index in this list is the number of
// the sentinel on the wire: both ends are the same program, and have the same list.
var wireSentinels = append([]error{ErrStopped, ErrExit, ErrQueueFull, ErrBacklog, ErrCallCycle, ErrCancelled, ErrNoTask,
	backend.ErrLeaseLost, ErrNotWorker}, stdSentinels...)

// carriedError is an error that came from another process: its text, and the errors that it wrapped
// there and that keep their types. It exists in the process that it came to, and never changes.
type carriedError struct {
	text string  // the whole text of the error
	is   []error // the errors that it wraps
}

func (e *carriedError) Error() string   { return e.text }
func (e *carriedError) Unwrap() []error { return e.is }

// errorCut is how much of an error is written. The zero value writes all of it. It never changes.
type errorCut struct {
	text     int  // how many bytes of each text; 0 means maxErrorText
	stderr   int  // how many bytes of the stderr of the last attempt; 0 means maxErrorText, 1 means none
	earlier  int  // how many bytes of the stderr of each earlier attempt; 0 means stderr, 1 means none
	parts    int  // how many attempts and causes, the last of them; 0 means maxErrorParts
	notInner bool // no error that the error wraps
}

// errorCuts are tried until an error fits: first the earlier attempts lose their stderr, then the
// last attempt loses it, then there are fewer attempts.
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

// guardError is deferred where the methods of a user's error are called: if one panics, it calls
// otherwise with a text that says so. An error is a value like any other, and must not end main.
func guardError(err error, otherwise func(text string)) {
	if r := recover(); r != nil {
		otherwise(cutText(fmt.Sprintf("an error of type %T, whose methods panic: %v", err, r), maxErrorText/2))
	}
}

// textOfError returns err.Error() or, if that panics, a text that says so.
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

// errorPacking is an error that is being written or read. One goroutine uses it.
type errorPacking struct {
	err   error    // the error; nil until it has been read
	cut   errorCut // how much of the error is written
	depth int      // how many errors hold the error, one within the other
	early bool     // the error belongs to an earlier attempt, and not to the last
}

// packedError is marshalError of an error that may be nil: a failed setup function's, say. It is
// empty then.
func packedError(err error) string {
	if err == nil {
		return ""
	}
	return string(marshalError(err))
}

// Pack describes the layout of the error.
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
	if e.err == nil { // what was read is malformed
		e.err = errTooDeep
	}
}

// packAs packs an error of the type E with a function that packs its fields.
func packAs[T any, E interface {
	*T
	error
}](e *errorPacking, p *pack.Packing, fields func(p *pack.Packing, v E)) {
	var v T
	if !p.Reading() {
		v = *e.err.(E) // texts are cut in the copy, and not in the error
	}
	fields(p, &v)
	if p.Reading() {
		e.err = E(&v)
	}
}
