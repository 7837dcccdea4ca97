package mail

// Window is the room that a receiver has for what one sender sends it, in bytes, as the sender
// knows it. The zero value has none.
type Window struct {
	size int64 // the room of a receiver that keeps nothing
	free int64 // what is left of it; less than zero after a message larger than what was free
}

// Resize sets the size of the window of lives to come.
func (w *Window) Resize(size int64) { w.size = size }

// Size is the room of a receiver that keeps nothing.
func (w *Window) Size() int64 { return w.size }

// Open says how much room a new life of the receiver has: mostly all.
func (w *Window) Open(room int64) { w.free = room }

// Take takes room for n bytes, and reports false if there is not enough. A message larger than half
// of the window needs half of it free: so every message can be sent at some time.
func (w *Window) Take(n int64) bool {
	if w.free < min(n, w.size/2) {
		return false
	}
	w.free -= n
	return true
}

// Return gives back what Take took for a message that could not be written after all.
func (w *Window) Return(n int64) { w.free += n }

// Give takes in that the receiver has room for n bytes more. It reports false, and does nothing, if
// that cannot be: the receiver would have more than all.
func (w *Window) Give(n uint64) bool {
	if n > uint64(w.size-min(w.free, w.size)) {
		return false
	}
	w.free += int64(n)
	return true
}
