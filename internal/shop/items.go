package shop

import "sync/atomic"

// Items is how far a batch has come. The zero value has not begun. One goroutine begins the items,
// one after the other, and does not stop for it; any goroutine may cut them off meanwhile. It
// exists in the worker process.
type Items struct {
	begun atomic.Uint64 // how many items have begun, and cut
}

// cut in Items.begun says that no further item may begin.
const cut = 1 << 63

// Begin notes that item n begins, which is the next one. It reports whether it may: not if the
// batch was cut before it.
func (i *Items) Begin(n uint64) bool { return i.begun.CompareAndSwap(n, n+1) }

// Cut lets no further item begin. It returns how many have begun, and reports whether this was the
// first cut.
func (i *Items) Cut() (begun uint64, first bool) {
	before := i.begun.Or(cut)
	return before &^ cut, before&cut == 0
}
