package multiprolab

import "github.com/multiprolab/multiprolab/internal/wire"

// letter is a one-way message that was written to a worker and not taken there. (The caller of a
// call is told: see slot.failCalls.)
type letter struct {
	address
	size int
}

// address is what many letters have in common.
type address struct{ from, typ string }

// letters are those that were written to a life of a worker and have not been taken yet, first in
// first out. They exist in main, in the worker's outbox, which guards them. A row of them can be
// long: it is kept without pointers, so that the garbage collector passes it by. The zero value is
// empty.
type letters struct {
	row   []stub // the first at head
	head  int
	taken uint64 // number of letters of this life that were taken

	addresses []address // of the row's
	places    map[address]uint32
}

// stub is what is kept of a letter.
type stub struct {
	address  uint32 // its place in addresses
	size     uint32
	reported bool // the worker has said that it did not handle it: nobody need be told again
}

func (l *letters) len() int { return len(l.row) - l.head }

func (l *letters) add(f *wire.Frame) {
	a := address{f.From, f.Type}
	last := len(l.addresses) - 1
	place := uint32(last)
	if last < 0 || l.addresses[last] != a {
		place = l.placeOf(a)
	}
	l.row = append(l.row, stub{address: place, size: uint32(len(f.Body))})
}

// placeOf returns the place of an address, which it puts there if need be.
func (l *letters) placeOf(a address) uint32 {
	place, ok := l.places[a]
	if !ok {
		if len(l.addresses) > 64+2*l.len() { // many are of letters that have been taken
			l.rebuild()
		}
		if l.places == nil {
			l.places = map[address]uint32{}
		}
		place = uint32(len(l.addresses))
		l.addresses, l.places[a] = append(l.addresses, a), place
	}
	return place
}

// rebuild drops the addresses that no letter of the row has.
func (l *letters) rebuild() {
	old := l.addresses
	l.addresses, l.places = nil, map[address]uint32{}
	for i := range l.row[l.head:] {
		s := &l.row[l.head+i]
		place, ok := l.places[old[s.address]]
		if !ok {
			place = uint32(len(l.addresses))
			l.addresses, l.places[old[s.address]] = append(l.addresses, old[s.address]), place
		}
		s.address = place
	}
}

// take drops the first n.
func (l *letters) take(n uint64) {
	l.head += int(n)
	l.taken += n
	if l.head > 64 && l.head*2 > len(l.row) {
		l.row = append(l.row[:0], l.row[l.head:]...)
		l.head = 0
	}
}

// reported notes that the worker has told what became of a letter, by its number in this life,
// before it has counted it as taken: should it die in between, the letter is not reported again. It
// returns the letter, or false for one that is none, or was reported before.
func (l *letters) reported(serial uint64) (letter, bool) {
	i := serial - 1 - l.taken
	if serial <= l.taken || i >= uint64(l.len()) {
		return letter{}, false
	}
	s := &l.row[l.head+int(i)]
	before := s.reported
	s.reported = true
	return letter{l.addresses[s.address], int(s.size)}, !before
}

// lost returns those that nobody has been told of, and forgets all: the life has ended.
func (l *letters) lost() []letter {
	var lost []letter
	for _, s := range l.row[l.head:] {
		if !s.reported {
			lost = append(lost, letter{l.addresses[s.address], int(s.size)})
		}
	}
	*l = letters{}
	return lost
}
