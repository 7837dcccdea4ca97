// Package ring is a first-in first-out queue that reuses its memory.
package ring

import "iter"

// Ring is a first-in first-out queue that reuses its memory. The zero value is empty. Who uses it
// guards it.
type Ring[T any] struct {
	items []T // the memory, in which the first place follows the last
	head  int // the index of the oldest item
	count int // how many items there are
}

// Len returns how many items there are.
func (r *Ring[T]) Len() int { return r.count }

// Push puts v behind all items.
func (r *Ring[T]) Push(v T) {
	if r.count == len(r.items) {
		grown := make([]T, max(16, 2*len(r.items)))
		for i := range r.count {
			grown[i] = r.items[(r.head+i)%len(r.items)]
		}
		r.items, r.head = grown, 0
	}
	r.items[(r.head+r.count)%len(r.items)] = v
	r.count++
}

// PushFront puts v before all items.
func (r *Ring[T]) PushFront(v T) {
	r.Push(v) // makes room
	r.head = (r.head - 1 + len(r.items)) % len(r.items)
	r.items[r.head] = v
	var zero T
	r.items[(r.head+r.count)%len(r.items)] = zero
	if r.count == len(r.items) {
		r.items[r.head] = v // the ring is full: both places are one
	}
}

// Pop takes the oldest item. It reports false if there is none.
func (r *Ring[T]) Pop() (T, bool) {
	var zero T
	if r.count == 0 {
		return zero, false
	}
	v := r.items[r.head]
	r.items[r.head] = zero
	r.head = (r.head + 1) % len(r.items)
	r.count--
	return v, true
}

// First returns a pointer to the oldest item, or nil.
func (r *Ring[T]) First() *T {
	if r.count == 0 {
		return nil
	}
	return &r.items[r.head]
}

// All yields the items from the oldest on, without taking them.
func (r *Ring[T]) All() iter.Seq[T] {
	return func(yield func(T) bool) {
		for i := range r.count {
			if !yield(r.items[(r.head+i)%len(r.items)]) {
				return
			}
		}
	}
}

// Remove takes out the items for which drop is true.
func (r *Ring[T]) Remove(drop func(T) bool) {
	n := r.count
	for range n {
		if v, _ := r.Pop(); !drop(v) {
			r.Push(v)
		}
	}
}

// InsertAfter puts v behind the first item that is equal to after, or before all items if there is
// none.
func (r *Ring[T]) InsertAfter(after, v T) {
	r.PushFront(v)
	for i := 0; i+1 < r.count; i++ {
		here, next := (r.head+i)%len(r.items), (r.head+i+1)%len(r.items)
		r.items[here], r.items[next] = r.items[next], r.items[here]
		if any(r.items[here]) == any(after) {
			return
		}
	}
	v, _ = r.PopBack()
	r.PushFront(v)
}

// PopBack takes the newest item.
func (r *Ring[T]) PopBack() (T, bool) {
	var zero T
	if r.count == 0 {
		return zero, false
	}
	r.count--
	last := (r.head + r.count) % len(r.items)
	v := r.items[last]
	r.items[last] = zero
	return v, true
}
