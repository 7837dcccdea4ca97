package multiprolab

import (
	"errors"
	"reflect"

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

// recognise gives a RemoteError back what was registered of it.
func (n *node) recognise(err error) error {
	var r *RemoteError
	if !errors.As(err, &r) || r.recognised {
		return err
	}
	r.recognised = true
	for _, i := range r.traits.Is[:min(len(r.traits.Is), len(n.errors.list))] {
		if i >= 0 && i < len(n.errors.list) {
			r.is = append(r.is, n.errors.list[i])
		}
	}
	if i := r.traits.Type - 1; i >= 0 && i < len(n.errors.list) && r.traits.Payload != nil {
		v := reflect.New(reflect.TypeOf(n.errors.list[i]))
		if n.codec.Decode(*r.traits.Payload, v.Interface()) == nil && !isNil(v.Elem()) {
			if e, ok := v.Elem().Interface().(error); ok {
				r.is = append(r.is, e)
			}
		}
	}
	return err
}
