package multiprolab

import (
	"errors"
	"reflect"
	"sync"

	"github.com/multiprolab/multiprolab/internal/codec"
)

// knownErrors are the errors that keep their identity and type on the way between processes. Both ends have the same ones in the same order, for they
// are registered before Run.
type knownErrors struct {
	list []error
}

// traits are what a RemoteError carries of an error that was registered. They travel with it.
type traits struct {
	Is      []int          // the registered errors that it matches with errors.Is
	Type    int            // 1 + the registered error whose type is in its chain; 0: none
	Payload *codec.Payload // the error of this type
}

// RegisterError lets errors keep what they are when a handler returns them in another process. A sentinel, such as io.EOF, is matched by errors.Is again; a
// type, given by any value of it, is found by errors.As with its exported fields. Call it before Run, so that main and workers do the same. Others arrive as the text
// of a RemoteError.
func (m *Main) RegisterError(errs ...error) {
	m.lifeMu.Lock()
	defer m.lifeMu.Unlock()
	if m.state != mainNew {
		registrationPanic("RegisterError is called after Run or Start: call it before (%s)", callSite())
	}
	for _, err := range errs {
		if err == nil {
			registrationPanic("RegisterError: an error is nil (%s)", callSite())
		}
		m.errors.list = append(m.errors.list, err)
	}
}

// traits finds out what is registered of an error.
func (n *node) traits(err error) (t traits) {
	for i, known := range n.errors.list {
		if errors.Is(err, known) {
			t.Is = append(t.Is, i)
		}
		if t.Type != 0 {
			continue
		}
		found := reflect.New(reflect.TypeOf(known))
		if !errors.As(err, found.Interface()) {
			continue
		}
		if p, encodeErr := n.codec.Encode(found.Elem().Interface()); encodeErr == nil && len(p.Data) <= maxErrorText/2 {
			t.Type, t.Payload = 1+i, &p
		}
	}
	return t
}

// isNil reports whether an error that was decoded is none: a worker that lies can make it a pointer to nothing, whose methods would panic.
func isNil(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice, reflect.Func, reflect.Chan:
		return v.IsNil()
	}
	return false
}

// recognition is what a RemoteError matches of what is registered in this process. Several submissions may share the
// error, and others may send it on meanwhile: whoever needs it first fills it in.
type recognition struct {
	mu   sync.Mutex
	done bool
	is   []error
}

func (r *recognition) found() []error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.is
}

// recognise gives every RemoteError in an error back what was registered of it.
func (n *node) recognise(err error) error {
	switch e := err.(type) {
	case *RemoteError:
		if e != nil && e.registered != nil {
			n.fillIn(e)
		}
	case *AttemptsError: // which unwraps the last of them alone
		if e != nil {
			for _, attempt := range e.Attempts {
				n.recognise(attempt)
			}
		}
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			n.recognise(inner)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			n.recognise(inner)
		}
	}
	return err
}

func (n *node) fillIn(e *RemoteError) {
	r, t := e.registered, e.traits
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done {
		return
	}
	r.done = true
	for _, i := range t.Is[:min(len(t.Is), len(n.errors.list))] {
		if i >= 0 && i < len(n.errors.list) {
			r.is = append(r.is, n.errors.list[i])
		}
	}
	if i := t.Type - 1; i >= 0 && i < len(n.errors.list) && t.Payload != nil {
		v := reflect.New(reflect.TypeOf(n.errors.list[i]))
		if n.codec.Decode(*t.Payload, v.Interface()) == nil && !isNil(v.Elem()) {
			if known, ok := v.Elem().Interface().(error); ok {
				r.is = append(r.is, known)
			}
		}
	}
}
