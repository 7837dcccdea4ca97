package logpack

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"time"
)

// errMalformed says that a packed record cannot be read.
var errMalformed = errors.New("a record of its log is cut short, or malformed")

// Value stands in main for a worker's value of any type, and prints as that does. It never changes.
type Value struct {
	text string // as slog.TextHandler prints the value
	json []byte // as slog.JSONHandler prints it, or nil if the worker could not say
}

// String returns the text of the value.
func (v *Value) String() string { return v.text }

// MarshalText implements encoding.TextMarshaler, for slog.TextHandler.
func (v *Value) MarshalText() ([]byte, error) { return []byte(v.text), nil }

// MarshalJSON implements json.Marshaler, for slog.JSONHandler.
func (v *Value) MarshalJSON() ([]byte, error) {
	if v.json == nil {
		return plainJSON(v.text)
	}
	return v.json, nil
}

// errorValue stands in main for a worker's error that does not print as its text. It never changes.
type errorValue struct {
	Value       // as it prints
	err   error // the error
}

// Error returns the text of the error.
func (v *errorValue) Error() string { return v.err.Error() }

// Unwrap returns the error, as it has crossed.
func (v *errorValue) Unwrap() error { return v.err }

// Format implements fmt.Formatter, as the error does: with %+v it prints all that is known of it.
func (v *errorValue) Format(s fmt.State, verb rune) {
	if verb == 'v' && s.Flag('+') {
		_, _ = io.WriteString(s, v.text) // it keeps what it is given
		return
	}
	_, _ = fmt.Fprintf(s, fmt.FormatString(s, verb), v.err.Error()) // as above
}

// reader reads one record. It exists in main; one goroutine uses it.
type reader struct {
	errors *Errors // how errors cross
	b      []byte  // what is left to be read
	texts  string  // the whole record: the texts that were read are parts of it
	bad    bool    // what was read is malformed
}

// Read reads a record. first are attributes that go before those of the worker.
func Read(b []byte, e *Errors, first ...slog.Attr) (slog.Record, error) {
	if len(b) > MaxSize {
		return slog.Record{}, errMalformed
	}
	in := reader{errors: e, b: b, texts: string(b)}
	flags := in.byte()
	var size uint64
	var names string
	if flags&flagCut != 0 {
		size, names = in.uint(), in.text()
	}
	r := slog.Record{Time: in.time(), Level: slog.Level(in.int()), PC: pcOf(in.int()), Message: in.text()}
	attrs := in.attrs(append(make([]slog.Attr, 0, len(first)+4), first...), 0)
	if in.bad || flags > flagCut {
		return slog.Record{}, errMalformed
	}
	if flags&flagCut != 0 {
		attrs = append(attrs, slog.Group("!CUT", "size", size, "of", names))
	}
	r.AddAttrs(attrs...)
	return r, nil
}

// attrs reads attributes up to the end of their group, and appends them.
func (r *reader) attrs(to []slog.Attr, depth int) []slog.Attr {
	for len(r.b) > 0 && !r.bad {
		kind := r.byte()
		if kind == endOfGroup {
			r.bad = r.bad || depth == 0
			return to
		}
		key := r.text()
		v := r.value(kind, depth)
		if v.Kind() == slog.KindGroup && len(v.Group()) == 0 {
			continue
		}
		to = append(to, slog.Attr{Key: key, Value: v})
	}
	return to
}

// value reads a value of a kind.
func (r *reader) value(kind byte, depth int) slog.Value {
	switch kind {
	case kindNil:
	case kindFalse, kindTrue:
		return slog.BoolValue(kind == kindTrue)
	case kindInt:
		return slog.Int64Value(r.int())
	case kindUint:
		return slog.Uint64Value(r.uint())
	case kindFloat:
		if len(r.b) < 8 {
			r.bad = true
			break
		}
		f := math.Float64frombits(binary.LittleEndian.Uint64(r.b))
		r.b = r.b[8:]
		return slog.Float64Value(f)
	case kindText:
		return slog.StringValue(r.text())
	case kindDuration:
		return slog.DurationValue(time.Duration(r.int()))
	case kindTime:
		return slog.TimeValue(r.time())
	case kindGroup:
		if depth >= maxDepth {
			r.bad = true
			break
		}
		return slog.GroupValue(r.attrs(nil, depth+1)...)
	case kindError:
		packed := r.text()
		if !r.bad {
			return slog.AnyValue(r.errors.Unpack([]byte(packed)))
		}
	case kindOther:
		v := r.other()
		return slog.AnyValue(&v)
	case kindOtherError:
		packed := r.text()
		v := r.other()
		if !r.bad {
			return slog.AnyValue(&errorValue{v, r.errors.Unpack([]byte(packed))})
		}
	case kindBytes:
		return slog.AnyValue([]byte(r.text()))
	case kindSource:
		return slog.AnyValue(&slog.Source{Function: r.text(), File: r.text(), Line: int(r.int())})
	default:
		r.bad = true
	}
	return slog.AnyValue(nil)
}

// other reads a value as it prints.
func (r *reader) other() Value {
	v := Value{text: r.text()}
	if b := []byte(r.text()); len(b) > 0 && json.Valid(b) {
		v.json = b
	}
	return v
}

// fail notes that the record is malformed.
func (r *reader) fail() { r.bad, r.b = true, nil }

// byte reads one byte.
func (r *reader) byte() (b byte) {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	b, r.b = r.b[0], r.b[1:]
	return b
}

// int reads a number.
func (r *reader) int() int64 {
	n, size := binary.Varint(r.b)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[size:]
	return n
}

// uint reads a number that is not negative.
func (r *reader) uint() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[size:]
	return n
}

// text reads a text.
func (r *reader) text() (s string) {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return ""
	}
	at := len(r.texts) - len(r.b)
	s, r.b = r.texts[at:at+int(n)], r.b[n:]
	return s
}

// time reads a time.
func (r *reader) time() time.Time {
	switch r.byte() {
	case 0:
		return time.Time{}
	case 1:
		sec, nsec, offset := r.int(), r.int(), r.int()
		if nsec < 0 || nsec >= int64(time.Second) || offset <= -24*60*60 || offset >= 24*60*60 {
			r.bad = true
			return time.Time{}
		}
		return zoned(time.Unix(sec, nsec), offset)
	}
	r.bad = true
	return time.Time{}
}
