// Package batch is many short tasks in one: how they lie in one body, what comes back of them, and
// how many of them travel together.
//
// Items of a Map that take less time than a message are worth sending many at a time. A batch is
// one task for the queue. Its body is its items, in their order, and the body of its result is the
// outcomes of the items, in the same order. Both have the same form, little-endian:
//
//	common   8 bytes   the id of the type definitions that most entries need, or 0
//	entries            one behind the other, each:
//	  head     1 byte    its status, its encoding, and whether an id of its own follows
//	  length   4 bytes   of its data
//	  data
//	  own      8 bytes   the id of its definitions, if it is another one than the common one
//
// The memory of a body is its writer's. A reader of a body that comes from another process trusts
// nothing in it: a length counts only once the bytes are there, and what it returns lies within the
// body. Nothing here makes memory by a number that was read.
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
	// HeadSize is the length in bytes of what a body begins with.
	HeadSize = 8
	// EntryHeadSize is the length in bytes of what is before the data of an entry.
	EntryHeadSize = 1 + 4
	// OwnSize is the length in bytes of the id that may be behind the data of an entry.
	OwnSize = 8
)

// Status says what an entry is.
type Status uint8

const (
	// OK is an item, or the value that one ended with.
	OK Status = 0
	// Failed is the error that an item ended with, packed.
	Failed Status = 1
	// Later is the error of an item whose handler wants it to be started again after some time.
	Later = Failed | 1<<4
)

// The head of an entry has its Status in bits 0 and 4 and its encoding in bits 1 to 3. These are
// the others.
const (
	mixed = 1 << 6 // of the first entry alone: some entries have ids of their own
	own   = 1 << 7 // the id of its definitions is behind the data
)

// heads says which heads there are, apart from mixed. End writes no others.
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

// Begin makes room for the head of an entry whose data are to be appended next, and for that of the
// body if the entry is its first. End is called with the length that b has before.
func Begin(b []byte) []byte {
	if len(b) == 0 {
		b = append(b, make([]byte, HeadSize)...)
	}
	return append(b, make([]byte, EntryHeadSize)...)
}

// End ends the entry that was begun when the body had the length at. Its data are what was appended
// since; of p only the encoding and the id count. An entry that has not OK has no encoding.
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
func Append(b []byte, s Status, p codec.Payload) []byte {
	return EndWith(Begin(b), len(b), s, p)
}

// Reader is entries of a body that are still to be read. Its zero value has none. Its owner alone
// uses it; a copy reads on its own.
type Reader struct {
	rest   []byte // the entries, within the body
	common uint64 // the id that the body begins with
}

// Read returns a Reader of all entries of a body.
func Read(b []byte) Reader {
	if len(b) < HeadSize {
		return Reader{}
	}
	return Reader{b[HeadSize:], binary.LittleEndian.Uint64(b)}
}

// Done reports whether there is nothing left to be read, not even what is malformed.
func (r *Reader) Done() bool { return len(r.rest) == 0 }

// Next reads an entry. Its data lie within the body. It returns false where there is none, or none
// that End has written, and then always does.
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

// skip is Next of an entry of which only the status is wanted.
func (r *Reader) skip() (s Status, ok bool) {
	n := r.size()
	if n == 0 {
		return OK, false
	}
	s = Status(r.rest[0]) & Later
	r.rest = r.rest[n:]
	return s, true
}

// size returns the length of the next entry, head and id included, or 0 if there is none that End
// has written.
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

// Before returns a Reader of what r had to read before rest, which was read on from a copy of r.
func (r *Reader) Before(rest Reader) Reader {
	return Reader{r.rest[:len(r.rest)-len(rest.rest)], r.common}
}

// From returns the entries of a body from number k on, up to number n, as a body of its own. It has
// fewer if the body has.
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
// more than once. Most bodies need one: the entries are looked at only where ids of their own are.
func Definitions(b []byte) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		r := Read(b)
		if r.Done() || r.common != 0 && !yield(r.common) || r.rest[0]&mixed == 0 {
			return
		}
		r.common = 0 // has been yielded
		for {
			_, p, ok := r.Next()
			if !ok || p.Defs != 0 && !yield(p.Defs) {
				return
			}
		}
	}
}
