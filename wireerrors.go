package multiprolab

import (
	"fmt"

	"github.com/multiprolab/multiprolab/backend"
	"github.com/multiprolab/multiprolab/internal/errpack"
	"github.com/multiprolab/multiprolab/internal/pack"
)

// This file is how an error travels between main and a worker: the library's own sentinels and
// types keep what they are, with their fields. How errors are packed, and what users' errors keep,
// is in internal/errpack. Both processes use it.

// wireSentinels are the library's sentinels that keep their identity.
var wireSentinels = []error{ErrStopped, ErrExit, ErrQueueFull, ErrBacklog, ErrCallCycle, ErrCancelled, ErrNoTask,
	backend.ErrLeaseLost, ErrNotWorker}

// wireErrors is the form in which errors cross. The order of the types, and that of their fields,
// is that of the wire.
var wireErrors = errpack.NewForm(wireSentinels,
	errpack.TypeOf(func(r *RemoteError) errpack.Fields {
		after := func(_ *errpack.Packing, p *pack.Packing) {
			pack.Number(p, &r.after)
			r.after = max(r.after, 0) // a worker may lie
		}
		return errpack.Fields{&r.Worker, &r.PID, &r.Type, &r.Text, &r.GoType, &r.final, errpack.Layout(after), &r.kept}
	}),
	errpack.TypeOf(diedFields),
	errpack.TypeOf(func(m *MemoryLimitError) errpack.Fields {
		return errpack.Fields{&m.Limit, &m.Kernel, &m.Group, errpack.Held(&m.Died, diedFields)}
	}),
	errpack.TypeOf(func(h *HangError) errpack.Fields {
		return errpack.Fields{&h.Running, &h.For, &h.Limit, &h.Silent, errpack.Held(&h.Died, diedFields)}
	}),
	errpack.TypeOf(func(s *StartError) errpack.Fields {
		return errpack.Fields{&s.Worker, &s.PID, &s.Reason, &s.permanent, &s.Err}
	}),
	errpack.TypeOf(func(l *RestartLimitError) errpack.Fields {
		return errpack.Fields{&l.Worker, &l.Restarts, &l.Window, &l.Permanent, &l.Causes, &l.Err}
	}),
	errpack.TypeOf(func(a *AttemptsError) errpack.Fields {
		return errpack.Fields{&a.Type, errpack.Last(&a.Attempts, &a.missing)}
	}),
	errpack.TypeOf(func(n *NoWorkerError) errpack.Fields { return errpack.Fields{&n.Type, &n.Err} }),
	errpack.TypeOf(func(t *TimeoutError) errpack.Fields {
		return errpack.Fields{&t.Worker, &t.PID, &t.Type, &t.Timeout, &t.Killed, &t.Stopped, errpack.Stderr(&t.Stderr)}
	}),
	errpack.TypeOf(func(u *UnknownTypeError) errpack.Fields {
		return errpack.Fields{&u.Receiver, &u.Verb, &u.Type, &u.Queue, &u.Known}
	}),
	errpack.TypeOf(func(u *UnknownReceiverError) errpack.Fields { return errpack.Fields{&u.Receiver, &u.Known} }),
	errpack.TypeOf(func(s *SizeError) errpack.Fields { return errpack.Fields{&s.Type, &s.Size, &s.Limit} }),
	errpack.TypeOf(func(d *DecodeError) errpack.Fields { return errpack.Fields{&d.Receiver, &d.Type, &d.Err} }),
	errpack.TypeOf(func(d *EncodeError) errpack.Fields {
		return errpack.Fields{&d.Receiver, &d.Type, &d.GoType, &d.Err}
	}),
	errpack.TypeOf(func(s *SignalError) errpack.Fields { return errpack.Fields{errpack.Signal(&s.Signal)} }),
	errpack.TypeOf(func(c *ConfigError) errpack.Fields {
		return errpack.Fields{&c.Field, errpack.Printed(&c.Value), &c.Reason}
	}),
)

// diedFields are the fields of a WorkerDiedError, alone or within another error.
func diedFields(d *WorkerDiedError) errpack.Fields {
	return errpack.Fields{&d.Worker, &d.PID, &d.Life, &d.ExitCode, &d.Signal, &d.CoreDump, &d.Reason, &d.During,
		&d.Stopped, &d.Uptime, errpack.Stderr(&d.Stderr)}
}

// marshalError lays out an error for the wire, in at most errpack.MaxSize bytes, which is far below
// link.LeastLimit.
func marshalError(err error) []byte { return wireErrors.Marshal(err) }

// unmarshalError reads what marshalError wrote, from a process that is not to be trusted. It never
// returns nil.
func unmarshalError(b []byte) error {
	if len(b) > 2*errpack.MaxSize {
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

// recognise fills in the registered errors of every RemoteError in an error that has come, and
// returns the error.
func (v *values) recognise(err error) error {
	eachRemote(err, func(e *RemoteError) { v.errors.Recognise(&e.kept, v.codec) })
	return err
}

// eachRemote calls do for each RemoteError that an error is or holds.
func eachRemote(err error, do func(e *RemoteError)) {
	switch e := err.(type) {
	case nil:
	case *RemoteError:
		if e != nil {
			do(e)
		}
	case *AttemptsError: // its Unwrap returns only the last attempt
		if e != nil {
			for _, attempt := range e.Attempts {
				eachRemote(attempt, do)
			}
		}
	case interface{ Unwrap() error }:
		eachRemote(e.Unwrap(), do)
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			eachRemote(inner, do)
		}
	}
}
