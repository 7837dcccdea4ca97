package errpack

import (
	"errors"
	"reflect"
	"slices"
	"syscall"

	"github.com/multiprolab/multiprolab/internal/pack"
)

// kind is as what an error crosses.
type kind int

// The kinds that every Form has.
const (
	textError      kind = iota // only a text
	wrappedError               // a text, and the sentinels and errors that the error wraps
	stdStructError             // one of the standard library's errors in stdStructs
	errnoError                 // a syscall.Errno
	netClosedError             // net.ErrClosed
	sentinelItself             // one of the sentinels of the form
	firstType                  // the first of the types of the form; the others follow
)

// Packing is an error that is being written or read. One goroutine uses it.
type Packing struct {
	form  *Form // the form
	err   error // the error; nil until it has been read
	cut   Cut   // how much of the error is written
	depth int   // how many errors hold the error, one within the other
	early bool  // the error belongs to an earlier attempt, and not to the last
}

// Pack describes the layout of the error.
func (e *Packing) Pack(p *pack.Packing) {
	switch {
	case e.depth > MaxDepth && !p.Reading():
		e.err = errTooDeep
	case e.depth > MaxDepth+1: // only what stands for the rest may be that deep
		p.Fail()
		e.err = errTooDeep
	}
	k := textError
	if !p.Reading() {
		k = e.classify()
	}
	pack.Number(p, &k)
	switch k {
	case textError:
		var text string
		if !p.Reading() {
			text = Text(e.err)
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
		number := slices.IndexFunc(e.form.sentinels, func(s error) bool { return s == e.err })
		pack.Number(p, &number)
		if number < 0 || number >= len(e.form.sentinels) {
			p.Fail()
			break
		}
		e.err = e.form.sentinels[number]
	default:
		if i := int(k - firstType); i >= 0 && i < len(e.form.types) {
			e.form.types[i].pack(e, p)
		} else {
			p.Fail()
		}
	}
	if e.err == nil { // what was read is malformed
		e.err = errTooDeep
	}
}

// classify returns the kind as which the error is written. If a user's error wraps an error of a
// type of the form, it is a wrappedError, with the user's text. A typed nil, whose fields nobody
// can read, is a textError.
func (e *Packing) classify() kind {
	if i, ok := e.form.byType[reflect.TypeOf(e.err)]; ok {
		if reflect.ValueOf(e.err).IsNil() {
			return textError
		}
		return firstType + kind(i)
	}
	switch err := e.err.(type) {
	case *structError:
		if err == nil {
			return textError
		}
		return stdStructError
	case *closedError:
		return netClosedError
	case syscall.Errno:
		return errnoError
	}
	switch {
	case slices.ContainsFunc(e.form.sentinels, func(s error) bool { return s == e.err }):
		return sentinelItself
	case stdStructOf(e.err) >= 0:
		return stdStructError
	case isNetClosed(e.err):
		return netClosedError
	}
	if !e.cut.Bare && len(e.form.wrappedBy(e.err))+len(e.form.sentinelsOf(e.err)) > 0 {
		return wrappedError
	}
	return textError
}

// sentinelsOf returns the numbers of the sentinels that the error matches.
func (f *Form) sentinelsOf(err error) (numbers []int) {
	for i, s := range f.sentinels {
		if errors.Is(err, s) {
			numbers = append(numbers, i)
		}
	}
	return numbers
}

// wrappedBy returns the errors that an error wraps and whose types can cross the wire: from each
// branch of its tree the outermost.
func (f *Form) wrappedBy(err error) []error {
	w := walk{fits: func(inner error) bool {
		k := (&Packing{form: f, err: inner, cut: Cut{Bare: true}}).classify()
		return k != textError && k != sentinelItself // sentinelsOf finds the sentinels
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
	if w.looks++; err == nil || w.looks > 4*MaxParts || len(w.found) == MaxParts {
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
