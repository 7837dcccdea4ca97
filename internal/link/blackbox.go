package link

import (
	"bytes"
	"encoding/binary"
	"io"
	"sync/atomic"
	"unsafe"
)

// blackBox is memory that a worker shares with main and that outlives it: what the worker has
// posted, and not yet written to its pipe, is in it. A worker may therefore begin with a task
// before main has been told, and go on to the next one before its result is in the pipe: if it
// dies, main reads the rest of what it said from the box. It exists in the worker, where the link's
// mutex guards it; main reads the same memory through its file, once, when the worker is gone.
//
// Its memory holds BoxHeader bytes, then a part of the stream of the wire: at 0 the place of its
// first byte in the stream, at 8 its length, at 16 the mark, at 24 the length of the note, at 32
// the count, all little-endian. The last NoteRoom bytes are the note.
type blackBox struct {
	start, length, mark, noted, count *uint64
	data                              []byte // of the stream: all of it
	note                              []byte // all of it
	used                              int
	spilled                           bool // more was posted than fits; until all is written nothing more is recorded
}

const (
	BoxHeader = 64
	// NoteRoom is the part of it that is for the note.
	NoteRoom = 96 << 10
)

// newBlackBox returns the box in a memory, or nil if the memory has no room for one.
func newBlackBox(memory []byte) *blackBox {
	noteAt := len(memory) - NoteRoom
	if noteAt <= BoxHeader {
		return nil
	}
	return &blackBox{start: (*uint64)(unsafe.Pointer(&memory[0])), length: (*uint64)(unsafe.Pointer(&memory[8])),
		mark: (*uint64)(unsafe.Pointer(&memory[16])), noted: (*uint64)(unsafe.Pointer(&memory[24])),
		count: (*uint64)(unsafe.Pointer(&memory[32])),
		data:  memory[BoxHeader:noteAt:noteAt], note: memory[noteAt:len(memory):len(memory)]}
}

// room returns the place of the next n bytes, or nil if there is not enough.
func (b *blackBox) room(n int) []byte {
	if b.spilled || n > len(b.data)-b.used {
		b.spilled = true
		return nil
	}
	return b.data[b.used:b.used:len(b.data)]
}

// isLast reports whether what is appended to c comes into the box right behind what is in it.
func (b *blackBox) isLast(c []byte) bool {
	return b.holds(c) && len(c) > 0 && &c[len(c)-1] == &b.data[b.used-1]
}

// holds reports whether c lies in the box.
func (b *blackBox) holds(c []byte) bool {
	return cap(c) > 0 &&
		uintptr(unsafe.Pointer(unsafe.SliceData(c)))-uintptr(unsafe.Pointer(&b.data[0])) < uintptr(len(b.data))
}

// publish makes the next n bytes, which have been filled in, a part of the record.
func (b *blackBox) publish(n int) {
	b.used += n
	atomic.StoreUint64(b.length, little(uint64(b.used)))
}

// reset empties the box when everything before the place in the stream has been written.
func (b *blackBox) reset(written int64) {
	if b.used == 0 && !b.spilled {
		return
	}
	b.used, b.spilled = 0, false
	atomic.StoreUint64(b.length, 0) // first: a death between the two loses nothing
	atomic.StoreUint64(b.start, little(uint64(written)))
}

// setMark writes the mark, and empties the note.
func (b *blackBox) setMark(word uint64) {
	atomic.StoreUint64(b.noted, 0)
	atomic.StoreUint64(b.mark, little(word))
}

// setCount writes the count.
func (b *blackBox) setCount(n uint64) { atomic.StoreUint64(b.count, little(n)) }

// wordIn returns a word of the header of the box of a worker that is gone. It trusts nothing: the
// number may be any.
func wordIn(box io.ReaderAt, at int64) uint64 {
	var b [8]byte
	if _, err := box.ReadAt(b[:], at); err != nil {
		return 0
	}
	return binary.LittleEndian.Uint64(b[:])
}

// setNote makes text the note, if it still lies where the note does, and reports whether it does.
func (b *blackBox) setNote(text []byte) bool {
	if len(text) > len(b.note) || &text[0] != &b.note[0] {
		return false
	}
	atomic.StoreUint64(b.noted, little(uint64(len(text))))
	return true
}

// little returns the number whose bytes in memory are those of v in little-endian order.
func little(v uint64) uint64 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	return binary.NativeEndian.Uint64(b[:])
}

// Remains is what a process that is gone has left in its black box beside frames. Nothing of it may
// be trusted.
type Remains struct {
	Mark  uint64 // the last, or 0
	Count uint64 // the last, or 0
	Note  []byte // what was noted since the last mark, at most NoteRoom bytes
}

// ReadRemains reads the black box of a process that is gone.
func ReadRemains(box *io.SectionReader) (left Remains) {
	left.Mark, left.Count = wordIn(box, 16), wordIn(box, 32)
	if n := wordIn(box, 24); n > 0 && n <= NoteRoom {
		note := make([]byte, n)
		if _, err := box.ReadAt(note, box.Size()-NoteRoom); err == nil {
			left.Note = note
		}
	}
	return left
}

// unwritten returns what a worker that is gone has left in its box, from a place in the stream on:
// what did not come through the pipe. It trusts nothing in it.
func unwritten(box *io.SectionReader, from int64) *bytes.Reader {
	start, length := wordIn(box, 0), wordIn(box, 8)
	most := box.Size() - NoteRoom - BoxHeader
	if most < 0 || length > uint64(most) || uint64(from) < start || uint64(from)-start >= length {
		return bytes.NewReader(nil)
	}
	rest := make([]byte, length-(uint64(from)-start))
	if _, err := box.ReadAt(rest, int64(BoxHeader+uint64(from)-start)); err != nil {
		return bytes.NewReader(nil)
	}
	return bytes.NewReader(rest)
}
