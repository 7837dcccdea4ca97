// Package pack lays out the few small values that main and a worker exchange at the worker's start,
// and knows nothing else.
//
// Both processes use it. encoding/json could do the same, but its first use of each type takes
// longer than all the rest of a start, and it does not bound what it reads.
//
// A value describes its layout once, in a method that calls Number, Text and Flag for its fields in
// order; the same method writes and reads.
package pack

import (
	"encoding/binary"
	"errors"
)

// Packed is a value that describes its layout.
type Packed interface{ Pack(p *Packing) }

// Packing is a layout that is being written or read. One goroutine uses it.
type Packing struct {
	b       []byte // what was written so far, or what is left to be read
	reading bool   // the layout is being read, and not written
	bad     bool   // something that was read is malformed or makes no sense
}

// Marshal returns the layout of v.
func Marshal(v Packed) []byte {
	p := &Packing{b: make([]byte, 0, 128)}
	v.Pack(p)
	return p.b
}

// Unmarshal reads into v what Marshal wrote. It trusts nothing that it reads.
func Unmarshal(b []byte, v Packed) error {
	p := &Packing{b: b, reading: true}
	v.Pack(p)
	if p.bad || len(p.b) > 0 {
		return errors.New("it is cut short, or malformed")
	}
	return nil
}

// Number writes or reads a number.
func Number[T ~int | ~int64 | ~uintptr](p *Packing, v *T) {
	if !p.reading {
		p.b = binary.AppendVarint(p.b, int64(*v))
		return
	}
	n, size := binary.Varint(p.b)
	if p.fail(size <= 0 || int64(T(n)) != n) {
		return
	}
	*v, p.b = T(n), p.b[size:]
}

// Text writes or reads a string.
func Text(p *Packing, v *string) {
	n := len(*v)
	Number(p, &n)
	if !p.reading {
		p.b = append(p.b, *v...)
		return
	}
	if p.fail(n < 0 || n > len(p.b)) {
		return
	}
	*v, p.b = string(p.b[:n]), p.b[n:]
}

// Flag writes or reads a bool.
func Flag(p *Packing, v *bool) {
	n := 0
	if *v {
		n = 1
	}
	Number(p, &n)
	p.fail(n != 0 && n != 1)
	*v = n == 1
}

// List writes or reads the elements of a slice, each with the function each.
func List[T any](p *Packing, v *[]T, each func(p *Packing, v *T)) {
	n := len(*v)
	Number(p, &n)
	if !p.reading {
		for i := range *v {
			each(p, &(*v)[i])
		}
		return
	}
	p.fail(n < 0 || n > len(p.b)) // each takes a byte at least
	*v = nil
	for i := 0; i < n && !p.bad; i++ {
		var e T
		each(p, &e)
		*v = append(*v, e)
	}
}

// Reading reports whether the layout is being read.
func (p *Packing) Reading() bool { return p.reading }

// Fail says that what was read makes no sense, so that Unmarshal returns an error. While a layout
// is being written it does nothing.
func (p *Packing) Fail() { p.bad = p.bad || p.reading }

// fail notes that what was read is malformed, if bad says so. It reports whether anything that was
// read so far is malformed.
func (p *Packing) fail(bad bool) bool {
	if p.reading && bad {
		p.bad = true
	}
	return p.bad
}
