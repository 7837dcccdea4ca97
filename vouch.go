package multiprolab

import (
	"context"
	"errors"

	"github.com/multiprolab/multiprolab/internal/errpack"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is what main makes of the errors that a worker gives. The worker is not trusted.

// vouched returns an error of a worker as main passes it on. It says which worker it is from,
// because only main knows that, and it is one that a worker can have: it cannot speak of the death
// of another worker, for example. stopCause returns why the program ends; it is nil if there is no
// main.
func vouched(worker string, pid int, stopCause func() error, typ string, err error) error {
	switch err := err.(type) {
	case nil, *SizeError:
	case *EncodeError:
		err.Err = errpack.Plain(err.Err)
	case *RemoteError:
		err.Worker, err.PID = worker, pid
	case *DecodeError:
		err.Receiver, err.Err = worker, errpack.Plain(err.Err)
	case *UnknownTypeError:
		err.Receiver = worker
	default:
		var is []error
		for _, own := range []error{ErrCallCycle, ErrBacklog, ErrStopped, ErrCancelled, context.Canceled} {
			switch {
			case !errors.Is(err, own):
			case own == ErrStopped && stopCause != nil: // main knows why the program ends
				is = append(is, stopCause())
			default:
				is = append(is, own)
			}
		}
		if is != nil {
			return errpack.Carried(err.Error(), is...)
		}
		return &RemoteError{Worker: worker, PID: pid, Type: typ, Text: err.Error()}
	}
	return err
}

// vouch reads the outcome that a worker gives, whose error is vouched for.
func (p *peer) vouch(f *wire.Frame) *reply {
	r := replyOf(f)
	r.err = p.vouchError(f.Type, r.err)
	return r
}

// vouchError is vouched for what this worker says of a message, a call or a task of this type.
func (p *peer) vouchError(typ string, err error) error {
	var stopCause func() error
	if d := p.slot().desk; d != nil {
		stopCause = d.stopCause
	}
	return vouched(p.slot().name, p.pid(), stopCause, typ, err)
}
