package errpack

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/multiprolab/multiprolab/internal/pack"
	"github.com/multiprolab/multiprolab/internal/text"
)

// This file is how the parts of an error are packed: its texts, and the errors that it holds.

// Fields are the fields of an error in the order in which they are packed. Each is a pointer to a
// string, a number, a bool, an error, a list of errors or of names, or a Kept; or it is a Layout.
type Fields []any

// Layout packs a field for which a pointer to it does not say enough.
type Layout func(e *Packing, p *pack.Packing)

// Stderr is a field with the end of what a process has written to its stderr.
func Stderr(s *string) Layout { return func(e *Packing, p *pack.Packing) { e.stderr(p, s) } }

// Last is a field with a list of errors, of which only the last cross if there are too many. How
// many do not is added to missing.
func Last(errs *[]error, missing *int) Layout {
	return func(e *Packing, p *pack.Packing) { e.list(p, errs, missing) }
}

// Held is a field that holds an error of one type, with these fields, or nil.
func Held[T any](held **T, fields func(v *T) Fields) Layout {
	return func(e *Packing, p *pack.Packing) {
		there := *held != nil
		if pack.Flag(p, &there); !there {
			return
		}
		var v T
		if *held != nil {
			v = **held
		}
		fields(&v).pack(e, p)
		*held = &v
	}
}

// Printed is a field of any type, which crosses as its text.
func Printed(v *any) Layout {
	return func(e *Packing, p *pack.Packing) {
		var s string
		if !p.Reading() {
			s = fmt.Sprint(*v)
		}
		if e.text(p, &s); p.Reading() {
			*v = s
		}
	}
}

// Signal is a field with a signal, which crosses by its number.
func Signal(v *os.Signal) Layout {
	return func(_ *Packing, p *pack.Packing) {
		s, _ := (*v).(syscall.Signal)
		n := int(s)
		pack.Number(p, &n)
		*v = syscall.Signal(n)
	}
}

// pack packs the fields.
func (f Fields) pack(e *Packing, p *pack.Packing) {
	for _, field := range f {
		switch field := field.(type) {
		case *string:
			e.text(p, field)
		case *int:
			pack.Number(p, field)
		case *int64:
			pack.Number(p, field)
		case *time.Duration:
			pack.Number(p, field)
		case *bool:
			pack.Flag(p, field)
		case *error:
			e.inner(p, field)
		case *[]error:
			e.list(p, field, new(int))
		case *[]string:
			e.names(p, field)
		case *Kept:
			field.pack(e, p)
		case Layout:
			field(e, p)
		default:
			panic(fmt.Sprintf("errpack: nobody knows how to pack a %T", field))
		}
	}
}

// text packs a text of the error.
func (e *Packing) text(p *pack.Packing, s *string) {
	if n := e.cut.Text; !p.Reading() {
		*s = text.Cut(*s, orElse(n, MaxText))
	}
	pack.Text(p, s)
}

// stderr packs the end of what a process has written to its stderr.
func (e *Packing) stderr(p *pack.Packing, s *string) {
	if !p.Reading() {
		n := orElse(e.cut.Stderr, MaxText)
		if e.early {
			n = orElse(e.cut.Earlier, n)
		}
		*s = text.Cut(*s, n)
		if n == 1 {
			*s = ""
		}
	}
	pack.Text(p, s)
}

// orElse returns n or, if that is 0, otherwise.
func orElse(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// inner packs an error that the error holds, or nil.
func (e *Packing) inner(p *pack.Packing, err *error) {
	there := *err != nil && !e.cut.Bare
	pack.Flag(p, &there)
	if !there {
		return
	}
	one := Packing{form: e.form, err: *err, cut: e.cut, depth: e.depth + 1, early: e.early}
	one.Pack(p)
	*err = one.err
}

// list packs errors that the error holds; if there are too many, the last of them. It adds to
// missing how many it leaves out.
func (e *Packing) list(p *pack.Packing, errs *[]error, missing *int) {
	list := *errs
	if !p.Reading() {
		if most := orElse(e.cut.Parts, MaxParts); len(list) > most {
			*missing += len(list) - most
			list = list[len(list)-most:]
		}
		list = slices.Clone(list) // the clone is changed, and not the error, which others have, too
	}
	pack.Number(p, missing)
	at := 0
	n := len(list)
	pack.List(p, &list, func(p *pack.Packing, err *error) {
		if at++; at > MaxParts {
			p.Fail()
			return
		}
		if *err == nil && !p.Reading() {
			*err = errors.New("no error")
		}
		one := Packing{form: e.form, err: *err, cut: e.cut, depth: e.depth + 1, early: e.early || at < n}
		one.Pack(p)
		*err = one.err
	})
	if *missing < 0 || *missing > 1<<30 {
		p.Fail()
		*missing = 0
	}
	if p.Reading() {
		*errs = list
	}
}

// names packs the names that were known in the process that has made the error; if there are too
// many, the first of them.
func (e *Packing) names(p *pack.Packing, names *[]string) {
	if !p.Reading() && len(*names) > MaxParts {
		*names = append((*names)[:MaxParts:MaxParts], fmt.Sprintf("%d others", len(*names)-MaxParts))
	}
	*names = slices.Clone(*names)
	pack.List(p, names, func(p *pack.Packing, name *string) { e.text(p, name) })
	if len(*names) > MaxParts+1 {
		p.Fail()
		*names = nil
	}
}

// among packs the sentinels of the form that are among these errors, or are wrapped by them,
// and returns those that were written or read.
func (e *Packing) among(p *pack.Packing, errs []error) (is []error) {
	var numbers []int
	if !p.Reading() {
		numbers = e.form.sentinelsOf(errors.Join(errs...))
	}
	return e.sentinels(p, numbers)
}

// sentinels packs the numbers of sentinels, see sentinelsOf, and returns those that were written or
// read.
func (e *Packing) sentinels(p *pack.Packing, numbers []int) (is []error) {
	pack.List(p, &numbers, func(p *pack.Packing, n *int) {
		pack.Number(p, n)
		if *n < 0 || *n >= len(e.form.sentinels) || len(is) == len(e.form.sentinels) {
			p.Fail()
			return
		}
		is = append(is, e.form.sentinels[*n])
	})
	return is
}

// packWrapped packs a wrappedError.
func (e *Packing) packWrapped(p *pack.Packing) {
	var text string
	var numbers []int
	var inner []error
	if !p.Reading() {
		text, numbers, inner = e.err.Error(), e.form.sentinelsOf(e.err), e.form.wrappedBy(e.err)
	}
	e.text(p, &text)
	is := e.sentinels(p, numbers)
	var missing int
	e.list(p, &inner, &missing)
	if p.Reading() {
		e.err = &carriedError{text, append(is, inner...)}
	}
}
