//go:build !linux

package proc

import "os"

// These are the sizes in bytes of the memory that a worker shares with the process that started it,
// where it does.
const (
	BoxSize    = 256 << 10
	SharedSize = 2 * (4<<20 + 4<<10)
)

// HasBox says whether workers have such memory.
const HasBox = false

// newBox returns nil: workers do without.
func newBox() *os.File { return nil }

func takeOverBox() (box, shared []byte) { return nil, nil }

// MapShared returns nil: there is none.
func (p *Process) MapShared() []byte { return nil }

// Unmap has nothing to do.
func Unmap([]byte) {}
