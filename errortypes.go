package multiprolab

import (
	"reflect"
	"sync"

	"github.com/multiprolab/multiprolab/internal/codec"
)

// This file is how errors that a user has registered keep their identity and type on the way
// between processes, by their numbers. Which errors of the standard library do so is in
// internal/errpack.

// knownErrors are the errors that were registered. They exist in both processes, and are the same
// in the same order, because they are registered before Run. They do not change after that.
type knownErrors struct {
	list []error // the registered errors, by their numbers
}

// traits are what a RemoteError carries of registered errors. They travel with it.
type traits struct {
	Is    []int        // the numbers of the registered errors that it matches with errors.Is
	Types []typedTrait // the errors in its tree whose types were registered
}

// typedTrait is an error of a registered type.
type typedTrait struct {
	Known   int           // the number of the registered error that has the type
	Payload codec.Payload // the error, encoded, with nil in its fields of type error
	Causes  []error       // the values of its fields of type error, in the order of errorFields; may be nil
}

// errorFields returns the indexes of the exported fields of type error that a struct type has,
// itself or in its fields that are structs.
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

// withoutCauses returns an error with nil in its fields of type error, and the values of these
// fields: a cause may be of any type, which no encoding knows. If there are such fields, the error
// is a copy.
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

// withCauses puts the causes into the fields of type error again.
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

// isNil reports whether an error that was decoded holds nil: a worker that lies can make it a nil
// pointer, whose methods would panic.
func isNil(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice, reflect.Func, reflect.Chan:
		return v.IsNil()
	}
	return false
}

// recognition is the errors registered in this process that a RemoteError matches. Several
// submissions may share the error while others send it on: so whoever needs the recognition first
// fills it in. Any goroutine may use it.
type recognition struct {
	mu   sync.Mutex // guards done and is
	done bool       // the recognition was filled in
	is   []error    // the errors that the RemoteError matches
}

// found returns the errors, if they were filled in. r may be nil.
func (r *recognition) found() []error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.is
}
