package logpack

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"time"

	"github.com/multiprolab/multiprolab/internal/text"
)

// writer packs one record, or what a logger gathers. It exists in the worker; one goroutine uses
// it.
type writer struct {
	errors *Errors // how errors cross
	b      []byte  // what was packed so far
	most   int     // how long b may become
	depth  int     // how many groups are open
	key    string  // the key of what is being packed
	cuts   cuts    // what was left out
}

// cuts is what was left out of a record. Its zero value is nothing. It exists in the worker; who
// has it may touch it.
type cuts struct {
	names string // the keys of what was cut, as far as they have room
	bytes int    // how many bytes were left out, at least
}

// add notes that bytes of what has a key were left out.
func (c *cuts) add(key string, bytes int) {
	c.bytes += bytes
	key = cmp.Or(text.Cut(strings.ToValidUTF8(key, "\uFFFD"), reserve), `""`)
	switch {
	case c.names == "":
		c.names = key
	case strings.HasSuffix(c.names, " ..."):
	case len(c.names)+len(key)+reserve > maxNames:
		c.names += " ..."
	default:
		c.names += ", " + key
	}
}

// room is how many bytes may follow.
func (w *writer) room() int { return w.most - len(w.b) }

// text packs a text, of which it may cut off the end.
func (w *writer) text(s string) {
	if most := w.room() - reserve; len(s) > most {
		whole := text.Whole(s, most)
		w.cuts.add(w.key, len(s)-whole)
		s = s[:whole]
	}
	w.b = binary.AppendUvarint(w.b, uint64(len(s)))
	w.b = append(w.b, s...)
}

// begin packs the kind and the key of an attribute whose value takes about so many bytes. It
// reports false if there is no room for the attribute.
func (w *writer) begin(kind byte, key string, size int) bool {
	if w.key = key; w.room() < len(key)+2*reserve {
		w.cuts.add(key, len(key)+size)
		return false
	}
	w.b = append(w.b, kind)
	w.text(key)
	return true
}

// time packs a time.
func (w *writer) time(t time.Time) {
	if t.IsZero() {
		w.b = append(w.b, 0)
		return
	}
	_, offset := t.Zone()
	w.b = append(w.b, 1)
	w.b = binary.AppendVarint(w.b, t.Unix())
	w.b = binary.AppendVarint(w.b, int64(t.Nanosecond()))
	w.b = binary.AppendVarint(w.b, int64(offset))
}

// attr packs an attribute, or leaves it out if there is no room.
func (w *writer) attr(a *slog.Attr) {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindBool:
		kind := kindFalse
		if v.Bool() {
			kind = kindTrue
		}
		w.begin(kind, a.Key, 0)
	case slog.KindInt64:
		if w.begin(kindInt, a.Key, 1) {
			w.b = binary.AppendVarint(w.b, v.Int64())
		}
	case slog.KindUint64:
		if w.begin(kindUint, a.Key, 1) {
			w.b = binary.AppendUvarint(w.b, v.Uint64())
		}
	case slog.KindFloat64:
		if w.begin(kindFloat, a.Key, 8) {
			w.b = binary.LittleEndian.AppendUint64(w.b, number(v.Float64()))
		}
	case slog.KindString:
		if w.begin(kindText, a.Key, len(v.String())) {
			w.text(v.String())
		}
	case slog.KindDuration:
		if w.begin(kindDuration, a.Key, 1) {
			w.b = binary.AppendVarint(w.b, int64(v.Duration()))
		}
	case slog.KindTime:
		if w.begin(kindTime, a.Key, 1) {
			w.time(v.Time())
		}
	case slog.KindGroup:
		w.group(a.Key, v)
	default:
		w.any(a.Key, v.Any())
	}
}

// group packs a group.
func (w *writer) group(key string, v slog.Value) {
	attrs := v.Group()
	if len(attrs) == 0 {
		return
	}
	if w.depth >= maxDepth {
		w.cuts.add(key, 0)
		if w.begin(kindText, key, 0) {
			w.text("!DEPTH")
		}
		return
	}
	if !w.begin(kindGroup, key, 0) {
		return
	}
	w.depth++
	w.most-- // the byte that closes the group always has room
	for i := range attrs {
		w.attr(&attrs[i])
	}
	w.most++
	w.depth--
	w.b = append(w.b, endOfGroup)
}

// any packs a value of any type.
func (w *writer) any(key string, v any) {
	if v == nil {
		if key != "" { // else it is the empty attribute, which handlers leave out
			w.begin(kindNil, key, 0)
		}
		return
	}
	if s, ok := v.(*slog.Source); ok && s != nil {
		if w.begin(kindSource, key, len(s.Function)+len(s.File)) {
			w.text(s.Function)
			w.text(s.File)
			w.b = binary.AppendVarint(w.b, int64(s.Line))
		}
		return
	}
	if b, ok := v.([]byte); ok {
		if w.begin(kindBytes, key, len(b)) {
			w.text(string(b))
		}
		return
	}
	kind := kindOther
	var packed []byte
	if err, ok := v.(error); ok {
		var plain bool
		packed, plain = w.packError(err)
		switch fits := len(packed) > 0 && len(packed) <= w.room()-len(key)-2*reserve; {
		case fits && plain:
			w.begin(kindError, key, 0)
			w.text(string(packed))
			return
		case fits:
			kind = kindOtherError
		}
	}
	asText, asJSON := textOf(v), jsonOf(v)
	if !w.begin(kind, key, len(asText)) {
		return
	}
	if kind == kindOtherError {
		w.text(string(packed))
	}
	if len(asText)+len(asJSON) > w.room()-2*reserve { // half a value of JSON is none
		// A string can be encoded, and Value does so if there is no JSON.
		if plain, _ := plainJSON(asText); !bytes.Equal(asJSON, plain) {
			w.cuts.add(key, len(asJSON))
		}
		asJSON = nil
	}
	w.text(asText)
	w.text(string(asJSON))
}

// packError packs an error, unless one of its methods panics. plain says that the handlers of
// package slog print nothing but the text of the error, and that this crosses whole.
func (w *writer) packError(err error) (packed []byte, plain bool) {
	defer func() {
		if recover() != nil { // as the handlers of package slog do
			packed, plain = nil, false
		}
	}()
	packed = w.errors.Pack(err)
	switch err.(type) {
	case json.Marshaler, encoding.TextMarshaler, fmt.Formatter:
		return packed, false
	}
	return packed, w.errors.Unpack(packed).Error() == err.Error()
}

// textOf returns a value as slog.TextHandler prints it.
func textOf(v any) (text string) {
	defer func() {
		if r := recover(); r != nil { // as the handlers of package slog do
			text = panicText(v, r)
		}
	}()
	if m, ok := v.(encoding.TextMarshaler); ok {
		b, err := m.MarshalText()
		if err != nil {
			return "!ERROR:" + err.Error()
		}
		return string(b)
	}
	if r := reflect.ValueOf(v); r.Kind() == reflect.Slice && r.Type().Elem().Kind() == reflect.Uint8 {
		return string(r.Bytes())
	}
	return fmt.Sprintf("%+v", v)
}

// jsonOf returns a value as slog.JSONHandler prints it.
func jsonOf(v any) (b []byte) {
	defer func() {
		if r := recover(); r != nil { // as the handlers of package slog do
			b, _ = plainJSON(panicText(v, r)) // a string can be encoded
		}
	}()
	if err, ok := v.(error); ok {
		if _, encodes := v.(json.Marshaler); !encodes {
			v = err.Error()
		}
	}
	b, err := plainJSON(v)
	if err != nil {
		b, _ = plainJSON("!ERROR:" + err.Error()) // a string can be encoded
	}
	return b
}

// plainJSON encodes a value, and leaves characters alone that mean something in HTML.
func plainJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), err
}

// panicText stands for a value whose method has panicked.
func panicText(v, panicked any) string {
	if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer && r.IsNil() {
		return "<nil>"
	}
	return fmt.Sprintf("!PANIC: %v", panicked)
}
