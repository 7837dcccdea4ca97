// Package errpack packs errors for the way from one process to another, and reads them again there.
//
// What was packed has a bounded size, whatever the error, so that a frame with an error always
// fits. When it is read, its depth and its lengths are bounded, too, because it may come from a
// worker that lies. An error keeps its text. Its type or its identity is kept by the errors that a
// Form knows, and by those of the standard library, in std.go; if another error wraps some of them,
// they cross beside its text. What an error of a user was besides its text is its Kept, in kept.go,
// with the errors that the program has registered. The room knows no error of the library itself: a
// Form names their types and fields.
package errpack

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/multiprolab/multiprolab/internal/pack"
	_ "github.com/multiprolab/multiprolab/internal/platform" // which says where multiprolab runs
	"github.com/multiprolab/multiprolab/internal/text"
)

const (
	// MaxSize is the greatest length of a packed error, in bytes.
	MaxSize = 64 << 10
	// MaxText is how many bytes of the text of one error cross.
	MaxText = 48 << 10
	// MaxDepth is how many levels deep errors may hold each other.
	MaxDepth = 8
	// MaxParts is the greatest number of attempts, causes or names in one error.
	MaxParts = 256
)

// errTooDeep stands for a part of an error that is too deep to cross, or malformed.
var errTooDeep = errors.New("and so on")

// Form is which errors cross as what they are, apart from most of those of the standard library.
// Both ends have the same Form, because they are the same program. It never changes, and any
// goroutine may use it.
type Form struct {
	// sentinels are the sentinels that keep their identity. An index in this list is the number of
	// the sentinel in a packed error.
	sentinels []error
	// types are the types that the Form was made with. An index in this list, plus firstType, is
	// the number of the type in a packed error.
	types []Type
	// byType finds the index of a type.
	byType map[reflect.Type]int
}

// Type is a type of errors that keep their type and their fields.
type Type struct {
	// of is the type.
	of reflect.Type
	// pack packs an error of the type.
	pack func(e *Packing, p *pack.Packing)
}

// TypeOf returns the type of the errors E, with a function that names their fields.
func TypeOf[T any, E interface {
	*T
	error
}](fields func(v *T) Fields) Type {
	return Type{reflect.TypeFor[E](), func(e *Packing, p *pack.Packing) {
		var v T
		if !p.Reading() {
			v = *e.err.(E) // texts are cut in the copy, and not in the error
		}
		fields(&v).pack(e, p)
		if p.Reading() {
			e.err = E(&v)
		}
	}}
}

// NewForm returns the form of these sentinels and types, and of the sentinels of the standard
// library.
func NewForm(sentinels []error, types ...Type) *Form {
	f := &Form{sentinels: append(sentinels[:len(sentinels):len(sentinels)], stdSentinels...), types: types,
		byType: map[reflect.Type]int{}}
	for i, t := range types {
		f.byType[t.of] = i
	}
	return f
}

// carriedError is an error that came from another process: its text, and the errors that it wrapped
// there and that keep their types. It exists in the process that it came to, and never changes.
type carriedError struct {
	text string  // the whole text of the error
	is   []error // the errors that it wraps
}

func (e *carriedError) Error() string   { return e.text }
func (e *carriedError) Unwrap() []error { return e.is }

// Carried returns an error with this text that wraps these errors.
func Carried(text string, is ...error) error { return &carriedError{text, is} }

// Cut is how much of an error is written. The zero value writes all of it. It never changes.
type Cut struct {
	Text    int  // how many bytes of each text; 0 means MaxText
	Stderr  int  // how many bytes of the stderr of the last attempt; 0 means MaxText, 1 means none
	Earlier int  // how many bytes of the stderr of each earlier attempt; 0 means Stderr, 1 means none
	Parts   int  // how many attempts and causes, the last of them; 0 means MaxParts
	Bare    bool // no error that the error wraps
}

// cuts are tried until an error fits: first the earlier attempts lose their stderr, then the
// last attempt loses it, then there are fewer attempts.
var cuts = []Cut{
	{},
	{Earlier: 1 << 10},
	{Earlier: 1},
	{Text: 8 << 10, Earlier: 1, Stderr: 16 << 10},
	{Text: 1 << 10, Earlier: 1, Stderr: 4 << 10},
	{Text: 1 << 10, Earlier: 1, Stderr: 1 << 10, Parts: 16},
	{Text: 256, Earlier: 1, Stderr: 1, Parts: 2},
	{Text: 256, Earlier: 1, Stderr: 1, Parts: 1, Bare: true},
}

// Marshal packs an error, in at most MaxSize bytes.
func (f *Form) Marshal(err error) (b []byte) {
	defer Guard(err, func(text string) { b = f.MarshalCut(errors.New(text), Cut{}) })
	for _, cut := range cuts {
		if b := f.MarshalCut(err, cut); len(b) <= MaxSize {
			return b
		}
	}
	return f.MarshalCut(errors.New(text.Cut(Text(err), 256)), Cut{})
}

// MarshalCut packs only so much of an error. If a method of the error panics, it panics.
func (f *Form) MarshalCut(err error, cut Cut) []byte {
	return pack.Marshal(&Packing{form: f, err: err, cut: cut})
}

// Guard is deferred where the methods of a user's error are called: if one panics, it calls
// otherwise with a text that says so. An error is a value like any other, and must not end main.
func Guard(err error, otherwise func(text string)) {
	if r := recover(); r != nil {
		otherwise(text.Cut(fmt.Sprintf("an error of type %T, whose methods panic: %v", err, r), MaxText/2))
	}
}

// Text returns err.Error() or, if that panics, a text that says so.
func Text(err error) (s string) {
	defer Guard(err, func(otherwise string) { s = otherwise })
	return err.Error()
}

// Unmarshal reads what Marshal wrote, from a process that is not to be trusted. It never returns a
// nil error in err. If what was written cannot be read, that is the second error.
func (f *Form) Unmarshal(b []byte) (err, broken error) {
	e := Packing{form: f}
	if broken := pack.Unmarshal(b, &e); broken != nil {
		return errTooDeep, broken
	}
	return e.err, nil
}
