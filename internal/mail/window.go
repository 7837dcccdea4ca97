package mail

// Window is how many bytes of room a receiver has for what one sender sends it, as far as the
// sender knows. The zero value has no room. Who uses the window guards it.
type Window struct {
	// size is how many bytes of room the receiver has when it keeps nothing.
	size int64
	// free is how many bytes of the room are left; less than zero after a message that was larger
	// than what was left.
	free int64
}

// Resize sets the size of the window of lives to come.
func (w *Window) Resize(size int64) { w.size = size }

// Size is how many bytes of room the receiver has when it keeps nothing.
func (w *Window) Size() int64 { return w.size }

// Open says how many bytes of room a new life of the receiver has: mostly the size of the window.
func (w *Window) Open(room int64) { w.free = room }

// Take takes room for n bytes, and reports false if there is not enough. A message that is larger
// than half of the window needs only half of the window free: so every message can be sent at some
// time.
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
// that cannot be, because the receiver would have more room than the window.
func (w *Window) Give(n uint64) bool {
	if n > uint64(w.size-min(w.free, w.size)) {
		return false
	}
	w.free += int64(n)
	return true
}
