package link

import (
	"os"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/multiprolab/multiprolab/internal/ablate"
)

// sharedLeast is the size in bytes from which a body goes through shared memory. A smaller one is
// as fast in the pipe.
const sharedLeast = 512

// leastShared returns sharedLeast, or the value that a measurement compares it with.
func leastShared() int {
	if ablate.Without(ablate.Shared512) {
		return 16 << 10
	}
	return sharedLeast
}

// regionHeader is the length in bytes of what comes before the bodies of one direction.
const regionHeader = 4 << 10

// shared is memory that the processes at both ends of a wire share, for all but small bodies: the
// pipe copies each page twice, and wakes the other end for every few pages. A frame then says where
// its body is. There is one region for each direction; where the region has no room, the body goes
// through the pipe. No end trusts what the other one writes: the reader copies a body out before it
// looks at it, and the size of the memory must be sealed.
type shared struct {
	// mu guards every other field against close, which is the only one to lock it for writing.
	mu sync.RWMutex
	// memory is the whole memory, of both regions; nil after close.
	memory []byte
	// closer gets the memory back from close; nil if nobody wants it back.
	closer func(memory []byte)
	// out is the region that this end fills. Who posts touches it, with chunks.mu held.
	out region
	// in is the region that the other end fills. Who reads touches it, with turn.token held.
	in region
}

// newShared returns the memory as one of the two ends sees it, or nil if it has no room for bodies.
// First is true at one of the two ends.
func newShared(memory []byte, first bool, closer func([]byte)) *shared {
	half := len(memory) / 2
	if half <= regionHeader || ablate.Without(ablate.Shared) {
		return nil
	}
	s := &shared{memory: memory, closer: closer, out: newRegion(memory[:half]), in: newRegion(memory[half:])}
	if !first {
		s.out, s.in = s.in, s.out
	}
	return s
}

// put copies a body into the memory and returns its place, or false if there is no room. Only one
// goroutine at a time may call it.
func (s *shared) put(body []byte) (at uint64, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.memory == nil {
		return 0, false
	}
	return s.out.put(body)
}

// take copies a body out of the memory and frees its place. Only one goroutine at a time may call
// it, for the bodies in the order in which the other end has put them.
func (s *shared) take(at uint64, length int) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.memory == nil {
		return nil, os.ErrClosed
	}
	return s.in.take(at, length)
}

// lying returns how many bytes lie there for the other end. The caller holds chunks.mu.
func (s *shared) lying() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.memory == nil {
		return 0
	}
	done := max(atomic.LoadUint64(s.out.done), s.out.start)
	return int64(s.out.head - min(done, s.out.head)) // the other end may write anything there
}

// close gives the memory back.
func (s *shared) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.memory != nil && s.closer != nil {
		s.closer(s.memory)
	}
	s.memory, s.out, s.in = nil, region{}, region{}
}

// region is the memory of one direction: a ring, in which a body lies in one piece. A place is a
// number of bytes that is counted from the first body that ever was in the ring; its remainder
// modulo the ring's size is the index in the ring.
type region struct {
	// done is a word in the shared memory: a place before which the reader needs nothing any more.
	// The other end may write anything there.
	done *uint64
	// ring is the memory of the bodies.
	ring []byte
	// head is the place behind the last body. Only put uses it.
	head uint64
	// start is a place before which nothing is in use, whatever the word done says. Only put uses
	// it.
	start uint64
}

// newRegion returns the empty region in a memory.
func newRegion(memory []byte) region {
	return region{done: (*uint64)(unsafe.Pointer(&memory[0])), ring: memory[regionHeader:]}
}

// put copies a body into the ring and returns its place, or false if there is no room.
func (r *region) put(body []byte) (at uint64, ok bool) {
	n, size := uint64(len(body)), uint64(len(r.ring))
	if n > size {
		return 0, false
	}
	done := max(atomic.LoadUint64(r.done), r.start)
	at = r.head
	if at%size+n > size || done == at {
		// The body does not fit before the end of the ring, or the ring is empty. It goes to the
		// beginning of the ring: if the ring is empty, that is memory which is most likely still in
		// the processor's cache.
		at = (at + size - 1) / size * size
	}
	if done == r.head { // the ring is empty, and so what was skipped before the body is free, too
		r.start, done = at, at
	}
	if at+n-done > size {
		return 0, false
	}
	copy(r.ring[at%size:], body)
	r.head = at + n
	return at, true
}

// take copies a body out of the ring, and tells the other end that nothing up to the end of the
// body is needed any more. The place and the length come from the other end.
func (r *region) take(at uint64, length int) ([]byte, error) {
	size := uint64(len(r.ring))
	if at%size+uint64(length) > size {
		return nil, &Violation{Reason: "a body is outside of the shared memory"}
	}
	body := append([]byte(nil), r.ring[at%size:at%size+uint64(length)]...) // append does not zero the memory first
	atomic.StoreUint64(r.done, at+uint64(length))
	return body, nil
}
