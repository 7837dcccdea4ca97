package multiprolab

import (
	"maps"
	"slices"
)

// This file is the back-pressure of a stream whose submitter is a worker: the pieces that it has
// not taken hold credit of the worker that yields them, as long as that is at the stream. In main
// itself, a piece in its submission does the same. What is left of a stream that has ended, or
// begins again, holds nothing: the worker may be at something else, for which the submitter may
// wait before it takes the next piece. So each range over a stream has a window of pieces at most,
// and that of a stream that begins again and again some windows, see mostVoid.

// openStream notes that the worker submits a stream, under the number that it has given the task.
// It reports false if drain was called.
func (c *client) openStream(id uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drained {
		return false
	}
	if c.streams == nil {
		c.streams = map[uint64]*streamed{}
	}
	if c.streams[id] == nil { // a number that it uses twice is a lie, which submit finds
		c.streams[id] = &streamed{}
	}
	return true
}

// hold keeps the credit of a piece until the worker has taken it. It reports false if the worker
// waits for no pieces.
func (c *client) hold(id uint64, p heldPiece) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[id]
	if s == nil {
		return false
	}
	s.held.Push(p)
	return true
}

// took notes that the worker has taken the first piece of a stream. It reports false if there is
// none.
func (c *client) took(id uint64) bool {
	c.mu.Lock()
	s := c.streams[id]
	if s == nil || s.held.Len() == 0 {
		defer c.mu.Unlock()
		if c.untaken == 0 {
			return false
		}
		c.untaken--
		return true
	}
	p, _ := s.held.Pop()
	c.mu.Unlock()
	p.from.grant(p.bytes)
	return true
}

// endStream gives back the credit of the pieces of a stream that gets no further one. The worker
// may take them all the same.
func (c *client) endStream(id uint64) {
	c.mu.Lock()
	s := c.streams[id]
	delete(c.streams, id)
	if s != nil {
		c.untaken += s.held.Len()
	}
	c.mu.Unlock()
	s.release()
}

// endRun gives back the credit of the pieces of a stream that begins again. The worker may take
// them all the same.
func (c *client) endRun(id uint64) {
	c.mu.Lock()
	s := c.streams[id]
	if s != nil {
		c.untaken += s.held.Len()
		c.streams[id] = &streamed{}
	}
	c.mu.Unlock()
	s.release()
}

// release gives back the credit of all pieces.
func (s *streamed) release() {
	if s == nil {
		return
	}
	for p := range s.held.All() {
		p.from.grant(p.bytes)
	}
}

// drain gives back the credit of all pieces, because the life of the worker has ended. It returns
// the numbers of the streams that have not ended, to be cancelled: nobody takes pieces of them any
// more.
func (c *client) drain() (open []uint64) {
	c.mu.Lock()
	streams := c.streams
	c.streams, c.drained = nil, true
	c.mu.Unlock()
	open = slices.Sorted(maps.Keys(streams))
	for _, id := range open {
		streams[id].release()
	}
	return open
}
