package errpack

import (
	"errors"
	"iter"
	"reflect"
	"slices"
	"sync"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/pack"
)

// This file is what an error of a user keeps when it crosses as a text: the errors of the standard
// library in it, and those that the program has registered, which cross by their numbers.

// Known are the errors that a program has registered, by their numbers. They exist in both
// processes, and are the same in the same order, because they are registered before a worker
// starts. They do not change after that.
type Known []error

// Kept is what an error of a user was besides its text. It travels with the text. Copies of it are
// one: what one of them recognises is found in all.
type Kept struct {
	is    []error // the standard library's sentinels that the original matched; does not change
	parts []error // the standard library's errors that the original was or wrapped; does not change
	known []int   // the numbers of the registered errors that the original matched; does not change
	typed []typed // the errors in its tree whose types were registered; does not change
	// found is the registered errors that known and typed stand for in this process; nil if there
	// are none.
	found *recognition
}

// typed is an error of a registered type.
type typed struct {
	known   int           // the number of the registered error that has the type
	payload codec.Payload // the error, encoded, with nil in its fields of type error
	causes  []error       // the values of its fields of type error, in the order of errorFields; may be nil
}

// recognition is the errors registered in this process that a Kept stands for. Several submissions
// may share the error while others send it on: so whoever needs the recognition first fills it in.
// Any goroutine may use it.
type recognition struct {
	mu   sync.Mutex // guards done and is
	done bool       // the recognition was filled in
	is   []error    // the errors that the original matched
}

// Errors returns what an error with this Kept wraps.
func (k *Kept) Errors() []error {
	var found []error
	if r := k.found; r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		found = r.is
	}
	return slices.Concat(k.is, k.parts, found)
}

// Forget takes the registered errors out, for a process that may have registered others.
func (k *Kept) Forget() { k.known, k.typed, k.found = nil, nil, nil }

// expect makes room for the registered errors that k stands for, if there are any.
func (k *Kept) expect() {
	if len(k.known)+len(k.typed) > 0 {
		k.found = &recognition{}
	}
}

// pack packs what is kept. If there is no room for the registered errors, only the others cross.
func (k *Kept) pack(e *Packing, p *pack.Packing) {
	k.is = slices.DeleteFunc(e.among(p, k.is), func(is error) bool { return !slices.Contains(stdSentinels, is) })
	e.list(p, &k.parts, new(int))
	if p.Reading() {
		k.parts = slices.DeleteFunc(k.parts, func(part error) bool { return !isStd(part) })
	} else if e.cut.Bare {
		k.known, k.typed = nil, nil
	}
	pack.List(p, &k.known, pack.Number)
	if !p.Reading() {
		k.typed = slices.Clone(k.typed)
	}
	pack.List(p, &k.typed, func(p *pack.Packing, t *typed) {
		pack.Number(p, &t.known)
		encoding, defs, data := int(t.payload.Encoding), int64(t.payload.Defs), string(t.payload.Data)
		pack.Number(p, &encoding)
		pack.Number(p, &defs)
		if pack.Text(p, &data); p.Reading() {
			t.payload = codec.Payload{Encoding: uint8(encoding), Defs: uint64(defs), Data: []byte(data)}
		} else {
			t.causes = slices.Clone(t.causes)
		}
		if pack.List(p, &t.causes, e.inner); len(t.causes) > MaxParts {
			p.Fail()
		}
	})
	if len(k.typed) > MaxParts {
		p.Fail()
	}
	if p.Reading() {
		k.expect()
	}
}

// Keep notes in k what an error is besides its text. If a method of the error panics, Keep does,
// and k has what was found until then.
func (list Known) Keep(k *Kept, err error, c *codec.Codec) {
	k.is, k.parts = stdSentinelsOf(err), stdParts(err)
	for i, known := range list {
		if errors.Is(err, known) {
			k.known = append(k.known, i)
		}
		typ := reflect.TypeOf(known)
		if slices.ContainsFunc(k.typed, func(o typed) bool { return reflect.TypeOf(list[o.known]) == typ }) {
			continue // another registered error is of the same type
		}
		found := reflect.New(typ)
		if !errors.As(err, found.Interface()) || stdStructOf(known) >= 0 { // the latter cross without registration
			continue
		}
		bare, causes := withoutCauses(found.Elem())
		if p, encodeErr := c.Encode(bare); encodeErr == nil && len(p.Data) <= MaxText/2 {
			k.typed = append(k.typed, typed{i, p, causes})
		}
	}
	k.expect()
}

// Recognise finds the registered errors that k stands for, unless somebody has done so.
func (list Known) Recognise(k *Kept, c *codec.Codec) {
	r := k.found
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done {
		return
	}
	r.done = true
	for _, i := range k.known[:min(len(k.known), len(list))] {
		if i >= 0 && i < len(list) {
			r.is = append(r.is, list[i])
		}
	}
	for _, t := range k.typed {
		if t.known < 0 || t.known >= len(list) {
			continue
		}
		found := reflect.New(reflect.TypeOf(list[t.known]))
		if c.Decode(t.payload, found.Interface()) != nil || isNil(found.Elem()) { // a nil pointer's methods would panic
			continue
		}
		withCauses(found.Elem(), t.causes)
		if known, ok := found.Elem().Interface().(error); ok && stands(known) {
			r.is = append(r.is, known)
		}
	}
}

// stands reports whether the Error method of an error that was decoded does not panic: a worker
// that lies can have sent an error that no honest worker has.
func stands(err error) (ok bool) {
	defer Guard(err, func(string) { ok = false })
	_ = err.Error()
	return true
}

// Unsendable returns the registered errors of whose types none crosses, with the reason, apart from
// those that have nothing to send but what they are.
func (list Known) Unsendable(c *codec.Codec) iter.Seq2[error, error] {
	return func(yield func(known, why error) bool) {
		for _, known := range list {
			t := reflect.TypeOf(known)
			if t.Kind() == reflect.Pointer {
				t = t.Elem()
			}
			empty := t.Kind() == reflect.Struct && t.NumField() == 0
			if t.PkgPath() == "errors" || t.PkgPath() == "fmt" || empty || stdStructOf(known) >= 0 {
				continue
			}
			bare, _ := withoutCauses(reflect.New(t).Elem())
			if _, err := c.Encode(bare); err != nil && !yield(known, err) {
				return
			}
		}
	}
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
