package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Item is the small typed value that the scenarios send. Written by hand (appendItem) it takes 98
// bytes.
type Item struct {
	ID     uint64
	Name   string
	Tags   []string
	Value  float64
	Active bool
	When   int64
}

// sampleItem is the item with a number.
func sampleItem(id uint64) Item {
	return Item{
		ID:     1<<40 + id,
		Name:   "holiday/2019/IMG_4711.jpeg",
		Tags:   []string{"thumbnail", "landscape", "shared-album"},
		Value:  math.Pi * float64(id%1024+1),
		Active: id%2 == 0,
		When:   1_700_000_000_000_000_000 + int64(id),
	}
}

func (i Item) equal(o Item) bool {
	return i.ID == o.ID && i.Name == o.Name && slices.Equal(i.Tags, o.Tags) && i.Value == o.Value &&
		i.Active == o.Active &&
		i.When == o.When
}

// appendItem encodes an item as somebody would who writes it by hand for one program.
func appendItem(b []byte, i *Item) []byte {
	b = binary.LittleEndian.AppendUint64(b, i.ID)
	b = appendString(b, i.Name)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(i.Tags)))
	for _, t := range i.Tags {
		b = appendString(b, t)
	}
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(i.Value))
	if i.Active {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	return binary.LittleEndian.AppendUint64(b, uint64(i.When))
}

func appendString(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

var errShort = errors.New("the encoded item is too short")

// decodeItem is the inverse of appendItem. Like every decoder of a typed value it copies the
// strings.
func decodeItem(b []byte) (i Item, err error) {
	short := false
	take := func(n int) []byte {
		if len(b) < n {
			short = true
			b = nil
			return make([]byte, n)
		}
		p := b[:n]
		b = b[n:]
		return p
	}
	i.ID = binary.LittleEndian.Uint64(take(8))
	i.Name = string(take(int(binary.LittleEndian.Uint16(take(2)))))
	i.Tags = make([]string, binary.LittleEndian.Uint16(take(2)))
	for t := range i.Tags {
		i.Tags[t] = string(take(int(binary.LittleEndian.Uint16(take(2)))))
	}
	i.Value = math.Float64frombits(binary.LittleEndian.Uint64(take(8)))
	i.Active = take(1)[0] == 1
	i.When = int64(binary.LittleEndian.Uint64(take(8)))
	if short {
		return Item{}, errShort
	}
	return i, nil
}

// Tally is what the receiver of a stream counts, and what the sender expects it to have counted.
// Each message contributes its number, so that a lost, doubled or damaged one shows.
type Tally struct {
	Messages, Sum uint64
}

func (t *Tally) item(i *Item) { t.Messages++; t.Sum += i.ID }

// bytes adds a block: the number at its start, its length, and its last byte.
func (t *Tally) bytes(b []byte) {
	t.Messages++
	t.Sum += uint64(len(b))
	if len(b) >= 9 {
		t.Sum += binary.LittleEndian.Uint64(b) + uint64(b[len(b)-1])
	}
}

// number marks a block as the n-th.
func number(b []byte, n int) { binary.LittleEndian.PutUint64(b, uint64(n)) }

// block returns size bytes that are not all the same.
func block(size int) []byte {
	b := make([]byte, size)
	x := uint64(size)
	for i := range b {
		x = x*6364136223846793005 + 1442695040888963407
		b[i] = byte(x >> 56)
	}
	return b
}

// Task is the work of the task farm: Steps of a loop that depends on its seed and cannot be left
// out.
type Task struct {
	Seed, Steps uint64
}

func (t Task) spin() uint64 {
	x := t.Seed
	for range t.Steps {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}

// seeds is the number of different tasks. Their results are computed once, to check all others
// against.
const seeds = 16

// job is a run of the farm: tasks tasks of steps each, with the seeds in turn.
type job struct {
	tasks int
	steps uint64
}

func (j job) task(i int) Task { return Task{Seed: uint64(i%seeds) + 1, Steps: j.steps} }

// check compares the sum of all results with what it must be.
func (j job) check(sum uint64) error {
	var want uint64
	for s := range seeds {
		n := j.tasks / seeds
		if s < j.tasks%seeds {
			n++
		}
		want += j.task(s).spin() * uint64(n)
	}
	if sum != want {
		return fmt.Errorf("the sum of %d results is %d, it should be %d", j.tasks, sum, want)
	}
	return nil
}
