package multiprolab

import (
	"errors"
	"math/bits"
	"slices"
	"syscall"
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
