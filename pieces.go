package multiprolab

import (
	"maps"
	"slices"
)

// This file is the back-pressure of a stream whose submitter is a worker: the pieces that it has
// not taken hold credit of the worker that yields them. In main itself, a piece in its submission
// does the same.

// openStream notes that the worker submits a stream, under the number that it has given the task.
// It reports false if endStreams was called.
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
	if s == nil {
		c.mu.Unlock()
		return false
	}
	p, ok := s.held.Pop()
	c.forgetStream(id, s)
	c.mu.Unlock()
	if ok {
		p.from.grant(p.bytes)
	}
	return ok
}

// endStream notes that a stream gets no further piece.
func (c *client) endStream(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.streams[id]; s != nil {
		s.ended = true
		c.forgetStream(id, s)
	}
}

// forgetStream forgets a stream of which nothing is left. The caller holds mu.
func (c *client) forgetStream(id uint64, s *streamed) {
	if s.ended && s.held.Len() == 0 {
		delete(c.streams, id)
	}
}

// endStreams gives back the credit of all pieces, because the life of the worker has ended, and
// cancels the streams that have not ended: nobody takes pieces of them any more.
func (b *broker) endStreams(c *client) {
	c.mu.Lock()
	streams := c.streams
	c.streams, c.drained = nil, true
	c.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(streams)) {
		for p := range streams[id].held.All() {
			p.from.grant(p.bytes)
		}
		if !streams[id].ended {
			b.cancel(c, id, false)
		}
	}
}
