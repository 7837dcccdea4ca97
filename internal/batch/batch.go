// Package batch is many short tasks in one task: how they lie in one body, how their outcomes lie
// in one body, and how many of them travel together.
//
// If the items of a Map take less time than a message does, it is worth sending many at a time. A
// batch is one task for the queue. Its body is its items, in their order, and the body of its
// result is the outcomes of the items, in the same order. Both have the same form, little-endian:
//
//	common   8 bytes   the id of the type definitions that most entries need, or 0
//	entries            one behind the other, each:
//	  head     1 byte    its status, its encoding, and whether an id of its own follows
//	  length   4 bytes   the length of its data
//	  data
//	  own      8 bytes   the id of its definitions, if that is not the common one
//
// The memory of a body belongs to its writer. A reader of a body that comes from another process
// trusts nothing in it: a length counts only once the bytes are there, and what the reader returns
// lies within the body. Nothing here allocates as much as a number says that was read.
//
// Pace and Turn are rules: how many items travel together, and how long a worker stays with them.
// They read no clock; times are arguments. The package holds no goroutine, lock or channel.
package batch

import (
	"encoding/binary"
	"iter"

	"github.com/multiprolab/multiprolab/internal/codec"
)

const (
	// HeadSize is the length in bytes of the id at the start of a body.
	HeadSize = 8
	// EntryHeadSize is the length in bytes of the head and the length before the data of an entry.
	EntryHeadSize = 1 + 4
	// OwnSize is the length in bytes of the id that may stand behind the data of an entry.
	OwnSize = 8
)

// Status says what an entry is.
type Status uint8

const (
	// OK is an item, or the value that an item ended with.
	OK Status = 0
	// Failed is the packed error that an item ended with.
	Failed Status = 1
	// Later is the packed error of an item whose handler wants it to be started again after some
	// time.
	Later = Failed | 1<<4
)

// The head of an entry has its Status in bits 0 and 4, its encoding in bits 1 to 3, and these bits.
const (
	mixed = 1 << 6 // some entries have ids of their own; only the first entry has this bit
	own   = 1 << 7 // the id of the definitions stands behind the data
)

// heads says which heads End writes, apart from the bit mixed.
var heads = [256]bool{
	codec.None << 1:         true,
	codec.Bytes << 1:        true,
	codec.String << 1:       true,
	codec.Gob << 1:          true,
	codec.GobValue << 1:     true,
	codec.GobValue<<1 | own: true,
	uint8(Failed):           true,
	uint8(Later):            true,
}

// Begin makes room for the head of an entry, whose data are to be appended next. If the entry is
// the first, it makes room for the start of the body as well. End is called with the length that b
// had before Begin.
func Begin(b []byte) []byte {
	if len(b) == 0 {
		b = append(b, make([]byte, HeadSize)...)
	}
	return append(b, make([]byte, EntryHeadSize)...)
}

// End ends the entry that was begun when the body had the length at. The data of the entry are what
// was appended since Begin; of p only the encoding and the id count. An entry that is not OK has no
// encoding.
func End(b []byte, at int, s Status, p codec.Payload) []byte {
	h := b[max(at, HeadSize):]
	h[0] = byte(s) | p.Encoding<<1
	binary.LittleEndian.PutUint32(h[1:], uint32(len(h)-EntryHeadSize))
	if p.Encoding != codec.GobValue {
		return b
	}
	switch common := binary.LittleEndian.Uint64(b); common {
	case p.Defs:
	case 0:
		binary.LittleEndian.PutUint64(b, p.Defs)
	default:
		h[0] |= own
		b[HeadSize] |= mixed
		b = binary.LittleEndian.AppendUint64(b, p.Defs)
	}
	return b
}

// EndWith is End with the data of p in place of what was appended since Begin.
func EndWith(b []byte, at int, s Status, p codec.Payload) []byte {
	return End(append(b[:max(at, HeadSize)+EntryHeadSize], p.Data...), at, s, p)
}

// Append appends an entry.
func Append(b []byte, s Status, p codec.Payload) []byte { return EndWith(Begin(b), len(b), s, p) }

// Reader is the entries of a body that are still to be read. Its zero value has none. One goroutine
// uses it; a copy of it reads independently.
type Reader struct {
	rest   []byte // the entries that are still to be read, as a part of the body
	common uint64 // the id that the body begins with
}

// Read returns a Reader of all entries of a body.
func Read(b []byte) Reader {
	if len(b) < HeadSize {
		return Reader{}
	}
	return Reader{b[HeadSize:], binary.LittleEndian.Uint64(b)}
}

// Done reports whether there is nothing left to be read, not even malformed bytes.
func (r *Reader) Done() bool { return len(r.rest) == 0 }

// Next reads an entry, whose data lie within the body. It returns false if there is no entry left,
// or if the next bytes are none that End has written; from then on it always returns false.
func (r *Reader) Next() (s Status, p codec.Payload, ok bool) {
	n := r.size()
	if n == 0 {
		return OK, p, false
	}
	head, end := r.rest[0], n
	p.Encoding = head >> 1 & 7
	switch {
	case head&own != 0:
		end -= OwnSize
		p.Defs = binary.LittleEndian.Uint64(r.rest[end:])
	case p.Encoding == codec.GobValue:
		p.Defs = r.common
	}
	p.Data = r.rest[EntryHeadSize:end:end]
	r.rest = r.rest[n:]
	return Status(head) & Later, p, true
}

// skip is Next for who wants only the status of the entry.
func (r *Reader) skip() (s Status, ok bool) {
	n := r.size()
	if n == 0 {
		return OK, false
	}
	s = Status(r.rest[0]) & Later
	r.rest = r.rest[n:]
	return s, true
}

// size returns the length of the next entry, head and id included, or 0 if the next bytes are none
// that End has written.
func (r *Reader) size() int {
	if len(r.rest) < EntryHeadSize || !heads[r.rest[0]&^mixed] {
		return 0
	}
	n := EntryHeadSize + uint64(binary.LittleEndian.Uint32(r.rest[1:]))
	if r.rest[0]&own != 0 {
		n += OwnSize
	}
	if n > uint64(len(r.rest)) {
		return 0
	}
	return int(n)
}

// Before returns a Reader of the entries that r would read before those of rest, which is a copy of
// r that has read on.
func (r *Reader) Before(rest Reader) Reader {
	return Reader{r.rest[:len(r.rest)-len(rest.rest)], r.common}
}

// From returns the entries of a body from number k on, up to but not including number n, as a new
// body. If the body has fewer entries, the new one has fewer, too.
func From(b []byte, k, n int) []byte {
	r := Read(b)
	for range k {
		if _, ok := r.skip(); !ok {
			return nil
		}
	}
	end := r
	for range n - k {
		if _, ok := end.skip(); !ok {
			break
		}
	}
	entries := r.Before(end).rest
	if len(entries) == 0 {
		return nil
	}
	part := make([]byte, 0, HeadSize+len(entries))
	part = append(append(part, b[:HeadSize]...), entries...)
	part[HeadSize] |= b[HeadSize] & mixed
	return part
}

// Definitions yields the ids of the type definitions that the entries of a body need, some perhaps
// more than once. Most bodies need one id: the entries are looked at only if some have ids of their
// own.
func Definitions(b []byte) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		r := Read(b)
		if r.Done() || r.common != 0 && !yield(r.common) || r.rest[0]&mixed == 0 {
			return
		}
		r.common = 0 // the common id has been yielded
		for {
			_, p, ok := r.Next()
			if !ok || p.Defs != 0 && !yield(p.Defs) {
				return
			}
		}
	}
}
