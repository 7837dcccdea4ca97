package logpack

import (
	"bytes"
	"encoding"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
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
	cut    bool    // something was left out
}

// room is how many bytes may follow.
func (w *writer) room() int { return w.most - len(w.b) }

// text packs a text, of which it may cut off the end.
func (w *writer) text(s string) {
	if most := w.room() - reserve; len(s) > most {
		w.cut = true
		s = s[:text.Whole(s, most)]
	}
	w.b = binary.AppendUvarint(w.b, uint64(len(s)))
	w.b = append(w.b, s...)
}

// begin packs the kind and the key of an attribute. It reports false if there is no room for it.
func (w *writer) begin(kind byte, key string) bool {
	if w.room() < len(key)+2*reserve {
		w.cut = true
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
		w.begin(kind, a.Key)
	case slog.KindInt64:
		if w.begin(kindInt, a.Key) {
			w.b = binary.AppendVarint(w.b, v.Int64())
		}
	case slog.KindUint64:
		if w.begin(kindUint, a.Key) {
			w.b = binary.AppendUvarint(w.b, v.Uint64())
		}
	case slog.KindFloat64:
		if w.begin(kindFloat, a.Key) {
			w.b = binary.LittleEndian.AppendUint64(w.b, number(v.Float64()))
		}
	case slog.KindString:
		if w.begin(kindText, a.Key) {
			w.text(v.String())
		}
	case slog.KindDuration:
		if w.begin(kindDuration, a.Key) {
			w.b = binary.AppendVarint(w.b, int64(v.Duration()))
		}
	case slog.KindTime:
		if w.begin(kindTime, a.Key) {
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
		w.cut = true
		if w.begin(kindText, key) {
			w.text("!DEPTH")
		}
		return
	}
	if !w.begin(kindGroup, key) {
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
			w.begin(kindNil, key)
		}
		return
	}
	if s, ok := v.(*slog.Source); ok && s != nil {
		if w.begin(kindSource, key) {
			w.text(s.Function)
			w.text(s.File)
			w.b = binary.AppendVarint(w.b, int64(s.Line))
		}
		return
	}
	if b, ok := v.([]byte); ok {
		if w.begin(kindBytes, key) {
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
			w.begin(kindError, key)
			w.text(string(packed))
			return
		case fits:
			kind = kindOtherError
		}
	}
	if !w.begin(kind, key) {
		return
	}
	if kind == kindOtherError {
		w.text(string(packed))
	}
	asText, asJSON := textOf(v), jsonOf(v)
	if len(asText)+len(asJSON) > w.room()-2*reserve { // half a value of JSON is none
		plain, _ := plainJSON(asText) // a string can be encoded, and Value does so if there is none
		w.cut = w.cut || !bytes.Equal(asJSON, plain)
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
