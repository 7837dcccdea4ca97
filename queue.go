package multiprolab

import "iter"

// queue is a first-in first-out queue that reuses its memory. The zero value is empty. Its owner
// guards it.
type queue[T any] struct {
	items []T // a ring
	head  int
	count int
}

func (q *queue[T]) len() int { return q.count }

func (q *queue[T]) push(v T) {
	if q.count == len(q.items) {
		grown := make([]T, max(16, 2*len(q.items)))
		for i := range q.count {
			grown[i] = q.items[(q.head+i)%len(q.items)]
		}
		q.items, q.head = grown, 0
	}
	q.items[(q.head+q.count)%len(q.items)] = v
	q.count++
}

// pushFront puts v before everything else.
func (q *queue[T]) pushFront(v T) {
	q.push(v) // makes room
	q.head = (q.head - 1 + len(q.items)) % len(q.items)
	q.items[q.head] = v
	var zero T
	q.items[(q.head+q.count)%len(q.items)] = zero
	if q.count == len(q.items) {
		q.items[q.head] = v // the ring is full: both places are one
	}
}

func (q *queue[T]) pop() (T, bool) {
	var zero T
	if q.count == 0 {
		return zero, false
	}
	v := q.items[q.head]
	q.items[q.head] = zero
	q.head = (q.head + 1) % len(q.items)
	q.count--
	return v, true
}

// first returns a pointer to the oldest item, or nil.
func (q *queue[T]) first() *T {
	if q.count == 0 {
		return nil
	}
	return &q.items[q.head]
}

// last returns a pointer to the newest item, or nil.
func (q *queue[T]) last() *T {
	if q.count == 0 {
		return nil
	}
	return &q.items[(q.head+q.count-1)%len(q.items)]
}

// all yields the items from the oldest on, without taking them.
func (q *queue[T]) all() iter.Seq[T] {
	return func(yield func(T) bool) {
		for i := range q.count {
			if !yield(q.items[(q.head+i)%len(q.items)]) {
				return
			}
		}
	}
}

// remove takes the items out for which drop is true.
func (q *queue[T]) remove(drop func(T) bool) {
	n := q.count
	for range n {
		if v, _ := q.pop(); !drop(v) {
			q.push(v)
		}
	}
}

// insertAfter puts v behind the first item that is equal to after, or before everything if there is
// none.
func (q *queue[T]) insertAfter(after, v T) {
	q.pushFront(v)
	for i := 0; i+1 < q.count; i++ {
		here, next := (q.head+i)%len(q.items), (q.head+i+1)%len(q.items)
		q.items[here], q.items[next] = q.items[next], q.items[here]
		if any(q.items[here]) == any(after) {
			return
		}
	}
	v, _ = q.popBack()
	q.pushFront(v)
}

// popBack takes the newest item.
func (q *queue[T]) popBack() (T, bool) {
	var zero T
	if q.count == 0 {
		return zero, false
	}
	q.count--
	last := (q.head + q.count) % len(q.items)
	v := q.items[last]
	q.items[last] = zero
	return v, true
}
