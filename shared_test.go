package multiprolab

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/proc"
)

// Bodies of all sizes come out as they went in, however many are under way, and an empty region
// takes every body that fits in it.
func TestShared_Ring(t *testing.T) {
	memory := make([]byte, proc.SharedSize)
	ours, theirs := newShared(memory, true), newShared(memory, false)
	type parcel struct {
		at   uint64
		body []byte
	}
	var waiting []parcel
	refused, random := 0, rand.New(rand.NewPCG(1, 2))
	for i := range 3000 {
		body := make([]byte, 1+random.IntN(1<<random.IntN(23)))
		for j := 0; j < len(body); j += 1000 {
			body[j] = byte(i + j/1000)
		}
		at, ok := ours.put(body)
		switch {
		case ok:
			waiting = append(waiting, parcel{at, body})
		case len(waiting) == 0:
			require.Fail(t, "an empty region refuses a body", "%d bytes", len(body))
		default:
			refused++
		}
		for len(waiting) > 0 && (!ok || random.IntN(3) == 0) {
			p := waiting[0]
			waiting = waiting[1:]
			got, err := theirs.take(p.at, len(p.body))
			require.NoError(t, err)
			require.True(t, string(p.body) == string(got))
		}
	}
	require.NotZero(t, refused)
	_, ok := ours.put(make([]byte, 4<<20+1))
	require.False(t, ok)
	_, ok = theirs.put(make([]byte, 4<<20))
	require.True(t, ok, "the other direction has room of its own")
}

// Whatever the other end writes into the memory, and whatever places it sends, put and take stay
// inside.
func TestShared_Hostile(t *testing.T) {
	memory := make([]byte, proc.SharedSize)
	s := newShared(memory, true)
	random := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		done := random.Uint64()
		if random.IntN(2) == 0 {
			done = s.out.head + done%(16<<20) - 8<<20
		}
		atomic.StoreUint64(s.out.done, done)
		s.put(make([]byte, random.IntN(1<<20)))
		at, length := random.Uint64()>>random.IntN(64), int(random.Uint64()%(5<<20))
		got, err := s.take(at, length)
		if inside := at%(4<<20)+uint64(length) <= 4<<20; inside {
			require.NoError(t, err)
			require.Len(t, got, length)
		} else {
			require.Error(t, err)
		}
	}
}
