// Package logpack is records of package log/slog as they cross from a worker to main, in a bounded
// size. Both processes use it.
//
// A packed record is a flag byte, what was cut if the flag says so, then the time, the level, the
// place in the program, the text and the attributes. Each attribute is the byte of its kind, its
// key and its value; a group is closed by a byte of its own, or by the end of the record. So what a
// logger has gathered by With and WithGroup is packed once, and copied into each of its records.
//
// What comes from a worker is not trusted: Read checks every length, and how deep groups go.
package logpack

import (
	"encoding/binary"
	"log/slog"
	"math"
	"reflect"
	"runtime"
	"slices"
	"time"
)

const (
	// MaxSize is the greatest length of a packed record in bytes. What is longer is cut, and the
	// record says so, with a group "!CUT": "size" is how many bytes it had, at least, and "of" is
	// the keys of the attributes that are cut or left out, "msg" for the text.
	MaxSize = 128 << 10
	// maxPrefix is the greatest length in bytes of what a logger has gathered.
	maxPrefix = MaxSize / 2
	// maxDepth is how deep groups may lie in each other; deeper ones are texts.
	maxDepth = 32
	// reserve is how many bytes are kept free behind a text that is cut.
	reserve = 64
	// maxNames is the greatest length in bytes of the keys of what was cut.
	maxNames = 256
	// maxCuts is the greatest length in bytes of what a packed record says of what was cut.
	maxCuts = maxNames + 2*reserve
)

// flagCut says that something of the record was left out.
const flagCut = 1

// The kinds of values.
const (
	endOfGroup byte = iota
	kindNil
	kindFalse
	kindTrue
	kindInt
	kindUint
	kindFloat
	kindText
	kindDuration
	kindTime
	kindGroup
	kindError
	kindOther
	kindSource
	kindBytes
	kindOtherError
	kindEnd // is behind the last kind
)

// Errors is how errors among the values cross.
type Errors struct {
	// Pack packs an error.
	Pack func(err error) []byte
	// Unpack reads what Pack wrote. It trusts nothing in it.
	Unpack func(packed []byte) error
}

// Prefix is what a logger has gathered by With and WithGroup. Its zero value is nothing. It never
// changes.
type Prefix struct {
	b     []byte // the attributes, and the groups that are open, as they are in a record
	depth int    // how many groups are open
	cuts  cuts   // what was left out
}

// With returns the prefix with further attributes.
func (p Prefix) With(e *Errors, attrs []slog.Attr) Prefix {
	w := writer{errors: e, b: p.b[:len(p.b):len(p.b)], most: maxPrefix, depth: p.depth, cuts: p.cuts}
	for i := range attrs {
		w.attr(&attrs[i])
	}
	return Prefix{w.b, p.depth, w.cuts}
}

// WithGroup returns the prefix with a further open group.
func (p Prefix) WithGroup(name string) Prefix {
	w := writer{b: p.b[:len(p.b):len(p.b)], most: maxPrefix, depth: p.depth, cuts: p.cuts}
	if name == "" {
		return p
	}
	if p.depth >= maxDepth {
		w.cuts.add(name, 0)
	} else if w.begin(kindGroup, name, 0) {
		return Prefix{w.b, p.depth + 1, w.cuts}
	}
	return Prefix{p.b, p.depth, w.cuts}
}

// Append appends the packed record, which takes at most MaxSize bytes.
func Append(dst []byte, e *Errors, r *slog.Record, p *Prefix) []byte {
	w := writer{errors: e, b: dst, most: len(dst) + MaxSize - maxCuts, depth: p.depth, cuts: p.cuts}
	w.key, w.b = slog.MessageKey, append(w.b, 0)
	w.time(r.Time)
	w.b = binary.AppendVarint(w.b, int64(r.Level))
	w.b = binary.AppendVarint(w.b, placeOf(r.PC))
	w.most -= len(p.b)
	w.text(r.Message)
	w.most += len(p.b)
	w.b = append(w.b, p.b...)
	r.Attrs(func(a slog.Attr) bool {
		w.attr(&a)
		return true
	})
	if w.cuts == (cuts{}) {
		return w.b
	}
	w.b[len(dst)] |= flagCut
	said := binary.AppendUvarint(nil, uint64(len(w.b)-len(dst)+w.cuts.bytes))
	said = binary.AppendUvarint(said, uint64(len(w.cuts.names)))
	return slices.Insert(w.b, len(dst)+1, append(said, w.cuts.names...)...)
}

// anchor is a place in the program whose address each process knows.
func anchor() {}

// base is where anchor is. Main and its workers run the same binary: a place in it is as far from
// this one in each of them, wherever the system has put the code.
var base = int64(reflect.ValueOf(anchor).Pointer())

// placeOf returns a place in the program as it crosses; 0 is none.
func placeOf(pc uintptr) int64 {
	if pc == 0 {
		return 0
	}
	return int64(pc) - base
}

// pcOf returns what placeOf was given, or 0 if there is no code.
func pcOf(place int64) uintptr {
	pc := uintptr(base + place)
	if place == 0 || pc == 0 || runtime.FuncForPC(pc-1) == nil {
		return 0
	}
	return pc
}

// zoned returns the time at an offset in seconds to the east of Greenwich.
func zoned(t time.Time, offset int64) time.Time {
	if _, local := t.Zone(); int64(local) == offset {
		return t
	}
	if offset == 0 {
		return t.UTC()
	}
	return t.In(time.FixedZone("", int(offset)))
}

// number returns the bits of a number as they cross.
func number(f float64) uint64 { return math.Float64bits(f) }
