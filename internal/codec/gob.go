package codec

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// This file is what the package knows of gob's format: how types and numbers are laid out, and a
// scanner that checks values. Its sources are the documentation of encoding/gob, "Encoding
// Details", and the types by which gob describes types (encoding/gob/type.go: wireType and what it
// holds). The format is fixed by Go's promise of compatibility.

// gob's own ids of the types that need no definition.
const (
	idBool int64 = iota + 1
	idInt
	idUint
	idFloat
	idBytes
	idString
	idComplex
	idInterface

	firstDefinable = 64 // gob uses the ids below this one for itself
	firstID        = 65 // the first id that a Codec gives
)

// maxDepth bounds how deep values are nested, as encoding/json does: gob decodes by recursion, and
// a goroutine that overflows its stack ends the process.
const maxDepth = 10000

var (
	// errGarbled says that bytes are no value of the type that they are said to be of.
	errGarbled = errors.New("it is not a gob value of its type")
	// errDeep says that a value is nested over maxDepth levels deep. The number stands in the text
	// because the first use of package fmt would take a good part of a worker's start.
	errDeep = errors.New("it is nested over 10000 levels deep")
)

// form is how gob lays out a type. The numbers are those of the fields of gob's wireType.
type form uint8

const (
	basic form = iota
	array
	slice
	structure
	mapping
	gobEncoded
	binaryMarshaled
	textMarshaled
	undefined // the type was mentioned, but not yet defined
)

// shape is a type as gob sees it, without its name. A shape is not changed once it is complete.
type shape struct {
	form   form    // how gob lays out the type
	id     int64   // gob's own id of the type if form is basic; else an id that is given in order from firstID
	key    *shape  // the shape of a map's key
	elem   *shape  // the shape of the element of an array, slice or map
	len    int     // the length of an array
	fields []field // the exported fields of a struct, in their order
}

// field is an exported field of a struct as gob sees it. It does not change once its shape is
// complete.
type field struct {
	name  string // the name of the field
	shape *shape // the shape of the field's type
}

// basics holds the shapes of the basic types, by their ids.
var basics = func() (shapes [idInterface + 1]*shape) {
	for id := idBool; id <= idInterface; id++ {
		shapes[id] = &shape{id: id}
	}
	return shapes
}()

// same reports whether two shapes are alike all the way down. The pairs in assumed are taken to be
// alike.
func same(a, b *shape, assumed map[[2]*shape]bool) bool {
	if a == b || assumed[[2]*shape{a, b}] {
		return true
	}
	if a.form != b.form || a.form == basic || a.len != b.len || len(a.fields) != len(b.fields) {
		return false
	}
	assumed[[2]*shape{a, b}] = true // recursive types come back to where they began
	if a.elem != nil && !same(a.elem, b.elem, assumed) || a.key != nil && !same(a.key, b.key, assumed) {
		return false
	}
	for i, f := range a.fields {
		if f.name != b.fields[i].name || !same(f.shape, b.fields[i].shape, assumed) {
			return false
		}
	}
	return true
}

// appendUint appends an unsigned number as gob writes it: a byte below 128, or the negated count of
// big-endian bytes.
func appendUint(dst []byte, v uint64) []byte {
	if v < 128 {
		return append(dst, byte(v))
	}
	return appendLong(dst, v)
}

// appendLong is appendUint for 128 and more.
func appendLong(dst []byte, v uint64) []byte {
	zeros := bits.LeadingZeros64(v) &^ 7
	n := 8 - zeros/8
	dst = binary.BigEndian.AppendUint64(append(dst, byte(-n)), v<<zeros)
	return dst[:len(dst)-8+n]
}

// appendInt appends a signed number: the lowest bit says whether the other bits are complemented.
func appendInt(dst []byte, v int64) []byte { return appendUint(dst, uint64(v<<1^v>>63)) }

// appendMessage appends a gob message with its length before it.
func appendMessage(dst, message []byte) []byte {
	return append(appendUint(dst, uint64(len(message))), message...)
}

// appendDefinitions appends the messages that define shapes.
func appendDefinitions(dst []byte, shapes []*shape) []byte {
	for _, s := range shapes {
		b := appendInt(nil, -s.id)
		b = append(b, byte(s.form), 1, 2) // the field of wireType, its CommonType and the Id in that; no name
		b = append(appendInt(b, s.id), 0)
		switch s.form {
		case array:
			b = appendInt(append(b, 1), s.elem.id)
			if s.len != 0 {
				b = appendInt(append(b, 1), int64(s.len))
			}
		case slice:
			b = appendInt(append(b, 1), s.elem.id)
		case mapping:
			b = appendInt(append(b, 1), s.key.id)
			b = appendInt(append(b, 1), s.elem.id)
		case structure:
			if len(s.fields) > 0 {
				b = appendUint(append(b, 1), uint64(len(s.fields)))
			}
			for _, f := range s.fields {
				b = append(appendUint(append(b, 1), uint64(len(f.name))), f.name...)
				b = append(appendInt(append(b, 1), f.shape.id), 0)
			}
		}
		dst = appendMessage(dst, append(b, 0, 0))
	}
	return dst
}

// scanner walks over gob's bytes and checks them, because gob itself takes memory for a map, or
// loops, only because a count says so, and recurses as deep as the bytes say. After the first fault
// everything that it reads is zero. One goroutine uses it.
type scanner struct {
	data []byte // the bytes that have not been read
	err  error  // the first fault, or nil
	// dynamic reads what an interface holds. It is nil if the value may hold no interface.
	dynamic func(depth int)
}

// fail notes a fault, unless there was one before.
func (s *scanner) fail(err error) {
	if s.err == nil {
		s.err = err
	}
	s.data = nil
}

// uint reads an unsigned number, see appendUint.
func (s *scanner) uint() (v uint64) {
	if len(s.data) == 0 {
		s.fail(errGarbled)
		return 0
	}
	b := s.data[0]
	if b < 128 {
		s.data = s.data[1:]
		return uint64(b)
	}
	n := -int(int8(b))
	if n > 8 || len(s.data) < 1+n {
		s.fail(errGarbled)
		return 0
	}
	for _, x := range s.data[1 : 1+n] {
		v = v<<8 | uint64(x)
	}
	s.data = s.data[1+n:]
	return v
}

// int reads a signed number, see appendInt.
func (s *scanner) int() int64 {
	v := s.uint()
	if v&1 != 0 {
		return ^int64(v >> 1)
	}
	return int64(v >> 1)
}

// count reads the number of things that follow, each of which takes a byte or more.
func (s *scanner) count() int {
	n := s.uint()
	if n > uint64(len(s.data)) {
		s.fail(errGarbled)
		return 0
	}
	return int(n)
}

// bytes reads a text or bytes with their length before them.
func (s *scanner) bytes() []byte {
	n := s.count()
	b := s.data[:n]
	s.data = s.data[n:]
	return b
}

// top reads a value that is not a part of another value.
func (s *scanner) top(sh *shape, depth int) {
	if sh.form != structure && s.uint() != 0 {
		s.fail(errGarbled)
	}
	s.value(sh, depth)
}

// value reads a value of a shape, which is a part of depth other values.
func (s *scanner) value(sh *shape, depth int) {
	if depth > maxDepth {
		s.fail(errDeep)
		return
	}
	switch sh.form {
	case basic:
		switch sh.id {
		case idBytes, idString:
			s.bytes()
		case idComplex:
			s.uint()
			s.uint()
		case idInterface:
			if s.dynamic == nil {
				s.fail(errGarbled)
				return
			}
			s.dynamic(depth)
		default:
			s.uint()
		}
	case array, slice:
		n := s.count()
		if sh.form == array && n != sh.len {
			s.fail(errGarbled)
		}
		for i := 0; i < n && s.err == nil; i++ {
			s.value(sh.elem, depth+1)
		}
	case mapping:
		n := s.count()
		for i := 0; i < n && s.err == nil; i++ {
			s.value(sh.key, depth+1)
			s.value(sh.elem, depth+1)
		}
	case structure:
		s.members(len(sh.fields), func(i int) { s.value(sh.fields[i].shape, depth+1) })
	case gobEncoded, binaryMarshaled, textMarshaled:
		s.bytes()
	default:
		s.fail(errGarbled)
	}
}

// members reads the fields of a struct of n fields: before each stands its distance from the field
// that was read last, and a 0 ends them.
func (s *scanner) members(n int, each func(i int)) {
	for i := -1; ; {
		delta := s.uint()
		if delta == 0 {
			return
		}
		if delta >= uint64(n-i) {
			s.fail(errGarbled)
			return
		}
		i += int(delta)
		each(i)
	}
}
