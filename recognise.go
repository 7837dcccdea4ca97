package multiprolab

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/multiprolab/multiprolab/internal/errpack"
)

// This file is how a RemoteError is made of a user's error in one process, and how another process
// finds in it the errors that were registered with Main.RegisterError.

// traits finds the registered errors, and the errors of registered types, that an error is or
// wraps.
func (v *values) traits(err error) (t traits) {
	for i, known := range v.errors.list {
		if errors.Is(err, known) {
			t.Is = append(t.Is, i)
		}
		typ := reflect.TypeOf(known)
		if slices.ContainsFunc(t.Types,
			func(o typedTrait) bool { return reflect.TypeOf(v.errors.list[o.Known]) == typ }) {
			continue // another registered error is of the same type
		}
		found := reflect.New(typ)
		if !errors.As(err, found.Interface()) || errpack.IsStdStruct(known) { // the latter cross without registration
			continue
		}
		bare, causes := withoutCauses(found.Elem())
		if p, encodeErr := v.codec.Encode(bare); encodeErr == nil && len(p.Data) <= errpack.MaxText/2 {
			t.Types = append(t.Types, typedTrait{i, p, causes})
		}
	}
	return t
}

// recognise fills in the registered errors of every RemoteError in an error, and returns the error.
func (v *values) recognise(err error) error {
	switch e := err.(type) {
	case *RemoteError:
		if e != nil && e.registered != nil {
			v.fillIn(e)
		}
	case *AttemptsError: // its Unwrap returns only the last attempt
		if e != nil {
			for _, attempt := range e.Attempts {
				v.recognise(attempt)
			}
		}
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			v.recognise(inner)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			v.recognise(inner)
		}
	}
	return err
}

// fillIn fills in the registered errors of a RemoteError, unless somebody has done so.
func (v *values) fillIn(e *RemoteError) {
	r, t := e.registered, e.traits
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done {
		return
	}
	r.done = true
	for _, i := range t.Is[:min(len(t.Is), len(v.errors.list))] {
		if i >= 0 && i < len(v.errors.list) {
			r.is = append(r.is, v.errors.list[i])
		}
	}
	for _, typed := range t.Types {
		if typed.Known < 0 || typed.Known >= len(v.errors.list) {
			continue
		}
		found := reflect.New(reflect.TypeOf(v.errors.list[typed.Known]))
		if v.codec.Decode(typed.Payload, found.Interface()) != nil || isNil(found.Elem()) {
			continue
		}
		withCauses(found.Elem(), typed.Causes)
		if known, ok := found.Elem().Interface().(error); ok && stands(known) {
			r.is = append(r.is, known)
		}
	}
}

// stands reports whether the Error method of an error that was decoded does not panic: a worker
// that lies can have sent an error that no honest worker has.
func stands(err error) (ok bool) {
	defer errpack.Guard(err, func(string) { ok = false })
	_ = err.Error()
	return true
}

// remote makes the RemoteError of an error that user code has returned.
func (v *values) remote(typ string, err error) (remote error) {
	r := &RemoteError{Worker: v.name(), Type: typ, Text: errpack.Text(err), GoType: fmt.Sprintf("%T", err)}
	defer errpack.Guard(err, func(string) { remote = r }) // if a method panics, with what was found until then
	var s *steer
	if errors.As(err, &s) {
		r.final, r.after = s.final, s.after
		if s == err {
			err = s.err
		}
	}
	r.GoType = fmt.Sprintf("%T", err)
	r.is, r.parts = errpack.StdSentinelsOf(err), errpack.StdParts(err)
	r.traits = v.traits(err)
	r.expect()
	return r
}
