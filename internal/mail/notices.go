package mail

import "github.com/multiprolab/multiprolab/internal/ring"

// MaxNotices and MaxNoticeBytes are how many notices wait for a loop that is busy, and how many
// bytes of them. The newest are kept.
const MaxNotices, MaxNoticeBytes = 4096, 16 << 20

// Notices is what a loop has to do before it looks into its inbox. It comes from the process
// itself, and no credit bounds it: of too many the oldest are dropped. F is what is to be done.
type Notices[F any] struct {
	items ring.Ring[notice[F]]
	bytes int // that all of them hold in memory
}

// notice is one thing to be done, and how many bytes it holds in memory.
type notice[F any] struct {
	do   F
	size int
}

// Len is the number of notices.
func (n *Notices[F]) Len() int { return n.items.Len() }

// Add adds a notice that holds so many bytes.
func (n *Notices[F]) Add(do F, size int) {
	n.items.Push(notice[F]{do, size})
	n.bytes += size
	for n.items.Len() > MaxNotices || n.bytes > MaxNoticeBytes && n.items.Len() > 1 {
		n.Next()
	}
}

// Next takes the oldest out, or reports false.
func (n *Notices[F]) Next() (do F, ok bool) {
	first, ok := n.items.Pop()
	n.bytes -= first.size
	return first.do, ok
}
