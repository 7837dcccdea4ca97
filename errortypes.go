package multiprolab

import (
	"reflect"
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
