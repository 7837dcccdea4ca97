package link

import (
	"math"
	"runtime/debug"
	"sync"

	"github.com/multiprolab/multiprolab/internal/ablate"
)

const (
	// gcRoomSize is the size in bytes of memory that is allocated and never used. Go collects
	// garbage when there is as much garbage as memory in use, and not before there are 4 MiB of it.
	// In a process that uses little memory that is after every third body of 1 MiB, and the
	// collection takes longer than carrying the bodies. With this memory in use there are 16 MiB of
	// garbage before a collection. It costs the system no memory, because no page of it is ever
	// touched.
	gcRoomSize = 16 << 20
	// gcRoomAfter is how many bytes of large bodies a process reads from a wire before it makes the
	// room.
	gcRoomAfter = 64 << 20
)

// gcRoom is the room of this process. Only makeGCRoom touches it.
var gcRoom struct {
	once   sync.Once // makes the room
	memory []byte    // the room, which must stay in use; nil if there is none
}

// makeGCRoom makes the room, once in a process. Where memory is limited it makes none.
func makeGCRoom() {
	gcRoom.once.Do(func() {
		if debug.SetMemoryLimit(-1) == math.MaxInt64 && !ablate.Without(ablate.Room) {
			gcRoom.memory = make([]byte, gcRoomSize)
		}
	})
}
