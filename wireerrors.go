package multiprolab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// wireError is an error on its way to another process. Exactly one field is set, or Text alone.
type wireError struct {
	Kind        string                `json:",omitempty"`
	Text        string                `json:",omitempty"`
	Remote      *RemoteError          `json:",omitempty"`
	RemoteIs    string                `json:",omitempty"`
	Traits      traits                `json:",omitzero"`
	Final       bool                  `json:",omitempty"`
	After       time.Duration         `json:",omitempty"`
	Memory      *MemoryLimitError     `json:",omitempty"`
	NoWorker    *NoWorkerError        `json:",omitempty"`
	Attempts    []*wireError          `json:",omitempty"` // of an AttemptsError, whose type is in Text
	Inner       *wireError            `json:",omitempty"` // what NoWorker wraps
	Died        *WorkerDiedError      `json:",omitempty"`
	Timeout     *TimeoutError         `json:",omitempty"`
	UnknownType *UnknownTypeError     `json:",omitempty"`
	Unknown     *UnknownReceiverError `json:",omitempty"`
	Size        *SizeError            `json:",omitempty"`
	Decode      *DecodeError          `json:",omitempty"`
	Encode      *EncodeError          `json:",omitempty"`
	Err         string                `json:",omitempty"` // the text of what Decode or Encode wrap
}

var wireSentinels = map[string]error{
	"stopped": ErrStopped, "exit": ErrExit, "full": ErrQueueFull, "backlog": ErrBacklog, "cycle": ErrCallCycle,
	"cancelled": ErrCancelled, "context canceled": context.Canceled, "deadline": context.DeadlineExceeded,
}

// error gives the error back that toWireError took apart.
func (w *wireError) error() error {
	switch {
	case w.Attempts != nil:
		e := &AttemptsError{Type: w.Text}
		for _, a := range w.Attempts {
			e.Attempts = append(e.Attempts, a.error())
		}
		return e
	case w.NoWorker != nil:
		if w.Inner != nil {
			w.NoWorker.Err = w.Inner.error()
		}
		return w.NoWorker
	case w.Memory != nil && w.Memory.Died != nil:
		return w.Memory
	case w.Died != nil:
		return w.Died
	case w.Timeout != nil:
		return w.Timeout
	case w.UnknownType != nil:
		return w.UnknownType
	case w.Unknown != nil:
		return w.Unknown
	case w.Size != nil:
		return w.Size
	case w.Decode != nil:
		w.Decode.Err = errors.New(w.Err)
		return w.Decode
	case w.Encode != nil:
		w.Encode.Err = errors.New(w.Err)
		return w.Encode
	case w.Remote != nil:
		w.Remote.final, w.Remote.after, w.Remote.traits = w.Final, w.After, w.Traits
		if is := wireSentinels[w.RemoteIs]; is != nil {
			w.Remote.is = []error{is}
		}
		return w.Remote
	}
	if s, ok := wireSentinels[w.Kind]; ok {
		return &sentinelError{w.Text, s}
	}
	return errors.New(w.Text)
}

func sentinelKind(err error) string {
	for kind, s := range wireSentinels {
		if err != nil && errors.Is(err, s) {
			return kind
		}
	}
	return ""
}

// maxErrorText is how much of an error's text crosses the wire, in bytes: what JSON makes of it must be below leastLimit.
const maxErrorText = 64 << 10

func cutText(s string) string {
	if len(s) <= maxErrorText {
		return s
	}
	return s[:maxErrorText] + " ..."
}

// toWireError takes an error of the library apart for the wire.
func toWireError(err error) *wireError {
	w := &wireError{}
	switch err := err.(type) { // those that wrap others
	case *AttemptsError:
		w.Text, w.Attempts = err.Type, []*wireError{}
		for _, a := range err.Attempts {
			w.Attempts = append(w.Attempts, toWireError(a))
		}
		return w
	case *NoWorkerError:
		w.NoWorker = &NoWorkerError{Type: err.Type}
		if err.Err != nil {
			w.Inner = toWireError(err.Err)
		}
		return w
	}
	var stopped *stoppedError
	switch {
	case errors.As(err, &stopped):
		w.Kind, w.Text = "stopped", err.Error()
	case errors.As(err, &w.Memory):
	case errors.As(err, &w.Died), errors.As(err, &w.Timeout), errors.As(err, &w.UnknownType),
		errors.As(err, &w.Unknown), errors.As(err, &w.Size):
	case errors.As(err, &w.Decode):
		d := DecodeError{Receiver: w.Decode.Receiver, Type: w.Decode.Type}
		w.Decode, w.Err = &d, cutText(w.Decode.Err.Error())
	case errors.As(err, &w.Encode):
		e := EncodeError{Receiver: w.Encode.Receiver, Type: w.Encode.Type, GoType: w.Encode.GoType}
		w.Encode, w.Err = &e, cutText(w.Encode.Err.Error())
	case errors.As(err, &w.Remote):
		r := *w.Remote
		r.Text = cutText(r.Text)
		w.Remote, w.RemoteIs, w.Final, w.After = &r, sentinelKind(errors.Join(r.is...)), r.final, r.after
		w.Traits = r.traits
	default:
		w.Kind, w.Text = sentinelKind(err), cutText(err.Error())
	}
	return w
}

// marshalError lays out an error of the library for the wire.
func marshalError(err error) []byte {
	b, err := json.Marshal(toWireError(err))
	if err != nil {
		b, _ = json.Marshal(wireError{Text: err.Error()})
	}
	return b
}

// unmarshalError reads what marshalError wrote, from a process that is not to be trusted.
func unmarshalError(b []byte) error {
	var w wireError
	if err := json.Unmarshal(b, &w); err != nil {
		return fmt.Errorf("multiprolab: an error came that cannot be read: %w", err)
	}
	return w.error()
}

// sentinelError is one of the sentinels with the text that another process, or a more telling place, gave it.
type sentinelError struct {
	text string
	is   error
}

func (e *sentinelError) Error() string { return e.text }
func (e *sentinelError) Unwrap() error { return e.is }

// stoppedError is ErrStopped with the error that ended the program.
type stoppedError struct{ cause error }

func (e *stoppedError) Error() string {
	return ErrStopped.Error() + ": " + strings.TrimPrefix(e.cause.Error(), "multiprolab: ")
}

func (e *stoppedError) Unwrap() []error { return []error{ErrStopped, e.cause} }

// remote wraps an error that user code returned.
func (n *node) remote(typ string, err error) error {
	r := &RemoteError{Worker: n.name, Type: typ, Text: err.Error(), traits: n.traits(err)}
	var s *steer
	if errors.As(err, &s) {
		r.final, r.after = s.final, s.after
		if s == err {
			err = s.err
		}
	}
	r.GoType = fmt.Sprintf("%T", err)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		r.is = []error{context.DeadlineExceeded}
	case errors.Is(err, context.Canceled):
		r.is = []error{context.Canceled}
	}
	return r
}
