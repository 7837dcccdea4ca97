package codec

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"reflect"
)

// This file is how numbers, texts and counts are read, by which engines read values.

// errRange says that a number does not fit into the type that is wanted.
var errRange = errors.New("a value is out of range")

// reader reads gob's bytes. After the first fault everything that it reads is zero. One goroutine
// uses it.
//
// Every element of a slice or map takes a byte or more. For the elements that are still to come, so
// many bytes are set aside: no count within an element can claim them. So what is allocated because
// a count says so stays in proportion to the bytes that are there, however slices are nested.
type reader struct {
	data  []byte // all the bytes
	at    int    // how many bytes of data have been read
	aside int    // how many bytes behind at are set aside for other elements
	err   error  // the first fault, or nil
	// cards are the types whose cards stood before the value, by the ids of their definitions.
	cards map[uint64]reflect.Type
}

// fail notes a fault, unless there was one before.
func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.at = len(r.data)
}

// uint reads an unsigned number, see appendUint.
func (r *reader) uint() uint64 {
	if r.at < len(r.data) && r.data[r.at] < 128 {
		r.at++
		return uint64(r.data[r.at-1])
	}
	return r.long()
}

// long is uint for a number that takes more than one byte.
func (r *reader) long() (v uint64) {
	rest := r.data[r.at:]
	if len(rest) == 0 {
		r.fail(errGarbled)
		return 0
	}
	n := -int(int8(rest[0]))
	if n > 8 || len(rest) < 1+n {
		r.fail(errGarbled)
		return 0
	}
	r.at += 1 + n
	if len(rest) >= 9 {
		return binary.BigEndian.Uint64(rest[1:]) >> (64 - 8*n)
	}
	for _, x := range rest[1 : 1+n] {
		v = v<<8 | uint64(x)
	}
	return v
}

func (r *reader) int() int64 {
	v := r.uint()
	return int64(v>>1) ^ -int64(v&1)
}

func (r *reader) float64() float64 { return math.Float64frombits(bits.ReverseBytes64(r.uint())) }

func (r *reader) float32() float32 {
	v := r.float64()
	if a := math.Abs(v); a > math.MaxFloat32 && a <= math.MaxFloat64 { // infinity is fine
		r.fail(errRange)
	}
	return float32(v)
}

// bytes reads a text or bytes with their length before them. What it returns is a part of data.
func (r *reader) bytes() []byte {
	n := r.uint()
	if n > uint64(len(r.data)-r.at) {
		r.fail(errGarbled)
		return nil
	}
	b := r.data[r.at : r.at+int(n)]
	r.at += int(n)
	return b
}

// text reads a text.
func (r *reader) text() string { return string(r.bytes()) }

// count reads the number of elements that follow, each of which takes least bytes or more.
func (r *reader) count(least int) int {
	n := r.uint()
	if left := len(r.data) - r.at - r.aside; left < 0 || n > uint64(left)/uint64(least) {
		r.fail(errGarbled)
		return 0
	}
	return int(n)
}

// eight reads a number of eight bytes.
func (r *reader) eight() uint64 {
	if len(r.data)-r.at < 8 {
		r.fail(errGarbled)
		return 0
	}
	r.at += 8
	return binary.LittleEndian.Uint64(r.data[r.at-8:])
}
