package link

import (
	"math"
	"runtime/debug"
	"sync"

	"github.com/multiprolab/multiprolab/internal/ablate"
)

const (
	// gcRoomSize is the size in bytes of memory that is allocated and never used. Go collects
	// garbage when there is as much of it as memory in use, but from 4 MiB on: in a process that
	// uses little, for every third body of 1 MiB, which takes longer than to carry them. With this
	// memory there are 16 MiB of garbage before. The memory itself is none of the system's: no page
	// of it is ever touched.
	gcRoomSize = 16 << 20
	// gcRoomAfter is how many bytes of large bodies a process reads from a wire before it makes the
	// room.
	gcRoomAfter = 64 << 20
)

var gcRoom struct {
	once   sync.Once
	memory []byte
}

// makeGCRoom makes the room, once in a process. Where memory is limited there is none.
func makeGCRoom() {
	gcRoom.once.Do(func() {
		if debug.SetMemoryLimit(-1) == math.MaxInt64 && !ablate.Without(ablate.Room) {
			gcRoom.memory = make([]byte, gcRoomSize)
		}
	})
}
