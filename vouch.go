package multiprolab

import (
	"context"
	"errors"
	"slices"

	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is what main makes of the errors that a worker gives, which is not trusted.

// vouch reads the outcome that a worker gives. Who it comes from is what main knows, and an error
// is one that a worker can have: it cannot speak of the deaths of others.
func (p *peer) vouch(f *wire.Frame) *reply {
	r := replyOf(f)
	r.err = p.vouchError(f.Type, r.err)
	return r
}

func (p *peer) vouchError(typ string, err error) error {
	switch err := err.(type) {
	case nil, *SizeError:
	case *EncodeError:
		err.Err = textOf(err.Err)
	case *RemoteError:
		err.Worker, err.PID = p.slot.name, p.pid()
		err.is = slices.DeleteFunc(err.is, func(e error) bool { return !slices.Contains(stdSentinels, e) })
	case *DecodeError:
		err.Receiver, err.Err = p.slot.name, textOf(err.Err)
	case *UnknownTypeError:
		err.Receiver = p.slot.name
	default:
		var is []error
		for _, own := range []error{ErrCallCycle, ErrBacklog, ErrStopped, ErrCancelled, context.Canceled} {
			switch {
			case !errors.Is(err, own):
			case own == ErrStopped && p.slot.main != nil: // which knows of what
				is = append(is, p.slot.main.stopCause())
			default:
				is = append(is, own)
			}
		}
		if is != nil {
			return &carriedError{err.Error(), is}
		}
		return &RemoteError{Worker: p.slot.name, PID: p.pid(), Type: typ, Text: err.Error()}
	}
	return err
}

// textOf returns an error with the text of another one and nothing else of it but what it wraps of
// the standard library.
func textOf(err error) error {
	if err == nil {
		return nil
	}
	if is := append(stdParts(err), stdSentinelsOf(err)...); len(is) > 0 {
		return &carriedError{err.Error(), is}
	}
	return errors.New(err.Error())
}
