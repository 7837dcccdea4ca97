package multiprolab

import (
	"errors"
	"fmt"
	"slices"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/pack"
)

// This file is how the parts of an error are packed: its texts, the errors that it holds, and the
// fields of types that need more than a few lines.

// text packs a text of the error.
func (e *errorPacking) text(p *pack.Packing, s *string) {
	if n := e.cut.text; !p.Reading() {
		*s = cutText(*s, orElse(n, maxErrorText))
	}
	pack.Text(p, s)
}

// stderr packs the end of what a process has written to its stderr.
func (e *errorPacking) stderr(p *pack.Packing, s *string) {
	if !p.Reading() {
		n := orElse(e.cut.stderr, maxErrorText)
		if e.early {
			n = orElse(e.cut.earlier, n)
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

// inner packs an error that the error holds, or nil.
func (e *errorPacking) inner(p *pack.Packing, err *error) {
	there := *err != nil && !e.cut.notInner
	pack.Flag(p, &there)
	if !there {
		return
	}
	one := errorPacking{err: *err, cut: e.cut, depth: e.depth + 1, early: e.early}
	one.Pack(p)
	*err = one.err
}

// list packs errors that the error holds; if there are too many, the last of them. It adds to
// missing how many it leaves out.
func (e *errorPacking) list(p *pack.Packing, errs *[]error, missing *int) {
	list := *errs
	if !p.Reading() {
		if most := orElse(e.cut.parts, maxErrorParts); len(list) > most {
			*missing += len(list) - most
			list = list[len(list)-most:]
		}
		list = slices.Clone(list) // the clone is changed, and not the error, which others have, too
	}
	pack.Number(p, missing)
	at := 0
	n := len(list)
	pack.List(p, &list, func(p *pack.Packing, err *error) {
		if at++; at > maxErrorParts {
			p.Fail()
			return
		}
		if *err == nil && !p.Reading() {
			*err = errors.New("no error")
		}
		one := errorPacking{err: *err, cut: e.cut, depth: e.depth + 1, early: e.early || at < n}
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
func (e *errorPacking) names(p *pack.Packing, names *[]string) {
	if !p.Reading() && len(*names) > maxErrorParts {
		*names = append((*names)[:maxErrorParts:maxErrorParts], fmt.Sprintf("%d others", len(*names)-maxErrorParts))
	}
	*names = slices.Clone(*names)
	pack.List(p, names, func(p *pack.Packing, name *string) { e.text(p, name) })
	if len(*names) > maxErrorParts+1 {
		p.Fail()
		*names = nil
	}
}

// died packs the death of a worker, which may be missing.
func (e *errorPacking) died(p *pack.Packing, d **WorkerDiedError) {
	there := *d != nil
	pack.Flag(p, &there)
	if !there {
		*d = nil
		return
	}
	var v WorkerDiedError
	if *d != nil {
		v = **d
	}
	e.packDied(p, &v)
	*d = &v
}

// packDied packs the fields of a WorkerDiedError.
func (e *errorPacking) packDied(p *pack.Packing, d *WorkerDiedError) {
	e.text(p, &d.Worker)
	pack.Number(p, &d.PID)
	pack.Number(p, &d.Life)
	pack.Number(p, &d.ExitCode)
	e.text(p, &d.Signal)
	pack.Flag(p, &d.CoreDump)
	e.text(p, &d.Reason)
	e.text(p, &d.During)
	e.text(p, &d.Stopped)
	pack.Number(p, &d.Uptime)
	e.stderr(p, &d.Stderr)
}

// packLimit packs the fields of a RestartLimitError.
func (e *errorPacking) packLimit(p *pack.Packing, l *RestartLimitError) {
	e.text(p, &l.Worker)
	pack.Number(p, &l.Restarts)
	pack.Number(p, &l.Window)
	pack.Flag(p, &l.Permanent)
	var missing int
	e.list(p, &l.Causes, &missing)
	e.inner(p, &l.Err)
}

// packRemote packs the fields of a RemoteError.
func (e *errorPacking) packRemote(p *pack.Packing, r *RemoteError) {
	e.text(p, &r.Worker)
	pack.Number(p, &r.PID)
	e.text(p, &r.Type)
	e.text(p, &r.Text)
	e.text(p, &r.GoType)
	pack.Flag(p, &r.final)
	pack.Number(p, &r.after)
	var set uint
	if !p.Reading() {
		set = sentinelsOf(errors.Join(r.is...))
	}
	r.is = e.sentinels(p, set)
	var missing int
	if e.list(p, &r.parts, &missing); p.Reading() {
		r.parts = slices.DeleteFunc(r.parts, func(part error) bool { return !isStd(part) })
	}
	e.packTraits(p, &r.traits)
	if p.Reading() {
		r.expect()
	}
	if r.after < 0 {
		r.after = 0
	}
}

// sentinels packs a set of sentinels, see sentinelsOf, and returns those that were written or read.
func (e *errorPacking) sentinels(p *pack.Packing, set uint) (is []error) {
	n := int(set)
	pack.Number(p, &n)
	if n < 0 || n >= 1<<len(wireSentinels) {
		p.Fail()
		return nil
	}
	for i, s := range wireSentinels {
		if n&(1<<i) != 0 {
			is = append(is, s)
		}
	}
	return is
}

// packWrapped packs a wrappedError.
func (e *errorPacking) packWrapped(p *pack.Packing) {
	var text string
	var set uint
	var inner []error
	if !p.Reading() {
		text, set, inner = e.err.Error(), sentinelsOf(e.err), wrappedBy(e.err)
	}
	e.text(p, &text)
	is := e.sentinels(p, set)
	var missing int
	e.list(p, &inner, &missing)
	if p.Reading() {
		e.err = &carriedError{text, append(is, inner...)}
	}
}

// packTraits packs what a RemoteError carries of registered errors. If there is no room for them,
// only the text crosses.
func (e *errorPacking) packTraits(p *pack.Packing, t *traits) {
	if e.cut.notInner && !p.Reading() {
		*t = traits{}
	}
	pack.List(p, &t.Is, pack.Number)
	if !p.Reading() {
		t.Types = slices.Clone(t.Types)
	}
	pack.List(p, &t.Types, func(p *pack.Packing, typed *typedTrait) {
		pack.Number(p, &typed.Known)
		encoding, defs, data := int(typed.Payload.Encoding), int64(typed.Payload.Defs), string(typed.Payload.Data)
		pack.Number(p, &encoding)
		pack.Number(p, &defs)
		if pack.Text(p, &data); p.Reading() {
			typed.Payload = codec.Payload{Encoding: uint8(encoding), Defs: uint64(defs), Data: []byte(data)}
		} else {
			typed.Causes = slices.Clone(typed.Causes)
		}
		if pack.List(p, &typed.Causes, e.inner); len(typed.Causes) > maxErrorParts {
			p.Fail()
		}
	})
	if len(t.Types) > maxErrorParts {
		p.Fail()
	}
}
