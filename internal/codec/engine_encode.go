package codec

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"reflect"
	"time"
	"unsafe"
)

// This file is how an engine writes a value.

// shallow is how many levels an engine encodes of a value whose type holds itself before the value
// is inspected. Most values end sooner.
const shallow = 64

// walked is how many levels an engine encodes of a value that was walked over, or cannot be too
// deep.
const walked = math.MaxInt

// errWalk says that a value has to be walked over before it is encoded, because the types of what
// its interfaces hold have cards.
var errWalk = errors.New("it has not been walked over")

// append appends the value of the engine's type at p as gob writes it. It returns errDeep if the
// value is nested over left levels deep.
func (e *engine) append(b []byte, p unsafe.Pointer, left int) ([]byte, error) {
	if e.op != opStruct {
		b = append(b, 0) // stands in place of the number of a field
	}
	return e.appendValue(b, p, left)
}

// appendValue appends a value, also if it is zero.
func (e *engine) appendValue(b []byte, p unsafe.Pointer, left int) ([]byte, error) {
	if left < 0 {
		return b, errDeep
	}
	switch e.op {
	case opStruct:
		return e.appendStruct(b, p, left)
	case opSlice:
		s := (*sliceHeader)(p)
		return e.elem.appendValues(appendUint(b, uint64(s.len)), s.data, s.len, left-1)
	case opArray:
		return e.elem.appendValues(appendUint(b, uint64(e.len)), p, e.len, left-1)
	case opMap:
		return e.appendMap(b, p, left)
	case opInterface:
		return e.holds.appendHeld(e, b, p, left-1)
	case opPointer:
		to := e.follow(p)
		if to == nil {
			return e.appendNil(b)
		}
		return e.elem.appendValue(b, to, left)
	case opString:
		s := *(*string)(p)
		return append(appendUint(b, uint64(len(s))), s...), nil
	case opBytes:
		s := *(*[]byte)(p)
		return append(appendUint(b, uint64(len(s))), s...), nil
	case opTime:
		b = append(b, 0)
		at := len(b)
		b, err := (*time.Time)(p).AppendBinary(b)
		if err == nil {
			b[at-1] = byte(len(b) - at) // 15 or 16
		}
		return b, err
	case opMethods:
		data, err := e.encodeItself(p)
		if err != nil {
			return b, err
		}
		return append(appendUint(b, uint64(len(data))), data...), nil
	}
	return e.appendValues(b, p, 1, left)
}

// appendValues appends n values that lie one behind the other.
func (e *engine) appendValues(b []byte, p unsafe.Pointer, n, left int) (_ []byte, err error) {
	if n == 0 {
		return b, nil
	}
	switch e.op {
	case opBool:
		for _, v := range unsafe.Slice((*bool)(p), n) {
			if v {
				b = append(b, 1)
			} else {
				b = append(b, 0)
			}
		}
	case opInt8:
		return appendInts(b, unsafe.Slice((*int8)(p), n)), nil
	case opInt16:
		return appendInts(b, unsafe.Slice((*int16)(p), n)), nil
	case opInt32:
		return appendInts(b, unsafe.Slice((*int32)(p), n)), nil
	case opInt64:
		return appendInts(b, unsafe.Slice((*int64)(p), n)), nil
	case opUint8:
		return appendUints(b, unsafe.Slice((*uint8)(p), n)), nil
	case opUint16:
		return appendUints(b, unsafe.Slice((*uint16)(p), n)), nil
	case opUint32:
		return appendUints(b, unsafe.Slice((*uint32)(p), n)), nil
	case opUint64:
		return appendUints(b, unsafe.Slice((*uint64)(p), n)), nil
	case opFloat32:
		return appendFloats(b, unsafe.Slice((*float32)(p), n)), nil
	case opFloat64:
		return appendFloats(b, unsafe.Slice((*float64)(p), n)), nil
	case opComplex64: // a complex number lies in memory as two floats
		return appendFloats(b, unsafe.Slice((*float32)(p), 2*n)), nil
	case opComplex128:
		return appendFloats(b, unsafe.Slice((*float64)(p), 2*n)), nil
	case opString:
		for _, s := range unsafe.Slice((*string)(p), n) {
			b = append(appendUint(b, uint64(len(s))), s...)
		}
	default:
		for i := range n {
			if b, err = e.appendValue(b, unsafe.Add(p, uintptr(i)*e.size), left); err != nil {
				return b, err
			}
		}
	}
	return b, nil
}

func appendInts[T int8 | int16 | int32 | int64](b []byte, s []T) []byte {
	for _, v := range s {
		b = appendInt(b, int64(v))
	}
	return b
}

func appendUints[T uint8 | uint16 | uint32 | uint64](b []byte, s []T) []byte {
	for _, v := range s {
		b = appendUint(b, uint64(v))
	}
	return b
}

func appendFloats[T float32 | float64](b []byte, s []T) []byte {
	for _, v := range s {
		b = appendFloat(b, float64(v))
	}
	return b
}

// appendFloat appends a float. Its bytes are reversed, because the last bytes of a float are often
// zero.
func appendFloat(b []byte, v float64) []byte {
	return appendUint(b, bits.ReverseBytes64(math.Float64bits(v)))
}

// appendStruct appends the fields that gob sends, and those that it would lose, see omits. Before
// each stands its distance from the field that was appended last, and a 0 ends them.
func (e *engine) appendStruct(b []byte, p unsafe.Pointer, left int) (_ []byte, err error) {
	last := -1
	for i := range e.fields {
		f := &e.fields[i]
		p := unsafe.Add(p, f.offset)
		switch f.op {
		case opInt64:
			if v := *(*int64)(p); v != 0 {
				b = appendInt(appendUint(b, uint64(i-last)), v)
				last = i
			}
			continue
		case opString:
			if s := *(*string)(p); s != "" {
				b = appendUint(appendUint(b, uint64(i-last)), uint64(len(s)))
				b = append(b, s...)
				last = i
			}
			continue
		case opBool:
			if *(*bool)(p) {
				b = append(appendUint(b, uint64(i-last)), 1)
				last = i
			}
			continue
		case opFloat64:
			if v := *(*float64)(p); math.Float64bits(v) != 0 {
				b = appendFloat(appendUint(b, uint64(i-last)), v)
				last = i
			}
			continue
		}
		fe := f.engine
		if f.op == opPointer {
			if p = fe.follow(p); p == nil {
				continue
			}
			fe = fe.elem
		} else if fe.omits(p) {
			continue
		}
		b = appendUint(b, uint64(i-last))
		last = i
		if b, err = fe.appendValue(b, p, left-1); err != nil {
			return b, err
		}
	}
	return append(b, 0), nil
}

// appendNil appends a nil pointer that is an element. gob has no way to say that an element is nil,
// unless a method of the type encodes nil pointers: gob calls it, and so does an engine.
func (e *engine) appendNil(b []byte) ([]byte, error) {
	if e.elem.op != opMethods {
		return b, errNilElem
	}
	data, err := e.elem.encodeItself(nil)
	if err != nil {
		return b, fmt.Errorf("%w (%w)", errNilElem, err)
	}
	return append(appendUint(b, uint64(len(data))), data...), nil
}

// follow follows the pointers at p to the value behind them, or to nil.
func (e *engine) follow(p unsafe.Pointer) unsafe.Pointer {
	for i := 0; i < e.levels && p != nil; i++ {
		p = *(*unsafe.Pointer)(p)
	}
	return p
}

// omits reports whether the value at p is left out if it is a field: a zero is left out, and a nil
// slice or map, but never an array or a struct. gob leaves out more, though it could read it: an
// empty slice, -0, and zeros that a pointer leads to. Users of optional fields would lose data by
// that, and so an engine sends them.
func (e *engine) omits(p unsafe.Pointer) bool {
	switch e.op {
	case opBool, opInt8, opUint8:
		return *(*uint8)(p) == 0
	case opInt16, opUint16:
		return *(*uint16)(p) == 0
	case opInt32, opUint32, opFloat32: // -0 is not all zeros
		return *(*uint32)(p) == 0
	case opInt64, opUint64, opFloat64:
		return *(*uint64)(p) == 0
	case opComplex64:
		return *(*[2]uint32)(p) == [2]uint32{}
	case opComplex128:
		return *(*[2]uint64)(p) == [2]uint64{}
	case opString:
		return *(*string)(p) == ""
	case opBytes, opSlice:
		return (*sliceHeader)(p).data == nil
	case opMap:
		return *(*unsafe.Pointer)(p) == nil
	case opTime:
		return *(*time.Time)(p) == time.Time{} // compares all fields of the time, and not the instant
	case opInterface:
		return *(*unsafe.Pointer)(p) == nil
	case opMethods:
		return !e.always && reflect.NewAt(e.typ, p).Elem().IsZero()
	}
	return false
}

// sliceHeader is how Go lays out a slice. Engines read slices through it, and never write.
type sliceHeader struct {
	data unsafe.Pointer // the first element, or nil
	len  int            // the length
	_    int            // the capacity
}
