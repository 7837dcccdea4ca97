package link

import "sync/atomic"

// Traffic is what has gone over a wire, as one end of it has seen it.
type Traffic struct {
	FramesSent     uint64 // that were posted
	FramesReceived uint64 // that have come, but perhaps the very last ones
	BytesSent      uint64 // of frames that were posted, with bodies that went through shared memory
	BytesReceived  uint64 // of frames that have come, likewise
	Writes         uint64 // to the pipe
	Shared         int64  // bytes of bodies that lie in shared memory for the other end
}

// Add adds what another wire has carried, of which nothing lies in shared memory any more.
func (t *Traffic) Add(o Traffic) {
	t.FramesSent += o.FramesSent
	t.FramesReceived += o.FramesReceived
	t.BytesSent += o.BytesSent
	t.BytesReceived += o.BytesReceived
	t.Writes += o.Writes
}

// sent counts what was posted. It exists at both ends of a wire. Who posts touches it, with
// chunks.mu held.
type sent struct {
	frames uint64 // how many frames
	bytes  uint64 // of them, and of their bodies in shared memory
}

// received counts what has come. It exists at both ends of a wire. Only the goroutine that holds
// turn.token touches it.
type received struct {
	frames uint64 // how many frames
	before uint64 // the bytes that have come by an earlier reader
	shared uint64 // the bytes of bodies in shared memory
}

// heard is what everybody may read of what has come. It exists at both ends of a wire. It lies
// beside what the goroutine that reads touches anyway, so that it costs that one little.
type heard struct {
	frames atomic.Uint64 // that have come
	bytes  atomic.Uint64 // that have come
}
