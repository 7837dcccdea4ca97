package codec

import "reflect"

// GobOnly returns a Codec that sends everything through gob.
func GobOnly() *Codec { return &Codec{gobOnly: true} }

// HasEngine reports whether values of the type of v are read and written by an engine.
func (c *Codec) HasEngine(v any) bool { return c.typeOf(reflect.TypeOf(v)).engine != nil }
