package multiprolab

import (
	"encoding/binary"
	"io"
	"sync/atomic"
	"unsafe"

	"github.com/multiprolab/multiprolab/internal/proc"
)

// blackBox is memory that a worker shares with main and that outlives it: what the worker has
// posted, and not yet written to its pipe, is in it. A worker may therefore begin with a task
// before main has been told, and go on to the next one before its result is in the pipe: if it
// dies, main reads the rest of what it said from the box. It exists in the worker, where the link's
// mutex guards it; main reads the same memory through its file, once, when the worker is gone.
//
// Its memory holds boxHeader bytes, then a part of the stream of the wire: at 0 the place of its
// first byte in the stream, at 8 its length, at 16 the id of the task that runs, or 0, at 24 the
// length of the outcomes that it has if it is a batch, at 32 the number of one-way messages that
// have left the inbox of this life, all little-endian. The last batchRoom bytes are the outcomes.
type blackBox struct {
	start, length, task, done, messages *uint64
	data                                []byte // of the stream: all of it
	batch                               []byte // of outcomes: all of it
	used                                int
	spilled                             bool // more was posted than fits; until all is written nothing more is recorded
}

const (
	boxHeader = 64
	// BoxSize is the size of the memory in bytes: enough for the results of as many tasks as a
	// worker is given ahead.
	boxSize = proc.BoxSize
	// batchRoom is the part of it that is for the outcomes of a batch.
	batchRoom = 96 << 10
)

// newBlackBox returns the box in a memory of boxSize bytes, or nil if there is none.
func newBlackBox(memory []byte) *blackBox {
	if len(memory) < boxSize {
		return nil
	}
	return &blackBox{start: (*uint64)(unsafe.Pointer(&memory[0])), length: (*uint64)(unsafe.Pointer(&memory[8])),
		task: (*uint64)(
			unsafe.Pointer(&memory[16]),
		), done: (*uint64)(unsafe.Pointer(&memory[24])), messages: (*uint64)(unsafe.Pointer(&memory[32])),
		data: memory[boxHeader : boxSize-batchRoom : boxSize-batchRoom], batch: memory[boxSize-batchRoom : boxSize : boxSize]}
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

// running notes which task runs; 0 says that none does.
func (b *blackBox) running(id uint64) {
	atomic.StoreUint64(b.done, 0)
	atomic.StoreUint64(b.task, little(id))
}

// handled notes how many one-way messages have left the inbox: main is told so by a frame much
// later.
func (b *blackBox) handled(messages uint64) { atomic.StoreUint64(b.messages, little(messages)) }

// handledIn returns how many one-way messages have left the inbox of a worker that is gone. It
// trusts nothing: the number may be any.
func handledIn(box io.ReaderAt) uint64 {
	var b [8]byte
	if _, err := box.ReadAt(b[:], 32); err != nil {
		return 0
	}
	return binary.LittleEndian.Uint64(b[:])
}

// finished makes the outcomes that the running batch has part of the record, if they are in the box
// still, and reports whether they are.
func (b *blackBox) finished(outcomes []byte) bool {
	if len(outcomes) > len(b.batch) || &outcomes[0] != &b.batch[0] {
		return false
	}
	atomic.StoreUint64(b.done, little(uint64(len(outcomes))))
	return true
}

// little returns the number whose bytes in memory are those of v in little-endian order.
func little(v uint64) uint64 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	return binary.NativeEndian.Uint64(b[:])
}

// runningIn returns the id of the task that a worker that is gone was running, or 0, and the
// outcomes that it had if it was a batch.
func runningIn(box io.ReaderAt) (id uint64, outcomes []byte) {
	var header [16]byte
	if _, err := box.ReadAt(header[:], 16); err != nil {
		return 0, nil
	}
	id = binary.LittleEndian.Uint64(header[:])
	if n := binary.LittleEndian.Uint64(header[8:]); n > 0 && n <= batchRoom {
		outcomes = make([]byte, n)
		if _, err := box.ReadAt(outcomes, boxSize-batchRoom); err != nil {
			return id, nil
		}
	}
	return id, outcomes
}

// unwritten returns what a worker that is gone has left in its box, from a place in the stream on:
// what did not come through the pipe. It trusts nothing in it.
func unwritten(box io.ReaderAt, from int64) []byte {
	var header [16]byte
	if _, err := box.ReadAt(header[:], 0); err != nil {
		return nil
	}
	start, length := binary.LittleEndian.Uint64(header[:]), binary.LittleEndian.Uint64(header[8:])
	if length > boxSize-batchRoom-boxHeader || uint64(from) < start || uint64(from)-start >= length {
		return nil
	}
	rest := make([]byte, length-(uint64(from)-start))
	if _, err := box.ReadAt(rest, int64(boxHeader+uint64(from)-start)); err != nil {
		return nil
	}
	return rest
}
