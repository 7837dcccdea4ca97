package codec

import (
	"errors"
	"math"
)

// These bound how many types and fields are defined in one self-contained payload, and so what gob
// compiles for fields that the local type lacks.
const (
	maxStreamTypes  = 4096
	maxStreamFields = 1 << 16
)

// stream is a self-contained gob stream while it is taken apart. gob lays such a stream out in
// pieces: wherever an interface holds a value of a new type, the message that was begun ends with
// the definition of the type, and the value goes on in the next message. One goroutine uses it.
type stream struct {
	scanner                  // reads the present message
	rest    []byte           // the messages behind the one that is being read
	types   map[int64]*shape // the types that were mentioned, by the ids in the stream
	defs    []*shape         // the types that were mentioned, in the order of the ids that they get in out
	kept    []byte           // the part of the message that is not yet in out, and what has not been read
	out     []byte           // the value in one piece, as far as it was read
}

// flatten checks a self-contained gob stream. It returns the shape of the value, and a stream with
// the same value whose definitions all come first. That stream holds nothing that the check has not
// understood: gob does not see the bytes that came.
func flatten(b []byte) (flat []byte, root *shape, err error) {
	s, root, err := parse(b, nil)
	if err != nil {
		return nil, nil, err
	}
	return appendMessage(appendDefinitions(nil, s.defs), s.out), root, nil
}

// parse checks a self-contained gob stream. Afterwards out holds the id of the value's type, and
// the value behind it. If value is not nil, the stream has no value behind the type: value makes
// it.
func parse(b []byte, value func(root *shape) ([]byte, bool)) (s *stream, root *shape, err error) {
	s = &stream{rest: b, types: map[int64]*shape{}}
	s.dynamic = s.interfaceValue
	root = s.typeSequence(false)
	if value != nil && s.err == nil {
		v, ok := value(root)
		if len(s.data) > 0 || !ok {
			s.fail(errGarbled)
		} else {
			s.data = v
		}
	}
	s.kept = s.data
	s.out = appendInt(s.out, root.id)
	s.top(root, 0)
	s.keep()
	if len(s.data) > 0 || len(s.rest) > 0 {
		s.fail(errGarbled)
	}
	for _, d := range s.defs {
		if d.form == undefined {
			s.fail(errGarbled)
		}
	}
	if s.err == nil && compiled(s.defs) > maxStreamFields {
		s.fail(errors.New("its type definitions are too large"))
	}
	if s.err != nil {
		return nil, nil, s.err
	}
	return s, root, nil
}

// keep copies to out what was read since the last keep or drop.
func (s *stream) keep() {
	if s.err == nil {
		s.out = append(s.out, s.kept[:len(s.kept)-len(s.data)]...)
	}
	s.kept = s.data
}

// drop leaves out what was read since the last keep or drop.
func (s *stream) drop() { s.kept = s.data }

// typeSequence reads definitions up to the type of the value that follows.
func (s *stream) typeSequence(inInterface bool) *shape {
	for s.err == nil {
		if len(s.data) == 0 {
			m := scanner{data: s.rest}
			s.data = m.bytes()
			s.rest = m.data
			if len(s.data) == 0 {
				break
			}
		}
		id := s.int()
		if id >= 0 {
			sh := s.typeOf(id)
			if sh.id == idInterface {
				break
			}
			return sh
		}
		s.define(-id)
		if len(s.data) > 0 {
			if !inInterface {
				break
			}
			s.uint() // the length of what follows in the same message
		}
	}
	s.fail(errGarbled)
	return basics[idBool]
}

// typeOf returns the shape with an id of the stream, which may be defined later.
func (s *stream) typeOf(id int64) *shape {
	if id >= idBool && id <= idInterface {
		return basics[id]
	}
	sh := s.types[id]
	if sh == nil {
		if id < firstDefinable || id > math.MaxInt32 || len(s.defs) >= maxStreamTypes {
			s.fail(errGarbled)
			return basics[idBool]
		}
		sh = &shape{form: undefined, id: firstID + int64(len(s.defs))}
		s.types[id] = sh
		s.defs = append(s.defs, sh)
	}
	return sh
}

// define reads the definition of the type with the id: a value of gob's wireType.
func (s *stream) define(id int64) {
	sh := s.typeOf(id)
	if sh.form != undefined {
		s.fail(errGarbled)
		return
	}
	s.members(int(textMarshaled), func(i int) {
		if sh.form != undefined {
			s.fail(errGarbled)
		}
		sh.form = form(i + 1)
		s.members(3, func(i int) {
			switch {
			case i == 0: // CommonType
				s.members(2, func(i int) {
					if i == 0 {
						s.bytes()
					} else {
						s.int()
					}
				})
			case i == 1 && (sh.form == array || sh.form == slice), i == 2 && sh.form == mapping:
				sh.elem = s.typeOf(s.int())
			case i == 1 && sh.form == mapping:
				sh.key = s.typeOf(s.int())
			case i == 2 && sh.form == array:
				sh.len = int(s.int())
			case i == 1 && sh.form == structure:
				for n := s.count(); n > 0 && s.err == nil; n-- {
					f := field{shape: basics[idBool]}
					s.members(2, func(i int) {
						if i == 0 {
							f.name = string(s.bytes())
						} else {
							f.shape = s.typeOf(s.int())
						}
					})
					sh.fields = append(sh.fields, f)
				}
			default:
				s.fail(errGarbled)
			}
		})
	})
	needsElem := sh.form == array || sh.form == slice || sh.form == mapping
	if needsElem && sh.elem == nil || sh.form == mapping && sh.key == nil {
		s.fail(errGarbled)
	}
}

// interfaceValue reads what an interface holds: the name of its type, definitions, the type's id, a
// length, the value.
func (s *stream) interfaceValue(depth int) {
	name := s.bytes()
	if len(name) == 0 {
		return // nil
	}
	s.keep()
	sh := s.typeSequence(true)
	s.uint() // the length up to the next definition; gob believes it where it skips a value
	s.drop()
	s.out = appendInt(s.out, sh.id)
	s.out = append(s.out, 0xfc, 0, 0, 0, 0) // 0xfc is -4: the true length follows, in 4 bytes
	at := len(s.out)
	s.top(sh, depth+1)
	s.keep()
	n := len(s.out) - at
	s.out[at-4], s.out[at-3], s.out[at-2], s.out[at-1] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
}

// compiled returns how many operations gob would compile at most to skip fields of these types. For
// each field gob compiles arrays, slices and maps anew, down to the next struct.
func compiled(defs []*shape) (sum int) {
	weights := map[*shape]int{}
	var weigh func(*shape) int
	weigh = func(sh *shape) int {
		if sh.elem == nil {
			return 1
		}
		w, ok := weights[sh]
		if !ok {
			weights[sh] = 1
			w = 1 + weigh(sh.elem)
			if sh.key != nil {
				w += weigh(sh.key)
			}
			w = min(w, maxStreamFields)
			weights[sh] = w
		}
		return w
	}
	for _, d := range defs {
		for _, f := range d.fields {
			if sum += weigh(f.shape); sum > maxStreamFields {
				return sum
			}
		}
	}
	return sum
}

// zeroOf returns the zero value of a shape as gob writes it, or false if only the methods of the
// type could.
func zeroOf(sh *shape) ([]byte, bool) {
	var b []byte
	if sh.form != structure {
		b = append(b, 0)
	}
	return appendZero(b, sh, 0)
}

// appendZero appends the zero value of a shape, unless that is longer than definitions may be, or
// an array of arrays without end.
func appendZero(b []byte, sh *shape, depth int) (_ []byte, ok bool) {
	switch sh.form {
	case basic:
		if sh.id == idComplex {
			b = append(b, 0)
		}
		return append(b, 0), true
	case slice, mapping, structure:
		return append(b, 0), true
	case array:
		b, ok = appendUint(b, uint64(sh.len)), depth < maxTypeDepth
		for i := 0; i < sh.len && ok; i++ {
			b, ok = appendZero(b, sh.elem, depth+1)
			ok = ok && len(b) <= maxDefinitionSize
		}
		return b, ok
	}
	return b, false
}
