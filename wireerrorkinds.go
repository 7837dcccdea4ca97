package multiprolab

import (
	"errors"
	"math/bits"
	"slices"
	"syscall"
)

// This file is the kinds of errors on the wire, and how the kind of an error is found.

// errorKind is as what an error travels on the wire.
type errorKind int

// The kinds. Those without a comment are the exported type of nearly the same name.
const (
	textError    errorKind = iota // only a text
	wrappedError                  // a text, and the sentinels and errors that the error wraps
	remoteError
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
	stdStructError // one of the standard library's errors in stdStructs
	errnoError     // a syscall.Errno
	netClosedError // net.ErrClosed
	sentinelItself // one of wireSentinels
)

// classify returns the kind as which the error is written. If a user's error wraps an error of an
// exported type, it is a wrappedError, with the user's text.
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

// orText returns the kind if ok is set. Otherwise the error is a typed nil, whose fields nobody can
// read, and the kind is textError.
func orText(ok bool, kind errorKind) errorKind {
	if ok {
		return kind
	}
	return textError
}

// sentinelsOf returns the sentinels that the error matches, as a set of bits, each with the number
// of a sentinel.
func sentinelsOf(err error) (set uint) {
	for i, s := range wireSentinels {
		if errors.Is(err, s) {
			set |= 1 << i
		}
	}
	return set
}

// wrappedBy returns the errors that an error wraps and whose types can cross the wire: from each
// branch of its tree the outermost.
func wrappedBy(err error) []error {
	w := walk{fits: func(inner error) bool {
		kind := (&errorPacking{err: inner, cut: errorCut{notInner: true}}).classify()
		return kind != textError && kind != sentinelItself // sentinelsOf finds the sentinels
	}}
	w.into(err)
	return w.found
}

// walk goes through the tree of an error and finds the errors that fit: from each branch the
// outermost. One goroutine uses it.
type walk struct {
	fits  func(error) bool // reports whether an error fits
	found []error          // the errors that were found
	looks int              // how many errors were looked at; bounded, because a tree may hold itself
}

// at looks at an error and, if it does not fit, at the errors that it wraps.
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

// into looks at the errors that an error wraps.
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
