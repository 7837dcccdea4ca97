package multiprolab

import (
	"errors"
	"reflect"
	"slices"
	"sync"

	"github.com/multiprolab/multiprolab/internal/codec"
)

// knownErrors are the errors that keep their identity and type on the way between processes. Both
// ends have the same ones in the same order, for they are registered before Run.
type knownErrors struct {
	list []error
}

// traits are what a RemoteError carries of errors that were registered. They travel with it.
type traits struct {
	Is    []int        // the registered errors that it matches with errors.Is
	Types []typedTrait // the registered errors whose types are in its tree
}

// typedTrait is an error of a registered type.
type typedTrait struct {
	Known   int           // the number of the registered error that has the type
	Payload codec.Payload // the error, without what is in its fields of type error
	Causes  []error       // what is in these, in the order of errorFields; nil where nothing is
}

// RegisterError lets errors keep what they are when a handler returns them in another process. A
// sentinel, such as sql.ErrNoRows, is matched by errors.Is again; a type, given by any value of it,
// is found by errors.As with its exported fields; the errors in these cross as others do. Call it
// before Run, so that main and workers do the same. Most of the standard library's need no
// registration: see RemoteError. All others arrive as the text of a RemoteError.
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
		typ := reflect.TypeOf(known)
		if slices.ContainsFunc(
			t.Types,
			func(o typedTrait) bool { return reflect.TypeOf(n.errors.list[o.Known]) == typ },
		) {
			continue // several sentinels are of one type
		}
		found := reflect.New(typ)
		if !errors.As(err, found.Interface()) || stdStructOf(known) >= 0 { // which need no registration
			continue
		}
		bare, causes := withoutCauses(found.Elem())
		if p, encodeErr := n.codec.Encode(bare); encodeErr == nil && len(p.Data) <= maxErrorText/2 {
			t.Types = append(t.Types, typedTrait{i, p, causes})
		}
	}
	return t
}

// errorFields returns where a struct type has exported fields of type error, in it and in its
// fields that are structs.
func errorFields(t reflect.Type) (found [][]int) {
	if t.Kind() != reflect.Struct || codec.EncodesItself(t) {
		return nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		switch {
		case !f.IsExported():
		case f.Type == reflect.TypeFor[error]():
			found = append(found, []int{i})
		case f.Type.Kind() == reflect.Struct:
			for _, inner := range errorFields(f.Type) {
				found = append(found, append([]int{i}, inner...))
			}
		}
	}
	return found
}

// withoutCauses returns an error whose fields of type error are nil, and what is in them: a cause
// is of any type, which no encoding knows. It is a copy if there are such fields.
func withoutCauses(v reflect.Value) (bare any, causes []error) {
	s := v
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		s = v.Elem()
	}
	fields := errorFields(s.Type())
	if len(fields) == 0 {
		return v.Interface(), nil
	}
	made := reflect.New(s.Type())
	made.Elem().Set(s)
	for _, f := range fields {
		field := made.Elem().FieldByIndex(f)
		cause, _ := field.Interface().(error)
		causes = append(causes, cause)
		field.SetZero()
	}
	if s == v {
		return made.Elem().Interface(), causes
	}
	return made.Interface(), causes
}

// withCauses puts the causes back.
func withCauses(v reflect.Value, causes []error) {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	for i, f := range errorFields(v.Type()) {
		if i < len(causes) && causes[i] != nil {
			v.FieldByIndex(f).Set(reflect.ValueOf(&causes[i]).Elem())
		}
	}
}

// warnOfErrors logs which registered types cannot cross. Main calls it once, at the start.
func (m *Main) warnOfErrors() {
	for _, known := range m.errors.list {
		t := reflect.TypeOf(known)
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		empty := t.Kind() == reflect.Struct && t.NumField() == 0
		if t.PkgPath() == "errors" || t.PkgPath() == "fmt" || empty || stdStructOf(known) >= 0 {
			continue // nothing but the identity has to cross, or it needs no registration
		}
		bare, _ := withoutCauses(reflect.New(t).Elem())
		if _, err := m.codec.Encode(bare); err != nil {
			m.cfg.Logger.Warn("multiprolab: RegisterError: errors.As will not find errors of this type, "+
				"for they cannot be sent; errors.Is finds the value itself",
				"type", reflect.TypeOf(known).String(), "error", brief(err))
		}
	}
}

// isNil reports whether an error that was decoded is none: a worker that lies can make it a pointer
// to nothing, whose methods would panic.
func isNil(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice, reflect.Func, reflect.Chan:
		return v.IsNil()
	}
	return false
}

// recognition is what a RemoteError matches of what is registered in this process. Several
// submissions may share the error, and others may send it on meanwhile: whoever needs it first
// fills it in.
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
	for _, typed := range t.Types {
		if typed.Known < 0 || typed.Known >= len(n.errors.list) {
			continue
		}
		v := reflect.New(reflect.TypeOf(n.errors.list[typed.Known]))
		if n.codec.Decode(typed.Payload, v.Interface()) != nil || isNil(v.Elem()) {
			continue
		}
		withCauses(v.Elem(), typed.Causes)
		if known, ok := v.Elem().Interface().(error); ok && stands(known) {
			r.is = append(r.is, known)
		}
	}
}

// stands reports whether the Error method of an error that was decoded does not panic: a worker
// that lies can have sent one that no honest worker has.
func stands(err error) (ok bool) {
	defer guardError(err, func(string) { ok = false })
	_ = err.Error()
	return true
}
