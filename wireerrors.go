package multiprolab

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"syscall"
	"unicode/utf8"

	"github.com/multiprolab/multiprolab/internal/codec"
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

// errorKind is what an error is on the wire.
type errorKind int

const (
	textError    errorKind = iota // a text
	wrappedError                  // a text, sentinels and errors that it wraps
	remoteError                   // and so on: the exported types
	diedError
	memoryError
	hangError
	startError
	limitError
	attemptsError
	noWorkerError
	timeoutError
	unknownTypeError
	unknownReceiverError
	sizeError
	decodeError
	encodeError
	configError
	signalError
	stdStructError // the standard library's
	errnoError
	netClosedError
	sentinelItself // one of wireSentinels
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

// cutText returns the first n bytes of a text, at most, and no half of a character.
func cutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + " ..."
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

// classify says as what the error is written. An exported type that a user's error wraps is in a
// wrappedError, with the user's text.
func (e *errorPacking) classify() errorKind {
	switch err := e.err.(type) {
	case *RemoteError:
		return orText(err != nil, remoteError)
	case *WorkerDiedError:
		return orText(err != nil, diedError)
	case *MemoryLimitError:
		return orText(err != nil, memoryError)
	case *HangError:
		return orText(err != nil, hangError)
	case *StartError:
		return orText(err != nil, startError)
	case *RestartLimitError:
		return orText(err != nil, limitError)
	case *AttemptsError:
		return orText(err != nil, attemptsError)
	case *NoWorkerError:
		return orText(err != nil, noWorkerError)
	case *TimeoutError:
		return orText(err != nil, timeoutError)
	case *UnknownTypeError:
		return orText(err != nil, unknownTypeError)
	case *UnknownReceiverError:
		return orText(err != nil, unknownReceiverError)
	case *SizeError:
		return orText(err != nil, sizeError)
	case *DecodeError:
		return orText(err != nil, decodeError)
	case *EncodeError:
		return orText(err != nil, encodeError)
	case *ConfigError:
		return orText(err != nil, configError)
	case *SignalError:
		return orText(err != nil, signalError)
	case *structError:
		return orText(err != nil, stdStructError)
	case *closedError:
		return netClosedError
	case syscall.Errno:
		return errnoError
	}
	switch {
	case slices.ContainsFunc(wireSentinels, func(s error) bool { return s == e.err }):
		return sentinelItself
	case stdStructOf(e.err) >= 0:
		return stdStructError
	case isNetClosed(e.err):
		return netClosedError
	}
	if !e.cut.notInner && len(wrappedBy(e.err))+bits.OnesCount(sentinelsOf(e.err)) > 0 {
		return wrappedError
	}
	return textError
}

// orText returns the kind, or textError for a typed nil, whose fields nobody can read.
func orText(ok bool, kind errorKind) errorKind {
	if ok {
		return kind
	}
	return textError
}

// sentinelsOf returns which sentinels the error is, or wraps directly by none of the errors that
// wrappedBy returns.
func sentinelsOf(err error) (set uint) {
	for i, s := range wireSentinels {
		if errors.Is(err, s) {
			set |= 1 << i
		}
	}
	return set
}

// wrappedBy returns the errors of types that cross that an error of another type wraps, the
// outermost of each branch.
func wrappedBy(err error) []error {
	w := walk{fits: func(inner error) bool {
		kind := (&errorPacking{err: inner, cut: errorCut{notInner: true}}).classify()
		return kind != textError && kind != sentinelItself // sentinelsOf finds these
	}}
	w.into(err)
	return w.found
}

// walk goes through the tree of an error and finds those that fit, the outermost of each branch.
type walk struct {
	fits  func(error) bool
	found []error
	looks int // which end one day, though a tree may hold itself
}

func (w *walk) at(err error) {
	if w.looks++; err == nil || w.looks > 4*maxErrorParts || len(w.found) == maxErrorParts {
		return
	}
	if w.fits(err) {
		w.found = append(w.found, err)
		return
	}
	w.into(err)
}

// into looks at what an error wraps.
func (w *walk) into(err error) {
	switch err := err.(type) {
	case interface{ Unwrap() error }:
		w.at(err.Unwrap())
	case interface{ Unwrap() []error }:
		for _, inner := range err.Unwrap() {
			w.at(inner)
		}
	}
}

// text packs a text of the error.
func (e *errorPacking) text(p *pack.Packing, s *string) {
	if n := e.cut.text; !p.Reading() {
		*s = cutText(*s, orElse(n, maxErrorText))
	}
	pack.Text(p, s)
}

// stderr packs the end of what a process wrote there.
func (e *errorPacking) stderr(p *pack.Packing, s *string) {
	if !p.Reading() {
		n := orElse(e.cut.stderr, maxErrorText)
		if e.early {
			n = orElse(e.cut.earlier, n)
		}
		*s = cutText(*s, n)
		if n == 1 {
			*s = ""
		}
	}
	pack.Text(p, s)
}

func orElse(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// inner packs an error that the error holds, or nil.
func (e *errorPacking) inner(p *pack.Packing, err *error) {
	there := *err != nil && !e.cut.notInner
	pack.Flag(p, &there)
	if !there {
		return
	}
	one := errorPacking{err: *err, cut: e.cut, depth: e.depth + 1, early: e.early}
	one.Pack(p)
	*err = one.err
}

// list packs errors that the error holds: the last of them, of too many. missing is the number of
// those that are not there.
func (e *errorPacking) list(p *pack.Packing, errs *[]error, missing *int) {
	list := *errs
	if !p.Reading() {
		if most := orElse(e.cut.parts, maxErrorParts); len(list) > most {
			*missing += len(list) - most
			list = list[len(list)-most:]
		}
		list = slices.Clone(list) // what is cut, is cut there: others have the error, too
	}
	pack.Number(p, missing)
	at := 0
	n := len(list)
	pack.List(p, &list, func(p *pack.Packing, err *error) {
		if at++; at > maxErrorParts {
			p.Fail()
			return
		}
		if *err == nil && !p.Reading() {
			*err = errors.New("no error")
		}
		one := errorPacking{err: *err, cut: e.cut, depth: e.depth + 1, early: e.early || at < n}
		one.Pack(p)
		*err = one.err
	})
	if *missing < 0 || *missing > 1<<30 {
		p.Fail()
		*missing = 0
	}
	if p.Reading() {
		*errs = list
	}
}

// names packs the names that are known where an error was made, the first of too many.
func (e *errorPacking) names(p *pack.Packing, names *[]string) {
	if !p.Reading() && len(*names) > maxErrorParts {
		*names = append((*names)[:maxErrorParts:maxErrorParts], fmt.Sprintf("%d others", len(*names)-maxErrorParts))
	}
	*names = slices.Clone(*names)
	pack.List(p, names, func(p *pack.Packing, name *string) { e.text(p, name) })
	if len(*names) > maxErrorParts+1 {
		p.Fail()
		*names = nil
	}
}

// died packs the death of a worker, which may be missing.
func (e *errorPacking) died(p *pack.Packing, d **WorkerDiedError) {
	there := *d != nil
	pack.Flag(p, &there)
	if !there {
		*d = nil
		return
	}
	var v WorkerDiedError
	if *d != nil {
		v = **d
	}
	e.packDied(p, &v)
	*d = &v
}

func (e *errorPacking) packDied(p *pack.Packing, d *WorkerDiedError) {
	e.text(p, &d.Worker)
	pack.Number(p, &d.PID)
	pack.Number(p, &d.Life)
	pack.Number(p, &d.ExitCode)
	e.text(p, &d.Signal)
	pack.Flag(p, &d.CoreDump)
	e.text(p, &d.Reason)
	e.text(p, &d.During)
	e.text(p, &d.Stopped)
	pack.Number(p, &d.Uptime)
	e.stderr(p, &d.Stderr)
}

func (e *errorPacking) packLimit(p *pack.Packing, l *RestartLimitError) {
	e.text(p, &l.Worker)
	pack.Number(p, &l.Restarts)
	pack.Number(p, &l.Window)
	pack.Flag(p, &l.Permanent)
	var missing int
	e.list(p, &l.Causes, &missing)
	e.inner(p, &l.Err)
}

func (e *errorPacking) packRemote(p *pack.Packing, r *RemoteError) {
	e.text(p, &r.Worker)
	pack.Number(p, &r.PID)
	e.text(p, &r.Type)
	e.text(p, &r.Text)
	e.text(p, &r.GoType)
	pack.Flag(p, &r.final)
	pack.Number(p, &r.after)
	var set uint
	if !p.Reading() {
		set = sentinelsOf(errors.Join(r.is...))
	}
	r.is = e.sentinels(p, set)
	var missing int
	if e.list(p, &r.parts, &missing); p.Reading() {
		r.parts = slices.DeleteFunc(r.parts, func(part error) bool { return !isStd(part) })
	}
	e.packTraits(p, &r.traits)
	if p.Reading() {
		r.expect()
	}
	if r.after < 0 {
		r.after = 0
	}
}

// sentinels packs a set of sentinels, and returns them when it is read.
func (e *errorPacking) sentinels(p *pack.Packing, set uint) (is []error) {
	n := int(set)
	pack.Number(p, &n)
	if n < 0 || n >= 1<<len(wireSentinels) {
		p.Fail()
		return nil
	}
	for i, s := range wireSentinels {
		if n&(1<<i) != 0 {
			is = append(is, s)
		}
	}
	return is
}

func (e *errorPacking) packWrapped(p *pack.Packing) {
	var text string
	var set uint
	var inner []error
	if !p.Reading() {
		text, set, inner = e.err.Error(), sentinelsOf(e.err), wrappedBy(e.err)
	}
	e.text(p, &text)
	is := e.sentinels(p, set)
	var missing int
	e.list(p, &inner, &missing)
	if p.Reading() {
		e.err = &carriedError{text, append(is, inner...)}
	}
}

// packTraits packs what a RemoteError carries of registered errors. Where there is no room for
// them, only the text crosses.
func (e *errorPacking) packTraits(p *pack.Packing, t *traits) {
	if e.cut.notInner && !p.Reading() {
		*t = traits{}
	}
	pack.List(p, &t.Is, pack.Number)
	if !p.Reading() {
		t.Types = slices.Clone(t.Types)
	}
	pack.List(p, &t.Types, func(p *pack.Packing, typed *typedTrait) {
		pack.Number(p, &typed.Known)
		encoding, defs, data := int(typed.Payload.Encoding), int64(typed.Payload.Defs), string(typed.Payload.Data)
		pack.Number(p, &encoding)
		pack.Number(p, &defs)
		if pack.Text(p, &data); p.Reading() {
			typed.Payload = codec.Payload{Encoding: uint8(encoding), Defs: uint64(defs), Data: []byte(data)}
		} else {
			typed.Causes = slices.Clone(typed.Causes)
		}
		if pack.List(p, &typed.Causes, e.inner); len(typed.Causes) > maxErrorParts {
			p.Fail()
		}
	})
	if len(t.Types) > maxErrorParts {
		p.Fail()
	}
}

// sentinelError is one of the sentinels with the text that another process, or a more telling
// place, gave it.
type sentinelError struct {
	text string
	is   error
}

func (e *sentinelError) Error() string { return e.text }
func (e *sentinelError) Unwrap() error { return e.is }

// remote wraps an error that user code returned.
func (n *node) remote(typ string, err error) (remote error) {
	r := &RemoteError{Worker: n.name, Type: typ, Text: textOfError(err), GoType: fmt.Sprintf("%T", err)}
	defer guardError(err, func(string) { remote = r }) // with what has been found until then
	var s *steer
	if errors.As(err, &s) {
		r.final, r.after = s.final, s.after
		if s == err {
			err = s.err
		}
	}
	r.GoType = fmt.Sprintf("%T", err)
	r.is, r.parts = stdSentinelsOf(err), stdParts(err)
	r.traits = n.traits(err)
	r.expect()
	return r
}

// expect makes room for what the traits will be found to say.
func (e *RemoteError) expect() {
	if len(e.traits.Is)+len(e.traits.Types) > 0 {
		e.registered = &recognition{}
	}
}
