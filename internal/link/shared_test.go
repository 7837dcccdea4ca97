package link

import (
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// sharedSize is the size in bytes of the shared memory of these tests: regions of 4 MiB.
const sharedSize = 2 * (4<<20 + regionHeader)

// Bodies of all sizes come out as they went in, however many are under way, and an empty region
// takes every body that fits in it.
func TestShared_Ring(t *testing.T) {
	memory := make([]byte, sharedSize)
	ours, theirs := newShared(memory, true, nil), newShared(memory, false, nil)
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
	memory := make([]byte, sharedSize)
	s := newShared(memory, true, nil)
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

// Memory that is given back goes to who gave it, once. What is posted then goes through the pipe,
// and what lies in the memory cannot be read any more.
func TestShared_Close(t *testing.T) {
	memory := make([]byte, sharedSize)
	var back [][]byte
	ours, theirs := newShared(memory, true, func(m []byte) { back = append(back, m) }), newShared(memory, false, nil)
	at, ok := theirs.put([]byte("body"))
	require.True(t, ok)
	ours.close()
	ours.close()
	require.Len(t, back, 1)
	require.Same(t, &memory[0], &back[0][0])
	_, ok = ours.put([]byte("body"))
	require.False(t, ok)
	_, err := ours.take(at, 4)
	require.ErrorIs(t, err, os.ErrClosed)
	theirs.close()
	require.Len(t, back, 1)
	require.Nil(t, newShared(nil, true, nil))
}
