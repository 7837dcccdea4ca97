package multiprolab

import (
	"fmt"
	"slices"
	"strings"
)

// This file is the errors of messages, calls and tasks that cannot be sent, or cannot be read.

// UnknownReceiverError reports a message to a name that nobody registered.
type UnknownReceiverError struct {
	Receiver string
	Known    []string
}

func (e *UnknownReceiverError) Error() string {
	if name, bucket := splitKeyed(e.Receiver); bucket > 0 {
		return fmt.Sprintf("multiprolab: no receiver is named Keyed(%q, ...): %s", name, keyedAdvice(name, e.Known))
	}
	return fmt.Sprintf("multiprolab: no receiver is named %q: register a worker with this name, or send to one of %s",
		e.Receiver, strings.Join(e.Known, ", "))
}

// keyedAdvice is what to do instead of a Keyed of something that is no pool.
func keyedAdvice(name string, known []string) string {
	pools := slices.DeleteFunc(slices.Clone(known), func(name string) bool { return name == MainName })
	pool, _, instance := splitInstance(name)
	isOf := func(n string) bool {
		of, _, ok := splitInstance(n)
		return n == name || ok && of == name
	}
	switch {
	case slices.ContainsFunc(pools, isOf):
		return "only Send and Call take a key: use one of " + strings.Join(known, ", ")
	case name == MainName:
		return "main is one process, and no pool: send to MainName itself"
	case instance && slices.Contains(pools, pool):
		return fmt.Sprintf("a key belongs to one of the instances of a pool: use Keyed(%q, key), or send to %q "+
			"itself, if that is there, without a key", pool, name)
	}
	return "register a worker with this name, or use Keyed with one of " + strings.Join(pools, ", ")
}

// UnknownTypeError reports a message, call or task of a type for which its receiver has no handler.
type UnknownTypeError struct {
	Receiver string // empty for a task
	Verb     string // "message", "call" or "task"
	Type     string
	Queue    string // of a task
	Known    []string
}

func (e *UnknownTypeError) Error() string {
	known := "none is registered"
	if len(e.Known) > 0 {
		known = "registered are " + strings.Join(e.Known, ", ")
	}
	register := map[string]string{"message": "Handle", "call": "HandleCall", "task": "HandleTask"}[e.Verb]
	if e.Receiver == "" {
		queue := ""
		if e.Queue != "" && e.Queue != DefaultQueue {
			queue = fmt.Sprintf(" in queue %q", e.Queue)
		}
		return fmt.Sprintf(
			"multiprolab: no worker handles the task type %q%s: register it with %s in a worker's setup function (%s)",
			e.Type,
			queue,
			register,
			known,
		)
	}
	return fmt.Sprintf("multiprolab: %s has no handler for the %s type %q: register it with %s (%s)",
		e.Receiver, e.Verb, e.Type, register, known)
}

// EncodeError reports a body that cannot be sent. Nothing was sent.
type EncodeError struct {
	Receiver string // empty for a task or a result
	Type     string // message or task type
	GoType   string // of the body
	Err      error
}

func (e *EncodeError) Error() string {
	to := ""
	if e.Receiver != "" {
		to = " to " + e.Receiver
	}
	return fmt.Sprintf("multiprolab: the body of %q%s, a %s, cannot be encoded: %v", e.Type, to, e.GoType, e.Err)
}

// Unwrap returns the error of the encoder.
func (e *EncodeError) Unwrap() error { return e.Err }

// DecodeError reports a body that its receiver cannot decode into the type that its handler takes.
type DecodeError struct {
	Receiver string // the process that could not decode
	Type     string // message or task type
	Err      error
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("multiprolab: %s cannot decode the body of %q: %v", e.Receiver, e.Type, e.Err)
}

// Unwrap returns the error of the decoder.
func (e *DecodeError) Unwrap() error { return e.Err }

// SizeError reports a body over Config.MaxMessageSize. Nothing was sent.
type SizeError struct {
	Type  string // message or task type
	Size  int64  // bytes, encoded
	Limit int64  // bytes
}

func (e *SizeError) Error() string {
	return fmt.Sprintf(
		"multiprolab: the body of %q takes %d bytes, more than the limit of %d: raise Config.MaxMessageSize "+
			"(at most %d), or send it in parts or by a file",
		e.Type,
		e.Size,
		e.Limit,
		MaxMessageSize,
	)
}
