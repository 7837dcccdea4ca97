package link

import (
	"bytes"
	"encoding/binary"
	"io"
	"sync/atomic"
	"unsafe"

	"github.com/multiprolab/multiprolab/internal/ablate"
)

const (
	// BoxHeader is the length in bytes of the header of a black box.
	BoxHeader = 64
	// NoteRoom is the length in bytes of the memory of the note, at the end of a black box.
	NoteRoom = 96 << 10
)

// blackBox is memory that this process shares with the one at the other end of the wire, and that
// outlives it: what the link has posted, and not yet written to its pipe, is in it. A worker may
// therefore begin with a task before main has been told, and go on to the next one before its
// result is in the pipe: if it dies, main reads the rest of what it said from the box. The type
// exists in the worker; main reads the same memory through a file, once, when the worker is gone.
//
// The memory is a header of BoxHeader bytes, then a part of the stream of the wire, then the note
// of NoteRoom bytes. The header is seven words, all little-endian:
//
//	offset
//	0       the place in the stream of the first byte that is in the box
//	8       the length of the part of the stream that is in the box
//	16      the mark
//	24      the length of the note, which is empty with each new mark
//	32      the count
//	40      the number of what was begun last
//	48      how much was never posted
//
// The link does not know what the mark, the note and the numbers mean: that is between who writes
// them and who reads them.
type blackBox struct {
	// start, length, mark, noted, count, begun and missed are the words of the header, in this
	// order. The process at the other end may read a word at any moment, so each is written in one
	// atomic step.
	start, length, mark, noted, count, begun, missed *uint64
	// note is the memory for the note. The one goroutine that calls Note may touch it.
	note []byte
	// boxed is the part of the stream that is in the box.
	boxed
}

// boxed is the part of a stream that is in a black box. chunks.mu guards it.
type boxed struct {
	stream []byte // the memory for the stream
	used   int    // how many bytes of stream are in use
	// spilled says that more was posted than the box has room for. Nothing more is recorded then,
	// until all is written.
	spilled bool
}

// newBlackBox returns the box in a memory, or nil if the memory has no room for one.
func newBlackBox(memory []byte) *blackBox {
	noteAt := len(memory) - NoteRoom
	if noteAt <= BoxHeader || ablate.Without(ablate.Box) {
		return nil
	}
	word := func(at int) *uint64 { return (*uint64)(unsafe.Pointer(&memory[at])) }
	return &blackBox{
		start:  word(0),
		length: word(8),
		mark:   word(16),
		noted:  word(24),
		count:  word(32),
		begun:  word(40),
		missed: word(48),
		note:   memory[noteAt:len(memory):len(memory)],
		boxed:  boxed{stream: memory[BoxHeader:noteAt:noteAt]},
	}
}

// room returns the memory of the next n bytes, or nil if the box has no room for them.
func (b *blackBox) room(n int) []byte {
	if b.spilled || n > len(b.stream)-b.used {
		b.spilled = true
		return nil
	}
	return b.stream[b.used:b.used:len(b.stream)]
}

// isLast reports whether chunk is the last part of what is in the box, so that what is appended to
// it lies in the box right behind that.
func (b *blackBox) isLast(chunk []byte) bool {
	return b.holds(chunk) && len(chunk) > 0 && &chunk[len(chunk)-1] == &b.stream[b.used-1]
}

// holds reports whether chunk lies in the box.
func (b *blackBox) holds(chunk []byte) bool {
	return cap(chunk) > 0 &&
		uintptr(unsafe.Pointer(unsafe.SliceData(chunk)))-uintptr(unsafe.Pointer(&b.stream[0])) < uintptr(len(b.stream))
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
	atomic.StoreUint64(b.length, 0) // before start: a death between the two writes loses nothing
	atomic.StoreUint64(b.start, little(uint64(written)))
}

// setMark writes the mark, and empties the note, which belongs to the previous mark.
func (b *blackBox) setMark(word uint64) {
	atomic.StoreUint64(b.noted, 0)
	atomic.StoreUint64(b.mark, little(word))
}

// setCount writes the count.
func (b *blackBox) setCount(n uint64) { atomic.StoreUint64(b.count, little(n)) }

// setBegun writes the number of what is about to be begun.
func (b *blackBox) setBegun(n uint64) { atomic.StoreUint64(b.begun, little(n)) }

// setMissed writes how much was never posted.
func (b *blackBox) setMissed(n uint64) { atomic.StoreUint64(b.missed, little(n)) }

// setNote makes text the note if it lies in the memory of the note, and reports whether it does.
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

// ReadAt implements io.ReaderAt, for who is in the same process. It reads words of the header, or
// the note when nobody writes it any more.
func (b *blackBox) ReadAt(p []byte, at int64) (n int, err error) {
	header := make([]byte, 0, BoxHeader)
	for _, word := range []*uint64{b.start, b.length, b.mark, b.noted, b.count, b.begun, b.missed} {
		header = binary.NativeEndian.AppendUint64(header, atomic.LoadUint64(word))
	}
	if at < int64(len(header)) {
		n = copy(p, header[at:])
	} else if at -= int64(BoxHeader + len(b.stream)); at >= 0 && at < int64(len(b.note)) {
		n = copy(p, b.note[at:])
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}

// Remains is what a process that is gone has left in its black box beside frames. Nothing of it may
// be trusted.
type Remains struct {
	Mark   uint64 // the last mark that the process set, or 0
	Count  uint64 // the last count that the process set, or 0
	Begun  uint64 // the number of what the process has begun last, or 0
	Missed uint64 // how much the process has never posted, or 0
	Note   []byte // what was noted since the last mark, at most NoteRoom bytes
}

// ReadRemains reads the black box of a process that is gone. What cannot be read is zero.
func ReadRemains(box *io.SectionReader) (left Remains) {
	left.Mark, left.Count, left.Begun, left.Missed = wordIn(box, 16), wordIn(box, 32), wordIn(box, 40), wordIn(box, 48)
	if n := wordIn(box, 24); n > 0 && n <= NoteRoom {
		note := make([]byte, n)
		if _, err := box.ReadAt(note, box.Size()-NoteRoom); err == nil {
			left.Note = note
		}
	}
	return left
}

// Glance returns the mark and the count in the black box of a process that may go on, and reports
// whether they can be read. They cannot be trusted.
func Glance(box *io.SectionReader) (mark, count uint64, ok bool) {
	var b [24]byte
	if _, err := box.ReadAt(b[:], 16); err != nil {
		return 0, 0, false
	}
	return binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[16:]), true
}

// unwritten returns the part of the stream that did not come through the pipe: what a process that
// is gone has left of the stream in its box, from the place from on. It trusts nothing in the box.
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

// wordIn returns a word of the header of a box, or 0 if it cannot be read.
func wordIn(box *io.SectionReader, at int64) uint64 {
	var b [8]byte
	if _, err := box.ReadAt(b[:], at); err != nil {
		return 0
	}
	return binary.LittleEndian.Uint64(b[:])
}
