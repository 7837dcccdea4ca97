//go:build !linux

package proc

import "os"

// These are the sizes in bytes of the memory that a worker shares with the process that started it,
// on systems where it does.
const (
	BoxSize    = 256 << 10
	SharedSize = 2 * (4<<20 + 4<<10)
)

// HasBox says that workers have no such memory here.
const HasBox = false

// newBox returns nil: workers do without shared memory.
func newBox() *os.File { return nil }

// takeOverBox returns nil: workers do without shared memory.
func takeOverBox() (box, shared []byte) { return nil, nil }

// MapShared returns nil: there is no shared memory.
func (p *Process) MapShared() []byte { return nil }

// Unmap has nothing to do, because MapShared returns nil.
func Unmap([]byte) {}
