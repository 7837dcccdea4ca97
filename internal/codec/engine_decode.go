package codec

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"time"
	"unsafe"
)

// This file is how an engine reads a value.

const (
	maxAtOnce = 10 << 20                    // how many bytes are allocated at once; a slice may grow further
	tooBig    = 1 << 30 << (^uint(0) >> 62) // how many bytes a slice may have: gob's own limit
)

// decode decodes data into target, which it sets to zero first, and again if it fails.
func (e *engine) decode(data []byte, target reflect.Value) error {
	target.SetZero()
	v := target
	for v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	err := e.decodeAt(data, v.Addr().UnsafePointer())
	if err != nil {
		target.SetZero()
	}
	return err
}

// decodeAt decodes data into the zero value at p. Bytes that come from a worker must not end the
// main process, even if something has been overlooked here: this is what the guard is for.
func (e *engine) decodeAt(data []byte, p unsafe.Pointer) (err error) {
	defer guard(&err, "decoding")
	r := reader{data: data}
	if e.holds != nil {
		r = e.holds.readCards(r)
	}
	if e.op != opStruct && r.uint() != 0 {
		r.fail(errGarbled)
	}
	e.read(&r, p, 0)
	if e.typ == listType && (*sliceHeader)(p).data == nil {
		*(*[]any)(p) = []any{}
	}
	if r.at < len(r.data) {
		r.fail(errGarbled)
	}
	if r.err == errRange {
		return outOfRange(e.typ.String())
	}
	return r.err
}

// outOfRange returns the error that gob has for a number that is out of range.
func outOfRange(name string) error {
	return errors.New("value for " + strconv.Quote(name) + " out of range")
}

// read reads a value into the zero value at p.
func (e *engine) read(r *reader, p unsafe.Pointer, depth int) {
	if depth > maxDepth {
		r.fail(errDeep)
		return
	}
	switch e.op {
	case opStruct:
		e.readStruct(r, p, depth)
	case opSlice:
		e.readSlice(r, p, depth)
	case opArray:
		if r.uint() != uint64(e.len) {
			r.fail(errGarbled)
			return
		}
		e.elem.readValues(r, p, e.len, depth+1)
	case opMap:
		e.readMap(r, p, depth)
	case opInterface:
		*r = e.holds.readHeld(e, *r, p, depth)
	case opPointer:
		for t := e.typ; t.Kind() == reflect.Pointer; t = t.Elem() {
			to := reflect.New(t.Elem()).UnsafePointer()
			*(*unsafe.Pointer)(p) = to
			p = to
		}
		e.elem.read(r, p, depth)
	case opString:
		*(*string)(p) = r.text()
	case opBytes:
		if b := r.bytes(); len(b) > 0 { // gob leaves what is empty nil
			*(*[]byte)(p) = append(make([]byte, 0, len(b)), b...)
		}
	case opTime:
		if b := r.bytes(); r.err == nil {
			if err := (*time.Time)(p).UnmarshalBinary(b); err != nil {
				r.fail(err)
			}
		}
	case opMethods:
		if b := r.bytes(); r.err == nil {
			if err := e.decodeItself(p, bytes.Clone(b)); err != nil {
				r.fail(err)
			}
		}
	default:
		e.readValues(r, p, 1, depth)
	}
}

// readValues reads n values into the zero values that lie one behind the other from p on.
func (e *engine) readValues(r *reader, p unsafe.Pointer, n, depth int) {
	if n == 0 {
		return
	}
	if depth > maxDepth {
		r.fail(errDeep)
		return
	}
	switch e.op {
	case opBool:
		s := unsafe.Slice((*bool)(p), n)
		for i := range s {
			s[i] = r.uint() != 0
		}
	case opInt8:
		readInts(r, unsafe.Slice((*int8)(p), n))
	case opInt16:
		readInts(r, unsafe.Slice((*int16)(p), n))
	case opInt32:
		readInts(r, unsafe.Slice((*int32)(p), n))
	case opInt64:
		readInts(r, unsafe.Slice((*int64)(p), n))
	case opUint8:
		readUints(r, unsafe.Slice((*uint8)(p), n))
	case opUint16:
		readUints(r, unsafe.Slice((*uint16)(p), n))
	case opUint32:
		readUints(r, unsafe.Slice((*uint32)(p), n))
	case opUint64:
		readUints(r, unsafe.Slice((*uint64)(p), n))
	case opFloat32:
		readFloat32s(r, unsafe.Slice((*float32)(p), n))
	case opFloat64:
		readFloat64s(r, unsafe.Slice((*float64)(p), n))
	case opComplex64: // a complex number lies in memory as two floats
		readFloat32s(r, unsafe.Slice((*float32)(p), 2*n))
	case opComplex128:
		readFloat64s(r, unsafe.Slice((*float64)(p), 2*n))
	case opString:
		s := unsafe.Slice((*string)(p), n)
		for i := range s {
			s[i] = r.text()
		}
	default:
		for i := 0; i < n && r.err == nil; i++ {
			e.read(r, unsafe.Add(p, uintptr(i)*e.size), depth)
		}
	}
}

func readInts[T int8 | int16 | int32 | int64](r *reader, s []T) {
	for i := range s {
		v := r.int()
		if int64(T(v)) != v {
			r.fail(errRange)
		}
		s[i] = T(v)
	}
}

func readUints[T uint8 | uint16 | uint32 | uint64](r *reader, s []T) {
	for i := range s {
		v := r.uint()
		if uint64(T(v)) != v {
			r.fail(errRange)
		}
		s[i] = T(v)
	}
}

func readFloat32s(r *reader, s []float32) {
	for i := range s {
		s[i] = r.float32()
	}
}

func readFloat64s(r *reader, s []float64) {
	for i := range s {
		s[i] = r.float64()
	}
}

// readStruct reads fields: before each stands its distance from the last one, and 0 ends them.
func (e *engine) readStruct(r *reader, p unsafe.Pointer, depth int) {
	for at := -1; ; {
		delta := r.uint()
		if delta == 0 {
			return
		}
		if delta >= uint64(len(e.fields)-at) {
			r.fail(errGarbled)
			return
		}
		at += int(delta)
		f := &e.fields[at]
		if depth >= maxDepth {
			r.fail(errDeep)
			return
		}
		p := unsafe.Add(p, f.offset)
		switch f.op {
		case opInt64:
			*(*int64)(p) = r.int()
		case opString:
			*(*string)(p) = r.text()
		case opBool:
			*(*bool)(p) = r.uint() != 0
		case opFloat64:
			*(*float64)(p) = r.float64()
		default:
			f.engine.read(r, p, depth+1)
			if r.err == errRange {
				r.err = outOfRange(f.name)
			}
			if (f.op == opSlice || f.op == opBytes) && (*sliceHeader)(p).data == nil && r.err == nil {
				*(*[]struct{})(p) = []struct{}{} // a nil slice would not have been sent, so this slice is empty
			}
		}
	}
}

// readSlice reads a slice into the nil slice at p. As in gob, it stays nil if there are no
// elements.
func (e *engine) readSlice(r *reader, p unsafe.Pointer, depth int) {
	n := r.count(1)
	if n == 0 {
		return
	}
	elem := e.elem
	var data unsafe.Pointer
	switch elem.op { // to the garbage collector, numbers of the same size are the same
	case opBool, opInt8, opUint8:
		data = allocate[uint8](p, n)
	case opInt16, opUint16:
		data = allocate[uint16](p, n)
	case opInt32, opUint32, opFloat32:
		data = allocate[uint32](p, n)
	case opInt64, opUint64, opFloat64, opComplex64:
		data = allocate[uint64](p, n)
	case opComplex128:
		data = allocate[complex128](p, n)
	case opString:
		data = allocate[string](p, n)
	default:
		e.readElements(r, p, n, depth)
		return
	}
	elem.readValues(r, data, n, depth+1)
}

// allocate makes the slice at p one of n zero values, and returns a pointer to the values.
func allocate[T any](p unsafe.Pointer, n int) unsafe.Pointer {
	s := make([]T, n)
	*(*[]T)(p) = s
	return unsafe.Pointer(unsafe.SliceData(s))
}

// readElements reads the n elements of a slice whose element type is not basic.
func (e *engine) readElements(r *reader, p unsafe.Pointer, n, depth int) {
	size := max(e.elem.size, 1)
	if uint64(n) > tooBig/uint64(size) {
		r.fail(fmt.Errorf("a slice of %d elements is too big", n)) // the elements may be structs with large arrays
		return
	}
	s := reflect.NewAt(e.typ, p).Elem()
	s.Grow(min(n, max(maxAtOnce/int(size), 1)))
	r.aside += n
	for done := 0; done < n && r.err == nil; {
		if done == s.Cap() {
			s.Grow(1)
		}
		s.SetLen(min(n, s.Cap()))
		for data := s.UnsafePointer(); done < s.Len() && r.err == nil; done++ {
			r.aside--
			e.elem.read(r, unsafe.Add(data, uintptr(done)*e.elem.size), depth+1)
		}
	}
}
