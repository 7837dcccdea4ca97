package errpack

import (
	"errors"
	"fmt"
	"slices"

	"github.com/multiprolab/multiprolab/internal/pack"
)

// This file is how the parts of an error are packed: its texts, and the errors that it holds.

// Text packs a text of the error.
func (e *Packing) Text(p *pack.Packing, s *string) {
	if n := e.cut.Text; !p.Reading() {
		*s = cutText(*s, orElse(n, MaxText))
	}
	pack.Text(p, s)
}

// Stderr packs the end of what a process has written to its stderr.
func (e *Packing) Stderr(p *pack.Packing, s *string) {
	if !p.Reading() {
		n := orElse(e.cut.Stderr, MaxText)
		if e.early {
			n = orElse(e.cut.Earlier, n)
		}
		*s = cutText(*s, n)
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

// Inner packs an error that the error holds, or nil.
func (e *Packing) Inner(p *pack.Packing, err *error) {
	there := *err != nil && !e.cut.Bare
	pack.Flag(p, &there)
	if !there {
		return
	}
	one := Packing{form: e.form, err: *err, cut: e.cut, depth: e.depth + 1, early: e.early}
	one.Pack(p)
	*err = one.err
}

// List packs errors that the error holds; if there are too many, the last of them. It adds to
// missing how many it leaves out.
func (e *Packing) List(p *pack.Packing, errs *[]error, missing *int) {
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

// Names packs the names that were known in the process that has made the error; if there are too
// many, the first of them.
func (e *Packing) Names(p *pack.Packing, names *[]string) {
	if !p.Reading() && len(*names) > MaxParts {
		*names = append((*names)[:MaxParts:MaxParts], fmt.Sprintf("%d others", len(*names)-MaxParts))
	}
	*names = slices.Clone(*names)
	pack.List(p, names, func(p *pack.Packing, name *string) { e.Text(p, name) })
	if len(*names) > MaxParts+1 {
		p.Fail()
		*names = nil
	}
}

// Sentinels packs the sentinels of the form that are among these errors, or are wrapped by them,
// and returns those that were written or read.
func (e *Packing) Sentinels(p *pack.Packing, among []error) (is []error) {
	var numbers []int
	if !p.Reading() {
		numbers = e.form.sentinelsOf(errors.Join(among...))
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
	e.Text(p, &text)
	is := e.sentinels(p, numbers)
	var missing int
	e.List(p, &inner, &missing)
	if p.Reading() {
		e.err = &carriedError{text, append(is, inner...)}
	}
}
