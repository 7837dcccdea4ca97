package queue

// order says how the items of a pile are ordered. Its implementations are empty.
type order[T any] interface {
	before(a, b T) bool   // whether a goes before b
	moved(item T, to int) // notes the place of an item, from 1; 0: it is not in the pile any more
}

// pile is a heap of items that know their places, so that any of them can be taken out. The zero
// value is empty.
type pile[T any, O order[T]] struct {
	items []T // as a heap is laid out; the first is items[0]
	by    O   // empty
}

// push puts an item in.
func (p *pile[T, O]) push(item T) {
	p.items = append(p.items, item)
	p.up(len(p.items) - 1)
}

// fix puts the item at a place, from 1, where it belongs after it has changed.
func (p *pile[T, O]) fix(place int) {
	if !p.down(place - 1) {
		p.up(place - 1)
	}
}

// remove takes the item at a place out, from 1, and returns it.
func (p *pile[T, O]) remove(place int) T {
	i, last := place-1, len(p.items)-1
	item := p.items[i]
	p.items[i] = p.items[last]
	var none T
	p.items[last] = none
	p.items = p.items[:last]
	if i < last && !p.down(i) {
		p.up(i)
	}
	p.by.moved(item, 0)
	return item
}

// up moves an item forward, as far as it goes, and notes its place.
func (p *pile[T, O]) up(i int) {
	item := p.items[i]
	for i > 0 {
		above := (i - 1) / 2
		if !p.by.before(item, p.items[above]) {
			break
		}
		p.items[i] = p.items[above]
		p.by.moved(p.items[i], i+1)
		i = above
	}
	p.items[i] = item
	p.by.moved(item, i+1)
}

// down moves an item back, as far as it goes, and notes its place. It reports whether it has moved.
func (p *pile[T, O]) down(i int) bool {
	item, from := p.items[i], i
	for {
		below := 2*i + 1
		if below >= len(p.items) {
			break
		}
		if right := below + 1; right < len(p.items) && p.by.before(p.items[right], p.items[below]) {
			below = right
		}
		if !p.by.before(p.items[below], item) {
			break
		}
		p.items[i] = p.items[below]
		p.by.moved(p.items[i], i+1)
		i = below
	}
	p.items[i] = item
	p.by.moved(item, i+1)
	return i > from
}
