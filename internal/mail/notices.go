package mail

import "github.com/multiprolab/multiprolab/internal/ring"

// MaxNotices and MaxNoticeBytes bound how many notices wait for a busy loop, and how many bytes
// they hold. The newest are kept.
const MaxNotices, MaxNoticeBytes = 4096, 16 << 20

// Notices is what a loop has to do before it looks into its inbox. Notices come from the process
// itself, so that no credit bounds them: if there are too many, the oldest are dropped. F is what
// is to be done. Who uses it guards it.
type Notices[F any] struct {
	items ring.Ring[notice[F]] // the notices, the oldest first
	bytes int                  // how many bytes all of them hold in memory
	// missed is how many were dropped since Missed was called last.
	missed int
}

// notice is one thing to be done.
type notice[F any] struct {
	do   F   // what is to be done
	size int // how many bytes the notice holds in memory
}

// Len is the number of notices.
func (n *Notices[F]) Len() int { return n.items.Len() }

// Add adds a notice that holds size bytes in memory.
func (n *Notices[F]) Add(do F, size int) {
	n.items.Push(notice[F]{do, size})
	n.bytes += size
	for n.items.Len() > MaxNotices || n.bytes > MaxNoticeBytes && n.items.Len() > 1 {
		n.Next()
		n.missed++
	}
}

// Missed returns how many notices were dropped since it was called last: all of them came before
// the oldest that is there.
func (n *Notices[F]) Missed() int {
	missed := n.missed
	n.missed = 0
	return missed
}

// Next takes the oldest notice out, or reports false if there is none.
func (n *Notices[F]) Next() (do F, ok bool) {
	first, ok := n.items.Pop()
	n.bytes -= first.size
	return first.do, ok
}
