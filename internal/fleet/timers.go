package fleet

import (
	"container/heap"
	"time"
)

// timers are what is due for slots, and what the shell has been told of it.
type timers struct {
	// heap is the slots with a timer, the one whose timer is due first at the top.
	heap slotHeap
	// told is the time of the last Wake.
	told time.Duration
}

// push sets the timer of a slot that has none.
func (t *timers) push(s *slot, due time.Duration) {
	s.timer.due = due
	heap.Push(&t.heap, s)
}

// remove takes the timer of a slot away, if there is one.
func (t *timers) remove(s *slot) {
	if s.timer.at > 0 {
		heap.Remove(&t.heap, s.timer.at-1)
	}
}

// pop takes the timer away that is due first, and returns its slot; nil if none is due by now.
func (t *timers) pop(now time.Duration) *slot {
	if len(t.heap) == 0 || t.heap[0].timer.due > now {
		return nil
	}
	return heap.Pop(&t.heap).(*slot)
}

// next returns when the next timer is due, or Never.
func (t *timers) next() time.Duration {
	if len(t.heap) == 0 {
		return Never
	}
	return t.heap[0].timer.due
}

// slotHeap is a heap of slots for container/heap. Of two that are due at once the older comes
// first.
type slotHeap []*slot

func (h slotHeap) Len() int { return len(h) }

func (h slotHeap) Less(i, j int) bool {
	if h[i].timer.due != h[j].timer.due {
		return h[i].timer.due < h[j].timer.due
	}
	return h[i].id < h[j].id
}

func (h slotHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].timer.at, h[j].timer.at = i+1, j+1
}

func (h *slotHeap) Push(x any) {
	s := x.(*slot)
	*h = append(*h, s)
	s.timer.at = len(*h)
}

func (h *slotHeap) Pop() any {
	old := *h
	s := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	s.timer.at = 0
	return s
}
