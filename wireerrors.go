package multiprolab

import (
	"fmt"
	"slices"

	"github.com/multiprolab/multiprolab/backend"
	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/errpack"
	"github.com/multiprolab/multiprolab/internal/pack"
)

// This file is how an error travels between main and a worker: the library's own sentinels and
// types keep what they are, with their fields. How errors are packed, and which of the standard
// library's keep what they are, is in internal/errpack.

// maxErrorSize is the greatest length of an error on the wire, in bytes. It is far below
// link.LeastLimit.
const maxErrorSize = errpack.MaxSize

// wireSentinels are the library's sentinels that keep their identity.
var wireSentinels = []error{ErrStopped, ErrExit, ErrQueueFull, ErrBacklog, ErrCallCycle, ErrCancelled, ErrNoTask,
	backend.ErrLeaseLost, ErrNotWorker}

// wireErrors is the form in which errors cross.
var wireErrors = errpack.NewForm(wireSentinels,
	errpack.TypeOf(packRemote),
	errpack.TypeOf(packDied),
	errpack.TypeOf(func(e *errpack.Packing, p *pack.Packing, m *MemoryLimitError) {
		pack.Number(p, &m.Limit)
		pack.Flag(p, &m.Kernel)
		e.Text(p, &m.Group)
		packDeath(e, p, &m.Died)
	}),
	errpack.TypeOf(func(e *errpack.Packing, p *pack.Packing, h *HangError) {
		e.Text(p, &h.Running)
		pack.Number(p, &h.For)
		pack.Number(p, &h.Limit)
		pack.Flag(p, &h.Silent)
		packDeath(e, p, &h.Died)
	}),
	errpack.TypeOf(func(e *errpack.Packing, p *pack.Packing, s *StartError) {
		e.Text(p, &s.Worker)
		pack.Number(p, &s.PID)
		e.Text(p, &s.Reason)
		pack.Flag(p, &s.permanent)
		e.Inner(p, &s.Err)
	}),
	errpack.TypeOf(packLimit),
	errpack.TypeOf(func(e *errpack.Packing, p *pack.Packing, a *AttemptsError) {
		e.Text(p, &a.Type)
		e.List(p, &a.Attempts, &a.missing)
	}),
	errpack.TypeOf(func(e *errpack.Packing, p *pack.Packing, n *NoWorkerError) {
		e.Text(p, &n.Type)
		e.Inner(p, &n.Err)
	}),
	errpack.TypeOf(func(e *errpack.Packing, p *pack.Packing, t *TimeoutError) {
		e.Text(p, &t.Worker)
		pack.Number(p, &t.PID)
		e.Text(p, &t.Type)
		pack.Number(p, &t.Timeout)
		pack.Flag(p, &t.Killed)
		e.Text(p, &t.Stopped)
		e.Stderr(p, &t.Stderr)
	}),
	errpack.TypeOf(func(e *errpack.Packing, p *pack.Packing, u *UnknownTypeError) {
		e.Text(p, &u.Receiver)
		e.Text(p, &u.Verb)
		e.Text(p, &u.Type)
		e.Text(p, &u.Queue)
		e.Names(p, &u.Known)
	}),
	errpack.TypeOf(func(e *errpack.Packing, p *pack.Packing, u *UnknownReceiverError) {
		e.Text(p, &u.Receiver)
		e.Names(p, &u.Known)
	}),
	errpack.TypeOf(func(e *errpack.Packing, p *pack.Packing, s *SizeError) {
		e.Text(p, &s.Type)
		pack.Number(p, &s.Size)
		pack.Number(p, &s.Limit)
	}),
	errpack.TypeOf(func(e *errpack.Packing, p *pack.Packing, d *DecodeError) {
		e.Text(p, &d.Receiver)
		e.Text(p, &d.Type)
		e.Inner(p, &d.Err)
	}),
	errpack.TypeOf(func(e *errpack.Packing, p *pack.Packing, d *EncodeError) {
		e.Text(p, &d.Receiver)
		e.Text(p, &d.Type)
		e.Text(p, &d.GoType)
		e.Inner(p, &d.Err)
	}),
	errpack.TypeOf(packSignal),
	errpack.TypeOf(func(e *errpack.Packing, p *pack.Packing, c *ConfigError) {
		var value string
		if !p.Reading() {
			value = fmt.Sprint(c.Value)
		}
		e.Text(p, &c.Field)
		e.Text(p, &value)
		e.Text(p, &c.Reason)
		if p.Reading() {
			c.Value = value
		}
	}),
)

// marshalError lays out an error for the wire, in at most maxErrorSize bytes.
func marshalError(err error) []byte { return wireErrors.Marshal(err) }

// unmarshalError reads what marshalError wrote, from a process that is not to be trusted. It never
// returns nil.
func unmarshalError(b []byte) error {
	if len(b) > 2*maxErrorSize {
		return fmt.Errorf("multiprolab: an error came that is too large: %d bytes", len(b))
	}
	err, broken := wireErrors.Unmarshal(b)
	if broken != nil {
		return fmt.Errorf("multiprolab: an error came that cannot be read: %w", broken)
	}
	return err
}

// packedError is marshalError of an error that may be nil: a failed setup function's, say. It is
// empty then.
func packedError(err error) string {
	if err == nil {
		return ""
	}
	return string(marshalError(err))
}

// packDeath packs the death of a worker, which may be missing.
func packDeath(e *errpack.Packing, p *pack.Packing, d **WorkerDiedError) {
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
	packDied(e, p, &v)
	*d = &v
}

// packDied packs the fields of a WorkerDiedError.
func packDied(e *errpack.Packing, p *pack.Packing, d *WorkerDiedError) {
	e.Text(p, &d.Worker)
	pack.Number(p, &d.PID)
	pack.Number(p, &d.Life)
	pack.Number(p, &d.ExitCode)
	e.Text(p, &d.Signal)
	pack.Flag(p, &d.CoreDump)
	e.Text(p, &d.Reason)
	e.Text(p, &d.During)
	e.Text(p, &d.Stopped)
	pack.Number(p, &d.Uptime)
	e.Stderr(p, &d.Stderr)
}

// packLimit packs the fields of a RestartLimitError.
func packLimit(e *errpack.Packing, p *pack.Packing, l *RestartLimitError) {
	e.Text(p, &l.Worker)
	pack.Number(p, &l.Restarts)
	pack.Number(p, &l.Window)
	pack.Flag(p, &l.Permanent)
	var missing int
	e.List(p, &l.Causes, &missing)
	e.Inner(p, &l.Err)
}

// packRemote packs the fields of a RemoteError.
func packRemote(e *errpack.Packing, p *pack.Packing, r *RemoteError) {
	e.Text(p, &r.Worker)
	pack.Number(p, &r.PID)
	e.Text(p, &r.Type)
	e.Text(p, &r.Text)
	e.Text(p, &r.GoType)
	pack.Flag(p, &r.final)
	pack.Number(p, &r.after)
	r.is = e.Sentinels(p, r.is)
	var missing int
	if e.List(p, &r.parts, &missing); p.Reading() {
		r.parts = slices.DeleteFunc(r.parts, func(part error) bool { return !errpack.IsStd(part) })
	}
	packTraits(e, p, &r.traits)
	if p.Reading() {
		r.expect()
	}
	if r.after < 0 {
		r.after = 0
	}
}

// packTraits packs what a RemoteError carries of registered errors. If there is no room for them,
// only the text crosses.
func packTraits(e *errpack.Packing, p *pack.Packing, t *traits) {
	if e.Bare() && !p.Reading() {
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
		if pack.List(p, &typed.Causes, e.Inner); len(typed.Causes) > errpack.MaxParts {
			p.Fail()
		}
	})
	if len(t.Types) > errpack.MaxParts {
		p.Fail()
	}
}
